//! Fewer nodes: what is left is numbered anew, and faults that hit nobody any more are left out.

use super::concrete::by_role;
use crate::plan::Decision;
use crate::scenario::{Operation, Scenario, Split, Succession, Target, Verb};
use std::collections::BTreeSet;

/// Other targets in a verb. `None` when none is left; a group that loses its last one becomes the rest.
pub(super) fn retarget(verb: &Verb, to: &impl Fn(Target) -> Option<Target>) -> Option<Verb> {
    let many = |targets: &[Target]| {
        let found: Vec<Target> = targets.iter().filter_map(|target| to(*target)).collect();
        (!found.is_empty()).then_some(found)
    };
    Some(match verb {
        Verb::Crash { targets, disk, rot } => Verb::Crash { targets: many(targets)?, disk: *disk, rot: *rot },
        Verb::Pause { targets } => Verb::Pause { targets: many(targets)? },
        Verb::Reset { on } => Verb::Reset { on: many(on)? },
        Verb::Stall { targets } => Verb::Stall { targets: many(targets)? },
        Verb::BreakDisk { targets, how, restart } => Verb::BreakDisk { targets: many(targets)?, how: *how, restart: *restart },
        Verb::Loss { ppm, on } => Verb::Loss { ppm: *ppm, on: many(on)? },
        Verb::Delay { by, on } => Verb::Delay { by: *by, on: many(on)? },
        Verb::Duplicate { ppm, on } => Verb::Duplicate { ppm: *ppm, on: many(on)? },
        Verb::SlowDisk { sync, on } => Verb::SlowDisk { sync: *sync, on: many(on)? },
        Verb::Partition(split) => Verb::Partition(match split {
            Split::Groups(groups) => {
                let mut groups: Vec<Vec<Target>> = groups.iter().filter_map(|group| many(group)).collect();
                if groups.len() == 1 {
                    groups.push(vec![Target::Rest]);
                }
                (groups.len() > 1).then_some(Split::Groups(groups))?
            }
            Split::Isolate(targets) => Split::Isolate(many(targets)?),
            Split::Bridge(target) => Split::Bridge(to(*target)?),
            Split::Star(target) => Split::Star(to(*target)?),
            Split::OneWay(from, into) => match (many(from), many(into)) {
                (Some(from), Some(into)) => Split::OneWay(from, into),
                (Some(from), None) => Split::OneWay(from, vec![Target::Rest]),
                (None, Some(into)) => Split::OneWay(vec![Target::Rest], into),
                (None, None) => return None,
            },
            Split::Halves | Split::RingOfMajorities => split.clone(),
        }),
        Verb::Operator(Operation::Transfer(target)) => Verb::Operator(Operation::Transfer(to(*target)?)),
        Verb::Operator(Operation::Remove(target)) => Verb::Operator(Operation::Remove(to(*target)?)),
        Verb::Operator(Operation::Replace(target)) => Verb::Operator(Operation::Replace(to(*target)?)),
        // The file's reader refuses what names nodes that are no more.
        other => other.clone(),
    })
}

/// All targets that a verb names.
pub(super) fn targets(verb: &Verb) -> Vec<Target> {
    let named = std::cell::RefCell::new(Vec::new());
    let _ = retarget(verb, &|target| {
        named.borrow_mut().push(target);
        Some(target)
    });
    named.into_inner()
}

/// The scenario on the hosts that `place` gives a new number, of which so many vote.
fn renumbered(scenario: &Scenario, voters: usize, place: impl Fn(usize) -> Option<usize>) -> Scenario {
    let mut scenario = scenario.clone();
    let cluster = &mut scenario.cluster;
    let hosts = (0..cluster.hosts()).filter_map(&place).count();
    (cluster.voters, cluster.spares) = (voters, hosts - voters);
    let links = std::mem::take(&mut cluster.links);
    cluster.links = links.into_iter().filter_map(|((from, to), delay)| Some(((place(from)?, place(to)?), delay))).collect();
    if let Succession::Fixed(order) = &mut cluster.succession {
        *order = order.iter().filter_map(|host| place(*host)).collect();
        if order.is_empty() {
            cluster.succession = Succession::Ring;
        }
    }
    let to = |target: Target| match target {
        Target::Node(node) => place(node).map(Target::Node),
        Target::Successor(nth) => Some(Target::Successor(nth)).filter(|_| (nth as usize) < voters),
        other => Some(other),
    };
    let mut places = BTreeSet::new();
    for (nth, fault) in scenario.faults.iter_mut().enumerate() {
        if let Verb::Links(links) = &mut fault.verb {
            let named = std::mem::take(links);
            *links = named.into_iter().filter_map(|((from, to), delay)| Some(((place(from)?, place(to)?), delay))).collect();
            if links.is_empty() {
                continue;
            }
        }
        if let Some(verb) = retarget(&fault.verb, &to) {
            fault.verb = verb;
            places.insert(nth);
        }
    }
    let mut scenario = super::concrete::keep(&scenario, &places);
    let expect = &mut scenario.expect;
    expect.leader = expect.leader.and_then(&place);
    expect.members = expect.members.take().map(|members| members.into_iter().filter_map(&place).collect());
    expect.members = expect.members.take().filter(|members: &Vec<usize>| !members.is_empty());
    expect.voters = expect.voters.map(|voters| voters.min(hosts));
    scenario
}

/// The scenario with fewer voters, the fewest first: on the nodes that faults name, and by what places they had.
pub(super) fn fewer_voters(scenario: &Scenario, decisions: &[Decision]) -> Vec<Scenario> {
    let voters = scenario.cluster.voters;
    // The last faults are the likeliest reason.
    let named: Vec<usize> = scenario.faults.iter().rev().flat_map(|fault| targets(&fault.verb)).filter_map(node).collect();
    let mut order: Vec<usize> = Vec::new();
    for host in named.into_iter().chain(0..voters).filter(|host| *host < voters) {
        if !order.contains(&host) {
            order.push(host);
        }
    }
    let roles = by_role(scenario, decisions);
    let mut found = Vec::new();
    for fewer in 1..voters {
        let mut kept = order[..fewer].to_vec();
        kept.sort_unstable();
        let spare = |host: usize| (host >= voters).then(|| host - voters + fewer);
        found.push(renumbered(scenario, fewer, |host| kept.iter().position(|other| *other == host).or_else(|| spare(host))));
        if roles != *scenario {
            found.push(renumbered(&roles, fewer, |host| if host < fewer { Some(host) } else { spare(host) }));
        }
    }
    found
}

/// The scenario with fewer machines that stand by, the fewest first.
pub(super) fn fewer_spares(scenario: &Scenario) -> Vec<Scenario> {
    let voters = scenario.cluster.voters;
    let fewer = |spares: usize| renumbered(scenario, voters, |host| (host < voters + spares).then_some(host));
    (0..scenario.cluster.spares).map(fewer).collect()
}

fn node(target: Target) -> Option<usize> {
    match target {
        Target::Node(node) => Some(node),
        _ => None,
    }
}
