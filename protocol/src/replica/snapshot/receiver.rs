//! The receiving side of a snapshot: asks a leader for one part after the other, and knows what it has already when the snapshot becomes another one.
//!
//! - One part is under way at a time. What is lost is asked for again; what nobody asked for, or cannot be true, is ignored.
//! - A walk goes through all keys of *one* snapshot. When an answer is of another one (its sender let go of the old one, or somebody else leads now), the walk begins again, but
//!   each part that is here is asked for with the sum of its rows: it is sent only if it has changed. Most messages never do.
//! - Invariant: `parts` are disjoint, and each says what stands in the received file in its range.
//! - What was received is put in use only if its rows sum up to the state hash that the snapshot claims.

use super::*;
use crate::point;
use crate::time::Duration;

/// After so long without an answer a part is asked for again; a sender that is behind or wrong is left alone for as long.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Parts that are remembered: 16 GiB of rows in parts of the usual size. More are received all the same, and again if the walk begins anew.
const MOST_PARTS: usize = 65_536;

/// What the receiver wants done, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::replica) enum Step {
    Ask {
        of: NodeId,
        ask: Ask,
    },
    Receive(Receive),
    /// The received rows are whole: install them.
    Install(AppliedRow),
    Reached(&'static str),
}

#[derive(Clone, Debug)]
pub(in crate::replica) struct Receiver {
    boot: Boot,
    bytes_per_second: u64,
    most_parts: usize,
    source: Option<NodeId>,
    /// Snapshots below it are of no use.
    floor: Index,
    asked: u64,
    /// No question before this.
    ask_at: Instant,
    walk: Option<Walk>,
    steps: VecDeque<Step>,
    /// Parts of different snapshots make one, and nobody looks at the hash.
    #[cfg(feature = "zoo")]
    mixes: bool,
}

#[derive(Clone, Debug)]
struct Walk {
    /// Of the snapshot that is walked through; `None` before the first answer.
    applied: Option<AppliedRow>,
    /// All keys below it are received.
    cursor: Bytes,
    /// Of the rows below the cursor.
    sum: StateHash,
    parts: BTreeMap<Bytes, Known>,
    /// Who sent the last part.
    sender: Option<NodeId>,
    under_way: Option<UnderWay>,
}

#[derive(Clone, Debug)]
struct Known {
    to: Option<Bytes>,
    sum: StateHash,
}

#[derive(Clone, Debug)]
struct UnderWay {
    of: NodeId,
    ask: Ask,
    until: Instant,
}

impl Walk {
    fn new() -> Walk {
        Walk {
            applied: None,
            cursor: Bytes::from_static(FIRST_KEY),
            sum: StateHash(0),
            parts: BTreeMap::new(),
            sender: None,
            under_way: None,
        }
    }
}

impl Receiver {
    pub(in crate::replica) fn new(boot: Boot, limits: &Limits) -> Receiver {
        let bytes_per_second = limits.snapshot_bytes_per_second.max(1);
        Receiver {
            boot,
            bytes_per_second,
            most_parts: MOST_PARTS,
            source: None,
            floor: 0,
            asked: 0,
            ask_at: Instant(0),
            walk: None,
            steps: VecDeque::new(),
            #[cfg(feature = "zoo")]
            mixes: false,
        }
    }

    #[cfg(feature = "zoo")]
    pub(in crate::replica) fn mixing(self, mixes: bool) -> Receiver {
        Receiver { mixes, ..self }
    }

    /// From whom a snapshot is to be had; `None`: from nobody at the moment. What was received is kept. Snapshots below `floor` are of no use.
    pub(in crate::replica) fn set_source(&mut self, source: Option<NodeId>, floor: Index) {
        self.floor = floor;
        if self.source != source {
            self.source = source;
            if let Some(walk) = &mut self.walk {
                walk.under_way = None;
            }
        }
    }

    /// Nothing is received, and nothing is to be done about what was.
    pub(in crate::replica) fn is_idle(&self) -> bool {
        self.source.is_none() && self.walk.is_none() && self.steps.is_empty()
    }

    /// No snapshot is needed any more.
    pub(in crate::replica) fn stop(&mut self) {
        self.source = None;
        self.abandon();
    }

    fn abandon(&mut self) {
        if self.walk.take().is_some_and(|walk| walk.applied.is_some()) {
            self.steps.push_back(Step::Reached(point!("snapshot.abandoned")));
            self.steps.push_back(Step::Receive(Receive::Abandon));
        }
    }

    /// The next thing to do now.
    pub(in crate::replica) fn poll(&mut self, now: Instant) -> Option<Step> {
        if let Some(step) = self.steps.pop_front() {
            return Some(step);
        }
        let of = self.source?;
        if now < self.deadline()? {
            return None;
        }
        let walk = self.walk.get_or_insert_with(Walk::new);
        let until = now + ASK_AGAIN;
        if let Some(lost) = walk.under_way.as_mut() {
            lost.until = until;
            return Some(Step::Ask { of, ask: lost.ask.clone() });
        }
        let (to, have) = match walk.parts.get(&walk.cursor) {
            Some(known) => (known.to.clone(), Some(known.sum)),
            None => (walk.parts.range(walk.cursor.clone()..).next().map(|(from, _)| from.clone()), None),
        };
        self.asked += 1;
        // One that has become useless meanwhile is not gone on with: its sender shall take a new one.
        let at = walk.applied.map(|applied| applied.position.index).filter(|at| *at >= self.floor);
        let ask = Ask { boot: self.boot, id: self.asked, at, from: walk.cursor.clone(), to, have };
        walk.under_way = Some(UnderWay { of, ask: ask.clone(), until });
        Some(Step::Ask { of, ask })
    }

    /// When [`Receiver::poll`] has something to do by itself.
    pub(in crate::replica) fn deadline(&self) -> Option<Instant> {
        self.source?;
        let under_way = self.walk.as_ref().and_then(|walk| walk.under_way.as_ref());
        Some(under_way.map_or(self.ask_at, |under_way| under_way.until))
    }

    /// A part has come.
    pub(in crate::replica) fn handle_part(&mut self, now: Instant, from: NodeId, part: Part) {
        let Some(walk) = &mut self.walk else { return };
        let asked =
            |under_way: &mut UnderWay| under_way.of == from && under_way.ask.id == part.id && part.answers(&under_way.ask);
        if part.boot != self.boot {
            return;
        }
        let Some(UnderWay { ask, .. }) = walk.under_way.take_if(asked) else { return };
        if part.applied.position.index < self.floor {
            // If that is the best it has, its sender is itself behind: later.
            if ask.at.is_none() {
                self.ask_at = now + ASK_AGAIN;
            }
            return;
        }
        let bytes = part.rows.iter().flatten().map(|(key, value)| (key.len() + value.len()) as u64).sum::<u64>();
        let pause = Duration::from_micros(bytes.saturating_mul(1_000_000) / self.bytes_per_second);
        self.ask_at = self.ask_at.max(now) + pause;
        if walk.applied.is_none() {
            self.steps.push_back(Step::Reached(point!("snapshot.begun")));
            self.steps.push_back(Step::Receive(Receive::Begin));
        }
        if walk.sender.replace(from).is_some_and(|before| before != from) {
            self.steps.push_back(Step::Reached(point!("snapshot.resumed_elsewhere")));
        }
        let sum = match part.rows {
            None => {
                self.steps.push_back(Step::Reached(point!("snapshot.part_same")));
                ask.have.unwrap_or_default()
            }
            Some(rows) => {
                let sum = sum_of(&rows);
                let overlap: Vec<Bytes> = (walk.parts.range(ask.from.clone()..).map(|(from, _)| from.clone()))
                    .take_while(|from| part.to.as_ref().is_none_or(|to| from < to))
                    .collect();
                for from in overlap {
                    walk.parts.remove(&from);
                }
                if walk.parts.len() < self.most_parts {
                    walk.parts.insert(ask.from.clone(), Known { to: part.to.clone(), sum });
                }
                self.steps.push_back(Step::Receive(Receive::Range { from: ask.from.clone(), to: part.to.clone(), rows }));
                sum
            }
        };
        let another = walk.applied.replace(part.applied).is_some_and(|before| before != part.applied);
        #[cfg(feature = "zoo")]
        let another = another && !self.mixes;
        if another {
            // Another snapshot: what was walked through may be different there.
            walk.sum = StateHash(0);
            if &walk.cursor[..] != FIRST_KEY {
                walk.cursor = Bytes::from_static(FIRST_KEY);
                return;
            }
        }
        walk.sum = StateHash(walk.sum.0.wrapping_add(sum.0));
        match part.to {
            Some(to) => walk.cursor = to,
            None => self.finish(now, part.applied),
        }
    }

    fn finish(&mut self, now: Instant, applied: AppliedRow) {
        let wrong = self.walk.as_ref().is_none_or(|walk| walk.sum != applied.hash);
        #[cfg(feature = "zoo")]
        let wrong = wrong && !self.mixes;
        if wrong {
            self.steps.push_back(Step::Reached(point!("snapshot.wrong_hash")));
            self.abandon();
            self.ask_at = now + ASK_AGAIN;
            return;
        }
        self.walk = None;
        self.source = None;
        let row = (Bytes::from_static(APPLIED_KEY), seal(Kind::Applied, &applied));
        let to = Some(Bytes::from_static(FIRST_KEY));
        self.steps.push_back(Step::Receive(Receive::Range { from: Bytes::new(), to, rows: Vec::from([row]) }));
        self.steps.push_back(Step::Install(applied));
    }
}

impl Part {
    /// Whether this can be the answer to a question: rows of the range that was asked for, ascending.
    fn answers(&self, ask: &Ask) -> bool {
        let to = match (&self.to, &ask.to) {
            (Some(to), Some(asked)) => *to > ask.from && to <= asked,
            (Some(to), None) => *to > ask.from,
            (None, asked) => asked.is_none(),
        };
        let rows = match &self.rows {
            None => ask.have.is_some() && self.to == ask.to,
            Some(rows) => {
                rows.is_sorted_by(|(a, _), (b, _)| a < b)
                    && rows.first().is_none_or(|(first, _)| *first >= ask.from)
                    && rows.last().is_none_or(|(last, _)| self.to.as_ref().is_none_or(|to| last < to))
            }
        };
        to && rows && self.applied.position.index < MOST_INDEX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const ONE: NodeId = NodeId(1);
    const TWO: NodeId = NodeId(2);

    fn key(nth: u8) -> Bytes {
        Bytes::from(vec![0x80, nth])
    }

    /// A state of ten rows whose first `changed` have another value, after entry `index`.
    struct Sender {
        applied: AppliedRow,
        rows: Vec<(Bytes, Bytes)>,
    }

    impl Sender {
        fn new(index: Index, changed: u8) -> Sender {
            let row = |nth: u8| (key(nth), Bytes::from(vec![u8::from(nth < changed) * index as u8; 10]));
            let rows: Vec<_> = (0..10).map(row).collect();
            let position = Position { index, ..Position::default() };
            Sender { applied: AppliedRow { position, hash: sum_of(&rows), ..AppliedRow::default() }, rows }
        }

        /// What it answers: three rows a part.
        fn part(&self, ask: &Ask) -> Part {
            let within = |key: &Bytes| *key >= ask.from && ask.to.as_ref().is_none_or(|to| key < to);
            let mut rows: Vec<_> = self.rows.iter().filter(|(key, _)| within(key)).cloned().collect();
            let cut = rows.get(3).map(|(key, _)| key.clone());
            rows.truncate(3);
            let same = cut.is_none() && ask.have == Some(sum_of(&rows));
            let to = cut.or(ask.to.clone());
            Part { boot: ask.boot, id: ask.id, applied: self.applied, to, rows: (!same).then_some(rows) }
        }
    }

    struct Scene {
        receiver: Receiver,
        now: Instant,
        /// What was received, by the rules of the store.
        file: Option<BTreeMap<Bytes, Bytes>>,
        reached: Vec<&'static str>,
        installed: Option<AppliedRow>,
    }

    impl Scene {
        fn new() -> Scene {
            let receiver = Receiver::new(Boot(7), &Limits::default());
            let mut scene = Scene { receiver, now: Instant(1), file: None, reached: Vec::new(), installed: None };
            scene.receiver.set_source(Some(ONE), 1);
            scene
        }

        /// The next question, if there is one now; everything before it is carried out.
        fn ask(&mut self) -> Option<(NodeId, Ask)> {
            loop {
                match self.receiver.poll(self.now)? {
                    Step::Ask { of, ask } => return Some((of, ask)),
                    Step::Reached(point) => self.reached.push(point),
                    Step::Install(applied) => self.installed = Some(applied),
                    Step::Receive(Receive::Begin) => self.file = Some(BTreeMap::new()),
                    Step::Receive(Receive::Abandon) => self.file = None,
                    Step::Receive(Receive::Range { from, to, rows }) => {
                        let file = self.file.as_mut().unwrap();
                        file.retain(|key, _| *key < from || to.as_ref().is_some_and(|to| key >= to));
                        file.extend(rows);
                    }
                    Step::Receive(Receive::Install { .. }) => unreachable!(),
                }
            }
        }

        fn hear(&mut self, from: NodeId, part: Part) {
            self.receiver.handle_part(self.now, from, part);
        }

        /// The next question, at whatever time it comes.
        fn next_ask(&mut self) -> Option<(NodeId, Ask)> {
            if let Some(asked) = self.ask() {
                return Some(asked);
            }
            self.now = self.now.max(self.receiver.deadline()?);
            self.ask()
        }

        /// Answers so many questions; how many rows that took.
        fn answer(&mut self, sender: &Sender, times: usize) -> usize {
            let mut rows = 0;
            for _ in 0..times {
                let Some((of, ask)) = self.next_ask() else { break };
                let part = sender.part(&ask);
                rows += part.rows.as_ref().map_or(0, Vec::len);
                self.hear(of, part);
            }
            self.ask();
            rows
        }

        fn has_installed(&self, sender: &Sender) -> bool {
            let file: Vec<_> = self.file.iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
            self.installed == Some(sender.applied) && file[0].0 == APPLIED_KEY && file[1..] == sender.rows
        }
    }

    #[test]
    fn a_snapshot_comes_part_by_part_and_is_installed_when_it_is_whole() {
        let (mut scene, sender) = (Scene::new(), Sender::new(9, 10));
        assert_eq!(scene.answer(&sender, 99), 10);
        assert!(scene.has_installed(&sender));
        assert_eq!((scene.reached.as_slice(), scene.receiver.deadline()), (["snapshot.begun"].as_slice(), None));
    }

    #[test]
    fn an_empty_state_is_a_snapshot_too() {
        let (mut scene, mut sender) = (Scene::new(), Sender::new(9, 0));
        sender.rows.clear();
        sender.applied.hash = StateHash(0);
        scene.answer(&sender, 1);
        assert!(scene.has_installed(&sender));
    }

    #[test]
    fn a_lost_part_is_asked_for_again_and_one_that_comes_twice_counts_once() {
        let (mut scene, sender) = (Scene::new(), Sender::new(9, 10));
        let (_, lost) = scene.ask().unwrap();
        assert_eq!(scene.ask(), None, "one part is under way at a time");
        scene.now = scene.receiver.deadline().unwrap();
        let (_, again) = scene.ask().unwrap();
        assert_eq!(lost, again);
        scene.hear(ONE, sender.part(&again));
        scene.hear(ONE, sender.part(&again));
        assert_eq!(scene.answer(&sender, 99), 7);
        assert!(scene.has_installed(&sender));
    }

    #[test]
    fn what_nobody_asked_for_or_cannot_be_true_is_ignored() {
        let (mut scene, sender) = (Scene::new(), Sender::new(9, 10));
        let (_, ask) = scene.ask().unwrap();
        let good = sender.part(&ask);
        let bad: [&dyn Fn(&mut Part); 9] = [
            &|part| part.boot = Boot(6),
            &|part| part.id += 1,
            &|part| part.rows = None,
            &|part| part.to = Some(Bytes::from_static(FIRST_KEY)),
            &|part| part.to = None,
            &|part| part.to = Some(key(1)),
            &|part| part.rows.as_mut().unwrap().swap(0, 1),
            &|part| part.rows.as_mut().unwrap()[0].0 = Bytes::from_static(APPLIED_KEY),
            &|part| part.applied.position.index = u64::MAX,
        ];
        // The fifth is no lie about a range without an end: it says that there is nothing more, and then the hash is wrong.
        for (nth, spoil) in bad.iter().enumerate().filter(|(nth, _)| *nth != 4) {
            let mut part = good.clone();
            spoil(&mut part);
            scene.hear(ONE, part);
            assert_eq!((scene.ask(), &scene.file), (None, &None), "{nth}");
        }
        scene.hear(TWO, good.clone());
        assert_eq!((scene.ask(), &scene.file), (None, &None));
        scene.hear(ONE, good);
        assert!(scene.ask().is_some());
        scene.receiver.stop();
        assert_eq!((scene.ask(), &scene.file), (None, &None));
        scene.hear(ONE, sender.part(&ask));
        assert_eq!(scene.ask(), None);
    }

    #[test]
    fn another_snapshot_begins_again_and_asks_for_what_is_here_by_its_sum() {
        let (mut scene, old, new) = (Scene::new(), Sender::new(9, 0), Sender::new(12, 4));
        assert_eq!(scene.answer(&old, 3), 9);
        // Rows 0 to 3 have changed: the first part and the second are sent again, the third is not; the fourth came as the first one of the new snapshot.
        assert_eq!(scene.answer(&new, 99), 1 + 3 + 3);
        assert!(scene.has_installed(&new));
        assert_eq!(scene.reached, ["snapshot.begun", "snapshot.part_same", "snapshot.part_same"]);
    }

    #[cfg(feature = "zoo")]
    #[test]
    fn a_bug_of_the_zoo_makes_one_snapshot_of_the_parts_of_two() {
        let (mut scene, old, new) = (Scene::new(), Sender::new(9, 0), Sender::new(12, 4));
        scene.receiver.mixes = true;
        assert_eq!(scene.answer(&old, 3), 9);
        assert_eq!(scene.answer(&new, 99), 1);
        assert_eq!(scene.installed, Some(new.applied));
        assert_eq!(scene.file.unwrap().get(&key(0)), Some(&old.rows[0].1), "a row that the new one has changed");
    }

    #[test]
    fn another_leader_goes_on_where_the_old_one_stopped() {
        let (mut scene, old, new) = (Scene::new(), Sender::new(9, 0), Sender::new(12, 2));
        assert_eq!(scene.answer(&old, 2), 6);
        scene.receiver.set_source(None, 1);
        assert_eq!((scene.next_ask(), scene.receiver.deadline()), (None, None), "nobody is asked");
        scene.receiver.set_source(Some(TWO), 1);
        assert_eq!(scene.answer(&new, 99), 4 + 3);
        assert!(scene.has_installed(&new));
        assert!(scene.reached.contains(&"snapshot.resumed_elsewhere"));
        // The same snapshot at another node is no other one.
        let mut scene = Scene::new();
        assert_eq!(scene.answer(&old, 2), 6);
        scene.receiver.set_source(Some(TWO), 1);
        assert_eq!(scene.answer(&old, 99), 4);
        assert!(scene.has_installed(&old));
    }

    #[test]
    fn a_part_that_has_grown_is_asked_for_only_up_to_the_next_one() {
        let (mut scene, old, mut new) = (Scene::new(), Sender::new(9, 0), Sender::new(12, 0));
        assert_eq!(scene.answer(&old, 3), 9);
        new.rows.insert(1, (Bytes::from_static(&[0x80, 0, 5]), Bytes::from_static(b"new")));
        new.applied.hash = sum_of(&new.rows);
        assert_eq!(scene.answer(&new, 99), 1 + 3 + 1, "the first part has four rows now; the others are the same");
        assert!(scene.has_installed(&new));
    }

    #[test]
    fn parts_beyond_the_bound_are_received_and_not_remembered() {
        let (mut scene, old, new) = (Scene::new(), Sender::new(9, 0), Sender::new(12, 0));
        scene.receiver.most_parts = 1;
        assert_eq!(scene.answer(&old, 3), 9);
        assert_eq!(scene.answer(&new, 99), 1 + 3 + 3 + 1);
        assert!(scene.has_installed(&new));
    }

    #[test]
    fn rows_that_do_not_make_the_hash_that_is_claimed_are_thrown_away_and_asked_for_again() {
        let (mut scene, mut sender) = (Scene::new(), Sender::new(9, 10));
        let right = sender.applied.hash;
        sender.applied.hash = StateHash(right.0 + 1);
        scene.answer(&sender, 4);
        assert_eq!((scene.installed, &scene.file), (None, &None));
        assert_eq!(scene.reached, ["snapshot.begun", "snapshot.wrong_hash", "snapshot.abandoned"]);
        assert!(scene.receiver.deadline().unwrap() >= scene.now + ASK_AGAIN, "it is not asked at once");
        sender.applied.hash = right;
        assert_eq!(scene.answer(&sender, 99), 10);
        assert!(scene.has_installed(&sender));
    }

    #[test]
    fn a_snapshot_that_is_not_ahead_is_waited_for() {
        let (mut scene, behind, ahead) = (Scene::new(), Sender::new(9, 1), Sender::new(10, 1));
        scene.receiver.set_source(Some(ONE), 10);
        let (of, ask) = scene.ask().unwrap();
        scene.hear(of, behind.part(&ask));
        assert_eq!(scene.ask(), None);
        assert_eq!(scene.answer(&ahead, 99), 10);
        assert!(scene.has_installed(&ahead));
    }

    #[test]
    fn a_snapshot_that_has_become_useless_is_not_gone_on_with_but_what_came_of_it_is() {
        let (mut scene, old, new) = (Scene::new(), Sender::new(9, 0), Sender::new(12, 0));
        assert_eq!(scene.answer(&old, 2), 6);
        // The leader's log begins later now. A part of the old snapshot is still on its way.
        let (of, ask) = scene.next_ask().unwrap();
        assert_eq!(ask.at, Some(9));
        scene.receiver.set_source(Some(ONE), 11);
        scene.hear(of, old.part(&ask));
        let (_, ask) = scene.ask().unwrap();
        assert_eq!(ask.at, None);
        scene.hear(of, new.part(&ask));
        assert_eq!(scene.answer(&new, 99), 1);
        assert!(scene.has_installed(&new));
    }

    #[test]
    fn no_more_is_asked_for_than_the_rate_allows() {
        let (mut scene, sender) = (Scene::new(), Sender::new(9, 10));
        // Three rows of 12 bytes a part.
        scene.receiver.bytes_per_second = 36;
        let before = scene.now;
        scene.answer(&sender, 3);
        assert_eq!(scene.now.since(before), Duration::from_secs(2));
        assert_eq!(scene.receiver.deadline().unwrap().since(before), Duration::from_secs(3));
    }
}
