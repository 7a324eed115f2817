//! Which machine is which member. Machines are counted from 0 and stay; ids are given once: a machine whose folder was lost comes back under another id.
//!
//! Facts, faults and stories speak of machines (`n1` is the first one), messages and the judge of ids.

use crate::plan::Nodes;
use crate::scenario::Cluster;
use tertulia_protocol::ids::NodeId;

#[derive(Clone, Debug)]
pub struct Roster {
    /// The id of what runs, ran or will run on a machine; `None`: a spare that nobody has brought in.
    ids: Vec<Option<NodeId>>,
    members: Nodes,
}

impl Roster {
    /// The voters that a cluster begins with have the ids from 1 on.
    pub fn new(cluster: &Cluster) -> Roster {
        let id = |host| (host < cluster.voters).then_some(NodeId(host as u64 + 1));
        Roster { ids: (0..cluster.hosts()).map(id).collect(), members: (1 << cluster.voters) - 1 }
    }

    pub fn id(&self, host: usize) -> Option<NodeId> {
        self.ids[host]
    }

    /// Where a member runs; an id that was lost or never given is nowhere.
    pub fn host(&self, id: NodeId) -> Option<usize> {
        let first = (id.0 as usize).wrapping_sub(1);
        if self.ids.get(first).is_some_and(|at| *at == Some(id)) {
            return Some(first);
        }
        self.ids.iter().position(|at| *at == Some(id))
    }

    /// Who is a member, by machine.
    pub fn members(&self) -> Nodes {
        self.members
    }

    pub fn is_member(&self, host: usize) -> bool {
        self.members >> host & 1 == 1
    }

    /// A machine's empty folder was given an id; what it was before is nowhere any more.
    pub fn joined(&mut self, host: usize, id: NodeId) {
        self.ids[host] = Some(id);
        self.members |= 1 << host;
    }

    /// What runs there is a member no more.
    pub fn left(&mut self, host: usize) {
        self.members &= !(1 << host);
    }

    /// Who should lead next, in order, without the leader itself: the ring, as in the protocol.
    pub fn line(&self, leader: Option<usize>) -> Vec<usize> {
        let ids: Vec<NodeId> =
            (0..self.ids.len()).filter(|host| self.is_member(*host)).filter_map(|host| self.ids[host]).collect();
        let leader = leader.and_then(|leader| self.ids[leader]);
        let ring = tertulia_protocol::succession::ring(&ids, leader);
        ring.into_iter().filter(|id| Some(*id) != leader).filter_map(|id| self.host(id)).collect()
    }

    /// The machine that clients know by this number: they know members only.
    pub fn serving(&self, server: u32) -> usize {
        let place = server % self.members.count_ones().max(1);
        (0..self.ids.len()).filter(|host| self.is_member(*host)).nth(place as usize).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster() -> Roster {
        let head =
            "schema = 1\nname = \"x\"\n[cluster]\nvoters = 3\nspares = 2\n[workload]\nclients = 1\nrate = \"1/s\"\nstop = \"1s\"";
        Roster::new(&crate::scenario::Scenario::parse("x", head).unwrap().cluster)
    }

    #[test]
    fn a_newcomer_takes_its_place_in_the_line_by_its_id() {
        let mut roster = roster();
        assert_eq!(roster.line(Some(1)), [2, 0]);
        roster.joined(3, NodeId(4));
        roster.left(2);
        assert_eq!(roster.line(Some(1)), [3, 0]);
        assert_eq!((0..4).map(|server| roster.serving(server)).collect::<Vec<_>>(), [0, 1, 3, 0]);
    }

    #[test]
    fn a_machine_that_lost_its_folder_is_found_by_its_new_id_only() {
        let mut roster = roster();
        roster.left(0);
        roster.joined(0, NodeId(7));
        assert_eq!((roster.host(NodeId(7)), roster.host(NodeId(1)), roster.id(4)), (Some(0), None, None));
    }
}
