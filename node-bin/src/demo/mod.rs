//! `node demo`: a whole cluster on one machine, as child processes, and what is needed to do it harm. It starts nothing again unless it is told to: a node that was
//! killed stays dead, and the others go on.
//!
//! - [`plan`]: what is in its folder. [`child`], [`keeper`]: its processes. [`stage`]: what all parts share.
//! - [`control`]: the cluster page's buttons, behind a key that is drawn at each start. [`tell`]: how cuts and slow disks reach the nodes.
//! - [`others`]: what it says of members that it does not start.
//! - [`load`]: clients that post and read, and the judge who looks at what they saw.

mod child;
mod control;
mod keeper;
mod load;
mod others;
mod plan;
mod stage;
mod tell;

use crate::cli::Demo;
use crate::driven::Key;
use crate::say;
use control::Control;
use keeper::Keeper;
use load::Load;
use plan::Plan;
use stage::Stage;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Runs until Ctrl-C, SIGTERM or the end of `--for`.
pub async fn run(args: &Demo) -> Result<(), String> {
    let mut plan = Plan::open(args)?;
    plan.check_ports().await?;
    let (listener, warning) = plan.bind_control(args.control_port).await?;
    let key = Key::draw();
    plan.prepare(&key)?;
    // Before the first child: a signal that comes between must not leave it behind.
    let mut stop = Stop::new(args.for_)?;
    let (stopping, watcher) = watch::channel(false);
    let (stage, orders) = Stage::new(plan, key);
    let stage = Arc::new(stage);
    let (mut nodes, mut helpers) = (JoinSet::new(), JoinSet::new());
    for (node, orders) in stage.plan.nodes().zip(orders) {
        let keeper = Keeper { stage: Arc::clone(&stage), node, restart: args.restart, orders, stopping: watcher.clone() };
        let child = keeper.start()?;
        nodes.spawn(keeper.keep(child));
        helpers.spawn(tell::keep_telling(Arc::clone(&stage), node));
    }
    if stage.plan.again {
        helpers.spawn(others::tell_of_others(Arc::clone(&stage)));
    }
    let control = Control::new(Arc::clone(&stage), Load::new(Arc::clone(&stage)), watcher);
    helpers.spawn(control.serve(listener));
    if let Some(warning) = warning {
        say(&warning);
    }
    let is_there = tokio::select! {
        () = stop.requested() => false,
        () = until_it_listens(stage.plan.http_port(1)) => true,
    };
    if is_there {
        say(&format!("open {} in a browser; Ctrl-C ends all nodes", stage.plan.url(1)));
        say(&format!("break it at {}/cluster#key={}", stage.plan.url(1), stage.key.text()));
        stop.requested().await;
    }
    let _ = stopping.send(true);
    while nodes.join_next().await.is_some() {}
    stage.plan.clear();
    Ok(())
}

/// Until there is something to be opened; five seconds at most.
async fn until_it_listens(port: u16) {
    for _ in 0..100 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
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
