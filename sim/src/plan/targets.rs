//! Whom a fault hits: targets become nodes by one draw when the fault fires, and partitions become the ways that they block.

use super::{ClusterView, Nodes};
use crate::scenario::{Split, Target};
use crate::trace::digest;
use tertulia_protocol::dice::below;

/// A way between two nodes, from and to.
pub(super) type Way = (usize, usize);

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

    pub(super) fn everybody(&self) -> Nodes {
        if self.up_only { self.up() } else { self.up() | self.view.members }
    }

    pub fn all(&self, targets: &[Target]) -> Option<Nodes> {
        self.add(targets, 0)
    }

    /// The one node that `target` names.
    pub fn one(&self, target: Target) -> Option<usize> {
        self.all(&[target]).map(|nodes| nodes.trailing_zeros() as usize)
    }

    /// The nodes that `targets` name, none of them in `taken`.
    fn add(&self, targets: &[Target], taken: Nodes) -> Option<Nodes> {
        let mut chosen: Nodes = 0;
        for (nth, target) in targets.iter().enumerate() {
            let leader = self.view.leader.map(|leader| 1u64 << leader);
            let found = match target {
                Target::Leader => leader? & self.up(),
                Target::Follower => self.one_of(self.up() & self.view.members & !leader? & !(taken | chosen), nth),
                Target::Successor(place) => {
                    leader?;
                    self.view.line.get(*place as usize - 1).map_or(0, |node| 1 << node) & self.everybody()
                }
                Target::Random => self.one_of(self.up() & !(taken | chosen), nth),
                Target::Minority => self.some(taken | chosen, (self.view.members.count_ones() as usize - 1) / 2),
                Target::Majority => self.some(taken | chosen, self.view.members.count_ones() as usize / 2 + 1),
                Target::All => self.everybody(),
                Target::Rest => (self.up() | self.view.members) & !taken,
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

    /// So many drawn members.
    fn some(&self, taken: Nodes, count: usize) -> Nodes {
        let candidates = self.view.members & self.everybody() & !taken;
        self.in_drawn_order(candidates).into_iter().take(count).fold(0, |nodes, node| nodes | 1 << node)
    }

    pub(super) fn in_drawn_order(&self, nodes: Nodes) -> Vec<usize> {
        let mut order: Vec<usize> = each(nodes).collect();
        order.sort_by_key(|node| digest(&(self.draw, *node)));
        order
    }

    /// The two halves of these nodes, the bigger one first.
    pub(super) fn halves(&self, nodes: Nodes) -> Option<Vec<Nodes>> {
        let order = self.in_drawn_order(nodes);
        let bigger = order.iter().take(order.len() / 2 + 1).fold(0, |group: Nodes, node| group | 1 << node);
        let rest = nodes & !bigger;
        (rest != 0).then(|| vec![bigger, rest])
    }

    pub(super) fn groups(&self, groups: &[Vec<Target>]) -> Option<Vec<Nodes>> {
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

    /// The two groups of a one-way partition.
    pub(super) fn one_way(&self, from: &[Target], to: &[Target]) -> Option<(Nodes, Nodes)> {
        // "rest" is what the other group leaves.
        let rest_first = from.contains(&Target::Rest);
        let order = if rest_first { [to.to_vec(), from.to_vec()] } else { [from.to_vec(), to.to_vec()] };
        let groups = self.groups(&order)?;
        Some(if rest_first { (groups[1], groups[0]) } else { (groups[0], groups[1]) })
    }

    /// The ways that a partition blocks, and how it is told.
    pub fn split(&self, split: &Split) -> Option<(Vec<Way>, String)> {
        let everybody = self.everybody();
        let singles = |nodes: Nodes| each(nodes).map(|node| 1 << node).collect::<Vec<Nodes>>();
        let (ways, told) = match split {
            Split::Halves => between(&self.halves(self.view.members)?),
            Split::Groups(groups) => between(&self.groups(groups)?),
            Split::Isolate(targets) => {
                let alone = self.all(targets)?;
                let mut groups = singles(alone);
                groups.extend(Some(everybody & !alone).filter(|rest| *rest != 0));
                between(&groups)
            }
            Split::Bridge(target) => {
                let bridge = self.one(*target)?;
                let others = everybody & !(1 << bridge);
                let order = self.in_drawn_order(others);
                let half = order.iter().take(order.len() / 2).fold(0, |group: Nodes, node| group | 1 << node);
                let (ways, told) = between(&[half, others & !half]);
                (ways, format!("{told}, n{} between them", bridge + 1))
            }
            Split::Star(target) => {
                let middle = self.one(*target)?;
                let (ways, told) = between(&singles(everybody & !(1 << middle)));
                (ways, format!("{told}, n{} between them", middle + 1))
            }
            Split::RingOfMajorities => ring(&self.in_drawn_order(self.view.members)),
            Split::OneWay(from, to) => {
                let (from, to) = self.one_way(from, to)?;
                let ways = each(from).flat_map(|from| each(to).map(move |to| (from, to))).collect();
                (ways, format!("{} -/-> {}", names(from), names(to)))
            }
        };
        (!ways.is_empty()).then_some((ways, told))
    }
}

/// All ways between different groups.
fn between(groups: &[Nodes]) -> (Vec<Way>, String) {
    let mut ways = Vec::new();
    for (a, from) in groups.iter().enumerate() {
        for (_, to) in groups.iter().enumerate().filter(|(b, _)| *b != a) {
            ways.extend(each(*from).flat_map(|from| each(*to).map(move |to| (from, to))));
        }
    }
    (ways, groups.iter().map(|group| names(*group)).collect::<Vec<_>>().join(" | "))
}

/// Each reaches its nearest on a ring, just as many on both sides as it needs for a majority.
fn ring(order: &[usize]) -> (Vec<Way>, String) {
    let near = (order.len() / 2).div_ceil(2);
    let mut ways = Vec::new();
    for (a, from) in order.iter().enumerate() {
        for (b, to) in order.iter().enumerate() {
            let apart = a.abs_diff(b).min(order.len() - a.abs_diff(b));
            if apart > near {
                ways.push((*from, *to));
            }
        }
    }
    let ring: Vec<String> = order.iter().map(|node| format!("n{}", node + 1)).collect();
    (ways, format!("ring {}", ring.join(" - ")))
}
