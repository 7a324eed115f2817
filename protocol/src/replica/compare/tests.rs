//! Nodes that apply rows and compare, without raft.

use super::*;

const EVERY: u64 = 8;

struct Node {
    compare: Compare,
    rows: BTreeMap<Vec<u8>, u64>,
    hash: StateHash,
    index: Index,
}

struct Stage {
    now: Instant,
    nodes: BTreeMap<NodeId, Node>,
    wires: VecDeque<(NodeId, NodeId, CompareMessage)>,
    reports: Vec<(u64, Divergence)>,
    /// Messages of which this holds are lost.
    lost: fn(&CompareMessage) -> bool,
    sent: usize,
}

fn limits() -> Limits {
    Limits { compare_every: EVERY as u32, compare_window: 64, ..Limits::default() }
}

fn row(table: u8, number: u64) -> Vec<u8> {
    [&[table][..], &number.to_be_bytes()].concat()
}

impl Stage {
    fn new(size: u64) -> Stage {
        let mut stage = Stage {
            now: Instant(1),
            nodes: BTreeMap::new(),
            wires: VecDeque::new(),
            reports: Vec::new(),
            lost: |_| false,
            sent: 0,
        };
        for id in 1..=size {
            stage.start(id, size);
        }
        stage
    }

    /// A node starts, with the rows that it had.
    fn start(&mut self, id: u64, size: u64) {
        let before = self.nodes.remove(&NodeId(id));
        let (rows, hash, index) = before.map_or_else(Default::default, |node| (node.rows, node.hash, node.index));
        let mut compare = Compare::new(&limits(), index, hash);
        compare.set_members(1, (1..=size).filter(|other| *other != id).map(NodeId));
        self.nodes.insert(NodeId(id), Node { compare, rows, hash, index });
    }

    fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&NodeId(id)).unwrap()
    }

    /// A node applies one entry, which writes these rows.
    fn apply(&mut self, id: u64, writes: &[(Vec<u8>, Option<u64>)]) {
        let now = self.now;
        let node = self.node(id);
        node.index += 1;
        let mut changes = node.compare.lend();
        for (key, new) in writes {
            let old = match new {
                Some(new) => node.rows.insert(key.clone(), *new),
                None => node.rows.remove(key),
            };
            note(changes.as_mut().unwrap(), key, old, *new);
            node.hash = node.hash.replaced(old, *new);
        }
        node.compare.applied(now, node.index, node.hash, &mut changes);
        node.compare.give_back(changes);
    }

    /// All apply the same entries.
    fn apply_all(&mut self, count: u64) {
        for id in self.ids() {
            self.apply_some(id, count);
        }
        self.run();
    }

    fn apply_some(&mut self, id: u64, count: u64) {
        for _ in 0..count {
            let index = self.node(id).index + 1;
            self.apply(id, &[(row(1, index), Some(index)), (row(2, 0), Some(index))]);
        }
    }

    fn ids(&self) -> Vec<u64> {
        self.nodes.keys().map(|id| id.0).collect()
    }

    fn run(&mut self) {
        loop {
            for (id, node) in &mut self.nodes {
                while node.compare.has_work
                    && let Some(step) = node.compare.poll(self.now, describe_key)
                {
                    match step {
                        Step::Send(to, message) if !(self.lost)(&message) => self.wires.push_back((*id, to, message)),
                        Step::Send(..) => {}
                        Step::Report(divergence) => self.reports.push((id.0, *divergence)),
                    }
                    self.sent += 1;
                }
            }
            let Some((from, to, message)) = self.wires.pop_front() else { break };
            let now = self.now;
            self.node(to.0).compare.handle(now, from, message);
        }
    }

    /// Time passes until nobody waits for anything.
    fn rest(&mut self) {
        self.run();
        while let Some(at) = self.nodes.values().filter_map(|node| node.compare.deadline()).min() {
            self.now = self.now.max(at);
            for node in self.nodes.values_mut() {
                node.compare.handle_timeout(self.now);
            }
            self.run();
        }
    }

    /// Whom each report is of and about, the entry, and whether it says "or before".
    fn found(&self) -> Vec<(u64, u64, Index, bool)> {
        let mut found: Vec<_> = self.reports.iter().map(|(of, said)| (*of, said.peer.0, said.first, said.earlier)).collect();
        found.sort_unstable();
        found
    }
}

#[test]
fn equal_states_are_compared_now_and_then_and_nothing_is_reported() {
    let mut stage = Stage::new(3);
    stage.apply_all(10 * EVERY);
    assert_eq!(stage.sent, 3 * 2, "those that are applied together are compared once");
    stage.rest();
    assert_eq!(stage.sent, 3 * 2);
    for _ in 0..EVERY {
        stage.apply_all(1);
    }
    assert_eq!(stage.sent, 2 * 3 * 2);
    stage.apply_all(1);
    let before = stage.now;
    stage.rest();
    assert_eq!((stage.sent, stage.now.since(before)), (3 * 3 * 2, TELL_WITHIN), "the last one waits for no other");
    assert_eq!((stage.reports.len(), stage.node(1).compare.deadline()), (0, None));
}

#[test]
fn who_parts_is_reported_once_by_all_with_the_entry_the_rows_and_who_agrees() {
    let mut stage = Stage::new(3);
    stage.apply_all(EVERY + 2);
    stage.apply(2, &[(row(1, 11), Some(7)), (row(3, 5), Some(1)), (row(2, 0), Some(11))]);
    for id in [1, 3] {
        stage.apply_some(id, 1);
    }
    stage.apply_all(EVERY);
    stage.apply_all(EVERY);
    stage.rest();
    assert_eq!(stage.found(), [(1, 2, 11, false), (2, 1, 11, false), (2, 3, 11, false), (3, 2, 11, false)]);
    for (of, said) in &stage.reports {
        let (with_this, with_peer): (&[u64], &[u64]) = match (of, said.peer.0) {
            (1, _) => (&[3], &[]),
            (3, _) => (&[1], &[]),
            (_, 1) => (&[], &[3]),
            _ => (&[], &[1]),
        };
        let ids = |nodes: &[NodeId]| nodes.iter().map(|id| id.0).collect::<Vec<_>>();
        assert_eq!((ids(&said.with_this).as_slice(), ids(&said.with_peer).as_slice()), (with_this, with_peer));
        let rows: Vec<&str> = said.rows.iter().map(|row| row.row.as_str()).collect();
        assert_eq!((rows, said.more_rows, said.through), (Vec::from(["row 01 (11)", "row 03 (5)"]), 0, 16));
    }
    let (right, wrong) = (RowChange { old: None, new: Some(11) }, RowChange { old: None, new: Some(7) });
    let (_, said) = stage.reports.iter().find(|(of, _)| *of == 1).unwrap();
    assert_eq!((said.rows[0].here, said.rows[0].there), (Some(right), Some(wrong)));
    assert_eq!(said.rows[1].here, None, "the others did not touch it");
    assert_eq!(stage.node(1).compare.divergences().len(), 1);
    assert_eq!(stage.node(1).compare.divergences()[0].through, 27, "it still differs");
}

#[test]
fn the_first_entry_is_named_although_the_state_was_equal_again_in_between() {
    let mut stage = Stage::new(2);
    stage.apply(1, &[(row(9, 1), Some(1))]);
    stage.apply(2, &[(row(9, 1), Some(2))]);
    for id in [1, 2] {
        stage.apply(id, &[(row(9, 1), None)]);
    }
    stage.apply_all(3);
    stage.apply(1, &[(row(9, 2), Some(1))]);
    stage.apply(2, &[(row(9, 2), Some(2))]);
    stage.apply_all(EVERY);
    assert_eq!(stage.found(), [(1, 2, 1, false), (2, 1, 1, false)]);
}

#[test]
fn what_began_before_anybody_can_remember_is_said_to_be_so_old() {
    let mut stage = Stage::new(2);
    stage.lost = |_| true;
    stage.apply(1, &[(row(9, 1), Some(1))]);
    stage.apply(2, &[]);
    stage.apply_all(200);
    stage.lost = |_| false;
    stage.apply_all(EVERY);
    assert_eq!(stage.found(), [(1, 2, 145, true), (2, 1, 145, true)], "209 are applied, and 64 are remembered");
    assert!(stage.reports.iter().all(|(_, said)| said.rows.is_empty()));
}

#[test]
fn a_node_that_has_restarted_knows_no_more_than_where_it_was() {
    let mut stage = Stage::new(2);
    stage.apply(1, &[(row(9, 1), Some(1))]);
    stage.apply(2, &[]);
    stage.start(2, 2);
    stage.apply_all(EVERY);
    assert_eq!(stage.found(), [(1, 2, 1, true), (2, 1, 1, true)]);
    // And once more it is asked when the link is up, if nothing else happens.
    stage.start(2, 2);
    stage.reports.clear();
    stage.node(1).compare.greet(NodeId(2));
    stage.run();
    assert_eq!(stage.found(), [(2, 1, 9, true)], "the other one has reported it already");
}

#[test]
fn a_slow_node_is_compared_when_it_comes_there_and_a_fast_one_remembers_for_it() {
    let mut stage = Stage::new(2);
    for _ in 0..50 {
        stage.apply_some(1, EVERY);
        stage.run();
    }
    assert_eq!(stage.nodes[&NodeId(2)].compare.peers[&NodeId(1)].ahead.len(), MOST_AHEAD);
    stage.apply(2, &[]);
    stage.apply_some(2, EVERY - 2);
    stage.run();
    assert_eq!(stage.found(), []);
    stage.apply_some(2, 1);
    stage.run();
    // What the fast one has forgotten cannot be found any more; that they differ is known by the checkpoints.
    assert_eq!(stage.found(), [(1, 2, 8, true), (2, 1, 8, true)]);
}

#[test]
fn answers_that_do_not_come_are_not_waited_for() {
    let parts = |lost| {
        let mut stage = Stage::new(3);
        stage.lost = lost;
        stage.apply(1, &[(row(9, 1), Some(1))]);
        stage.apply(2, &[]);
        stage.apply(3, &[]);
        stage.apply_all(EVERY);
        let before = stage.now;
        stage.rest();
        let (_, said) = stage.reports.iter().find(|(of, said)| (*of, said.peer.0) == (2, 1)).unwrap().clone();
        (stage.now.since(before).as_secs(), said.first, said.earlier, said.rows.len(), said.with_this)
    };
    assert_eq!(parts(|message| matches!(message, CompareMessage::Rows { .. })), (6, 1, false, 0, Vec::from([NodeId(3)])));
    let silent = |message: &CompareMessage| matches!(message, CompareMessage::Hashes { .. });
    // At 8 of 9; node 1 asks two nodes, one after the other, each question three times.
    assert_eq!(parts(silent), (12, 8, true, 0, Vec::new()));
}

#[test]
fn a_snapshot_makes_all_good_and_what_parts_then_is_another_report() {
    let mut stage = Stage::new(2);
    stage.apply(1, &[(row(9, 1), Some(1))]);
    stage.apply(2, &[]);
    stage.apply_all(EVERY);
    stage.rest();
    assert_eq!(stage.reports.len(), 2);
    let (now, rows, hash, index) = (stage.now, stage.node(1).rows.clone(), stage.node(1).hash, stage.node(1).index);
    let node = stage.node(2);
    (node.rows, node.hash, node.index) = (rows, hash, index);
    node.compare.jumped(now, index, hash);
    assert!(node.compare.divergences().is_empty());
    stage.rest();
    assert_eq!(stage.node(1).compare.divergences().len(), 1, "that they agree where they differed may be old news");
    stage.apply_all(EVERY);
    stage.rest();
    assert!(stage.node(1).compare.divergences().is_empty(), "they have agreed at a later place");
    stage.reports.clear();
    stage.apply(2, &[(row(9, 2), Some(1))]);
    stage.apply(1, &[]);
    stage.apply_all(EVERY);
    stage.rest();
    assert_eq!(stage.found(), [(1, 2, 18, false), (2, 1, 18, false)]);
}

#[test]
fn of_many_rows_some_are_named_and_the_rest_is_counted() {
    let mut stage = Stage::new(2);
    let many = |value| (0..400).map(|number| (row(9, number), Some(value))).collect::<Vec<_>>();
    stage.apply(1, &many(1));
    stage.apply(2, &many(2));
    stage.apply_all(EVERY);
    let (_, said) = &stage.reports[0];
    assert_eq!((said.rows.len(), said.more_rows), (MOST_NAMED, (MOST_ROWS - MOST_NAMED) as u32));
    assert_eq!(said.rows[0].row, "row 09 (0)");
}

#[test]
fn what_strangers_say_and_what_cannot_be_is_not_looked_at() {
    let mut stage = Stage::new(2);
    stage.apply_all(EVERY);
    let (now, hash) = (stage.now, StateHash(1));
    for message in [
        CompareMessage::Told { index: 3, hash },
        CompareMessage::Told { index: u64::MAX, hash },
        CompareMessage::Hashes { from: u64::MAX, hashes: Vec::from([hash, hash]) },
        CompareMessage::AskHashes { from: 0, through: u64::MAX },
        CompareMessage::AskRows { index: u64::MAX },
        CompareMessage::Rows { index: u64::MAX, rows: None, cut: true },
    ] {
        let stranger = NodeId(if matches!(message, CompareMessage::Told { index: 3, .. }) { 9 } else { 2 });
        stage.node(1).compare.handle(now, stranger, message);
    }
    let node = stage.node(1);
    assert_eq!(node.compare.poll(now, describe_key), None);
    // Answers that nobody asked for.
    stage.node(1).compare.handle(now, NodeId(2), CompareMessage::Hashes { from: 3, hashes: Vec::from([hash]) });
    stage.node(1).compare.handle(now, NodeId(2), CompareMessage::Rows { index: 3, rows: None, cut: false });
    stage.rest();
    assert_eq!(stage.found(), []);
}

#[test]
fn who_has_not_heard_of_the_other_hears_it_with_the_first_difference() {
    let mut stage = Stage::new(2);
    stage.apply(1, &[(row(9, 1), Some(1))]);
    stage.apply(2, &[]);
    stage.lost = |_| true;
    stage.apply_some(1, EVERY - 1);
    stage.run();
    stage.lost = |_| false;
    stage.apply_some(2, EVERY - 1);
    stage.run();
    assert_eq!(stage.found(), [(1, 2, 1, false), (2, 1, 1, false)]);
}

#[test]
fn a_member_that_goes_is_not_waited_for() {
    let mut stage = Stage::new(3);
    stage.lost = |message| !matches!(message, CompareMessage::Told { .. });
    stage.apply(1, &[(row(9, 1), Some(1))]);
    stage.apply(2, &[]);
    stage.apply(3, &[(row(9, 1), Some(1))]);
    stage.apply_all(EVERY);
    assert!(stage.node(1).compare.inquiry.is_some());
    stage.node(1).compare.set_members(2, [NodeId(3)].into_iter());
    assert!(stage.node(1).compare.inquiry.is_none());
    assert_eq!(stage.node(1).compare.peers.len(), 1);
}
