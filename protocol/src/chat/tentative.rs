//! What a node does with a command while it reaches no leader.

use super::*;
use crate::gateway::TentativePost;

/// What may become of a command on a node without a leader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carry {
    /// It waits for a leader: it cannot be accepted before, or would be refused by what is known here.
    Wait,
    /// It is accepted once it is durable on so many nodes.
    Accept { copies: u32 },
}

impl Chat {
    /// Whether a command of this session may be accepted without a leader, as far as this state knows. `at`: the time by this node's clock.
    pub fn carry(&self, session: SessionId, command: &Command, at: Timestamp) -> Carry {
        let _ = (self, session, command, at);
        Carry::Wait
    }

    /// The room and the message as which an accepted command is shown; `None`: it is no post, or would be refused by what is known here. `order` and `copies` are left to
    /// the outbox.
    pub fn tentative_post(&self, session: SessionId, id: MessageId, command: &Command) -> Option<(RoomId, TentativePost)> {
        let _ = (self, session, id, command);
        None
    }
}
