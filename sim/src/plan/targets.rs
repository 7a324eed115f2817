//! Whom a fault hits: targets become nodes by one draw when the fault fires.

use super::{ClusterView, Nodes};
use crate::scenario::{Split, Target};
use crate::trace::digest;
use tertulia_protocol::dice::below;

pub(super) fn each(nodes: Nodes) -> impl Iterator<Item = usize> {
    (0..64).filter(move |node| nodes >> node & 1 == 1)
}

pub(super) fn names(nodes: Nodes) -> String {
    let names: Vec<String> = each(nodes).map(|node| format!("n{}", node + 1)).collect();
    names.join(" ")
}

/// Resolves targets by one draw.
#[derive(Clone, Copy)]
pub(super) struct Pick<'a> {
    pub view: ClusterView<'a>,
    pub draw: u64,
    /// Only nodes that are up can be hit.
    pub up_only: bool,
}

impl Pick<'_> {
    fn up(&self) -> Nodes {
        self.view.up.iter().enumerate().fold(0, |nodes, (node, up)| nodes | u64::from(*up) << node)
    }

    fn everybody(&self) -> Nodes {
        if self.up_only { self.up() } else { (1 << self.view.up.len()) - 1 }
    }

    pub fn all(&self, targets: &[Target]) -> Option<Nodes> {
        self.add(targets, 0)
    }

    /// The nodes that `targets` name, none of them in `taken`.
    fn add(&self, targets: &[Target], taken: Nodes) -> Option<Nodes> {
        let mut chosen: Nodes = 0;
        for (nth, target) in targets.iter().enumerate() {
            let leader = self.view.leader.map(|leader| 1u64 << leader);
            let found = match target {
                Target::Leader => leader? & self.up(),
                Target::Follower => self.one_of(self.up() & !leader? & !(taken | chosen), nth),
                Target::Random => self.one_of(self.up() & !(taken | chosen), nth),
                Target::All => self.everybody(),
                Target::Rest => ((1 << self.view.up.len()) - 1) & !taken,
                Target::Node(node) => (1 << node) & self.everybody(),
            };
            if found == 0 || found & taken != 0 {
                return None;
            }
            chosen |= found;
        }
        Some(chosen)
    }

    fn one_of(&self, candidates: Nodes, nth: usize) -> Nodes {
        let place = below(self.draw.rotate_left(17 * nth as u32), u64::from(candidates.count_ones())) as usize;
        each(candidates).nth(place).map_or(0, |node| 1 << node)
    }

    pub fn groups(&self, split: &Split) -> Option<Vec<Nodes>> {
        let nodes = self.view.up.len();
        match split {
            Split::Halves => {
                let mut order: Vec<usize> = (0..nodes).collect();
                order.sort_by_key(|node| digest(&(self.draw, *node)));
                let majority = order.iter().take(nodes / 2 + 1).fold(0, |group: Nodes, node| group | 1 << node);
                let rest = ((1 << nodes) - 1) & !majority;
                (rest != 0).then(|| vec![majority, rest])
            }
            Split::Groups(groups) => {
                let mut taken = 0;
                let mut found = Vec::with_capacity(groups.len());
                for (nth, group) in groups.iter().enumerate() {
                    let pick = Pick { draw: self.draw.rotate_left(7 * nth as u32), ..*self };
                    let group = pick.add(group, taken)?;
                    taken |= group;
                    found.push(group);
                }
                Some(found)
            }
        }
    }
}
