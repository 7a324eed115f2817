//! What clients do in the chat beside posting and reading: devices that come and go, messages that change, rooms that do not last, friends.
//!
//! - Each thing has its own clock and its own draws, keyed by client, kind and count: a scenario that asks for none of them draws nothing here.
//! - Whatever the chat may refuse is no trouble: rooms are archived by one while another posts. What is certain is told to the judge.
//! - A client whose session is over comes back as a new device, which the judge takes for another client; see [`tertulia_judge::SESSIONS`].

use super::script::{Actor, Submitted, is_open};
use super::{now, user_name};
use crate::scenario::{ACTS, Act, Scenario, Span};
use std::collections::{BTreeMap, BTreeSet};
use tertulia_judge::{At, ClientFact, Wish, text_digest};
use tertulia_protocol::chat::{
    Command, Devices, Done, Friendship, History, MemberRole, Refusal, RoomRef, Settings, SignIn, UserRef,
};
use tertulia_protocol::dice::{Purpose, below, draw};
use tertulia_protocol::gateway::{Answer, Ask, From};
use tertulia_protocol::ids::{RoomId, Seq, UserId};

/// Rooms that come and go.
pub(super) const YARDS: usize = 3;
/// Own messages that a client remembers in order to change them.
const MINE: usize = 40;
/// What draws of this file are keyed by, after those of the script.
pub(super) const DRAWS: u64 = 100;

/// What an open number was submitted for.
#[derive(Clone, Copy)]
pub(super) enum Deed {
    /// Whatever comes of it.
    Any,
    LogOut,
    Revise {
        room: RoomId,
        seq: Seq,
    },
    Mark {
        room: RoomId,
        seq: Seq,
    },
    /// A post that the chat may refuse.
    SidePost {
        yard: Option<usize>,
    },
    Relate,
    OpenDirect {
        user: u32,
    },
    /// Into or out of a room that comes and goes.
    Yard {
        yard: usize,
    },
}

/// A question beside the pages.
#[derive(Clone, Copy)]
pub(super) enum Lookup {
    Who { user: u32 },
    Me,
    Marks { room: RoomId },
}

/// A room that comes and goes.
#[derive(Clone, Copy, Default)]
pub(super) struct Yard {
    id: Option<RoomId>,
    member: bool,
    /// Something is asked of it: one thing at a time, so that what is told later was so later.
    busy: bool,
}

/// The part of a client that plays the chat.
#[derive(Clone)]
pub(super) struct Chatter {
    /// The scenario has more than posts and pages.
    pub on: bool,
    pub user: u32,
    pub(super) users: u32,
    pub(super) alone: bool,
    pub(super) servers: u32,
    pub(super) settings: Settings,
    pub(super) acts: [Option<Span>; ACTS.len()],
    pub(super) next: [u64; ACTS.len()],
    pub(super) counts: [u64; ACTS.len()],
    /// How many sessions it had before this one.
    pub session: u32,
    /// When this device, or as a guest this session, first asked for its rooms. What an earlier session had done, a later one may be the first to hear of.
    pub came: u64,
    pub(super) signed_in: bool,
    /// The user has an account.
    pub(super) registered: bool,
    pub(super) sign_in: Option<u64>,
    /// It has asked to be logged out.
    pub leaving: bool,
    /// Its session is over, and it comes back then.
    pub returns: Option<u64>,
    pub(super) mine: Vec<(RoomId, Seq)>,
    pub(super) yards: [Yard; YARDS],
    pub(super) followed: BTreeSet<RoomId>,
    pub(super) directs: BTreeMap<u32, RoomId>,
    pub(super) ids: BTreeMap<u32, UserId>,
    pub lookups: BTreeMap<u64, Lookup>,
    pub(super) posts: u64,
    #[cfg(feature = "zoo")]
    pub bug: Option<tertulia_protocol::zoo::Bug>,
}

impl Chatter {
    pub fn new(scenario: &Scenario, number: u32, servers: u32) -> Chatter {
        let workload = &scenario.workload;
        let late = number >= workload.clients;
        Chatter {
            on: scenario.chat != Settings::default() || workload.devices > 1 || workload.acts.iter().any(Option::is_some),
            user: if late { workload.users() } else { number / workload.devices },
            users: workload.users(),
            alone: workload.devices == 1,
            servers,
            settings: scenario.chat.clone(),
            acts: if late { [None; ACTS.len()] } else { workload.acts },
            next: [u64::MAX; ACTS.len()],
            counts: [0; ACTS.len()],
            session: 0,
            came: 0,
            signed_in: false,
            registered: false,
            sign_in: None,
            leaving: false,
            returns: None,
            mine: Vec::new(),
            yards: [Yard::default(); YARDS],
            followed: BTreeSet::new(),
            directs: BTreeMap::new(),
            ids: BTreeMap::new(),
            lookups: BTreeMap::new(),
            posts: 0,
            #[cfg(feature = "zoo")]
            bug: None,
        }
    }

    /// Whether rooms show everybody what was there before they came.
    pub fn shows_past(&self) -> bool {
        matches!(self.settings.rules.history, History::All | History::Last(_))
    }

    pub fn is_over(&self) -> bool {
        self.on && (self.leaving || self.returns.is_some())
    }
}

impl Actor {
    /// Whether a room that is followed no more is one that comes and goes.
    pub(super) fn may_be_gone(&mut self, room: &RoomRef) -> bool {
        let RoomRef::Id(room) = room else { return false };
        self.chat.followed.remove(room);
        self.rooms.iter().all(|lasting| lasting.id != Some(*room))
    }

    fn drawn_for(&self, act: Act, nth: u64, what: u64) -> u64 {
        draw(self.seed, Purpose::Workload, u64::from(self.number), DRAWS + act as u64 * 8 + what, nth)
    }

    /// Sets all clocks.
    pub(super) fn plan_acts(&mut self, at: u64) {
        self.chat.came = at;
        for (act, _) in ACTS {
            self.plan_act(at, act);
        }
    }

    fn plan_act(&mut self, at: u64, act: Act) {
        let nth = act as usize;
        let drawn = self.drawn_for(act, self.chat.counts[nth], 0);
        self.chat.next[nth] = at + self.pause_of(self.chat.acts[nth], drawn);
        self.chat.counts[nth] += 1;
    }

    /// When something here is to be done.
    pub(super) fn next_chat(&self) -> u64 {
        self.chat.next.iter().copied().min().unwrap_or(u64::MAX)
    }

    pub(super) fn act_in_chat(&mut self, at: u64) {
        for (act, _) in ACTS {
            if self.chat.next[act as usize] > at {
                continue;
            }
            let nth = self.chat.counts[act as usize];
            let ready = self.rooms.iter().all(|room| room.joined.is_some()) && !self.chat.leaving && !self.final_reading;
            if ready && at < self.stop {
                self.do_act(at, act, nth);
            }
            self.plan_act(at, act);
        }
    }

    fn do_act(&mut self, at: u64, act: Act, nth: u64) {
        let drawn = self.drawn_for(act, nth, 1);
        match act {
            Act::Edit | Act::Delete => self.revise(at, drawn, nth, act == Act::Edit),
            Act::React => {
                let Some((room, seq)) = self.some_message(drawn) else { return };
                let emoji = ["👍", "🎉", "ole"][(drawn % 3) as usize].to_owned();
                let on = !self.drawn_for(act, nth, 2).is_multiple_of(3);
                self.submit(now(at, 0), Command::React { room: RoomRef::Id(room), seq, emoji, on }, Submitted::Chat(Deed::Any));
            }
            Act::MarkRead => {
                let Some((room, seq)) = self.some_message(drawn) else { return };
                let command = Command::Read { room: RoomRef::Id(room), seq };
                self.submit(now(at, 0), command, Submitted::Chat(Deed::Mark { room, seq }));
            }
            Act::Reply => {
                let Some((room, to)) = self.some_message(drawn) else { return };
                self.side_post(at, room, None, Some(to));
            }
            Act::Friends => self.relate(at, drawn, nth),
            Act::Moderate => self.moderate(at, drawn, nth),
            Act::Churn => self.churn(at, drawn, nth),
            Act::LogOut => {
                let command = Command::LogOut { devices: Devices::This };
                if self.submit(now(at, 0), command, Submitted::Chat(Deed::LogOut)).is_some() {
                    self.chat.leaving = true;
                }
            }
        }
    }

    // ---- messages -----------------------------------------------------------------------------------------------------------------------

    /// A message of one of the rooms that all are in, among those that it has seen.
    fn some_message(&self, drawn: u64) -> Option<(RoomId, Seq)> {
        let room = &self.rooms[below(drawn, self.rooms.len() as u64) as usize];
        let seq = 1 + below(drawn.rotate_left(32), room.last.min(30));
        // Mostly the newest ones.
        (room.last > 0).then_some((room.id?, (room.last + 1).saturating_sub(seq).max(1)))
    }

    /// A post of its own was acknowledged.
    pub(super) fn posted(&mut self, room: RoomId, seq: Seq) {
        if self.chat.acts[Act::MarkRead as usize].is_some() && self.rooms.iter().any(|known| known.id == Some(room)) {
            self.facts.push(ClientFact::MarkedRead { client: self.told_as(), room, seq });
        }
        if self.chat.on {
            if self.chat.mine.len() >= MINE {
                self.chat.mine.remove(0);
            }
            self.chat.mine.push((room, seq));
        }
    }

    fn revise(&mut self, at: u64, drawn: u64, nth: u64, edits: bool) {
        if self.chat.mine.is_empty() {
            return;
        }
        let place = below(drawn, self.chat.mine.len() as u64) as usize;
        let (room, seq) = self.chat.mine[place];
        let text = format!("{}.{nth} changed by session {}", self.number + 1, self.chat.session);
        let text_digest = edits.then(|| text_digest(&text));
        let in_room = RoomRef::Id(room);
        let command = if edits { Command::Edit { room: in_room, seq, text } } else { Command::Delete { room: in_room, seq } };
        if let Some(number) = self.submit(now(at, 0), command, Submitted::Chat(Deed::Revise { room, seq })) {
            self.facts.push(ClientFact::Revising { client: self.told_as(), number, room, seq, text_digest });
        }
    }

    /// A post whose room may be gone, or an answer to a message that may be.
    fn side_post(&mut self, at: u64, room: RoomId, yard: Option<usize>, to: Option<Seq>) -> bool {
        self.chat.posts += 1;
        let text = format!("{}.{} aside {}", self.number + 1, self.chat.posts, self.chat.session);
        let (digest, room) = (text_digest(&text), RoomRef::Id(room));
        let command = match to {
            Some(to) => Command::Respond { room: room.clone(), to, text },
            None => Command::Post { room: room.clone(), text },
        };
        let Some(number) = self.submit(now(at, 0), command, Submitted::Chat(Deed::SidePost { yard })) else { return false };
        self.facts.push(ClientFact::Submitted { client: self.told_as(), number, room, text_digest: digest });
        true
    }

    // ---- people -------------------------------------------------------------------------------------------------------------------------

    fn relate(&mut self, at: u64, drawn: u64, nth: u64) {
        let users = u64::from(self.chat.users);
        if users < 2 || self.chat.settings.sign_in == SignIn::Guests {
            return;
        }
        let user = ((u64::from(self.chat.user) + 1 + below(drawn, users - 1)) % users) as u32;
        let Some(&other) = self.chat.ids.get(&user) else {
            let ask = Ask::User { user: UserRef::Name(user_name(user)) };
            return self.look_up(at, ask, Lookup::Who { user });
        };
        let wish = match self.drawn_for(Act::Friends, nth, 2) % 12 {
            0..4 => Wish::Befriend,
            4 => Wish::Unfriend,
            5 => Wish::Block,
            6 => Wish::Unblock,
            _ => return self.write_to(at, user, other),
        };
        let named = UserRef::Id(other);
        let command = match wish {
            Wish::Befriend => Command::Befriend { user: named },
            Wish::Unfriend => Command::Unfriend { user: named },
            Wish::Block | Wish::Unblock => Command::Block { user: named, on: wish == Wish::Block },
        };
        if let Some(number) = self.submit(now(at, 0), command, Submitted::Chat(Deed::Relate)) {
            self.facts.push(ClientFact::Relating { client: self.told_as(), number, other, wish });
        }
    }

    fn write_to(&mut self, at: u64, user: u32, other: UserId) {
        match self.chat.directs.get(&user).copied() {
            Some(room) => _ = self.side_post(at, room, None, None),
            None => {
                let command = Command::OpenDirect { user: UserRef::Id(other) };
                self.submit(now(at, 0), command, Submitted::Chat(Deed::OpenDirect { user }));
            }
        }
    }

    // ---- rooms that come and go ---------------------------------------------------------------------------------------------------------

    fn moderate(&mut self, at: u64, drawn: u64, nth: u64) {
        let yard = self.chat.yards[below(drawn, YARDS as u64) as usize];
        let (Some(room), true) = (yard.id.map(RoomRef::Id), yard.member) else { return };
        let user = UserRef::Name(user_name(below(drawn.rotate_left(20), self.chat.users.into()) as u32));
        let command = match self.drawn_for(Act::Moderate, nth, 2) % 7 {
            0 | 1 => Command::Kick { room, user },
            2 => Command::Ban { room, user, on: true },
            3 | 4 => Command::Ban { room, user, on: false },
            5 => Command::Mute { room, user, for_ms: 500 },
            _ => Command::SetRole { room, user, role: MemberRole::Moderator },
        };
        self.submit(now(at, 0), command, Submitted::Chat(Deed::Any));
    }

    fn churn(&mut self, at: u64, drawn: u64, nth: u64) {
        let yard = below(drawn, YARDS as u64) as usize;
        let Yard { id, member, busy } = self.chat.yards[yard];
        if busy {
            return;
        }
        let what = self.drawn_for(Act::Churn, nth, 2) % 12;
        let command = match (id, member) {
            (Some(room), true) => {
                let room_ref = RoomRef::Id(room);
                match what {
                    0..8 => {
                        self.chat.yards[yard].busy = self.side_post(at, room, Some(yard), None);
                        return;
                    }
                    8 => Command::Leave { room: room_ref },
                    9 => Command::Archive { room: room_ref, on: true },
                    10 => Command::Archive { room: room_ref, on: false },
                    _ => Command::DeleteRoom { room: room_ref },
                }
            }
            (Some(room), false) if what < 8 => Command::Join { room: RoomRef::Id(room) },
            _ => Command::CreateRoom { name: format!("yard {}", yard + 1) },
        };
        let room = match &command {
            Command::Join { room } => Some(room.clone()),
            Command::CreateRoom { name } => Some(RoomRef::Name(name.clone())),
            _ => None,
        };
        if self.submit(now(at, 0), command, Submitted::Chat(Deed::Yard { yard })).is_some() {
            self.chat.yards[yard].busy = true;
            let client = self.told_as();
            self.facts.extend(room.map(|room| ClientFact::Joins { client, room }));
        }
    }

    /// It was told that it is a member of a room.
    pub(super) fn joined(&mut self, room: RoomId, asked: u64) {
        if self.chat.on {
            let (history, tentative) = (self.chat.settings.rules.history, self.chat.settings.rules.tentative);
            self.facts.push(ClientFact::Joined { client: self.told_as(), room, asked: At(asked), history, tentative });
        }
    }

    fn out_of(&mut self, yard: usize, gone: bool) {
        let Some(room) = self.chat.yards[yard].id else { return };
        self.chat.yards[yard].member = false;
        if gone {
            self.chat.yards[yard].id = None;
        }
        self.chat.followed.remove(&room);
        self.client.unfollow(room);
        // What another device of the user does meanwhile, this one does not know.
        if self.chat.alone {
            self.facts.push(ClientFact::Out { client: self.told_as(), room });
        }
    }

    fn settled_yard(&mut self, at: u64, yard: usize, result: &Result<Done, Refusal>) {
        self.chat.yards[yard].busy = false;
        match result {
            Ok(Done::Room { room, .. } | Done::Joined { room, .. }) => {
                self.chat.yards[yard] = Yard { id: Some(*room), member: true, busy: false };
                self.joined(*room, self.chat.came);
                if self.chat.followed.insert(*room) {
                    self.client.follow(now(at, 0), RoomRef::Id(*room), From::After(0));
                }
            }
            Ok(Done::Left { .. }) => self.out_of(yard, false),
            Err(Refusal::UnknownRoom { .. }) => self.out_of(yard, true),
            Err(Refusal::NotAMember { .. } | Refusal::Banned { .. }) => self.out_of(yard, false),
            _ => {}
        }
    }

    // ---- what comes of it ---------------------------------------------------------------------------------------------------------------

    pub(super) fn settled_in_chat(&mut self, at: u64, number: u64, deed: Deed, result: Result<Done, Refusal>) {
        let client = self.told_as();
        match (deed, result) {
            (Deed::Any, _) => {}
            // The connection ends, and then the client is told.
            (Deed::LogOut, result) => self.chat.leaving = result.is_ok() || matches!(result, Err(Refusal::LoggedOut)),
            (Deed::Revise { .. }, Ok(Done::Changed { cursor, .. })) => {
                self.facts.push(ClientFact::Revised { client, number, cursor });
            }
            (Deed::Revise { room, seq }, _) => self.chat.mine.retain(|mine| *mine != (room, seq)),
            (Deed::Mark { room, seq }, Ok(_)) => self.facts.push(ClientFact::MarkedRead { client, room, seq }),
            (Deed::Mark { .. }, Err(_)) => {}
            (Deed::SidePost { yard }, result) => self.settled_side_post(at, number, yard, result),
            (Deed::Relate, result) => {
                let friendship = match result {
                    Ok(Done::Friend { friendship, .. }) => Some(friendship),
                    _ => None,
                };
                self.facts.push(ClientFact::Related { client, number, friendship });
            }
            (Deed::OpenDirect { user }, Ok(Done::Room { room, .. })) => {
                self.chat.directs.insert(user, room);
                let other = self.chat.ids.get(&user).copied().unwrap_or(UserId(0));
                self.facts.push(ClientFact::Direct { client, room, other });
            }
            (Deed::OpenDirect { .. }, _) => {}
            (Deed::Yard { yard }, result) => self.settled_yard(at, yard, &result),
        }
    }

    fn settled_side_post(&mut self, at: u64, number: u64, yard: Option<usize>, result: Result<Done, Refusal>) {
        let client = self.told_as();
        match &result {
            Ok(Done::Posted { room, seq, id, at }) => {
                let (room, seq) = (*room, *seq);
                self.facts.push(ClientFact::Acknowledged { client, number, room, seq, id: *id, at: *at });
                self.posted(room, seq);
            }
            Err(refusal) if is_open(refusal) => {
                self.facts.push(ClientFact::GaveUp { client, number });
            }
            Err(_) => self.facts.push(ClientFact::RefusedFinally { client, number }),
            Ok(done) => self.trouble(format!("was given a wrong outcome for number {number}: {done:?}")),
        }
        if let Some(yard) = yard {
            self.settled_yard(at, yard, &result);
        }
    }

    // ---- questions ----------------------------------------------------------------------------------------------------------------------

    fn look_up(&mut self, at: u64, ask: Ask, lookup: Lookup) {
        let ask = self.client.ask(now(at, 0), ask);
        self.chat.lookups.insert(ask, lookup);
    }

    /// Everything has settled: what it is to others, and what it has read.
    pub(super) fn look_up_the_end(&mut self, at: u64) {
        if self.chat.acts[Act::Friends as usize].is_some() {
            self.look_up(at, Ask::Me, Lookup::Me);
        }
        if self.chat.acts[Act::MarkRead as usize].is_some() {
            for room in self.rooms.iter().filter_map(|room| room.id).collect::<Vec<_>>() {
                self.look_up(at, Ask::Room { room: RoomRef::Id(room) }, Lookup::Marks { room });
            }
        }
    }

    pub(super) fn looked_up(&mut self, at: u64, lookup: Lookup, result: Result<Answer, Refusal>) {
        let client = self.told_as();
        match (lookup, result) {
            (Lookup::Who { user }, Ok(Answer::User(view))) => _ = self.chat.ids.insert(user, view.id),
            (Lookup::Me, Ok(Answer::Me(me))) => {
                let friends: Vec<(UserId, Friendship)> =
                    me.friends.iter().map(|(view, friendship)| (view.id, *friendship)).collect();
                let blocked = me.blocked.iter().map(|view| view.id).collect();
                self.facts.push(ClientFact::Relations { client, friends, blocked });
            }
            (Lookup::Marks { room }, Ok(Answer::Room(view))) => {
                let (read, unread, last) = (view.read, view.unread, view.last);
                self.facts.push(ClientFact::Marks { client, room, read, unread, last });
            }
            // Nobody of that name has come yet.
            (Lookup::Who { .. }, Err(Refusal::UnknownUser { .. })) => {}
            (_, Err(Refusal::UnknownSession | Refusal::LoggedOut)) => {}
            (Lookup::Me, Err(refusal)) if refusal.is_temporary() => self.look_up(at, Ask::Me, Lookup::Me),
            (_, other) => self.trouble(format!("asked for something of the chat and was told {other:?}")),
        }
    }
}
