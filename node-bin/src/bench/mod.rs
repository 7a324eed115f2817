//! `node bench`: how many messages a second a cluster acknowledges, and how long each of them takes.
//!
//! Rules that it keeps:
//! - the loop is closed: each writer has one message under way, posts the next one when it is acknowledged, and waits for a slow cluster as its users
//!   would. So the latencies are those of this load, not of another one that would not slow down;
//! - only committed messages count: a majority has them on disk;
//! - every writer is a user with a session and a connection of its own, spread over the servers evenly, and moves on when its server is gone.

mod line;
mod tally;
mod writer;

use crate::cli::Bench;
use crate::serve::raise_file_limit;
use crate::show;
use crate::terminal::ask_once;
use line::Line;
use std::sync::Arc;
use std::time::Duration;
use tally::{Report, Tally};
use tertulia_protocol::gateway::Ask;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use writer::Writer;

/// How long all writers together may take to sign in and to join their rooms.
const SETUP: Duration = Duration::from_secs(30);

/// Runs the load and prints what came of it.
///
/// # Errors
/// No server answers, or nothing was acknowledged.
pub async fn run(args: &Bench) -> Result<(), String> {
    raise_file_limit();
    reach_one(&args.connect).await?;
    let tally = Arc::new(Tally::default());
    let (ready, mut readies) = mpsc::channel(64);
    let mut writers = JoinSet::new();
    for number in 1..=args.writers {
        let writer = Writer::new(args, number, Arc::clone(&tally));
        writers.spawn(writer.run(ready.clone()));
    }
    drop(ready);
    let all_ready = async {
        for _ in 0..args.writers {
            readies.recv().await.ok_or("a writer has ended: this is a bug, please report it")??;
        }
        Ok::<(), String>(())
    };
    match timeout(SETUP, all_ready).await {
        Ok(result) => result?,
        Err(_) => return Err(format!("not all writers could begin within {SETUP:?}{}", tally.trouble())),
    }

    let begin = Instant::now() + args.warmup;
    let end = begin + Duration::from_secs(args.seconds);
    tally.count_from(begin, end);
    sleep_until(end).await;
    let report = tally.report(Duration::from_secs(args.seconds));
    writers.abort_all();
    show(&if args.json { json(args, &report) } else { table(args, &report) });
    if report.acks == 0 {
        return Err(format!("nothing was acknowledged in {} s{}", args.seconds, tally.trouble()));
    }
    Ok(())
}

/// Nothing is begun unless at least one server answers.
async fn reach_one(servers: &[String]) -> Result<(), String> {
    let mut asking = JoinSet::new();
    for server in servers {
        let server = server.clone();
        asking.spawn(async move { ask_once(&server, Ask::Cluster).await });
    }
    let mut failures = Vec::new();
    while let Some(asked) = asking.join_next().await {
        match asked {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(why)) => failures.push(why),
            Err(error) => failures.push(error.to_string()),
        }
    }
    failures.sort();
    Err(format!(
        "no server answers; start a cluster with `node demo`, or name its servers with --connect\n  {}",
        failures.join("\n  ")
    ))
}

fn json(args: &Bench, report: &Report) -> String {
    serde_json::json!({
        "writers": args.writers,
        "size": args.size,
        "seconds": args.seconds,
        "rooms": args.rooms,
        "acks": report.acks,
        "errors": report.errors,
        "acks_per_s": report.acks_per_s,
        "p50_ms": report.p50_ms,
        "p99_ms": report.p99_ms,
        "p999_ms": report.p999_ms,
        "max_ms": report.max_ms,
        "longest_gap_ms": report.longest_gap_ms,
    })
    .to_string()
}

fn table(args: &Bench, report: &Report) -> String {
    let Report { acks, errors, acks_per_s, p50_ms, p99_ms, p999_ms, max_ms, longest_gap_ms } = report;
    let (writers, size, rooms, seconds) = (args.writers, args.size, args.rooms, args.seconds);
    [
        format!("writers {writers}, {size} bytes each, rooms {rooms}, {seconds} s"),
        format!("  {acks_per_s:.0} acknowledged a second ({acks} in all)"),
        format!("  latency in ms: p50 {p50_ms:.2}  p99 {p99_ms:.2}  p99.9 {p999_ms:.2}  max {max_ms:.2}"),
        format!("  longest time without an acknowledgement {longest_gap_ms:.1} ms, attempts that had to be repeated {errors}"),
    ]
    .join("\n")
}
