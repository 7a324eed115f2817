//! What a replicated state machine is, and what it may do to the world: rows, a reply, events. Nothing else.

use crate::contract::StateHash;
use crate::ids::*;
use crate::time::Timestamp;
use crate::wire::EnvelopeError;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// A deterministic machine that commands of sessions are applied to, the same on all nodes.
///
/// Total: a bad command is a refusal, never a panic. It reads no clock but [`At::at`].
pub trait StateMachine: Clone {
    /// What others are told of a change; see [`Effects::publish`].
    type Event: Clone;
    /// Rows that are not held in memory and that `apply` must see; they are loaded first, and applying waits, in order. Asked when all entries before are applied;
    /// of any command, also of one that is repeated, refused, or not known here.
    fn needs(&self, command: &Bytes) -> Vec<Bytes>;
    /// Applies one command. `rows` holds what [`StateMachine::needs`] asked for, missing ones left out.
    fn apply(&mut self, at: &At, command: &Bytes, rows: &[(Bytes, Bytes)], effects: &mut Effects<Self::Event>);
    /// Takes rows that are not cold, before anything is applied; called with all of them in ascending order, in one part or several.
    fn restore(&mut self, rows: &[(Bytes, Bytes)]) -> Result<(), EnvelopeError>;
    /// What a person calls the row under this key, where two nodes hold it otherwise. Without a word of its own: its table and numbers.
    fn describe(&self, key: &[u8]) -> String {
        super::describe_key(key)
    }
    /// Whose session it is that opening was answered so: what the machine needs of it once it has expired. 0: nobody's.
    fn owner(&self, _opened: &Bytes) -> u64 {
        0
    }
    /// Whether this version knows the command: a leader proposes no other, and a node that meets another one in the log stops.
    fn knows(&self, command: &Bytes) -> Result<(), EnvelopeError>;
}

/// Where and when a command is applied, and for whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct At {
    pub index: Index,
    /// The entry's stamp.
    pub at: Timestamp,
    pub session: SessionId,
    /// Whether the command opens the session.
    pub opens: bool,
    /// Whether it is a command of the house: no session asks it, and `session` is 0.
    pub house: bool,
    /// Derived from the session and the request's number or key, never from the place.
    pub id: MessageId,
    /// When a node without a leader took the request that it carries; `None`: it came straight to a leader.
    pub written: Option<Timestamp>,
    /// The session has expired since then. Whose it was: [`StateMachine::owner`].
    pub late: Option<u64>,
}

/// Why a session is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Somebody wanted it so.
    LoggedOut,
    /// It showed no sign of life. What nodes have accepted for it while they reached no leader is executed when it comes, with [`At::late`].
    Expired,
}

/// What applying one command, or a row of them, does.
#[derive(Clone, Debug)]
pub struct Effects<E> {
    /// In the order of writing: of two with one key the later one counts.
    rows: Vec<(Bytes, Option<Bytes>)>,
    pub(super) hash: StateHash,
    pub(super) reply: Bytes,
    pub(super) refused: bool,
    pub(super) events: Vec<E>,
    pub(super) closed: Vec<(SessionId, Ending)>,
    /// What became of which rows in the present entry, if that is remembered; see `compare/`.
    pub(super) changes: Option<Vec<u8>>,
}

impl<E> Effects<E> {
    pub(super) fn new(hash: StateHash) -> Effects<E> {
        // A post writes so many rows, with the row of the place.
        Effects {
            rows: Vec::with_capacity(8),
            hash,
            reply: Bytes::new(),
            refused: false,
            events: Vec::new(),
            closed: Vec::new(),
            changes: None,
        }
    }

    /// Writes a row. `old` is what it held so far: the hash over all rows is kept by differences.
    pub fn put(&mut self, key: Bytes, old: Option<&[u8]>, new: Bytes) {
        self.change(&key, old, Some(&new));
        self.rows.push((key, Some(new)));
    }

    /// Deletes a row that held `old`.
    pub fn delete(&mut self, key: Bytes, old: &[u8]) {
        self.change(&key, Some(old), None);
        self.rows.push((key, None));
    }

    fn change(&mut self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) {
        let (old, new) = StateHash::digests(key, old, new);
        self.hash = self.hash.replaced(old, new);
        if let Some(changes) = &mut self.changes {
            super::compare::note(changes, key, old, new);
        }
    }

    /// What was written, each row once, in ascending order of the keys.
    pub(super) fn into_rows(mut self) -> Vec<(Bytes, Option<Bytes>)> {
        // Stable: the last of equal keys was written last.
        self.rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.rows.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                core::mem::swap(later, kept);
            }
            same
        });
        self.rows
    }

    /// What the asker gets, now and whenever the request is repeated.
    pub fn reply(&mut self, reply: Bytes) {
        self.reply = reply;
    }

    /// As [`Effects::reply`], and the command changed nothing; a session that it would have opened is not opened.
    pub fn refuse(&mut self, reply: Bytes) {
        self.reply = reply;
        self.refused = true;
    }

    /// This session is over: nothing that it asks is executed any more, but see [`Ending::Expired`].
    pub fn close(&mut self, session: SessionId, ending: Ending) {
        self.closed.push((session, ending));
    }

    /// Tells whoever is interested.
    pub fn publish(&mut self, event: E) {
        if self.events.capacity() == 0 {
            // Most commands publish one, and events are large.
            self.events.reserve_exact(1);
        }
        self.events.push(event);
    }
}
