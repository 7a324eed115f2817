//! From a scenario to the text of its file, for scenarios that a program has made.
//!
//! What is written reads back as the same scenario, places of faults aside. Keys that say what is so anyhow are left out. Structs and verbs are taken
//! apart without a remainder, so that a new key cannot be forgotten here. The one thing that cannot be said in a file is a mean gap between posts
//! that no rate gives: the nearest rate is written.

use super::*;
use std::fmt::Write as _;
use std::time::Duration;
use tertulia_protocol::contract::{Limits, Timing};

/// The text of a scenario's file.
pub fn write(scenario: &Scenario) -> String {
    let Scenario { name, about, seed, bug, cluster, chat, workload, faults, expect } = scenario;
    let mut text = format!("schema = 1\nname = {}\n", quoted(name));
    match about.as_str() {
        "" => {}
        line if !line.contains('\n') => line_to(&mut text, "about", quoted(line)),
        lines => line_to(&mut text, "about", block(lines)),
    }
    if let Some(seed) = seed {
        line_to(&mut text, "seed", seed);
    }
    if let Some(bug) = bug {
        line_to(&mut text, "bug", quoted(bug));
    }
    text.push_str(&cluster_text(cluster));
    text.push_str(&super::chat::write(chat));
    text.push_str(&workload_text(workload));
    for nth in 0..faults.len() {
        text.push_str(&fault_text(faults, nth));
    }
    text.push_str(&expect_text(expect));
    text
}

pub(super) fn line_to(text: &mut String, key: &str, value: impl std::fmt::Display) {
    let _ = writeln!(text, "{key} = {value}");
}

pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Text of several lines as a person would write it, if nothing in it has a meaning of its own there.
fn block(lines: &str) -> String {
    let plain = !lines.contains(['\\', '\r']) && !lines.contains("\"\"\"") && !lines.ends_with('"');
    let plain = plain && lines.chars().all(|c| c == '\n' || !c.is_control());
    if plain { format!("\"\"\"\n{lines}\"\"\"") } else { quoted(lines) }
}

pub(super) fn duration(micros: u64) -> String {
    match micros {
        0 => "\"0ms\"".to_owned(),
        n if n % 60_000_000 == 0 => format!("\"{}m\"", n / 60_000_000),
        n => format!("\"{}\"", seconds(n)),
    }
}

/// In the biggest unit, minutes aside, that needs no fraction.
fn seconds(micros: u64) -> String {
    match micros {
        n if n % 1_000_000 == 0 => format!("{}s", n / 1_000_000),
        n if n % 1_000 == 0 => format!("{}ms", n / 1_000),
        n => format!("{n}us"),
    }
}

fn span(span: Span) -> String {
    if span.from == span.to { duration(span.from) } else { format!("\"{}..{}\"", seconds(span.from), seconds(span.to)) }
}

fn percent(ppm: u32) -> String {
    let (whole, fraction) = (ppm / 10_000, format!("{:04}", ppm % 10_000));
    match fraction.trim_end_matches('0') {
        "" => format!("\"{whole}%\""),
        digits => format!("\"{whole}.{digits}%\""),
    }
}

fn bytes(bytes: u64) -> String {
    match bytes {
        n if n % (1 << 20) == 0 => format!("\"{}MiB\"", n >> 20),
        n if n % (1 << 10) == 0 => format!("\"{}KiB\"", n >> 10),
        n => format!("\"{n}B\""),
    }
}

/// The rate that gives a mean gap of so many microseconds, or nearly.
pub(super) fn rate(gap: u64) -> String {
    for (unit, scale) in [("s", 1_000_000_000u64), ("m", 60_000_000_000)] {
        let (least, most) = (scale / (gap + 1) + 1, scale / gap.max(1));
        let round = |step: u64| Some(most / step * step).filter(|thousandths| *thousandths >= least);
        if let Some(found) = [10_000, 1_000, 100, 10, 1].into_iter().find_map(round) {
            return format!("\"{}/{unit}\"", thousandth(found));
        }
    }
    format!("\"{}/m\"", thousandth((60_000_000_000 / gap.max(1)).max(1)))
}

fn thousandth(number: u64) -> String {
    let (whole, fraction) = (number / 1_000, format!("{:03}", number % 1_000));
    match fraction.trim_end_matches('0') {
        "" => whole.to_string(),
        digits => format!("{whole}.{digits}"),
    }
}

fn links(default: Option<Span>, links: &BTreeMap<(usize, usize), Span>) -> String {
    let default = default.map(|delay| format!("default = {}", span(delay)));
    let named = links.iter().map(|((from, to), delay)| format!("\"{}->{}\" = {}", from + 1, to + 1, span(*delay)));
    format!("{{ {} }}", default.into_iter().chain(named).collect::<Vec<_>>().join(", "))
}

/// Those durations that are not as they would be anyhow.
fn durations<const N: usize>(given: [(&'static str, Duration, Duration); N]) -> Vec<(&'static str, String)> {
    let other = given.into_iter().filter(|(_, given, default)| given != default);
    other.map(|(key, given, _)| (key, duration(given.as_micros() as u64))).collect()
}

fn cluster_text(cluster: &Cluster) -> String {
    let Cluster {
        voters,
        spares,
        succession,
        link,
        links: named,
        sync,
        sector,
        clock,
        clocks,
        timing,
        limits,
        succession_timing,
    } = cluster;
    let mut text = format!("\n[cluster]\nvoters = {voters}\n");
    if *spares > 0 {
        line_to(&mut text, "spares", spares);
    }
    if let Some(succession) = succession_text(succession, succession_timing) {
        line_to(&mut text, "succession", succession);
    }
    if *link != Span::millis(2, 8) || !named.is_empty() {
        let default = (*link != Span::millis(2, 8)).then_some(*link);
        line_to(&mut text, "links", links(default, named));
    }
    let sync = (*sync != Span::millis(1, 4)).then(|| format!("sync = {}", span(*sync)));
    let sector = sector.map(|sector| format!("sector = {}", bytes(sector.into())));
    let disk: Vec<String> = sync.into_iter().chain(sector).collect();
    if !disk.is_empty() {
        line_to(&mut text, "disk", format!("{{ {} }}", disk.join(", ")));
    }
    let everybody =
        Some(clock).filter(|clock| **clock != Clock::default()).map(|clock| format!("default = {}", clock_text(*clock)));
    let named = clocks.iter().map(|(host, clock)| format!("n{} = {}", host + 1, clock_text(*clock)));
    let clocks: Vec<String> = everybody.into_iter().chain(named).collect();
    if !clocks.is_empty() {
        line_to(&mut text, "clocks", format!("{{ {} }}", clocks.join(", ")));
    }
    if limits.reader_bytes != Limits::default().reader_bytes {
        line_to(&mut text, "reader", bytes(limits.reader_bytes.into()));
    }
    if limits.outbox_bytes != Limits::default().outbox_bytes {
        line_to(&mut text, "outbox", bytes(limits.outbox_bytes));
    }
    if limits.log_bytes != Limits::default().log_bytes {
        line_to(&mut text, "log", bytes(limits.log_bytes));
    }
    let usual = Timing::default();
    let Timing {
        heartbeat,
        detect_min,
        detection,
        stagger,
        jitter,
        hold,
        request,
        forward_again,
        disk_stall,
        leader_silence,
        lease_drift_ppm,
    } = timing;
    let times = durations([
        ("heartbeat", *heartbeat, usual.heartbeat),
        ("detect_min", *detect_min, usual.detect_min),
        ("detection", *detection, usual.detection),
        ("stagger", *stagger, usual.stagger),
        ("jitter", *jitter, usual.jitter),
        ("hold", *hold, usual.hold),
        ("request", *request, usual.request),
        ("forward_again", *forward_again, usual.forward_again),
        ("disk_stall", *disk_stall, usual.disk_stall),
        ("leader_silence", *leader_silence, usual.leader_silence),
    ]);
    times.into_iter().for_each(|(key, value)| line_to(&mut text, key, value));
    if let Some(drift) = lease_drift_ppm {
        line_to(&mut text, "lease_drift", percent(*drift));
    }
    text
}

fn clock_text(clock: Clock) -> String {
    let skew = clock.skew.map(|skew| format!("skew = {}", offset(skew)));
    let drift = clock.drift.map(|drift| format!("drift = {}", ppm(drift)));
    format!("{{ {} }}", skew.into_iter().chain(drift).collect::<Vec<_>>().join(", "))
}

/// How far a clock is off.
fn offset(off: Signed) -> String {
    signed(off, |micros| duration(micros).trim_matches('"').to_owned())
}

/// How much a clock drifts.
fn ppm(drift: Signed) -> String {
    signed(drift, |ppm| format!("{ppm}ppm"))
}

fn signed(range: Signed, write: impl Fn(u64) -> String) -> String {
    let one = |value: i64| format!("{}{}", if value < 0 { "-" } else { "" }, write(value.unsigned_abs()));
    if range.from == range.to {
        format!("\"{}\"", one(range.from))
    } else {
        format!("\"{}..{}\"", one(range.from), one(range.to))
    }
}

fn throughput(rate: Throughput) -> String {
    match rate {
        Throughput::Messages(messages) => format!("\"{messages}/s\""),
        Throughput::Bytes(rate) => format!("\"{}/s\"", bytes(rate).trim_matches('"')),
    }
}

fn clients_text(clients: &Clients) -> String {
    match clients {
        Clients::All => "\"all\"".to_owned(),
        Clients::Numbers(numbers) => {
            let numbers: Vec<String> = numbers.iter().map(|number| (number + 1).to_string()).collect();
            format!("[{}]", numbers.join(", "))
        }
        Clients::Part(part) => percent(*part),
        Clients::Drawn(count) => format!("\"{count} drawn\""),
        Clients::At(whom) => match &whom[..] {
            [one] => format!("\"at {}\"", target_names(&[*one]).trim_matches('"')),
            many => format!("\"at {}\"", target_names(many).replace('"', "")),
        },
    }
}

/// `None` when all is as it would be anyhow.
fn succession_text(succession: &Succession, timing: &SuccessionTiming) -> Option<String> {
    let policy = match succession {
        Succession::Ring => "policy = \"ring\"".to_owned(),
        Succession::Central => "policy = \"central\"".to_owned(),
        Succession::Fixed(hosts) => {
            let order: Vec<String> = hosts.iter().map(|host| (host + 1).to_string()).collect();
            format!("policy = \"fixed\", order = [{}]", order.join(", "))
        }
    };
    let usual = SuccessionTiming::default();
    // `gain_percent` and `in_a_row` have no key.
    let SuccessionTiming { probe, evaluation, max_age, resolution, gain, gain_percent: _, in_a_row: _, tenure, cooldown } =
        timing;
    let times = durations([
        ("probe", *probe, usual.probe),
        ("evaluation", *evaluation, usual.evaluation),
        ("max_age", *max_age, usual.max_age),
        ("gain", *gain, usual.gain),
        ("resolution", *resolution, usual.resolution),
        ("tenure", *tenure, usual.tenure),
        ("cooldown", *cooldown, usual.cooldown),
    ]);
    if *succession == Succession::Ring && times.is_empty() {
        return None;
    }
    let times = times.into_iter().map(|(key, value)| format!("{key} = {value}"));
    Some(format!("{{ {} }}", std::iter::once(policy).chain(times).collect::<Vec<_>>().join(", ")))
}

fn workload_text(workload: &Workload) -> String {
    let Workload { clients, rooms, gap, stop, posts, text: (fewest, most), link, joiner, pages, pages_back, moves, .. } =
        workload;
    let Workload { stay, quits, restarts, arrivals, devices, acts, .. } = workload;
    let mut text = format!("\n[workload]\nclients = {clients}\n");
    if *rooms != 1 {
        line_to(&mut text, "rooms", rooms);
    }
    line_to(&mut text, "rate", rate(*gap));
    line_to(&mut text, "stop", duration(*stop));
    if let Some(posts) = posts {
        line_to(&mut text, "posts", posts);
    }
    if (*fewest, *most) != (8, 120) {
        line_to(&mut text, "text", format!("[{fewest}, {most}]"));
    }
    if *link != (Span { from: 300, to: 2_000 }) {
        line_to(&mut text, "link", span(*link));
    }
    if let Some(pages) = pages {
        line_to(&mut text, "pages", span(*pages));
    }
    if let Some(back) = pages_back {
        line_to(&mut text, "pages_back", span(*back));
    }
    if let Some(moves) = moves {
        line_to(&mut text, "moves", span(*moves));
    }
    if *stay {
        line_to(&mut text, "stay", stay);
    }
    if let Some(quits) = quits {
        line_to(&mut text, "quits", span(*quits));
    }
    if let Some(restarts) = restarts {
        line_to(&mut text, "restarts", span(*restarts));
    }
    if let Some(arrivals) = arrivals {
        line_to(&mut text, "arrivals", span(*arrivals));
    }
    if *devices != 1 {
        line_to(&mut text, "devices", devices);
    }
    for (nth, (_, key)) in ACTS.iter().enumerate() {
        if let Some(often) = acts[nth] {
            line_to(&mut text, key, span(often));
        }
    }
    if let Some(Joiner { at, last }) = joiner {
        line_to(&mut text, "joiner", format!("{{ at = {}, last = {last} }}", span(*at)));
    }
    text
}

fn fault_text(faults: &[Fault], nth: usize) -> String {
    let Fault { id, line: _, trigger, lasts, verb, optional } = &faults[nth];
    let mut text = "\n[[fault]]\n".to_owned();
    let named = faults.iter().any(|other| waits_for(&other.trigger) == Some(nth));
    if named || *id != format!("fault {}", nth + 1) {
        line_to(&mut text, "id", quoted(id));
    }
    let id_of = |fault: usize| quoted(faults.get(fault).map_or("", |fault| fault.id.as_str()));
    trigger_text(&mut text, trigger, id_of);
    verb_text(&mut text, verb);
    if let Some(lasts) = lasts {
        line_to(&mut text, "for", span(*lasts));
    }
    if *optional {
        line_to(&mut text, "optional", true);
    }
    text
}

/// The fault that this trigger has to do with.
pub(crate) fn waits_for(trigger: &Trigger) -> Option<usize> {
    match trigger {
        Trigger::At(_) => None,
        Trigger::Every { during, .. } => *during,
        Trigger::After { fault, .. } => Some(*fault),
        Trigger::Reached { after, .. } => *after,
    }
}

fn trigger_text(text: &mut String, trigger: &Trigger, id_of: impl Fn(usize) -> String) {
    match trigger {
        Trigger::At(at) => line_to(text, "at", span(*at)),
        Trigger::Every { gap, from, until, during } => {
            line_to(text, "every", span(*gap));
            if *from > 0 {
                line_to(text, "from", duration(*from));
            }
            if let Some(until) = until {
                line_to(text, "until", duration(*until));
            }
            if let Some(during) = during {
                line_to(text, "during", id_of(*during));
            }
        }
        Trigger::After { fault, wait } => {
            line_to(text, "after", id_of(*fault));
            wait_text(text, *wait);
        }
        Trigger::Reached { point, nth, after, wait } => {
            if let Some(after) = after {
                line_to(text, "after", id_of(*after));
            }
            line_to(text, "when", quoted(point));
            if *nth != 1 {
                line_to(text, "nth", nth);
            }
            wait_text(text, *wait);
        }
    }
}

fn wait_text(text: &mut String, wait: Span) {
    if wait != Span::fixed(0) {
        line_to(text, "wait", span(wait));
    }
}

fn verb_text(text: &mut String, verb: &Verb) {
    match verb {
        Verb::Crash { targets: whom, disk, rot } => {
            line_to(text, "crash", targets(whom));
            let disk = match disk {
                DiskFate::Keep => None,
                DiskFate::LoseUnsynced => Some("lose-unsynced"),
                DiskFate::Torn => Some("torn"),
                DiskFate::Any => Some("any"),
                DiskFate::Wipe => Some("wipe"),
            };
            let rot = rot.map(|rot| match rot {
                Rot::Log => "log",
                Rot::Rows => "rows",
                Rot::Vote => "vote",
                Rot::Outbox => "outbox",
            });
            disk.into_iter().for_each(|disk| line_to(text, "disk", quoted(disk)));
            rot.into_iter().for_each(|rot| line_to(text, "rot", quoted(rot)));
        }
        Verb::Pause { targets: whom } => line_to(text, "pause", targets(whom)),
        Verb::Partition(split) => split_text(text, split),
        Verb::Reset { on } => line_to(text, "reset", targets(on)),
        Verb::Links(named) => line_to(text, "links", links(None, named)),
        Verb::Loss { ppm, on } => on_text(text, "loss", percent(*ppm), on),
        Verb::Delay { by, on } => on_text(text, "delay", span(*by), on),
        Verb::Duplicate { ppm, on } => on_text(text, "duplicate", percent(*ppm), on),
        Verb::Stall { targets: whom } => line_to(text, "stall", targets(whom)),
        Verb::SlowDisk { sync, on } => on_text(text, "slow-disk", span(*sync), on),
        Verb::BreakDisk { targets: whom, how, restart } => {
            let key = match how {
                DiskFailure::Full => "full",
                DiskFailure::Failing => "fail",
                DiskFailure::Misread => "misread",
            };
            line_to(text, key, targets(whom));
            line_to(text, "restart", span(*restart));
        }
        Verb::Skew { by, on } => on_text(text, "skew", offset(*by), on),
        Verb::Drift { ppm: drift, on } => on_text(text, "drift", ppm(*drift), on),
        Verb::Jump { by, on } => on_text(text, "jump", offset(*by), on),
        Verb::Reorder { ppm, by, on } => {
            line_to(text, "reorder", percent(*ppm));
            on_text(text, "by", span(*by), on);
        }
        Verb::Clog { rate, queue, on } => {
            line_to(text, "clog", throughput(*rate));
            on_text(text, "queue", duration(*queue), on);
        }
        Verb::Disconnect { clients } => line_to(text, "disconnect", clients_text(clients)),
        Verb::CutClients { clients, on } => on_text(text, "cut-clients", clients_text(clients), on),
        Verb::SlowReader { clients, rate } => {
            line_to(text, "slow-reader", clients_text(clients));
            rate.iter().for_each(|rate| line_to(text, "rate", throughput(Throughput::Bytes(*rate))));
        }
        Verb::RetryStorm { clients } => line_to(text, "retry-storm", clients_text(clients)),
        Verb::Operator(operation) => match operation {
            Operation::Transfer(whom) => line_to(text, "transfer", targets(&[*whom])),
            Operation::Succession { central } => line_to(text, "succession", quoted(if *central { "central" } else { "ring" })),
            Operation::Remove(whom) => line_to(text, "remove", targets(&[*whom])),
            Operation::Replace(whom) => line_to(text, "replace", targets(&[*whom])),
            Operation::Add(count) => line_to(text, "add", count),
            Operation::Voters(count) => line_to(text, "voters", count),
        },
    }
}

/// A verb that names its targets by `on`.
fn on_text(text: &mut String, key: &str, value: String, on: &[Target]) {
    line_to(text, key, value);
    if on != [Target::All] {
        line_to(text, "on", targets(on));
    }
}

fn split_text(text: &mut String, split: &Split) {
    let group = |group: &Vec<Target>| format!("[{}]", target_names(group));
    match split {
        Split::Halves => line_to(text, "partition", "\"halves\""),
        Split::RingOfMajorities => line_to(text, "partition", "\"ring-of-majorities\""),
        Split::Groups(groups) => {
            line_to(text, "partition", format!("[{}]", groups.iter().map(group).collect::<Vec<_>>().join(", ")));
        }
        Split::Isolate(whom) => line_to(text, "isolate", targets(whom)),
        Split::Bridge(whom) => line_to(text, "bridge", targets(&[*whom])),
        Split::Star(whom) => line_to(text, "star", targets(&[*whom])),
        Split::OneWay(from, to) => line_to(text, "one-way", format!("[{}, {}]", group(from), group(to))),
    }
}

fn targets(targets: &[Target]) -> String {
    if targets.len() == 1 { target_names(targets) } else { format!("[{}]", target_names(targets)) }
}

fn target_names(targets: &[Target]) -> String {
    let name = |target: &Target| match target {
        Target::Leader => "\"leader\"".to_owned(),
        Target::Follower => "\"follower\"".to_owned(),
        Target::Successor(place) => format!("\"successor({place})\""),
        Target::Random => "\"random\"".to_owned(),
        Target::Minority => "\"minority\"".to_owned(),
        Target::Majority => "\"majority\"".to_owned(),
        Target::All => "\"all\"".to_owned(),
        Target::Rest => "\"rest\"".to_owned(),
        Target::Node(node) => format!("\"n{}\"", node + 1),
    };
    targets.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn expect_text(expect: &Expect) -> String {
    let Expect {
        reached,
        unavailable_max,
        accepted_within,
        heal_within,
        min_acked,
        transfers_max,
        leader,
        members,
        voters,
        proof,
    } = expect;
    let mut text = String::new();
    if !reached.is_empty() {
        let points: Vec<String> = reached.iter().map(|point| quoted(point)).collect();
        line_to(&mut text, "reached", format!("[{}]", points.join(", ")));
    }
    if let Some(max) = unavailable_max {
        line_to(&mut text, "unavailable_max", duration(*max));
    }
    if let Some(within) = accepted_within {
        line_to(&mut text, "accepted_within", duration(*within));
    }
    if *heal_within != 10_000_000 {
        line_to(&mut text, "heal_within", duration(*heal_within));
    }
    if *min_acked != 1 {
        line_to(&mut text, "min_acked", min_acked);
    }
    if let Some(max) = transfers_max {
        line_to(&mut text, "transfers_max", max);
    }
    let acked = (proof.acked > 0).then(|| format!("acked = {}", proof.acked));
    let accepted = (proof.accepted > 0).then(|| format!("accepted = {}", proof.accepted));
    let fired = (proof.fired > 0).then(|| format!("fired = {}", proof.fired));
    let proof: Vec<String> = acked.into_iter().chain(accepted).chain(fired).collect();
    if !proof.is_empty() {
        line_to(&mut text, "proof", format!("{{ {} }}", proof.join(", ")));
    }
    if let Some(leader) = leader {
        line_to(&mut text, "leader", format!("\"n{}\"", leader + 1));
    }
    if let Some(members) = members {
        let names: Vec<String> = members.iter().map(|host| format!("\"n{}\"", host + 1)).collect();
        line_to(&mut text, "members", format!("[{}]", names.join(", ")));
    }
    if let Some(voters) = voters {
        line_to(&mut text, "voters", voters);
    }
    if text.is_empty() { text } else { format!("\n[expect]\n{text}") }
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
