//! One client and its script.

use super::chatter::{Chatter, Deed};
use super::tails::Tails;
use super::{actors, now, room_name, time_of, user_name};
use crate::scenario::{Scenario, Span};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use tertulia_judge::{At, ClientFact, Extent, ReadPost, SESSIONS, Shown, digest_of, revision, text_digest};
use tertulia_protocol::chat::{Command, Done, Post, Refusal, RoomRef};
use tertulia_protocol::client::{Client, Config, Key, Output, Timing};
use tertulia_protocol::contract::Now;
use tertulia_protocol::dice::{Purpose, Seed, draw, within};
use tertulia_protocol::gateway::{Answer, Ask, ClientHello, Event, EventKind, From, Reply, Request, Token};
use tertulia_protocol::ids::{Cursor, RoomId, Seq};

/// Posts on a page of the final reading.
const PAGE: u32 = 100;
/// Requests that one client may have open.
const WINDOW: u32 = 32;

/// What a client asks of the engine.
#[derive(Debug)]
pub enum Wire {
    /// Drop any connection, open one to this server.
    Connect {
        server: u32,
        hello: ClientHello,
    },
    Disconnect,
    Send(Request),
}

/// Draws of a script, keyed by client and count.
#[derive(Clone, Copy)]
enum What {
    Start = 0,
    Gap = 1,
    Room = 2,
    Length = 3,
    Pages = 4,
    Moves = 5,
    PageFrom = 6,
    Token = 7,
    Seed = 8,
    PagesBack = 9,
    PageBefore = 10,
    Restarts = 11,
}

/// A room on its way: made, joined, followed.
#[derive(Clone, Default)]
pub(super) struct Room {
    pub(super) id: Option<RoomId>,
    /// The room's newest event when this client joined.
    pub(super) joined: Option<Cursor>,
    /// The last post delivered.
    pub(super) last: Seq,
    /// All of the final reading so far; `None` before it begins.
    pub(super) reading: Option<Vec<ReadPost>>,
    pub(super) read: bool,
}

/// Why an open number was submitted.
#[derive(Clone, Copy)]
pub(super) enum Submitted {
    Create(usize),
    Join(usize),
    Post,
    Chat(Deed),
}

/// An open question.
#[derive(Clone, Copy)]
pub(super) struct Question {
    room: usize,
    asked: u64,
    after: Option<Seq>,
    /// Reads backwards from here.
    before: Option<Seq>,
    limit: u32,
    /// Content with what this client has seen already.
    at_least: bool,
    last_reading: bool,
}

/// A client whose host keeps what it is told to, or nothing.
pub(super) fn begin(config: Config, kept: Option<&[Bytes]>, now: Now) -> Client {
    let Some(kept) = kept else { return Client::new(config, now) };
    Client::resume(config, kept, now).expect("a client reads what it wrote")
}

/// One client with its script. Begins at [`Actor::starts`].
#[derive(Clone)]
pub struct Actor {
    pub(super) number: u32,
    pub(super) seed: Seed,
    pub(super) client: Client,
    pub(super) posts: bool,
    pub(super) from: From,
    pub(super) rooms: Vec<Room>,
    pub(super) submitted: BTreeMap<u64, Submitted>,
    pub(super) questions: BTreeMap<u64, Question>,
    pub(super) gap: u64,
    pub(super) text: (u32, u32),
    pub(super) stop: u64,
    /// How many posts this client makes at most.
    pub(super) most: u64,
    pub(super) pages: Option<Span>,
    pub(super) pages_back: Option<Span>,
    pub(super) moves: Option<Span>,
    pub(super) restarts: Option<Span>,
    /// What this client is started with, and what its outbox holds, where clients restart.
    pub(super) config: Config,
    pub(super) kept: BTreeMap<Key, Bytes>,
    pub(super) next_post: u64,
    pub(super) next_page: u64,
    pub(super) next_page_back: u64,
    pub(super) next_move: u64,
    pub(super) next_restart: u64,
    pub(super) post_count: u64,
    pub(super) page_count: u64,
    pub(super) page_back_count: u64,
    pub(super) move_count: u64,
    pub(super) restart_count: u64,
    pub(super) final_reading: bool,
    pub(super) facts: Vec<ClientFact>,
    pub(super) trouble: Option<String>,
    pub(super) chat: Chatter,
    pub(super) tails: Tails,
}

impl Actor {
    /// When a client of this scenario begins.
    pub fn starts(scenario: &Scenario, seed: Seed, number: u32) -> u64 {
        let drawn = draw(seed, Purpose::StartOffset, u64::from(number) + 1_000, What::Start as u64, 0);
        match scenario.workload.joiner {
            Some(joiner) if number == scenario.workload.clients => joiner.at.pick(drawn),
            _ => scenario.workload.arrivals.map_or_else(|| within(drawn, 0, 300_000), |arrivals| arrivals.pick(drawn)),
        }
    }

    pub fn new(scenario: &Scenario, seed: Seed, number: u32, at: u64) -> Actor {
        debug_assert!(number < actors(scenario));
        let workload = &scenario.workload;
        let tails = Tails::new(workload, seed, number, scenario.cluster.hosts());
        let chat = Chatter::new(scenario, number, tails.servers(scenario.cluster.hosts() as u32));
        let config = config(seed, number, chat.servers, chat.user, 0);
        let late = workload.joiner.filter(|_| number == workload.clients);
        let mut actor = Actor {
            number,
            seed,
            client: begin(config.clone(), workload.restarts.is_some().then_some(&[]), now(at, 0)),
            posts: late.is_none(),
            from: late.map_or(From::After(0), |joiner| From::Last(joiner.last)),
            rooms: (0..workload.rooms).map(|_| Room::default()).collect(),
            submitted: BTreeMap::new(),
            questions: BTreeMap::new(),
            gap: workload.gap * u64::from(workload.clients),
            text: workload.text,
            stop: workload.stop,
            most: workload.posts.unwrap_or(u64::MAX),
            pages: workload.pages,
            pages_back: workload.pages_back,
            moves: workload.moves,
            restarts: workload.restarts,
            config,
            kept: BTreeMap::new(),
            next_post: at,
            next_page: at,
            next_page_back: at,
            next_move: at,
            next_restart: at,
            post_count: 0,
            page_count: 0,
            page_back_count: 0,
            move_count: 0,
            restart_count: 0,
            final_reading: false,
            facts: Vec::new(),
            trouble: None,
            chat,
            tails,
        };
        actor.next_post += actor.spacing();
        actor.next_page += actor.pause(actor.pages, What::Pages, 0);
        actor.next_page_back += actor.pause(actor.pages_back, What::PagesBack, 0);
        actor.next_move += actor.pause(actor.moves, What::Moves, 0);
        actor.next_restart += actor.pause(actor.restarts, What::Restarts, 0);
        actor.plan_acts(at);
        actor.make_rooms(at);
        actor
    }

    /// The client has a bug of the zoo from now on.
    #[cfg(feature = "zoo")]
    pub fn set_bug(&mut self, bug: Option<tertulia_protocol::zoo::Bug>) {
        self.chat.bug = bug;
        self.client.set_bug(bug);
    }

    /// When [`Actor::act`] has something to do.
    pub fn next_act(&self) -> Option<u64> {
        if self.tails.gone {
            return None;
        }
        let next = self.next_page.min(self.next_page_back).min(self.next_move).min(self.next_restart);
        let next = next.min(if self.may_post() { self.next_post } else { u64::MAX });
        let next = self.chat.returns.unwrap_or_else(|| next.min(self.next_chat()));
        let next = next.min(self.tails.next().unwrap_or(u64::MAX));
        (next < self.stop).then_some(next)
    }

    /// Does what is due. True when the client's connection is to be cut, so that it moves.
    pub fn act(&mut self, at: u64) -> bool {
        if self.tails.gone {
            return false;
        }
        if self.quits(at) {
            return true;
        }
        if let Some(returns) = self.chat.returns {
            if returns <= at && at < self.stop {
                self.return_as_new_device(at);
            }
            return false;
        }
        self.act_in_chat(at);
        if self.may_post() && self.next_post <= at && self.next_post < self.stop {
            self.post(at);
            self.next_post = at + self.spacing();
        }
        if self.next_page <= at {
            self.page(at);
            self.page_count += 1;
            self.next_page = at + self.pause(self.pages, What::Pages, self.page_count);
        }
        if self.next_page_back <= at {
            self.page_back(at);
            self.page_back_count += 1;
            self.next_page_back = at + self.pause(self.pages_back, What::PagesBack, self.page_back_count);
        }
        let cut = self.next_move <= at;
        if cut {
            self.move_count += 1;
            self.next_move = at + self.pause(self.moves, What::Moves, self.move_count);
        }
        let dies = self.next_restart <= at;
        if dies {
            self.restart_count += 1;
            self.next_restart = at + self.pause(self.restarts, What::Restarts, self.restart_count);
            self.restart(at);
        }
        cut || dies
    }

    /// The client's process dies and comes back at once from what it kept; what it has shown so far it knows, too. Its open questions are gone.
    fn restart(&mut self, at: u64) {
        self.screen_is_dark();
        self.facts.push(ClientFact::Restarted { client: self.told_as() });
        let kept: Vec<Bytes> = self.kept.values().cloned().collect();
        self.client = begin(self.config.clone(), Some(&kept), now(at, 0));
        #[cfg(feature = "zoo")]
        self.client.set_bug(self.chat.bug);
        for room in &self.rooms {
            if let Some((id, _)) = room.id.zip(room.joined) {
                let from = self.client.cursor(id).map_or(self.from, From::After);
                self.client.follow(now(at, 0), RoomRef::Id(id), from);
            }
        }
        for question in std::mem::take(&mut self.questions).into_values().filter(|question| question.last_reading) {
            self.ask(at, question);
        }
    }

    fn may_post(&self) -> bool {
        self.posts && self.post_count < self.most && !self.chat.leaving
    }

    /// The next thing to move to a node; what the client saw is in [`Actor::take_facts`] afterwards.
    pub fn poll(&mut self, at: u64) -> Option<Wire> {
        if self.tails.gone {
            return None;
        }
        loop {
            match self.client.poll_output()? {
                Output::Connect { server, hello } => {
                    self.facts.push(ClientFact::Turned { client: self.told_as() });
                    return Some(Wire::Connect { server: self.tails.server(server), hello });
                }
                Output::Disconnect => return Some(Wire::Disconnect),
                Output::Send(request) => return Some(Wire::Send(self.as_scenario_signs_in(request))),
                Output::SignedIn { user, .. } => self.signed_in(at, user),
                Output::Rejected(refusal) => self.rejected(at, refusal),
                Output::Settled { number, result } => self.settled(at, number, result),
                Output::Answered { ask, result } => self.answered(at, ask, result),
                Output::Deliver(event) => self.deliver(&event),
                Output::Unfollowed { room, .. } if self.chat.is_over() || self.may_be_gone(&room) => {}
                Output::Unfollowed { room, refusal } => self.trouble(format!("may not follow {room}: {refusal}")),
                Output::Accepted { number, id, copies } => self.told_accepted(number, id, copies),
                Output::Tail { room } => self.tail_changed(room),
                Output::Withdrawn { room, post, .. } => self.withdrawn(room, post.id),
                Output::Unclear { number } => self.trouble(format!("was told that the outcome of number {number} is unclear")),
                Output::Keep { change, record } => {
                    self.kept.insert(change.key, record);
                    self.client.handle_kept(now(at, 0), change.serial);
                }
                Output::Forget { change } => drop(self.kept.remove(&change.key)),
                // Servers take turns here: a choice by latency is the machine's own tests' to play.
                Output::Probe { server } => self.trouble(format!("was asked to probe server {server}")),
            }
        }
    }

    /// When [`Actor::timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<u64> {
        if self.tails.gone { None } else { self.client.poll_timeout().map(time_of) }
    }

    pub fn connected(&mut self, at: u64) {
        self.client.handle_connected(now(at, 0));
    }

    pub fn disconnected(&mut self, at: u64) {
        self.client.handle_disconnected(now(at, 0));
    }

    pub fn reply(&mut self, at: u64, reply: Reply) {
        let reply = self.as_client_is_told(reply);
        self.client.handle_reply(now(at, 0), reply);
    }

    pub fn event(&mut self, at: u64, event: Arc<Event>) {
        self.client.handle_event(now(at, 0), event);
    }

    pub fn timeout(&mut self, at: u64) {
        self.client.handle_timeout(now(at, 0));
    }

    /// What the client saw since the last call.
    pub fn take_facts(&mut self) -> Vec<ClientFact> {
        std::mem::take(&mut self.facts)
    }

    /// As [`Actor::take_facts`], into an empty vector that is used again and again.
    pub fn take_facts_into(&mut self, empty: &mut Vec<ClientFact>) {
        std::mem::swap(&mut self.facts, empty);
    }

    /// Something that may not happen to this script, as a sentence.
    pub fn trouble_seen(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// What this client still waits for before it has all of `newest`, or `None`.
    pub fn waits_for(&self, newest: &BTreeMap<RoomId, Seq>) -> Option<String> {
        if self.chat.returns.is_some() || self.tails.gone {
            return None;
        }
        if let Some((number, _)) = self.submitted.first_key_value() {
            return Some(format!(
                "client {} has {} commands open, the first is number {number}",
                self.number + 1,
                self.submitted.len()
            ));
        }
        if let Some((room, count)) = self.tails.first() {
            return Some(format!("client {} has {count} tentative messages of {room} on its screen", self.number + 1));
        }
        for (nth, room) in self.rooms.iter().enumerate() {
            let Some((id, joined)) = room.id.zip(room.joined) else {
                return Some(format!("client {} is not in {}", self.number + 1, room_name(nth)));
            };
            let newest = newest.get(&id).copied().unwrap_or(0).max(joined);
            if room.last < newest {
                let told =
                    format!("client {} was delivered {} of {newest} messages of {}", self.number + 1, room.last, room_name(nth));
                return Some(told);
            }
        }
        None
    }

    /// Begins reading the whole history of all rooms, page by page.
    pub fn read_all(&mut self, at: u64) {
        self.final_reading = true;
        if self.chat.returns.is_some() || self.tails.gone {
            return;
        }
        self.look_up_the_end(at);
        for room in 0..self.rooms.len() {
            self.rooms[room].reading = Some(Vec::new());
            self.ask(
                at,
                Question { room, asked: at, after: None, before: None, limit: PAGE, at_least: false, last_reading: true },
            );
        }
    }

    /// Whether the final reading is done.
    pub fn has_read_all(&self) -> bool {
        self.chat.returns.is_some() || self.tails.gone || self.rooms.iter().all(|room| room.read) && self.chat.lookups.is_empty()
    }

    /// How this client is called in evidence and in stories: from 1, as nodes are.
    pub(super) fn told_as(&self) -> u32 {
        self.number + 1 + self.chat.session * SESSIONS
    }

    fn drawn(&self, what: What, nth: u64) -> u64 {
        draw(self.seed, Purpose::Workload, u64::from(self.number), what as u64, nth)
    }

    /// Uniform from nothing to twice the mean: integers only, so that every machine draws the same.
    fn spacing(&self) -> u64 {
        within(self.drawn(What::Gap, self.post_count), 1, (self.gap * 2).max(1))
    }

    pub(super) fn pause_of(&self, span: Option<Span>, drawn: u64) -> u64 {
        span.map_or(u64::MAX / 2, |span| span.pick(drawn).max(1))
    }

    fn pause(&self, span: Option<Span>, what: What, nth: u64) -> u64 {
        self.pause_of(span, self.drawn(what, nth))
    }

    pub(super) fn submit(&mut self, now: Now, command: Command, why: Submitted) -> Option<u64> {
        match self.client.submit(now, command) {
            Ok(number) => {
                self.submitted.insert(number, why);
                Some(number)
            }
            Err(_full) => None,
        }
    }

    fn post(&mut self, at: u64) {
        let nth = self.post_count;
        self.post_count += 1;
        let place = tertulia_protocol::dice::below(self.drawn(What::Room, nth), self.rooms.len() as u64) as usize;
        let (Some(room), Some(_)) = (self.rooms[place].id, self.rooms[place].joined) else { return };
        let length = within(self.drawn(What::Length, nth), self.text.0.into(), self.text.1.into()) as usize;
        let mut text = format!("{}.{} ", self.number + 1, nth);
        while text.len() < length {
            text.push((b'a' + (text.len() % 26) as u8) as char);
        }
        let (digest, room) = (text_digest(&text), RoomRef::Id(room));
        if let Some(number) = self.submit(now(at, 0), Command::Post { room: room.clone(), text }, Submitted::Post) {
            self.facts.push(ClientFact::Submitted { client: self.told_as(), number, room, text_digest: digest });
        }
    }

    /// Comes to know all rooms: makes them, is let in, follows.
    pub(super) fn make_rooms(&mut self, at: u64) {
        for room in 0..self.rooms.len() {
            let name = room_name(room);
            if self.chat.on {
                self.facts.push(ClientFact::Joins { client: self.told_as(), room: RoomRef::Name(name.clone()) });
            }
            self.submit(now(at, 0), Command::CreateRoom { name }, Submitted::Create(room));
        }
    }

    fn page(&mut self, at: u64) {
        let nth = self.page_count;
        let room = (self.drawn(What::PageFrom, nth) % self.rooms.len() as u64) as usize;
        if self.rooms[room].joined.is_none() || self.final_reading {
            return;
        }
        let after = within(self.drawn(What::PageFrom, nth), 0, self.rooms[room].last);
        // Every other page is content with what this client has seen, on whatever node.
        let at_least = nth % 2 == 1;
        self.ask(at, Question { room, asked: at, after: Some(after), before: None, limit: 20, at_least, last_reading: false });
    }

    /// Reads what stands before a place, as one does who scrolls up.
    fn page_back(&mut self, at: u64) {
        let drawn = self.drawn(What::PageBefore, self.page_back_count);
        let room = (drawn % self.rooms.len() as u64) as usize;
        if self.rooms[room].joined.is_none() || self.final_reading {
            return;
        }
        let before = Some(within(drawn, 1, self.rooms[room].last + 1));
        let question = Question { room, asked: at, after: None, before, limit: 20, at_least: true, last_reading: false };
        self.ask(at, question);
    }

    fn ask(&mut self, at: u64, question: Question) {
        let Some(id) = self.rooms[question.room].id else { return };
        let ask = Ask::History {
            room: RoomRef::Id(id),
            after: question.after,
            before: question.before,
            limit: question.limit,
            at_least: question.at_least.then_some(0),
        };
        let ask = self.client.ask(now(at, 0), ask);
        self.questions.insert(ask, question);
    }

    fn settled(&mut self, at: u64, number: u64, result: Result<Done, Refusal>) {
        let Some(why) = self.submitted.remove(&number) else {
            return self.trouble(format!("was told twice of its number {number}"));
        };
        let why = match why {
            Submitted::Chat(deed) => return self.settled_in_chat(at, number, deed, result),
            why => why,
        };
        match (why, result) {
            (Submitted::Create(place), Ok(Done::Room { room, .. })) => {
                self.rooms[place].id = Some(room);
                self.submit(now(at, 0), Command::Join { room: RoomRef::Id(room) }, Submitted::Join(place));
            }
            (Submitted::Join(place), Ok(Done::Joined { room, last, .. })) => {
                self.rooms[place].joined = Some(last);
                let client = self.told_as();
                self.joined(room, self.chat.came);
                if self.chat.shows_past() {
                    self.facts.push(match self.from {
                        From::After(after) => ClientFact::Followed { client, room, after },
                        From::Last(window) => ClientFact::FollowedLast { client, room, last: window, joined: last },
                    });
                } else {
                    // What was there before it came, it will never see.
                    self.rooms[place].last = last;
                }
                self.client.follow(now(at, 0), RoomRef::Id(room), self.from);
            }
            (Submitted::Post, Ok(Done::Posted { room, seq, id, at })) => {
                self.facts.push(ClientFact::Acknowledged { client: self.told_as(), number, room, seq, id, at });
                self.posted(room, seq);
            }
            (why, Err(refusal)) => {
                let open = is_open(&refusal);
                let client = self.told_as();
                match (why, open) {
                    (Submitted::Post, true) => self.facts.push(ClientFact::GaveUp { client, number }),
                    (Submitted::Post, false) => self.facts.push(ClientFact::RefusedFinally { client, number }),
                    _ => {}
                }
                if !(self.chat.on && matches!(refusal, Refusal::LoggedOut | Refusal::UnknownSession)) {
                    self.trouble(format!("was refused number {number}: {refusal}"));
                }
            }
            (_, Ok(done)) => self.trouble(format!("was given a wrong outcome for number {number}: {done:?}")),
        }
    }

    fn answered(&mut self, at: u64, ask: u64, result: Result<Answer, Refusal>) {
        if let Some(lookup) = self.chat.lookups.remove(&ask) {
            return self.looked_up(at, lookup, result);
        }
        let Some(question) = self.questions.remove(&ask) else {
            return self.trouble(format!("was answered twice: question {ask}"));
        };
        match result {
            Ok(Answer::History { posts, current, .. }) => self.history(at, question, posts, current),
            Ok(answer) => self.trouble(format!("asked for history and was told {answer:?}")),
            Err(refusal) if refusal.is_temporary() => self.ask(at, question),
            // It will be told that its session is over.
            Err(Refusal::UnknownSession | Refusal::LoggedOut) if self.chat.on => {}
            Err(refusal) => self.trouble(format!("was refused history: {refusal}")),
        }
    }

    fn history(&mut self, at: u64, question: Question, posts: Vec<Post>, current: bool) {
        let Some(room) = self.rooms[question.room].id else { return };
        let revised: Vec<_> = posts.iter().filter_map(|post| revision(post).map(|text| (post.seq, text))).collect();
        if !revised.is_empty() {
            let shown = Shown::Page { asked: At(question.asked), current };
            self.facts.push(ClientFact::Texts { client: self.told_as(), room, shown, posts: revised });
        }
        let posts: Vec<ReadPost> = posts.iter().map(Into::into).collect();
        let to_end = posts.len() < question.limit as usize;
        let (client, asked, own_past) = (self.told_as(), At(question.asked), question.at_least);
        if !question.last_reading {
            let extent = if to_end && question.before.is_none() { Extent::ToEnd } else { Extent::Page };
            let (after, before) = (question.after, question.before);
            return self.facts.push(ClientFact::Read { client, room, asked, after, before, posts, extent, current, own_past });
        }
        if to_end && !current {
            // Nothing newer is not what this answer says: ask again.
            return self.ask(at, question);
        }
        let last = posts.last().map(|post| post.seq);
        let reading = self.rooms[question.room].reading.get_or_insert_default();
        reading.extend(posts);
        if !to_end {
            return self.ask(at, Question { after: last, ..question });
        }
        let posts = std::mem::take(reading);
        self.rooms[question.room].read = true;
        let (after, before, extent) = (None, None, Extent::Final);
        self.facts.push(ClientFact::Read { client, room, asked, after, before, posts, extent, current, own_past });
    }

    fn deliver(&mut self, event: &Event) {
        let (client, room, cursor) = (self.told_as(), event.room, event.cursor);
        let shown = match &event.kind {
            EventKind::Posted(post) => Some(post),
            EventKind::Changed(changed) => changed.post.as_ref(),
            _ => None,
        };
        if let Some((seq, text)) = shown.and_then(|post| revision(post).map(|text| (post.seq, text))) {
            self.facts.push(ClientFact::Texts { client, room, shown: Shown::Event { cursor }, posts: vec![(seq, text)] });
        }
        let post = match &event.kind {
            EventKind::Posted(post) => post,
            EventKind::Changed(changed) => {
                let digest = text_digest(&format!("{:?} {:?} {:?}", changed.at, changed.by, changed.change));
                return self.facts.push(ClientFact::Changed { client, room, cursor, digest });
            }
            EventKind::Skipped { from } => {
                return self.facts.push(ClientFact::Skipped { client, room, from: *from, through: cursor });
            }
            _ => return,
        };
        let text_digest = digest_of(post);
        self.facts.push(ClientFact::Delivered { client, room, cursor, seq: post.seq, id: post.id, text_digest, at: post.at });
        if let Some(room) = self.rooms.iter_mut().find(|room| room.id == Some(event.room)) {
            room.last = post.seq;
        }
    }

    pub(super) fn trouble(&mut self, told: String) {
        self.trouble.get_or_insert_with(|| format!("client {} {told}", self.number + 1));
    }
}

/// Whether a refusal leaves it open what becomes of the request: an outbox may carry it, and what was accepted counts also when its session has expired.
pub(super) fn is_open(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Unknown | Refusal::Forgotten | Refusal::KeyExpired | Refusal::UnknownSession)
}

/// How a client is started: the token and the draws are those of its session.
pub(super) fn config(seed: Seed, number: u32, servers: u32, user: u32, session: u32) -> Config {
    let of_session = |nth: u64| nth + (u64::from(session) << 32);
    let drawn = |what: What, nth: u64| draw(seed, Purpose::Identity, u64::from(number) + 1_000, what as u64, of_session(nth));
    let mut token = [0; 32];
    for (nth, part) in token.chunks_mut(8).enumerate() {
        part.copy_from_slice(&drawn(What::Token, nth as u64).to_le_bytes());
    }
    Config {
        name: user_name(user),
        how: Default::default(),
        device: String::new(),
        token: Token(token),
        servers,
        first: (number + session) % servers,
        seed: Seed(drawn(What::Seed, 0)),
        timing: Timing::default(),
        window: WINDOW,
    }
}
