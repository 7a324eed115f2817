//! Where two rules meet: changes of members, snapshots, lost rows, leaders that go. Bare replicas in one process, whose disks and wires never fail unless a test says so.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;

use common::{CLUSTER, Disk};
use std::collections::{BTreeMap, VecDeque};
use tertulia_protocol::contract::*;
use tertulia_protocol::dice::Seed;
use tertulia_protocol::ids::*;
use tertulia_protocol::node::{Config, Node};
use tertulia_protocol::raft::{Change, Changing, Configuration, Entry, FromRows, Member, Output, Raft, RaftMessage};
use tertulia_protocol::succession::{Policy, Succession};
use tertulia_protocol::time::{Duration, Instant, Timestamp};
use tertulia_protocol::wire::handshake::{HelloRefusal, PeerIdentity};
use tertulia_protocol::wire::{Kind, seal};

fn member(id: u64) -> Member {
    Member { id: NodeId(id), peer_address: format!("n{id}:1"), client_address: String::new(), incarnation: None }
}

fn members(ids: &[u64]) -> Vec<Member> {
    ids.iter().copied().map(member).collect()
}

fn config(id: u64, voters: &[u64]) -> Config {
    let mut config = Config::new(NodeId(id), CLUSTER, members(voters), Seed(1));
    let long = Duration::from_secs(3_600);
    (config.succession_timing.probe, config.succession_timing.evaluation) = (long, long);
    config
}

/// What a store holds whose rows and log begin at a place.
fn restored(id: u64, at: Position) -> Restored {
    let vote = Vote { term: at.term, voted_for: None };
    Restored { vote, applied: at, start: at, ..Restored::empty(Incarnation(u128::from(id)), Boot(1)) }
}

struct Cluster {
    rafts: BTreeMap<NodeId, Raft>,
    disks: BTreeMap<NodeId, Disk>,
    wires: VecDeque<(NodeId, NodeId, RaftMessage)>,
    now: Now,
    /// A node that no message reaches or leaves.
    cut: Option<NodeId>,
    /// A node whose disk stands still.
    stalled: Option<NodeId>,
}

impl Cluster {
    fn new() -> Cluster {
        let now = Now { instant: Instant(1), wall: Timestamp(1_700_000_000_000_000) };
        Cluster { rafts: BTreeMap::new(), disks: BTreeMap::new(), wires: VecDeque::new(), now, cut: None, stalled: None }
    }

    /// Replicas that go on after `at`, with rows that say who the members are.
    fn of(ids: &[u64], at: Position, configuration: &Configuration) -> Cluster {
        let mut cluster = Cluster::new();
        for id in ids {
            let rows = FromRows { configuration: Some(configuration.clone()), ..FromRows::default() };
            let raft = Raft::restore(&config(*id, ids), &restored(*id, at), rows, cluster.now);
            cluster.rafts.insert(NodeId(*id), raft);
            cluster.disks.insert(NodeId(*id), Disk { start: at, ..Disk::default() });
        }
        cluster
    }

    fn leader(&self) -> Option<NodeId> {
        self.rafts.iter().filter(|(id, _)| self.cut != Some(**id)).find(|(_, raft)| raft.is_leader()).map(|(id, _)| *id)
    }

    fn drain(&mut self) {
        for (id, raft) in &mut self.rafts {
            while let Some(output) = raft.poll_output() {
                let disk = self.disks.get_mut(id).unwrap();
                match output {
                    Output::Send { to, message, .. } => self.wires.push_back((*id, to, message)),
                    Output::Store { id: batch_id, batch } => {
                        if self.stalled != Some(*id) {
                            disk.write(batch);
                            raft.handle_stored(self.now, batch_id);
                        }
                    }
                    Output::Load { id: load, query } => raft.handle_loaded(load, Ok(disk.read(&query))),
                    Output::ReadReady { .. } | Output::Behind { .. } => {}
                    Output::Halt { reason } => {
                        assert!(matches!(reason, tertulia_protocol::node::HaltReason::Removed { .. }), "{reason}")
                    }
                }
            }
            while raft.next_committed().is_some() {}
        }
    }

    fn settle(&mut self) {
        self.drain();
        while let Some((from, to, message)) = self.wires.pop_front() {
            let cut = self.cut == Some(from) || self.cut == Some(to);
            if let Some(raft) = self.rafts.get_mut(&to).filter(|_| !cut) {
                raft.handle_message(self.now, from, message);
            }
            self.drain();
        }
    }

    /// Time goes on until `done`, or for at most a minute.
    fn run_until(&mut self, what: &str, mut done: impl FnMut(&Cluster) -> bool) {
        let end = self.now.instant + Duration::from_secs(60);
        self.settle();
        while !done(self) {
            let next = self.rafts.values().filter_map(Raft::poll_timeout).min().unwrap_or(end);
            let at = next.max(self.now.instant + Duration::from_micros(10));
            assert!(at < end, "{what}: not within a minute");
            self.now.wall = Timestamp(self.now.wall.0 + at.since(self.now.instant).as_micros() as u64);
            self.now.instant = at;
            for raft in self.rafts.values_mut() {
                raft.handle_timeout(self.now);
            }
            self.settle();
        }
    }
}

/// A place that everybody's rows contain.
const SETTLED: Position = Position { index: 20, term: 3, chain: 77 };

/// The leader that committed the joint configuration has gone, and its next entry with it. That the change must go on from there is known to nobody by an entry that
/// is still to be committed.
#[test]
fn a_leader_that_finds_a_joint_configuration_committed_already_finishes_the_change() {
    let three = Configuration::of_voters(members(&[1, 2, 3]));
    let joint = three.after(&Change::Remove { node: NodeId(3) }).unwrap().unwrap();
    assert!(joint.is_joint());
    let mut cluster = Cluster::of(&[1, 2, 3], SETTLED, &joint);
    cluster.run_until("a leader", |cluster| cluster.leader().is_some());
    cluster.run_until("the change is done", |cluster| {
        cluster.leader().is_some_and(|leader| !cluster.rafts[&leader].committed_configuration().is_joint())
    });
    let leader = cluster.leader().unwrap();
    assert_eq!(cluster.rafts[&leader].configuration().voters(), [1, 2].map(NodeId));
}

/// What a newcomer was started with may name only some of the members. Others are not to be taken for removed ones only because a configuration stands in its log that
/// is not known to be committed.
#[test]
fn a_newcomer_that_was_told_of_some_members_does_not_take_the_others_for_removed_ones() {
    let configuration = Configuration::of_voters(members(&[1, 2, 7]));
    let now = Now { instant: Instant(1), wall: Timestamp(1) };
    let first = Entry::after(Position::default(), 1, Timestamp(1), seal(Kind::Membership, &configuration));
    let second = Entry::after(first.position(), 1, Timestamp(1), seal(Kind::Noop, &()));
    let mut raft = Raft::restore(&config(7, &[2, 7]), &restored(7, Position::default()), FromRows::default(), now);
    for (previous, entry) in [(Position::default(), &first), (first.position(), &second)] {
        let append = RaftMessage::Append { term: 1, previous, entries: vec![entry.clone()], commit: 0, round: 1 };
        raft.handle_message(now, NodeId(1), append);
    }
    assert_eq!(raft.last(), second.position(), "the leader is n1, which nobody had told it of");
}

/// Two join at one moment: the one with the lower id may be told of the other one before itself. That list is no history, and says nobody is removed; a start whose rows are
/// behind its log must not end with "removed" (churn.toml, seeds 26 and 30 on turmoil).
#[test]
fn a_newcomer_that_was_told_of_a_later_one_does_not_take_itself_for_removed() {
    let configuration = Configuration::of_voters(members(&[1, 2, 3, 4, 5]));
    let now = Now { instant: Instant(1), wall: Timestamp(1) };
    let first = Entry::after(Position::default(), 1, Timestamp(1), seal(Kind::Membership, &configuration));
    let found = Restored { log: vec![first], ..restored(4, Position::default()) };
    let mut raft = Raft::restore(&config(4, &[1, 2, 3, 5]), &found, FromRows::default(), now);
    raft.handle_timeout(now);
    while let Some(output) = raft.poll_output() {
        assert!(!matches!(output, Output::Halt { .. }), "{output:?}");
    }
    assert!(raft.configuration().is_voter(NodeId(4)));
}

fn succession_entry(previous: Position, policy: Policy) -> Entry {
    let succession = Succession::default().revised(&policy, Vec::new()).unwrap();
    Entry::after(previous, 3, Timestamp(1), seal(Kind::Succession, &succession))
}

/// An operator who asks for it once more must not hear that it is done.
#[test]
fn a_policy_that_is_cut_off_the_log_has_never_been_one() {
    let three = Configuration::of_voters(members(&[1, 2, 3]));
    let rows = FromRows { configuration: Some(three), ..FromRows::default() };
    let now = Now { instant: Instant(1), wall: Timestamp(1) };
    let mut raft = Raft::restore(&config(1, &[1, 2, 3]), &restored(1, SETTLED), rows, now);
    let lost = succession_entry(SETTLED, Policy::Central);
    let other = Entry::after(SETTLED, 4, Timestamp(1), seal(Kind::Noop, &()));
    for (term, entry) in [(3, lost), (4, other)] {
        let append = RaftMessage::Append { term, previous: SETTLED, entries: vec![entry], commit: 20, round: 1 };
        raft.handle_message(now, NodeId(term - 1), append);
        let standing = raft.succession_by_log();
        assert_eq!((standing.epoch, standing.policy == Policy::Central), if term == 3 { (1, true) } else { (0, false) });
    }
}

#[test]
fn a_policy_that_stands_in_the_log_at_a_start_is_not_done_before_it_is_committed() {
    let alone = FromRows { configuration: Some(Configuration::of_voters(members(&[1]))), ..FromRows::default() };
    let start = Now { instant: Instant(1), wall: Timestamp(1) };
    let log = vec![succession_entry(SETTLED, Policy::Central)];
    let mut raft = Raft::restore(&config(1, &[1]), &Restored { log, ..restored(1, SETTLED) }, alone, start);
    let now = Now { instant: raft.poll_timeout().unwrap(), ..start };
    raft.handle_timeout(now);
    let batch = |raft: &mut Raft| {
        let store = |output| if let Output::Store { id, .. } = output { Some(id) } else { None };
        std::iter::from_fn(|| raft.poll_output()).find_map(store).unwrap()
    };
    let vote = batch(&mut raft);
    raft.handle_stored(now, vote);
    assert!(raft.is_leader());
    assert_eq!(raft.set_policy(now, &Policy::Central), Changing::Pending);
    let opening = batch(&mut raft);
    raft.handle_stored(now, opening);
    assert_eq!(raft.set_policy(now, &Policy::Central), Changing::Done);
}

/// Its rows are lost and its log is trimmed, so it knows no members but those that it was started with. The leader joined later, and can send it a snapshot only if it may
/// come in.
#[test]
fn a_node_without_rows_lets_in_a_leader_that_joined_after_it_was_set_up() {
    let now = Now { instant: Instant(1), wall: Timestamp(1) };
    let damage = Damage { rows: true, ..Damage::default() };
    let lost = Restored { applied: Position::default(), damage, ..restored(2, SETTLED) };
    let node = Node::restore(config(2, &[1, 2, 3]), lost, now).unwrap();
    let leader = PeerIdentity { cluster: CLUSTER, node: NodeId(5), incarnation: Incarnation(5), boot: Boot(1) };
    assert_eq!(node.admit(&leader, true), Ok(()));
    assert_eq!(node.admit(&leader, false), Err(HelloRefusal::Stranger { node: NodeId(5) }));
}

/// Two leaders have let in different folders under one id, and only one of the two entries will be committed: the other leader's log is no reason to stop for good.
#[test]
fn a_folder_that_only_an_uncommitted_entry_contradicts_is_not_told_to_stop() {
    let now = Now { instant: Instant(1), wall: Timestamp(1) };
    let join =
        Change::Join { peer_address: "n4:1".into(), client_address: String::new(), incarnation: Incarnation(4), replace: None };
    let four = Configuration::of_voters(members(&[1, 2, 3])).after(&join).unwrap().unwrap();
    let log = vec![Entry::after(SETTLED, 3, Timestamp(1), seal(Kind::Membership, &four))];
    let node = Node::restore(config(2, &[1, 2, 3]), Restored { log, ..restored(2, SETTLED) }, now).unwrap();
    let named = PeerIdentity { cluster: CLUSTER, node: NodeId(4), incarnation: Incarnation(4), boot: Boot(1) };
    assert_eq!(node.admit(&named, true), Ok(()));
    let other = PeerIdentity { incarnation: Incarnation(40), ..named };
    assert_eq!(node.admit(&other, true), Err(HelloRefusal::Stranger { node: NodeId(4) }));
}

/// Whoever waits on a learner for the leader must hear that there is none, and a snapshot is asked of the next leader.
#[test]
fn a_node_that_may_not_stand_gives_up_a_silent_leader_all_the_same() {
    let join =
        Change::Join { peer_address: "n4:1".into(), client_address: String::new(), incarnation: Incarnation(4), replace: None };
    let four = Configuration::of_voters(members(&[1, 2, 3])).after(&join).unwrap().unwrap();
    let mut cluster = Cluster::of(&[1, 2, 3, 4], SETTLED, &four);
    let learner = NodeId(4);
    cluster.run_until("a leader", |cluster| cluster.rafts[&learner].leader().is_some());
    cluster.cut = Some(learner);
    cluster.run_until("it notices", |cluster| cluster.rafts[&learner].leader().is_none());
}

/// The first in line cannot lead, for its rows are lost, and only it knows that.
#[test]
fn a_leader_whose_disk_stands_still_tries_another_one_when_the_first_in_line_does_not_take_over() {
    let three = Configuration::of_voters(members(&[1, 2, 3]));
    let mut cluster = Cluster::of(&[1, 2, 3], SETTLED, &three);
    let damage = Damage { rows: true, ..Damage::default() };
    let lost = Restored { applied: Position::default(), damage, ..restored(2, SETTLED) };
    let second = Raft::restore(&config(2, &[1, 2, 3]), &lost, FromRows::default(), cluster.now);
    cluster.rafts.insert(NodeId(2), second);
    cluster.run_until("a leader", |cluster| cluster.leader().is_some());
    assert_eq!(cluster.leader(), Some(NodeId(1)));
    let soon = cluster.now.instant + Duration::from_millis(500);
    cluster.run_until("all follow", |cluster| cluster.now.instant > soon);
    cluster.stalled = Some(NodeId(1));
    let now = cluster.now;
    cluster.rafts.get_mut(&NodeId(1)).unwrap().propose(now, seal(Kind::Noop, &())).unwrap();
    cluster.run_until("another leader", |cluster| cluster.leader() == Some(NodeId(3)));
}
