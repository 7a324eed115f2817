//! What a scenario file says: a cluster, a workload, a schedule of faults and what is expected of it all.
//!
//! A file is read into a flat struct of options ([`raw`]), which keeps the place of every mistake, and then checked into these types
//! ([`validate`]): whatever is here can be run. Times are simulated microseconds since the start.

mod chat;
mod draws;
mod error;
pub mod json_schema;
pub mod keys;
mod raw;
pub mod reference;
mod template;
pub mod units;
mod validate;
mod write;

pub use draws::Drawn;
pub use error::ScenarioError;
use std::collections::BTreeMap;
pub use template::Template;
use tertulia_protocol::chat::Settings;
use tertulia_protocol::contract::{Limits, Timing};
use tertulia_protocol::ids::NodeId;
use tertulia_protocol::succession::{Policy, SuccessionTiming};
pub use units::{Signed, Span, Throughput};
pub(crate) use write::waits_for;
pub use write::write;

/// A whole scenario.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    pub name: String,
    /// The story, for people.
    pub about: String,
    /// What is played when nobody names a seed.
    pub seed: Option<u64>,
    /// The known bug that this story is about: switched on in all nodes.
    pub bug: Option<String>,
    pub cluster: Cluster,
    /// What the cluster is founded with.
    pub chat: Settings,
    pub workload: Workload,
    pub faults: Vec<Fault>,
    pub expect: Expect,
}

/// The machines and what lies between them.
#[derive(Clone, PartialEq, Debug)]
pub struct Cluster {
    /// Who votes from the beginning.
    pub voters: usize,
    /// Further machines, on which nothing runs until a fault brings them in. They come after the voters.
    pub spares: usize,
    pub succession: Succession,
    /// One-way delay of a message on a link that is not named.
    pub link: Span,
    /// One-way delays of named links, by (from, to), counted from 0.
    pub links: BTreeMap<(usize, usize), Span>,
    /// How long one sync of the log takes.
    pub sync: Span,
    /// What a disk writes as a whole or not at all, in bytes. `None`: what is torn is torn between records.
    pub sector: Option<u32>,
    /// Clocks of machines that are not named.
    pub clock: Clock,
    /// Clocks of named machines, counted from 0; what they do not say is as for all others.
    pub clocks: BTreeMap<usize, Clock>,
    pub timing: Timing,
    pub limits: Limits,
    /// How often the ways are measured, and how reluctant a leader is to hand over.
    pub succession_timing: SuccessionTiming,
}

/// How a machine's clocks are from the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Clock {
    /// Microseconds that the wall clock is ahead. `None`: at most 5 ms.
    pub skew: Option<Signed>,
    /// Millionths that both clocks run fast. `None`: they run as time does.
    pub drift: Option<Signed>,
}

/// Who should lead next.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Succession {
    /// The voters by id, beginning after the leader.
    #[default]
    Ring,
    /// Whoever reaches a majority soonest.
    Central,
    /// This order of hosts, counted from 0.
    Fixed(Vec<usize>),
}

impl Cluster {
    /// What the nodes are told: the first voters have the ids from 1 on.
    pub fn policy(&self) -> Policy {
        match &self.succession {
            Succession::Ring => Policy::Ring,
            Succession::Central => Policy::Central,
            Succession::Fixed(hosts) => Policy::Fixed(hosts.iter().map(|host| NodeId(*host as u64 + 1)).collect()),
        }
    }

    /// All machines, spares included.
    pub fn hosts(&self) -> usize {
        self.voters + self.spares
    }

    /// How the clocks of a machine are from the beginning.
    pub fn clock(&self, host: usize) -> Clock {
        let own = self.clocks.get(&host).copied().unwrap_or_default();
        Clock { skew: own.skew.or(self.clock.skew), drift: own.drift.or(self.clock.drift) }
    }

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
    /// How many posts each client makes at most.
    pub posts: Option<u64>,
    /// Bytes of a post's text.
    pub text: (u32, u32),
    /// One-way delay between a client and a node.
    pub link: Span,
    /// A client that comes late, and only reads.
    pub joiner: Option<Joiner>,
    /// How often each client reads a page of history.
    pub pages: Option<Span>,
    /// How often each client reads backwards from some place.
    pub pages_back: Option<Span>,
    /// How often each client's connection is cut, so that it moves.
    pub moves: Option<Span>,
    /// Clients never turn to another node.
    pub stay: bool,
    /// When every second client is lost for good.
    pub quits: Option<Span>,
    /// How often each client's process dies and comes back from what it kept.
    pub restarts: Option<Span>,
    /// When clients come. `None`: all within 300 ms.
    pub arrivals: Option<Span>,
    /// How many clients in a row have one user's name.
    pub devices: u32,
    /// How often each client does each thing of [`ACTS`].
    pub acts: [Option<Span>; ACTS.len()],
}

impl Workload {
    /// How often each client does this.
    pub fn act(&self, act: Act) -> Option<Span> {
        self.acts[act as usize]
    }

    /// How many users the clients are that are there from the beginning.
    pub fn users(&self) -> u32 {
        self.clients.div_ceil(self.devices)
    }
}

/// What clients do beside posting and reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    Edit,
    Delete,
    React,
    MarkRead,
    Reply,
    Friends,
    Moderate,
    Churn,
    LogOut,
}

/// All of [`Act`] in order, with their keys.
pub const ACTS: [(Act, &str); 9] = [
    (Act::Edit, "edits"),
    (Act::Delete, "deletes"),
    (Act::React, "reactions"),
    (Act::MarkRead, "reads"),
    (Act::Reply, "replies"),
    (Act::Friends, "friends"),
    (Act::Moderate, "moderation"),
    (Act::Churn, "room_churn"),
    (Act::LogOut, "logouts"),
];

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
    /// A run in which it never fires proves something all the same.
    pub optional: bool,
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
        rot: Option<Rot>,
    },
    /// The process stops as if by SIGSTOP: nothing is handled and no timer fires, its clock and its connections go on.
    Pause {
        targets: Vec<Target>,
    },
    Partition(Split),
    /// The connections among these nodes (of one node: all of its own) break once, and may be made again at once.
    Reset {
        on: Vec<Target>,
    },
    /// Other delays of named links, one way, by (from, to), counted from 0.
    Links(BTreeMap<(usize, usize), Span>),
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
    /// Nothing that is asked of the disk is done before the fault ends.
    Stall {
        targets: Vec<Target>,
    },
    /// Other times for one sync of the log.
    SlowDisk {
        sync: Span,
        on: Vec<Target>,
    },
    /// The next write fails, the node halts, and it is started again after a while on a disk that works.
    BreakDisk {
        targets: Vec<Target>,
        how: DiskFailure,
        restart: Span,
    },
    Operator(Operation),
    /// The wall clock is off by so much more while it lasts; drawn for each node.
    Skew {
        by: Signed,
        on: Vec<Target>,
    },
    /// Both clocks run fast (or slow, below 0) by so many millionths more while it lasts; drawn for each node.
    Drift {
        ppm: Signed,
        on: Vec<Target>,
    },
    /// The wall clock leaps, once; drawn for each node.
    Jump {
        by: Signed,
        on: Vec<Target>,
    },
    /// So many millionths of messages are held back by an extra time, so that later ones overtake them.
    Reorder {
        ppm: u32,
        by: Span,
        on: Vec<Target>,
    },
    /// Each way of a link lets so much through, and messages queue behind each other. One that would wait for longer than `queue` microseconds breaks
    /// the connection, and what waits is lost with it.
    Clog {
        rate: Throughput,
        queue: u64,
        on: Vec<Target>,
    },
    /// The connections of these clients break, once.
    Disconnect {
        clients: Clients,
    },
    /// Nothing passes between these clients and these nodes; what is sent arrives when it ends, as with TCP.
    CutClients {
        clients: Clients,
        on: Vec<Target>,
    },
    /// These clients take so many bytes a second of what their nodes send, or nothing.
    SlowReader {
        clients: Clients,
        rate: Option<u64>,
    },
    /// While it lasts, all of these clients lose their connections at one moment, come back and resend, again and again.
    RetryStorm {
        clients: Clients,
    },
}

/// Which clients a fault hits; drawn when it fires.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Clients {
    All,
    /// Counted from 0.
    Numbers(Vec<u32>),
    /// So many drawn ones, in millionths of all, at least one.
    Part(u32),
    /// So many drawn ones.
    Drawn(u32),
    /// Whoever is connected to these nodes just then.
    At(Vec<Target>),
}

/// What an operator asks of the cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Somebody else shall lead.
    Transfer(Target),
    /// Leaders shall follow each other by the ring, or by who reaches a majority soonest.
    Succession { central: bool },
    /// A member is none any more; its process ends.
    Remove(Target),
    /// A spare machine joins in the place of a node that is gone for good.
    Replace(Target),
    /// So many spare machines join.
    Add(u32),
    /// Learners become voters until there are so many.
    Voters(u32),
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
    /// The whole folder is gone.
    Wipe,
}

/// What of a disk's durable bytes is not as it was written when the node comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rot {
    /// A drawn place of the log.
    Log,
    Rows,
    /// One of the two slots of term and vote.
    Vote,
    /// A drawn place of what the node has accepted without a leader.
    Outbox,
}

/// How a disk fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskFailure {
    /// Files cannot grow.
    Full,
    /// Every write and every sync fails.
    Failing,
    /// What is read is not what was written.
    Misread,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Split {
    /// Two groups, drawn; one has just a majority.
    Halves,
    /// Messages pass only inside a group. Nodes in no group reach everybody.
    Groups(Vec<Vec<Target>>),
    /// Each of these reaches nobody.
    Isolate(Vec<Target>),
    /// The others fall in two halves, drawn; this one reaches everybody.
    Bridge(Target),
    /// The others do not reach each other; this one reaches everybody.
    Star(Target),
    /// On a ring in drawn order, each reaches its neighbours only, as many as it needs for a majority.
    RingOfMajorities,
    /// Nothing passes from the first to the second; the other way is open.
    OneWay(Vec<Target>, Vec<Target>),
}

/// Whom a fault hits; resolved when it fires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    Leader,
    /// A drawn node that is up and does not lead.
    Follower,
    /// The nth in line after the leader, from 1.
    Successor(u32),
    /// A drawn node that is up.
    Random,
    /// As many drawn members as can be missed.
    Minority,
    /// Just so many drawn members that the others are no majority.
    Majority,
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
    /// How much must have happened; otherwise the run proves nothing.
    pub proof: Proof,
    /// Longest time in which somebody waited and nobody was answered.
    pub unavailable_max: Option<u64>,
    /// Longest time until a post is accepted or settled whose client is connected to a node that runs.
    pub accepted_within: Option<u64>,
    /// The liveness phase's length.
    pub heal_within: u64,
    /// Posts that must have been acknowledged.
    pub min_acked: u64,
    /// Hand-overs that leaders may have begun, in all.
    pub transfers_max: Option<u32>,
    /// Who leads at the end, before `heal_within` is over. A host.
    pub leader: Option<usize>,
    /// Who the members are at the end. Hosts.
    pub members: Option<Vec<usize>>,
    /// How many vote at the end.
    pub voters: Option<usize>,
}

/// What a run must have seen to prove anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Proof {
    /// Posts that were acknowledged.
    pub acked: u64,
    /// Posts of which clients were told that they are accepted without a leader.
    pub accepted: u64,
    /// Times that faults fired, all together.
    pub fired: u32,
}

impl Scenario {
    /// Whether an operator has to ask the cluster for something: a wiped node comes back as the replacement of itself.
    pub fn has_operators(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.verb, Verb::Operator(_) | Verb::Crash { disk: DiskFate::Wipe, .. }))
    }

    /// Reads and checks a scenario that leaves nothing to the seed; [`Template::parse`] reads those that do. `file` is for error messages.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn parse(file: &str, text: &str) -> Result<Scenario, ScenarioError> {
        Template::parse(file, text)?.fixed()
    }

    /// Reads and checks a scenario's file.
    ///
    /// # Errors
    /// When it cannot be read, and as [`Scenario::parse`].
    pub fn load(path: &str) -> Result<Scenario, ScenarioError> {
        Template::load(path)?.fixed()
    }
}
