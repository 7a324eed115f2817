//! The run as JSON, for the page: a head with all that is said once, and a row of a few numbers for each thing that happened.
//!
//! A row is `[microseconds since the row before, kind, lane, …]`; a message's goes on with its other lane and its fate (see [`fate`]); then come the
//! kind's fields, and sometimes a few words.

use super::Played;
use crate::engine::Verdict;
use crate::record::{FIELDS, Flight, KINDS, Row};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The most bytes of rows in one page.
const MOST_BYTES: usize = 18_000_000;
/// A message that has not arrived at the end, and was sent no longer before it than this, counts as under way.
const UNDER_WAY: u64 = 1_000_000;

/// All of it, safe to stand inside a script element.
pub(super) fn json(played: &Played<'_>) -> String {
    let mut parts: Vec<Row> = Vec::new();
    let recording = played.recording;
    let first = first_detail(&recording.turns, &recording.details);
    let details = &recording.details[first..];
    parts.extend(recording.turns.iter().chain(details).cloned());
    parts.sort_by_key(|row| (row.at, row.nth));
    let cut = (first > 0 || recording.dropped).then(|| details.first().map_or(0, |row| row.at));
    // The rows stand beside the head, so that they need no tree of values of their own.
    let mut text = format!("{{\"head\":{},\n\"rows\":[", head(played, cut));
    let (mut before, end) = (0, played.outcome.simulated.as_micros() as u64);
    for (nth, row) in parts.iter().enumerate() {
        if nth > 0 {
            text.push_str(",\n");
        }
        write_row(&mut text, row, before, end);
        before = row.at;
    }
    text.push_str("]}");
    text.replace('<', "\\u003c")
}

/// The oldest detail that there is room for.
fn first_detail(turns: &[Row], details: &[Row]) -> usize {
    let mut text = String::new();
    let mut cost = |row: &Row| {
        text.clear();
        write_row(&mut text, row, row.at.saturating_sub(99_999), row.at);
        text.len() + 2
    };
    let mut room = MOST_BYTES.saturating_sub(turns.iter().map(&mut cost).sum());
    for (nth, row) in details.iter().enumerate().rev() {
        let bytes = cost(row);
        if bytes > room {
            return nth + 1;
        }
        room -= bytes;
    }
    0
}

fn write_row(text: &mut String, row: &Row, before: u64, end: u64) {
    debug_assert!(row.fields.len() <= FIELDS);
    let _ = write!(text, "[{},{},{}", row.at - before, row.kind as usize, row.lane);
    if let Some(flight) = row.flight {
        let _ = write!(text, ",{},{}", flight.to, fate(row.at, flight, end));
    }
    for field in &row.fields {
        let _ = write!(text, ",{field}");
    }
    if let Some(more) = &row.more {
        let _ = write!(text, ",{}", Value::from(&**more));
    }
    text.push(']');
}

/// How long a message took in microseconds (both times in brackets when a second copy came), -1 when it was lost, -2 when it never arrived,
/// -3 when it was under way at the end.
fn fate(sent: u64, flight: Flight, end: u64) -> String {
    match (flight.arrived, flight.again) {
        (Some(arrived), Some(again)) => format!("[{},{}]", arrived - sent, again - sent),
        (Some(arrived), None) => (arrived - sent).to_string(),
        (None, _) if flight.lost => "-1".to_owned(),
        (None, _) if sent + UNDER_WAY < end => "-2".to_owned(),
        (None, _) => "-3".to_owned(),
    }
}

fn head(played: &Played<'_>, cut: Option<u64>) -> Value {
    let (scenario, outcome, recording) = (played.scenario, played.outcome, played.recording);
    let (verdict, rule, evidence) = match &outcome.verdict {
        Verdict::Ok => ("ok", None, Vec::new()),
        Verdict::Failed { rule, evidence } => ("failed", Some(rule.as_str()), evidence.clone()),
        Verdict::Vacuous { why } => ("vacuous", None, why.clone()),
    };
    let faults = recording.faults.iter().map(|mark| {
        let nodes: Vec<usize> = (0..recording.hosts).filter(|host| mark.nodes >> host & 1 == 1).collect();
        json!({
            "id": mark.fault, "class": mark.class, "told": mark.told, "nodes": nodes, "ways": mark.ways,
            "from": mark.from, "to": mark.to, "momentary": mark.momentary,
        })
    });
    let kinds = KINDS.iter().map(|kind| {
        json!({
            "name": kind.name, "group": kind.group, "weight": kind.weight as u8, "message": kind.message,
            "fields": kind.fields, "text": kind.text,
        })
    });
    let tally = &outcome.tally;
    let end = outcome.simulated.as_micros() as u64;
    json!({
        "name": scenario.name, "about": scenario.about, "seed": played.seed.to_string(), "engine": played.engine.name(),
        "bug": played.bug.map(|name| json!({ "name": name, "about": about_bug(name) })),
        "verdict": verdict, "rule": rule, "ruleAbout": rule.and_then(about_rule), "evidence": evidence,
        "violated": rule.map(|_| recording.violated.unwrap_or(end)),
        "trace": format!("{:016x}", outcome.trace), "command": played.command, "events": outcome.events, "end": end,
        "stop": scenario.workload.stop, "hosts": recording.hosts, "voters": scenario.cluster.voters,
        "ids": recording.ids.iter().map(|id| id.map(|id| id.0)).collect::<Vec<_>>(),
        "clients": crate::workload::actors(scenario),
        "tally": [
            ["posts", tally.submitted], ["accepted", tally.accepted], ["acknowledged", tally.acked], ["refused", tally.refused], ["deliveries", tally.delivered],
            ["reads", tally.reads], ["elections", tally.elections], ["hand-overs", tally.transfers], ["crashes", tally.crashes],
            ["messages lost or doubled", tally.touched], ["longest wait (ms)", tally.longest_wait / 1_000],
        ],
        "points": outcome.points, "story": outcome.story, "faults": faults.collect::<Vec<Value>>(), "kinds": kinds.collect::<Vec<Value>>(),
        "from": recording.window.from.min(end), "to": recording.window.to.min(end), "cut": cut, "clientsTalk": recording.clients_talk,
    })
}

/// What a rule says: of the judge's from its own file, of the rules about a run as a whole from here.
fn about_rule(rule: &str) -> Option<String> {
    tertulia_judge::about(rule).or_else(|| {
        let about = match rule {
            "liveness" => "After all faults have healed, everything settles within the time that the scenario allows: all commands are answered, all nodes are \
                           equal, all clients have read everything.",
            "unavailable" => "Nobody waits for an answer longer than the scenario allows while nobody is answered.",
            "min-acked" => "At least as many posts are acknowledged as the scenario expects.",
            "transfers-max" => "Leaders hand over no more often than the scenario allows.",
            "last-messages" => "A client that came late was shown the last messages of each room.",
            "panic" => "No machine panics.",
            "halt" | "halted" => "No node stops by itself, unless its disk was made to fail or the cluster has removed it.",
            "restore" | "store" => "A node starts from what its disk holds.",
            "workload" | "client" => "No client is told something that its script rules out.",
            "codec" => "What is encoded comes back equal.",
            "runaway" => "A run comes to an end.",
            _ => return None,
        };
        Some(about.to_owned())
    })
}

#[cfg(feature = "zoo")]
fn about_bug(name: &str) -> Option<&'static str> {
    use tertulia_protocol::zoo::Bug;
    Bug::ALL.iter().find(|bug| bug.name() == name).map(|bug| bug.about())
}

#[cfg(not(feature = "zoo"))]
fn about_bug(_name: &str) -> Option<&'static str> {
    None
}
