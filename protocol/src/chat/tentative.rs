//! What a node does with a command while it reaches no leader.
//!
//! - Only requests about messages are carried: whatever else changes who is who, or who may do what, waits for a leader.
//! - Nothing is accepted that this state would refuse, as far as it can tell: rows that are not in memory are not looked at, so whose a message is and whether it is
//!   deleted is found out when the command is applied.

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

impl Command {
    /// Whether commands of this kind are ever carried.
    fn is_carried(&self) -> bool {
        use Command::*;
        matches!(self, Post { .. } | Respond { .. } | Edit { .. } | Delete { .. } | React { .. } | Pin { .. } | Read { .. })
    }
}

impl Chat {
    /// Whether a command of this session may be accepted without a leader, as far as this state knows. `at`: the time by this node's clock.
    pub fn carry(&self, session: SessionId, command: &Command, at: Timestamp) -> Carry {
        let Some(user) = self.user_of(session) else { return Carry::Wait };
        let Ok(room) = self.may_carry(user, command, at) else { return Carry::Wait };
        let tentative = self.rooms[&room].info.rules.tentative;
        #[cfg(feature = "zoo")]
        let tentative = if self.bug == Some(crate::zoo::Bug::AcceptInStrictRooms) { Tentative::Accept } else { tentative };
        match tentative {
            Tentative::Refuse => Carry::Wait,
            Tentative::Accept => Carry::Accept { copies: 1 },
            Tentative::Copies(copies) => Carry::Accept { copies: copies.max(1).into() },
        }
    }

    /// The room in which a command says something, whether or not it may be carried.
    pub fn speaks_in(&self, session: SessionId, command: &Command) -> Option<RoomId> {
        match command {
            Command::Post { room, .. } | Command::Respond { room, .. } => self.find_room_for(self.user_of(session)?, room),
            _ => None,
        }
    }

    /// The room and the message as which an accepted command is shown; `None`: it is no post, or would be refused by what is known here. When it was written, its order and
    /// its copies are left to the outbox. Without a time nobody counts as muted; see [`Chat::tentative_post_of`].
    pub fn tentative_post(&self, session: SessionId, id: MessageId, command: &Command) -> Option<(RoomId, TentativePost)> {
        self.tentative_post_of(self.user_of(session)?, id, command, Timestamp(u64::MAX))
    }

    /// As [`Chat::tentative_post`], of a user whose session may have expired since then. `at`: the time at which the author must not be muted.
    pub fn tentative_post_of(
        &self,
        author: UserId,
        id: MessageId,
        command: &Command,
        at: Timestamp,
    ) -> Option<(RoomId, TentativePost)> {
        let (text, reply_to) = match command {
            Command::Post { text, .. } => (text, None),
            Command::Respond { to, text, .. } => (text, Some(*to)),
            _ => return None,
        };
        let room = self.may_carry(author, command, at).ok()?;
        let post = TentativePost {
            id,
            author,
            author_name: self.user_name(author).to_string(),
            text: names::clean_text(text.clone()),
            reply_to,
            written_at: Timestamp(0),
            order: (Timestamp(0), OutboxId { node: NodeId(0), boot: Boot(0) }, 0),
            copies: 0,
        };
        Some((room, post))
    }

    /// Who asks what an outbox has brought for a session that has expired since then.
    pub(super) fn late_author(&self, owner: UserId, command: &Command) -> Result<UserId, Refusal> {
        let is_there = self.users.get(&owner).is_some_and(|known| !known.user.deleted);
        if is_there && command.is_carried() { Ok(owner) } else { Err(Refusal::LoggedOut) }
    }

    /// The room of a command that is carried, if this state would not refuse it at `at`, as far as that can be told without the rows of messages.
    fn may_carry(&self, user: UserId, command: &Command, at: Timestamp) -> Result<RoomId, Refusal> {
        Chat::check(command, &self.limits)?;
        let other_rules = Refusal::NotAllowed { needs: Needs::OtherRules };
        match command {
            Command::Post { room, text } => self.may_post(at, user, room, text),
            Command::Respond { room, to, text } => self.may_see(user, self.may_post(at, user, room, text)?, *to),
            Command::Edit { room, seq, text } => {
                let id = self.may_see(user, self.may_post(at, user, room, text)?, *seq)?;
                if self.rooms[&id].info.rules.edits { Ok(id) } else { Err(other_rules) }
            }
            Command::Delete { room, seq } => {
                let id = self.may_see(user, self.open_room_of(user, room)?, *seq)?;
                let may = self.rooms[&id].info.rules.edits || self.role(id, user) >= MemberRole::Moderator;
                if may { Ok(id) } else { Err(other_rules) }
            }
            Command::React { room, seq, .. } => {
                let id = self.open_room_of(user, room)?;
                if let Some((a, b)) = self.rooms[&id].info.pair {
                    self.may_write_to(user, if a == user { b } else { a })?;
                }
                self.may_see(user, id, *seq)
            }
            Command::Pin { room, seq, .. } => {
                let id = self.open_room_of(user, room)?;
                if self.rooms[&id].info.kind != RoomKind::Direct {
                    self.allowed(id, user, Who::Moderators)?;
                }
                self.may_see(user, id, *seq)
            }
            Command::Read { room, .. } => {
                let id = self.room_for(user, room)?;
                if self.is_member(id, user) { Ok(id) } else { Err(Refusal::NotAMember { room: id }) }
            }
            _ => Err(Refusal::BadRequest { why: "this is done by a leader alone".into() }),
        }
    }

    /// The room, if it has a message at this place and the user may see it.
    fn may_see(&self, user: UserId, room: RoomId, seq: Seq) -> Result<RoomId, Refusal> {
        let is_there = self.first_visible(room, user).is_some_and(|first| seq >= first.max(1) && seq <= self.last_message(room));
        if is_there { Ok(room) } else { Err(Refusal::UnknownMessage { room, seq }) }
    }
}
