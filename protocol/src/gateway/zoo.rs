//! What the bugs of the zoo do in a gateway, as far as it does not fit a line beside the right one.

use super::*;
use crate::chat::{Command, Done};
use crate::replica::{Submission, message_id};
use crate::zoo::Bug;

/// A bug, and what it has to remember.
#[derive(Clone, Debug, Default)]
pub(super) struct Spoiled {
    bug: Option<Bug>,
    /// This node led when it last saw a leader.
    led: bool,
    /// The last place that was promised in a room.
    promised: BTreeMap<RoomId, Seq>,
    /// What was offered to a leader and is not settled.
    offered: BTreeSet<RequestKey>,
}

impl Gateway {
    pub(crate) fn with_bug(mut self, bug: Option<Bug>) -> Gateway {
        self.zoo.bug = bug;
        self
    }

    pub(super) fn has(&self, bug: Bug) -> bool {
        self.zoo.bug == Some(bug)
    }

    /// Whether a request that is about to be offered to a leader has been offered before; then it is looked at no more before its time is up.
    pub(super) fn was_offered(&mut self, key: RequestKey) -> bool {
        if !self.has(Bug::OfferOnce) || self.zoo.offered.insert(key) {
            return false;
        }
        if let Some(pending) = self.pending.get_mut(&key) {
            self.timers.remove(&(pending.timer, Timer::Request(key)));
            pending.timer = pending.expires;
            self.timers.insert((pending.timer, Timer::Request(key)));
        }
        true
    }

    pub(super) fn forget_offered(&mut self, key: RequestKey) {
        self.zoo.offered.remove(&key);
    }

    /// The readers of an event for whom it is not too much.
    pub(super) fn keeping_up(&self, audience: &Audience, cost: u32) -> Audience {
        let fits = |known: &Connection| known.outstanding.saturating_add(cost) <= self.limits.reader_bytes;
        audience.iter().copied().filter(|id| self.connections.get(id).is_some_and(fits)).collect()
    }

    /// Another leader is known, or none.
    pub(super) fn spoil_at_election(&mut self, replica: &Replica<Chat>) {
        let leader = replica.raft().leader();
        let leads = leader == Some(replica.raft().node());
        let led = core::mem::replace(&mut self.zoo.led, leads);
        if self.has(Bug::RefuseAtStepDown) && led && !leads {
            let why = Refusal::BadRequest { why: "this node leads no more, so nothing was done".into() };
            let numbers = |key: &&RequestKey| matches!(key, RequestKey::Execute(..));
            let requests: alloc::vec::Vec<RequestKey> = self.pending.keys().filter(numbers).copied().collect();
            for key in requests {
                self.settle(key, &Err(why.clone()));
            }
        }
        if self.has(Bug::ForgetFollowers) && leader.is_none() {
            self.audiences.clear();
            for known in self.connections.values_mut() {
                known.follows.clear();
            }
        }
    }

    /// Answers a request that has just been taken into the leader's log with the place that a post is expected to have.
    pub(super) fn promise(&mut self, now: Now, replica: &Replica<Chat>, key: RequestKey, submission: &Submission) -> bool {
        let (RequestKey::Execute(session, slot), Submission::Execute { command, .. }) = (key, submission) else { return false };
        let Ok(Command::Post { room, .. }) = Command::decode(command) else { return false };
        let Some(room) = replica.machine().find_room_for(UserId(0), &room) else { return false };
        let promised = self.zoo.promised.entry(room).or_default();
        *promised = (*promised).max(replica.machine().last_message(room)) + 1;
        let done = Done::Posted { room, seq: *promised, id: message_id(session, slot), at: now.wall };
        self.settle(key, &Ok(Answer::Done(done)));
        true
    }
}
