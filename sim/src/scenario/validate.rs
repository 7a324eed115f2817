//! From what stands in a file to what can be run: units, ranges, names, and exactly one verb a fault.

use super::error::{ScenarioError, Source, suggest};
use super::raw::*;
use super::*;
use std::ops::Range;
use std::time::Duration;
use toml::{Spanned, Value};

/// The shortest log that a scenario may ask for, in bytes.
const MIN_LOG: u64 = 16 << 10;

type Checked<T> = Result<T, ScenarioError>;

/// Reads a whole file.
pub(super) fn validate(source: Source<'_>) -> Checked<Scenario> {
    let raw: RawScenario = toml::from_str(source.text).map_err(|error| source.syntax(&error))?;
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
    let workload = workload(source, raw.workload)?;
    let faults = Faults { source, raw: &raw.fault, voters: cluster.voters, stop: workload.stop }.all()?;
    let expect = expect(source, raw.expect)?;
    Ok(Scenario { name, about: raw.about.unwrap_or_default(), cluster, workload, faults, expect })
}

impl Source<'_> {
    /// Reads a value with a unit by `parse`, if it is there.
    fn read<T>(&self, value: &Text, parse: impl Fn(&str) -> Result<T, String>) -> Checked<Option<T>> {
        let Some(value) = value else { return Ok(None) };
        parse(value.get_ref()).map(Some).map_err(|message| self.error(Some(value.span()), message))
    }

    /// Reads an integer within bounds, if it is there.
    fn integer(&self, value: &Option<Spanned<i64>>, name: &str, from: i64, to: i64) -> Checked<Option<i64>> {
        let Some(value) = value else { return Ok(None) };
        match *value.get_ref() {
            n if (from..=to).contains(&n) => Ok(Some(n)),
            n => Err(self.error(Some(value.span()), format!("{name} = {n} is out of range: {from} to {to}"))),
        }
    }

    fn not_yet(&self, name: &str, at: Range<usize>) -> ScenarioError {
        self.error(Some(at), format!("`{name}` is not implemented yet: no engine can play it"))
    }
}

fn cluster(source: Source<'_>, raw: Option<RawCluster>) -> Checked<Cluster> {
    let Some(raw) = raw else { return Err(source.error(None, "a scenario needs a [cluster]")) };
    for (name, value) in [("succession", &raw.succession), ("clocks", &raw.clocks)] {
        if let Some(value) = value {
            return Err(source.not_yet(name, value.span()));
        }
    }
    let voters = source.integer(&raw.voters, "voters", 1, 15)?.unwrap_or(3) as usize;
    let mut timing = Timing::default();
    let timings: [(&Text, &mut Duration); 8] = [
        (&raw.heartbeat, &mut timing.heartbeat),
        (&raw.detect_min, &mut timing.detect_min),
        (&raw.detection, &mut timing.detection),
        (&raw.stagger, &mut timing.stagger),
        (&raw.jitter, &mut timing.jitter),
        (&raw.hold, &mut timing.hold),
        (&raw.request, &mut timing.request),
        (&raw.forward_again, &mut timing.forward_again),
    ];
    for (given, place) in timings {
        if let Some(micros) = source.read(given, units::duration)? {
            *place = Duration::from_micros(micros);
        }
    }
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
    let (mut link, mut links) = (Span::millis(2, 8), BTreeMap::new());
    for (name, value) in raw.links.unwrap_or_default() {
        let at = Some(value.span());
        let span = units::span(value.get_ref()).map_err(|message| source.error(at.clone(), message))?;
        if name == "default" {
            link = span;
            continue;
        }
        let ends = name.split_once("->").and_then(|(from, to)| Some((node(from, voters)?, node(to, voters)?)));
        let ends = ends.filter(|(from, to)| from != to).ok_or_else(|| {
            source.error(at, format!("\"{name}\" is not a link: write \"default\" or \"1->3\", with nodes from 1 to {voters}"))
        })?;
        links.insert(ends, span);
    }
    if let Some(sector) = raw.disk.as_ref().and_then(|disk| disk.sector.as_ref()) {
        return Err(source.not_yet("sector", sector.span()));
    }
    let sync = source.read(&raw.disk.and_then(|disk| disk.sync), units::span)?.unwrap_or(Span::millis(1, 4));
    Ok(Cluster { voters, link, links, sync, timing, limits })
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
    Ok(Workload {
        clients: source.integer(&raw.clients, "clients", 1, 10_000)?.ok_or_else(|| missing("clients"))? as u32,
        rooms: source.integer(&raw.rooms, "rooms", 1, 1_000)?.unwrap_or(1) as u32,
        gap: source.read(&raw.rate, units::rate)?.ok_or_else(|| missing("rate"))?,
        stop,
        text,
        link: source.read(&raw.link, units::span)?.unwrap_or(Span { from: 300, to: 2_000 }),
        joiner,
        pages: source.read(&raw.pages, units::span)?,
        moves: source.read(&raw.moves, units::span)?,
    })
}

fn expect(source: Source<'_>, raw: Option<RawExpect>) -> Checked<Expect> {
    let raw = raw.unwrap_or(RawExpect { reached: None, unavailable_max: None, heal_within: None, min_acked: None });
    Ok(Expect {
        reached: raw.reached.unwrap_or_default(),
        unavailable_max: source.read(&raw.unavailable_max, units::duration)?,
        heal_within: source.read(&raw.heal_within, units::duration)?.unwrap_or(10_000_000),
        min_acked: source.integer(&raw.min_acked, "min_acked", 0, i64::MAX)?.unwrap_or(1) as u64,
    })
}

/// All faults of a file; each may name others.
struct Faults<'a> {
    source: Source<'a>,
    raw: &'a [Spanned<RawFault>],
    voters: usize,
    stop: u64,
}

impl Faults<'_> {
    fn all(&self) -> Checked<Vec<Fault>> {
        let ids: Vec<&str> =
            self.raw.iter().filter_map(|raw| raw.get_ref().id.as_ref()).map(|id| id.get_ref().as_str()).collect();
        for (nth, raw) in self.raw.iter().enumerate() {
            let Some(id) = &raw.get_ref().id else { continue };
            if ids.iter().filter(|other| *other == id.get_ref()).count() > 1 {
                return Err(self
                    .source
                    .error(Some(id.span()), format!("fault {} is not the only one with id \"{}\"", nth + 1, id.get_ref())));
            }
        }
        (0..self.raw.len()).map(|nth| self.one(nth)).collect()
    }

    fn one(&self, nth: usize) -> Checked<Fault> {
        let (span, raw) = (self.raw[nth].span(), self.raw[nth].get_ref());
        if let Some((name, at)) = raw.refused() {
            return Err(self.source.not_yet(name, at));
        }
        let verb = match raw.verbs().as_slice() {
            [(verb, _)] => self.verb(raw, verb)?,
            [] => {
                let message = "a fault needs exactly one verb: crash, partition, loss, delay or duplicate";
                return Err(self.source.error(Some(span), message));
            }
            [(first, _), (second, at), ..] => {
                let message =
                    format!("a fault needs exactly one verb, this one has `{first}` and `{second}`: make two faults of it");
                return Err(self.source.error(Some(at.clone()), message));
            }
        };
        let trigger = self.trigger(nth, raw, span.clone())?;
        let lasts = self.source.read(&raw.lasts, units::span)?;
        let id = raw.id.as_ref().map_or_else(|| format!("fault {}", nth + 1), |id| id.get_ref().clone());
        let line = self.source.error(Some(span), "").line;
        Ok(Fault { id, line, trigger, lasts, verb })
    }

    /// The number of the fault that an id names.
    fn named(&self, nth: usize, id: &Text) -> Checked<Option<usize>> {
        let Some(id) = id else { return Ok(None) };
        let ids = self.raw.iter().map(|raw| raw.get_ref().id.as_ref().map(|id| id.get_ref().as_str()));
        match ids.clone().position(|other| other == Some(id.get_ref().as_str())) {
            Some(place) if place != nth => Ok(Some(place)),
            Some(_) => Err(self.source.error(Some(id.span()), "a fault cannot wait for itself")),
            None => {
                let near = suggest(id.get_ref(), ids.flatten());
                Err(self.source.error(Some(id.span()), format!("no fault has the id \"{}\"{near}", id.get_ref())))
            }
        }
    }

    fn trigger(&self, nth: usize, raw: &RawFault, span: Range<usize>) -> Checked<Trigger> {
        let source = self.source;
        let only_with = |value: &Text, name: &str, with: &str| match value {
            Some(value) => Err(source.error(Some(value.span()), format!("`{name}` goes only with `{with}`"))),
            None => Ok(()),
        };
        if raw.every.is_none() {
            only_with(&raw.from, "from", "every")?;
            only_with(&raw.until, "until", "every")?;
            only_with(&raw.during, "during", "every")?;
        }
        if raw.after.is_none() && raw.when.is_none() {
            only_with(&raw.wait, "wait", "after")?;
        }
        if let (None, Some(nth)) = (&raw.when, &raw.nth) {
            return Err(source.error(Some(nth.span()), "`nth` goes only with `when`"));
        }
        let wait = source.read(&raw.wait, units::span)?.unwrap_or(Span::fixed(0));
        match (&raw.at, &raw.every, &raw.after, &raw.when) {
            (Some(at), None, None, None) => {
                let span = units::span(at.get_ref()).map_err(|message| source.error(Some(at.span()), message))?;
                self.before_stop(span.to, at)?;
                Ok(Trigger::At(span))
            }
            (None, Some(every), None, None) => self.every(nth, raw, every),
            (None, None, Some(_), None) => match self.named(nth, &raw.after)? {
                Some(fault) => Ok(Trigger::After { fault, wait }),
                None => Err(source.error(Some(span), "`after` names no fault")),
            },
            (None, None, after, Some(when)) => {
                let after = self.named(nth, after)?;
                let nth = source.integer(&raw.nth, "nth", 1, 1_000_000)?.unwrap_or(1) as u32;
                Ok(Trigger::Reached { point: when.get_ref().clone(), nth, after, wait })
            }
            _ => Err(source.error(Some(span), "a fault needs exactly one of at, every, after (with or without when) and when")),
        }
    }

    fn every(&self, nth: usize, raw: &RawFault, every: &Spanned<String>) -> Checked<Trigger> {
        let gap = units::span(every.get_ref()).map_err(|message| self.source.error(Some(every.span()), message))?;
        if gap.from < 1_000 {
            return Err(self.source.error(Some(every.span()), "`every` must be at least 1ms"));
        }
        if let (Some(until), Some(_)) = (&raw.until, &raw.during) {
            return Err(self.source.error(Some(until.span()), "give `until` or `during`, not both"));
        }
        let from = self.source.read(&raw.from, units::duration)?.unwrap_or(0);
        let until = self.source.read(&raw.until, units::duration)?;
        if let Some(end) = &raw.until {
            self.before_stop(until.unwrap_or(0), end)?;
        }
        Ok(Trigger::Every { gap, from, until, during: self.named(nth, &raw.during)? })
    }

    fn before_stop(&self, time: u64, at: &Spanned<String>) -> Checked<()> {
        if time < self.stop {
            return Ok(());
        }
        let message = format!("\"{}\" is not before the workload's stop, when all faults heal", at.get_ref());
        Err(self.source.error(Some(at.span()), message))
    }

    fn verb(&self, raw: &RawFault, verb: &str) -> Checked<Verb> {
        if let (Some(disk), true) = (&raw.disk, verb != "crash") {
            return Err(self.source.error(Some(disk.span()), "`disk` goes only with `crash`"));
        }
        if let (Some(on), true) = (&raw.on, matches!(verb, "crash" | "partition")) {
            return Err(self.source.error(Some(on.span()), "`on` goes only with loss, delay and duplicate"));
        }
        let on = match &raw.on {
            Some(on) => self.targets(on.get_ref(), on.span(), false)?,
            None => vec![Target::All],
        };
        match (verb, &raw.crash, &raw.partition) {
            ("crash", Some(crash), _) => {
                Ok(Verb::Crash { targets: self.targets(crash.get_ref(), crash.span(), false)?, disk: self.disk(&raw.disk)? })
            }
            ("partition", _, Some(partition)) => self.split(partition).map(Verb::Partition),
            ("loss", ..) => Ok(Verb::Loss { ppm: self.source.read(&raw.loss, units::percent)?.unwrap_or(0), on }),
            ("duplicate", ..) => Ok(Verb::Duplicate { ppm: self.source.read(&raw.duplicate, units::percent)?.unwrap_or(0), on }),
            _ => Ok(Verb::Delay { by: self.source.read(&raw.delay, units::span)?.unwrap_or(Span::fixed(0)), on }),
        }
    }

    fn disk(&self, disk: &Text) -> Checked<DiskFate> {
        const KNOWN: [&str; 4] = ["keep", "lose-unsynced", "torn", "any"];
        let Some(disk) = disk else { return Ok(DiskFate::Keep) };
        match disk.get_ref().as_str() {
            "keep" => Ok(DiskFate::Keep),
            "lose-unsynced" => Ok(DiskFate::LoseUnsynced),
            "torn" => Ok(DiskFate::Torn),
            "any" => Ok(DiskFate::Any),
            name @ ("wipe" | "rot") => Err(self.source.not_yet(&format!("disk = \"{name}\""), disk.span())),
            name => {
                let near = suggest(name, KNOWN.into_iter());
                Err(self.source.error(Some(disk.span()), format!("unknown outcome \"{name}\" of a crash{near}")))
            }
        }
    }

    fn split(&self, partition: &Spanned<Value>) -> Checked<Split> {
        let at = partition.span();
        match partition.get_ref() {
            Value::String(name) if name == "halves" => Ok(Split::Halves),
            Value::String(name) if matches!(name.as_str(), "isolate" | "bridge" | "ring" | "one-way") => {
                Err(self.source.not_yet(&format!("partition = \"{name}\""), at))
            }
            Value::String(name) => {
                let near = suggest(name, ["halves"].into_iter());
                Err(self.source.error(Some(at), format!("unknown partition \"{name}\"{near}, or a list of groups")))
            }
            Value::Array(groups) if groups.len() >= 2 && groups.iter().all(Value::is_array) => {
                let last = groups.len() - 1;
                let group = |(nth, group)| self.targets(group, at.clone(), nth == last);
                groups.iter().enumerate().map(group).collect::<Checked<Vec<_>>>().map(Split::Groups)
            }
            _ => Err(self.source.error(Some(at), "a partition is \"halves\" or at least two groups: [[\"leader\"], [\"rest\"]]")),
        }
    }

    fn targets(&self, value: &Value, at: Range<usize>, rest: bool) -> Checked<Vec<Target>> {
        let names: Vec<&str> = match value {
            Value::String(name) => vec![name],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            _ => vec![],
        };
        if names.is_empty() || value.as_array().is_some_and(|array| array.len() != names.len()) {
            return Err(self
                .source
                .error(Some(at), "expected a target or a list of them, such as \"leader\" or [\"n1\", \"n2\"]"));
        }
        names.into_iter().map(|name| self.target(name, at.clone(), rest)).collect()
    }

    fn target(&self, name: &str, at: Range<usize>, rest: bool) -> Checked<Target> {
        const KNOWN: [&str; 5] = ["leader", "follower", "random", "all", "rest"];
        Ok(match name {
            "leader" => Target::Leader,
            "follower" => Target::Follower,
            "random" => Target::Random,
            "all" => Target::All,
            "rest" if rest => Target::Rest,
            "rest" => return Err(self.source.error(Some(at), "\"rest\" may stand only in a partition's last group")),
            name if name.strip_prefix('n').is_some_and(|digits| digits.parse::<u32>().is_ok()) => match node(name, self.voters) {
                Some(node) => Target::Node(node),
                None => {
                    let message = format!("there is no node \"{name}\": the cluster has n1 to n{}", self.voters);
                    return Err(self.source.error(Some(at), message));
                }
            },
            name => {
                let near = suggest(name, KNOWN.into_iter());
                return Err(self.source.error(Some(at), format!("unknown target \"{name}\"{near}")));
            }
        })
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
