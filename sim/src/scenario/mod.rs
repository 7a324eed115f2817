//! What a scenario file says: a cluster, a workload, a schedule of faults and what is expected of it all.
//!
//! A file is read into a flat struct of options ([`raw`]), which keeps the place of every mistake, and then checked into these types
//! ([`validate`]): whatever is here can be run. Times are simulated microseconds since the start.

mod error;
mod raw;
pub mod units;
mod validate;

pub use error::ScenarioError;
use std::collections::BTreeMap;
use tertulia_protocol::contract::{Limits, Timing};
pub use units::Span;

/// A whole scenario.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    pub name: String,
    /// The story, for people.
    pub about: String,
    pub cluster: Cluster,
    pub workload: Workload,
    pub faults: Vec<Fault>,
    pub expect: Expect,
}

/// The machines and what lies between them.
#[derive(Clone, PartialEq, Debug)]
pub struct Cluster {
    pub voters: usize,
    /// One-way delay of a message on a link that is not named.
    pub link: Span,
    /// One-way delays of named links, by (from, to), counted from 0.
    pub links: BTreeMap<(usize, usize), Span>,
    /// How long one sync of the log takes.
    pub sync: Span,
    pub timing: Timing,
    pub limits: Limits,
}

impl Cluster {
    /// The one-way delay from one node to another, counted from 0.
    pub fn delay(&self, from: usize, to: usize) -> Span {
        self.links.get(&(from, to)).copied().unwrap_or(self.link)
    }
}

/// What the clients do.
#[derive(Clone, PartialEq, Debug)]
pub struct Workload {
    /// Clients that are there from the beginning and post.
    pub clients: u32,
    pub rooms: u32,
    /// Mean time between two posts of all clients together.
    pub gap: u64,
    /// Posts stop, faults heal, and the liveness phase begins.
    pub stop: u64,
    /// Bytes of a post's text.
    pub text: (u32, u32),
    /// One-way delay between a client and a node.
    pub link: Span,
    /// A client that comes late, and only reads.
    pub joiner: Option<Joiner>,
    /// How often each client reads a page of history.
    pub pages: Option<Span>,
    /// How often each client's connection is cut, so that it moves.
    pub moves: Option<Span>,
}

/// Somebody who comes late and wants to see the last messages of each room.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Joiner {
    pub at: Span,
    pub last: u32,
}

/// One fault: when it fires, how long it lasts, what it does.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    /// As given, or `fault N`.
    pub id: String,
    /// Where it stands in the file.
    pub line: usize,
    pub trigger: Trigger,
    /// Until the workload's stop when not given.
    pub lasts: Option<Span>,
    pub verb: Verb,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Trigger {
    /// Once, at a time that may be drawn.
    At(Span),
    /// Again and again while another fault (or the whole safety phase) lasts.
    Every { gap: Span, from: u64, until: Option<u64>, during: Option<usize> },
    /// Each time that another fault begins.
    After { fault: usize, wait: Span },
    /// When a node reaches a named point of the protocol for the `nth` time, after another fault has begun.
    Reached { point: String, nth: u32, after: Option<usize>, wait: Span },
}

/// What a fault does. Exactly one each.
#[derive(Clone, PartialEq, Debug)]
pub enum Verb {
    Crash {
        targets: Vec<Target>,
        disk: DiskFate,
    },
    Partition(Split),
    /// Loss in millionths of messages.
    Loss {
        ppm: u32,
        on: Vec<Target>,
    },
    /// Extra delay of each message.
    Delay {
        by: Span,
        on: Vec<Target>,
    },
    /// Second copies in millionths of messages.
    Duplicate {
        ppm: u32,
        on: Vec<Target>,
    },
}

/// What a crash leaves on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskFate {
    /// All that was written is there: the process died, the machine did not.
    Keep,
    /// What was not synced is gone.
    LoseUnsynced,
    /// Of what was not synced a drawn prefix is there.
    Torn,
    /// One of the three, drawn each time.
    Any,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Split {
    /// Two groups, drawn; one has just a majority.
    Halves,
    /// Messages pass only inside a group. Nodes in no group reach everybody.
    Groups(Vec<Vec<Target>>),
}

/// Whom a fault hits; resolved when it fires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    Leader,
    /// A drawn node that is up and does not lead.
    Follower,
    /// A drawn node that is up.
    Random,
    All,
    /// Everybody that no group before named.
    Rest,
    /// Counted from 0.
    Node(usize),
}

/// What must come of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Expect {
    /// Named points of the protocol that the run must have reached; otherwise it proves nothing.
    pub reached: Vec<String>,
    /// Longest time in which somebody waited and nobody was answered.
    pub unavailable_max: Option<u64>,
    /// The liveness phase's length.
    pub heal_within: u64,
    /// Posts that must have been acknowledged.
    pub min_acked: u64,
}

impl Scenario {
    /// Reads and checks a scenario. `file` is for error messages.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn parse(file: &str, text: &str) -> Result<Scenario, ScenarioError> {
        validate::validate(error::Source { file, text })
    }

    /// Reads and checks a scenario's file.
    ///
    /// # Errors
    /// When it cannot be read, and as [`Scenario::parse`].
    pub fn load(path: &str) -> Result<Scenario, ScenarioError> {
        let text = std::fs::read_to_string(path).map_err(|error| ScenarioError {
            file: path.to_owned(),
            line: 0,
            message: format!("cannot be read: {error}"),
        })?;
        Scenario::parse(path, &text)
    }
}
