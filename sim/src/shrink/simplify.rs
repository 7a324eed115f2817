//! What may be simpler about a scenario, as candidates in order of preference: the simplest first. Each is smaller than what it was made from, so that
//! asking again and again comes to an end.

use super::concrete::at;
use super::nodes::retarget;
use crate::scenario::{ACTS, Cluster, DiskFate, Expect, Fault, Proof, Scenario, Span, Split, Target, Trigger, Verb, Workload};
use tertulia_protocol::contract::{Limits, Timing};
use tertulia_protocol::succession::SuccessionTiming;

const MS: u64 = 1_000;
const SECOND: u64 = 1_000_000;

fn with(scenario: &Scenario, change: impl FnOnce(&mut Scenario)) -> Scenario {
    let mut changed = scenario.clone();
    change(&mut changed);
    changed
}

fn changed(scenario: &Scenario, candidates: Vec<Scenario>) -> Vec<Scenario> {
    candidates.into_iter().filter(|candidate| candidate != scenario).collect()
}

/// Without expectations that have nothing to do with the rule.
pub(super) fn expectations(scenario: &Scenario, rule: &str) -> Vec<Scenario> {
    let old = &scenario.expect;
    let keep = |name: &str| rule == name;
    let none = Expect {
        reached: Vec::new(),
        accepted_within: old.accepted_within.filter(|_| keep("accepted-within")),
        unavailable_max: old.unavailable_max.filter(|_| keep("unavailable")),
        heal_within: 10 * SECOND,
        min_acked: if keep("min-acked") { old.min_acked } else { 1 },
        transfers_max: old.transfers_max.filter(|_| keep("transfers-max")),
        leader: None,
        members: None,
        voters: None,
        proof: Proof::default(),
    };
    let healing = Expect { heal_within: old.heal_within, ..none.clone() };
    let ends = Expect { leader: old.leader, members: old.members.clone(), voters: old.voters, ..healing.clone() };
    let candidates = [none, healing, ends].map(|expect| with(scenario, |new| new.expect = expect));
    changed(scenario, candidates.to_vec())
}

/// A smaller workload: first all that is small at once, then one thing at a time.
pub(super) fn workloads(scenario: &Scenario) -> Vec<Scenario> {
    let old = &scenario.workload;
    let tiny = |clients: u32, posts: Option<u64>| Workload {
        clients: clients.min(old.clients),
        rooms: 1,
        gap: old.gap,
        stop: old.stop,
        posts: posts.map(|posts| posts.min(old.posts.unwrap_or(u64::MAX))).or(old.posts),
        text: (8, 120),
        link: Span { from: 300, to: 2_000 },
        joiner: None,
        pages: None,
        pages_back: None,
        moves: None,
        stay: false,
        quits: None,
        restarts: None,
        arrivals: None,
        devices: 1,
        acts: [None; ACTS.len()],
    };
    let mut found = vec![tiny(1, Some(1)), tiny(1, Some(3)), tiny(1, None), tiny(2, None), tiny(old.clients, None)];
    let smaller = |steps: &[u32]| steps.iter().copied().filter(|step| *step < old.clients).collect::<Vec<_>>();
    found.extend(smaller(&[1, 2, 3, 5, old.clients / 2]).into_iter().map(|clients| Workload { clients, ..old.clone() }));
    found.push(Workload { rooms: 1, ..old.clone() });
    found.push(Workload { joiner: None, ..old.clone() });
    found.push(Workload { pages: None, ..old.clone() });
    found.push(Workload { pages_back: None, ..old.clone() });
    found.push(Workload { moves: None, ..old.clone() });
    found.push(Workload { stay: false, ..old.clone() });
    found.push(Workload { quits: None, ..old.clone() });
    found.push(Workload { restarts: None, ..old.clone() });
    found.push(Workload { arrivals: None, ..old.clone() });
    found.push(Workload { acts: [None; ACTS.len()], ..old.clone() });
    for nth in (0..ACTS.len()).filter(|nth| old.acts[*nth].is_some()) {
        let acts = std::array::from_fn(|other| old.acts[other].filter(|_| other != nth));
        found.push(Workload { acts, ..old.clone() });
    }
    found.push(Workload { text: (8, 120), ..old.clone() });
    found.push(Workload { link: Span { from: 300, to: 2_000 }, ..old.clone() });
    let posts = [0, 1, 2, 3, 5, 10, 20, 50].into_iter().filter(|posts| *posts < old.posts.unwrap_or(u64::MAX));
    found.extend(posts.map(|posts| Workload { posts: Some(posts), ..old.clone() }));
    let gaps = [1, 2, 5, 10, 20, 50].map(|rate| SECOND / rate).into_iter().filter(|gap| *gap > old.gap);
    found.extend(gaps.map(|gap| Workload { gap, ..old.clone() }));
    changed(scenario, found.into_iter().map(|workload| with(scenario, |new| new.workload = workload)).collect())
}

/// A cluster with fewer peculiarities.
pub(super) fn clusters(scenario: &Scenario) -> Vec<Scenario> {
    let old = &scenario.cluster;
    let plain = Cluster {
        succession: Default::default(),
        succession_timing: SuccessionTiming::default(),
        timing: Timing::default(),
        limits: Limits::default(),
        links: Default::default(),
        link: Span::millis(2, 8),
        sync: Span::millis(1, 4),
        ..old.clone()
    };
    let found = vec![
        plain.clone(),
        Cluster { links: plain.links, ..old.clone() },
        Cluster { link: plain.link, ..old.clone() },
        Cluster { sync: plain.sync, ..old.clone() },
        Cluster { succession: plain.succession.clone(), succession_timing: plain.succession_timing, ..old.clone() },
        Cluster { succession: plain.succession, ..old.clone() },
        Cluster { succession_timing: plain.succession_timing, ..old.clone() },
        Cluster { timing: plain.timing, ..old.clone() },
        Cluster { timing: Timing { lease_drift_ppm: None, ..old.timing }, ..old.clone() },
        Cluster { limits: plain.limits, ..old.clone() },
    ];
    changed(scenario, found.into_iter().map(|cluster| with(scenario, |new| new.cluster = cluster)).collect())
}

/// Simpler faults: fewer targets, milder outcomes, plainer partitions.
pub(super) fn verbs(scenario: &Scenario) -> Vec<Scenario> {
    let each = scenario.faults.iter().enumerate();
    let simpler = each.flat_map(|(nth, fault)| simpler(&fault.verb).into_iter().map(move |verb| (nth, verb)));
    changed(scenario, simpler.map(|(nth, verb)| with(scenario, |new| new.faults[nth].verb = verb)).collect())
}

fn simpler(verb: &Verb) -> Vec<Verb> {
    let mut found = Vec::new();
    match verb {
        Verb::Crash { targets, disk, rot } => {
            let crash = |disk, rot| Verb::Crash { targets: targets.clone(), disk, rot };
            found.extend(rot.map(|_| crash(*disk, None)));
            match disk {
                DiskFate::Keep => {}
                DiskFate::LoseUnsynced => found.push(crash(DiskFate::Keep, *rot)),
                DiskFate::Torn | DiskFate::Any => {
                    found.extend([DiskFate::Keep, DiskFate::LoseUnsynced].map(|disk| crash(disk, *rot)));
                }
                DiskFate::Wipe => found.extend([DiskFate::Keep, DiskFate::LoseUnsynced].map(|disk| crash(disk, None))),
            }
        }
        Verb::BreakDisk { targets, .. } => {
            found.push(Verb::Crash { targets: targets.clone(), disk: DiskFate::LoseUnsynced, rot: None });
        }
        Verb::Partition(split) => found.extend(simpler_split(split).into_iter().map(Verb::Partition)),
        _ => {}
    }
    let named = super::nodes::targets(verb);
    let nodes: Vec<Target> = named.into_iter().filter(|target| *target != Target::Rest).collect();
    if nodes.len() > 1 {
        found.extend(nodes.iter().filter_map(|only| retarget(verb, &|target| some(target, target == *only))));
        found.extend(nodes.iter().filter_map(|but| retarget(verb, &|target| some(target, target != *but))));
    }
    found
}

fn some(target: Target, keep: bool) -> Option<Target> {
    (keep || target == Target::Rest).then_some(target)
}

fn simpler_split(split: &Split) -> Vec<Split> {
    match split {
        Split::Groups(groups) => {
            let mut groups: Vec<&Vec<Target>> = groups.iter().collect();
            groups.sort_by_key(|group| (group.contains(&Target::Rest), group.len()));
            let Some(small) = groups.first().filter(|group| !group.contains(&Target::Rest)) else { return Vec::new() };
            let rest = Split::Groups(vec![small.to_vec(), vec![Target::Rest]]);
            let alone: Vec<Split> = small.iter().map(|target| Split::Isolate(vec![*target])).collect();
            alone.into_iter().chain(Some(rest)).collect()
        }
        Split::OneWay(from, into) => {
            let both = if from.contains(&Target::Rest) { [into, from] } else { [from, into] };
            vec![Split::Groups(both.map(Vec::clone).to_vec())]
        }
        Split::Star(target) | Split::Bridge(target) => vec![Split::Halves, Split::Isolate(vec![*target])],
        Split::RingOfMajorities => vec![Split::Halves],
        Split::Halves | Split::Isolate(_) => Vec::new(),
    }
}

/// Faults that end earlier, or are not ended by themselves at all.
pub(super) fn shorter(scenario: &Scenario) -> Vec<Scenario> {
    let mut found = Vec::new();
    for (nth, fault) in scenario.faults.iter().enumerate() {
        let Some(lasts) = fault.lasts else { continue };
        let set = |lasts: Option<u64>| with(scenario, |new| new.faults[nth].lasts = lasts.map(Span::fixed));
        if !matches!(fault.verb, Verb::Stall { .. } | Verb::Pause { .. }) {
            found.push(set(None));
        }
        let steps = [100 * MS, lasts.to / 4, lasts.to / 2].map(|step| step / MS * MS);
        found.extend(steps.into_iter().filter(|step| *step > 0 && *step < lasts.to).map(|step| set(Some(step))));
    }
    found
}

/// Less time in all, the least first.
pub(super) fn stops(scenario: &Scenario) -> Vec<Scenario> {
    let stops = [2, 4, 8, 15, 30, 60].map(|stop| stop * SECOND).into_iter();
    stops.filter(|stop| *stop < scenario.workload.stop).map(|stop| super::concrete::stop_at(scenario, stop)).collect()
}

/// Less time before, between and after the faults.
pub(super) fn gaps(scenario: &Scenario) -> Vec<Scenario> {
    let mut times: Vec<u64> = scenario.faults.iter().map(at).filter(|at| *at != u64::MAX).collect();
    times.push(scenario.workload.stop);
    times.sort_unstable();
    times.dedup();
    let mut found = Vec::new();
    let before = std::iter::once(0).chain(times.iter().copied());
    for (from, to) in before.zip(times.iter().copied()) {
        let gap = to - from;
        let steps = [10 * MS, 100 * MS, 500 * MS, gap / 4, gap / 2, gap * 3 / 4].map(|step| step / MS * MS);
        let steps = steps.into_iter().filter(|step| *step > 0 && step + 5 * MS < gap);
        found.extend(steps.map(|step| earlier(scenario, to, gap - step)));
    }
    found
}

/// Everything from `from` on happens so much earlier.
fn earlier(scenario: &Scenario, from: u64, by: u64) -> Scenario {
    with(scenario, |new| {
        let moved = |time: u64| if time >= from { time - by } else { time };
        for fault in &mut new.faults {
            if let Trigger::At(span) = &mut fault.trigger {
                *span = Span { from: moved(span.from), to: moved(span.to).max(moved(span.from)) };
            }
        }
        new.workload.stop = moved(new.workload.stop);
        if let Some(joiner) = &mut new.workload.joiner {
            joiner.at = Span { from: moved(joiner.at.from), to: moved(joiner.at.to).max(moved(joiner.at.from)) };
        }
    })
}

/// Times that are easier to read.
pub(super) fn rounder(scenario: &Scenario) -> Vec<Scenario> {
    let mut found = Vec::new();
    for nth in 0..scenario.faults.len() {
        let set = |time: u64, change: fn(&mut Fault, u64)| with(scenario, |new| change(&mut new.faults[nth], time));
        if let Trigger::At(span) = scenario.faults[nth].trigger {
            found.extend(
                round(span).into_iter().map(|time| set(time, |fault, time| fault.trigger = Trigger::At(Span::fixed(time)))),
            );
        }
        if let Some(span) = scenario.faults[nth].lasts {
            let times = round(span).into_iter().filter(|time| *time > 0);
            found.extend(times.map(|time| set(time, |fault, time| fault.lasts = Some(Span::fixed(time)))));
        }
    }
    let stop = scenario.workload.stop;
    let up = [SECOND, 100 * MS, 10 * MS, MS].into_iter().filter(|unit| roundness(stop) < *unit);
    found.extend(up.map(|unit| with(scenario, |new| new.workload.stop = stop.next_multiple_of(unit))));
    found
}

/// The biggest unit that divides a time.
fn roundness(time: u64) -> u64 {
    [SECOND, 500 * MS, 100 * MS, 50 * MS, 10 * MS, MS, 100, 10].into_iter().find(|unit| time.is_multiple_of(*unit)).unwrap_or(1)
}

fn round(span: Span) -> Vec<u64> {
    let known = if span.from == span.to { roundness(span.from) } else { 0 };
    let units = [SECOND, 500 * MS, 100 * MS, 50 * MS, 10 * MS, MS, 100, 10].into_iter().filter(|unit| *unit > known);
    units.flat_map(|unit| [span.from / unit * unit, span.from.next_multiple_of(unit)]).collect()
}

/// Faults under names that say nothing of which occurrence they were.
pub(super) fn names(scenario: &Scenario) -> Vec<Scenario> {
    let plain = |id: &str| crate::plan::occurrence(id).0.to_owned();
    let mut found = Vec::new();
    for (nth, fault) in scenario.faults.iter().enumerate() {
        let name = plain(&fault.id);
        if name != fault.id && scenario.faults.iter().all(|other| other.id != name) {
            found.push(with(scenario, |new| new.faults[nth].id = name));
        }
    }
    found
}
