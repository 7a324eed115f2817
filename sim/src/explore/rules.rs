//! What must hold in every state of a small scope. The judge of whole runs sees a history in time and keeps it; this one is cloned with each state, so it
//! keeps little: all logs and disks, who led, who voted for whom, and what was ever committed.

use std::collections::BTreeMap;
use tertulia_protocol::contract::{Position, Vote};
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{Index, NodeId, Term};
use tertulia_protocol::raft::quorum;

/// The rule that is broken, and how it is seen.
pub(super) type Broken = (&'static str, String);

#[derive(Clone, Debug, Hash)]
pub(super) struct Rules {
    replicas: u64,
    logs: BTreeMap<NodeId, Vec<Position>>,
    disks: BTreeMap<NodeId, (Vote, Vec<Position>)>,
    commits: BTreeMap<NodeId, Index>,
    leaders: BTreeMap<Term, NodeId>,
    votes: BTreeMap<(NodeId, Term), NodeId>,
    /// All that was ever known to be committed; entry `i` at `i - 1`.
    committed: Vec<Position>,
    /// By read: how much was committed when it was asked.
    asked: BTreeMap<u64, usize>,
}

impl Rules {
    pub fn new(replicas: u64) -> Rules {
        Rules {
            replicas,
            logs: BTreeMap::new(),
            disks: BTreeMap::new(),
            commits: BTreeMap::new(),
            leaders: BTreeMap::new(),
            votes: BTreeMap::new(),
            committed: Vec::new(),
            asked: BTreeMap::new(),
        }
    }

    pub fn disk(&mut self, id: NodeId, vote: Vote, log: Vec<Position>) {
        self.disks.insert(id, (vote, log));
    }

    pub fn starts(&mut self, id: NodeId, log: Vec<Position>) {
        self.logs.insert(id, log);
        self.commits.insert(id, 0);
    }

    pub fn asks(&mut self, read: u64) {
        self.asked.insert(read, self.committed.len());
    }

    /// Linearizable reads (thesis 6.4): what was committed when the read was asked is seen.
    pub fn reads(&self, id: NodeId, read: u64, index: Index) -> Result<(), Broken> {
        match self.asked.get(&read) {
            Some(asked) if (index as usize) < *asked => {
                Err(("linearizable-reads", format!("{id} answers a read at {index}; {asked} were committed when it was asked")))
            }
            _ => Ok(()),
        }
    }

    pub fn fact(&mut self, id: NodeId, fact: &Fact) -> Result<(), Broken> {
        match *fact {
            Fact::Voted { term, candidate } => self.voted(id, term, candidate),
            Fact::BecameLeader { term, .. } => self.leads(id, term),
            Fact::Appended { at } => {
                let log = self.logs.entry(id).or_default();
                log.truncate(at.index as usize - 1);
                log.push(at);
                Ok(())
            }
            Fact::Acknowledged { through, .. } if !self.holds_on_disk(id, through) => {
                Err(("acknowledged-durable", format!("{id} acknowledges {through:?}, which is not on its disk")))
            }
            Fact::Committed { through, as_leader } => self.commits(id, through, as_leader),
            _ => Ok(()),
        }
    }

    /// One vote a term (3.2), and durable before it is told (3.8).
    fn voted(&mut self, id: NodeId, term: Term, candidate: NodeId) -> Result<(), Broken> {
        let before = *self.votes.entry((id, term)).or_insert(candidate);
        if before != candidate {
            return Err(("vote-once", format!("{id} votes for {candidate} in term {term}, and has voted for {before}")));
        }
        let durable = self.disks.get(&id).is_some_and(|(vote, _)| *vote == Vote { term, voted_for: Some(candidate) });
        if durable {
            Ok(())
        } else {
            Err(("vote-durable", format!("{id} tells its vote for {candidate}, which is not on its disk")))
        }
    }

    /// Election Safety and Leader Completeness (figure 3.2).
    fn leads(&mut self, id: NodeId, term: Term) -> Result<(), Broken> {
        let other = *self.leaders.entry(term).or_insert(id);
        if other != id {
            return Err(("election-safety", format!("{id} and {other} both lead term {term}")));
        }
        let log = self.logs.get(&id).map_or(&[][..], Vec::as_slice);
        match self.committed.iter().find(|place| log.get(place.index as usize - 1) != Some(place)) {
            Some(lacks) => {
                Err(("leader-completeness", format!("{id} leads term {term} and lacks {lacks:?}, which is committed")))
            }
            None => Ok(()),
        }
    }

    /// State Machine Safety (figure 3.2), and a leader commits what a majority has on disk.
    fn commits(&mut self, id: NodeId, through: Position, as_leader: bool) -> Result<(), Broken> {
        let log = self.logs.get(&id).map_or(&[][..], Vec::as_slice);
        let from = self.commits.insert(id, through.index).unwrap_or(0);
        for index in from..through.index {
            let Some(ours) = log.get(index as usize) else { break };
            match self.committed.get(index as usize) {
                None => self.committed.push(*ours),
                Some(before) if before == ours => {}
                Some(before) => {
                    return Err(("state-machine-safety", format!("{id} commits {ours:?}, and {before:?} was committed there")));
                }
            }
        }
        let holders = (1..=self.replicas).filter(|holder| self.holds_on_disk(NodeId(*holder), through)).count();
        if as_leader && holders < quorum::majority(self.replicas as usize) {
            return Err(("durable-quorum", format!("{id} commits {through:?}, which is on {holders} disks only")));
        }
        Ok(())
    }

    fn holds_on_disk(&self, id: NodeId, place: Position) -> bool {
        let Some(offset) = (place.index as usize).checked_sub(1) else { return true };
        self.disks.get(&id).is_some_and(|(_, log)| log.get(offset) == Some(&place))
    }
}
