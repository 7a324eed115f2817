//! Liveness by right: when progress is owed, and that it is made.
//!
//! From who is up, which ways are open and who votes follows whether a cluster *must* go on. It must, if a **core** exists: a voter that is well and exchanges messages
//! both ways with a majority of well voters, itself included, by the configuration in their logs (of both sets while voters change), and that it could be elected by: a
//! majority of those has a log no further than its own. That is so in the bigger half of a partition, and also around a bridge, in the middle of a star, on a ring of
//! majorities and where links work one way only.
//!
//! - `progress-owed`: once that has been so, unchanged, for longer than a bound, somebody leads who exchanges messages with a majority; and from then on each post is
//!   answered within another bound, if its client is connected to that leader or to a voter that exchanges messages with it.
//! - `elections-bounded`: while nothing changes, leaders do not change for ever: at most [`MOST_ELECTIONS`] elections after the first bound, beside hand-overs that a
//!   leader began.
//!
//! The bounds ([`Bounds::new`]) follow from the timings. Sources: thesis 3.9 (availability: the broadcast time is far less than the election timeout), 6.2
//! (a leader without a quorum steps down) and 9.6 (pre-votes); Ng, Haridi, Carbone: "Omni-Paxos", EuroSys 2023, for partial partitions, where other systems elect for
//! ever or never. Its *constrained election* is a limit of Raft itself: when all who reach a majority have shorter logs than too many of those that they reach, no vote can be won.
//! Then nothing is owed, and it is counted ([`Tally::constrained`]).
//!
//! Not owed, and not counted as time that passes: while weather (loss, doubles, extra delay), other delays of links or troubled disks last; while the well voters' logs name
//! different members (a change is under way); where links are slower than the timings allow. When any of that ends, or a node starts, stops, pauses or goes on, or a way
//! opens or closes, all bounds begin anew; a way that has just opened, or whose connection was broken, counts from when it must be connected again. Voters that repair their log do
//! not count; nor, for answers, those whose logs lack more than [`LAG`] entries of the leader's; one that starts without rows is not expected to stand before it has applied something. Nothing is demanded of a client that moves: its bound begins anew.
//!
//! All changes come through here, so nothing has to be looked at in between: what was due is judged, late and exactly, before the next change is taken in.

use crate::plan::{Conditions, Nodes};
use crate::scenario::Scenario;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use tertulia_judge::{At, Violation};
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{Index, Term};
use tertulia_protocol::raft::quorum;

/// Elections after the first bound of a time in which nothing changes: one that was under way, and one that a lost race of two candidates repeats.
pub const MOST_ELECTIONS: u32 = 2;
/// Elections that may be lost to a split vote before one succeeds: candidates are apart by a stagger, so two in a row are rare already.
const SPLIT_VOTES: u64 = 1;
/// Entries that a voter may lack and still be expected to follow at once: whoever lacks more is being sent them, or a snapshot, and that takes its time.
const LAG: Index = 64;
/// What a node may take to handle what has come, over all steps of a round, in microseconds.
const BUSY: u64 = 10_000;

/// How long things may take, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// From the last change until somebody leads.
    pub leader: u64,
    /// From then, or from when its client was connected, until a post is answered.
    pub answer: u64,
    /// So much later a post may come that was refused, for the moment, before then: its client waits as long as it was told to.
    pub again: u64,
    /// From when a way opens until its ends are connected.
    pub reconnect: u64,
    /// The links are too slow for the timings: nothing can be promised.
    pub unfit: bool,
}

impl Bounds {
    /// The bounds of a scenario; `reconnect` is the engine's.
    ///
    /// - A *round* is a message there, a sync and an answer back: `2 * link + sync`.
    /// - A leader that has lost its majority is silent after `detection + heartbeat` and a round (6.2).
    /// - Then every voter that hears nobody stands within `detection + n * stagger + jitter`, asks again each half stagger, and wins in two rounds (9.6), unless the vote is
    ///   split; then this comes once more.
    /// - A post is answered when the leader's first entry is committed and applied (three rounds and a heartbeat), however it came there: held once, refused, and sent
    ///   again by the client (`hold`, a pause), forwarded twice (`2 * forward_again`), while the leader was handing over in vain (`detection`).
    pub fn new(scenario: &Scenario, reconnect: u64) -> Bounds {
        let (cluster, timing) = (&scenario.cluster, &scenario.cluster.timing);
        let micros = |duration: std::time::Duration| duration.as_micros() as u64;
        let link = cluster.links.values().map(|span| span.to).max().unwrap_or(0).max(cluster.link.to);
        let round = 2 * link + cluster.sync.to + BUSY;
        let (detection, heartbeat) = (micros(timing.detection), micros(timing.heartbeat));
        let silent = detection + heartbeat + round;
        let stands = detection + cluster.hosts() as u64 * micros(timing.stagger) + micros(timing.jitter);
        let wins = micros(timing.stagger) / 2 + 2 * round;
        let client = tertulia_protocol::client::Timing::default();
        let sent = micros(timing.hold) + 2 * micros(timing.forward_again) + 2 * micros(client.backoff_min);
        Bounds {
            leader: silent + (1 + SPLIT_VOTES) * (stands + wins),
            answer: detection + sent + 2 * heartbeat + 6 * round + 8 * (scenario.workload.link.to + BUSY),
            again: micros(client.backoff_max),
            reconnect,
            unfit: detection <= micros(timing.detect_min) + heartbeat + link,
        }
    }
}

/// Whose majorities decide by one log: sets of machines, and how many voters each has (some may be on no machine any more).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Word {
    pub at: Index,
    pub sets: Vec<(Nodes, usize)>,
}

impl Word {
    fn agree(&self, nodes: Nodes) -> bool {
        !self.sets.is_empty()
            && self.sets.iter().all(|(set, voters)| (nodes & set).count_ones() as usize >= quorum::majority(*voters))
    }

    fn voters(&self) -> Nodes {
        self.sets.iter().fold(0, |voters, (set, _)| voters | set)
    }
}

/// What was owed in a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Times without a change in which progress was owed, and made.
    pub owed: u64,
    /// Of these, with a way closed between members, or a member down or paused.
    pub owed_in_part: u64,
    /// Times in which somebody reached a majority, and the logs were such that nobody could be elected.
    pub constrained: u64,
    /// The longest time from a change, or from the loss of a leader, to a leader that progress was owed by. Microseconds.
    pub longest_without_leader: u64,
}

#[derive(Clone, Debug, Default)]
struct Host {
    word: Option<Word>,
    last: (Term, Index),
    leading: Option<Term>,
    /// It has started with a log and no rows, and has applied nothing since.
    blank: bool,
    /// When it last came so near to the leader that it lacks no more than [`LAG`] entries.
    caught_up: u64,
}

#[derive(Clone, Debug, Default)]
struct Seat {
    /// Where it is connected, and since when.
    at: Option<(usize, u64)>,
    /// Its open posts: when each was sent first.
    open: BTreeMap<u64, u64>,
}

/// Sees the graph and what comes of it. Hosts are machines.
#[derive(Clone, Debug)]
pub struct Liveness {
    bounds: Bounds,
    hosts: Vec<Host>,
    up: Nodes,
    paused: Nodes,
    repairing: Nodes,
    members: Nodes,
    /// By sender: whom its messages reach.
    open: Vec<Nodes>,
    /// By `a * hosts + b`: since when these two can exchange messages; `None`: they cannot.
    usable: Vec<Option<u64>>,
    /// What keeps the demand from standing: weather and the like.
    disturbed: Option<&'static str>,
    /// Since when the graph is as it is.
    settled: u64,
    /// What faults have left under way is over by then.
    not_before: u64,
    /// Who leads and reaches a majority, and since when it is so.
    leader: (Option<usize>, u64),
    /// Elections in this settled time, and hand-overs begun.
    elections: u32,
    transfers: u32,
    /// This settled time has been counted.
    counted: bool,
    seats: Vec<Seat>,
    /// Before this moment nothing is due. It may be too early, never too late.
    due: u64,
    tally: Tally,
    violation: Option<Violation>,
}

impl Liveness {
    /// `hosts` machines, none of which runs; all ways are open.
    pub fn new(hosts: usize, clients: usize, bounds: Bounds) -> Liveness {
        let all = (1 << hosts) - 1;
        Liveness {
            bounds,
            hosts: vec![Host::default(); hosts],
            up: 0,
            paused: 0,
            repairing: 0,
            members: all,
            open: vec![all; hosts],
            usable: vec![None; hosts * hosts],
            disturbed: None,
            settled: 0,
            not_before: 0,
            leader: (None, 0),
            elections: 0,
            transfers: 0,
            counted: false,
            seats: vec![Seat::default(); clients],
            due: 0,
            tally: Tally::default(),
            violation: None,
        }
    }

    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The first thing that was owed and not made.
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    // ---- what changes ----------------------------------------------------------------------------------------------------------------

    /// A process runs, or does no more.
    pub fn runs(&mut self, now: u64, host: usize, up: bool) {
        self.elapse(now);
        self.up = self.up & !(1 << host) | u64::from(up) << host;
        self.paused &= !(1 << host);
        self.hosts[host].leading = None;
        if !up {
            self.repairing &= !(1 << host);
        }
        self.changed(now);
    }

    pub fn pauses(&mut self, now: u64, host: usize, paused: bool) {
        self.elapse(now);
        self.paused = self.paused & !(1 << host) | u64::from(paused && self.up >> host & 1 == 1) << host;
        self.changed(now);
    }

    /// The connections of these two have broken, and may be made again.
    pub fn resets(&mut self, now: u64, a: usize, b: usize) {
        self.elapse(now);
        let hosts = self.hosts.len();
        (self.usable[a * hosts + b], self.usable[b * hosts + a]) = (None, None);
        self.changed(now);
    }

    /// Something may have changed about links and disks.
    pub fn conditions(&mut self, now: u64, conditions: &Conditions) {
        let hosts = self.hosts.len();
        let reach = |from: usize| (0..hosts).filter(|to| !conditions.blocked(from, *to)).fold(0, |to, host| to | 1 << host);
        let open: Vec<Nodes> = (0..hosts).map(reach).collect();
        let disturbed = conditions.disturbed();
        if open != self.open || disturbed != self.disturbed {
            self.elapse(now);
            if disturbed.is_none() {
                self.not_before = now + conditions.lingers();
            }
            (self.open, self.disturbed) = (open, disturbed);
            self.changed(now);
        }
    }

    /// Who the members are, for what counts as a part of them.
    pub fn members(&mut self, members: Nodes) {
        self.members = members;
    }

    /// The members by one machine's log.
    pub fn says(&mut self, now: u64, host: usize, word: Option<Word>) {
        if self.hosts[host].word != word {
            self.elapse(now);
            self.hosts[host].word = word;
            self.changed(now);
        }
    }

    /// A client's connection is accepted, or gone.
    pub fn sits(&mut self, now: u64, client: usize, host: Option<usize>) {
        self.elapse(now);
        self.seats[client].at = host.map(|host| (host, now));
        self.expect_answer(client);
    }

    pub fn posts(&mut self, now: u64, client: usize, number: u64) {
        self.elapse(now);
        self.seats[client].open.entry(number).or_insert(now);
        if self.seats[client].open.len() == 1 {
            self.expect_answer(client);
        }
    }

    pub fn is_answered(&mut self, now: u64, client: usize, number: u64) {
        self.elapse(now);
        self.seats[client].open.remove(&number);
        self.expect_answer(client);
    }

    /// What a machine told. Who the members are is told by [`Liveness::says`].
    pub fn fact(&mut self, now: u64, host: usize, fact: &Fact) {
        self.elapse(now);
        match *fact {
            Fact::Started { durable, applied, .. } => {
                let blank = applied == 0 && durable.index > 0;
                self.hosts[host] = Host { last: (durable.term, durable.index), blank, ..Host::default() };
                self.repairing &= !(1 << host);
                self.changed(now);
            }
            Fact::Appended { at } => {
                let behind = self.lags(host);
                self.hosts[host].last = (at.term, at.index);
                if behind && !self.lags(host) {
                    self.hosts[host].caught_up = now;
                    self.due = self.due.min(now);
                }
                if self.leader.0.is_none() {
                    // Whom the logs allow to be elected may be somebody else now.
                    self.leader.1 = now;
                    self.due = self.due.min(now);
                }
            }
            Fact::SnapshotInstalled { at, .. } => {
                self.hosts[host].last = self.hosts[host].last.max((at.term, at.index));
                self.hosts[host].blank = false;
                self.changed(now);
            }
            Fact::Applied { .. } if self.hosts[host].blank => {
                self.hosts[host].blank = false;
                self.changed(now);
            }
            // What it lacks takes its time.
            Fact::SnapshotReceived { .. } => self.changed(now),
            Fact::Repairing => {
                self.repairing |= 1 << host;
                self.changed(now);
            }
            Fact::Reached { point: "log.repaired" } => {
                self.repairing &= !(1 << host);
                self.changed(now);
            }
            Fact::Reached { point: "transfer.begun" } => self.transfers += 1,
            Fact::BecameLeader { term, .. } => {
                self.hosts[host].leading = Some(term);
                self.elected(now);
                self.see_leader(now);
            }
            Fact::SteppedDown { .. } => {
                self.hosts[host].leading = None;
                self.see_leader(now);
            }
            _ => {}
        }
    }

    /// All bounds begin anew.
    fn changed(&mut self, now: u64) {
        let hosts = self.hosts.len();
        let live = self.up & !self.paused;
        self.settled = now.max(self.not_before);
        for a in 0..hosts {
            for b in (0..hosts).filter(|b| *b != a) {
                let pair = 1 << a | 1 << b;
                let exchange = live & pair == pair && self.open[a] >> b & self.open[b] >> a & 1 == 1;
                let usable = &mut self.usable[a * hosts + b];
                *usable = if exchange { usable.or(Some(now)) } else { None };
            }
        }
        (self.elections, self.transfers, self.counted) = (0, 0, false);
        self.see_leader(now);
    }

    // ---- what follows ----------------------------------------------------------------------------------------------------------------

    /// When these two are connected at the latest, if they can be.
    fn connected(&self, a: usize, b: usize) -> Option<u64> {
        let since =
            if a == b { Some(0) } else { self.usable[a * self.hosts.len() + b].map(|since| since + self.bounds.reconnect) };
        since.filter(|_| self.is_well(a) && self.is_well(b))
    }

    /// Those well ones with whom it is connected at that time, itself included; [`u64::MAX`]: sooner or later.
    fn near(&self, host: usize, at: u64) -> Nodes {
        let near = |peer: &usize| self.connected(host, *peer).is_some_and(|connected| connected <= at);
        (0..self.hosts.len()).filter(near).fold(0, |nodes, peer| nodes | 1 << peer)
    }

    fn is_well(&self, host: usize) -> bool {
        (self.up & !self.paused & !self.repairing) >> host & 1 == 1
    }

    /// Who the members are, if the well voters agree on that.
    fn word(&self) -> Option<&Word> {
        let words =
            || (0..self.hosts.len()).filter(|host| self.is_well(*host)).map(|host| (host, self.hosts[host].word.as_ref()));
        let newest = words().filter_map(|(_, word)| word).max_by_key(|word| word.at)?;
        let voters = newest.voters();
        words().all(|(host, word)| voters >> host & 1 == 0 || word == Some(newest)).then_some(newest)
    }

    /// Whether it is connected with a majority at that time.
    fn reaches_majority(&self, host: usize, word: &Word, at: u64) -> bool {
        word.voters() >> host & 1 == 1 && word.agree(self.near(host, at))
    }

    /// Whether its log, and those of the ones that it reaches, let it be elected.
    fn could_be_elected(&self, host: usize, word: &Word, at: u64) -> bool {
        let (near, own) = (self.near(host, at), self.hosts[host].last);
        let voting = (0..self.hosts.len()).filter(|peer| near >> peer & 1 == 1 && self.hosts[*peer].last <= own);
        !self.hosts[host].blank && own.1 > 0 && word.agree(voting.fold(0, |voting, peer| voting | 1 << peer))
    }

    /// Whether it lacks so much of the leader's log that it is not expected to follow at once.
    fn lags(&self, host: usize) -> bool {
        self.leader.0.is_some_and(|leader| self.hosts[host].last.1 + LAG < self.hosts[leader].last.1)
    }

    fn see_leader(&mut self, now: u64) {
        let leads = |word: &Word| {
            let leading = (0..self.hosts.len()).filter_map(|host| self.hosts[host].leading.map(|term| (term, host)));
            leading.filter(|(_, host)| self.reaches_majority(*host, word, u64::MAX)).max()
        };
        let leader = self.word().and_then(leads).map(|(_, host)| host);
        if leader != self.leader.0 {
            if self.leader.0.is_none() && self.is_demanding() {
                let waited = now.saturating_sub(self.leader.1.max(self.settled));
                self.tally.longest_without_leader = self.tally.longest_without_leader.max(waited);
            }
            self.leader = (leader, now);
        }
        self.due = self.due.min(now);
    }

    fn is_demanding(&self) -> bool {
        self.disturbed.is_none() && !self.bounds.unfit && self.violation.is_none()
    }

    fn elected(&mut self, now: u64) {
        let ways = self.usable.iter().flatten().map(|since| since + self.bounds.reconnect);
        let quiet = ways.max().unwrap_or(0).max(self.settled) + self.bounds.leader;
        if !self.is_demanding() || self.word().is_none() || now <= quiet {
            return;
        }
        self.elections += 1;
        if self.elections > MOST_ELECTIONS + self.transfers {
            let evidence = format!(
                "{} leaders were elected since {}, and leaders began to hand over {} times, though nothing changes. {}",
                self.elections,
                At(quiet),
                self.transfers,
                self.graph()
            );
            self.violation = Some(Violation { rule: "elections-bounded", at: At(now), evidence });
        }
    }

    /// When the oldest post of a client has to be answered, if it has to be.
    fn answer_due(&self, client: usize) -> Option<u64> {
        let seat = &self.seats[client];
        let ((at, connected), (_, sent)) = (seat.at?, seat.open.first_key_value()?);
        let (leader, word) = (self.leader.0?, self.word()?);
        let reached = self.connected(at, leader).filter(|_| word.voters() >> at & 1 == 1)?;
        if self.lags(at) {
            return None;
        }
        // When a peer follows the leader, so that entries are committed with it; a majority does when the last one of the first majority is there.
        let follows = |peer: usize| {
            let connected = self.connected(leader, peer).filter(|_| !self.lags(peer))?;
            Some(connected.max(self.hosts[peer].caught_up))
        };
        let hosts = 0..self.hosts.len();
        let by = |time: u64| {
            let there = hosts.clone().filter(|peer| follows(*peer).is_some_and(|from| from <= time));
            there.fold(0, |nodes, peer| nodes | 1 << peer)
        };
        let majority = hosts.clone().filter_map(follows).filter(|time| word.agree(by(*time))).min()?;
        let reached = reached.max(self.hosts[at].caught_up);
        let since = self.settled.max(self.leader.1).max(connected).max(*sent).max(reached).max(majority);
        let again = if *sent < since { self.bounds.again } else { 0 };
        Some(since + self.bounds.answer + again)
    }

    fn expect_answer(&mut self, client: usize) {
        if let Some(due) = self.answer_due(client) {
            self.due = self.due.min(due + 1);
        }
    }

    /// Judges what was due before `now`: nothing has changed since the last call.
    #[inline]
    pub fn elapse(&mut self, now: u64) {
        if now >= self.due {
            self.judge(now);
        }
    }

    #[cold]
    fn judge(&mut self, now: u64) {
        self.due = u64::MAX;
        if self.is_demanding() {
            self.judge_leader(now);
            self.judge_answers(now);
        }
    }

    /// Somebody leads, once the bound has passed since all that it takes was there.
    fn judge_leader(&mut self, now: u64) {
        let waits = if self.leader.0.is_none() { self.leader.1.max(self.settled) } else { self.settled };
        if self.counted && self.leader.0.is_some() {
            return;
        }
        // What was connected when the last bound began that is over by now.
        let ways = self.usable.iter().flatten().map(|since| since + self.bounds.reconnect);
        let mut begins: Vec<u64> = ways.filter(|at| *at > waits).chain([waits]).collect();
        begins.sort_unstable();
        let over = begins.iter().rev().find(|at| **at + self.bounds.leader < now).copied();
        if let Some(next) = begins.iter().find(|at| **at + self.bounds.leader >= now) {
            self.due = self.due.min(next + self.bounds.leader + 1);
        }
        let (Some(over), Some(word)) = (over, self.word()) else { return };
        let near: Vec<usize> = (0..self.hosts.len()).filter(|host| self.reaches_majority(*host, word, over)).collect();
        let core = near.iter().find(|host| self.could_be_elected(**host, word, over)).copied();
        match (self.leader.0, core) {
            (None, Some(core)) => self.nobody_leads(over + self.bounds.leader, core),
            (None, None) => {
                self.tally.constrained += u64::from(!self.counted && !near.is_empty());
                self.counted |= !near.is_empty();
            }
            (Some(_), _) if !near.is_empty() => {
                let members = (0..self.hosts.len()).filter(|host| self.members >> host & 1 == 1);
                let part = members.into_iter().any(|host| self.near(host, u64::MAX) & self.members != self.members);
                self.counted = true;
                self.tally.owed += 1;
                self.tally.owed_in_part += u64::from(part);
            }
            _ => {}
        }
    }

    fn judge_answers(&mut self, now: u64) {
        for client in 0..self.seats.len() {
            match self.answer_due(client) {
                Some(due) if due < now => return self.nobody_answers(due, client),
                Some(due) => self.due = self.due.min(due + 1),
                None => {}
            }
        }
    }

    fn nobody_leads(&mut self, due: u64, core: usize) {
        let evidence = format!(
            "n{} exchanges messages with a majority and could be elected, and nobody who does leads for {} us. {}",
            core + 1,
            self.bounds.leader,
            self.graph()
        );
        self.violation = Some(Violation { rule: "progress-owed", at: At(due), evidence });
    }

    fn nobody_answers(&mut self, due: u64, client: usize) {
        let seat = &self.seats[client];
        let (Some((at, connected)), Some((number, sent))) = (seat.at, seat.open.first_key_value()) else { return };
        let evidence = format!(
            "Client {} sent request {number} at {}, is connected to n{} since {}, which reaches the leader, and is not answered. {}",
            client + 1,
            At(*sent),
            at + 1,
            At(connected),
            self.graph()
        );
        self.violation = Some(Violation { rule: "progress-owed", at: At(due), evidence });
    }

    /// Who exchanges messages with whom, since when, and who leads.
    fn graph(&self) -> String {
        let mut text = format!("Unchanged since {}: ", At(self.settled));
        for host in (0..self.hosts.len()).filter(|host| self.is_well(*host)) {
            let near = self.near(host, u64::MAX) & !(1 << host);
            let names: Vec<String> =
                (0..self.hosts.len()).filter(|peer| near >> peer & 1 == 1).map(|peer| format!("n{}", peer + 1)).collect();
            let (term, index) = self.hosts[host].last;
            let _ = write!(
                text,
                "n{} with {} (log to {index} of term {term}); ",
                host + 1,
                if names.is_empty() { "nobody".to_owned() } else { names.join(" ") }
            );
        }
        let claims: Vec<String> = (0..self.hosts.len())
            .filter_map(|host| self.hosts[host].leading.map(|term| format!("n{} in term {term}", host + 1)))
            .collect();
        let _ = match self.leader {
            (Some(leader), since) => write!(text, "n{} leads since {}.", leader + 1, At(since)),
            (None, since) => {
                write!(text, "nobody reaches a majority and leads since {} (leading: {}).", At(since), claims.join(", "))
            }
        };
        text
    }
}

#[cfg(test)]
mod tests;
