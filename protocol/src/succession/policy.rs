//! How the voters are put in order: what people choose, and what the leader commits.

use super::ring;
use crate::ids::NodeId;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// More nodes than this are not named in a `fixed` policy.
pub const MAX_NAMED: usize = 64;

/// Who should lead. Written `ring`, `central` or `fixed:3,1,2`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Hash, Serialize, Deserialize)]
pub enum Policy {
    /// The voters by id, beginning after the present leader. Nobody is better than another: a leader never hands over.
    #[default]
    Ring,
    /// By the latency to the majority that confirms a write ([`super::ranking`]).
    Central,
    /// The first of these that can; those that are not named come after them, by id.
    Fixed(Vec<NodeId>),
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Policy::Ring => f.write_str("ring"),
            Policy::Central => f.write_str("central"),
            Policy::Fixed(nodes) => {
                f.write_str("fixed")?;
                for (nth, node) in nodes.iter().enumerate() {
                    write!(f, "{}{}", if nth == 0 { ':' } else { ',' }, node.0)?;
                }
                Ok(())
            }
        }
    }
}

/// Why a policy was not understood. The text says what to write instead.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum PolicyError {
    Unknown {
        found: String,
    },
    /// `fixed` without a node.
    NobodyNamed,
    NotANode {
        found: String,
    },
    NamedTwice {
        node: NodeId,
    },
    TooMany,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyError::Unknown { found } => {
                write!(
                    f,
                    "there is no succession policy {found:?}: write ring, central, or fixed with the ids in order, as in fixed:3,1,2"
                )
            }
            PolicyError::NobodyNamed => {
                f.write_str("fixed needs the ids of the nodes in the order in which they should lead, as in fixed:3,1,2")
            }
            PolicyError::NotANode { found } => {
                write!(
                    f,
                    "{found:?} in a fixed succession is not a node's id: write numbers with commas between them, as in fixed:3,1,2"
                )
            }
            PolicyError::NamedTwice { node } => {
                write!(f, "node {} stands twice in a fixed succession: leave one of them out", node.0)
            }
            PolicyError::TooMany => {
                write!(f, "a fixed succession names at most {MAX_NAMED} nodes: leave out the last ones, they follow by id")
            }
        }
    }
}

impl core::error::Error for PolicyError {}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Policy, PolicyError> {
        let text = text.trim();
        match text.split_once(':').map_or((text, None), |(name, nodes)| (name.trim(), Some(nodes))) {
            ("ring", None) => Ok(Policy::Ring),
            ("central", None) => Ok(Policy::Central),
            ("fixed", nodes) => fixed(nodes.unwrap_or_default()).map(Policy::Fixed),
            _ => Err(PolicyError::Unknown { found: text.to_string() }),
        }
    }
}

/// `3,1,2`; as ids are printed, `n3,n1,n2`, is understood too.
fn fixed(text: &str) -> Result<Vec<NodeId>, PolicyError> {
    if text.trim().is_empty() {
        return Err(PolicyError::NobodyNamed);
    }
    let mut nodes = Vec::new();
    for word in text.split(',').map(str::trim) {
        let digits = word.strip_prefix('n').unwrap_or(word);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let id = if is_number { digits.parse().ok() } else { None };
        let node = NodeId(id.ok_or_else(|| PolicyError::NotANode { found: word.to_string() })?);
        if nodes.contains(&node) {
            return Err(PolicyError::NamedTwice { node });
        }
        if nodes.len() == MAX_NAMED {
            return Err(PolicyError::TooMany);
        }
        nodes.push(node);
    }
    Ok(nodes)
}

/// What the leader commits: who leads next, and why.
#[derive(Clone, PartialEq, Eq, Debug, Default, Hash, Serialize, Deserialize)]
pub struct Succession {
    /// Counts the revisions, from 1; 0 is before the first one.
    pub epoch: u64,
    pub policy: Policy,
    /// A permutation of the voters of its time. The leader of its time comes last.
    pub order: Vec<NodeId>,
}

impl Succession {
    /// What to commit when the policy or the order has become another one. `None`: this one still says it.
    pub fn revised(&self, policy: &Policy, order: Vec<NodeId>) -> Option<Succession> {
        let news = self.epoch == 0 || self.policy != *policy || self.order != order;
        news.then(|| Succession { epoch: self.epoch.saturating_add(1), policy: policy.clone(), order })
    }
}

/// The voters from the best place to lead to the worst, whoever leads now: a permutation of them. `ranking` is what [`super::central_order`] says; voters
/// that are not in it follow by id. Under `ring` no place is better: by id.
pub fn preference(policy: &Policy, voters: &[NodeId], ranking: &[NodeId]) -> Vec<NodeId> {
    let first = match policy {
        Policy::Ring => &[],
        Policy::Central => ranking,
        Policy::Fixed(named) => named.as_slice(),
    };
    let mut left: BTreeSet<NodeId> = voters.iter().copied().collect();
    let mut order: Vec<NodeId> = first.iter().copied().filter(|node| left.remove(node)).collect();
    order.extend(left);
    order
}

/// The voters in the order in which they should lead after `leader`: a permutation of them, by `policy`. `leader` comes last, wherever it would stand
/// otherwise: an election is held because it is silent, and whoever is behind it would wait a stagger for nothing.
pub fn order_of(policy: &Policy, voters: &[NodeId], leader: Option<NodeId>, ranking: &[NodeId]) -> Vec<NodeId> {
    let mut order = preference(policy, voters, ranking);
    if *policy == Policy::Ring {
        return ring(&order, leader);
    }
    if let Some(place) = order.iter().position(|node| Some(*node) == leader) {
        order[place..].rotate_left(1);
    }
    order
}

/// The place of `node` in [`order_of`], counted without making that order: every sign of life of a leader asks for it. Whoever is no voter comes after all
/// of them. `voters` holds nobody twice.
pub fn slot_of(policy: &Policy, voters: &[NodeId], leader: Option<NodeId>, ranking: &[NodeId], node: NodeId) -> usize {
    if !voters.contains(&node) {
        return voters.len();
    }
    let first = match policy {
        Policy::Ring => &[],
        Policy::Central => ranking,
        Policy::Fixed(named) => named.as_slice(),
    };
    // Where a voter stands whoever leads: by its first mention, else by its id after all that are mentioned.
    let key = |of: NodeId| (first.iter().position(|id| *id == of).unwrap_or(first.len()), of);
    let after_leader = |of: NodeId| match (policy, leader) {
        (Policy::Ring, Some(leader)) => (of <= leader, key(of)),
        (_, leader) => (Some(of) == leader, key(of)),
    };
    let own = after_leader(node);
    voters.iter().filter(|voter| after_leader(**voter) < own).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;
    use proptest::prelude::*;

    fn ids(ids: &[u64]) -> Vec<NodeId> {
        ids.iter().map(|id| NodeId(*id)).collect()
    }

    #[test]
    fn a_policy_is_written_as_it_is_read() {
        for text in ["ring", "central", "fixed:3,1,2", "fixed:18446744073709551615"] {
            assert_eq!(text.parse::<Policy>().unwrap().to_string(), text);
        }
        assert_eq!(" fixed : n3, 1 ,n2 ".parse(), Ok(Policy::Fixed(ids(&[3, 1, 2]))));
    }

    #[test]
    fn what_is_not_a_policy_is_answered_with_what_to_write() {
        let said = |text: &str| text.parse::<Policy>().unwrap_err().to_string();
        assert_eq!(
            said("rong"),
            "there is no succession policy \"rong\": write ring, central, or fixed with the ids in order, as in fixed:3,1,2"
        );
        assert!(said("ring:1").contains("\"ring:1\"") && said("").contains("\"\"") && said("Ring").contains("write ring"));
        for nobody in ["fixed", "fixed:", "fixed: "] {
            assert_eq!(nobody.parse::<Policy>(), Err(PolicyError::NobodyNamed));
        }
        for (text, word) in [("fixed:1,,2", ""), ("fixed:1,x", "x"), ("fixed:-1", "-1"), ("fixed:+1", "+1"), ("fixed:1,", "")] {
            assert_eq!(text.parse::<Policy>(), Err(PolicyError::NotANode { found: word.to_string() }));
        }
        assert!(said("fixed:99999999999999999999").contains("is not a node's id"), "too great for one");
        assert_eq!(said("fixed:3,1,3"), "node 3 stands twice in a fixed succession: leave one of them out");
        let many = (0..65).map(|id| format!("{id}")).collect::<Vec<_>>().join(",");
        assert_eq!(format!("fixed:{many}").parse::<Policy>(), Err(PolicyError::TooMany));
    }

    #[test]
    fn fixed_lists_the_named_voters_first_and_the_others_by_id() {
        let (voters, policy) = (ids(&[5, 1, 2, 3]), "fixed:3,9,1".parse().unwrap());
        assert_eq!(preference(&policy, &voters, &ids(&[5])), ids(&[3, 1, 2, 5]));
        assert_eq!(order_of(&policy, &voters, None, &[]), ids(&[3, 1, 2, 5]));
    }

    #[test]
    fn the_present_leader_comes_last_under_every_policy() {
        let (voters, ranking) = (ids(&[1, 2, 3, 4]), ids(&[3, 1, 4, 7]));
        let order = |policy: &str, leader| order_of(&policy.parse().unwrap(), &voters, Some(NodeId(leader)), &ranking);
        assert_eq!(order("ring", 2), ids(&[3, 4, 1, 2]));
        assert_eq!(order("central", 3), ids(&[1, 4, 2, 3]));
        assert_eq!(order("central", 7), ids(&[3, 1, 4, 2]), "a leader that is no voter has no place");
        assert_eq!(order("fixed:2,4", 4), ids(&[2, 1, 3, 4]));
    }

    #[test]
    fn a_succession_is_committed_anew_only_when_it_says_something_new() {
        let first = Succession::default().revised(&Policy::Ring, vec![]).unwrap();
        assert_eq!(first.epoch, 1);
        assert_eq!(first.revised(&Policy::Ring, vec![]), None);
        let second = first.revised(&Policy::Ring, ids(&[1])).unwrap();
        let third = second.revised(&Policy::Central, ids(&[1])).unwrap();
        assert_eq!((second.epoch, third.epoch), (2, 3));
        let bytes = postcard::to_allocvec(&third).unwrap();
        assert_eq!(postcard::from_bytes::<Succession>(&bytes), Ok(third));
    }

    proptest! {
        #[test]
        fn every_order_is_a_permutation_of_the_voters(
            voters in prop::collection::btree_set(0u64..12, 0..9),
            named in prop::collection::vec(0u64..14, 0..9),
            leader in prop::option::of(0u64..14),
            turn in 0usize..9,
        ) {
            let mut given: Vec<NodeId> = voters.iter().map(|id| NodeId(*id)).collect();
            let sorted = given.clone();
            if !given.is_empty() {
                let turn = turn % given.len();
                given.rotate_left(turn);
            }
            for policy in [Policy::Ring, Policy::Central, Policy::Fixed(ids(&named))] {
                let leader = leader.map(NodeId);
                let order = order_of(&policy, &given, leader, &ids(&named));
                prop_assert!(!leader.is_some_and(|leader| sorted.contains(&leader)) || order.last().copied() == leader);
                for node in (0..14).map(NodeId) {
                    let place = order.iter().position(|id| *id == node).unwrap_or(order.len());
                    prop_assert_eq!(slot_of(&policy, &given, leader, &ids(&named), node), place);
                }
                for mut order in [order, preference(&policy, &given, &ids(&named))] {
                    order.sort_unstable();
                    prop_assert_eq!(&order, &sorted);
                }
            }
        }
    }
}
