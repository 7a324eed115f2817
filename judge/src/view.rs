//! What the judge believes of the cluster. Rules see it as it was *before* the observation that they are given.

use crate::log::Log;
use crate::observed::Observed;
use crate::table::Table;
use std::collections::{BTreeMap, BTreeSet};
use tertulia_protocol::contract::Position;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{Index, NodeId, Term};
use tertulia_protocol::raft::quorum;

/// Whose majorities decide: one set, or two while voters change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Deciding {
    sets: Vec<Vec<NodeId>>,
}

impl Deciding {
    fn new(voters: &[NodeId], outgoing: &[NodeId]) -> Deciding {
        let sets = [voters, outgoing].into_iter().filter(|set| !set.is_empty());
        Deciding { sets: sets.map(<[NodeId]>::to_vec).collect() }
    }

    /// Whether this may be followed by these: voters change only by way of a joint configuration (thesis 4.3).
    pub(crate) fn may_precede(&self, voters: &[NodeId], outgoing: &[NodeId]) -> bool {
        match (&self.sets[..], outgoing) {
            ([before], []) | ([before, _], []) => before == voters,
            ([before], outgoing) => before == outgoing,
            _ => false,
        }
    }

    /// Whether those that `says` names are a majority of each set; if not, of which they are none, as a sentence.
    pub(crate) fn agree(&self, says: impl Fn(NodeId) -> bool) -> Result<(), String> {
        for set in &self.sets {
            let (yes, needed) = (set.iter().copied().filter(|id| says(*id)).collect::<Vec<_>>(), quorum::majority(set.len()));
            if yes.len() < needed {
                return Err(format!("{yes:?} only; of the voters {set:?} it needs {needed}"));
            }
        }
        Ok(())
    }
}

/// What a node had reported before its disk was taken or spoiled, and what others may rely on until they hear of it.
#[derive(Clone, Debug)]
struct Word {
    log: Log,
    durable: Index,
}

/// One node.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeView {
    pub(crate) up: bool,
    /// Its log in memory; while it is down, the part that was durable matters.
    pub(crate) log: Log,
    /// Through where `log` is durable. Rewriting the log takes it back: what is to be replaced on disk is not counted on any more.
    pub(crate) durable: Index,
    /// It leads this term, as far as it knows.
    pub(crate) leading: Option<Term>,
    /// What it knows to be committed; after a start, what it had applied.
    pub(crate) commit: Index,
    pub(crate) applied: Index,
    /// A snapshot that is about to take the place of its rows: the next start may find it.
    pub(crate) receiving: Option<Position>,
    /// The harness has spoiled its log since it last started.
    pub(crate) damaged: bool,
    /// It has said that its log has lost something, and not that it is whole again: what it holds counts for nothing.
    pub(crate) repairing: bool,
    word: Option<Word>,
}

impl NodeView {
    fn give_word(&self) -> Option<Word> {
        self.word.clone().or_else(|| Some(Word { log: self.log.clone(), durable: self.durable }))
    }

    /// Whether a leader may count this node's disk for `place`.
    pub(crate) fn vouches_for(&self, place: Position) -> bool {
        let (log, durable) = match &self.word {
            Some(word) => (&word.log, word.durable),
            None => (&self.log, self.durable),
        };
        durable >= place.index && log.holds(place) != Some(false)
    }
}

/// The whole cluster.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Until a log says something else.
    first: Deciding,
    /// What logs say through these places.
    configured: BTreeMap<Index, Vec<(Position, Deciding)>>,
    nodes: BTreeMap<NodeId, NodeView>,
    /// For every place that was ever appended somewhere: its chain, and the term of the place before it. By Log Matching that is one answer
    /// for all nodes, so a log on disk is known from its last place.
    known: Table<(Index, Term), (u64, Term)>,
    /// By term of the leader, the last place that it committed by its own counting.
    counted: BTreeMap<Term, Position>,
    committed: Index,
    told: bool,
}

impl View {
    pub(crate) fn new(voters: Vec<NodeId>) -> View {
        let voters: BTreeSet<NodeId> = voters.into_iter().collect();
        View {
            first: Deciding::new(&voters.into_iter().collect::<Vec<_>>(), &[]),
            configured: BTreeMap::new(),
            nodes: BTreeMap::new(),
            known: Table::default(),
            counted: BTreeMap::new(),
            committed: 0,
            told: false,
        }
    }

    /// `None` until the node has said anything.
    pub(crate) fn node(&self, node: NodeId) -> Option<&NodeView> {
        self.nodes.get(&node)
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = (NodeId, &NodeView)> {
        self.nodes.iter().map(|(&id, node)| (id, node))
    }

    pub(crate) fn up(&self) -> impl Iterator<Item = NodeId> {
        self.nodes().filter(|(_, node)| node.up).map(|(id, _)| id)
    }

    /// Whose majorities decide by the log of `node`, committed or not (thesis 4.1): the newest word that it holds.
    pub(crate) fn deciding(&self, node: NodeId) -> &Deciding {
        let Some(node) = self.node(node) else { return &self.first };
        let below = self.configured.range(..=node.log.end()).rev();
        let held = below.flat_map(|(_, said)| said).find(|(at, _)| node.log.holds(*at) != Some(false));
        held.map_or(&self.first, |(_, deciding)| deciding)
    }

    /// The newest place below `index` at which the log of `node` names members.
    pub(crate) fn configured_below(&self, node: &NodeView, index: Index) -> Option<(Position, &Deciding)> {
        let below = self.configured.range(..index).rev().flat_map(|(_, said)| said);
        below.map(|(at, deciding)| (*at, deciding)).find(|(at, _)| node.log.holds(*at) != Some(false))
    }

    /// The last place that the leader of `term` committed by its own counting.
    pub(crate) fn counted_in(&self, term: Term) -> Option<Position> {
        self.counted.get(&term).copied()
    }

    /// Whether any node's facts are heard at all: a live cluster may be judged by its clients alone.
    pub(crate) fn hears_nodes(&self) -> bool {
        self.told
    }

    /// The greatest index that any node knew to be committed.
    pub(crate) fn committed(&self) -> Index {
        self.committed
    }

    /// The last place that leaders of terms before `term` committed by counting, with the term of the one who did.
    pub(crate) fn counted_before(&self, term: Term) -> Option<(Term, Position)> {
        self.counted.range(..term).next_back().map(|(&term, &place)| (term, place))
    }

    /// The greatest index that a leader committed by counting.
    pub(crate) fn counted(&self) -> Index {
        self.counted.values().next_back().map_or(0, |place| place.index)
    }

    /// The term of the place before `place`, if that place was ever appended somewhere.
    fn before(&self, place: Position) -> Option<Position> {
        let index = place.index.checked_sub(1)?;
        let (_, term) = self.known.get(&(place.index, place.term)).filter(|(chain, _)| *chain == place.chain)?;
        if index == 0 {
            return Some(Position::default());
        }
        let (chain, _) = self.known.get(&(index, *term))?;
        Some(Position { index, term: *term, chain: *chain })
    }

    /// What stands at `index` in the log of `node` if that log ends with `end`. `None`: not known.
    pub(crate) fn ancestor(&self, node: &NodeView, end: Position, index: Index) -> Option<Position> {
        let mut place = end;
        while place.index > index {
            if node.log.holds(place) == Some(true) {
                return node.log.at(index);
            }
            place = self.before(place)?;
        }
        (place.index == index).then_some(place)
    }

    /// Takes the observation in.
    pub(crate) fn observe(&mut self, observed: &Observed<'_>) {
        match *observed {
            Observed::Client(_) => {}
            Observed::Crashed { node } => {
                let node = self.nodes.entry(node).or_default();
                node.up = false;
                node.leading = None;
            }
            Observed::Wiped { node } => {
                let node = self.nodes.entry(node).or_default();
                let word = node.give_word();
                *node = NodeView { applied: node.applied, word, ..NodeView::default() };
            }
            Observed::Damaged { node } => {
                let node = self.nodes.entry(node).or_default();
                node.damaged = true;
                node.word = node.give_word();
            }
            Observed::Fact { node, fact } => self.fact(node, fact),
        }
    }

    fn fact(&mut self, id: NodeId, fact: &Fact) {
        self.told = true;
        // Whoever does not say at once that its log needs repair speaks for itself again.
        let speaks = !matches!(fact, Fact::Started { .. } | Fact::Repairing);
        if let Some(node) = self.nodes.get_mut(&id).filter(|node| speaks && !node.repairing) {
            node.word = None;
        }
        match *fact {
            Fact::Started { durable, applied, .. } => {
                self.restart(id, durable);
                let node = self.nodes.entry(id).or_default();
                let (damaged, repairing, receiving) = (false, false, None);
                let before = core::mem::take(node);
                *node = NodeView { up: true, leading: None, commit: applied, applied, damaged, repairing, receiving, ..before };
            }
            Fact::Repairing => self.nodes.entry(id).or_default().repairing = true,
            Fact::Reached { point: "log.repaired" } => {
                let node = self.nodes.entry(id).or_default();
                (node.repairing, node.word) = (false, None);
            }
            Fact::Configured { at, ref voters, ref outgoing, .. } => {
                let said = self.configured.entry(at.index).or_default();
                if said.iter().all(|(place, _)| *place != at) {
                    said.push((at, Deciding::new(voters, outgoing)));
                }
            }
            Fact::Appended { at } => {
                let node = self.nodes.entry(id).or_default();
                if let Some(previous) = at.index.checked_sub(1).and_then(|index| node.log.at(index)) {
                    self.known.or_insert((at.index, at.term), (at.chain, previous.term));
                }
                node.log.put(at);
                node.durable = node.durable.min(at.index.saturating_sub(1));
            }
            Fact::Durable { through } => {
                let node = self.nodes.entry(id).or_default();
                if node.log.holds(through) != Some(false) {
                    node.durable = node.durable.max(through.index);
                }
            }
            Fact::Committed { through, as_leader } => {
                let node = self.nodes.entry(id).or_default();
                node.commit = node.commit.max(through.index);
                self.committed = self.committed.max(through.index);
                if as_leader {
                    let last = self.counted.entry(node.leading.unwrap_or(through.term)).or_insert(through);
                    *last = (*last).max(through);
                }
            }
            Fact::Applied { at, .. } => {
                let node = self.nodes.entry(id).or_default();
                node.applied = at.index;
            }
            Fact::SnapshotReceived { at } => self.nodes.entry(id).or_default().receiving = Some(at),
            Fact::SnapshotInstalled { at, .. } => {
                if self.node(id).is_none_or(|node| node.log.holds(at) != Some(true)) {
                    self.restart(id, at);
                }
                let node = self.nodes.entry(id).or_default();
                node.durable = node.durable.max(at.index);
                node.commit = node.commit.max(at.index);
                (node.applied, node.receiving) = (at.index, None);
            }
            Fact::BecameLeader { term, .. } => self.nodes.entry(id).or_default().leading = Some(term),
            Fact::SteppedDown { .. } | Fact::TermBegan { .. } => self.nodes.entry(id).or_default().leading = None,
            _ => {}
        }
    }

    /// The log of a node that starts is the one on its disk, which may be a branch that memory had already left. So it is with a node whose log goes on
    /// behind a snapshot.
    fn restart(&mut self, id: NodeId, end: Position) {
        let mut node = self.nodes.remove(&id).unwrap_or_default();
        let mut missing = Vec::new();
        let mut place = end;
        while place.index > 0 && node.log.holds(place) != Some(true) {
            missing.push(place);
            match self.before(place) {
                Some(previous) => place = previous,
                None => break,
            }
        }
        match missing.last() {
            // Nothing is known of what lies below: `put` sees a hole.
            Some(lowest) if place.index == lowest.index => node.log = Log::default(),
            _ => node.log.cut(place.index + 1),
        }
        for place in missing.into_iter().rev() {
            node.log.put(place);
        }
        node.durable = end.index;
        self.nodes.insert(id, node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::{log as place, started_with};

    fn view_of_a_rewritten_log() -> View {
        let mut view = View::new(vec![NodeId(1)]);
        let mut tell = |fact: Fact| view.observe(&Observed::Fact { node: NodeId(1), fact: &fact });
        for n in 1..=4 {
            tell(Fact::Appended { at: place(&[1; 4][..n]) });
        }
        tell(Fact::Durable { through: place(&[1; 4]) });
        tell(Fact::Appended { at: place(&[1, 1, 2]) });
        view
    }

    #[test]
    fn rewriting_takes_durability_back() {
        let view = view_of_a_rewritten_log();
        assert_eq!(view.node(NodeId(1)).map(|node| (node.durable, node.log.end())), Some((2, 3)));
    }

    #[test]
    fn a_restart_may_find_the_branch_that_memory_had_left() {
        let mut view = view_of_a_rewritten_log();
        view.observe(&Observed::Crashed { node: NodeId(1) });
        let fact = started_with(place(&[1; 4]), 0);
        view.observe(&Observed::Fact { node: NodeId(1), fact: &fact });
        let node = view.node(NodeId(1)).unwrap();
        assert_eq!((node.durable, node.log.at(3), node.log.at(1)), (4, Some(place(&[1; 3])), Some(place(&[1]))));
    }

    #[test]
    fn a_log_that_nobody_ever_appended_is_known_only_at_its_end() {
        let mut view = view_of_a_rewritten_log();
        let fact = started_with(place(&[3; 6]), 0);
        view.observe(&Observed::Fact { node: NodeId(1), fact: &fact });
        let node = view.node(NodeId(1)).unwrap();
        assert_eq!((node.log.holds(place(&[3; 6])), node.log.holds(place(&[3; 5]))), (Some(true), None));
    }

    #[test]
    fn an_empty_disk_is_an_empty_log() {
        let mut view = view_of_a_rewritten_log();
        let fact = started_with(Position::default(), 0);
        view.observe(&Observed::Fact { node: NodeId(1), fact: &fact });
        assert_eq!(view.node(NodeId(1)).map(|node| (node.durable, node.log.end())), Some((0, 0)));
    }
}
