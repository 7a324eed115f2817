//! Who is in the cluster, and how that changes (thesis chapter 4).
//!
//! - A configuration counts from the moment it stands in a log, committed or not; a truncated one never was (4.1).
//! - Voters change by *joint consensus* (4.3): while `outgoing` is not empty, every decision needs a majority of `voters` and one of `outgoing`.
//! - A newcomer is a *learner* first (4.2.1): it is sent the log and has no say.
//! - An id is given once: a folder that was lost or removed never comes back under another one's votes.

use crate::contract::Position;
use crate::facts::Fact;
use crate::ids::*;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// A member: where and how it is reached, and which data folder is its own.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Member {
    pub id: NodeId,
    /// `host:port` for peers.
    pub peer_address: String,
    /// `http://host:port` for clients.
    pub client_address: String,
    /// `None` only in the configuration that a node is started with: the log's says it for each.
    pub incarnation: Option<Incarnation>,
}

/// The members of the cluster and their say.
#[derive(Clone, PartialEq, Eq, Debug, Default, Hash, Serialize, Deserialize)]
pub struct Configuration {
    /// All members by id: voters, and learners, which have no say yet.
    members: Vec<Member>,
    /// Whose majority decides, by id.
    voters: Vec<NodeId>,
    /// While voters change: whose majority decides as well, by id. Otherwise empty.
    outgoing: Vec<NodeId>,
    /// Which voter a learner takes the place of once it has caught up: (learner, voter).
    replacing: Vec<(NodeId, NodeId)>,
    /// Learners that have caught up become voters until there are so many; 0: none does by itself.
    wanted_voters: u16,
    /// All ids below it have been given.
    next_id: u64,
}

/// One change of the configuration, asked for by an operator or a newcomer. Asking again for what is so already changes nothing.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Change {
    /// A new data folder wants to be a member; the cluster gives it an id. With `replace` it takes that voter's place as soon as it has caught up.
    Join { peer_address: String, client_address: String, incarnation: Incarnation, replace: Option<NodeId> },
    /// A learner shall vote, as soon as it has caught up.
    Promote { node: NodeId },
    /// A member shall be none any more. Its id and its data folder are never members again.
    Remove { node: NodeId },
    /// Learners become voters by themselves until there are so many.
    WantVoters { count: u16 },
}

/// Why a change is not made. Each text says what to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum ChangeRefusal {
    /// There is no such member.
    NoSuchMember { node: NodeId },
    /// It is a learner, and has no place that could be taken.
    NotAVoter { node: NodeId },
    /// Without this one nobody would vote.
    LastVoter { node: NodeId },
    /// So many members are the most.
    Full { most: u16 },
    /// The data folder was removed from the cluster, or belongs to a member under another address.
    Folder,
    /// Another member has this address.
    AddressTaken { node: NodeId },
}

impl fmt::Display for ChangeRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeRefusal::NoSuchMember { node } => {
                write!(f, "there is no member {}: `node status` shows the members", node.0)
            }
            ChangeRefusal::NotAVoter { node } => {
                write!(f, "node {} does not vote: remove it with `node remove {}`", node.0, node.0)
            }
            ChangeRefusal::LastVoter { node } => write!(f, "node {} is the only voter: let another one join first", node.0),
            ChangeRefusal::Full { most } => write!(f, "a cluster has at most {most} members: remove one first, or ask for fewer"),
            ChangeRefusal::Folder => {
                write!(f, "this data folder has been a member already and cannot join again: name an empty folder")
            }
            ChangeRefusal::AddressTaken { node } => {
                write!(
                    f,
                    "node {} has this address: give the newcomer one of its own, or replace that node with --replace {}",
                    node.0, node.0
                )
            }
        }
    }
}

/// Members that a cluster may have.
pub const MOST_MEMBERS: u16 = 32;

impl Configuration {
    /// The first one of a cluster: all of these vote.
    pub fn of_voters(mut members: Vec<Member>) -> Configuration {
        members.sort_by_key(|member| member.id);
        let voters: Vec<NodeId> = members.iter().map(|member| member.id).collect();
        let next_id = voters.last().map_or(1, |last| last.0 + 1);
        Configuration {
            wanted_voters: voters.len() as u16,
            members,
            voters,
            outgoing: Vec::new(),
            replacing: Vec::new(),
            next_id,
        }
    }

    /// The first one of another cluster that goes on with this one's data: the founder votes alone. Ids that were given here are not given again there.
    pub fn founded_anew(&self, founder: Member) -> Configuration {
        let alone = Configuration::of_voters(Vec::from([founder]));
        Configuration { next_id: alone.next_id.max(self.next_id), ..alone }
    }

    pub fn members(&self) -> &[Member] {
        &self.members
    }

    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    /// Those whose majority will decide alone once a change of voters is done.
    pub fn voters(&self) -> &[NodeId] {
        &self.voters
    }

    /// Whether voters are just changing.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether `id` has a say: its vote and its acknowledgements are counted in one majority at least.
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.voters.contains(&id) || self.outgoing.contains(&id)
    }

    pub fn is_learner(&self, id: NodeId) -> bool {
        self.member(id).is_some() && !self.is_voter(id)
    }

    pub fn is_member(&self, id: NodeId) -> bool {
        self.member(id).is_some()
    }

    /// Whether this id has been given and taken away again.
    pub fn was_removed(&self, id: NodeId) -> bool {
        id.0 < self.next_id && !self.is_member(id)
    }

    /// Nodes that were members once, of the last so many ids that were given.
    pub fn removed(&self, most: u64) -> impl Iterator<Item = NodeId> + '_ {
        (self.next_id.saturating_sub(most).max(1)..self.next_id).map(NodeId).filter(|id| !self.is_member(*id))
    }

    pub fn learners(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members.iter().map(|member| member.id).filter(|id| !self.is_voter(*id))
    }

    /// All with a say, by id.
    pub fn all_voters(&self) -> Vec<NodeId> {
        self.members.iter().map(|member| member.id).filter(|id| self.is_voter(*id)).collect()
    }

    /// The sets that each must have a majority: one, or two while voters change.
    pub fn majorities(&self) -> impl Iterator<Item = &[NodeId]> {
        [&self.voters[..], &self.outgoing[..]].into_iter().filter(|set| !set.is_empty())
    }

    pub fn replaced_by(&self, learner: NodeId) -> Option<NodeId> {
        self.replacing.iter().find(|(of, _)| *of == learner).map(|(_, lost)| *lost)
    }

    pub fn wanted_voters(&self) -> u16 {
        self.wanted_voters
    }

    /// What an observer is told of it; `at`: the place in the log from which on it counts.
    pub(super) fn told(&self, at: Position) -> Fact {
        let members = self.members.iter().map(|member| member.id).collect();
        Fact::Configured { at, members, voters: self.voters.clone(), outgoing: self.outgoing.clone() }
    }

    /// Whose folder this is among the members.
    pub fn member_with(&self, incarnation: Incarnation) -> Option<&Member> {
        self.members.iter().find(|member| member.incarnation == Some(incarnation))
    }

    /// Binds each voter to the data folder that it voted with: no other folder may take its place from here on.
    pub(super) fn bind(&mut self, folder_of: impl Fn(NodeId) -> Option<Incarnation>) {
        for member in &mut self.members {
            member.incarnation = folder_of(member.id);
        }
    }

    /// The configuration after a change; `None`: it is so already. Changes of voters come out as joint ones.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn after(&self, change: &Change) -> Result<Option<Configuration>, ChangeRefusal> {
        let mut next = self.clone();
        match change {
            Change::Join { peer_address, client_address, incarnation, replace } => {
                if let Some(known) = self.member_with(*incarnation) {
                    let same = known.peer_address == *peer_address;
                    return if same { Ok(None) } else { Err(ChangeRefusal::Folder) };
                }
                if let Some(replace) = replace {
                    self.check_voter(*replace)?;
                }
                let other =
                    self.members.iter().find(|member| member.peer_address == *peer_address && Some(member.id) != *replace);
                if let Some(other) = other {
                    return Err(ChangeRefusal::AddressTaken { node: other.id });
                }
                if self.members.len() >= usize::from(MOST_MEMBERS) {
                    return Err(ChangeRefusal::Full { most: MOST_MEMBERS });
                }
                let id = NodeId(self.next_id);
                next.next_id += 1;
                let (peer_address, client_address) = (peer_address.clone(), client_address.clone());
                next.members.push(Member { id, peer_address, client_address, incarnation: Some(*incarnation) });
                if let Some(replace) = replace {
                    next.replacing.retain(|(_, lost)| lost != replace);
                    next.replacing.push((id, *replace));
                }
            }
            Change::Promote { node } => {
                if !self.is_member(*node) {
                    return Err(ChangeRefusal::NoSuchMember { node: *node });
                }
                if self.voters.contains(node) {
                    return Ok(None);
                }
                next.become_joint();
                next.voters.push(*node);
                next.voters.sort_unstable();
                if let Some(lost) = self.replaced_by(*node) {
                    next.voters.retain(|id| *id != lost);
                }
                next.wanted_voters = next.wanted_voters.max(next.voters.len() as u16);
            }
            Change::Remove { node } => {
                if self.was_removed(*node) {
                    return Ok(None);
                }
                if !self.is_member(*node) {
                    return Err(ChangeRefusal::NoSuchMember { node: *node });
                }
                if self.voters == [*node] {
                    return Err(ChangeRefusal::LastVoter { node: *node });
                }
                if self.is_voter(*node) {
                    next.become_joint();
                    next.voters.retain(|id| id != node);
                } else {
                    next.members.retain(|member| member.id != *node);
                }
                next.replacing.retain(|(learner, lost)| learner != node && lost != node);
            }
            Change::WantVoters { count } if *count > MOST_MEMBERS => return Err(ChangeRefusal::Full { most: MOST_MEMBERS }),
            Change::WantVoters { count } => next.wanted_voters = *count,
        }
        Ok((next != *self).then_some(next))
    }

    fn check_voter(&self, node: NodeId) -> Result<(), ChangeRefusal> {
        match () {
            () if !self.is_member(node) => Err(ChangeRefusal::NoSuchMember { node }),
            () if !self.is_voter(node) => Err(ChangeRefusal::NotAVoter { node }),
            () => Ok(()),
        }
    }

    fn become_joint(&mut self) {
        self.outgoing.clone_from(&self.voters);
    }

    /// What follows a joint configuration once that is committed: the new voters alone. Who voted before and does not vote now is a member no more.
    pub fn leave_joint(&self) -> Configuration {
        let mut next = self.clone();
        let gone: Vec<NodeId> = self.outgoing.iter().copied().filter(|id| !self.voters.contains(id)).collect();
        next.outgoing.clear();
        next.members.retain(|member| !gone.contains(&member.id));
        next.replacing
            .retain(|(learner, lost)| next.members.iter().any(|member| member.id == *lost) && !next.voters.contains(learner));
        next
    }

    /// A learner that should become a voter by itself, first those that replace somebody, then by id, among those that `caught_up` says yes to.
    pub fn to_promote(&self, caught_up: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        if self.is_joint() {
            return None;
        }
        let replacing = self.replacing.iter().map(|(learner, _)| *learner).find(|id| caught_up(*id));
        let wanted = self.voters.len() < usize::from(self.wanted_voters);
        replacing.or_else(|| self.learners().find(|id| wanted && self.replaced_by(*id).is_none() && caught_up(*id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::quorum;
    use alloc::collections::BTreeSet;
    use alloc::format;
    use proptest::prelude::*;

    fn member(id: u64) -> Member {
        Member {
            id: NodeId(id),
            peer_address: format!("n{id}:1"),
            client_address: String::new(),
            incarnation: Some(Incarnation(id.into())),
        }
    }

    fn of(voters: u64) -> Configuration {
        Configuration::of_voters((1..=voters).map(member).collect())
    }

    fn join(folder: u64, replace: Option<u64>) -> Change {
        let Member { peer_address, client_address, incarnation, .. } = member(folder);
        Change::Join { peer_address, client_address, incarnation: incarnation.unwrap(), replace: replace.map(NodeId) }
    }

    /// The change made to the end, through the joint configuration if there is one.
    fn made(configuration: &Configuration, change: &Change) -> Configuration {
        let next = configuration.after(change).unwrap().unwrap();
        if next.is_joint() { next.leave_joint() } else { next }
    }

    /// By brute force over all sets of nodes: no two sets that do not meet are quorums, one here and one there.
    fn quorums_meet(a: &Configuration, b: &Configuration) -> bool {
        let all: BTreeSet<NodeId> = a.all_voters().into_iter().chain(b.all_voters()).collect();
        let bit = |id: NodeId| all.iter().position(|other| *other == id).unwrap();
        let quorums = |of: &Configuration| {
            let agrees = |set: &u32| quorum::agree(of.majorities(), |id| set >> bit(id) & 1 == 1);
            (0..1u32 << all.len()).filter(agrees).collect::<Vec<u32>>()
        };
        // What contains a quorum is one, so it is enough that the rest of a quorum is not one.
        let (whole, theirs) = ((1u32 << all.len()) - 1, quorums(b).into_iter().collect::<BTreeSet<u32>>());
        quorums(a).into_iter().all(|set| !theirs.contains(&(whole & !set)))
    }

    #[test]
    fn single_steps_of_more_than_one_voter_would_not_be_safe() {
        // Thesis 4.3, figure 4.2: why voters change by a joint step.
        let (before, after) = (of(3), of(5));
        assert!(!quorums_meet(&before, &after), "the check finds what it is there for");
    }

    #[test]
    fn a_replacement_is_one_joint_step() {
        let with_learner = made(&of(3), &join(4, Some(3)));
        assert_eq!(with_learner.replaced_by(NodeId(4)), Some(NodeId(3)));
        let joint = with_learner.after(&Change::Promote { node: NodeId(4) }).unwrap().unwrap();
        assert_eq!(joint.majorities().collect::<Vec<_>>(), [&[1, 2, 4].map(NodeId)[..], &[1, 2, 3].map(NodeId)[..]]);
        assert!(joint.is_voter(NodeId(3)) && joint.is_member(NodeId(3)), "it has a say until it is over");
        let after = joint.leave_joint();
        assert!(after.was_removed(NodeId(3)) && after.replaced_by(NodeId(4)).is_none());
        assert_eq!(after.voters(), [1, 2, 4].map(NodeId));
    }

    #[test]
    fn who_is_removed_never_gets_its_id_back() {
        let mut configuration = of(3);
        for folder in 4..10 {
            configuration = made(&configuration, &join(folder, None));
            assert_eq!(configuration.member_with(Incarnation(folder.into())).unwrap().id, NodeId(folder));
            configuration = made(&configuration, &Change::Remove { node: NodeId(folder) });
            assert!(configuration.was_removed(NodeId(folder)));
        }
        assert_eq!(configuration.after(&Change::Remove { node: NodeId(4) }), Ok(None));
        assert_eq!(
            configuration.after(&Change::Promote { node: NodeId(4) }),
            Err(ChangeRefusal::NoSuchMember { node: NodeId(4) })
        );
    }

    #[test]
    fn the_last_voter_stays_and_a_cluster_has_a_bound() {
        assert_eq!(of(1).after(&Change::Remove { node: NodeId(1) }), Err(ChangeRefusal::LastVoter { node: NodeId(1) }));
        let full = of(MOST_MEMBERS.into());
        assert_eq!(full.after(&join(99, None)), Err(ChangeRefusal::Full { most: MOST_MEMBERS }));
        assert_eq!(of(3).after(&join(3, None)), Ok(None), "it is a member already");
        let mut elsewhere = join(3, None);
        if let Change::Join { peer_address, .. } = &mut elsewhere {
            *peer_address = "n9:1".into();
        }
        assert_eq!(of(3).after(&elsewhere), Err(ChangeRefusal::Folder));
    }

    fn change() -> impl Strategy<Value = Change> {
        let node = || (1u64..10).prop_map(NodeId);
        prop_oneof![
            (4u64..14, prop::option::of(1u64..10)).prop_map(|(folder, replace)| join(folder, replace)),
            node().prop_map(|node| Change::Promote { node }),
            node().prop_map(|node| Change::Remove { node }),
            (0u16..8).prop_map(|count| Change::WantVoters { count }),
        ]
    }

    proptest! {
        #[test]
        fn quorums_meet_before_during_and_after_every_change(voters in 1u64..6, changes in prop::collection::vec(change(), 1..20)) {
            let mut before = of(voters);
            let mut given: BTreeSet<NodeId> = before.voters().iter().copied().collect();
            for change in changes {
                let Ok(Some(next)) = before.after(&change) else { continue };
                prop_assert!(quorums_meet(&before, &next));
                prop_assert!(next.is_joint() || next.voters() == before.voters(), "voters change by a joint step alone");
                let after = if next.is_joint() { next.leave_joint() } else { next.clone() };
                prop_assert!(quorums_meet(&next, &after));
                for member in after.members().iter().filter(|member| !before.is_member(member.id)) {
                    prop_assert!(given.insert(member.id), "an id was given twice");
                }
                for configuration in [&next, &after] {
                    let ids: Vec<NodeId> = configuration.members().iter().map(|member| member.id).collect();
                    prop_assert!(ids.is_sorted() && configuration.voters().is_sorted() && !configuration.voters().is_empty());
                    prop_assert!(configuration.all_voters().iter().all(|id| configuration.is_member(*id)));
                    prop_assert!(configuration.learners().all(|id| !configuration.is_voter(id)));
                }
                prop_assert!(!matches!(after.after(&change), Ok(Some(_))), "what is asked for again makes no other change");
                before = after;
            }
        }
    }
}
