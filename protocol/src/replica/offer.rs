//! Requests on their way into the log: a session's numbers in order, each request once.

use super::*;
use crate::sometimes;

impl<S: StateMachine> Replica<S> {
    /// Offers a request to this node as the leader.
    pub fn offer(&mut self, now: Now, submission: Submission) -> Offer {
        let not_now = self.raft.opened_by().is_none_or(|opened_by| self.applied.index < opened_by);
        #[cfg(feature = "zoo")]
        let not_now = not_now && !(self.has(crate::zoo::Bug::TakeBeforeApplied) && self.raft.opened_by().is_some());
        if not_now {
            return Offer::NotNow;
        }
        let new_term = self.leading_term != self.raft.term();
        #[cfg(feature = "zoo")]
        let new_term = new_term && !self.has(crate::zoo::Bug::ProposedForEver);
        if new_term {
            self.leading_term = self.raft.term();
            self.proposed.clear();
            self.proposed_next.clear();
            self.held.clear();
        }
        let request = request_of(&submission);
        if self.proposed.contains(&request) {
            return Offer::Taken;
        }
        if self.machine.knows(submission.command()).is_err() {
            return Offer::Foreign;
        }
        match &submission {
            Submission::Open { credential, .. } if self.sessions.opened(credential).is_some() => Offer::Known,
            // The log refuses what comes after the end of its session, unless an outbox brings it.
            Submission::Execute { session, identity, .. }
                if self.sessions.is_ended(*session) && self.sessions.outcome(*session, identity.slot()).is_none() =>
            {
                self.propose(now, request, &submission)
            }
            Submission::Execute { session, identity: Identity::Number(number), .. }
            | Submission::Carried { session, identity: Identity::Number(number), .. } => match self.sessions.next(*session) {
                Some(executed) => self.offer_number(now, (*session, executed), *number, submission),
                // It may be opened by an entry that is not applied here yet (a leader needs no disk of its own for a commit, but for applying):
                // its numbers come in order all the same, beginning with the first. A session is named by its entry, so that one is in the log.
                None if (self.applied.index + 1..=self.raft.last().index).contains(&session.0) => {
                    self.offer_number(now, (*session, 1), *number, submission)
                }
                // Nothing will be executed that its numbers could wait for: the log refuses each of them.
                None => self.propose(now, request, &submission),
            },
            Submission::Execute { session, identity, .. } | Submission::Carried { session, identity, .. }
                if self.sessions.outcome(*session, identity.slot()).is_some() =>
            {
                Offer::Known
            }
            _ => self.propose(now, request, &submission),
        }
    }

    /// `executed`: the number that the session executes next.
    fn offer_number(&mut self, now: Now, (session, executed): (SessionId, u64), number: u64, submission: Submission) -> Offer {
        let expected = self.proposed_next.get(&session).copied().unwrap_or(executed);
        if number < executed && !self.sessions.remembers(session, number) {
            return self.propose(now, request_of(&submission), &submission);
        }
        if number < executed {
            return Offer::Known;
        }
        #[cfg(feature = "zoo")]
        if self.has(crate::zoo::Bug::ExecuteOutOfOrder) {
            return self.propose(now, request_of(&submission), &submission);
        }
        if number < expected {
            return Offer::Taken;
        }
        if number > expected {
            return self.hold(now, session, number, expected, submission);
        }
        let offer = self.propose(now, request_of(&submission), &submission);
        if offer != Offer::Taken {
            return offer;
        }
        let mut next = number + 1;
        while let Some((_, submission)) = self.held.remove(&(session, next)) {
            if self.propose(now, request_of(&submission), &submission) != Offer::Taken {
                break;
            }
            next += 1;
        }
        self.proposed_next.insert(session, next);
        Offer::Taken
    }

    /// Keeps a number whose predecessors have not come. Whoever sent it sends it again, so that what is dropped here comes back.
    fn hold(&mut self, now: Now, session: SessionId, number: u64, expected: u64, submission: Submission) -> Offer {
        if number - expected > u64::from(self.limits.session_window) {
            return Offer::Busy;
        }
        if self.held.len() >= self.limits.pending_requests as usize {
            self.held.retain(|_, (since, _)| now.instant.since(*since) < crate::time::Duration::from_secs(5));
            if self.held.len() >= self.limits.pending_requests as usize {
                return Offer::Busy;
            }
        }
        self.held.insert((session, number), (now.instant, submission));
        sometimes!(self.raft, "session.number_held");
        Offer::Taken
    }

    fn propose(&mut self, now: Now, request: RequestKey, submission: &Submission) -> Offer {
        match self.raft.propose(now, seal(Kind::Submission, submission)) {
            Ok(_) => {
                self.proposed.insert(request);
                Offer::Taken
            }
            Err(ProposeError::NotLeader) => Offer::NotNow,
            Err(ProposeError::Busy) => Offer::Busy,
        }
    }
}
