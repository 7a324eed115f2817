//! From what stands in a file to what can be run: units, ranges, names, and exactly one verb a fault.

mod clients;
mod faults;

use super::error::{ScenarioError, Source, suggest};
use super::raw::*;
use super::*;
use faults::Faults;
use serde::Deserialize;
use std::ops::Range;
use std::time::Duration;
use toml::de::Deserializer;
use toml::{Spanned, Value};

/// The shortest log that a scenario may ask for, in bytes.
const MIN_LOG: u64 = 16 << 10;

/// The smallest bound of tentative entries that a scenario may ask for, in bytes.
const MIN_OUTBOX: u64 = 1 << 10;

/// How few and how many bytes of events may be let wait for one reader.
const READER: std::ops::RangeInclusive<u64> = 256..=16 << 20;

type Checked<T> = Result<T, ScenarioError>;

/// Reads a whole file, with everything drawn that is left to the seed.
pub(super) fn validate(source: Source<'_>, file: Deserializer<'_>) -> Checked<Scenario> {
    let raw = RawScenario::deserialize(file).map_err(|error| source.syntax(&error))?;
    match &raw.schema {
        Some(schema) if *schema.get_ref() == 1 => {}
        Some(schema) => {
            let message = format!("schema {} is unknown to this release: it reads schema = 1", schema.get_ref());
            return Err(source.error(Some(schema.span()), message));
        }
        None => return Err(source.error(None, "the file must begin with schema = 1")),
    }
    let name = raw.name.ok_or_else(|| source.error(None, "a scenario needs a name"))?.into_inner();
    let cluster = cluster(source, raw.cluster)?;
    let chat = super::chat::read(source, raw.chat.as_ref())?;
    let workload = workload(source, raw.workload)?;
    let (clients, stop) = (workload.clients, workload.stop);
    let faults = Faults { source, raw: &raw.fault, cluster: &cluster, clients, stop, optional: false }.all()?;
    let expect = expect(source, raw.expect, &cluster)?;
    let seed = source.integer(&raw.seed, "seed", 0, i64::MAX)?.map(|seed| seed as u64);
    let (about, bug) = (raw.about.unwrap_or_default(), raw.bug.map(Spanned::into_inner));
    Ok(Scenario { name, about, seed, bug, cluster, chat, workload, faults, expect })
}

impl Source<'_> {
    /// Reads a value with a unit by `parse`, if it is there.
    pub(in crate::scenario) fn read<T>(&self, value: &Text, parse: impl Fn(&str) -> Result<T, String>) -> Checked<Option<T>> {
        let Some(value) = value else { return Ok(None) };
        parse(value.get_ref()).map(Some).map_err(|message| self.error(Some(value.span()), message))
    }

    /// Reads durations to where they belong, as far as they are there.
    fn durations<const N: usize>(&self, given: [(&Text, &mut Duration); N]) -> Checked<()> {
        for (given, place) in given {
            if let Some(micros) = self.read(given, units::duration)? {
                *place = Duration::from_micros(micros);
            }
        }
        Ok(())
    }

    /// Reads an integer within bounds, if it is there.
    pub(in crate::scenario) fn integer(
        &self,
        value: &Option<Spanned<i64>>,
        name: &str,
        from: i64,
        to: i64,
    ) -> Checked<Option<i64>> {
        let Some(value) = value else { return Ok(None) };
        match *value.get_ref() {
            n if (from..=to).contains(&n) => Ok(Some(n)),
            n => Err(self.error(Some(value.span()), format!("{name} = {n} is out of range: {from} to {to}"))),
        }
    }

    /// The two ends of a link that is named `1->3`, counted from 0.
    fn link(&self, name: &str, value: &Spanned<String>, hosts: usize) -> Checked<(usize, usize)> {
        let ends = name.split_once("->").and_then(|(from, to)| Some((node(from, hosts)?, node(to, hosts)?)));
        ends.filter(|(from, to)| from != to).ok_or_else(|| {
            let message = format!("\"{name}\" is not a link: write \"default\" or \"1->3\", with nodes from 1 to {hosts}");
            self.error(Some(value.span()), message)
        })
    }

    fn link_delay(&self, value: &Spanned<String>) -> Checked<Span> {
        units::span(value.get_ref()).map_err(|message| self.error(Some(value.span()), message))
    }
}

fn cluster(source: Source<'_>, raw: Option<RawCluster>) -> Checked<Cluster> {
    let Some(raw) = raw else { return Err(source.error(None, "a scenario needs a [cluster]")) };
    let voters = source.integer(&raw.voters, "voters", 1, 15)?.unwrap_or(3) as usize;
    let spares = source.integer(&raw.spares, "spares", 0, 15)?.unwrap_or(0) as usize;
    let (succession, succession_timing) = succession(source, raw.succession, voters)?;
    let mut timing = Timing::default();
    let timings: [(&Text, &mut Duration); 10] = [
        (&raw.heartbeat, &mut timing.heartbeat),
        (&raw.detect_min, &mut timing.detect_min),
        (&raw.detection, &mut timing.detection),
        (&raw.stagger, &mut timing.stagger),
        (&raw.jitter, &mut timing.jitter),
        (&raw.hold, &mut timing.hold),
        (&raw.request, &mut timing.request),
        (&raw.forward_again, &mut timing.forward_again),
        (&raw.disk_stall, &mut timing.disk_stall),
        (&raw.leader_silence, &mut timing.leader_silence),
    ];
    let mut limits = Limits::default();
    if let Some(bytes) = source.read(&raw.log, units::bytes)? {
        if bytes < MIN_LOG {
            let message = format!("a log of {bytes} bytes is too short: at least {MIN_LOG}");
            return Err(source.error(raw.log.as_ref().map(Spanned::span), message));
        }
        // A cluster in small: what depends on how much log there is keeps its proportion to it.
        limits.log_bytes = bytes;
        limits.snapshot_part_bytes = limits.snapshot_part_bytes.min((bytes / 16) as u32);
        limits.snapshot_bytes_per_second = limits.snapshot_bytes_per_second.min(4 * bytes);
    }
    source.durations(timings)?;
    timing.lease_drift_ppm = source.read(&raw.lease_drift, units::percent)?;
    let (mut link, mut links) = (Span::millis(2, 8), BTreeMap::new());
    for (name, value) in raw.links.unwrap_or_default() {
        if name == "default" {
            link = source.link_delay(&value)?;
        } else {
            links.insert(source.link(&name, &value, voters + spares)?, source.link_delay(&value)?);
        }
    }
    if let Some(bytes) = source.read(&raw.reader, units::bytes)? {
        if !READER.contains(&bytes) {
            let message = format!("{bytes} bytes are out of range for `reader`: {} to {}", READER.start(), READER.end());
            return Err(source.error(raw.reader.as_ref().map(Spanned::span), message));
        }
        limits.reader_bytes = bytes as u32;
    }
    if let Some(bytes) = source.read(&raw.outbox, units::bytes)? {
        if bytes < MIN_OUTBOX {
            let message = format!("an outbox of {bytes} bytes is too small: at least {MIN_OUTBOX}");
            return Err(source.error(raw.outbox.as_ref().map(Spanned::span), message));
        }
        limits.outbox_bytes = bytes;
    }
    let (clock, clocks) = clocks(source, raw.clocks.unwrap_or_default(), voters + spares)?;
    let disk = raw.disk.unwrap_or_default();
    let sector = sector(source, &disk.sector)?;
    let sync = source.read(&disk.sync, units::span)?.unwrap_or(Span::millis(1, 4));
    Ok(Cluster { voters, spares, succession, link, links, sync, sector, clock, clocks, timing, limits, succession_timing })
}

fn sector(source: Source<'_>, text: &Text) -> Checked<Option<u32>> {
    match source.read(text, units::bytes)? {
        Some(bytes) if !(512..=65_536).contains(&bytes) || !bytes.is_power_of_two() => {
            let message = format!("a disk has no sectors of {bytes} bytes: a power of two from 512B to 64KiB");
            Err(source.error(text.as_ref().map(Spanned::span), message))
        }
        sector => Ok(sector.map(|bytes| bytes as u32)),
    }
}

fn clocks(
    source: Source<'_>,
    raw: BTreeMap<String, Spanned<RawClock>>,
    hosts: usize,
) -> Checked<(Clock, BTreeMap<usize, Clock>)> {
    let (mut all, mut named) = (Clock::default(), BTreeMap::new());
    for (name, value) in raw {
        let at = value.span();
        let clock = Clock {
            skew: source.read(&value.get_ref().skew, units::offset)?,
            drift: source.read(&value.get_ref().drift, units::drift)?,
        };
        if clock == Clock::default() {
            let message =
                format!("the clock of \"{name}\" is not off: give `skew`, `drift` or both, such as {{ drift = \"200ppm\" }}");
            return Err(source.error(Some(at), message));
        }
        match node(&name, hosts) {
            _ if name == "default" => all = clock,
            Some(host) if name.starts_with('n') => drop(named.insert(host, clock)),
            _ => {
                let message = format!("\"{name}\" has no clock: write \"default\", or n1 to n{hosts}");
                return Err(source.error(Some(at), message));
            }
        }
    }
    Ok((all, named))
}

fn succession(source: Source<'_>, raw: Option<Spanned<RawSuccession>>, voters: usize) -> Checked<(Succession, SuccessionTiming)> {
    let mut timing = SuccessionTiming::default();
    let Some(raw) = raw else { return Ok((Succession::default(), timing)) };
    let (at, raw) = (raw.span(), raw.into_inner());
    source.durations([
        (&raw.probe, &mut timing.probe),
        (&raw.evaluation, &mut timing.evaluation),
        (&raw.max_age, &mut timing.max_age),
        (&raw.gain, &mut timing.gain),
        (&raw.resolution, &mut timing.resolution),
        (&raw.tenure, &mut timing.tenure),
        (&raw.cooldown, &mut timing.cooldown),
    ])?;
    Ok((policy(source, at, raw, voters)?, timing))
}

fn policy(source: Source<'_>, at: Range<usize>, raw: RawSuccession, voters: usize) -> Checked<Succession> {
    let Some(policy) = raw.policy else {
        return Err(source.error(Some(at), "succession needs a policy: \"ring\", \"central\" or \"fixed\""));
    };
    match (policy.get_ref().as_str(), raw.order) {
        ("ring", None) => Ok(Succession::Ring),
        ("central", None) => Ok(Succession::Central),
        ("fixed", Some(order)) => {
            let mut hosts: Vec<usize> = order.get_ref().iter().filter_map(|id| usize::try_from(id - 1).ok()).collect();
            let named = hosts.clone();
            hosts.sort_unstable();
            hosts.dedup();
            let fits = !hosts.is_empty() && hosts.len() == order.get_ref().len() && hosts.iter().all(|host| *host < voters);
            let message = format!("order names nodes from 1 to {voters}, each at most once, such as [1, 2, 3]");
            if fits { Ok(Succession::Fixed(named)) } else { Err(source.error(Some(order.span()), message)) }
        }
        ("fixed", None) => Err(source.error(Some(at), "policy = \"fixed\" needs `order`, such as [1, 2, 3]")),
        ("ring" | "central", Some(order)) => Err(source.error(Some(order.span()), "`order` goes only with policy = \"fixed\"")),
        (name, _) => {
            let near = suggest(name, ["ring", "central", "fixed"].into_iter());
            Err(source.error(Some(policy.span()), format!("unknown policy \"{name}\"{near}")))
        }
    }
}

/// `3` or `n3`, counted from 0.
fn node(name: &str, voters: usize) -> Option<usize> {
    let name = name.trim();
    let number: usize = name.strip_prefix('n').unwrap_or(name).parse().ok()?;
    (1..=voters).contains(&number).then(|| number - 1)
}

fn workload(source: Source<'_>, raw: Option<RawWorkload>) -> Checked<Workload> {
    let Some(raw) = raw else { return Err(source.error(None, "a scenario needs a [workload]")) };
    let missing = |name: &str| source.error(None, format!("[workload] needs `{name}`"));
    let joiner = match &raw.joiner {
        None => None,
        Some(joiner) => {
            let at = source.read(&joiner.get_ref().at, units::span)?;
            let at = at.ok_or_else(|| source.error(Some(joiner.span()), "a joiner needs `at`, the time when it comes"))?;
            let last = source.integer(&joiner.get_ref().last, "last", 1, 1_000)?.unwrap_or(10) as u32;
            Some(Joiner { at, last })
        }
    };
    let text = match &raw.text {
        None => (8, 120),
        Some(given) => match given.get_ref()[..] {
            [from, to] if 1 <= from && from <= to && to <= 4_000 => (from, to),
            _ => return Err(source.error(Some(given.span()), "text is [fewest, most] bytes of a message, within 1 to 4000")),
        },
    };
    let stop = source.read(&raw.stop, units::duration)?.ok_or_else(|| missing("stop"))?;
    if let Some(joiner) = joiner.filter(|joiner| joiner.at.to >= stop) {
        let message = format!("the joiner may come only at {} us, after the workload's stop", joiner.at.to);
        return Err(source.error(raw.joiner.as_ref().map(Spanned::span), message));
    }
    let arrivals = source.read(&raw.arrivals, units::span)?;
    if arrivals.is_some_and(|arrivals| arrivals.to >= stop) {
        let at = raw.arrivals.as_ref().map(Spanned::span);
        return Err(source.error(at, "clients come before the workload's stop"));
    }
    let quits = source.read(&raw.quits, units::span)?;
    if quits.is_some_and(|quits| quits.to >= stop) {
        let at = raw.quits.as_ref().map(Spanned::span);
        return Err(source.error(at, "devices are lost before the workload's stop"));
    }
    let mut acts = [None; ACTS.len()];
    for (act, given) in acts.iter_mut().zip(raw.acts()) {
        *act = source.read(given, units::span)?;
    }
    Ok(Workload {
        clients: source.integer(&raw.clients, "clients", 1, 10_000)?.ok_or_else(|| missing("clients"))? as u32,
        rooms: source.integer(&raw.rooms, "rooms", 1, 1_000)?.unwrap_or(1) as u32,
        gap: source.read(&raw.rate, units::rate)?.ok_or_else(|| missing("rate"))?,
        stop,
        posts: source.integer(&raw.posts, "posts", 0, i64::MAX)?.map(|posts| posts as u64),
        text,
        link: source.read(&raw.link, units::span)?.unwrap_or(Span { from: 300, to: 2_000 }),
        joiner,
        pages: source.read(&raw.pages, units::span)?,
        pages_back: source.read(&raw.pages_back, units::span)?,
        moves: source.read(&raw.moves, units::span)?,
        stay: raw.stay.unwrap_or(false),
        quits,
        restarts: source.read(&raw.restarts, units::span)?,
        arrivals,
        devices: source.integer(&raw.devices, "devices", 1, 100)?.unwrap_or(1) as u32,
        acts,
    })
}

/// Names of points that some sweep can reach.
fn points(source: Source<'_>, names: &Option<Spanned<Vec<String>>>) -> Checked<Vec<String>> {
    let Some(names) = names else { return Ok(Vec::new()) };
    match names.get_ref().iter().find(|name| !crate::points::is_known(name)) {
        None => Ok(names.get_ref().clone()),
        Some(name) => {
            let meant = suggest(name, crate::points::all().map(|(known, _)| known));
            Err(source.error(Some(names.span()), format!("no point is named \"{name}\"{meant}")))
        }
    }
}

fn expect(source: Source<'_>, raw: Option<RawExpect>, cluster: &Cluster) -> Checked<Expect> {
    let raw = raw.unwrap_or_default();
    let hosts = cluster.hosts();
    let host = |name: &str, at: Range<usize>| {
        let found = node(name, hosts).filter(|_| name.starts_with('n'));
        found.ok_or_else(|| source.error(Some(at), format!("\"{name}\" is not a node: the cluster has n1 to n{hosts}")))
    };
    let leader = raw.leader.map(|name| host(name.get_ref(), name.span())).transpose()?;
    let members = match raw.members {
        None => None,
        Some(names) => {
            let mut members = names.get_ref().iter().map(|name| host(name, names.span())).collect::<Checked<Vec<usize>>>()?;
            members.sort_unstable();
            members.dedup();
            Some(members)
        }
    };
    let proof = raw.proof.unwrap_or_default();
    let proof = Proof {
        acked: source.integer(&proof.acked, "acked", 0, i64::MAX)?.unwrap_or(0) as u64,
        accepted: source.integer(&proof.accepted, "accepted", 0, i64::MAX)?.unwrap_or(0) as u64,
        fired: source.integer(&proof.fired, "fired", 0, 1_000_000)?.unwrap_or(0) as u32,
    };
    Ok(Expect {
        reached: points(source, &raw.reached)?,
        proof,
        unavailable_max: source.read(&raw.unavailable_max, units::duration)?,
        accepted_within: source.read(&raw.accepted_within, units::duration)?,
        heal_within: source.read(&raw.heal_within, units::duration)?.unwrap_or(10_000_000),
        min_acked: source.integer(&raw.min_acked, "min_acked", 0, i64::MAX)?.unwrap_or(1) as u64,
        transfers_max: source.integer(&raw.transfers_max, "transfers_max", 0, 1_000)?.map(|most| most as u32),
        leader,
        members,
        voters: source.integer(&raw.voters, "voters", 1, hosts as i64)?.map(|voters| voters as usize),
    })
}

#[cfg(test)]
#[path = "../tests.rs"]
mod tests;
