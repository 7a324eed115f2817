//! Looking for a server that reaches a leader, while posts are accepted without one.
//!
//! - An answer that a server gives without a leader ([`Answer::Accepted`], no leader, too few copies, outbox full) counts against it; three in a row, and it was found without one.
//! - Where nothing was ever accepted, such a server is given up like a broken one, with a pause: nothing is lost by leaving it.
//! - Where something was accepted (a *search*), the server is of use, and others may not be: all servers are tried once, each at once after the other, and a connection that takes long
//!   to open is not waited for as long as otherwise. Then the client stays with one that accepts, and begins another round only after [`Timing::rest`], doubled after each
//!   round up to [`Timing::rest_max`]. What is posted meanwhile is accepted, round or not.
//! - In a search, three answers in a row must lie half of [`Timing::again`] apart: an election takes less, and is not worth a move.
//! - A client that begins from its records without a leader searches from the first answer on: such a server has its session, and would accept.
//! - A search ends with an answer that only a leader gives: an outcome, or the session's next number. What a node answers by itself (a sign-in, a page, `Following`) says
//!   nothing about a leader and changes nothing; before anything was accepted it begins the row anew, as it always has.

use super::*;

/// Answers without a leader after which another server is tried.
const LEADERLESS: u32 = 3;

/// What a round has found of a server; the best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Found {
    Untried,
    /// It has the session, and no leader.
    Leaderless,
    /// It cannot be reached, or does not even know the session.
    Useless,
}

/// Something was accepted without a leader, and no leader was heard of since.
#[derive(Clone, Debug, Default)]
pub(super) struct Search {
    /// What this round has found, or the last one while none is under way.
    found: BTreeMap<u32, Found>,
    /// All were tried; another round begins then at the earliest.
    rest_until: Option<Instant>,
    /// Rounds that have found no leader.
    rounds: u32,
}

impl Search {
    /// A round is under way, and the server before accepts what is posted.
    fn knows_one_that_accepts(&self) -> bool {
        self.rest_until.is_none() && self.found.values().any(|found| *found == Found::Leaderless)
    }

    /// The list of servers has changed: `place` has the new number of an old one.
    pub(super) fn renumber(&mut self, place: impl Fn(u32) -> Option<u32>) {
        let found = core::mem::take(&mut self.found);
        self.found = found.into_iter().filter_map(|(server, found)| Some((place(server)?, found))).collect();
    }
}

impl Client {
    /// What an answer says about whether the present server reaches a leader. True: it does not.
    pub(super) fn weigh(&mut self, about: About, result: &Result<Answer, Refusal>) -> bool {
        use Refusal::{NoLeader, OutboxFull, TooFewCopies};
        match result {
            Ok(Answer::Accepted { .. }) | Err(NoLeader { .. } | TooFewCopies { .. } | OutboxFull { .. }) => {
                if self.leaderless == 0 {
                    self.leaderless_since = self.now;
                }
                self.leaderless = self.leaderless.saturating_add(1);
                if matches!(result, Ok(Answer::Accepted { .. }) | Err(TooFewCopies { .. })) || self.may_go_ahead(about, result) {
                    self.search.get_or_insert_default();
                }
                return true;
            }
            Ok(Answer::Pong | Answer::Load { .. } | Answer::Tentative { .. }) => {}
            result if self.search.is_some() && !is_of_a_leader(about, result) => {}
            _ => {
                self.leaderless = 0;
                self.search = None;
            }
        }
        false
    }

    /// Goes on to another server where the present one was found without a leader, and it is time to.
    pub(super) fn look_elsewhere(&mut self) {
        let has_session = self.line == Line::Connected { signed_in: true };
        // One that does not even know the session accepts nothing: another one does.
        let hurries = !has_session && self.search.as_ref().is_some_and(Search::knows_one_that_accepts);
        if self.leaderless < if hurries { 1 } else { LEADERLESS } || self.config.servers <= 1 {
            return;
        }
        let Some(search) = self.search.as_mut().filter(|_| has_session) else {
            // It may be cut off from the others: somebody else may know a leader.
            self.outputs.push_back(Output::Disconnect);
            return self.move_on();
        };
        let is_resting = search.rest_until.is_some_and(|until| self.now < until);
        if is_resting || self.now < self.leaderless_since + self.config.timing.again / 2 {
            return;
        }
        if search.rest_until.take().is_some() {
            search.found.clear();
        }
        if !self.has_found(Found::Leaderless) {
            self.outputs.push_back(Output::Disconnect);
            let next = self.after_failure();
            self.leave(next);
        }
    }

    /// The present server fails; while resting that is remembered, too, so that the way leads to one that accepts. True: a round is under way, and goes on without a pause.
    pub(super) fn fails_in_search(&mut self) -> bool {
        !self.has_found(Found::Useless)
    }

    /// Writes down what the present server is. True: all were tried, or there is no search.
    fn has_found(&mut self, found: Found) -> bool {
        let (now, timing, count) = (self.now, self.config.timing, self.config.servers);
        let Some(search) = &mut self.search else { return true };
        search.found.insert(self.server, found);
        if search.rest_until.is_none() && search.found.len() as u32 >= count {
            let rest = (timing.rest * 2u32.saturating_pow(search.rounds.min(16))).min(timing.rest_max);
            search.rounds += 1;
            search.rest_until = Some(now + rest);
        }
        search.rest_until.is_some()
    }

    /// Servers that a round has not tried come first, those that were of no use last. Without a search all are alike.
    pub(super) fn rank_in_search(&self, server: u32) -> u8 {
        let found = self.search.as_ref().and_then(|search| search.found.get(&server));
        *found.unwrap_or(&Found::Untried) as u8
    }

    /// How long a connection may take to open: while another server would accept what is posted, hardly longer than that one's took.
    pub(super) fn connect_patience(&self) -> Duration {
        let timing = &self.config.timing;
        match &self.search {
            Some(search) if search.knows_one_that_accepts() => (self.opened_in * 4).max(timing.probe).min(timing.patience),
            _ => timing.patience,
        }
    }
}

/// Whether an answer can only come from a node that reaches a leader.
fn is_of_a_leader(about: About, result: &Result<Answer, Refusal>) -> bool {
    match result {
        Ok(answer) => matches!(answer, Answer::Done(_) | Answer::NextNumber(_)),
        Err(refusal) => matches!(about, About::Number(_)) && !refusal.is_temporary(),
    }
}
