//! Commands from their submission until they are settled: order, numbers, what is kept of them.
//!
//! - A command has two numbers. The one that [`Client::submit`] returns counts this client's commands from 1 and names it towards the host. The *session's* number, which
//!   crosses the wire and must be dense, is given at the first sending only, in the order of submission. Both are the same as long as nothing was withdrawn and the
//!   session began with this client.
//! - With a host that keeps things, the session's number is kept before the command is sent. So a command without one was certainly never sent, in this run or an
//!   earlier one, and may be withdrawn; with one it may have been, even when the connection never saw it.
//! - Before the record of the newest command is forgotten, the next numbers are kept: a number is never given twice.
//! - What is acknowledged to the cluster, so that it may drop an outcome, is only what a restart would not ask for again: settled, and durably forgotten.
//! - After a restart, nothing is sent before a leader has confirmed the session's next number. Kept: next number `mine`, first unsettled number `first`.
//!   - `theirs > mine`: the records are an old copy. What had no number in it may have been sent since: it is settled as [`Output::Unclear`]. What had one is sent again
//!     under it, and answered from the cluster's memory. New numbers begin with `theirs`.
//!   - `theirs < first`: the cluster has forgotten (it was set up anew, or from a backup). What is unsettled gets new numbers from `theirs` on; kept cursors are dropped.
//!   - Else nothing is changed.
//! - What a server has accepted without a leader is not settled: it is kept, and asked about again after [`Timing::again`], or as soon as its message is delivered or withdrawn.
//!   A restart forgets that it was accepted, and asks.

use super::kept::{command_record, state};
use super::*;
use bytes::Bytes;

/// A command that is not settled.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub command: Command,
    /// The session's number, once it has one.
    pub wire: Option<u64>,
    pub stage: Stage,
    /// Its message, and the nodes that hold it, if a server has accepted it without a leader.
    pub accepted: Option<(MessageId, u32)>,
    /// It is known to be settled since it was sent: asked again at once.
    pub hurry: bool,
    /// It comes from what an earlier run kept.
    pub resumed: bool,
    /// It got its number before a leader had said that the number is free.
    pub ahead: bool,
}

impl Client {
    /// A client that goes on where an earlier one ended, with its token, numbers, unsettled commands and cursors; or a new one where nothing was kept. Its host keeps what
    /// [`Output::Keep`] and [`Output::Forget`] say, in their order, and tells by [`Client::handle_kept`] how far that is durable. `kept`: the records, from a table in any
    /// order, or as they were appended. Two clients must not go on from the same records: hosts lock them.
    pub fn resume(config: Config, kept: &[Bytes], now: Now) -> Result<Client, ResumeError> {
        let state = state(kept)?;
        let mut client = Client::new(config, now);
        client.journal.on = true;
        let Some(state) = state else {
            client.keep_session(true);
            return Ok(client);
        };
        if state.session.name != client.config.name {
            return Err(ResumeError::OtherName { name: state.session.name });
        }
        client.config.token = state.session.token;
        client.next_number = state.session.next_number;
        client.next_wire = state.session.next_wire;
        client.cursors = state.cursors;
        client.check = Some(Stage::Due { at: now.instant });
        for (number, (wire, command)) in state.commands {
            client.next_number = client.next_number.max(number + 1);
            client.next_wire = client.next_wire.max(wire.map_or(0, |wire| wire + 1));
            client.commands.insert(number, Held { resumed: true, ..Held::new(command, wire, now.instant) });
        }
        Ok(client)
    }

    /// Everything that was handed out through this change is durable.
    pub fn handle_kept(&mut self, now: Now, serial: u64) {
        self.now = now.instant;
        self.settling.retain(|_, forgotten| *forgotten > serial);
        for held in self.commands.values_mut() {
            if matches!(held.stage, Stage::Keeping { serial: kept } if kept <= serial) {
                held.stage = Stage::Due { at: now.instant };
            }
        }
    }

    /// Takes a command, and keeps it until it is settled. The number counts this client's commands.
    pub fn submit(&mut self, now: Now, command: Command) -> Result<u64, WindowFull> {
        self.now = now.instant;
        let waiting = self.commands.values().filter(|held| held.wire.is_none()).count() as u64;
        // Counted from the first unsettled one: the cluster keeps the outcomes of the last numbers only, and must still know that one's.
        if self.next_wire.saturating_sub(self.first_unsettled()) + waiting >= u64::from(self.config.window) {
            return Err(WindowFull);
        }
        let number = self.next_number;
        self.next_number += 1;
        self.commands.insert(number, Held::new(command, None, self.now));
        if self.may_number() {
            self.give_numbers();
        } else {
            self.keep_command(number);
        }
        Ok(number)
    }

    /// Takes a command back that was certainly never sent; `None` where it may have been, or is settled. It is not told of any more.
    pub fn withdraw(&mut self, now: Now, number: u64) -> Option<Command> {
        self.now = now.instant;
        self.commands.get(&number).filter(|held| held.wire.is_none())?;
        let held = self.commands.remove(&number)?;
        self.forget_command(number, None);
        Some(held.command)
    }

    /// How far a command is; `None` when it is settled, or was never submitted.
    pub fn status(&self, number: u64) -> Option<Status> {
        self.commands.get(&number).map(Held::status)
    }

    /// All commands that are not settled, in order: what a host shows after a restart.
    pub fn open(&self) -> impl Iterator<Item = (u64, &Command, Status)> {
        self.commands.iter().map(|(number, held)| (*number, &held.command, held.status()))
    }

    /// Commands that are not settled.
    pub fn unsettled(&self) -> u32 {
        self.commands.len() as u32
    }

    /// The first of the session's numbers that is not settled, or the next one if all are.
    pub(super) fn first_unsettled(&self) -> u64 {
        self.commands.values().filter_map(|held| held.wire).min().unwrap_or(self.next_wire)
    }

    /// The first of the session's numbers whose outcome this client, or a later run of it, may still ask for.
    pub(super) fn first_unacked(&self) -> u64 {
        self.settling.keys().next().map_or(u64::MAX, |wire| *wire).min(self.first_unsettled())
    }

    fn may_number(&self) -> bool {
        self.line == Line::Connected { signed_in: true } && self.knows_its_numbers()
    }

    /// A leader has said which number is next, or there is none and nothing is known of a later life that has used it.
    pub(super) fn knows_its_numbers(&self) -> bool {
        self.check.is_none() || self.ahead
    }

    /// The present server reaches no leader that could say whether this client's numbers are free, and knows of nobody who has used them.
    pub(super) fn may_go_ahead(&self, about: About, result: &Result<Answer, Refusal>) -> bool {
        about == About::NextNumber && matches!(result, Err(Refusal::NoLeader { .. })) && self.named <= self.next_wire
    }

    /// Whatever waits is about to be sent.
    pub(super) fn give_numbers(&mut self) {
        let waiting = |(number, held): (&u64, &Held)| held.wire.is_none().then_some(*number);
        let waiting: Vec<u64> = self.commands.iter().filter_map(waiting).collect();
        for number in waiting {
            let wire = self.next_wire;
            self.next_wire += 1;
            self.give(number, wire);
        }
    }

    fn give(&mut self, number: u64, wire: u64) {
        let Some(held) = self.commands.get_mut(&number) else { return };
        held.wire = Some(wire);
        held.ahead = self.check.is_some();
        held.stage = Stage::Due { at: self.now };
        if let Some(serial) = self.keep_command(number)
            && let Some(held) = self.commands.get_mut(&number)
        {
            held.stage = Stage::Keeping { serial };
        }
    }

    fn keep_command(&mut self, number: u64) -> Option<u64> {
        let held = self.commands.get(&number).filter(|_| self.journal.on)?;
        let record = command_record(number, held.wire, &held.command);
        Some(self.keep(Key::Command(number), record, true))
    }

    fn forget_command(&mut self, number: u64, wire: Option<u64>) {
        if !self.journal.on {
            return;
        }
        if number + 1 == self.next_number || wire.is_some_and(|wire| wire + 1 == self.next_wire) {
            self.keep_session(false);
        }
        let serial = self.forget(Key::Command(number));
        if let Some(wire) = wire {
            self.settling.insert(wire, serial);
        }
    }

    /// A leader has said which number of this session is next, or a server that there is none to ask.
    pub(super) fn told_next_number(&mut self, result: &Result<Answer, Refusal>) {
        let Ok(Answer::NextNumber(theirs)) = *result else {
            self.ahead = self.may_go_ahead(About::NextNumber, result);
            let at = if self.ahead { self.now + self.jittered(self.config.timing.again) } else { self.retry_at(result) };
            self.check = Some(Stage::Due { at });
            return;
        };
        self.check = None;
        self.ahead = false;
        if theirs > self.next_wire {
            self.next_wire = theirs;
            self.keep_session(true);
            let may_be_another = |held: &Held| held.ahead || (held.resumed && held.wire.is_none());
            let unclear = self.commands.iter().filter(|(_, held)| may_be_another(held));
            let unclear: Vec<(u64, Option<u64>)> = unclear.map(|(number, held)| (*number, held.wire)).collect();
            for (number, wire) in unclear {
                self.commands.remove(&number);
                self.outputs.push_back(Output::Unclear { number });
                self.forget_command(number, wire);
            }
        } else if theirs < self.first_unsettled() {
            self.next_wire = theirs;
            self.keep_session(true);
            for room in core::mem::take(&mut self.cursors).into_keys() {
                self.forget(Key::Cursor(room));
            }
            for held in self.commands.values_mut() {
                held.wire = None;
            }
            self.give_numbers();
        }
        self.commands.values_mut().for_each(|held| held.ahead = false);
    }

    /// A server without a leader has accepted a command: it is settled once there is one.
    fn accepted(&mut self, number: u64, id: MessageId, copies: u32) {
        let again_at = self.now + self.jittered(self.config.timing.again);
        let Some(held) = self.commands.get_mut(&number) else { return };
        let at = if core::mem::take(&mut held.hurry) { self.now } else { again_at };
        held.stage = Stage::Due { at };
        if held.accepted != Some((id, copies)) {
            held.accepted = Some((id, copies));
            self.outputs.push_back(Output::Accepted { number, id, copies });
        }
    }

    /// A message of this id is committed, or refused: if it is an own one, its command is settled, and the outcome is there to be asked for.
    pub(super) fn hurry(&mut self, id: MessageId) {
        let now = self.now;
        for held in self.commands.values_mut().filter(|held| held.accepted.is_some_and(|(own, _)| own == id)) {
            match held.stage {
                Stage::Due { .. } => held.stage = Stage::Due { at: now },
                _ => held.hurry = true,
            }
        }
    }

    pub(super) fn answered_number(&mut self, number: u64, result: Result<Answer, Refusal>) {
        if let Ok(Answer::Accepted { id, copies }) = result {
            return self.accepted(number, id, copies);
        }
        let again_at = self.retry_at(&result);
        let Some(held) = self.commands.get_mut(&number) else { return };
        let result = match result {
            Ok(Answer::Done(done)) => Ok(done),
            Err(refusal) if !refusal.is_temporary() => Err(refusal),
            _ => {
                held.stage = Stage::Due { at: again_at };
                return;
            }
        };
        let (wire, accepted) = (held.wire, held.accepted);
        self.commands.remove(&number);
        if let Ok(done) = &result {
            self.see_membership(done);
        }
        let refused = accepted.and_then(|(id, _)| Some((id, result.as_ref().err()?.clone())));
        self.outputs.push_back(Output::Settled { number, result });
        self.forget_command(number, wire);
        if let Some((id, refusal)) = refused {
            self.own_refused(id, &refusal);
        }
    }
}

impl Held {
    fn new(command: Command, wire: Option<u64>, now: Instant) -> Held {
        let stage = if wire.is_some() { Stage::Due { at: now } } else { Stage::Waiting };
        Held { command, wire, stage, accepted: None, hurry: false, resumed: false, ahead: false }
    }

    fn status(&self) -> Status {
        match (self.accepted, self.wire) {
            (Some((_, copies)), _) => Status::Accepted { copies },
            (None, Some(_)) => Status::Sent,
            (None, None) => Status::Waiting,
        }
    }
}
