//! One client of the load: signs in, joins, follows; a writer posts, a reader asks for pages. All that it does and sees is told to the tally, a post before it is sent.

use super::{ROOM, Shared, lock};
use crate::hex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tertulia_driver::{ClientEvent, ClientHandle, ClientRunner, SystemClock, TokioNet};
use tertulia_judge::{
    At, ClientFact, Extent, ReadPost, SESSIONS, Shown, TailLine, digest_of, revision, tail_changes, text_digest,
};
use tertulia_protocol::chat::{Command, Devices, Done, History, Post, Refusal, RoomRef, Tentative};
use tertulia_protocol::client::{Config, Timing};
use tertulia_protocol::dice::Seed;
use tertulia_protocol::gateway::{Answer, Ask, Event, EventKind, From, TentativePost};
use tertulia_protocol::ids::{RoomId, Seq, UserId};
use tokio::time::{Instant, sleep, sleep_until};

/// Requests of one client that may be open.
const WINDOW: u32 = 32;
/// How often a reader asks for the newest posts, and how many.
const PAGE_EVERY: Duration = Duration::from_secs(1);
const PAGE: u32 = 50;
/// How long a client stays elsewhere when its own node is well again.
const AWAY: Duration = Duration::from_secs(10);
/// After a refused beginning.
const AGAIN: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Writer,
    Reader,
}

/// One place of the load, and who sits there.
pub struct Seat {
    pub shared: Arc<Shared>,
    pub role: Role,
    /// The node at which it begins, and to which it returns.
    pub home: u16,
    pub number: u32,
    /// How many share the rate.
    pub writers: u32,
    pub name: String,
}

/// A reader's open question.
#[derive(Clone, Copy)]
struct Question {
    asked: At,
    after: Seq,
    own_past: bool,
}

impl Seat {
    /// One life after another, until it is dropped.
    pub async fn run(self) {
        let mut posts = 0;
        for life in 0.. {
            // As the judge counts clients: a new life is a new one.
            let client = self.number + life % 20_000 * SESSIONS;
            let mut living = Living::begin(&self, client, posts);
            let ended = living.live().await;
            posts = living.posts;
            living.say_goodbye();
            lock(&self.shared.clients).remove(&client);
            lock(&self.shared.tally).left(client);
            if let Err(why) = ended {
                self.shared.say_trouble(&self.name, why);
                sleep(AGAIN).await;
            }
        }
    }
}

struct Living<'a> {
    seat: &'a Seat,
    client: u32,
    handle: ClientHandle,
    /// The number that the next command gets.
    next_number: u64,
    /// Posts that are not settled.
    open: BTreeMap<u64, ()>,
    posts: u64,
    user: UserId,
    at: Option<u32>,
    /// Since when it could go home.
    away_since: Option<Instant>,
    room: Option<RoomId>,
    joins: At,
    last: Seq,
    tail: Vec<TailLine>,
    questions: BTreeMap<u64, Question>,
    pages: u64,
    next_post: Instant,
    next_page: Instant,
}

impl<'a> Living<'a> {
    fn begin(seat: &'a Seat, client: u32, posts: u64) -> Living<'a> {
        let servers = seat.shared.servers();
        let config = Config {
            name: seat.name.clone(),
            how: Default::default(),
            device: "demo".into(),
            // A session of its own for each life; the one before is logged out below.
            token: hex::draw_token(),
            servers: servers.len() as u32,
            first: u32::from(seat.home) - 1,
            seed: Seed(rand::random()),
            timing: Timing::default(),
            window: WINDOW,
        };
        let (handle, running) = ClientRunner { config, net: TokioNet::default(), clock: SystemClock::new(), servers }.start();
        // It ends with its handle.
        tokio::spawn(running);
        let now = Instant::now();
        Living {
            seat,
            client,
            handle,
            next_number: 1,
            open: BTreeMap::new(),
            posts,
            user: UserId(0),
            at: None,
            away_since: None,
            room: None,
            joins: super::now(),
            last: 0,
            tail: Vec::new(),
            questions: BTreeMap::new(),
            pages: 0,
            // The seats do not act in step.
            next_post: now + Duration::from_millis(u64::from(seat.number) * 7),
            next_page: now + PAGE_EVERY,
        }
    }

    fn tell(&self, fact: &ClientFact) {
        self.seat.shared.observe(fact);
    }

    async fn submit(&mut self, command: Command) -> Result<u64, String> {
        let number = self.handle.submit(command).await.map_err(|error| error.to_string())?;
        self.next_number = number + 1;
        Ok(number)
    }

    /// Until it goes home, or something happens that may not.
    async fn live(&mut self) -> Result<(), String> {
        let create = self.submit(Command::CreateRoom { name: ROOM.into() }).await?;
        loop {
            let rate = *self.seat.shared.rate.borrow();
            let may_post = self.may_post(rate);
            let may_ask = self.seat.role == Role::Reader && self.room.is_some() && rate > 0 && self.questions.is_empty();
            tokio::select! {
                biased;
                event = self.handle.next() => {
                    let event = event.ok_or("the client has ended: this is a bug, please report it")?;
                    self.hear(event, create).await?;
                }
                () = sleep_until(self.next_post), if may_post => self.post(rate).await?,
                () = sleep_until(self.next_page), if may_ask => self.ask().await?,
                // What decides above may change without a word.
                () = sleep(Duration::from_millis(100)) => {}
            }
            if self.may_go_home() {
                return Ok(());
            }
        }
    }

    fn may_post(&self, rate: u32) -> bool {
        let shared = &self.seat.shared;
        self.seat.role == Role::Writer
            && rate > 0
            && self.room.is_some()
            && (self.open.len() as u32) < WINDOW / 2
            && self.next_number < self.open.keys().next().unwrap_or(&self.next_number) + u64::from(WINDOW) / 2
            && !shared.holds.load(Relaxed)
            && !lock(&shared.tally).is_full()
    }

    async fn post(&mut self, rate: u32) -> Result<(), String> {
        let Some(room) = self.room else { return Ok(()) };
        self.posts += 1;
        let text = format!("{} posts its message {} (run {:08x})", self.seat.name, self.posts, self.seat.shared.run);
        let (number, digest) = (self.next_number, text_digest(&text));
        // The judge hears of it before anybody else can: numbers follow each other, so this one is known.
        self.open.insert(number, ());
        let room = RoomRef::Id(room);
        self.tell(&ClientFact::Submitted { client: self.client, number, room: room.clone(), text_digest: digest });
        let given = self.submit(Command::Post { room, text }).await?;
        let gap = Duration::from_secs_f64(f64::from(self.seat.writers) / f64::from(rate));
        let now = Instant::now();
        // Who was late does not make up for it all at once.
        self.next_post = (self.next_post + gap).max(now.checked_sub(gap * 4).unwrap_or(now));
        if given == number { Ok(()) } else { Err(format!("a post got number {given} instead of {number}: this is a bug")) }
    }

    /// Asks for the newest posts: every other time it is content with what it has seen itself.
    async fn ask(&mut self) -> Result<(), String> {
        let Some(room) = self.room else { return Ok(()) };
        self.next_page = Instant::now() + PAGE_EVERY;
        self.pages += 1;
        let (after, own_past) = (self.last.saturating_sub(u64::from(PAGE) / 2), self.pages.is_multiple_of(2));
        let asked = super::now();
        let at_least = own_past.then_some(0);
        let ask = Ask::History { room: RoomRef::Id(room), after: Some(after), before: None, limit: PAGE, at_least };
        let number = self.handle.ask(ask).await.ok_or("the client has ended")?;
        self.questions.insert(number, Question { asked, after, own_past });
        Ok(())
    }

    async fn hear(&mut self, event: ClientEvent, create: u64) -> Result<(), String> {
        let client = self.client;
        match event {
            ClientEvent::Connected { server } => {
                self.at = Some(server);
                self.tell(&ClientFact::Turned { client });
            }
            ClientEvent::Disconnected { .. } => {
                self.at = None;
                self.tell(&ClientFact::Turned { client });
            }
            ClientEvent::SignedIn { user, .. } => self.user = user,
            ClientEvent::Settled { number, result } if number == create => {
                let Done::Room { room, .. } = result.map_err(|why| why.to_string())? else {
                    return Err("a wrong answer".into());
                };
                self.joins = super::now();
                self.submit(Command::Join { room: RoomRef::Id(room) }).await?;
            }
            ClientEvent::Settled { number, result } => self.settled(number, result).await?,
            ClientEvent::Accepted { number, id, copies } if self.open.contains_key(&number) => {
                self.tell(&ClientFact::Accepted { client, number, id, copies });
            }
            ClientEvent::Deliver(event) => self.deliver(&event),
            ClientEvent::Tail { room, posts } => self.tail_is(room, &posts),
            ClientEvent::Withdrawn { room, post, .. } => {
                self.tail.retain(|line| line.id != post.id);
                self.tell(&ClientFact::Withdrawn { client, room, id: post.id });
            }
            ClientEvent::Answered { ask, result } => self.answered(ask, result)?,
            ClientEvent::Rejected(why) => return Err(format!("may not sign in: {why}")),
            ClientEvent::Unfollowed { refusal, .. } => return Err(format!("may not follow the room: {refusal}")),
            ClientEvent::Unclear { .. }
            | ClientEvent::OutboxFailed { .. }
            | ClientEvent::Servers(_)
            | ClientEvent::Accepted { .. } => {}
        }
        Ok(())
    }

    async fn settled(&mut self, number: u64, result: Result<Done, Refusal>) -> Result<(), String> {
        let client = self.client;
        self.open.remove(&number);
        match result {
            Ok(Done::Joined { room, last, cursor, .. }) => {
                let shared = &self.seat.shared;
                let (history, tentative) = (History::All, Tentative::Accept);
                self.tell(&ClientFact::Joined { client, room, asked: self.joins, history, tentative });
                self.tell(&ClientFact::Followed { client, room, after: cursor });
                lock(&shared.tally).follows(client, last);
                lock(&shared.clients).insert(client);
                lock(&shared.trouble).remove(&self.seat.name);
                (self.room, self.last) = (Some(room), last);
                self.handle.follow(RoomRef::Id(room), From::After(cursor)).await;
                // What lived before, in this demo or an earlier one, is over: one session for each user of the load.
                self.submit(Command::LogOut { devices: Devices::Others }).await?;
            }
            Ok(Done::Posted { room, seq, id, at }) => {
                self.tell(&ClientFact::Acknowledged { client, number, room, seq, id, at });
            }
            Ok(_) => {}
            // Nobody can say whether these were executed.
            Err(Refusal::Unknown | Refusal::Forgotten | Refusal::KeyExpired | Refusal::UnknownSession) => {
                return Err("was not told what became of a post".into());
            }
            Err(why) => {
                self.tell(&ClientFact::RefusedFinally { client, number });
                return Err(format!("was refused: {why}"));
            }
        }
        Ok(())
    }

    fn deliver(&mut self, event: &Event) {
        let (client, room, cursor) = (self.client, event.room, event.cursor);
        let shown = match &event.kind {
            EventKind::Posted(post) => Some(post),
            EventKind::Changed(changed) => changed.post.as_ref(),
            _ => None,
        };
        if let Some((seq, text)) = shown.and_then(|post| revision(post).map(|text| (post.seq, text))) {
            self.tell(&ClientFact::Texts { client, room, shown: Shown::Event { cursor }, posts: vec![(seq, text)] });
        }
        match &event.kind {
            EventKind::Posted(post) => {
                let Post { seq, id, at, .. } = *post;
                self.last = seq;
                self.tell(&ClientFact::Delivered { client, room, cursor, seq, id, text_digest: digest_of(post), at });
            }
            EventKind::Changed(changed) => {
                let digest = text_digest(&format!("{:?} {:?} {:?}", changed.at, changed.by, changed.change));
                self.tell(&ClientFact::Changed { client, room, cursor, digest });
            }
            EventKind::Skipped { from } => self.tell(&ClientFact::Skipped { client, room, from: *from, through: cursor }),
            _ => {}
        }
    }

    fn tail_is(&mut self, room: RoomId, posts: &[TentativePost]) {
        let line = |post: &TentativePost| TailLine { id: post.id, author: post.author, text_digest: text_digest(&post.text) };
        let new: Vec<TailLine> = posts.iter().map(line).collect();
        tail_changes(self.client, room, &self.tail, &new).iter().for_each(|fact| self.tell(fact));
        self.tail = new;
    }

    fn answered(&mut self, ask: u64, result: Result<Answer, Refusal>) -> Result<(), String> {
        let (Some(Question { asked, after, own_past }), client) = (self.questions.remove(&ask), self.client) else {
            return Ok(());
        };
        match result {
            Ok(Answer::History { room, posts, current }) => {
                let revised: Vec<_> = posts.iter().filter_map(|post| revision(post).map(|text| (post.seq, text))).collect();
                if !revised.is_empty() {
                    self.tell(&ClientFact::Texts { client, room, shown: Shown::Page { asked, current }, posts: revised });
                }
                let extent = if posts.len() < PAGE as usize { Extent::ToEnd } else { Extent::Page };
                let posts: Vec<ReadPost> = posts.iter().map(Into::into).collect();
                let (after, before) = (Some(after), None);
                self.tell(&ClientFact::Read { client, room, asked, after, before, posts, extent, current, own_past });
                Ok(())
            }
            Err(refusal) if !refusal.is_temporary() => Err(format!("may not read: {refusal}")),
            _ => Ok(()),
        }
    }

    /// Whether its own node is well, it is elsewhere, and nothing of it is under way.
    fn may_go_home(&mut self) -> bool {
        let at_home = self.at == Some(u32::from(self.seat.home) - 1);
        let shared = &self.seat.shared;
        if self.at.is_none() || at_home || !shared.is_well(self.seat.home) {
            self.away_since = None;
            return false;
        }
        let since = *self.away_since.get_or_insert_with(Instant::now);
        since.elapsed() >= AWAY && self.open.is_empty() && self.questions.is_empty() && self.tail.is_empty()
    }

    /// Nobody will hear what becomes of what is open, and nothing stands on this screen any more.
    fn say_goodbye(&mut self) {
        let (client, room) = (self.client, self.room.unwrap_or(RoomId(0)));
        for number in std::mem::take(&mut self.open).into_keys() {
            self.tell(&ClientFact::GaveUp { client, number });
        }
        for line in std::mem::take(&mut self.tail) {
            self.tell(&ClientFact::Untailed { client, room, id: line.id });
        }
    }
}
