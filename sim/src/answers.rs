//! How long posters wait for a first answer: that their post has its place, that it is refused, or that it is accepted without a leader.
//!
//! The longest wait is kept, of posts whose client was connected to one node all the while. A wait begins when the post is sent, or when the client is connected, or when
//! the node is well again, whichever comes last. It ends with the answer, or when the client is connected there no more, or when the node is well no more: what was waited
//! for until then counts.
//!
//! A node is well when its process runs and does not stand still, and while nothing disturbs the whole cluster ([`Conditions::disturbed`]). Whether it reaches a leader is not asked:
//! without one it accepts.

use crate::plan::Conditions;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default)]
struct Seat {
    /// Where it is connected, and since when.
    at: Option<(usize, u64)>,
    /// Posts without an answer: when each was sent first.
    open: BTreeMap<u64, u64>,
}

/// Sees posts, answers, connections, and how nodes are.
#[derive(Clone, Debug)]
pub struct Answers {
    seats: Vec<Seat>,
    /// By machine: since when it is well.
    well: Vec<Option<u64>>,
    up: Vec<bool>,
    paused: Vec<bool>,
    disturbed: bool,
    longest: Longest,
    /// Posts that were answered by being accepted, and have no place yet.
    accepted: BTreeSet<(usize, u64)>,
    accepted_ever: u64,
}

/// The longest wait: how long, whose, and where. Microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Longest {
    pub waited: u64,
    pub until: u64,
    pub client: usize,
    pub number: u64,
    pub node: usize,
}

impl Answers {
    /// So many machines, none of which runs.
    pub fn new(hosts: usize, clients: usize) -> Answers {
        Answers {
            seats: vec![Seat::default(); clients],
            well: vec![None; hosts],
            up: vec![false; hosts],
            paused: vec![false; hosts],
            disturbed: false,
            longest: Longest::default(),
            accepted: BTreeSet::new(),
            accepted_ever: 0,
        }
    }

    pub fn longest(&self) -> Longest {
        self.longest
    }

    /// Posts that are accepted, and neither placed nor refused.
    pub fn accepted_now(&self) -> u64 {
        self.accepted.len() as u64
    }

    /// Posts that were ever accepted.
    pub fn accepted_ever(&self) -> u64 {
        self.accepted_ever
    }

    pub fn runs(&mut self, now: u64, host: usize, up: bool) {
        (self.up[host], self.paused[host]) = (up, false);
        self.review(now);
    }

    pub fn pauses(&mut self, now: u64, host: usize, paused: bool) {
        self.paused[host] = paused && self.up[host];
        self.review(now);
    }

    pub fn conditions(&mut self, now: u64, conditions: &Conditions) {
        self.disturbed = conditions.disturbed().is_some();
        self.review(now);
    }

    fn review(&mut self, now: u64) {
        for host in 0..self.well.len() {
            let well = self.up[host] && !self.paused[host] && !self.disturbed;
            match (self.well[host], well) {
                (Some(_), false) => {
                    let here = |seat: &Seat| seat.at.is_some_and(|(at, _)| at == host);
                    for client in 0..self.seats.len() {
                        if here(&self.seats[client]) {
                            self.count(now, client);
                        }
                    }
                    self.well[host] = None;
                }
                (None, true) => self.well[host] = Some(now),
                _ => {}
            }
        }
    }

    /// A client's connection is accepted, or gone.
    pub fn sits(&mut self, now: u64, client: usize, host: Option<usize>) {
        self.count(now, client);
        self.seats[client].at = host.map(|host| (host, now));
    }

    pub fn posts(&mut self, now: u64, client: usize, number: u64) {
        self.seats[client].open.entry(number).or_insert(now);
    }

    /// The post has its place, or is refused, or nobody waits for it any more.
    pub fn settled(&mut self, now: u64, client: usize, number: u64) {
        self.answered(now, client, number);
        self.accepted.remove(&(client, number));
    }

    /// True if this is its first answer.
    pub fn accepted(&mut self, now: u64, client: usize, number: u64) -> bool {
        let first = self.answered(now, client, number);
        if first {
            self.accepted.insert((client, number));
            self.accepted_ever += 1;
        }
        first
    }

    fn answered(&mut self, now: u64, client: usize, number: u64) -> bool {
        let Some(sent) = self.seats[client].open.remove(&number) else { return false };
        self.note(now, client, number, sent);
        true
    }

    /// What all open posts of a client have waited for until now.
    fn count(&mut self, now: u64, client: usize) {
        // The oldest has waited longest.
        if let Some((number, sent)) = self.seats[client].open.iter().min_by_key(|(_, sent)| **sent) {
            self.note(now, client, *number, *sent);
        }
    }

    fn note(&mut self, now: u64, client: usize, number: u64, sent: u64) {
        let Some((node, connected)) = self.seats[client].at else { return };
        let Some(well) = self.well[node] else { return };
        let waited = now.saturating_sub(sent.max(connected).max(well));
        if waited > self.longest.waited {
            self.longest = Longest { waited, until: now, client, number, node };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000;

    /// Two machines run, and one client sits at the first one.
    fn seated() -> Answers {
        let mut answers = Answers::new(2, 1);
        answers.runs(0, 0, true);
        answers.runs(0, 1, true);
        answers.sits(10 * MS, 0, Some(0));
        answers
    }

    #[test]
    fn a_wait_ends_with_the_first_answer() {
        let mut answers = seated();
        answers.posts(20 * MS, 0, 1);
        assert!(answers.accepted(50 * MS, 0, 1));
        assert!(!answers.accepted(900 * MS, 0, 1));
        assert_eq!((answers.longest().waited, answers.accepted_now()), (30 * MS, 1));
        answers.settled(2_000 * MS, 0, 1);
        assert_eq!((answers.longest().waited, answers.accepted_now(), answers.accepted_ever()), (30 * MS, 0, 1));
    }

    #[test]
    fn who_leaves_in_vain_has_waited_too() {
        let mut answers = seated();
        answers.posts(20 * MS, 0, 1);
        answers.sits(120 * MS, 0, None);
        assert_eq!(answers.longest(), Longest { waited: 100 * MS, until: 120 * MS, client: 0, number: 1, node: 0 });
        answers.sits(800 * MS, 0, Some(1));
        answers.settled(850 * MS, 0, 1);
        assert_eq!(answers.longest().waited, 100 * MS);
    }

    #[test]
    fn a_node_that_stands_still_owes_nothing_until_it_goes_on() {
        let mut answers = seated();
        answers.posts(20 * MS, 0, 1);
        answers.pauses(30 * MS, 0, true);
        answers.pauses(700 * MS, 0, false);
        answers.settled(720 * MS, 0, 1);
        assert_eq!(answers.longest().waited, 20 * MS);
    }

    #[test]
    fn what_was_sent_before_the_connection_waits_from_there_on() {
        let mut answers = Answers::new(1, 1);
        answers.runs(0, 0, true);
        answers.posts(5 * MS, 0, 1);
        answers.sits(400 * MS, 0, Some(0));
        answers.settled(460 * MS, 0, 1);
        assert_eq!(answers.longest().waited, 60 * MS);
    }
}
