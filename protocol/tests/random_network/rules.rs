//! The rules of safety, held against every fact. What is known here, no node knows: all logs, all disks, and all that was ever committed.

use crate::network::configuration_in;
use std::collections::{BTreeMap, BTreeSet};
use tertulia_protocol::contract::*;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::*;
use tertulia_protocol::raft::{Configuration, Entry};

/// A log as positions; entry `i` at `i - 1`.
type Log = Vec<Position>;

#[derive(Default)]
pub struct Rules {
    logs: BTreeMap<NodeId, Log>,
    commits: BTreeMap<NodeId, Index>,
    leading: BTreeMap<NodeId, Term>,
    disks: BTreeMap<NodeId, (Vote, Log)>,
    /// What was durable on a disk and rotted away: it was durable when it was counted.
    rotten: BTreeSet<(NodeId, Position)>,
    chains: BTreeMap<(Index, Term), u64>,
    configurations: BTreeMap<(Index, Term), Configuration>,
    /// All that is committed, and in which term at the latest.
    committed: Vec<(Position, Term)>,
    leaders: BTreeMap<Term, (NodeId, Log)>,
    votes: BTreeMap<(NodeId, Term), NodeId>,
    asked: BTreeMap<u64, usize>,
    pub reached: BTreeMap<&'static str, u64>,
}

impl Rules {
    pub fn reach(&mut self, point: &'static str) {
        *self.reached.entry(point).or_default() += 1;
    }

    // ---- what the adversary does -----------------------------------------------------------------------------------------------------------

    pub fn knows(&mut self, entries: &[Entry]) {
        for entry in entries {
            if let Some(configuration) = configuration_in(&entry.payload) {
                self.configurations.insert((entry.index, entry.term), configuration);
            }
        }
    }

    pub fn greatest_member(&self) -> u64 {
        let members = self.configurations.values().flat_map(Configuration::members);
        members.map(|member| member.id.0).max().unwrap_or(0)
    }

    pub fn disk(&mut self, id: NodeId, vote: Vote, log: &[Entry]) {
        self.disks.insert(id, (vote, log.iter().map(Entry::position).collect()));
    }

    pub fn rots(&mut self, id: NodeId, lost: &[Entry]) {
        self.rotten.extend(lost.iter().map(|entry| (id, entry.position())));
        if let Some((_, log)) = self.disks.get_mut(&id) {
            log.truncate(log.len() - lost.len());
        }
    }

    pub fn starts(&mut self, id: NodeId, log: &[Entry], applied: Index) {
        self.logs.insert(id, log.iter().map(Entry::position).collect());
        self.commits.insert(id, applied);
        self.leading.remove(&id);
    }

    pub fn asks(&mut self, read: u64) {
        self.asked.insert(read, self.committed.len());
    }

    // ---- the rules -------------------------------------------------------------------------------------------------------------------------

    /// Linearizable reads (thesis 6.4): what was committed when the read was asked is seen.
    pub fn reads(&mut self, id: NodeId, read: u64, index: Index) {
        if let Some(asked) = self.asked.get(&read) {
            assert!(
                index as usize >= *asked,
                "stale read: {id} answers {read} at {index}, and {asked} were committed when it was asked"
            );
            self.reach("read.answered");
        }
    }

    pub fn judge(&mut self, id: NodeId, fact: Fact) {
        match fact {
            Fact::Voted { term, candidate } => self.votes(id, term, candidate),
            Fact::BecameLeader { term, .. } => self.leads(id, term),
            Fact::SteppedDown { .. } => drop(self.leading.remove(&id)),
            Fact::Appended { at } => self.appends(id, at),
            Fact::Acknowledged { through, .. } => {
                let durable = through.index == 0 || self.on_disk(id, through);
                assert!(durable, "{id} acknowledges {through:?}, which is not on its disk");
            }
            Fact::Committed { through, as_leader } => self.commits(id, through, as_leader),
            Fact::Reached { point } => self.reach(point),
            _ => {}
        }
    }

    fn on_disk(&self, id: NodeId, position: Position) -> bool {
        self.disks.get(&id).is_some_and(|(_, log)| log.get(position.index as usize - 1) == Some(&position))
    }

    /// One vote a term (3.4), across restarts, and on disk before it is told (3.8).
    fn votes(&mut self, id: NodeId, term: Term, candidate: NodeId) {
        let before = *self.votes.entry((id, term)).or_insert(candidate);
        assert_eq!(before, candidate, "{id} votes twice in t{term}");
        let durable = self.disks.get(&id).map(|(vote, _)| *vote);
        assert_eq!(durable, Some(Vote { term, voted_for: Some(candidate) }), "{id} tells a vote that is not on its disk");
    }

    /// Election safety (3.2), leader completeness (3.6.3).
    fn leads(&mut self, id: NodeId, term: Term) {
        let log = self.logs[&id].clone();
        for (position, by) in &self.committed {
            let has = log.get(position.index as usize - 1) == Some(position);
            assert!(*by >= term || has, "leader completeness: {id} leads t{term} without {position:?}, committed in t{by}");
        }
        self.leading.insert(id, term);
        let before = self.leaders.insert(term, (id, log));
        assert!(before.is_none(), "election safety: {id} and {:?} lead t{term}", before.map(|(id, _)| id));
        self.reach("leader");
    }

    /// Log matching (3.5), by the chain of hashes; and one change of members at a time (4.3, and the bug of 2015).
    fn appends(&mut self, id: NodeId, at: Position) {
        let log = self.logs.get_mut(&id).unwrap();
        let truncated = (at.index as usize) <= log.len();
        assert!(at.index as usize <= log.len() + 1, "{id} leaves a gap before {at:?}");
        log.truncate(at.index as usize - 1);
        log.push(at);
        if truncated {
            assert!(at.index > self.commits[&id], "{id} replaces {at:?}, which it knew to be committed");
        }
        let chain = *self.chains.entry((at.index, at.term)).or_insert(at.chain);
        assert_eq!(chain, at.chain, "log matching: two logs differ at or below {}@t{}", at.index, at.term);
        if let Some(next) = self.configurations.get(&(at.index, at.term)) {
            self.changes(id, at, next.is_joint(), next.clone());
        }
    }

    fn changes(&mut self, id: NodeId, at: Position, joint: bool, next: Configuration) {
        if joint {
            self.reach("joint");
        }
        let before = self.configuration(id, at.index - 1).map(|(index, configuration)| (index, configuration.clone()));
        let Some((index, before)) = before else { return };
        // A quorum has a majority of each set, so one set in common is enough (4.3).
        let shared = next.majorities().any(|set| before.majorities().any(|old| set == old));
        assert!(shared, "quorums of {before:?} and {next:?} need not meet");
        if self.leading.get(&id) == Some(&at.term) {
            let commit = self.commits[&id];
            assert!(index <= commit, "{id} changes members at {at:?} while the change at {index} is not committed");
            let own = self.logs[&id].get(commit as usize - 1).is_some_and(|last| last.term == at.term);
            assert!(own, "{id} changes members at {at:?} before it has committed an entry of its term");
        }
    }

    /// The configuration that counts in a log up to here.
    fn configuration(&self, id: NodeId, through: Index) -> Option<(Index, &Configuration)> {
        let log = &self.logs[&id][..through as usize];
        log.iter().rev().find_map(|at| Some((at.index, self.configurations.get(&(at.index, at.term))?)))
    }

    /// State machine safety (3.6.3), and durable on a majority of each set of the configuration that counts.
    fn commits(&mut self, id: NodeId, through: Position, as_leader: bool) {
        let log = &self.logs[&id];
        assert_eq!(log.get(through.index as usize - 1), Some(&through), "{id} commits what is not in its log");
        assert!(through.index > self.commits[&id], "{id} commits {through:?} again");
        for (ours, (theirs, _)) in log[..through.index as usize].iter().zip(&self.committed) {
            assert_eq!(ours, theirs, "state machine safety: {id} commits another entry");
        }
        let new = log[self.committed.len().min(through.index as usize)..through.index as usize].to_vec();
        if as_leader {
            let term = self.leading[&id];
            let (_, configuration) = self.configuration(id, log.len() as Index).expect("entry 1 is a configuration");
            for set in configuration.majorities() {
                let durable = |id: &&NodeId| self.on_disk(**id, through) || self.rotten.contains(&(**id, through));
                let count = set.iter().filter(durable).count();
                assert!(count >= majority(set), "{id} commits {through:?}, which is durable on {count} of {set:?}");
            }
            for position in &new {
                for (later, (leader, log)) in self.leaders.range(term + 1..) {
                    let has = log.get(position.index as usize - 1) == Some(position);
                    assert!(has, "leader completeness: {leader} led t{later} without {position:?}, committed in t{term}");
                }
            }
            self.committed.extend(new.into_iter().map(|position| (position, term)));
            self.reach("committed");
        } else {
            assert!(new.is_empty(), "{id} believes {through:?} to be committed, and no leader has committed it");
        }
        self.commits.insert(id, through.index);
    }
}

fn majority(set: &[NodeId]) -> usize {
    set.len() / 2 + 1
}
