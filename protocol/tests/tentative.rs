//! Rooms that go on while no leader is reached: what is accepted, who sees it, and what becomes of it.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;

use common::World;
use std::collections::BTreeMap;
use tertulia_protocol::chat::{Command, Done, Post, Refusal, RoomRef, Rules, Settings, Tentative};
use tertulia_protocol::facts::Fact;
use tertulia_protocol::gateway::*;
use tertulia_protocol::ids::*;
use tertulia_protocol::replica::{Identity, Slot, message_id};
use tertulia_protocol::time::Duration;

const SOON: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(30);
const LOBBY: RoomId = RoomId(1);

/// A cluster with people in one room. Each has a session and a connection to every node, and uses one at a time.
struct Scene {
    world: World,
    sessions: Vec<SessionId>,
    /// Of each user, the first number that is not settled.
    unsettled: Vec<u64>,
    requests: u64,
}

fn connection(node: u64, user: usize) -> ConnectionId {
    ConnectionId(node * 1_000 + 500 + user as u64)
}

impl Scene {
    fn new(nodes: u64, people: usize) -> Scene {
        Scene::with(nodes, people, Settings::default())
    }

    fn with(nodes: u64, people: usize, settings: Settings) -> Scene {
        let world = World::with_settings(nodes, settings);
        let mut scene = Scene { world, sessions: Vec::new(), unsettled: vec![1; people], requests: 0 };
        scene.world.run_until(SOON, |world| world.leader().is_some());
        for user in 0..people {
            scene.connect(1, user);
            let token = token(user);
            match scene.ask(1, user, Ask::SignIn { name: format!("user{user}"), token }) {
                Ok(Answer::SignedIn { session, .. }) => scene.sessions.push(session),
                other => panic!("{other:?}"),
            }
            let room = RoomRef::Name("lobby".into());
            let enter = if user == 0 { Command::CreateRoom { name: "lobby".into() } } else { Command::Join { room } };
            let done = scene.submit(1, user, 1, enter);
            assert!(matches!(done, Ok(Answer::Done(_))), "{done:?}");
        }
        scene.rest(Duration::from_millis(300));
        for node in 1..=nodes {
            for user in 0..people {
                scene.connect(node, user);
                let followed = scene.ask(node, user, Ask::FollowAll { after: Vec::new() });
                assert!(matches!(followed, Ok(Answer::FollowingAll { .. })), "{followed:?}");
            }
        }
        scene.world.events.clear();
        scene
    }

    fn connect(&mut self, node: u64, user: usize) {
        let now = self.world.now;
        let machine = self.world.nodes.get_mut(&NodeId(node)).unwrap();
        machine.handle_disconnected(now, connection(node, user));
        machine.handle_connected(now, connection(node, user), ClientHello { token: Some(token(user)) });
    }

    fn send(&mut self, node: u64, user: usize, ask: Ask) -> u64 {
        self.requests += 1;
        let (now, id) = (self.world.now, self.requests);
        let machine = self.world.nodes.get_mut(&NodeId(node)).unwrap();
        machine.handle_request(now, connection(node, user), Request { id, ask });
        id
    }

    fn ask(&mut self, node: u64, user: usize, ask: Ask) -> Result<Answer, Refusal> {
        let id = self.send(node, user, ask);
        let to = connection(node, user);
        let here = |(connection, reply): &&(ConnectionId, Reply)| *connection == to && reply.id == id;
        self.world.run_until(Duration::from_secs(20), |world| world.replies.iter().any(|reply| here(&reply)));
        self.world.replies.iter().find(here).unwrap().1.result.clone()
    }

    fn submit(&mut self, node: u64, user: usize, number: u64, command: Command) -> Result<Answer, Refusal> {
        let first_unacked = self.unsettled[user];
        let result = self.ask(node, user, Ask::Submit { identity: Identity::Number(number), first_unacked, command });
        if matches!(result, Ok(Answer::Done(_))) {
            self.unsettled[user] = self.unsettled[user].max(number + 1);
        }
        result
    }

    fn post(&mut self, node: u64, user: usize, number: u64, text: &str) -> Result<Answer, Refusal> {
        self.submit(node, user, number, Command::Post { room: RoomRef::Id(LOBBY), text: text.into() })
    }

    /// The post is accepted, on so many nodes.
    fn accepted(&mut self, node: u64, user: usize, number: u64, text: &str) -> u32 {
        match self.post(node, user, number, text) {
            Ok(Answer::Accepted { id, copies }) => {
                assert_eq!(id, message_id(self.sessions[user], Slot::Number(number)));
                copies
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    fn rest(&mut self, time: Duration) {
        let until = self.world.now.instant + time;
        self.world.run_until(time + SOON, |world| world.now.instant >= until);
    }

    /// Cuts the cluster and waits until a node of each group that has no majority knows it.
    fn split(&mut self, groups: &[&[u64]]) {
        self.world.split(groups);
        self.rest(Duration::from_millis(800));
    }

    /// Everybody reaches everybody; over when nothing is tentative anywhere.
    fn heal(&mut self) {
        self.world.cuts.clear();
        self.world
            .run_until(LONG, |world| world.leader().is_some() && world.nodes.values().all(|node| node.status().tentative == 0));
        self.rest(Duration::from_millis(500));
    }

    /// What a node shows of the room.
    fn history(&mut self, node: u64) -> Vec<Post> {
        let ask = Ask::History { room: RoomRef::Id(LOBBY), after: None, before: None, limit: 1_000, at_least: None };
        match self.ask(node, 0, ask) {
            Ok(Answer::History { posts, .. }) => posts,
            other => panic!("{other:?}"),
        }
    }

    fn texts(&mut self, node: u64) -> Vec<String> {
        self.history(node).into_iter().map(|post| post.text).collect()
    }

    /// What a node shows as tentative, in order.
    fn tail(&mut self, node: u64, user: usize) -> Vec<String> {
        match self.ask(node, user, Ask::Tentative { room: RoomRef::Id(LOBBY) }) {
            Ok(Answer::Tentative { posts, .. }) => posts.into_iter().map(|post| post.text).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// What a user was told on a node, in a few words, since this was last asked.
    fn told(&mut self, node: u64, user: usize) -> Vec<String> {
        let to = connection(node, user);
        let words = |(connection, event): &(ConnectionId, std::sync::Arc<Event>)| {
            (*connection == to).then_some(())?;
            Some(match &event.kind {
                EventKind::Tentative(post) => format!("~{} on {}", post.text, post.copies),
                EventKind::Posted(post) => format!("#{} {}", post.seq, post.text),
                EventKind::Withdrawn { refusal, .. } => format!("withdrawn: {refusal:?}"),
                EventKind::Tail(posts) => format!("tail of {}", posts.len()),
                _ => return None,
            })
        };
        let told = self.world.events.iter().filter_map(words).collect();
        self.world.events.retain(|(connection, _)| *connection != to);
        told
    }

    fn equal_everywhere(&mut self) -> Vec<String> {
        let texts: Vec<Vec<String>> = (1..=self.world.nodes.len() as u64).map(|node| self.texts(node)).collect();
        assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "{texts:#?}");
        texts[0].clone()
    }

    fn leader(&self) -> u64 {
        self.world.leader().unwrap().0
    }

    /// All nodes but these, in order.
    fn without(&self, gone: &[u64]) -> Vec<u64> {
        self.world.nodes.keys().map(|id| id.0).filter(|id| !gone.contains(id)).collect()
    }
}

fn token(user: usize) -> Token {
    Token([user as u8 + 1; 32])
}

#[test]
fn whoever_asks_a_node_how_the_cluster_is_hears_how_much_it_holds() {
    let mut scene = Scene::new(3, 1);
    let alone = scene.without(&[scene.leader()])[0];
    let others = scene.without(&[alone]);
    let held = |scene: &mut Scene| match scene.ask(alone, 0, Ask::Cluster) {
        Ok(Answer::Cluster(status)) => status.tentative,
        other => panic!("{other:?}"),
    };
    assert_eq!(held(&mut scene), 0);
    scene.split(&[&[alone], &others]);
    scene.accepted(alone, 0, 2, "one");
    scene.accepted(alone, 0, 3, "two");
    assert_eq!(held(&mut scene), 2);
    scene.heal();
    assert_eq!(held(&mut scene), 0);
}

#[test]
fn a_node_that_is_cut_off_keeps_its_room_alive_and_everything_is_in_one_order_afterwards() {
    let mut scene = Scene::new(3, 2);
    assert!(matches!(scene.post(1, 0, 2, "before"), Ok(Answer::Done(Done::Posted { seq: 1, .. }))));
    scene.rest(Duration::from_millis(200));
    let alone = scene.without(&[scene.leader()])[0];
    let others = scene.without(&[alone]);
    scene.split(&[&[alone], &others]);
    scene.told(alone, 1);
    let before = scene.world.now.instant;
    assert_eq!(scene.accepted(alone, 0, 3, "one"), 1);
    assert!(scene.world.now.instant.since(before) < Duration::from_millis(5), "at once");
    assert_eq!(scene.accepted(alone, 0, 4, "two"), 1);
    assert_eq!(scene.accepted(alone, 1, 2, "three"), 1);
    assert_eq!(scene.told(alone, 1), ["~one on 1", "~two on 1", "~three on 1"]);
    assert_eq!(scene.tail(alone, 0), ["one", "two", "three"]);
    assert_eq!(scene.accepted(alone, 0, 4, "two"), 1, "asked again, it says the same");
    scene.heal();
    assert_eq!(scene.told(alone, 1), ["#2 one", "#3 two", "#4 three"]);
    assert_eq!(scene.equal_everywhere(), ["before", "one", "two", "three"]);
    assert_eq!(scene.history(alone)[1].id, message_id(scene.sessions[0], Slot::Number(3)));
    assert!(scene.tail(alone, 0).is_empty());
    assert!(matches!(scene.post(alone, 0, 3, "one"), Ok(Answer::Done(Done::Posted { seq: 2, .. }))), "its outcome");
    assert!(scene.world.disks[&NodeId(alone)].kept.is_empty(), "nothing is left on disk");
}

#[test]
fn while_a_leader_answers_nothing_is_kept() {
    let mut scene = Scene::new(3, 1);
    for number in 2..40 {
        assert!(matches!(scene.post(number % 3 + 1, 0, number, "x"), Ok(Answer::Done(_))));
    }
    assert!(scene.world.disks.values().all(|disk| disk.keeps == 0));
    assert_eq!(scene.world.outbox_bytes, 0);
}

#[test]
fn both_sides_of_a_split_talk_and_agree_afterwards() {
    let mut scene = Scene::new(5, 4);
    let leader = scene.leader();
    let with_leader = [leader, scene.without(&[leader])[0]];
    let others = scene.without(&with_leader);
    scene.split(&[&with_leader, &others]);
    // The three have elected another leader; the two have none.
    assert_eq!(scene.accepted(with_leader[1], 0, 2, "small 1"), 1);
    assert!(matches!(scene.post(others[0], 1, 2, "big 1"), Ok(Answer::Done(Done::Posted { seq: 1, .. }))));
    scene.rest(Duration::from_millis(50));
    assert_eq!(scene.tail(with_leader[0], 2), ["small 1"], "the other one of the two shows it");
    assert!(scene.accepted(with_leader[0], 2, 2, "small 2") >= 1);
    scene.rest(Duration::from_millis(100));
    assert_eq!(scene.accepted(with_leader[0], 2, 2, "small 2"), 2, "both hold it");
    assert!(matches!(scene.post(others[2], 3, 2, "big 2"), Ok(Answer::Done(Done::Posted { seq: 2, .. }))));
    scene.heal();
    assert_eq!(scene.equal_everywhere(), ["big 1", "big 2", "small 1", "small 2"]);
}

#[test]
fn a_number_waits_for_its_predecessor_and_what_cannot_be_carried_waits_for_a_leader() {
    let mut scene = Scene::new(3, 1);
    scene.split(&[&[1], &[2], &[3]]);
    let late = scene.send(
        1,
        0,
        Ask::Submit {
            identity: Identity::Number(3),
            first_unacked: 2,
            command: Command::Post { room: RoomRef::Id(LOBBY), text: "second".into() },
        },
    );
    scene.rest(Duration::from_millis(20));
    assert!(!scene.world.replies.iter().any(|(_, reply)| reply.id == late), "its predecessor is not here");
    assert_eq!(scene.accepted(1, 0, 2, "first"), 1);
    scene.rest(Duration::from_millis(20));
    assert!(scene.world.replies.iter().any(|(_, reply)| reply.id == late), "now it is");
    let room = scene.submit(1, 0, 4, Command::CreateRoom { name: "new".into() });
    assert!(matches!(room, Err(Refusal::NoLeader { .. })), "{room:?}");
    let behind = scene.post(1, 0, 5, "third");
    assert!(matches!(behind, Err(Refusal::NoLeader { .. })), "{behind:?}");
    scene.heal();
    assert_eq!(scene.equal_everywhere(), ["first", "second"]);
}

#[test]
fn a_holder_that_dies_comes_back_with_what_it_kept_and_with_a_new_outbox() {
    let mut scene = Scene::new(3, 2);
    scene.split(&[&[1], &[2], &[3]]);
    scene.accepted(1, 0, 2, "kept");
    scene.world.kill(NodeId(1));
    scene.world.start(NodeId(1));
    scene.rest(Duration::from_millis(100));
    scene.connect(1, 0);
    assert_eq!(scene.tail(1, 0), ["kept"]);
    assert_eq!(scene.accepted(1, 0, 3, "after the restart"), 1);
    let outboxes: std::collections::BTreeSet<OutboxId> = scene
        .world
        .told
        .iter()
        .filter_map(|(_, fact)| if let Fact::Kept { outbox, .. } = fact { Some(*outbox) } else { None })
        .collect();
    assert_eq!(outboxes.len(), 2, "{outboxes:?}");
    scene.heal();
    assert_eq!(scene.equal_everywhere(), ["kept", "after the restart"]);
}

#[test]
fn one_post_that_is_taken_on_three_sides_commits_once() {
    let mut scene = Scene::new(3, 1);
    scene.split(&[&[1], &[2], &[3]]);
    for node in 1..=3 {
        assert_eq!(scene.accepted(node, 0, 2, "everywhere"), 1);
        assert_eq!(scene.accepted(node, 0, 3, "and again"), 1);
    }
    scene.heal();
    assert_eq!(scene.equal_everywhere(), ["everywhere", "and again"]);
}

#[test]
fn three_sides_that_heal_pairwise_show_each_other_what_they_have() {
    for order in [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [3, 1, 5, 2, 4]] {
        let mut scene = Scene::new(5, 5);
        let [a, b, c, d, e] = order;
        scene.split(&[&[a, b], &[c, d], &[e]]);
        for (user, node) in [a, b, c, d, e].into_iter().enumerate() {
            scene.accepted(node, user, 2, &format!("by {user}"));
        }
        scene.rest(Duration::from_millis(20));
        // No majority yet: e and c reach each other, but nobody else.
        scene.split(&[&[a, b], &[c, e], &[d]]);
        let mut tail = scene.tail(e, 0);
        tail.sort();
        assert_eq!(tail, ["by 2", "by 3", "by 4"], "what c and d had said is with c");
        scene.heal();
        let mut texts = scene.equal_everywhere();
        texts.sort();
        assert_eq!(texts, ["by 0", "by 1", "by 2", "by 3", "by 4"]);
    }
}

#[test]
fn an_answer_stands_behind_what_its_author_had_seen_whatever_the_clocks_say() {
    let mut scene = Scene::new(5, 2);
    scene.split(&[&[1], &[2], &[3], &[4], &[5]]);
    scene.accepted(1, 0, 2, "question");
    scene.split(&[&[1, 2], &[3], &[4], &[5]]);
    assert_eq!(scene.tail(2, 1), ["question"]);
    scene.accepted(2, 1, 2, "answer");
    // The one with the answer alone is back first.
    scene.split(&[&[2, 3, 4, 5], &[1]]);
    assert_eq!(scene.texts(3), ["question", "answer"], "whoever brings the answer brings what it depends on");
    scene.heal();
    assert_eq!(scene.equal_everywhere(), ["question", "answer"]);
}

#[test]
fn strict_rooms_refuse_and_rooms_that_want_copies_wait_for_them() {
    let rules = |tentative| Settings { rules: Rules { tentative, ..Rules::default() }, ..Settings::default() };
    let mut strict = Scene::with(3, 1, rules(Tentative::Refuse));
    strict.split(&[&[1], &[2], &[3]]);
    let refused = strict.post(1, 0, 2, "no");
    assert!(matches!(refused, Err(Refusal::NoLeader { since_ms }) if since_ms > 100), "{refused:?}");
    let mut copies = Scene::with(5, 1, rules(Tentative::Copies(2)));
    copies.split(&[&[1, 2], &[3], &[4], &[5]]);
    assert_eq!(copies.accepted(1, 0, 2, "on two"), 2);
    assert!(copies.world.reached.iter().any(|(_, point)| *point == "outbox.copies_reached"));
    copies.split(&[&[1], &[2], &[3], &[4], &[5]]);
    let few = copies.post(1, 0, 3, "on one");
    assert_eq!(few, Err(Refusal::TooFewCopies { copies: 1, wanted: 2 }));
    copies.heal();
    assert_eq!(copies.equal_everywhere(), ["on two", "on one"], "it was kept all the same");
}

#[test]
fn an_outbox_that_is_full_says_so_and_is_empty_again_afterwards() {
    let mut scene = Scene::new(3, 1);
    scene.world.limits.outbox_bytes = 1_000;
    for node in 1..=3 {
        scene.world.kill(NodeId(node));
        scene.world.start(NodeId(node));
    }
    scene.world.run_until(SOON, |world| world.leader().is_some());
    scene.rest(Duration::from_millis(500));
    for node in 1..=3 {
        scene.connect(node, 0);
    }
    scene.split(&[&[1], &[2], &[3]]);
    let mut full = None;
    for number in 2..20 {
        match scene.post(1, 0, number, &"x".repeat(100)) {
            Ok(Answer::Accepted { .. }) => {}
            refused => full = full.or(Some((number, refused))),
        }
    }
    let (number, refused) = full.unwrap();
    assert_eq!(refused, Err(Refusal::OutboxFull { limit: 1_000 }));
    scene.heal();
    assert_eq!(scene.history(1).len() as u64, number - 2);
    assert!(matches!(scene.post(1, 0, number, "again"), Ok(Answer::Done(_))));
}

#[test]
fn a_reader_that_moves_keeps_its_view_and_one_that_follows_later_gets_it() {
    let mut scene = Scene::new(5, 2);
    let leader = scene.leader();
    let other = scene.without(&[leader])[0];
    let rest = scene.without(&[leader, other]);
    scene.split(&[&[leader, other], &rest]);
    scene.accepted(other, 0, 2, "hello");
    scene.rest(Duration::from_millis(100));
    scene.connect(leader, 1);
    scene.told(leader, 1);
    let followed = scene.ask(leader, 1, Ask::Follow { room: RoomRef::Id(LOBBY), from: From::Last(10) });
    assert!(matches!(followed, Ok(Answer::Following { .. })), "{followed:?}");
    scene.rest(Duration::from_millis(10));
    assert_eq!(scene.told(leader, 1), ["tail of 1"]);
    scene.heal();
    assert_eq!(scene.told(leader, 1).last().unwrap(), "#1 hello");
}

/// The order in which nodes are told does not matter for what they hold in the end.
#[test]
fn what_became_of_every_accepted_post_is_known_everywhere() {
    let mut scene = Scene::new(5, 5);
    let mut numbers = BTreeMap::new();
    for round in 0..6_u64 {
        let groups: [&[u64]; 2] = match round % 3 {
            0 => [&[1, 2], &[3, 4, 5]],
            1 => [&[1, 3, 5], &[2, 4]],
            _ => [&[1], &[2, 3, 4, 5]],
        };
        scene.split(&groups);
        for user in 0..5_usize {
            let number = numbers.entry(user).or_insert(2);
            let node = (user as u64 + round) % 5 + 1;
            let said = scene.post(node, user, *number, &format!("{user}.{number}"));
            assert!(matches!(said, Ok(Answer::Accepted { .. } | Answer::Done(_))), "{said:?}");
            *number += 1;
        }
        scene.heal();
        let texts = scene.equal_everywhere();
        assert_eq!(texts.len() as u64, 5 * (round + 1), "{texts:?}");
    }
}
