//! Applying what the log brings: in order, each entry whole, with the rows that it needs.
//!
//! - An entry whose command needs rows that are not in memory waits for them, and everything behind it waits, too.
//! - Rows of all entries applied in one drain leave as one batch, before whatever tells of them.
//! - What this version does not know stops the node: to go on would be to hold another state than the others.

use super::*;

impl<S: StateMachine> Replica<S> {
    /// Applies what is committed, as far as the rows that it needs are there. True if anything came of it.
    pub(super) fn apply_committed(&mut self) -> bool {
        if self.lost || self.jump.is_some() {
            return false;
        }
        if self.applying.is_none() && !self.raft.has_committed() {
            self.wake_readers();
            return !self.outputs.is_empty();
        }
        let mut effects = Effects::new(self.hash);
        effects.changes = self.compare.lend();
        let before = self.applied.index;
        while let Some((entry, submission, rows)) = self.next_to_apply() {
            if let Err(why) = self.apply(&entry, submission, &rows, &mut effects) {
                // What was applied before it still leaves as rows. Nothing after it is applied, or the rows would stand for a log without this entry.
                self.raft.halt(HaltReason::UnknownEntry { index: entry.index, why });
                break;
            }
        }
        self.compare.give_back(effects.changes.take());
        if self.applied.index > before {
            let row = AppliedRow { position: self.applied, at: self.applied_at, hash: self.hash };
            let mut rows = effects.into_rows();
            rows.push((Bytes::from_static(APPLIED_KEY), Some(seal(Kind::Applied, &row))));
            #[cfg(feature = "zoo")]
            self.spoil_rows(&mut rows, before);
            // Rows first: whoever learns of an outcome or an event finds its rows in every load that follows.
            self.outputs.push_front(Output::Apply { through: self.applied.index, rows: RowBatch { rows } });
            self.raft.trim(self.applied.index);
            self.compact();
        }
        self.wake_readers();
        !self.outputs.is_empty()
    }

    fn next_to_apply(&mut self) -> Option<(Entry, Carried, Rows)> {
        if let Some(applying) = &mut self.applying {
            // What a failed store brings late is for the next start.
            let rows = applying.rows.take().filter(|_| !self.raft.is_halted())?;
            return self.applying.take().map(|Applying { entry, .. }| {
                let submission = submission_in(&entry);
                (entry, submission, rows)
            });
        }
        let entry = self.raft.next_committed()?;
        let submission = submission_in(&entry);
        let needs = match &submission {
            Ok(Some(submission)) => self.machine.needs(submission.command()),
            _ => Vec::new(),
        };
        if needs.is_empty() {
            return Some((entry, submission, Vec::new()));
        }
        self.loads += 1;
        let load = LoadId(self.loads * 4 + 1);
        self.applying = Some(Applying { entry, rows: None, load });
        self.outputs.push_back(Output::Load { id: load, query: Query::Keys { keys: needs } });
        None
    }

    fn apply(
        &mut self,
        entry: &Entry,
        submission: Carried,
        rows: &[(Bytes, Bytes)],
        effects: &mut Effects<S::Event>,
    ) -> Result<(), alloc::string::String> {
        match submission.map_err(|error| error.to_string())? {
            Some(Submission::Open { credential, command }) => {
                self.machine.knows(&command).map_err(|error| error.to_string())?;
                self.apply_open(entry, credential, &command, rows, effects);
            }
            Some(Submission::Execute { session, identity, first_unacked, command }) => {
                self.machine.knows(&command).map_err(|error| error.to_string())?;
                self.apply_execute(entry, (session, identity, first_unacked), (&command, None), rows, effects);
            }
            Some(Submission::Carried { session, identity, first_unacked, command, written_at }) => {
                self.machine.knows(&command).map_err(|error| error.to_string())?;
                self.apply_execute(entry, (session, identity, first_unacked), (&command, Some(written_at)), rows, effects);
            }
            Some(Submission::House { command }) => {
                self.machine.knows(&command).map_err(|error| error.to_string())?;
                let (session, id) = (SessionId(0), MessageId(0));
                let at =
                    At { index: entry.index, at: entry.at, session, opens: false, house: true, id, written: None, late: None };
                self.run(&at, &command, rows, effects);
                self.close_sessions(entry.at, effects);
                self.proposed.remove(&RequestKey::House(digest(&command)));
            }
            None => {
                if let Some(configuration) = raft::configuration_in(entry) {
                    self.put_own_row(CONFIGURATION_KEY, seal(Kind::MembershipRow, &configuration), effects);
                }
                if let Some(succession) = raft::succession_in(entry) {
                    self.put_own_row(SUCCESSION_KEY, seal(Kind::SuccessionRow, &succession), effects);
                }
            }
        }
        self.outputs.extend(effects.events.drain(..).map(Output::Event));
        self.hash = effects.hash;
        self.applied = entry.position();
        self.applied_at = entry.at;
        let (at, hash) = (self.applied, self.hash);
        self.compare.applied(self.now, at.index, hash, &mut effects.changes);
        self.raft.tell(|| Fact::Applied { at, hash });
        Ok(())
    }

    fn put_own_row(&mut self, key: &'static [u8], row: Bytes, effects: &mut Effects<S::Event>) {
        effects.put(Bytes::from_static(key), self.own_rows.get(key).map(|row| &row[..]), row.clone());
        self.own_rows.insert(key, row);
    }

    fn apply_open(
        &mut self,
        entry: &Entry,
        credential: Credential,
        command: &Bytes,
        rows: &[(Bytes, Bytes)],
        effects: &mut Effects<S::Event>,
    ) {
        let request = RequestKey::Open(credential);
        let digest = digest(command);
        let new = SessionId(entry.index);
        let (session, outcome) = if let Some((session, opened)) = self.sessions.opened(&credential) {
            (session, Ok(opened))
        } else if self.sessions.is_closed(&credential) {
            (new, Err(SessionRefusal::Closed))
        } else if self.sessions.is_full() {
            (new, Err(SessionRefusal::SessionsFull))
        } else {
            let id = MessageId(0);
            let at =
                At { index: entry.index, at: entry.at, session: new, opens: true, house: false, id, written: None, late: None };
            self.run(&at, command, rows, effects);
            if !effects.refused {
                self.sessions.open(new, credential, effects.reply.clone(), effects);
            }
            (new, Ok(core::mem::take(&mut effects.reply)))
        };
        self.proposed.remove(&request);
        self.outputs.push_back(Output::Executed(Executed { request, digest, session, outcome, withdrawn: false }));
    }

    fn apply_execute(
        &mut self,
        entry: &Entry,
        (session, identity, first_unacked): (SessionId, Identity, u64),
        (command, written): (&Bytes, Option<Timestamp>),
        rows: &[(Bytes, Bytes)],
        effects: &mut Effects<S::Event>,
    ) {
        let request = RequestKey::Execute(session, identity.slot());
        let digest = digest(command);
        let carried = written.is_some();
        #[cfg(feature = "zoo")]
        let carried = carried && !self.has(crate::zoo::Bug::LoseLatePosts);
        let outcome = match self.sessions.look_up(session, identity, digest, entry.at, carried) {
            Lookup::Known(outcome) => Ok(outcome),
            Lookup::Refused(refusal) => Err(refusal),
            Lookup::Next => {
                let id = message_id(session, identity.slot());
                let late = self.late_owner(session);
                let at = At { index: entry.index, at: entry.at, session, opens: false, house: false, id, written, late };
                #[cfg(feature = "zoo")]
                let at = self.spoil_at(at);
                self.raft.tell(|| Fact::Executed { index: entry.index, session, identity });
                self.run(&at, command, rows, effects);
                let outcome = core::mem::take(&mut effects.reply);
                self.sessions.executed(session, identity, first_unacked, digest, entry.at, outcome.clone(), effects);
                self.close_sessions(entry.at, effects);
                Ok(outcome)
            }
        };
        self.proposed.remove(&request);
        // A session that is not there after its entry is none, and what was kept for its sake goes.
        let next = self.sessions.next(session);
        if next.is_none() || next == self.proposed_next.get(&session).copied() {
            self.proposed_next.remove(&session);
        }
        let withdrawn = carried && outcome.as_ref().is_err_and(SessionRefusal::is_withdrawal);
        if withdrawn {
            self.raft.tell(|| Fact::TentativeRefused { index: entry.index, session, identity });
        }
        self.outputs.push_back(Output::Executed(Executed { request, digest, session, outcome, withdrawn }));
    }

    /// What the machine has ended: the session's outcomes go, its name stays for a while.
    fn close_sessions(&mut self, at: Timestamp, effects: &mut Effects<S::Event>) {
        for (session, ending) in core::mem::take(&mut effects.closed) {
            self.sessions.close(session, ending, at, effects);
            // What is proposed and not applied yet will be refused, unless an outbox has brought it: whoever holds it offers it again.
            self.proposed_next.remove(&session);
            // Their predecessors will not come any more; whoever sent them is told when it sends them again.
            let waits = |held: &Submission| ending == Ending::Expired && matches!(held, Submission::Carried { .. });
            self.held.retain(|(held, _), (_, submission)| *held != session || waits(submission));
        }
    }

    fn run(&mut self, at: &At, command: &Bytes, rows: &[(Bytes, Bytes)], effects: &mut Effects<S::Event>) {
        effects.refused = false;
        self.machine.apply(at, command, rows, effects);
    }
}

/// Rows that an entry needed to see.
type Rows = Vec<(Bytes, Bytes)>;

/// What an entry carries, if this version can read it: a request, or `None` for raft's own entries.
type Carried = Result<Option<Submission>, crate::wire::EnvelopeError>;

fn submission_in(entry: &Entry) -> Carried {
    match Kind::of(&entry.payload)? {
        Kind::Noop | Kind::Configuration | Kind::Membership | Kind::Succession => Ok(None),
        Kind::Submission => open(Kind::Submission, &entry.payload).map(Some),
        found => Err(crate::wire::EnvelopeError::WrongKind { expected: Kind::Submission, found }),
    }
}
