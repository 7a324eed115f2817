//! Watches over one node's process: takes orders, says when it ends, starts it again when it is told to.

use super::child::{Child, last_line};
use super::stage::{Life, Order, Ordered, Stage};

use crate::{say, stopped};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};

/// Pauses before a node is started again: at least the first, doubled while it keeps dying young.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A node that lived so long died for a new reason.
const OLD: Duration = Duration::from_secs(10);

type Answer = oneshot::Sender<Result<(), String>>;

/// How a process came to its end.
enum End {
    /// By itself, or by somebody from outside.
    Own(String),
    /// It was told to; whoever told it waits, and may want it started again.
    Told { how: String, answer: Answer, again: bool },
    /// The demo stops.
    Demo,
}

pub struct Keeper {
    pub stage: Arc<Stage>,
    pub node: u16,
    /// Whether a node that ends by itself is started again.
    pub restart: bool,
    pub orders: mpsc::Receiver<Ordered>,
    pub stopping: watch::Receiver<bool>,
}

impl Keeper {
    /// Starts the process and says so.
    pub fn start(&self) -> Result<Child, String> {
        let wanted = self.stage.wanted(self.node);
        let child = Child::spawn(&self.stage.plan, self.node, &wanted)?;
        self.stage.started(self.node, child.pid, wanted);
        say(&format!("node {}  {}  pid {}", self.node, self.stage.plan.url(self.node), child.pid));
        Ok(child)
    }

    /// Until the demo stops.
    pub async fn keep(mut self, mut child: Child) {
        let mut pause = BACKOFF.0;
        loop {
            let born = Instant::now();
            let (how, told) = match self.live(&mut child).await {
                End::Demo => return child.stop().await,
                End::Own(how) => (how, None),
                End::Told { how, answer, again } => (how, Some((answer, again))),
            };
            self.say_ended(&child, how);
            pause = if born.elapsed() >= OLD { BACKOFF.0 } else { pause };
            let next = match told {
                Some((answer, true)) => self.start_for(answer),
                Some((answer, false)) => {
                    let _ = answer.send(Ok(()));
                    None
                }
                None => None,
            };
            // Whoever kills a node by a button wants it dead until another button is pressed.
            let by_itself =
                self.restart && next.is_none() && !matches!(&self.stage.seat(self.node).life, Life::Ended(how) if how == KILLED);
            child = match next {
                Some(child) => child,
                None => match self.wait_for_start(by_itself.then_some(&mut pause)).await {
                    Some(child) => child,
                    None => return,
                },
            };
        }
    }

    fn say_ended(&self, child: &Child, how: String) {
        let node = self.node;
        let reason = if how.starts_with("was") { None } else { last_line(&self.stage.plan.log(node)) };
        let reason = reason.map_or(String::new(), |line| format!(": {line}"));
        say(&format!("node {node}  pid {} {}{reason}", child.pid, if how == KILLED { "was killed (SIGKILL)" } else { &how }));
        if how != KILLED {
            self.stage.note(format!("node {node} {how}"));
        }
        self.stage.set_life(node, Life::Ended(how));
    }

    /// Carries out orders while the process lives.
    async fn live(&mut self, child: &mut Child) -> End {
        loop {
            let (order, answer) = tokio::select! {
                biased;
                () = stopped(&mut self.stopping) => return End::Demo,
                how = child.ended() => return End::Own(how),
                ordered = self.orders.recv() => match ordered {
                    Some(ordered) => ordered,
                    None => return End::Demo,
                },
            };
            let node = self.node;
            match order {
                Order::Pause | Order::GoOn => {
                    let pauses = order == Order::Pause;
                    let done = child.pause(pauses);
                    if done.is_ok() {
                        self.stage.set_life(node, if pauses { Life::Paused } else { Life::Runs });
                        self.stage.note(format!("node {node} {}", if pauses { "is paused" } else { "goes on" }));
                    }
                    let _ = answer.send(done);
                }
                Order::Kill | Order::Restart => {
                    self.stage.note(format!("node {node} killed"));
                    let how = child.kill().await;
                    let how = if how.contains("SIGKILL") { KILLED.into() } else { how };
                    return End::Told { how, answer, again: order == Order::Restart };
                }
            }
        }
    }

    fn start_for(&self, answer: Answer) -> Option<Child> {
        match self.start() {
            Ok(child) => {
                self.stage.note(format!("node {} started again", self.node));
                let _ = answer.send(Ok(()));
                Some(child)
            }
            Err(error) => {
                say(&error);
                let _ = answer.send(Err(error));
                None
            }
        }
    }

    /// The next process, by order, or by itself after a pause. `None` when the demo stops.
    async fn wait_for_start(&mut self, mut pause: Option<&mut Duration>) -> Option<Child> {
        loop {
            let again = async {
                match pause.as_deref() {
                    Some(pause) => sleep(*pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stopped(&mut self.stopping) => return None,
                ordered = self.orders.recv() => match ordered? {
                    (Order::Restart, answer) => {
                        if let Some(child) = self.start_for(answer) {
                            return Some(child);
                        }
                    }
                    (_, answer) => drop(answer.send(Err(format!("node {} does not run: start it first", self.node)))),
                },
                () = again => {
                    if let Some(pause) = &mut pause {
                        **pause = (**pause * 2).min(BACKOFF.1);
                    }
                    match self.start() {
                        Ok(child) => {
                            self.stage.note(format!("node {} started again", self.node));
                            return Some(child);
                        }
                        Err(error) => drop(say(&error)),
                    }
                }
            }
        }
    }
}

/// How a node ended that was killed by a button.
const KILLED: &str = "was killed here (kill -9)";
