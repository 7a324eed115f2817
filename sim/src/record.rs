//! A recorded run: everything that was said, told and seen, with its time, for a page that a person reads.
//!
//! The recorder only listens. It draws nothing, schedules nothing and answers nothing, so a recorded run is the run that it would have been: the
//! trace's hash is the same. What it keeps is bounded: the oldest details go first, the turns of the story stay.

mod kinds;
mod words;

pub use kinds::{KINDS, Kind, KindInfo, Weight};
pub use words::Said;

use crate::plan::Mark;
use crate::witness::Witness;
use std::collections::{BTreeMap, VecDeque};
use tertulia_judge::ClientFact;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{Index, NodeId, Term};
use words::Words;

/// The most fields that a row has.
pub const FIELDS: usize = 6;
/// Details that are kept in memory: more than any page has room for.
const MOST_DETAILS: usize = 1_000_000;
/// Turns of the story that are kept.
const MOST_TURNS: usize = 50_000;
/// Messages whose arrival, or second copy, is waited for; when there are more, the oldest one is given up.
const MOST_FLIGHTS: usize = 100_000;

/// One thing that happened. Lanes are the machines from 0 on, then the clients.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    pub at: u64,
    /// Its place among all rows.
    pub nth: u64,
    pub kind: Kind,
    pub lane: usize,
    pub fields: Vec<u64>,
    /// What no number tells.
    pub more: Option<Box<str>>,
    /// For a message.
    pub flight: Option<Flight>,
}

/// Where a message went and what became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flight {
    pub to: usize,
    pub arrived: Option<u64>,
    /// A second copy arrived.
    pub again: Option<u64>,
    /// It is known that no copy arrives.
    pub lost: bool,
}

/// From, to, and what was said.
type FlightKey = (usize, usize, u64);

/// What of a run is recorded in full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Simulated microseconds; both ends belong to it.
    pub from: u64,
    pub to: u64,
}

impl Default for Window {
    fn default() -> Window {
        Window { from: 0, to: u64::MAX }
    }
}

/// Listens to a run.
#[derive(Clone, Debug)]
pub struct Recorder {
    window: Window,
    hosts: usize,
    rows: u64,
    turns: VecDeque<Row>,
    details: VecDeque<Row>,
    /// How many details were dropped: the place of the first one that is kept.
    dropped: usize,
    /// By (from, to, what was said): places of details whose arrival is waited for, oldest first.
    flights: BTreeMap<FlightKey, VecDeque<usize>>,
    /// All of them, oldest first.
    waited_for: VecDeque<(FlightKey, usize)>,
    /// By (from, to): the last log place that was acknowledged there.
    matched: BTreeMap<(usize, usize), (Term, Index)>,
    /// By lane: the place of its newest detail of a kind that grows.
    growing: BTreeMap<(usize, Kind), usize>,
    clients_talk: bool,
}

impl Recorder {
    pub fn new(window: Window, hosts: usize) -> Recorder {
        Recorder {
            window,
            hosts,
            rows: 0,
            turns: VecDeque::new(),
            details: VecDeque::new(),
            dropped: 0,
            flights: BTreeMap::new(),
            waited_for: VecDeque::new(),
            matched: BTreeMap::new(),
            growing: BTreeMap::new(),
            clients_talk: false,
        }
    }

    /// The lane of a client, counted from 0.
    pub fn client_lane(&self, client: usize) -> usize {
        self.hosts + client
    }

    /// A node told something of itself.
    pub fn fact(&mut self, now: u64, node: usize, fact: &Fact) {
        if let Fact::Appended { at } | Fact::Applied { at, .. } = fact
            && self.grow(now, node, fact, at.index, at.term)
        {
            return;
        }
        self.push(now, node, words::fact(fact), None);
    }

    /// A process died.
    pub fn crashed(&mut self, now: u64, node: usize) {
        self.push(now, node, Words::new(Kind::Crashed, &[]), None);
    }

    /// Its disk is gone.
    pub fn wiped(&mut self, now: u64, node: usize) {
        self.push(now, node, Words::new(Kind::Wiped, &[]), None);
    }

    /// Its log is not as it was written.
    pub fn damaged(&mut self, now: u64, node: usize) {
        self.push(now, node, Words::new(Kind::Damaged, &[]), None);
    }

    /// A machine was given an id.
    pub fn joined(&mut self, now: u64, node: usize, id: NodeId) {
        self.push(now, node, Words::new(Kind::Joined, &[id.0]), None);
    }

    /// A client saw something.
    pub fn client(&mut self, now: u64, fact: &ClientFact) {
        let (client, words) = words::client(fact);
        let seat = client.saturating_sub(1) % tertulia_judge::SESSIONS;
        self.push(now, self.client_lane(seat as usize), words, None);
    }

    /// Something leaves one lane for another. `key` is what the arrival will name. `lost`: it is known already that it does not arrive.
    pub fn sent(&mut self, now: u64, (from, to): (usize, usize), key: u64, said: Said<'_>, lost: bool) {
        self.clients_talk |= !matches!(said, Said::Peer(_));
        let mut words = words::said(said);
        if let (Kind::Appended, &[term, index, _]) = (words.kind, &words.fields[..])
            && self.matched.insert((from, to), (term, index)) == Some((term, index))
        {
            words.kind = Kind::HeartbeatAnswer;
        }
        let place = self.push(now, from, words, Some(Flight { to, arrived: None, again: None, lost }));
        if let (Some(place), false) = (place, lost) {
            self.flights.entry((from, to, key)).or_default().push_back(place);
            self.waited_for.push_back(((from, to, key), place));
            if self.waited_for.len() > MOST_FLIGHTS {
                self.give_up_oldest();
            }
        }
    }

    /// It arrives at a process that takes it, or (`taken` is false) at nobody.
    pub fn arrived(&mut self, now: u64, (from, to): (usize, usize), key: u64, taken: bool) {
        let Some(places) = self.flights.get_mut(&(from, to, key)) else { return };
        // Nodes repeat themselves after a silence: it is the newest of equal messages that arrives. Between a client and its node nothing overtakes.
        let in_order = from.max(to) >= self.hosts;
        let waiting = |place: &usize| {
            let flight = place.checked_sub(self.dropped).and_then(|at| self.details.get(at)?.flight);
            flight.is_some_and(|flight| flight.arrived.is_none() && !flight.lost)
        };
        let next = if in_order { places.iter().position(waiting) } else { places.iter().rposition(waiting) };
        let place = match next {
            Some(next) if in_order => places.remove(next),
            Some(next) => places.get(next).copied(),
            None => places.back().copied(),
        };
        let row = place.and_then(|place| self.details.get_mut(place.checked_sub(self.dropped)?));
        let Some(flight) = row.and_then(|row| row.flight.as_mut()) else { return };
        match (taken, flight.arrived) {
            (false, None) => flight.lost = true,
            (true, None) => flight.arrived = Some(now),
            (true, Some(_)) => flight.again = Some(now),
            (false, Some(_)) => {}
        }
    }

    fn give_up_oldest(&mut self) {
        let Some((key, place)) = self.waited_for.pop_front() else { return };
        let Some(places) = self.flights.get_mut(&key) else { return };
        if places.front() == Some(&place) {
            places.pop_front();
        }
        if places.is_empty() {
            self.flights.remove(&key);
        }
    }

    /// Adds an entry to the newest row of its kind, if that is of this very moment and ends just before it.
    fn grow(&mut self, now: u64, node: usize, fact: &Fact, index: Index, term: Term) -> bool {
        let kind = if matches!(fact, Fact::Appended { .. }) { Kind::EntryAppended } else { Kind::Applied };
        let newest = self.growing.get(&(node, kind)).and_then(|place| place.checked_sub(self.dropped));
        let Some(row) = newest.and_then(|at| self.details.get_mut(at)) else { return false };
        let grows = row.at == now && row.fields[1] + 1 == index && row.fields[2] == term;
        if grows {
            row.fields[1] = index;
        }
        grows
    }

    /// Keeps a row. Returns the place of a detail that was kept.
    fn push(&mut self, at: u64, lane: usize, words: Words, flight: Option<Flight>) -> Option<usize> {
        let Words { kind, fields, more } = words;
        let row = Row { at, nth: self.rows, kind, lane, fields, more, flight };
        self.rows += 1;
        if kind.info().weight == Weight::Turn {
            if self.turns.len() == MOST_TURNS {
                self.turns.pop_front();
            }
            self.turns.push_back(row);
            return None;
        }
        if at < self.window.from || at > self.window.to {
            return None;
        }
        if self.details.len() == MOST_DETAILS {
            self.details.pop_front();
            self.dropped += 1;
        }
        self.details.push_back(row);
        let place = self.dropped + self.details.len() - 1;
        if matches!(kind, Kind::EntryAppended | Kind::Applied) {
            self.growing.insert((lane, kind), place);
        }
        Some(place)
    }
}

/// What was recorded of a run.
#[derive(Clone, Debug)]
pub struct Recording {
    pub window: Window,
    /// Machines, spares included.
    pub hosts: usize,
    /// By machine: the id of what ran there last.
    pub ids: Vec<Option<NodeId>>,
    /// Rows that are kept whatever else is dropped, by time.
    pub turns: Vec<Row>,
    /// All other rows, by time.
    pub details: Vec<Row>,
    /// Details older than those that are here had to go.
    pub dropped: bool,
    /// What the clients and their nodes said to each other is among the details.
    pub clients_talk: bool,
    pub faults: Vec<Mark>,
    /// When the judge objected.
    pub violated: Option<u64>,
}

impl Recording {
    /// What a witness's recorder has heard, when the run is over.
    pub(crate) fn take(witness: &mut Witness, faults: &[Mark]) -> Recording {
        let hosts = witness.up.len();
        let recorder = witness.recorder.take().map_or_else(|| Recorder::new(Window::default(), hosts), |recorder| *recorder);
        Recording {
            window: recorder.window,
            hosts,
            ids: (0..hosts).map(|host| witness.roster.id(host)).collect(),
            turns: recorder.turns.into(),
            details: recorder.details.into(),
            dropped: recorder.dropped > 0,
            clients_talk: recorder.clients_talk,
            faults: faults.to_vec(),
            violated: witness.violation().map(|violation| violation.at.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tertulia_protocol::contract::Position;

    fn entry(index: Index) -> Fact {
        Fact::Appended { at: Position { index, term: 2, chain: 0 } }
    }

    fn recorder() -> Recorder {
        Recorder::new(Window { from: 10, to: 1_000 }, 3)
    }

    #[test]
    fn entries_that_come_together_are_one_row() {
        let mut recorder = recorder();
        for index in [5, 6, 7] {
            recorder.fact(20, 1, &entry(index));
        }
        recorder.fact(20, 2, &entry(8));
        recorder.fact(21, 1, &entry(8));
        recorder.fact(21, 1, &entry(5));
        let rows: Vec<_> = recorder.details.iter().map(|row| (row.at, row.lane, row.fields.clone())).collect();
        let expected = [(20, 1, vec![5, 7, 2]), (20, 2, vec![8, 8, 2]), (21, 1, vec![8, 8, 2]), (21, 1, vec![5, 5, 2])];
        assert_eq!(rows, expected);
    }

    #[test]
    fn outside_the_window_only_the_turns_of_the_story_are_kept() {
        let mut recorder = recorder();
        recorder.fact(5, 0, &entry(1));
        recorder.fact(5, 0, &Fact::BecameCandidate { term: 1 });
        recorder.fact(1_001, 0, &entry(2));
        recorder.fact(1_001, 0, &Fact::SteppedDown { term: 1 });
        assert_eq!((recorder.details.len(), recorder.turns.len()), (0, 2));
    }

    #[test]
    fn of_equal_messages_between_nodes_the_newest_arrives_and_a_second_copy_is_a_double() {
        let mut recorder = recorder();
        recorder.sent(20, (0, 1), 7, Said::Hello, false);
        recorder.sent(90, (0, 1), 7, Said::Hello, false);
        recorder.sent(91, (0, 2), 7, Said::Hello, true);
        recorder.arrived(95, (0, 1), 7, true);
        recorder.arrived(95, (0, 2), 7, true);
        let flights: Vec<_> = recorder.details.iter().filter_map(|row| row.flight).collect();
        assert_eq!(flights.iter().map(|flight| flight.arrived).collect::<Vec<_>>(), [None, Some(95), None]);
        assert!(flights[2].lost);
        recorder.arrived(96, (0, 1), 7, true);
        recorder.arrived(97, (0, 1), 7, true);
        let flights: Vec<_> = recorder.details.iter().filter_map(|row| row.flight).collect();
        assert_eq!((flights[0].arrived, flights[1].again), (Some(96), Some(97)));
    }

    #[test]
    fn between_a_client_and_its_node_nothing_overtakes() {
        let mut recorder = recorder();
        let ways = (recorder.client_lane(4), 1);
        recorder.sent(20, ways, 7, Said::Hello, false);
        recorder.sent(21, ways, 7, Said::HangUp, false);
        recorder.arrived(30, ways, 7, true);
        recorder.arrived(31, ways, 7, false);
        let flights: Vec<_> = recorder.details.iter().filter_map(|row| row.flight).collect();
        assert_eq!((flights[0].arrived, flights[0].lost), (Some(30), false));
        assert_eq!((flights[1].arrived, flights[1].lost), (None, true));
    }
}
