//! A replicated map in under 150 lines: raft and replica without chat. Three replicas in one process, no sockets; `cargo run -p tertulia-protocol --example kv`.

use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use tertulia_protocol::contract::*;
use tertulia_protocol::dice::Seed;
use tertulia_protocol::gateway::Credential;
use tertulia_protocol::ids::*;
use tertulia_protocol::node::Config;
use tertulia_protocol::raft::{Member, RaftMessage};
use tertulia_protocol::replica::{At, Effects, Identity, Output, Replica, StateMachine, Submission};
use tertulia_protocol::time::{Instant, Timestamp};
use tertulia_protocol::wire::{EnvelopeError, Kind, open, seal};

/// `append KEY TEXT`: values live in cold rows, so the machine itself holds nothing and asks for the row that it changes.
#[derive(Clone)]
struct Map;

fn row(key: &str) -> Bytes {
    [&[COLD], key.as_bytes()].concat().into()
}

impl StateMachine for Map {
    type Event = String;

    fn needs(&self, command: &Bytes) -> Vec<Bytes> {
        open::<(String, String)>(Kind::Other, command).map(|(key, _)| row(&key)).into_iter().collect()
    }

    fn apply(&mut self, at: &At, command: &Bytes, rows: &[(Bytes, Bytes)], effects: &mut Effects<String>) {
        let Ok((key, text)) = open::<(String, String)>(Kind::Other, command) else { return effects.refuse(Bytes::new()) };
        if at.opens {
            return effects.reply(Bytes::new());
        }
        let old = rows.first().map(|(_, value)| value.clone());
        let new = Bytes::from([old.as_deref().unwrap_or_default(), text.as_bytes()].concat());
        effects.put(row(&key), old.as_deref(), new.clone());
        effects.publish(format!("{key} = {}", String::from_utf8_lossy(&new)));
        effects.reply(new);
    }

    fn restore(&mut self, _rows: &[(Bytes, Bytes)]) -> Result<(), EnvelopeError> {
        Ok(())
    }

    fn knows(&self, command: &Bytes) -> Result<(), EnvelopeError> {
        open::<(String, String)>(Kind::Other, command).map(|_| ())
    }
}

/// Three replicas, their rows, and the messages between them.
struct Cluster {
    now: Now,
    replicas: BTreeMap<NodeId, Replica<Map>>,
    rows: BTreeMap<NodeId, BTreeMap<Bytes, Bytes>>,
    wires: VecDeque<(NodeId, NodeId, RaftMessage)>,
}

impl Cluster {
    fn new() -> Cluster {
        let now = Now { instant: Instant(0), wall: Timestamp(1_700_000_000_000_000) };
        let voters: Vec<Member> = (1..=3)
            .map(|id| Member { id: NodeId(id), peer_address: String::new(), client_address: String::new(), incarnation: None })
            .collect();
        let start = |voter: &Member| {
            let config = Config::new(voter.id, ClusterId(1), voters.clone(), Seed(1));
            let empty = Restored::empty(Incarnation(u128::from(voter.id.0)), Boot(1));
            (voter.id, Replica::restore(&config, &empty, Map, now).expect("an empty store restores"))
        };
        Cluster { now, replicas: voters.iter().map(start).collect(), rows: BTreeMap::new(), wires: VecDeque::new() }
    }

    /// Carries out everything that the replicas ask for, until nothing is left to do.
    fn run(&mut self) {
        loop {
            for (id, replica) in &mut self.replicas {
                let rows = self.rows.entry(*id).or_default();
                while let Some(output) = replica.poll_output() {
                    match output {
                        Output::Send { to, message, .. } => self.wires.push_back((*id, to, message)),
                        Output::Store { id: batch, .. } => replica.handle_stored(self.now, batch), // a real driver writes and syncs first
                        Output::Apply { rows: changes, .. } => {
                            rows.extend(changes.rows.into_iter().filter_map(|(key, value)| Some((key, value?))));
                        }
                        Output::Load { id: load, query: Query::Keys { keys } } => {
                            let found = keys.iter().filter_map(|key| Some((key.clone(), rows.get(key)?.clone())));
                            replica.handle_loaded(load, Ok(Loaded::Rows(found.collect())));
                        }
                        Output::Executed(executed) => println!("{id} executed {:?}", executed.request),
                        Output::Event(event) => println!("{id} sees {event}"),
                        Output::Load { .. } | Output::Readable { .. } => {}
                        // Its log is short: it is never trimmed, so nobody needs a snapshot.
                        Output::Snapshot { .. } | Output::Receive(_) | Output::Trim { .. } | Output::Jumping | Output::Jumped => {
                        }
                        // Nothing is applied twice otherwise here, and all is over before anybody compares.
                        Output::Compare { .. } | Output::Diverged(_) => {}
                        Output::Halt { reason } => panic!("{reason}"),
                    }
                }
            }
            let Some((from, to, message)) = self.wires.pop_front() else { break };
            self.replicas.get_mut(&to).expect("three replicas").handle_message(self.now, from, message);
        }
    }

    fn leader(&mut self) -> &mut Replica<Map> {
        self.replicas.values_mut().find(|replica| replica.raft().is_leader()).expect("somebody leads")
    }

    fn submit(&mut self, submission: Submission) {
        let now = self.now;
        println!("offered: {:?}", self.leader().offer(now, submission));
        self.run();
    }
}

fn main() {
    let mut cluster = Cluster::new();
    // The first in line stands for election when its time has come.
    cluster.now.instant = cluster.replicas[&NodeId(1)].poll_timeout().expect("a follower waits");
    let now = cluster.now;
    cluster.replicas.get_mut(&NodeId(1)).expect("three replicas").handle_timeout(now);
    cluster.run();

    let credential = Credential([7; 32]);
    let command = |key: &str, text: &str| seal(Kind::Other, &(key, text));
    cluster.submit(Submission::Open { credential, command: command("", "") });
    let (session, _) = cluster.leader().opened(&credential).expect("the session is open");
    for (number, text) in [(1, "to be"), (2, " or not"), (2, " or not"), (3, " to be")] {
        let identity = Identity::Number(number); // number 2 is sent twice and executed once
        let first_unacked = number;
        cluster.submit(Submission::Execute { session, identity, first_unacked, command: command("question", text) });
    }
    for (id, replica) in &cluster.replicas {
        println!("{id}: {:?}, state hash {:016x}", cluster.rows[id].get(&row("question")), replica.hash().0);
    }
}
