//! What clients are told of messages that have no place yet, and what becomes of a device that is lost.
//!
//! - A client machine says that a room's tail has changed; what the judge is told is how: one message came, before that one; another one left. Told so, what stays costs nothing.
//! - A device that is lost takes with it what it had not heard of: nobody sends that again. What a node has accepted must be settled all the same.

use super::chatter::Deed;
use super::script::{Actor, Submitted};
use crate::scenario::Workload;
use std::collections::BTreeMap;
use tertulia_judge::{ClientFact, TailLine, tail_changes, text_digest};
use tertulia_protocol::dice::{Purpose, Seed, draw};
use tertulia_protocol::gateway::TentativePost;
use tertulia_protocol::ids::{MessageId, RoomId};

/// What draws of this file are keyed by, after those of the script and the chatter.
const DRAWS: u64 = 90;

/// The tails of a client's rooms as the judge knows them, and whether the client is there at all.
#[derive(Clone, Default)]
pub(super) struct Tails {
    rooms: BTreeMap<RoomId, Vec<TailLine>>,
    /// The server at which it stays.
    home: Option<u32>,
    /// When its device is lost for good; `None`: never.
    quits: Option<u64>,
    pub gone: bool,
}

impl Tails {
    pub fn new(workload: &Workload, seed: Seed, number: u32, hosts: usize) -> Tails {
        let drawn = draw(seed, Purpose::Workload, u64::from(number), DRAWS, 0);
        let loses = number % 2 == 1 && number < workload.clients;
        Tails {
            home: workload.stay.then_some(number % hosts as u32),
            quits: workload.quits.filter(|_| loses).map(|quits| quits.pick(drawn)),
            ..Tails::default()
        }
    }

    /// How many servers a client knows that stays at one.
    pub fn servers(&self, hosts: u32) -> u32 {
        if self.home.is_some() { 1 } else { hosts }
    }

    /// Where its machine's choice leads.
    pub fn server(&self, chosen: u32) -> u32 {
        self.home.unwrap_or(chosen)
    }

    pub fn next(&self) -> Option<u64> {
        self.quits
    }

    /// A room in which something has no place yet, and how many messages.
    pub fn first(&self) -> Option<(RoomId, usize)> {
        self.rooms.iter().find(|(_, tail)| !tail.is_empty()).map(|(room, tail)| (*room, tail.len()))
    }
}

impl Actor {
    pub(super) fn told_accepted(&mut self, number: u64, id: MessageId, copies: u32) {
        if !self.submitted.contains_key(&number) {
            return self.trouble(format!("was told that its number {number} is accepted, when that was settled"));
        }
        self.facts.push(ClientFact::Accepted { client: self.told_as(), number, id, copies });
    }

    pub(super) fn tail_changed(&mut self, room: RoomId) {
        let line = |post: &TentativePost| TailLine { id: post.id, author: post.author, text_digest: text_digest(&post.text) };
        let new: Vec<TailLine> = self.client.tail(room).map(line).collect();
        let client = self.told_as();
        let old = self.tails.rooms.entry(room).or_default();
        if *old != new {
            self.facts.extend(tail_changes(client, room, old, &new));
            *old = new;
        }
    }

    pub(super) fn withdrawn(&mut self, room: RoomId, id: MessageId) {
        self.tails.rooms.entry(room).or_default().retain(|line| line.id != id);
        self.facts.push(ClientFact::Withdrawn { client: self.told_as(), room, id });
    }

    /// Nothing is on its screen any more: its process has ended, or it has become another session.
    pub(super) fn screen_is_dark(&mut self) {
        let client = self.told_as();
        for (room, tail) in std::mem::take(&mut self.tails.rooms) {
            self.facts.extend(tail.iter().map(|line| ClientFact::Untailed { client, room, id: line.id }));
        }
    }

    /// Whether its device is lost now. From then on it says and hears nothing.
    pub(super) fn quits(&mut self, at: u64) -> bool {
        if self.tails.gone || self.tails.quits.is_none_or(|quits| quits > at) {
            return false;
        }
        self.give_up();
        self.tails.gone = true;
        self.questions.clear();
        self.chat.lookups.clear();
        self.chat.returns = None;
        true
    }

    /// Nobody will hear what becomes of its open posts.
    pub(super) fn give_up(&mut self) {
        let client = self.told_as();
        for (number, why) in std::mem::take(&mut self.submitted) {
            if matches!(why, Submitted::Post | Submitted::Chat(Deed::SidePost { .. })) {
                self.facts.push(ClientFact::GaveUp { client, number });
            }
        }
    }
}
