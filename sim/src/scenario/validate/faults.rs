//! The faults of a file: exactly one trigger, exactly one verb, targets that exist, and every mistake with its line.

use super::*;

/// The verbs that `on` goes with.
const WITH_ON: [&str; 10] =
    ["loss", "delay", "duplicate", "slow-disk", "skew", "drift", "jump", "reorder", "clog", "cut-clients"];

/// How long the queue of a clogged link may be.
const QUEUE: std::ops::RangeInclusive<u64> = 1_000..=60_000_000;

/// The most machines that any cluster has.
const MOST_HOSTS: usize = 30;

/// The most voters that an operator may want.
const MOST_VOTERS: usize = 15;

/// All faults of a file; each may name others.
#[derive(Clone, Copy)]
pub(super) struct Faults<'a> {
    pub source: Source<'a>,
    pub raw: &'a [Spanned<RawFault>],
    pub cluster: &'a Cluster,
    /// How many clients there are.
    pub clients: u32,
    pub stop: u64,
    /// The fault at hand may never fire: it may name nodes that are not there, and ask for what this cluster is too small for.
    pub optional: bool,
}

impl Faults<'_> {
    pub fn all(&self) -> Checked<Vec<Fault>> {
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
        let optional = raw.optional.unwrap_or(false);
        let verb = match raw.verbs().as_slice() {
            [(verb, _)] => Faults { optional, ..*self }.verb(raw, verb)?,
            [] => {
                let message = format!("a fault needs exactly one verb: {VERBS}");
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
        if let (Some(lasts), Verb::Reset { .. } | Verb::Operator(_) | Verb::Jump { .. } | Verb::Disconnect { .. }) =
            (&raw.lasts, &verb)
        {
            return Err(self.source.error(Some(lasts.span()), "`for` does not go with a verb that is over at once"));
        }
        let id = raw.id.as_ref().map_or_else(|| format!("fault {}", nth + 1), |id| id.get_ref().clone());
        let line = self.source.error(Some(span), "").line;
        Ok(Fault { id, line, trigger, lasts, optional, verb })
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
                let known = tertulia_protocol::points::POINTS.iter().map(|(known, _)| *known);
                if !tertulia_protocol::points::is_known(when.get_ref()) {
                    let meant = suggest(when.get_ref(), known);
                    return Err(
                        source.error(Some(when.span()), format!("no machine tells the point \"{}\"{meant}", when.get_ref()))
                    );
                }
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
        self.only(&raw.disk, "disk", verb, &["crash"])?;
        self.only(&raw.rot, "rot", verb, &["crash"])?;
        self.only(&raw.restart, "restart", verb, &["fail", "full", "misread"])?;
        self.only(&raw.on, "on", verb, &WITH_ON)?;
        self.only(&raw.queue, "queue", verb, &["clog"])?;
        self.only(&raw.by, "by", verb, &["reorder"])?;
        self.only(&raw.rate, "rate", verb, &["slow-reader"])?;
        let on = match &raw.on {
            Some(on) => self.targets(on.get_ref(), on.span(), false)?,
            None => vec![Target::All],
        };
        let many = |value: &Any| match value {
            Some(value) => self.targets(value.get_ref(), value.span(), false),
            None => Ok(Vec::new()),
        };
        let span = |value: &Text| Ok(self.source.read(value, units::span)?.unwrap_or(Span::fixed(0)));
        let percent = |value: &Text| Ok(self.source.read(value, units::percent)?.unwrap_or(0));
        Ok(match verb {
            "crash" => Verb::Crash { targets: many(&raw.crash)?, disk: self.disk(&raw.disk)?, rot: self.rot(raw)? },
            "pause" => Verb::Pause { targets: many(&raw.pause)? },
            "partition" | "isolate" | "bridge" | "star" | "one-way" => Verb::Partition(self.split(raw)?),
            "reset" => Verb::Reset { on: many(&raw.reset)? },
            "links" => Verb::Links(self.links(raw)?),
            "loss" => Verb::Loss { ppm: percent(&raw.loss)?, on },
            "delay" => Verb::Delay { by: span(&raw.delay)?, on },
            "duplicate" => Verb::Duplicate { ppm: percent(&raw.duplicate)?, on },
            "stall" => Verb::Stall { targets: many(&raw.stall)? },
            "slow-disk" => Verb::SlowDisk { sync: span(&raw.slow_disk)?, on },
            "full" => self.break_disk(raw, &raw.full, DiskFailure::Full)?,
            "fail" => self.break_disk(raw, &raw.fail, DiskFailure::Failing)?,
            "misread" => self.break_disk(raw, &raw.misread, DiskFailure::Misread)?,
            "skew" | "jump" | "drift" => self.clock(raw, verb, on)?,
            "reorder" => self.reorder(raw, on)?,
            "clog" => self.clog(raw, on)?,
            "disconnect" => Verb::Disconnect { clients: self.clients(&raw.disconnect)? },
            "cut-clients" => Verb::CutClients { clients: self.clients(&raw.cut_clients)?, on },
            "slow-reader" => self.slow_reader(raw)?,
            "retry-storm" => Verb::RetryStorm { clients: self.clients(&raw.retry_storm)? },
            operation => Verb::Operator(self.operation(raw, operation)?),
        })
    }

    /// Refuses a key that stands beside a verb it does not belong to.
    fn only<T>(&self, value: &Option<Spanned<T>>, name: &str, verb: &str, with: &[&str]) -> Checked<()> {
        match value {
            Some(value) if !with.contains(&verb) => {
                Err(self.source.error(Some(value.span()), format!("`{name}` goes only with {}", with.join(", "))))
            }
            _ => Ok(()),
        }
    }

    fn clock(&self, raw: &RawFault, verb: &str, on: Vec<Target>) -> Checked<Verb> {
        let value = match verb {
            "skew" => &raw.skew,
            "jump" => &raw.jump,
            _ => &raw.drift,
        };
        let parse = if verb == "drift" { units::drift } else { units::offset };
        let off = self.source.read(value, parse)?.unwrap_or(Signed::fixed(0));
        if off == Signed::fixed(0) {
            let message = format!("a `{verb}` of nothing changes no clock");
            return Err(self.source.error(value.as_ref().map(Spanned::span), message));
        }
        Ok(match verb {
            "skew" => Verb::Skew { by: off, on },
            "jump" => Verb::Jump { by: off, on },
            _ => Verb::Drift { ppm: off, on },
        })
    }

    fn reorder(&self, raw: &RawFault, on: Vec<Target>) -> Checked<Verb> {
        let Some(by) = self.source.read(&raw.by, units::span)?.filter(|by| by.to > 0) else {
            let message = "messages that are reordered are held back for a time: say for how long, with `by = \"20ms..80ms\"`";
            return Err(self.source.error(raw.by.as_ref().or(raw.reorder.as_ref()).map(Spanned::span), message));
        };
        Ok(Verb::Reorder { ppm: self.source.read(&raw.reorder, units::percent)?.unwrap_or(0), by, on })
    }

    fn clog(&self, raw: &RawFault, on: Vec<Target>) -> Checked<Verb> {
        let rate = self.source.read(&raw.clog, units::throughput)?.unwrap_or(Throughput::Messages(1));
        let queue = self.source.read(&raw.queue, units::duration)?.unwrap_or(1_000_000);
        if !QUEUE.contains(&queue) {
            let message = "`queue` is the longest that a message may wait before the connection breaks: 1ms to 60s";
            return Err(self.source.error(raw.queue.as_ref().map(Spanned::span), message));
        }
        Ok(Verb::Clog { rate, queue, on })
    }

    fn slow_reader(&self, raw: &RawFault) -> Checked<Verb> {
        let rate = match self.source.read(&raw.rate, units::throughput)? {
            Some(Throughput::Messages(_)) => {
                let message = "a reader takes bytes: write a rate such as \"4KiB/s\"";
                return Err(self.source.error(raw.rate.as_ref().map(Spanned::span), message));
            }
            Some(Throughput::Bytes(rate)) => Some(rate),
            None => None,
        };
        Ok(Verb::SlowReader { clients: self.clients(&raw.slow_reader)?, rate })
    }

    fn rot(&self, raw: &RawFault) -> Checked<Option<Rot>> {
        let Some(rot) = &raw.rot else { return Ok(None) };
        if raw.disk.as_ref().is_some_and(|disk| disk.get_ref() == "wipe") {
            return Err(self.source.error(Some(rot.span()), "nothing can rot on a disk that is wiped"));
        }
        Ok(Some(match rot.get_ref().as_str() {
            "log" => Rot::Log,
            "rows" => Rot::Rows,
            "vote" => Rot::Vote,
            "outbox" => Rot::Outbox,
            name => {
                let near = suggest(name, ["log", "rows", "vote", "outbox"].into_iter());
                return Err(self.source.error(Some(rot.span()), format!("unknown place \"{name}\" of rot{near}")));
            }
        }))
    }

    fn break_disk(&self, raw: &RawFault, targets: &Any, how: DiskFailure) -> Checked<Verb> {
        let at = targets.as_ref().map(Spanned::span);
        let Some(restart) = self.source.read(&raw.restart, units::span)? else {
            let message = "a disk that fails halts its node: say after what time it is started again, with `restart`";
            return Err(self.source.error(at, message));
        };
        let targets = match targets {
            Some(targets) => self.targets(targets.get_ref(), targets.span(), false)?,
            None => Vec::new(),
        };
        Ok(Verb::BreakDisk { targets, how, restart })
    }

    fn links(&self, raw: &RawFault) -> Checked<BTreeMap<(usize, usize), Span>> {
        let Some(links) = &raw.links else { return Ok(BTreeMap::new()) };
        if links.get_ref().is_empty() {
            return Err(self.source.error(Some(links.span()), "links names no link: write { \"1->3\" = \"80ms\" }"));
        }
        let link = |(name, value): (&String, &Spanned<String>)| {
            Ok((self.source.link(name, value, self.hosts())?, self.source.link_delay(value)?))
        };
        let mut links: BTreeMap<(usize, usize), Span> = links.get_ref().iter().map(link).collect::<Checked<_>>()?;
        // An optional fault may name machines that are not there this time.
        links.retain(|(from, to), _| *from.max(to) < self.cluster.hosts());
        Ok(links)
    }

    fn operation(&self, raw: &RawFault, operation: &str) -> Checked<Operation> {
        let one = |value: &Any| match value {
            Some(value) => self.one_target(value),
            None => Ok(Target::Random),
        };
        let most = if self.optional { MOST_VOTERS } else { self.cluster.hosts() } as i64;
        Ok(match operation {
            "transfer" => Operation::Transfer(one(&raw.transfer)?),
            "succession" => match raw.succession.as_ref() {
                Some(policy) if !["ring", "central"].contains(&policy.get_ref().as_str()) => {
                    let message = format!("\"{}\" is neither ring nor central", policy.get_ref());
                    return Err(self.source.error(Some(policy.span()), message));
                }
                policy => Operation::Succession { central: policy.is_some_and(|policy| policy.get_ref() == "central") },
            },
            "remove" => Operation::Remove(one(&raw.remove)?),
            "voters" => Operation::Voters(self.source.integer(&raw.voters, "voters", 1, most)?.unwrap_or(1) as u32),
            newcomer => {
                let at = raw.replace.as_ref().map(Spanned::span).or(raw.add.as_ref().map(Spanned::span));
                if self.cluster.spares == 0 && !self.optional {
                    let message = format!("`{newcomer}` needs a machine that stands by: give [cluster] `spares`");
                    return Err(self.source.error(at, message));
                }
                match newcomer {
                    "replace" => Operation::Replace(one(&raw.replace)?),
                    _ => {
                        let spares = if self.optional { MOST_HOSTS } else { self.cluster.spares } as i64;
                        Operation::Add(self.source.integer(&raw.add, "add", 1, spares)?.unwrap_or(1) as u32)
                    }
                }
            }
        })
    }

    /// How many machines a fault may name.
    fn hosts(&self) -> usize {
        if self.optional { MOST_HOSTS } else { self.cluster.hosts() }
    }

    fn disk(&self, disk: &Text) -> Checked<DiskFate> {
        const KNOWN: [&str; 5] = ["keep", "lose-unsynced", "torn", "any", "wipe"];
        let Some(disk) = disk else { return Ok(DiskFate::Keep) };
        match disk.get_ref().as_str() {
            "keep" => Ok(DiskFate::Keep),
            "lose-unsynced" => Ok(DiskFate::LoseUnsynced),
            "torn" => Ok(DiskFate::Torn),
            "any" => Ok(DiskFate::Any),
            "wipe" => Ok(DiskFate::Wipe),
            name => {
                let near = suggest(name, KNOWN.into_iter());
                Err(self.source.error(Some(disk.span()), format!("unknown outcome \"{name}\" of a crash{near}")))
            }
        }
    }

    fn split(&self, raw: &RawFault) -> Checked<Split> {
        if let Some(isolate) = &raw.isolate {
            return Ok(Split::Isolate(self.targets(isolate.get_ref(), isolate.span(), false)?));
        }
        if let Some(bridge) = &raw.bridge {
            self.at_least(3, "bridge", bridge.span())?;
            return Ok(Split::Bridge(self.one_target(bridge)?));
        }
        if let Some(star) = &raw.star {
            self.at_least(3, "star", star.span())?;
            return Ok(Split::Star(self.one_target(star)?));
        }
        match (&raw.one_way, &raw.partition) {
            (Some(one_way), _) => match one_way.get_ref().as_array().map(Vec::as_slice) {
                Some([from, to]) => {
                    let at = one_way.span();
                    let from = self.targets(from, at.clone(), true)?;
                    let open = !from.contains(&Target::Rest);
                    Ok(Split::OneWay(from, self.targets(to, at, open)?))
                }
                _ => {
                    let message = "one-way is two groups, from and to: [[\"leader\"], [\"rest\"]]";
                    Err(self.source.error(Some(one_way.span()), message))
                }
            },
            (None, Some(partition)) => self.partition(partition),
            (None, None) => Ok(Split::Halves),
        }
    }

    fn partition(&self, partition: &Spanned<Value>) -> Checked<Split> {
        let at = partition.span();
        match partition.get_ref() {
            Value::String(name) if name == "halves" => Ok(Split::Halves),
            Value::String(name) if name == "ring-of-majorities" => {
                self.at_least(4, name, at)?;
                Ok(Split::RingOfMajorities)
            }
            Value::String(name) if matches!(name.as_str(), "isolate" | "bridge" | "star" | "one-way") => {
                let message = format!("\"{name}\" is a verb of its own: write {name} = …");
                Err(self.source.error(Some(at), message))
            }
            Value::String(name) => {
                let near = suggest(name, ["halves", "ring-of-majorities"].into_iter());
                Err(self.source.error(Some(at), format!("unknown partition \"{name}\"{near}, or a list of groups")))
            }
            Value::Array(groups) if groups.len() >= 2 && groups.iter().all(Value::is_array) => {
                let last = groups.len() - 1;
                let group = |(nth, group)| self.targets(group, at.clone(), nth == last);
                groups.iter().enumerate().map(group).collect::<Checked<Vec<_>>>().map(Split::Groups)
            }
            _ => {
                let message =
                    "a partition is \"halves\", \"ring-of-majorities\" or at least two groups: [[\"leader\"], [\"rest\"]]";
                Err(self.source.error(Some(at), message))
            }
        }
    }

    fn at_least(&self, voters: usize, name: &str, at: Range<usize>) -> Checked<()> {
        if self.cluster.voters >= voters || self.optional {
            return Ok(());
        }
        Err(self.source.error(Some(at), format!("\"{name}\" cuts nothing with fewer than {voters} voters")))
    }

    /// Exactly one node.
    fn one_target(&self, value: &Spanned<Value>) -> Checked<Target> {
        match self.targets(value.get_ref(), value.span(), false)?.as_slice() {
            [Target::All | Target::Minority | Target::Majority] | [_, _, ..] | [] => {
                let message = "expected one node, such as \"leader\", \"successor\" or \"n2\"";
                Err(self.source.error(Some(value.span()), message))
            }
            [one] => Ok(*one),
        }
    }

    pub(super) fn targets(&self, value: &Value, at: Range<usize>, rest: bool) -> Checked<Vec<Target>> {
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
        const KNOWN: [&str; 8] = ["leader", "follower", "successor", "random", "minority", "majority", "all", "rest"];
        let hosts = self.hosts();
        let successor = name.strip_prefix("successor(").and_then(|rest| rest.strip_suffix(')'));
        Ok(match name {
            "leader" => Target::Leader,
            "follower" => Target::Follower,
            "successor" => Target::Successor(1),
            "random" => Target::Random,
            "minority" => Target::Minority,
            "majority" => Target::Majority,
            "all" => Target::All,
            "rest" if rest => Target::Rest,
            "rest" => {
                return Err(self
                    .source
                    .error(Some(at), "\"rest\" may stand only in a partition's last group, and in one group of one-way"));
            }
            name if name.strip_prefix('n').is_some_and(|digits| digits.parse::<u32>().is_ok()) => match node(name, hosts) {
                Some(node) => Target::Node(node),
                None => {
                    let message = format!("there is no node \"{name}\": the cluster has n1 to n{hosts}");
                    return Err(self.source.error(Some(at), message));
                }
            },
            name => match successor.map(str::parse::<u32>) {
                Some(Ok(nth)) if (1..if self.optional { hosts } else { self.cluster.voters } as u32).contains(&nth) => {
                    Target::Successor(nth)
                }
                Some(_) => {
                    let most = self.cluster.voters - 1;
                    let message = format!("\"{name}\" is nobody: successor(1) is the first in line, successor({most}) the last");
                    return Err(self.source.error(Some(at), message));
                }
                None => {
                    let near = suggest(name, KNOWN.into_iter());
                    return Err(self.source.error(Some(at), format!("unknown target \"{name}\"{near}")));
                }
            },
        })
    }
}
