//! A stage for transcripts: replicas, their disks and wires, moved by commands one line each, and everything that comes of it written down. In the manner of etcd/raft's
//! test data: the transcript is the test, and reads as prose.
//!
//! `cluster N [spares N] [lease PPM] [policy P] [measured] [single]`: N voters, and nodes that are none yet; `single`: an append holds one entry. Then, where A and B are nodes:
//!
//! | time | `timeout A` (time goes on to A's next deadline) · `wait MS` · `wake A` (does what is due by now) · `run MS` (everything happens when it is due; only facts are told) |
//! | wires | `deliver [A>B]` · `drop [A>B]` · `duplicate A>B` (what is under way arrives, and stays) · `cut A>B` · `cut A B\|C D` (both ways) · `heal` · `delay A B MS` · `link A>B down\|up` |
//! | disks | `shorten A` (its log, while it is down, begins where its rows are) · `store A [bN]` (batches become durable) · `stall A` · `recover A` · `crash A` (what is not durable is lost) · `damage A from INDEX` (of its log, while it is down) · `start A` · `apply A` (its rows come to where it is) · `trim A` (old entries leave the memory) |
//! | all | `settle` (stores and delivers until all is quiet, without a word) |
//! | asking | `propose A TEXT [BYTES]` · `read A ID` · `change A join B [replace C]` · `change A promote\|remove B` · `change A want N` · `transfer A B` · `hand over A` · `policy A P` |
//! | looking | `show A` · `rank A` · `# a remark` |

use super::Disk;
use super::describe::{self, at};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use tertulia_protocol::contract::*;
use tertulia_protocol::dice::Seed;
use tertulia_protocol::ids::*;
use tertulia_protocol::node::Config;
use tertulia_protocol::raft::{Change, FromRows, Member, Output, Raft, RaftMessage};
use tertulia_protocol::succession::Policy;
use tertulia_protocol::time::{Duration, Instant, Timestamp};
use tertulia_protocol::wire::{self, Kind};

#[derive(Default)]
struct Actor {
    raft: Option<Raft>,
    disk: Disk,
    pending: VecDeque<(BatchId, Batch)>,
    stalled: bool,
    /// Of the log on disk nothing is left that the rows contain.
    short: bool,
    /// What was applied, and what the rows on disk stand for.
    applied: (Position, FromRows),
    rows: (Position, FromRows),
    /// The configuration that was last told.
    goes_by: String,
}

/// What of all that happens is written down.
#[derive(Clone, Copy, PartialEq)]
enum Telling {
    All,
    Facts,
    Nothing,
}

struct Wired {
    from: NodeId,
    to: NodeId,
    message: RaftMessage,
    due: Instant,
}

pub struct Stage {
    actors: BTreeMap<NodeId, Actor>,
    voters: Vec<NodeId>,
    lease: Option<u32>,
    policy: Policy,
    measured: bool,
    single: bool,
    #[cfg(feature = "zoo")]
    bug: Option<tertulia_protocol::zoo::Bug>,
    wires: VecDeque<Wired>,
    cuts: BTreeSet<(NodeId, NodeId)>,
    delays: BTreeMap<(NodeId, NodeId), Duration>,
    now: Now,
    out: String,
    telling: Telling,
}

/// Plays a script and returns its transcript.
pub fn play(script: &str) -> String {
    let wall = Timestamp(1_700_000_000_000_000);
    let mut stage = Stage {
        actors: BTreeMap::new(),
        voters: Vec::new(),
        lease: None,
        policy: Policy::Ring,
        measured: false,
        single: false,
        #[cfg(feature = "zoo")]
        bug: None,
        wires: VecDeque::new(),
        cuts: BTreeSet::new(),
        delays: BTreeMap::new(),
        now: Now { instant: Instant(0), wall },
        out: String::new(),
        telling: Telling::All,
    };
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        writeln!(stage.out, "{}{line}", if line.starts_with('#') { "" } else { "> " }).unwrap();
        if !line.starts_with('#') {
            stage.command(line);
            stage.drain();
        }
    }
    stage.out
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("not a number: {text}"))
}

fn node(text: &str) -> NodeId {
    NodeId(number(text))
}

fn link(text: &str) -> (NodeId, NodeId) {
    let (from, to) = text.split_once('>').unwrap_or_else(|| panic!("not a link: {text}"));
    (node(from), node(to))
}

fn member(id: NodeId) -> Member {
    Member { id, peer_address: format!("n{}:1", id.0), client_address: String::new(), incarnation: None }
}

impl Stage {
    fn command(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["cluster", size, ref options @ ..] => self.cluster(number(size), options),
            ["timeout", id] => {
                let id = node(id);
                let deadline = self.raft(id).poll_timeout().unwrap();
                self.pass(deadline.since(self.now.instant));
                let now = self.now;
                self.raft(id).handle_timeout(now);
            }
            ["wake", id] => {
                let now = self.now;
                self.raft(node(id)).handle_timeout(now);
            }
            ["wait", ms] => self.pass(Duration::from_millis(number(ms))),
            ["run", ms] => self.run(Duration::from_millis(number(ms))),
            ["settle"] => self.settle(),
            ["crash", id] => {
                let id = node(id);
                let actor = self.actors.get_mut(&id).unwrap();
                actor.raft = None;
                actor.pending.clear();
                self.wires.retain(|wired| wired.to != id);
            }
            ["start", id] => self.start(node(id)),
            ["damage", id, "from", index] => {
                let actor = self.actors.get_mut(&node(id)).unwrap();
                assert!(actor.raft.is_none(), "a disk is damaged while its node is down");
                actor.disk.log.truncate(number(index) as usize - 1);
                actor.disk.damaged = true;
            }
            ["store", id] => self.store(node(id), BatchId(u64::MAX)),
            ["store", id, batch] => self.store(node(id), BatchId(number(&batch[1..]))),
            ["shorten", id] => self.actors.get_mut(&node(id)).unwrap().short = true,
            ["stall", id] => self.actors.get_mut(&node(id)).unwrap().stalled = true,
            ["recover", id] => self.actors.get_mut(&node(id)).unwrap().stalled = false,
            ["apply", id] => {
                let actor = self.actors.get_mut(&node(id)).unwrap();
                actor.rows = actor.applied.clone();
            }
            ["trim", id] => self.raft(node(id)).trim(Index::MAX),
            ["show", id] => self.show(node(id)),
            ["rank", id] => self.show_ranking(node(id)),
            _ => {
                if !self.wire_command(&words) && !self.ask(&words) {
                    panic!("not a command: {line}");
                }
            }
        }
    }

    fn cluster(&mut self, size: u64, options: &[&str]) {
        let mut all = size;
        let mut options = options.iter();
        while let Some(option) = options.next() {
            let mut value = || *options.next().unwrap_or_else(|| panic!("{option} what?"));
            match *option {
                "spares" => all += number(value()),
                "lease" => self.lease = Some(number(value()) as u32),
                "policy" => self.policy = value().parse().unwrap(),
                "measured" => self.measured = true,
                "single" => self.single = true,
                #[cfg(feature = "zoo")]
                "bug" => {
                    let name = value();
                    self.bug = tertulia_protocol::zoo::Bug::ALL.iter().copied().find(|bug| bug.name() == name);
                    assert!(self.bug.is_some(), "not a bug: {name}");
                }
                other => panic!("not an option: {other}"),
            }
        }
        self.voters = (1..=size).map(NodeId).collect();
        for id in 1..=all {
            self.actors.insert(NodeId(id), Actor::default());
        }
        for id in 1..=all {
            self.start(NodeId(id));
        }
    }

    fn wire_command(&mut self, words: &[&str]) -> bool {
        match *words {
            ["deliver"] => {
                while let Some(wired) = self.wires.pop_front() {
                    self.deliver(wired);
                }
            }
            ["deliver", on] => {
                let (now, later): (VecDeque<_>, _) = self.wires.drain(..).partition(|wired| (wired.from, wired.to) == link(on));
                self.wires = later;
                for wired in now {
                    self.deliver(wired);
                }
            }
            ["duplicate", on] => {
                let on = self.wires.iter().filter(|wired| (wired.from, wired.to) == link(on));
                for (from, to, message, due) in on.map(|w| (w.from, w.to, w.message.clone(), w.due)).collect::<Vec<_>>() {
                    self.deliver(Wired { from, to, message, due });
                }
            }
            ["drop"] => self.wires.clear(),
            ["drop", on] => self.wires.retain(|wired| (wired.from, wired.to) != link(on)),
            ["heal"] => self.cuts.clear(),
            ["cut", on] if on.contains('>') => {
                self.cuts.insert(link(on));
            }
            ["cut", ..] => {
                let sides = words[1..].join(" ");
                let (one, other) = sides.split_once('|').unwrap_or_else(|| panic!("not two sides: {sides}"));
                for (a, b) in one.split_whitespace().flat_map(|a| other.split_whitespace().map(move |b| (node(a), node(b)))) {
                    self.cuts.extend([(a, b), (b, a)]);
                }
            }
            ["delay", a, b, ms] => {
                let by = Duration::from_millis(number(ms));
                self.delays.extend([((node(a), node(b)), by), ((node(b), node(a)), by)]);
            }
            ["link", on, "down"] => {
                let now = self.now;
                self.raft(link(on).0).handle_link(now, link(on).1, Link::Down);
            }
            ["link", on, "up"] => {
                let boot = Boot(self.actors[&link(on).1].disk.boots);
                let now = self.now;
                self.raft(link(on).0).handle_link(now, link(on).1, Link::Up { boot });
            }
            _ => return false,
        }
        true
    }

    fn ask(&mut self, words: &[&str]) -> bool {
        let now = self.now;
        let answer = match *words {
            ["propose", id, text, ref bytes @ ..] => {
                let payload = text.to_owned() + &" ".repeat(bytes.first().map_or(0, |bytes| number(bytes) as usize));
                match self.raft(node(id)).propose(now, wire::seal(Kind::Other, &payload)) {
                    Ok(position) => format!("n{id} takes it at {}", at(&position)),
                    Err(error) => format!("n{id} refuses: {error:?}"),
                }
            }
            ["read", id, read] => {
                if self.raft(node(id)).read(now, number(read)) {
                    return true;
                }
                "no leader to ask".into()
            }
            ["change", id, ref change @ ..] => match self.raft(node(id)).change(now, &parse_change(change)) {
                Ok(changing) => format!("n{id} answers: {changing:?}"),
                Err(refusal) => format!("n{id} refuses: {refusal}"),
            },
            ["transfer", id, to] => match self.raft(node(id)).transfer(now, node(to)) {
                Ok(true) => format!("n{id} begins"),
                Ok(false) => format!("n{id} does not lead, or is handing over already"),
                Err(refusal) => format!("n{id} refuses: {refusal}"),
            },
            ["hand", "over", id] => {
                format!("n{id} {}", if self.raft(node(id)).hand_over(now) { "begins" } else { "has nobody to hand over to" })
            }
            ["policy", id, policy] => {
                format!("n{id} answers: {:?}", self.raft(node(id)).set_policy(now, &policy.parse().unwrap()))
            }
            _ => return false,
        };
        self.say(&format!("  {answer}"));
        true
    }

    fn show(&mut self, id: NodeId) {
        let raft = self.raft(id);
        let role = match (raft.is_leader(), raft.is_candidate(), raft.leader()) {
            (true, ..) => "leads".into(),
            (_, true, _) => "is a candidate".into(),
            (.., Some(leader)) => format!("follows {leader}"),
            _ => "knows no leader".into(),
        };
        let (term, last, commit) = (raft.term(), at(&raft.last()), raft.commit());
        let repairing = if raft.is_repairing() { ", repairing" } else { "" };
        let members = describe::configuration(raft.configuration());
        self.say(&format!("  {id} {role} in t{term}, log ends {last}, committed {commit}, goes by {members}{repairing}"));
    }

    fn show_ranking(&mut self, id: NodeId) {
        let raft = self.raft(id);
        let next: Vec<String> = raft.succession().iter().map(NodeId::to_string).collect();
        let by_log = raft.succession_by_log();
        let mut lines = vec![format!("  policy {}, epoch {}, in line: {}", by_log.policy, by_log.epoch, next.join(" "))];
        let ms = |us: Option<u64>| us.map_or("?".into(), |us| format!("{}.{} ms", us / 1000, us % 1000 / 100));
        for reason in raft.placement_reasons() {
            lines.push(format!("  {}: quorum {}, mean {}", reason.node, ms(reason.quorum_us), ms(reason.mean_us)));
        }
        self.say(&lines.join("\n"));
    }

    /// Time goes on, and everything happens when it is due: messages after their delay, writes at once except on a stalled disk.
    fn run(&mut self, time: Duration) {
        let end = self.now.instant + time;
        self.telling = Telling::Facts;
        loop {
            self.drain();
            self.store_all();
            self.drain();
            if let Some(nth) = self.wires.iter().position(|wired| wired.due <= self.now.instant) {
                let wired = self.wires.remove(nth).unwrap();
                self.deliver(wired);
                continue;
            }
            let timeouts = self.actors.values().filter_map(|actor| actor.raft.as_ref()?.poll_timeout());
            let Some(next) = timeouts.chain(self.wires.iter().map(|wired| wired.due)).min() else { break };
            if next > end {
                break;
            }
            self.pass(next.since(self.now.instant));
            let now = self.now;
            for raft in self.actors.values_mut().filter_map(|actor| actor.raft.as_mut()) {
                if raft.poll_timeout().is_some_and(|at| at <= now.instant) {
                    raft.handle_timeout(now);
                }
            }
        }
        self.pass(end.since(self.now.instant));
        self.telling = Telling::All;
    }

    fn settle(&mut self) {
        self.telling = Telling::Nothing;
        loop {
            self.drain();
            self.store_all();
            self.drain();
            let Some(wired) = self.wires.pop_front() else { break };
            self.deliver(wired);
        }
        self.telling = Telling::All;
    }

    fn store_all(&mut self) {
        for id in self.actors.keys().copied().collect::<Vec<_>>() {
            if self.actors[&id].raft.is_some() && !self.actors[&id].stalled {
                self.store(id, BatchId(u64::MAX));
            }
        }
    }

    fn say(&mut self, text: &str) {
        if self.telling == Telling::All {
            writeln!(self.out, "{text}").unwrap();
        }
    }

    fn raft(&mut self, id: NodeId) -> &mut Raft {
        self.actors.get_mut(&id).unwrap().raft.as_mut().unwrap_or_else(|| panic!("{id} is down"))
    }

    fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.wall = Timestamp(self.now.wall.0 + time.as_micros() as u64);
    }

    fn start(&mut self, id: NodeId) {
        let mut config = Config::new(id, super::CLUSTER, self.voters.iter().copied().map(member).collect(), Seed(1));
        config.facts = true;
        config.timing.jitter = Duration::ZERO;
        config.timing.lease_drift_ppm = self.lease;
        config.succession = self.policy.clone();
        // What is committed leaves the memory by `trim` alone, and then all of it.
        config.limits.tail_bytes = 0;
        #[cfg(feature = "zoo")]
        (config.bug = self.bug);
        if self.single {
            config.limits.append_bytes = 1;
        }
        if !self.measured {
            let hour = Duration::from_secs(3_600);
            (config.succession_timing.probe, config.succession_timing.evaluation) = (hour, hour);
        }
        let now = self.now;
        let actor = self.actors.get_mut(&id).unwrap();
        let mut restored = actor.disk.restored(id);
        actor.applied = actor.rows.clone();
        restored.applied = actor.rows.0;
        restored.log.drain(..restored.applied.index as usize);
        if actor.short {
            restored.start = restored.applied;
        }
        let raft = Raft::restore(&config, &restored, actor.rows.1.clone(), now);
        actor.goes_by = describe::configuration(raft.configuration());
        actor.raft = Some(raft);
    }

    fn store(&mut self, id: NodeId, up_to: BatchId) {
        let now = self.now;
        let actor = self.actors.get_mut(&id).unwrap();
        let mut done = None;
        while let Some((batch_id, batch)) = actor.pending.pop_front_if(|(batch_id, _)| *batch_id <= up_to) {
            actor.disk.write(batch);
            done = Some(batch_id);
        }
        if let Some(done) = done {
            actor.raft.as_mut().unwrap().handle_stored(now, done);
        }
    }

    fn deliver(&mut self, Wired { from, to, message, .. }: Wired) {
        let now = self.now;
        if let Some(raft) = &mut self.actors.get_mut(&to).unwrap().raft {
            raft.handle_message(now, from, message);
        }
        self.drain();
    }

    fn drain(&mut self) {
        for id in self.actors.keys().copied().collect::<Vec<_>>() {
            while let Some(output) = self.actors.get_mut(&id).unwrap().raft.as_mut().and_then(Raft::poll_output) {
                self.tell_facts(id);
                self.carry_out(id, output);
            }
            if self.actors[&id].raft.is_some() {
                while let Some(entry) = self.raft(id).next_committed() {
                    let (applied, rows) = &mut self.actors.get_mut(&id).unwrap().applied;
                    (*applied, rows.at) = (entry.position(), entry.at);
                    rows.configuration = wire::open(Kind::Membership, &entry.payload).ok().or(rows.configuration.take());
                }
                self.tell_facts(id);
                self.tell_configuration(id);
            }
        }
    }

    fn carry_out(&mut self, id: NodeId, output: Output) {
        match output {
            Output::Send { to, message, .. } => {
                let cut = self.cuts.contains(&(id, to));
                self.say(&format!("  {id} -{} {to}: {}", if cut { "x" } else { ">" }, describe::message(&message)));
                if !cut {
                    let due = self.now.instant + self.delays.get(&(id, to)).copied().unwrap_or_default();
                    self.wires.push_back(Wired { from: id, to, message, due });
                }
            }
            Output::Store { id: batch_id, batch } => {
                let vote = batch.vote.map(|vote| match vote.voted_for {
                    Some(candidate) => format!(" vote t{} for {candidate}", vote.term),
                    None => format!(" term t{}", vote.term),
                });
                let repaired = if batch.repaired { " repaired" } else { "" };
                let entries: String = batch.entries.iter().map(|entry| format!(" {}", at(&entry.position()))).collect();
                self.say(&format!("  {id} writes {batch_id}:{}{repaired}{entries}", vote.unwrap_or_default()));
                self.actors.get_mut(&id).unwrap().pending.push_back((batch_id, batch));
            }
            Output::Load { id: load, query } => {
                if let Query::Log { from, through, max_bytes } = query {
                    self.say(&format!("  {id} reads {from}..={through} from disk, {max_bytes} bytes at most"));
                }
                let loaded = self.actors.get_mut(&id).unwrap().disk.read(&query);
                self.raft(id).handle_loaded(load, Ok(loaded));
            }
            Output::ReadReady { id: read, index } => {
                self.say(&format!("  {id} may answer read {read} from the state at {index}"));
            }
            Output::Behind { leader, start } => {
                self.say(&format!("  {id} needs a snapshot from {leader}, whose log begins after {start}"));
            }
            Output::Halt { reason } => {
                self.tell(&format!("  {id} stops: {reason}"));
                self.actors.get_mut(&id).unwrap().raft = None;
            }
        }
    }

    fn tell_facts(&mut self, id: NodeId) {
        for fact in self.raft(id).take_facts() {
            if let Some(text) = describe::fact(&fact) {
                // Commitment on every node is too much for a long story.
                let detail = text.starts_with("commits") && !self.raft(id).is_leader() || text.starts_with("is durable");
                if self.telling == Telling::All || !detail {
                    self.tell(&format!("  {id} {text}"));
                }
            }
        }
    }

    fn tell_configuration(&mut self, id: NodeId) {
        let goes_by = describe::configuration(self.raft(id).configuration());
        if self.actors[&id].goes_by != goes_by {
            self.tell(&format!("  {id} goes by {goes_by}"));
            self.actors.get_mut(&id).unwrap().goes_by = goes_by;
        }
    }

    /// Told in a long story too; there with the time.
    fn tell(&mut self, text: &str) {
        match self.telling {
            Telling::All => writeln!(self.out, "{text}").unwrap(),
            Telling::Facts => writeln!(self.out, "{text} [{} ms]", self.now.instant.0 / 1_000).unwrap(),
            Telling::Nothing => {}
        }
    }
}

fn parse_change(words: &[&str]) -> Change {
    match *words {
        ["join", id, ref replace @ ..] => {
            let Member { peer_address, client_address, .. } = member(node(id));
            let replace = match *replace {
                ["replace", lost] => Some(node(lost)),
                [] => None,
                _ => panic!("not a replacement: {replace:?}"),
            };
            Change::Join { peer_address, client_address, incarnation: Incarnation(u128::from(number(id))), replace }
        }
        ["promote", id] => Change::Promote { node: node(id) },
        ["remove", id] => Change::Remove { node: node(id) },
        ["want", count] => Change::WantVoters { count: number(count) as u16 },
        _ => panic!("not a change: {words:?}"),
    }
}
