//! Every key that a scenario file may have: where it stands, what it takes, what it means. One table for the JSON Schema that editors read
//! (`sim schema`, [`super::json_schema`]) and for the reference in `docs/SCENARIOS.md` ([`super::reference`]).
//!
//! To add a key: a line in the struct of `raw`, what `validate` makes of it, and a line here. Tests hold the three together: this table has exactly the
//! keys that the parser takes, each example is accepted, each default is what is meant without the key, and no number outside its bounds is.

use Kind::*;

/// Where a key stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Table {
    File,
    Cluster,
    Disk,
    Clock,
    Succession,
    Chat,
    Workload,
    Joiner,
    Fault,
    Expect,
    Proof,
    Drawn,
}

/// What a key of a fault is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Plain,
    /// Exactly one of these is in a fault, or `after` and `when` together.
    Trigger,
    /// Exactly one of these is in a fault.
    Verb,
}

/// What a value looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Any text.
    Words,
    Flag,
    /// A number from here to there.
    Number(i64, i64),
    Duration,
    /// One duration, or `a..b`.
    Span,
    Rate,
    Percent,
    Size,
    OneOf(&'static [&'static str]),
    /// One node.
    Target,
    /// One target or a list of them.
    Targets,
    /// A shape by name, or groups of targets.
    Partition,
    /// From a group to a group.
    OneWay,
    /// Delays by link.
    Links,
    /// A time that a clock is off, or `a..b`; may be below 0.
    Offset,
    /// A part by which a clock runs too fast, or `a..b`; may be below 0.
    Drift,
    /// Bytes or messages a second.
    Throughput,
    /// Which clients.
    Clients,
    /// Clocks by node.
    Clocks,
    /// `n3`.
    Node,
    Nodes,
    /// Nodes by number, in order.
    Order,
    /// Least and most.
    Bounds(i64, i64),
    /// The name of a point of the protocol or of the simulator.
    Point,
    Points,
    /// A table of its own.
    In(Table),
    /// Many tables of their own.
    Each(Table),
    /// A table of other keys of a fault, drawn.
    Pick,
    /// What a room keeps.
    History,

    /// For `draw`: a range, or a list of values.
    Range,
    Weights,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub table: Table,
    pub name: &'static str,
    pub kind: Kind,
    pub role: Role,
    /// As a file would say it; empty when there is none. `(…)` stands around what cannot be said by a value.
    pub default: &'static str,
    pub about: &'static str,
    /// Lines of this key's table.
    pub example: &'static str,
}

pub(super) const fn key(
    table: Table,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    about: &'static str,
    example: &'static str,
) -> Key {
    Key { table, name, kind, role: Role::Plain, default, about, example }
}

const fn trigger(name: &'static str, kind: Kind, about: &'static str, example: &'static str) -> Key {
    Key { table: Table::Fault, name, kind, role: Role::Trigger, default: "", about, example }
}

const fn verb(name: &'static str, kind: Kind, about: &'static str, example: &'static str) -> Key {
    Key { table: Table::Fault, name, kind, role: Role::Verb, default: "", about, example }
}

/// All keys, in the order in which a reader wants them.
pub fn keys() -> impl Iterator<Item = &'static Key> + Clone {
    [FILE, CLUSTER, super::chat::KEYS, WORKLOAD, FAULT, EXPECT, DRAWN].into_iter().flatten()
}

const FILE: &[Key] = &[
    key(Table::File, "schema", Number(1, 1), "", "The version of this format. Every file begins with it.", "schema = 1"),
    key(Table::File, "name", Words, "", "What the scenario is called. Needed.", "name = \"the leader crashes\""),
    key(Table::File, "about", Words, "\"\"", "The story, for people.", "about = \"Three nodes. The leader dies twice.\""),
    key(Table::File, "seed", Number(0, i64::MAX), "(0)", "What is played when no seed is named.", "seed = 7"),
    key(
        Table::File,
        "bug",
        Words,
        "(none)",
        "The known bug that the story is about, switched on in all nodes; see `cargo sim zoo`.",
        "bug = \"vote-before-durable\"",
    ),
    key(
        Table::File,
        "cluster",
        In(Table::Cluster),
        "",
        "The machines and what lies between them. Needed.",
        "[cluster]\nvoters = 5",
    ),
    key(
        Table::File,
        "chat",
        In(Table::Chat),
        "(all as usual)",
        "What the cluster is founded with: who signs in how, and the rules of its rooms.",
        "[chat]\ndevices = 2\nidle = \"5s\"",
    ),
    key(
        Table::File,
        "workload",
        In(Table::Workload),
        "",
        "What the clients do. Needed.",
        "[workload]\nclients = 3\nrate = \"20/s\"\nstop = \"20s\"",
    ),
    key(
        Table::File,
        "fault",
        Each(Table::Fault),
        "(none)",
        "What goes wrong, one table for each.",
        "[[fault]]\nat = \"4s\"\ncrash = \"leader\"\nfor = \"2s\"",
    ),
    key(
        Table::File,
        "expect",
        In(Table::Expect),
        "(nothing but the rules)",
        "What must come of it.",
        "[expect]\nunavailable_max = \"3s\"",
    ),
];

const CLUSTER: &[Key] = &[
    key(
        Table::Cluster,
        "voters",
        Number(1, 15),
        "3",
        "Nodes that vote from the beginning, called `n1`, `n2`, and so on.",
        "voters = 5",
    ),
    key(
        Table::Cluster,
        "spares",
        Number(0, 15),
        "0",
        "Further machines on which nothing runs until a fault brings them in. They come after the voters: with 5 voters and 2 spares, `n6` and `n7`.",
        "spares = 2",
    ),
    key(
        Table::Cluster,
        "links",
        Links,
        "{ default = \"2ms..8ms\" }",
        "One-way delays of messages between nodes: of named links, and of all others as `default`. Drawn for each message.",
        "links = { default = \"2ms..8ms\", \"1->3\" = \"40ms\" }",
    ),
    key(Table::Cluster, "disk", In(Table::Disk), "", "The disks of all nodes.", "disk = { sync = \"1ms..4ms\" }"),
    key(
        Table::Cluster,
        "succession",
        In(Table::Succession),
        "{ policy = \"ring\" }",
        "Who should lead next.",
        "succession = { policy = \"central\" }",
    ),
    key(
        Table::Cluster,
        "heartbeat",
        Duration,
        "\"50ms\"",
        "A leader says that it is there at least this often.",
        "heartbeat = \"100ms\"",
    ),
    key(
        Table::Cluster,
        "detect_min",
        Duration,
        "\"200ms\"",
        "Votes are refused for so long after a leader was heard.",
        "detect_min = \"400ms\"",
    ),
    key(
        Table::Cluster,
        "detection",
        Duration,
        "\"300ms\"",
        "Silence after which the first in line stands for election. Longer than `detect_min`, a heartbeat and the longest delay together.",
        "detection = \"600ms\"",
    ),
    key(
        Table::Cluster,
        "stagger",
        Duration,
        "\"50ms\"",
        "How much longer each further one in line waits. At least a round trip and a sync.",
        "stagger = \"100ms\"",
    ),
    key(Table::Cluster, "jitter", Duration, "\"25ms\"", "Upper bound of what is drawn on top of that.", "jitter = \"50ms\""),
    key(
        Table::Cluster,
        "hold",
        Duration,
        "\"500ms\"",
        "How long a request waits for a leader before it is refused for the moment.",
        "hold = \"1s\"",
    ),
    key(
        Table::Cluster,
        "request",
        Duration,
        "\"5s\"",
        "How long a request may take in all before its outcome is called unknown.",
        "request = \"3s\"",
    ),
    key(
        Table::Cluster,
        "forward_again",
        Duration,
        "\"250ms\"",
        "How long a forwarded request waits before it is forwarded again.",
        "forward_again = \"500ms\"",
    ),
    key(
        Table::Cluster,
        "disk_stall",
        Duration,
        "\"1s\"",
        "A write that takes longer means that the disk has stalled: a leader hands over.",
        "disk_stall = \"700ms\"",
    ),
    key(
        Table::Cluster,
        "leader_silence",
        Duration,
        "\"150ms\"",
        "A leader that was not heard for so long does not answer: posts are accepted without it.",
        "leader_silence = \"300ms\"",
    ),
    key(
        Table::Cluster,
        "lease_drift",
        Percent,
        "(leases are off)",
        "By how much two clocks may run apart. With it, leaders answer reads on a lease.",
        "lease_drift = \"0.1%\"",
    ),
    key(
        Table::Cluster,
        "log",
        Size,
        "\"64MiB\"",
        "How much log a node keeps, at least 16KiB; whoever misses more gets a snapshot. Parts and rate of snapshots go down with it.",
        "log = \"16KiB\"",
    ),
    key(
        Table::Cluster,
        "clocks",
        Clocks,
        "(right, but for up to 5 ms of the wall clock)",
        "How clocks are off from the beginning, by node, and for all others by `default`.",
        "clocks = { default = { skew = \"-50ms..50ms\", drift = \"-200ppm..200ppm\" }, n2 = { skew = \"3s\" } }",
    ),
    key(Table::Clock, "skew", Offset, "(up to 5 ms)", "How far the wall clock is ahead; below 0, behind.", "skew = \"-1s..1s\""),
    key(
        Table::Clock,
        "drift",
        Drift,
        "(none)",
        "How much too fast both clocks run; below 0, too slow. At most half.",
        "drift = \"-0.1%..0.1%\"",
    ),
    key(
        Table::Cluster,
        "reader",
        Size,
        "\"256KiB\"",
        "Events that may wait for one reader, from 256B to 16MiB; whoever falls further behind catches up from history.",
        "reader = \"8KiB\"",
    ),
    key(
        Table::Cluster,
        "outbox",
        Size,
        "\"64MiB\"",
        "Tentative entries that one node holds at most, its own and others', at least 1KiB.",
        "outbox = \"4KiB\"",
    ),
    key(Table::Disk, "sync", Span, "\"1ms..4ms\"", "How long one sync of the log takes. Drawn for each.", "sync = \"2ms..30ms\""),
    key(
        Table::Disk,
        "sector",
        Size,
        "(between records on the fast engine, 512B on turmoil)",
        "What is torn is torn between sectors of this size: a power of two from 512B to 64KiB.",
        "sector = \"4KiB\"",
    ),
    key(
        Table::Succession,
        "policy",
        OneOf(&["ring", "central", "fixed"]),
        "",
        "`ring`: the next one by number. `central`: whoever reaches a majority soonest. `fixed`: by `order`. Needed.",
        "policy = \"central\"",
    ),
    key(
        Table::Succession,
        "order",
        Order,
        "",
        "Who should lead, best first. Goes with `fixed` only, and is needed there.",
        "policy = \"fixed\"\norder = [3, 1, 2]",
    ),
    key(
        Table::Succession,
        "probe",
        Duration,
        "\"500ms\"",
        "How often each way is measured.",
        "policy = \"central\"\nprobe = \"200ms\"",
    ),
    key(
        Table::Succession,
        "evaluation",
        Duration,
        "\"1s\"",
        "How often a leader ranks the voters.",
        "policy = \"central\"\nevaluation = \"400ms\"",
    ),
    key(
        Table::Succession,
        "max_age",
        Duration,
        "\"5s\"",
        "What was measured longer ago says nothing.",
        "policy = \"central\"\nmax_age = \"2s\"",
    ),
    key(
        Table::Succession,
        "gain",
        Duration,
        "\"5ms\"",
        "Under `central` a leader hands over only if more than this is gained.",
        "policy = \"central\"\ngain = \"10ms\"",
    ),
    key(
        Table::Succession,
        "resolution",
        Duration,
        "\"100us\"",
        "Latencies are compared in steps of this; in the same step the lower number comes first.",
        "policy = \"central\"\nresolution = \"10ms\"",
    ),
    key(
        Table::Succession,
        "tenure",
        Duration,
        "\"10s\"",
        "A leader that has led for less does not hand over.",
        "policy = \"central\"\ntenure = \"2s\"",
    ),
    key(
        Table::Succession,
        "cooldown",
        Duration,
        "\"30s\"",
        "Between two hand-overs that one node begins.",
        "policy = \"central\"\ncooldown = \"5s\"",
    ),
];

const WORKLOAD: &[Key] = &[
    key(
        Table::Workload,
        "clients",
        Number(1, 10_000),
        "",
        "Clients that are there from the beginning and post. Each begins at another node. Needed.",
        "clients = 6",
    ),
    key(Table::Workload, "rooms", Number(1, 1_000), "1", "Rooms; every client is in all of them.", "rooms = 2"),
    key(Table::Workload, "rate", Rate, "", "Posts of all clients together. Needed.", "rate = \"60/s\""),
    key(
        Table::Workload,
        "stop",
        Duration,
        "",
        "When posts end, all faults heal, and everything must become well. Needed.",
        "stop = \"20s\"",
    ),
    key(
        Table::Workload,
        "text",
        Bounds(1, 4_000),
        "[8, 120]",
        "Least and most bytes of a message, within 1 to 4000.",
        "text = [150, 350]",
    ),
    key(Table::Workload, "link", Span, "\"300us..2ms\"", "One-way delay between a client and a node.", "link = \"1ms..20ms\""),
    key(Table::Workload, "pages", Span, "(never)", "How often each client reads a page of history.", "pages = \"1s..3s\""),
    key(
        Table::Workload,
        "pages_back",
        Span,
        "(never)",
        "How often each client reads the posts before some place.",
        "pages_back = \"1s..3s\"",
    ),
    key(Table::Workload, "posts", Number(0, i64::MAX), "(no limit)", "How many posts each client makes at most.", "posts = 3"),
    key(
        Table::Workload,
        "moves",
        Span,
        "(never)",
        "How often each client loses its connection and moves to another node.",
        "moves = \"3s..9s\"",
    ),
    key(
        Table::Workload,
        "stay",
        Flag,
        "false",
        "Clients never turn to another node: the first one stays at `n1`, the second at `n2`, and so on around.",
        "stay = true",
    ),
    key(
        Table::Workload,
        "quits",
        Span,
        "(never)",
        "When the devices of every second client (2, 4, and so on) are lost for good, with all whose outcome they have not heard.",
        "quits = \"6s..9s\"",
    ),
    key(
        Table::Workload,
        "restarts",
        Span,
        "(never)",
        "How often each client's process dies and comes back from the outbox that it kept.",
        "restarts = \"2s..6s\"",
    ),
    key(
        Table::Workload,
        "joiner",
        In(Table::Joiner),
        "(none)",
        "A client that comes late and only reads.",
        "joiner = { at = \"14s..15s\", last = 20 }",
    ),
    key(
        Table::Workload,
        "arrivals",
        Span,
        "(within 300 ms)",
        "When each client comes, before the workload's stop.",
        "arrivals = \"0ms..9s\"",
    ),
    key(
        Table::Workload,
        "devices",
        Number(1, 100),
        "1",
        "So many clients in a row are devices of one user: with 2, clients 1 and 2 sign in under one name.",
        "devices = 2",
    ),
    key(Table::Workload, "edits", Span, "(never)", "How often each client changes a message of its own.", "edits = \"1s..3s\""),
    key(
        Table::Workload,
        "deletes",
        Span,
        "(never)",
        "How often each client deletes a message of its own.",
        "deletes = \"2s..6s\"",
    ),
    key(
        Table::Workload,
        "reactions",
        Span,
        "(never)",
        "How often each client reacts to a message, or takes that back.",
        "reactions = \"1s..3s\"",
    ),
    key(Table::Workload, "reads", Span, "(never)", "How often each client marks a room as read.", "reads = \"500ms..2s\""),
    key(Table::Workload, "replies", Span, "(never)", "How often each client answers a message.", "replies = \"1s..3s\""),
    key(
        Table::Workload,
        "friends",
        Span,
        "(never)",
        "How often each client asks for a friendship, ends one, blocks somebody, or writes to somebody alone.",
        "friends = \"1s..3s\"",
    ),
    key(
        Table::Workload,
        "moderation",
        Span,
        "(never)",
        "How often each client lets somebody else out of a room of its own, bans, mutes or forgives.",
        "moderation = \"1s..3s\"",
    ),
    key(
        Table::Workload,
        "room_churn",
        Span,
        "(never)",
        "How often each client makes, joins, leaves, archives or deletes a room of those that come and go, or posts there.",
        "room_churn = \"500ms..2s\"",
    ),
    key(
        Table::Workload,
        "logouts",
        Span,
        "(never)",
        "How often each client logs out; it comes back as a new device.",
        "logouts = \"5s..9s\"",
    ),
    key(Table::Joiner, "at", Span, "", "When it comes, before the workload's stop. Needed.", "at = \"14s..15s\""),
    key(
        Table::Joiner,
        "last",
        Number(1, 1_000),
        "10",
        "How many of the last messages of each room it wants to see.",
        "at = \"9s\"\nlast = 20",
    ),
];

const FAULT: &[Key] = &[
    key(
        Table::Fault,
        "id",
        Words,
        "(`fault` and its number in the file)",
        "What it is called in reports and by other faults. Its draws hang on it.",
        "id = \"split\"",
    ),
    key(
        Table::Fault,
        "optional",
        Flag,
        "false",
        "It may never fire, and may name nodes that a drawn cluster does not have: the run proves something all the same.",
        "optional = true",
    ),
    key(
        Table::Fault,
        "chance",
        Percent,
        "\"100%\"",
        "Whether it is there at all is drawn once for each seed. What waits for it goes with it.",
        "chance = \"30%\"",
    ),
    key(
        Table::Fault,
        "copies",
        Number(0, 16),
        "1",
        "How many of it there are, each with draws of its own. The second is called `<id> #2`.",
        "copies = 2",
    ),
    key(
        Table::Fault,
        "needs_voters",
        Number(1, 15),
        "(no bound)",
        "In a cluster of fewer voters it is not there.",
        "needs_voters = 3",
    ),
    key(
        Table::Fault,
        "pick",
        Pick,
        "",
        "Further keys of this fault: those of one of several tables.",
        "pick = { draw = [{ crash = \"leader\", disk = \"torn\" }, { stall = \"leader\" }] }",
    ),
    trigger("at", Span, "Once, at this time, before the workload's stop.", "at = \"4s..6s\""),
    trigger("every", Span, "Again and again, with so much between two beginnings; at least 1ms.", "every = \"1s..3s\""),
    trigger(
        "after",
        Words,
        "Each time that the fault with this id begins. With `when`, only what happens after that counts.",
        "after = \"the other one\"\nwait = \"1s\"",
    ),
    trigger("when", Point, "When a named point is reached anywhere: see the list below.", "when = \"snapshot.begun\"\nnth = 2"),
    key(Table::Fault, "from", Duration, "\"0s\"", "With `every`: when it begins.", "every = \"1s\"\nfrom = \"5s\""),
    key(
        Table::Fault,
        "until",
        Duration,
        "(the workload's stop)",
        "With `every`: when it ends, before the workload's stop. Not beside `during`.",
        "every = \"1s\"\nuntil = \"15s\"",
    ),
    key(
        Table::Fault,
        "during",
        Words,
        "(all the time)",
        "With `every`: only while the fault with this id lasts.",
        "every = \"100ms\"\nduring = \"the other one\"",
    ),
    key(
        Table::Fault,
        "wait",
        Span,
        "\"0s\"",
        "With `after` or `when`: how long after it.",
        "after = \"the other one\"\nwait = \"300ms..600ms\"",
    ),
    key(
        Table::Fault,
        "nth",
        Number(1, 1_000_000),
        "1",
        "With `when`: which time counts.",
        "when = \"learner.promoted\"\nnth = 2",
    ),
    key(
        Table::Fault,
        "for",
        Span,
        "(until the workload's stop)",
        "How long it lasts. Not with `reset`, `jump`, `disconnect` and what operators do, which is over at once.",
        "for = \"500ms..3s\"",
    ),
    verb(
        "crash",
        Targets,
        "The process dies, and is started again after `for`.",
        "crash = \"leader\"\ndisk = \"lose-unsynced\"\nfor = \"2s\"",
    ),
    key(
        Table::Fault,
        "disk",
        OneOf(&["keep", "lose-unsynced", "torn", "any", "wipe"]),
        "\"keep\"",
        "With `crash`, what is left of what was written: all; what was synced; that and a drawn piece of the rest; one of these three, drawn each time; nothing, and the machine joins anew in its own place.",
        "crash = \"all\"\ndisk = \"torn\"",
    ),
    key(
        Table::Fault,
        "rot",
        OneOf(&["log", "rows", "vote", "outbox"]),
        "(nothing rots)",
        "With `crash`: a drawn place of the log, the rows, one of the two slots of term and vote, or the outbox is not as it was written. Not with `wipe`.",
        "crash = \"follower\"\nrot = \"log\"",
    ),
    verb(
        "pause",
        Targets,
        "The process stands still, as by SIGSTOP: nothing is handled, no timer fires, and what comes waits.",
        "pause = \"leader\"\nfor = \"2s\"",
    ),
    verb(
        "partition",
        Partition,
        "`halves` (drawn, one has just a majority), `ring-of-majorities` (each reaches only its neighbours on a drawn ring; at least 4 voters), or groups: a node in none of them reaches everybody.",
        "partition = [[\"leader\", \"n3\"], [\"rest\"]]\nfor = \"3s\"",
    ),
    verb("isolate", Targets, "Each of them reaches nobody.", "isolate = \"leader\"\nfor = \"3s\""),
    verb(
        "bridge",
        Target,
        "This one reaches everybody; the others fall in two halves. At least 3 voters.",
        "bridge = \"follower\"\nfor = \"3s\"",
    ),
    verb(
        "star",
        Target,
        "This one reaches everybody; the others do not reach each other. At least 3 voters.",
        "star = \"leader\"\nfor = \"3s\"",
    ),
    verb(
        "one-way",
        OneWay,
        "Nothing passes from the first group to the second; the other way is open.",
        "one-way = [[\"leader\"], [\"rest\"]]\nfor = \"3s\"",
    ),
    verb(
        "reset",
        Targets,
        "The connections among them (of one: all of its own) break once, and are made again.",
        "reset = \"leader\"",
    ),
    verb("links", Links, "Other delays of these links.", "links = { \"1->3\" = \"80ms\", \"3->1\" = \"80ms\" }\nfor = \"5s\""),
    verb("loss", Percent, "So many messages are lost on links of `on`.", "loss = \"5%\"\non = \"leader\"\nfor = \"10s\""),
    verb("delay", Span, "Messages on links of `on` come so much later.", "delay = \"20ms..80ms\"\nfor = \"2s\""),
    verb("duplicate", Percent, "So many messages on links of `on` come twice.", "duplicate = \"2%\"\nfor = \"10s\""),
    verb("stall", Targets, "Nothing that is asked of the disk is done before the end.", "stall = \"leader\"\nfor = \"2s\""),
    verb(
        "slow-disk",
        Span,
        "One sync of the log takes so long on disks of `on`.",
        "slow-disk = \"20ms..80ms\"\non = \"leader\"\nfor = \"2s\"",
    ),
    verb(
        "full",
        Targets,
        "The next write that needs more room fails; the node halts, and is started after `restart` on a disk that works.",
        "full = \"n2\"\nrestart = \"1s\"",
    ),
    verb(
        "fail",
        Targets,
        "The next write fails; the node halts, and is started after `restart` on a disk that works.",
        "fail = \"leader\"\nrestart = \"500ms..2s\"",
    ),
    verb(
        "misread",
        Targets,
        "The next read gives what was not written; the node halts, and is started after `restart` on a disk that works.",
        "misread = \"leader\"\nrestart = \"500ms..2s\"",
    ),
    key(
        Table::Fault,
        "restart",
        Span,
        "",
        "With `full`, `fail` and `misread`, and needed there: how long after it has halted a node is started again.",
        "fail = \"leader\"\nrestart = \"1s\"",
    ),
    key(
        Table::Fault,
        "on",
        Targets,
        "\"all\"",
        "With `loss`, `delay`, `duplicate`, `reorder`, `clog`, `slow-disk`, `skew`, `drift`, `jump` and `cut-clients`: whose links, disks and clocks, and which nodes.",
        "loss = \"5%\"\non = [\"n1\", \"n2\"]",
    ),
    verb(
        "skew",
        Offset,
        "Wall clocks of `on` are off by so much more while it lasts.",
        "skew = \"-2s..2s\"\non = \"leader\"\nfor = \"5s\"",
    ),
    verb(
        "drift",
        Drift,
        "Both clocks of `on` run so much faster (below 0, slower) while it lasts.",
        "drift = \"-2%..2%\"\nfor = \"5s\"",
    ),
    verb("jump", Offset, "Wall clocks of `on` leap, once.", "jump = \"-10s\"\non = \"leader\""),
    verb(
        "clog",
        Throughput,
        "Each way of links of `on` lets so many bytes or messages through in a second; the rest queues.",
        "clog = \"16KiB/s\"\nqueue = \"2s\"\nfor = \"5s\"",
    ),
    verb(
        "reorder",
        Percent,
        "So many messages on links of `on` are held back for `by`, so that later ones overtake them.",
        "reorder = \"10%\"\nby = \"20ms..80ms\"\nfor = \"5s\"",
    ),
    key(
        Table::Fault,
        "by",
        Span,
        "",
        "With `reorder`, and needed there: how long a message is held back.",
        "reorder = \"5%\"\nby = \"50ms\"",
    ),
    key(
        Table::Fault,
        "queue",
        Duration,
        "\"1s\"",
        "With `clog`: the longest that a message may wait, from 1ms to 60s; one that would wait longer breaks the connection.",
        "clog = \"200/s\"\nqueue = \"500ms\"",
    ),
    verb("disconnect", Clients, "The connections of these clients break, once.", "disconnect = \"2 drawn\""),
    verb(
        "cut-clients",
        Clients,
        "Nothing passes between these clients and the nodes of `on`; what is sent arrives when it ends.",
        "cut-clients = \"50%\"\non = \"leader\"\nfor = \"2s\"",
    ),
    verb(
        "slow-reader",
        Clients,
        "These clients take `rate` of what their nodes send, or nothing.",
        "slow-reader = [1, 2]\nrate = \"1KiB/s\"\nfor = \"5s\"",
    ),
    key(
        Table::Fault,
        "rate",
        Throughput,
        "(nothing)",
        "With `slow-reader`: how many bytes a second are taken.",
        "slow-reader = \"all\"\nrate = \"4KiB/s\"",
    ),
    verb(
        "retry-storm",
        Clients,
        "While it lasts, all of these clients lose their connections at one moment, come back and send again, over and over.",
        "retry-storm = \"all\"\nfor = \"3s\"",
    ),
    verb("transfer", Target, "An operator wants this one to lead.", "transfer = \"follower\""),
    verb(
        "succession",
        OneOf(&["ring", "central"]),
        "An operator says by what leaders follow each other from now on.",
        "succession = \"central\"",
    ),
    verb("remove", Target, "An operator wants this one to be a member no more.", "remove = \"n3\""),
    verb("replace", Target, "This one is gone for good, and a spare joins in its place.", "replace = \"n1\""),
    verb("add", Number(1, 15), "So many spares join.", "add = 1"),
    verb("voters", Number(1, 15), "So many shall vote: learners become voters until there are so many.", "voters = 2"),
];

const EXPECT: &[Key] = &[
    key(
        Table::Expect,
        "reached",
        Points,
        "[]",
        "Points of the protocol that the run must have reached; otherwise it is vacuous.",
        "reached = [\"snapshot.installed\"]",
    ),
    key(
        Table::Expect,
        "proof",
        In(Table::Proof),
        "",
        "How much must have happened; otherwise the run is vacuous.",
        "proof = { acked = 100, fired = 3 }",
    ),
    key(Table::Proof, "acked", Number(0, i64::MAX), "0", "Posts that were acknowledged.", "acked = 100"),
    key(
        Table::Proof,
        "accepted",
        Number(0, i64::MAX),
        "0",
        "Posts of which clients were told that they are accepted without a leader.",
        "accepted = 50",
    ),
    key(Table::Proof, "fired", Number(0, 1_000_000), "0", "Times that faults fired, all together.", "fired = 3"),
    key(
        Table::Expect,
        "min_acked",
        Number(0, i64::MAX),
        "1",
        "Posts that must have been acknowledged; otherwise the run has failed.",
        "min_acked = 200",
    ),
    key(
        Table::Expect,
        "unavailable_max",
        Duration,
        "(no bound)",
        "The longest time in which somebody waited and nobody was answered; that a post is accepted is an answer.",
        "unavailable_max = \"3s\"",
    ),
    key(
        Table::Expect,
        "accepted_within",
        Duration,
        "(no bound)",
        "The longest time until a post is accepted or settled whose client is connected to a node that runs, whether that reaches a leader or not. Not counted while messages between nodes are lost or late, disks are in trouble, clocks drift or clients are cut off.",
        "accepted_within = \"500ms\"",
    ),
    key(
        Table::Expect,
        "heal_within",
        Duration,
        "\"10s\"",
        "How long after the workload's stop everything may take to be well: every post settled, all nodes equal, every client with all messages.",
        "heal_within = \"20s\"",
    ),
    key(
        Table::Expect,
        "transfers_max",
        Number(0, 1_000),
        "(no bound)",
        "Hand-overs that leaders may have begun.",
        "transfers_max = 4",
    ),
    key(Table::Expect, "leader", Node, "(anybody)", "Who leads at the end.", "leader = \"n3\""),
    key(Table::Expect, "members", Nodes, "(anybody)", "Who the members are at the end.", "members = [\"n1\", \"n2\"]"),
    key(
        Table::Expect,
        "voters",
        Number(1, 30),
        "(any number)",
        "How many vote at the end; no more than there are machines.",
        "voters = 3",
    ),
];

const DRAWN: &[Key] = &[
    key(
        Table::Drawn,
        "draw",
        Range,
        "",
        "One value out of a range, or one of a list; `false` in a list stands for a key that is not there.",
        "draw = \"50ms..200ms\"",
    ),
    key(Table::Drawn, "span", Range, "", "A range within this range, for keys that take `a..b`.", "span = \"1ms..40ms\""),
    key(
        Table::Drawn,
        "weights",
        Weights,
        "(all alike)",
        "With a list: how often each is drawn.",
        "draw = [1, 3, 5]\nweights = [1, 4, 2]",
    ),
    key(
        Table::Drawn,
        "with",
        Words,
        "(by itself)",
        "Values with the same name have one draw together: each is at the same place of its range or list.",
        "draw = \"50ms..200ms\"\nwith = \"pace\"",
    ),
];

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
