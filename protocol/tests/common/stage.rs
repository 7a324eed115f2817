//! A stage for transcripts: replicas, their disks and wires, moved by commands one line each, and everything that comes of it written down. In the manner of etcd/raft's
//! test data: the transcript is the test, and reads as prose.
//!
//! `cluster N` · `timeout A` (time goes on to A's next deadline) · `wait MS` · `wake A` (does what is due by now) · `propose A TEXT` · `read A ID` ·
//! `store A [bN]` (batches become durable) ·
//! `deliver [A>B]` · `drop [A>B]` · `settle` (stores and delivers until all is quiet, without a word) · `crash A` (what is not durable is lost) · `start A` ·
//! `link A>B down|up` · `# a remark`

use super::Disk;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use tertulia_protocol::contract::*;
use tertulia_protocol::dice::Seed;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::*;
use tertulia_protocol::node::Config;
use tertulia_protocol::raft::Member;
use tertulia_protocol::raft::{Answer, FromRows, Output, Raft, RaftMessage};
use tertulia_protocol::time::{Duration, Instant, Timestamp};

struct Actor {
    raft: Option<Raft>,
    disk: Disk,
    pending: VecDeque<(BatchId, Batch)>,
}

pub struct Stage {
    actors: BTreeMap<NodeId, Actor>,
    wires: VecDeque<(NodeId, NodeId, RaftMessage)>,
    now: Now,
    out: String,
    silent: bool,
}

/// Plays a script and returns its transcript.
pub fn play(script: &str) -> String {
    let wall = Timestamp(1_700_000_000_000_000);
    let now = Now { instant: Instant(0), wall };
    let mut stage = Stage { actors: BTreeMap::new(), wires: VecDeque::new(), now, out: String::new(), silent: false };
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        writeln!(stage.out, "{}{line}", if line.starts_with('#') { "" } else { "> " }).unwrap();
        if !line.starts_with('#') {
            stage.command(line);
            stage.drain();
        }
    }
    stage.out
}

fn node(text: &str) -> NodeId {
    NodeId(text.parse().unwrap_or_else(|_| panic!("not a node: {text}")))
}

fn link(text: &str) -> (NodeId, NodeId) {
    let (from, to) = text.split_once('>').unwrap_or_else(|| panic!("not a link: {text}"));
    (node(from), node(to))
}

fn at(position: &Position) -> String {
    format!("{}@t{}", position.index, position.term)
}

impl Stage {
    fn command(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["cluster", size] => {
                for id in 1..=size.parse().unwrap() {
                    self.actors.insert(NodeId(id), Actor { raft: None, disk: Disk::default(), pending: VecDeque::new() });
                }
                for id in self.actors.keys().copied().collect::<Vec<_>>() {
                    self.start(id);
                }
            }
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
            ["wait", ms] => self.pass(Duration::from_millis(ms.parse().unwrap())),
            ["propose", id, text] => {
                let now = self.now;
                let payload = tertulia_protocol::wire::seal(tertulia_protocol::wire::Kind::Other, &text);
                let result = self.raft(node(id)).propose(now, payload);
                self.say(&match result {
                    Ok(position) => format!("  n{id} takes it at {}", at(&position)),
                    Err(error) => format!("  n{id} refuses: {error:?}"),
                });
            }
            ["read", id, read] => {
                let now = self.now;
                let asked = self.raft(node(id)).read(now, read.parse().unwrap());
                if !asked {
                    self.say("  no leader to ask");
                }
            }
            ["store", id] => self.store(node(id), BatchId(u64::MAX)),
            ["store", id, batch] => self.store(node(id), BatchId(batch[1..].parse().unwrap())),
            ["deliver"] => {
                while let Some((from, to, message)) = self.wires.pop_front() {
                    self.deliver(from, to, message);
                }
            }
            ["deliver", on] => {
                let on = link(on);
                let (now, later) = self.wires.drain(..).partition(|(from, to, _)| (*from, *to) == on);
                self.wires = later;
                let now: VecDeque<_> = now;
                for (from, to, message) in now {
                    self.deliver(from, to, message);
                }
            }
            ["drop"] => self.wires.clear(),
            ["drop", on] => self.wires.retain(|(from, to, _)| (*from, *to) != link(on)),
            ["settle"] => self.settle(),
            ["crash", id] => {
                let id = node(id);
                let actor = self.actors.get_mut(&id).unwrap();
                actor.raft = None;
                actor.pending.clear();
                self.wires.retain(|(_, to, _)| *to != id);
            }
            ["start", id] => self.start(node(id)),
            ["link", on, "down"] => {
                let now = self.now;
                self.raft(link(on).0).handle_link(now, link(on).1, Link::Down);
            }
            ["link", on, "up"] => {
                let boot = Boot(self.actors[&link(on).1].disk.boots);
                let now = self.now;
                self.raft(link(on).0).handle_link(now, link(on).1, Link::Up { boot });
            }
            _ => panic!("not a command: {line}"),
        }
    }

    fn settle(&mut self) {
        self.silent = true;
        loop {
            self.drain();
            for id in self.actors.keys().copied().collect::<Vec<_>>() {
                if self.actors[&id].raft.is_some() {
                    self.store(id, BatchId(u64::MAX));
                }
            }
            self.drain();
            let Some((from, to, message)) = self.wires.pop_front() else { break };
            self.deliver(from, to, message);
        }
        self.silent = false;
    }

    fn say(&mut self, text: &str) {
        if !self.silent {
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
        let voters = self.actors.keys().map(|id| Member {
            id: *id,
            peer_address: String::new(),
            client_address: String::new(),
            incarnation: None,
        });
        let mut config = Config::new(id, super::CLUSTER, voters.collect(), Seed(1));
        config.facts = true;
        config.timing.jitter = Duration::ZERO;
        // Measuring has transcripts of its own.
        (config.succession_timing.probe, config.succession_timing.evaluation) =
            (Duration::from_secs(3_600), Duration::from_secs(3_600));
        let now = self.now;
        let actor = self.actors.get_mut(&id).unwrap();
        let restored = actor.disk.restored(id);
        actor.raft = Some(Raft::restore(&config, &restored, FromRows::default(), now));
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

    fn deliver(&mut self, from: NodeId, to: NodeId, message: RaftMessage) {
        let now = self.now;
        if let Some(raft) = &mut self.actors.get_mut(&to).unwrap().raft {
            raft.handle_message(now, from, message);
        }
        self.drain();
    }

    fn drain(&mut self) {
        for id in self.actors.keys().copied().collect::<Vec<_>>() {
            if self.actors[&id].raft.is_none() {
                continue;
            }
            while let Some(output) = self.raft(id).poll_output() {
                self.tell_facts(id);
                self.carry_out(id, output);
            }
            while self.raft(id).next_committed().is_some() {}
            self.tell_facts(id);
        }
    }

    fn carry_out(&mut self, id: NodeId, output: Output) {
        match output {
            Output::Send { to, message, .. } => {
                self.say(&format!("  {id} -> {to}: {}", describe(&message)));
                self.wires.push_back((id, to, message));
            }
            Output::Store { id: batch_id, batch } => {
                let vote = batch.vote.map(|vote| match vote.voted_for {
                    Some(candidate) => format!(" vote t{} for {candidate}", vote.term),
                    None => format!(" term t{}", vote.term),
                });
                let entries: String = batch.entries.iter().map(|entry| format!(" {}", at(&entry.position()))).collect();
                self.say(&format!("  {id} writes {batch_id}:{}{entries}", vote.unwrap_or_default()));
                self.actors.get_mut(&id).unwrap().pending.push_back((batch_id, batch));
            }
            Output::Load { id: load, query } => {
                let loaded = self.actors.get_mut(&id).unwrap().disk.read(&query);
                self.raft(id).handle_loaded(load, Ok(loaded));
            }
            Output::ReadReady { id: read, index } => {
                self.say(&format!("  {id} may answer read {read} from the state at {index}"))
            }
            Output::Behind { leader, start } => {
                self.say(&format!("  {id} needs a snapshot from {leader}, whose log begins after {start}"))
            }
            Output::Halt { reason } => self.say(&format!("  {id} halts: {reason}")),
        }
    }

    fn tell_facts(&mut self, id: NodeId) {
        for fact in self.raft(id).take_facts() {
            let text = match fact {
                Fact::BecameLeader { term, .. } => format!("leads t{term}"),
                Fact::BecameCandidate { term } => format!("is a candidate in t{term}"),
                Fact::SteppedDown { term } => format!("no longer leads t{term}"),
                Fact::Durable { through } => format!("is durable through {}", at(&through)),
                Fact::Committed { through, .. } => format!("commits through {}", at(&through)),
                Fact::Reached { point } => format!("reaches {point}"),
                _ => continue,
            };
            self.say(&format!("  {id} {text}"));
        }
    }
}

fn repairing(answer: &Answer) -> &'static str {
    if answer.repairing { ", repairing" } else { "" }
}

fn describe(message: &RaftMessage) -> String {
    match message {
        RaftMessage::AskVote { term, pre, forced, last } => {
            let asked = if *pre { "pre-vote?" } else { "vote?" };
            format!("{asked} t{term}, log ends {}{}", at(last), if *forced { ", the leader asks for it" } else { "" })
        }
        RaftMessage::Voted { term, pre, granted, .. } => {
            format!("{}{} t{term}", if *pre { "pre-vote " } else { "vote " }, if *granted { "granted" } else { "refused" })
        }
        RaftMessage::Append { term, previous, entries, commit, round } => {
            let entries: String = entries.iter().map(|entry| format!(" {}", at(&entry.position()))).collect();
            format!("append t{term} after {}:{entries} (commit {commit}, round {round})", at(previous))
        }
        RaftMessage::Appended { term, matched, answer } => {
            format!("appended t{term} through {matched} (round {}){}", answer.round, repairing(answer))
        }
        RaftMessage::Refused { term, previous, hint, answer } => {
            format!("refused t{term} after {previous}, look at {}{}", at(hint), repairing(answer))
        }
        RaftMessage::AskRead { repair: true, .. } => "read index for a repair?".into(),
        RaftMessage::AskRead { id, .. } => format!("read? {id}"),
        RaftMessage::Read { id: u64::MAX, index, .. } => format!("repair until {index}"),
        RaftMessage::NeedSnapshot { term, start } => format!("need a snapshot t{term}, the log begins after {start}"),
        RaftMessage::Read { id, index, .. } => format!("read {id} at {index}"),
        RaftMessage::TimeoutNow { term } => format!("stand now, t{term}"),
        RaftMessage::Probe { .. } => "a probe".into(),
        RaftMessage::Report { .. } => "what it measured".into(),
    }
}
