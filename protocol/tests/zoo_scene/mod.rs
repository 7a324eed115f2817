//! The stage of the zoo's stories: three nodes, a room, and a connection of the test's own that speaks for the session that made the room.
#![allow(dead_code, reason = "each test file uses a part")]

use crate::common::World;
use std::collections::BTreeSet;
use tertulia_protocol::chat::{Command, Refusal, RoomRef, Rules, Settings, Tentative};
use tertulia_protocol::client;
use tertulia_protocol::contract::Limits;
use tertulia_protocol::gateway::*;
use tertulia_protocol::ids::*;
use tertulia_protocol::replica::Identity;
use tertulia_protocol::time::Duration;
use tertulia_protocol::zoo::Bug;

pub const SOON: Duration = Duration::from_secs(30);
const TOKEN: Token = Token([1; 32]);
pub const MINE: ConnectionId = ConnectionId(77_000_777);

pub fn lobby() -> RoomRef {
    RoomRef::Name("lobby".into())
}

/// A post as this number of the session. Number 1 made the room.
pub fn number(number: u64, text: &str) -> Ask {
    let command = Command::Post { room: lobby(), text: text.into() };
    Ask::Submit { identity: Identity::Number(number), first_unacked: 2, command }
}

pub fn page(after: Option<Seq>, before: Option<Seq>, at_least: Option<Index>) -> Ask {
    Ask::History { room: lobby(), after, before, limit: 100, at_least }
}

pub fn seqs(answer: &Result<Answer, Refusal>) -> Vec<Seq> {
    match answer {
        Ok(Answer::History { posts, .. }) => posts.iter().map(|post| post.seq).collect(),
        other => panic!("{other:?}"),
    }
}

/// Without a leader nothing is accepted here: these stories are about the log.
fn strict() -> Settings {
    Settings { rules: Rules { tentative: Tentative::Refuse, ..Rules::default() }, ..Settings::default() }
}

pub struct Scene {
    pub world: World,
    /// Who led when the scene began.
    pub leader: NodeId,
    /// Where the test's own connection is.
    node: NodeId,
    asked: u64,
}

impl Scene {
    pub fn new(bug: Option<Bug>) -> Scene {
        Scene::with(bug, |_| {})
    }

    pub fn with_short_logs(bug: Option<Bug>) -> Scene {
        Scene::with(bug, |limits| {
            limits.log_bytes = 16 << 10;
            limits.snapshot_part_bytes = 4 << 10;
        })
    }

    pub fn with(bug: Option<Bug>, limits: impl Fn(&mut Limits)) -> Scene {
        let mut world = World::with_settings(3, if bug == Some(Bug::AppliedApart) { Settings::default() } else { strict() });
        world.bug = bug;
        limits(&mut world.limits);
        for id in 1..=3 {
            world.kill(NodeId(id));
            world.start(NodeId(id));
        }
        let ada = world.add_client("ada", 0);
        world.clients[ada].submit(world.now, Command::CreateRoom { name: "lobby".into() }).unwrap();
        let settled = |world: &World| world.heard[ada].iter().any(|heard| matches!(heard, client::Output::Settled { .. }));
        world.run_until(SOON, settled);
        let leader = world.leader().unwrap();
        let mut scene = Scene { world, leader, node: leader, asked: 100 };
        scene.pause(500);
        scene.at(leader);
        scene
    }

    /// The test's connection is here from now on.
    pub fn at(&mut self, node: NodeId) {
        let now = self.world.now;
        if let Some(before) = self.world.nodes.get_mut(&self.node) {
            before.handle_disconnected(now, MINE);
        }
        self.node = node;
        self.world.nodes.get_mut(&node).unwrap().handle_connected(now, MINE, ClientHello { token: Some(TOKEN) });
    }

    pub fn follower(&self) -> NodeId {
        NodeId(self.leader.0 % 3 + 1)
    }

    pub fn ask_only(&mut self, id: u64, ask: Ask) {
        let now = self.world.now;
        self.world.nodes.get_mut(&self.node).unwrap().handle_request(now, MINE, Request { id, ask });
    }

    /// The answer to a request of this id.
    pub fn answer(&mut self, id: u64) -> Result<Answer, Refusal> {
        let answered = |world: &World| world.replies.iter().position(|(to, reply)| *to == MINE && reply.id == id);
        self.world.run_until(SOON, |world| answered(world).is_some());
        let nth = answered(&self.world).unwrap();
        self.world.replies.remove(nth).1.result
    }

    pub fn ask(&mut self, ask: Ask) -> Result<Answer, Refusal> {
        self.asked += 1;
        self.ask_only(self.asked, ask);
        self.answer(self.asked)
    }

    pub fn number(&mut self, nth: u64, text: &str) -> Result<Answer, Refusal> {
        self.ask(number(nth, text))
    }

    /// As [`Scene::number`], and all before it were answered.
    pub fn acknowledging(&mut self, nth: u64, text: &str) -> Result<Answer, Refusal> {
        let command = Command::Post { room: lobby(), text: text.into() };
        self.ask(Ask::Submit { identity: Identity::Number(nth), first_unacked: nth, command })
    }

    pub fn texts(&mut self) -> Vec<String> {
        match self.ask(page(None, None, None)) {
            Ok(Answer::History { posts, .. }) => posts.into_iter().map(|post| post.text).collect(),
            other => panic!("{other:?}"),
        }
    }

    pub fn pause(&mut self, ms: u64) {
        let later = self.world.now.instant + Duration::from_millis(ms);
        self.world.run_until(SOON, |world| world.now.instant >= later);
    }

    /// All nodes stop and start again, once all have applied everything.
    pub fn restart(&mut self) {
        self.pause(500);
        for id in 1..=3 {
            self.world.kill(NodeId(id));
        }
        for id in 1..=3 {
            self.world.start(NodeId(id));
        }
        self.world.run_until(SOON, |world| world.leader().is_some());
        self.leader = self.world.leader().unwrap();
        self.pause(500);
        self.at(self.leader);
    }

    /// Leadership goes on from node to node until it is here.
    pub fn lead_again(&mut self, node: NodeId) {
        for _ in 0..5 {
            self.world.run_until(SOON, |world| world.leader().is_some());
            let leader = self.world.leader().unwrap();
            if leader == node {
                return;
            }
            let now = self.world.now;
            self.world.nodes.get_mut(&leader).unwrap().handle_stop(now);
            self.pause(1_000);
        }
        panic!("{node} does not lead");
    }

    /// Cuts a follower off, posts until it needs a snapshot, and gives it one; who that was.
    pub fn give_a_snapshot(&mut self) -> NodeId {
        let away = self.follower();
        self.world.cut = Some(away);
        for nth in 0..200 {
            let (asked, command) = (self.asked, Command::Post { room: lobby(), text: format!("{nth} {}", "x".repeat(400)) });
            let identity = Identity::Key { key: u128::from(asked), stamp: self.world.now.wall };
            self.ask(Ask::Submit { identity, first_unacked: 0, command }).unwrap();
        }
        self.world.cut = None;
        self.world.run_until(SOON, |world| world.reached.contains(&(away, "snapshot.installed")));
        self.pause(1_000);
        away
    }

    /// The states of all nodes, each once.
    pub fn states(&mut self) -> BTreeSet<u64> {
        self.pause(500);
        let applied: BTreeSet<Index> = self.world.nodes.values().map(|node| node.status().applied).collect();
        assert_eq!(applied.len(), 1, "all have applied the same");
        self.world.nodes.values().map(|node| node.status().state_hash).collect()
    }
}
