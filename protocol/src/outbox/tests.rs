//! Outboxes of a few nodes, with links between them and nothing else.

use super::kept::SLACK as SLACK_FOR_TESTS;
use super::*;
use crate::replica::message_id;
use crate::wire::{Kind, seal};
use alloc::format;
use alloc::string::String;

const START: Timestamp = Timestamp(1_700_000_000_000_000);

struct Net {
    now: Now,
    nodes: BTreeMap<NodeId, Outbox>,
    /// What each lane holds.
    disks: BTreeMap<NodeId, Vec<Bytes>>,
    links: BTreeSet<(NodeId, NodeId)>,
    wires: VecDeque<(NodeId, NodeId, OutboxMessage)>,
    shown: BTreeMap<NodeId, Vec<Order>>,
    points: Vec<&'static str>,
    bytes: u64,
    /// How far the wall clocks of nodes are off.
    ahead: BTreeMap<NodeId, u64>,
    settled: BTreeSet<(SessionId, Slot)>,
    limits: Limits,
    boots: u64,
}

impl Net {
    fn new(size: u64) -> Net {
        let mut net = Net {
            now: Now { instant: Instant(1_000_000), wall: START },
            nodes: BTreeMap::new(),
            disks: BTreeMap::new(),
            links: BTreeSet::new(),
            wires: VecDeque::new(),
            shown: BTreeMap::new(),
            points: Vec::new(),
            bytes: 0,
            ahead: BTreeMap::new(),
            settled: BTreeSet::new(),
            limits: Limits { outbox_bytes: 4 << 30, ..Limits::default() },
            boots: 0,
        };
        (1..=size).for_each(|id| net.start(NodeId(id), false));
        net
    }

    fn start(&mut self, id: NodeId, damaged: bool) {
        self.boots += 1;
        let mut outbox = Outbox::new(id, Boot(self.boots), &self.limits, self.now(id));
        let records = self.disks.entry(id).or_default().clone();
        outbox.restore(&records, damaged).unwrap();
        outbox.review(0, |session, slot| self.settled.contains(&(session, slot)));
        self.nodes.insert(id, outbox);
        self.run();
    }

    fn now(&self, id: NodeId) -> Now {
        let ahead = self.ahead.get(&id).copied().unwrap_or(0);
        Now { wall: self.now.wall.after_ms(ahead), ..self.now }
    }

    fn link(&mut self, a: u64, b: u64) {
        for (from, to) in [(a, b), (b, a)].map(|(from, to)| (NodeId(from), NodeId(to))) {
            self.links.insert((from, to));
            let now = self.now(from);
            self.nodes.get_mut(&from).unwrap().handle_link(now, to, Link::Up { boot: Boot(1) });
        }
        self.run();
    }

    fn unlink(&mut self, a: u64, b: u64) {
        for (from, to) in [(a, b), (b, a)].map(|(from, to)| (NodeId(from), NodeId(to))) {
            self.links.remove(&(from, to));
            let now = self.now(from);
            self.nodes.get_mut(&from).unwrap().handle_link(now, to, Link::Down);
        }
    }

    fn offered(session: u64, number: u64, text: &str) -> Offered {
        Offered {
            session: SessionId(session),
            identity: Identity::Number(number),
            first_unacked: 1,
            command: Bytes::copy_from_slice(text.as_bytes()),
        }
    }

    fn accept(&mut self, node: u64, session: u64, number: u64, text: &str) {
        let (id, now) = (NodeId(node), self.now(NodeId(node)));
        self.nodes.get_mut(&id).unwrap().accept(now, 0, Net::offered(session, number, text)).unwrap();
        self.run();
    }

    /// Until nothing is on its way.
    fn run(&mut self) {
        loop {
            for id in self.nodes.keys().copied().collect::<Vec<_>>() {
                let now = self.now(id);
                while let Some(output) = self.nodes.get_mut(&id).unwrap().poll_output() {
                    match output {
                        Output::Send { to, message, .. } => self.wires.push_back((id, to, message)),
                        Output::Keep { id: kept, keep } => {
                            let disk = self.disks.entry(id).or_default();
                            if keep.clear {
                                disk.clear();
                            }
                            disk.extend(keep.records);
                            self.nodes.get_mut(&id).unwrap().handle_kept(now, kept);
                        }
                        Output::Show { order } => self.shown.entry(id).or_default().push(order),
                        Output::Durable { .. } => {}
                    }
                }
                for fact in self.nodes.get_mut(&id).unwrap().take_facts() {
                    if let Fact::Reached { point } = fact {
                        self.points.push(point);
                    }
                }
            }
            let Some((from, to, message)) = self.wires.pop_front() else { return };
            if !self.links.contains(&(from, to)) {
                continue;
            }
            self.bytes += seal(Kind::Peer, &message).len() as u64;
            let (now, settled) = (self.now(to), &self.settled);
            let node = self.nodes.get_mut(&to).unwrap();
            node.handle_message(now, from, message, |session, slot| settled.contains(&(session, slot)));
        }
    }

    /// So much time passes.
    fn rest(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.now.instant += Duration::from_millis(10);
            self.now.wall = self.now.wall.after_ms(10);
            for id in self.nodes.keys().copied().collect::<Vec<_>>() {
                let now = self.now(id);
                self.nodes.get_mut(&id).unwrap().handle_timeout(now);
            }
            self.run();
        }
    }

    /// What a node holds, in its order.
    fn texts(&self, node: u64) -> Vec<String> {
        let text = |(_, entry): (&Order, &Entry)| String::from_utf8(entry.command.to_vec()).unwrap();
        self.nodes[&NodeId(node)].shown().map(text).collect()
    }

    /// The log has brought this request to a node.
    fn settle(&mut self, node: u64, session: u64, number: u64, by: Index) {
        let request = (SessionId(session), Slot::Number(number));
        self.settled.insert(request);
        let node = self.nodes.get_mut(&NodeId(node)).unwrap();
        node.settle(request, by);
        node.handle_applied(by);
        self.run();
    }
}

#[test]
fn what_one_accepts_the_others_hold_and_a_chain_of_links_is_enough() {
    let mut net = Net::new(4);
    (1..4).for_each(|node| net.link(node, node + 1));
    net.accept(1, 10, 1, "a");
    net.accept(4, 11, 1, "b");
    net.rest(2_000);
    for node in 1..=4 {
        assert_eq!(net.texts(node), ["a", "b"], "node {node}");
    }
    let request = (SessionId(10), Slot::Number(1));
    assert_eq!(net.nodes[&NodeId(1)].copies(&request), 2, "as far as it is told");
    assert_eq!(net.nodes[&NodeId(2)].copies(&request), 3);
}

#[test]
fn an_entry_is_taken_only_behind_what_its_writer_had_seen() {
    let mut net = Net::new(3);
    net.accept(1, 10, 1, "question");
    net.link(2, 3);
    net.links.remove(&(NodeId(2), NodeId(3)));
    net.link(1, 2);
    net.rest(20);
    net.links.insert((NodeId(2), NodeId(3)));
    // Node 3 has not heard of the question when the answer is pushed.
    net.accept(2, 11, 1, "answer");
    assert!(net.points.contains(&"outbox.held_for_seen"));
    assert_eq!(net.texts(3), ["question", "answer"]);
    net.accept(2, 11, 2, "more");
    assert_eq!(net.texts(3), ["question", "answer", "more"]);
}

#[test]
fn a_push_that_was_lost_leaves_a_hole_that_is_closed_before_anything_behind_it_is_taken() {
    let mut net = Net::new(2);
    net.link(1, 2);
    net.links.remove(&(NodeId(1), NodeId(2)));
    net.accept(1, 10, 1, "lost");
    net.links.insert((NodeId(1), NodeId(2)));
    net.accept(1, 10, 2, "next");
    assert!(net.points.contains(&"outbox.hole"));
    assert_eq!(net.texts(2), ["lost", "next"]);
}

#[test]
fn a_clock_that_is_ahead_moves_nobody_elses_messages_and_is_reported() {
    let mut net = Net::new(3);
    net.ahead.insert(NodeId(1), 3_600_000);
    (1..=3).for_each(|a| (a + 1..=3).for_each(|b| net.link(a, b)));
    net.accept(2, 12, 1, "before");
    net.accept(1, 10, 1, "from the future");
    net.accept(2, 11, 1, "after it");
    net.rest(1_000);
    net.accept(3, 13, 1, "later");
    assert_eq!(net.texts(3), ["before", "from the future", "after it", "later"]);
    let written = |node: u64| net.nodes[&NodeId(node)].shown().map(|(_, entry)| entry.written_at).collect::<Vec<_>>();
    let written = written(3);
    assert!(written[1] > START.after_ms(3_000_000), "it says what its clock says");
    assert!(written[2] < START.after_ms(1_000) && written[3] < START.after_ms(2_500), "nobody else goes with it");
    net.rest(600);
    assert!(matches!(net.nodes[&NodeId(2)].clocks_ahead()[..], [(NodeId(1), ms)] if ms > 3_599_000));
}

#[test]
fn what_is_settled_elsewhere_is_not_sent_and_what_lies_behind_it_is_taken() {
    let mut net = Net::new(2);
    for number in 1..=5 {
        net.accept(1, 10, number, &format!("{number}"));
    }
    for number in 1..=3 {
        net.settle(1, 10, number, 100 + number);
    }
    net.link(1, 2);
    net.rest(600);
    assert_eq!(net.nodes[&NodeId(2)].len(), 2);
    assert_eq!(net.texts(2), [""; 0], "the state of node 2 has not come to what they depend on");
    net.nodes.get_mut(&NodeId(2)).unwrap().handle_applied(103);
    net.run();
    assert_eq!(net.texts(2), ["4", "5"]);
}

#[test]
fn a_start_finds_everything_in_order_and_writes_no_place_a_second_time() {
    let mut net = Net::new(2);
    net.link(1, 2);
    net.accept(1, 10, 1, "a");
    net.accept(2, 11, 1, "b");
    net.accept(1, 10, 2, "c");
    let own = net.nodes[&NodeId(1)].own;
    net.start(NodeId(1), false);
    assert_eq!(net.texts(1), ["a", "b", "c"]);
    net.accept(1, 10, 3, "d");
    let outboxes: BTreeSet<OutboxId> = net.nodes[&NodeId(1)].shown().map(|(_, entry)| entry.outbox).collect();
    assert!(outboxes.len() == 3 && outboxes.contains(&own));
    assert_eq!(net.nodes[&NodeId(1)].next_number(SessionId(10)), Some(4));
}

/// What is settled elsewhere is not sent, and what lies behind it is. A start finds that again.
#[test]
fn a_start_finds_entries_behind_what_was_never_held() {
    let mut net = Net::new(2);
    net.link(1, 2);
    net.accept(1, 10, 1, "1");
    net.unlink(1, 2);
    for number in 2..=5 {
        net.accept(1, 10, number, &format!("{number}"));
    }
    for number in 1..=3 {
        net.settle(1, 10, number, number);
    }
    // Node 2 holds the first one, whose end it has not heard of, and gets the last two.
    net.settled.clear();
    net.link(1, 2);
    net.rest(1_000);
    let held = |net: &Net| net.nodes[&NodeId(2)].open.iter().map(|(_, outbox, n)| (outbox.node, *n)).collect::<Vec<_>>();
    let before = [(NodeId(1), 1), (NodeId(1), 4), (NodeId(1), 5)];
    assert_eq!(held(&net), before);
    net.start(NodeId(2), false);
    assert_eq!(held(&net), before, "under their own names");
    // And after the file was written anew.
    let node = net.nodes.get_mut(&NodeId(2)).unwrap();
    node.lane.bytes += 2 * SLACK_FOR_TESTS;
    node.shrink();
    net.run();
    net.start(NodeId(2), false);
    assert_eq!(held(&net), before);
}

/// Records rot. What lies behind them is not lost with them: it is carried by the new outbox, under the same identity.
#[test]
fn what_stands_behind_a_hole_on_disk_is_carried_anew() {
    let mut net = Net::new(2);
    for number in 1..=4 {
        net.accept(1, 10, number, &format!("{number}"));
    }
    net.disks.get_mut(&NodeId(1)).unwrap().remove(1);
    net.start(NodeId(1), true);
    assert_eq!(net.texts(1), ["1", "3", "4"]);
    net.link(1, 2);
    net.rest(1_000);
    assert_eq!(net.texts(2), ["1", "3", "4"]);
    let id = |number| message_id(SessionId(10), Slot::Number(number));
    let ids: Vec<MessageId> = net.nodes[&NodeId(2)].shown().map(|(_, entry)| entry.id()).collect();
    assert_eq!(ids, [id(1), id(3), id(4)]);
}

#[test]
fn records_of_settled_entries_do_not_stay() {
    let mut net = Net::new(1);
    let text = "x".repeat(1_000);
    for number in 1..=3_000 {
        net.accept(1, 10, number, &text);
        if number > 10 {
            net.settle(1, 10, number - 10, number);
        }
    }
    let bytes: usize = net.disks[&NodeId(1)].iter().map(Bytes::len).sum();
    assert!(bytes < 2_500_000, "{bytes}");
    net.start(NodeId(1), false);
    assert_eq!(net.nodes[&NodeId(1)].len(), 10);
    for number in 2_991..=3_000 {
        net.settle(1, 10, number, 4_000);
    }
    assert!(net.disks[&NodeId(1)].is_empty());
    assert_eq!(net.nodes[&NodeId(1)].bytes, 0);
}

/// Two sides of `common + apart` messages each that have the first `common` of them together: the bytes that cross the wire until both hold all, and those of the messages
/// that were missing.
fn reconcile(common: u64, apart: u64) -> (u64, u64) {
    let mut net = Net::new(4);
    net.link(1, 2);
    net.link(3, 4);
    net.link(2, 3);
    let text = |session: u64, number: u64| {
        format!("message {number} of {session}, of a usual length: so many words, and then some more of them.")
    };
    for number in 1..=common / 2 {
        net.accept(1, 10, number, &text(10, number));
        net.accept(4, 11, number, &text(11, number));
    }
    net.rest(2_000);
    net.unlink(2, 3);
    for number in 1..=apart / 2 {
        net.accept(1, 12, number, &text(12, number));
        net.accept(4, 13, number, &text(13, number));
    }
    net.rest(2_000);
    let missing: u64 = net.nodes[&NodeId(1)]
        .known
        .values()
        .chain(net.nodes[&NodeId(4)].known.values())
        .flat_map(|known| known.entries.values())
        .filter(|held| held.entry.session.0 > 11)
        .map(|held| seal(Kind::Peer, &held.entry).len() as u64)
        .sum();
    net.bytes = 0;
    // Every node of one side reaches every node of the other.
    for (a, b) in [(1, 3), (1, 4), (2, 3), (2, 4)] {
        net.link(a, b);
    }
    net.rest(3_000);
    for node in 1..=4 {
        assert_eq!(net.nodes[&NodeId(node)].len(), common / 2 * 2 + apart / 2 * 2, "node {node}");
    }
    // Both nodes of a side lack the messages of the other side.
    (net.bytes, 2 * missing)
}

#[test]
fn two_sides_send_each_other_little_more_than_what_is_missing() {
    let (bytes, missing) = reconcile(20_000, 400);
    assert!(bytes <= 2 * missing, "{bytes} bytes for {missing} that were missing");
}

/// As above, with the figures that the documents name: `cargo test --release -p tertulia-protocol --lib outbox -- --ignored --nocapture`.
#[test]
#[ignore = "it takes gigabytes of memory"]
fn ten_thousand_of_a_million() {
    let (bytes, missing) = reconcile(1_000_000, 10_000);
    extern crate std;
    std::println!("{bytes} bytes were sent, {missing} were missing: {:.3} times as many", bytes as f64 / missing as f64);
    assert!(bytes <= 2 * missing);
}
