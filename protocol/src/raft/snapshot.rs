//! Where the log begins on disk, what happens when a follower needs what lies before it, and how a log goes on behind a snapshot (thesis 5).
//!
//! - The log is trimmed when it holds twice as much as it shall keep, to about that much, never beyond what is applied here, and (as long as that stays within four
//!   times as much) not beyond a snapshot that a peer is just reading: it will need what follows.
//! - A leader whose follower needs entries that are trimmed tells it so with its heartbeats. The follower then asks for a snapshot by itself ([`crate::replica`]).
//! - A snapshot that is in use stands for a committed place: everything in a log that does not contain that place is either below it or was never committed.

use super::log::cost;
use super::*;
use crate::sometimes;

/// Marks that are kept of the log's extent; beyond it they become coarser.
const MOST_MARKS: usize = 512;
/// Marks in as much log as shall be kept.
const MARKS_IN_LOG: u64 = 64;

/// How far the log on disk reaches back, and how much it holds: in coarse steps, so that it takes little memory.
#[derive(Clone, Debug, Hash)]
pub(super) struct Extent {
    /// All at or below it may be gone from disk.
    start: Position,
    /// Ascending, above `start`.
    marks: VecDeque<Mark>,
    /// Bytes behind the last mark.
    open: u64,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Mark {
    at: Position,
    /// Of the entries from the mark before it through this one.
    bytes: u64,
}

impl Extent {
    pub(super) fn new(restored: &Restored) -> Extent {
        let known = Mark { at: restored.applied, bytes: restored.bytes };
        let marks = if restored.applied.index > restored.start.index { VecDeque::from([known]) } else { VecDeque::new() };
        Extent { start: restored.start, marks, open: 0 }
    }

    pub(super) fn start(&self) -> Position {
        self.start
    }

    fn bytes(&self) -> u64 {
        self.open + self.marks.iter().map(|mark| mark.bytes).sum::<u64>()
    }

    /// An entry was appended to a log of which `keep` bytes shall be kept.
    pub(super) fn appended(&mut self, entry: &Entry, keep: u64) {
        self.open += cost(entry) as u64;
        if self.open < keep / MARKS_IN_LOG {
            return;
        }
        if self.marks.len() >= MOST_MARKS {
            let mut pairs = core::mem::take(&mut self.marks).into_iter();
            while let Some(first) = pairs.next() {
                self.marks
                    .push_back(pairs.next().map_or(first, |second| Mark { at: second.at, bytes: first.bytes + second.bytes }));
            }
        }
        self.marks.push_back(Mark { at: entry.position(), bytes: core::mem::take(&mut self.open) });
    }

    /// Entries from `index` on are being replaced. What they took is counted on: it is on the disk as well.
    pub(super) fn replaced_from(&mut self, index: Index) {
        while let Some(mark) = self.marks.pop_back_if(|mark| mark.at.index >= index) {
            self.open += mark.bytes;
        }
    }

    /// Through where the log may go now, if that is worth it. `applied`: through where it is not needed here; `hold`: beyond this, only if it cannot be helped.
    fn compact(&mut self, applied: Index, hold: Option<Index>, keep: u64) -> Option<Index> {
        let mut bytes = self.bytes();
        if bytes <= 2 * keep {
            return None;
        }
        let limit = hold.filter(|_| bytes <= 4 * keep).map_or(applied, |hold| hold.min(applied));
        let before = self.start;
        while let Some(mark) = self.marks.pop_front_if(|mark| mark.at.index <= limit && bytes - mark.bytes >= keep) {
            bytes -= mark.bytes;
            self.start = mark.at;
        }
        (self.start != before).then_some(self.start.index)
    }

    fn reset(&mut self, start: Position) {
        *self = Extent { start, marks: VecDeque::new(), open: 0 };
    }
}

impl Raft {
    /// Through where the log may be trimmed, when it has become long: all through `applied` is applied. `hold`: the place of a snapshot that a peer is reading.
    pub(crate) fn compact(&mut self, applied: Index, hold: Option<Index>) -> Option<Index> {
        let through = self.extent.compact(applied.min(self.handed), hold, self.limits.log_bytes)?;
        sometimes!(self.facts, "log.trimmed");
        Some(through)
    }

    /// The first place that the log in memory knows: everything through it is committed.
    pub(crate) fn log_start(&self) -> Index {
        self.log.start().index
    }

    /// A snapshot is in use, durably: the state jumps to `position`, and the log with it unless it holds that place already. `at`: the greatest stamp applied there;
    /// `rows`: what the snapshot's rows say of the cluster.
    pub(crate) fn install(&mut self, position: Position, rows: FromRows) {
        let now = self.now;
        #[cfg(feature = "zoo")]
        let rows =
            FromRows { configuration: rows.configuration.filter(|_| !self.has(Bug::SnapshotWithoutConfiguration)), ..rows };
        let held = self.log.position(position.index) == Some(position);
        if !held && (self.is_leader() || position.index <= self.commit) {
            // A leader's log, and what is committed here, can only contain what is committed elsewhere.
            return self.halt(HaltReason::Diverged { index: position.index });
        }
        // Entries through the very same place may have come and wait for their batch: the log on disk goes on behind them.
        if !held || self.log.last() == position && self.writing.is_written(position.index) {
            self.log = Log::new(position, rows.at);
        }
        #[cfg(feature = "zoo")]
        if held && self.has(Bug::SnapshotDropsWhatFollows) && position.index < self.log.last().index {
            self.truncate_wrongly(position.index + 1);
        }
        if held {
            self.writing.durable = self.writing.durable.max(position.index);
        } else {
            self.writing.reset(position);
            self.extent.reset(position);
        }
        self.commit = self.commit.max(position.index);
        if let Some(configuration) = rows.configuration {
            self.facts.tell(|| configuration.told(position));
            self.configurations.installed(position.index, configuration, held);
            self.configuration_changed();
            self.configuration_committed(now);
        } else if self.configurations.commit(position.index) {
            self.configuration_committed(now);
        }
        self.placing.installed(position.index, rows.succession.unwrap_or_default(), held);
        self.handed = position.index;
        self.rows_lost = false;
        // What is committed is the leader's log as well.
        self.agreed = self.agreed.max(position.index);
    }

    /// Tells the leader that the log has come further without its appends.
    pub(crate) fn tell_installed(&mut self) {
        if !self.halted && !self.is_leader() {
            self.answer_leader();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: u64 = 64_000;

    /// So many entries that count 1,000 bytes each, after `from`.
    fn append(extent: &mut Extent, from: Index, count: u64) {
        for index in from + 1..=from + count {
            let before = Position { index: index - 1, term: 1, chain: 0 };
            extent.appended(&Entry::after(before, 1, Timestamp(1), Bytes::from_static(&[0; 968])), KEEP);
        }
    }

    fn fresh() -> Extent {
        Extent::new(&Restored::empty(Incarnation(1), Boot(1)))
    }

    #[test]
    fn a_log_is_trimmed_at_twice_what_it_keeps_to_about_that_much() {
        let mut extent = fresh();
        append(&mut extent, 0, 128);
        assert_eq!(extent.compact(128, None, KEEP), None);
        append(&mut extent, 128, 1);
        assert_eq!(extent.compact(129, None, KEEP), Some(65));
        assert_eq!((extent.bytes(), extent.start().index), (64_000, 65));
        assert_eq!(extent.compact(129, None, KEEP), None);
    }

    #[test]
    fn what_is_not_applied_or_is_about_to_be_needed_stays() {
        let mut extent = fresh();
        append(&mut extent, 0, 200);
        assert_eq!(extent.compact(0, None, KEEP), None);
        assert_eq!(extent.compact(30, None, KEEP), Some(30));
        assert_eq!(extent.compact(200, Some(40), KEEP), Some(40));
        append(&mut extent, 200, 200);
        assert_eq!(extent.compact(400, Some(40), KEEP), Some(336), "a reader that is too slow begins again");
    }

    #[test]
    fn marks_take_little_memory_however_long_the_log_is() {
        let mut extent = fresh();
        append(&mut extent, 0, 5_000);
        assert!(extent.marks.len() <= MOST_MARKS);
        assert_eq!(extent.bytes(), 5_000_000);
        let through = extent.compact(5_000, None, KEEP).unwrap();
        assert!((4_800..=4_936).contains(&through), "{through}");
    }

    #[test]
    fn a_replaced_end_is_no_place_to_trim_to() {
        let mut extent = fresh();
        append(&mut extent, 0, 200);
        extent.replaced_from(11);
        assert_eq!(extent.compact(200, None, KEEP), Some(10));
        assert_eq!(extent.bytes(), 190_000);
    }

    #[test]
    fn a_start_goes_on_where_the_last_run_was() {
        let at = |index| Position { index, term: 1, chain: 0 };
        let empty = Restored::empty(Incarnation(1), Boot(1));
        let mut extent = Extent::new(&Restored { start: at(10), applied: at(100), bytes: 90_000, ..empty });
        append(&mut extent, 100, 50);
        assert_eq!(extent.compact(150, None, KEEP), None, "it would leave too little");
        append(&mut extent, 150, 20);
        assert_eq!(extent.compact(170, None, KEEP), Some(106));
    }

    /// Where the log of [`founder_without_rows`] begins.
    const START: Position = Position { index: 20, term: 3, chain: 77 };

    fn member(id: u64) -> Member {
        Member { id: NodeId(id), peer_address: alloc::format!("n{id}:1"), client_address: "".into(), incarnation: None }
    }

    fn at(ms: u64) -> Now {
        Now { instant: Instant(1_000 * ms), wall: Timestamp(1) }
    }

    fn says(term: Term, previous: Position, entries: &[Entry]) -> RaftMessage {
        RaftMessage::Append { term, previous, entries: entries.to_vec(), commit: START.index, round: 1 }
    }

    fn noop(previous: Position, term: Term) -> Entry {
        Entry::after(previous, term, Timestamp(1), crate::wire::seal(Kind::Noop, &()))
    }

    /// A node that was started as the only one, long ago: the others came later. Its rows are lost, and its log is trimmed to this.
    fn founder_without_rows(log: &[Entry]) -> Raft {
        let config = Config::new(NodeId(1), ClusterId(1), Vec::from([member(1)]), Seed(1));
        let lost = Restored {
            vote: Vote { term: 3, voted_for: None },
            start: START,
            log: log.to_vec(),
            damage: Damage { rows: true, ..Damage::default() },
            ..Restored::empty(Incarnation(1), Boot(1))
        };
        Raft::restore(&config, &lost, FromRows::default(), at(1))
    }

    fn rows_of(configuration: &Configuration) -> FromRows {
        FromRows { configuration: Some(configuration.clone()), ..FromRows::default() }
    }

    /// The batches that are asked for; each is durable at once.
    fn write(raft: &mut Raft, now: Now) -> Vec<Batch> {
        let mut batches = Vec::new();
        while let Some(output) = raft.poll_output() {
            if let Output::Store { id, batch } = output {
                batches.push(batch);
                raft.handle_stored(now, id);
            }
        }
        batches
    }

    /// Three voters, and the members when a fourth node has joined them.
    fn three_and_a_newcomer() -> (Configuration, Configuration) {
        let three = Configuration::of_voters([1, 2, 3].map(member).into());
        let (peer_address, client_address) = ("n4:1".into(), "".into());
        let join = Change::Join { peer_address, client_address, incarnation: Incarnation(4), replace: None };
        let four = three.after(&join).unwrap().unwrap();
        (three, four)
    }

    /// What a node was started with is not who the members are, even if what is left of its log names others and is cut off then: a node that fell back to it would
    /// elect itself and commit alone.
    #[test]
    fn rows_that_come_back_say_who_the_members_are_whatever_stands_behind_them_in_the_log() {
        let (three, four) = three_and_a_newcomer();
        let first = noop(START, 3);
        let second = Entry::after(first.position(), 3, Timestamp(1), crate::wire::seal(Kind::Membership, &four));
        let mut raft = founder_without_rows(&[first.clone(), second]);
        raft.install(first.position(), rows_of(&three));
        assert_eq!((raft.configuration(), raft.committed_configuration()), (&four, &three));
        // Another leader cuts off what names four, and falls silent.
        raft.handle_message(at(2), NodeId(2), says(5, first.position(), &[noop(first.position(), 5)]));
        assert_eq!((raft.configuration(), raft.is_configured()), (&three, true));
        for ms in 3..5_000 {
            raft.handle_timeout(at(ms));
            write(&mut raft, at(ms));
            assert!(!raft.is_leader(), "alone after {ms} ms");
        }
    }

    /// Whoever has lost its rows goes on following, and hears that more is committed than the snapshot holds that it gets then. A change of members above that was committed
    /// all the same: a node that forgot it would elect and commit with those who were members before.
    #[test]
    fn a_snapshot_below_what_is_known_to_be_committed_takes_no_change_of_members_back() {
        let (three, four) = three_and_a_newcomer();
        let first = noop(START, 3);
        let second = Entry::after(first.position(), 3, Timestamp(1), crate::wire::seal(Kind::Membership, &four));
        let mut raft = founder_without_rows(&[first.clone(), second.clone()]);
        let third = noop(second.position(), 3);
        let append =
            RaftMessage::Append { term: 3, previous: second.position(), entries: Vec::from([third]), commit: 22, round: 1 };
        raft.handle_message(at(2), NodeId(2), append);
        assert_eq!((raft.commit(), raft.committed_configuration()), (22, &four));
        raft.install(first.position(), rows_of(&three));
        assert_eq!((raft.configuration(), raft.committed_configuration()), (&four, &four));
    }

    /// The end of a snapshot and the entries through its very place come in one moment: both are handed over before anything is written.
    #[test]
    fn a_snapshot_that_ends_where_unwritten_entries_end_does_not_keep_them_from_the_disk() {
        let three = Configuration::of_voters([1, 2, 3].map(member).into());
        let first = noop(START, 3);
        let second = noop(first.position(), 3);
        let third = noop(second.position(), 3);
        let mut raft = founder_without_rows(core::slice::from_ref(&first));
        raft.handle_message(at(2), NodeId(2), says(3, first.position(), core::slice::from_ref(&second)));
        raft.install(second.position(), rows_of(&three));
        let mut written = write(&mut raft, at(2));
        raft.handle_message(at(3), NodeId(2), says(3, second.position(), core::slice::from_ref(&third)));
        written.extend(write(&mut raft, at(3)));
        let indices: Vec<Index> = written.iter().flat_map(|batch| &batch.entries).map(|entry| entry.index).collect();
        assert_eq!(indices, [22, 23], "the log on disk ended at 21");
        assert_eq!(raft.durable(), 23);
    }

    #[cfg(feature = "zoo")]
    #[test]
    fn bugs_of_the_zoo_forget_who_the_members_are_and_what_follows_in_the_log() {
        let three = Configuration::of_voters([1, 2, 3].map(member).into());
        let first = noop(START, 3);
        let second = noop(first.position(), 3);
        let installed = |bug| {
            let mut raft = founder_without_rows(&[first.clone(), second.clone()]);
            raft.bug = bug;
            raft.install(first.position(), rows_of(&three));
            (raft.configuration().voters().len(), raft.last().index)
        };
        assert_eq!(installed(None), (3, 22));
        assert_eq!(installed(Some(Bug::SnapshotWithoutConfiguration)), (1, 22));
        assert_eq!(installed(Some(Bug::SnapshotDropsWhatFollows)), (3, 21));
    }

    #[cfg(feature = "zoo")]
    #[test]
    fn a_bug_of_the_zoo_acknowledges_a_snapshot_that_is_not_in_use() {
        let mut raft = founder_without_rows(&[]);
        raft.handle_message(at(2), NodeId(2), says(3, START, &[]));
        let place = Position { index: 30, ..START };
        let acknowledged = |raft: &mut Raft| {
            raft.acknowledge_wrongly(place);
            let sent = core::iter::from_fn(|| raft.poll_output());
            sent.filter(|output| matches!(output, Output::Send { message: RaftMessage::Appended { matched: 30, .. }, .. }))
                .count()
        };
        assert_eq!(acknowledged(&mut raft), 0);
        raft.bug = Some(Bug::AckSnapshotEarly);
        assert_eq!(acknowledged(&mut raft), 1);
    }
}
