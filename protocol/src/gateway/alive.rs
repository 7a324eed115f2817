//! Sessions that show signs of life: what a node has heard from goes into the log now and then, so that it does not expire.

use super::*;
use crate::contract::Class;
use crate::node::{Body, Message};
use crate::replica::Submission;
use crate::time::Duration;

/// The shortest time between two looks.
const SHORTEST: Duration = Duration::from_millis(250);
/// Sessions that are remembered between two looks.
const MOST: usize = 10_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Alive {
    /// Heard from since the last look.
    heard: BTreeSet<SessionId>,
    pub(super) look_at: Option<Instant>,
}

impl Gateway {
    pub(super) fn heard(&mut self, now: Now, replica: &Replica<Chat>, session: SessionId) {
        let idle_ms = replica.machine().idle_ms();
        if idle_ms == 0 || self.alive.heard.len() >= MOST {
            return;
        }
        self.alive.heard.insert(session);
        self.alive.look_at.get_or_insert(now.instant + SHORTEST.max(Duration::from_millis(idle_ms / 4)));
    }

    pub(super) fn see_alive(&mut self, now: Now, replica: &mut Replica<Chat>) {
        if self.alive.look_at.is_none_or(|at| at > now.instant) {
            return;
        }
        self.alive.look_at = None;
        let heard = core::mem::take(&mut self.alive.heard);
        // By the log's own time, which a node's clock may be behind.
        let at = now.wall.max(replica.applied_at());
        for command in replica.machine().seen_commands(at, &heard) {
            let submission = Submission::House { command };
            match replica.raft().leader() {
                Some(leader) if leader == replica.raft().node() => _ = replica.offer(now, submission),
                Some(leader) => {
                    let message = Message { group: GROUP, body: Body::Forward(submission) };
                    self.outputs.push_back(node::Output::Send { to: leader, class: Class::Data, message });
                }
                // Nothing expires without a leader, and a new one gives everybody their whole time.
                None => {}
            }
        }
    }
}
