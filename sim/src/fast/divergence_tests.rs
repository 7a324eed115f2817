//! The bugs of the zoo that make states differ are reported by the nodes themselves. Elsewhere a run ends when the judge objects, which hears of every
//! state and so is always first; here it goes on, and what nodes say is held against what they were seen to apply.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::*;
use std::collections::BTreeMap;
use tertulia_judge::record::{Reader, Recorded};
use tertulia_protocol::contract::StateHash;
use tertulia_protocol::ids::{Index, NodeId};
use tertulia_protocol::replica::Divergence;
use tertulia_protocol::zoo::Bug;

const SCENARIO: &str = "schema = 1\nname = \"x\"\n[cluster]\nvoters = 3\nlinks = { default = \"2ms..8ms\" }\n[workload]\nclients = 4\nrate = \"100/s\"\n\
    stop = \"6s\"\n[[fault]]\nat = \"2s..3s\"\ncrash = \"follower\"\nfor = \"300ms\"\n[[fault]]\nat = \"500ms\"\nloss = \"3%\"\nfor = \"4s\"\n\
    [[fault]]\nat = \"500ms\"\nduplicate = \"5%\"\nfor = \"4s\"";

/// What nodes reported in one run, and for each of them the hash after each entry.
struct Run {
    reports: Vec<(NodeId, Divergence)>,
    states: BTreeMap<NodeId, BTreeMap<Index, StateHash>>,
}

fn play(bug: Option<Bug>, seed: u64) -> Run {
    let scenario = Scenario::parse("x", SCENARIO).unwrap();
    let mut world = World::new(&scenario, Seed(seed), Options { bug, record: true, ..Options::default() });
    while world.now < 12_000_000
        && let Some((at, event)) = world.queue.pop()
    {
        world.now = at;
        world.happen(event);
    }
    let record = world.outcome().record.unwrap();
    let mut run = Run { reports: Vec::new(), states: BTreeMap::new() };
    let mut reader = Reader::new(&record[..]).unwrap();
    while let Some((_, saw)) = reader.read().unwrap() {
        match saw {
            Recorded::Fact { node, fact: Fact::Applied { at, hash } } => {
                // What it applied first counts: a bug may make it apply an entry otherwise after a restart.
                run.states.entry(node).or_default().entry(at.index).or_insert(hash);
            }
            Recorded::Fact { node, fact: Fact::Diverged(said) } => run.reports.push((node, *said)),
            _ => {}
        }
    }
    run
}

impl Run {
    /// The reports that name rows. Where it says with which entry the states parted, that is the truth; a follower that dies in the midst of being asked answers for no rows.
    fn named(&self, seed: u64) -> Vec<&(NodeId, Divergence)> {
        let exact: Vec<_> = self.reports.iter().filter(|(_, said)| !said.earlier).collect();
        for (of, said) in &exact {
            assert_eq!(Some(said.first), self.parted(*of, said.peer), "seed {seed}: {of}: {said}");
        }
        let named: Vec<_> = exact.iter().filter(|(_, said)| !said.rows.is_empty()).copied().collect();
        assert!(named.len() >= 2 && named.len() + 2 >= exact.len(), "seed {seed}: {:?}", self.reports);
        named
    }

    /// The first entry after which two nodes differ.
    fn parted(&self, a: NodeId, b: NodeId) -> Option<Index> {
        let other = &self.states[&b];
        self.states[&a].iter().find(|(index, hash)| other.get(index).is_some_and(|other| other != *hash)).map(|(index, _)| *index)
    }
}

#[test]
fn what_the_leader_alone_drops_is_found_at_its_entry_and_in_its_rows() {
    for seed in 0..5 {
        let run = play(Some(Bug::EvictOnLeader), seed);
        for (of, said) in run.named(seed) {
            assert!(said.rows.iter().any(|row| row.row.starts_with("outcome of number ")), "seed {seed}: {of}: {said}");
            assert!(!said.rows.iter().any(|row| row.row.starts_with("message ")), "no message is touched: {of}: {said}");
        }
        assert!(run.reports.len() <= 12, "each says it once, and once more after a restart: {}", run.reports.len());
    }
}

#[test]
fn what_is_stamped_by_whoever_applies_it_is_found_at_its_entry_and_in_its_rows() {
    for seed in 0..5 {
        let run = play(Some(Bug::ApplyByOwnClock), seed);
        for (of, said) in run.named(seed) {
            let rows: Vec<&str> = said.rows.iter().map(|row| row.row.as_str()).collect();
            // A post's outcome and message are stamped, a room that is made, and each event that is no post.
            let stamped = ["outcome of number ", "message ", "room ", "event ", "device ", "user "];
            let is_stamped = |row: &&str| stamped.iter().any(|name| row.starts_with(name));
            assert!(!rows.is_empty() && rows.iter().all(is_stamped), "seed {seed}: {of}: {said}");
            assert!(said.with_this.is_empty() && said.with_peer.is_empty(), "no two of three agree: {said}");
        }
    }
}

#[test]
fn without_a_bug_nothing_is_reported() {
    for seed in 0..5 {
        let run = play(None, seed);
        assert_eq!(run.reports, []);
        assert!(run.states.len() == 3 && run.states.values().all(|states| states.len() > 300));
    }
}
