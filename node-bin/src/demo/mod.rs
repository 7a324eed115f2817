//! `node demo`: a whole cluster on one machine, as child processes. It starts nothing again unless it is told to: a node that was killed stays
//! dead, and the others go on.

mod child;
mod plan;

use crate::cli::Demo;
use crate::{say, stopped};
use child::Child;
use plan::Plan;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Pauses before a node is started again: at least the first, doubled while it keeps dying young.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A node that lived so long died for a new reason.
const OLD: Duration = Duration::from_secs(10);

/// Runs until Ctrl-C, SIGTERM or the end of `--for`.
pub async fn run(args: &Demo) -> Result<(), String> {
    let plan = Plan::open(args)?;
    plan.check_ports().await?;
    plan.prepare()?;
    // Before the first child: a signal that comes between must not leave it behind.
    let mut stop = Stop::new(args.for_)?;
    let plan = Arc::new(plan);
    let (stopping, watcher) = watch::channel(false);
    let mut nodes = JoinSet::new();
    for node in plan.nodes() {
        let child = Child::spawn(&plan, node)?;
        say(&started(&plan, node, &child));
        nodes.spawn(keep(plan.clone(), node, child, args.restart, watcher.clone()));
    }
    say(&format!("open {} in a browser; Ctrl-C ends all nodes", plan.url(1)));
    stop.requested().await;
    let _ = stopping.send(true);
    while nodes.join_next().await.is_some() {}
    Ok(())
}

/// What ends a demo.
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    after: Option<Duration>,
}

impl Stop {
    fn new(after: Option<Duration>) -> Result<Stop, String> {
        let on = |kind| signal(kind).map_err(|error| format!("cannot watch for signals: {error}"));
        Ok(Stop {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: on(SignalKind::hangup())?,
            after,
        })
    }

    async fn requested(&mut self) {
        let after = async {
            match self.after {
                Some(after) => sleep(after).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
            () = after => {}
        }
    }
}

fn started(plan: &Plan, node: u16, child: &Child) -> String {
    format!("node {node}  {}  pid {}", plan.url(node), child.pid)
}

/// Watches over one node until the demo stops.
async fn keep(plan: Arc<Plan>, node: u16, mut child: Child, restart: bool, mut stopping: watch::Receiver<bool>) {
    let mut pause = BACKOFF.0;
    loop {
        let born = Instant::now();
        let end = tokio::select! {
            biased;
            () = stopped(&mut stopping) => return child.stop().await,
            end = child.ended() => end,
        };
        let reason = if end.starts_with("was") { None } else { child::last_line(&plan.log(node)) };
        say(&format!("node {node}  pid {} {end}{}", child.pid, reason.map_or(String::new(), |line| format!(": {line}"))));
        if !restart {
            return;
        }
        pause = if born.elapsed() >= OLD { BACKOFF.0 } else { pause };
        child = loop {
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => return,
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(BACKOFF.1);
            match Child::spawn(&plan, node) {
                Ok(child) => break child,
                Err(error) => drop(say(&error)),
            }
        };
        say(&started(&plan, node, &child));
    }
}
