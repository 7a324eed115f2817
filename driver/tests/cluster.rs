//! Three real nodes and real clients in one process: what the parts are for, together.

#![allow(clippy::unwrap_used)]

mod live;

use live::{Raw, Running, eventually, folder, run, run_with, voters};
use std::time::Duration;
use tempfile::TempDir;
use tertulia_driver::{
    ClientEvent, ClientHandle, ClientRunner, Ended, Incoming, Port, Reason, SubmitError, SystemClock, TokioNet,
};
use tertulia_protocol::chat::{Command, Done, RoomRef};
use tertulia_protocol::client::Config;
use tertulia_protocol::dice::Seed;
use tertulia_protocol::gateway::*;
use tertulia_protocol::raft::Member;
use tertulia_protocol::wire::{CLIENT_MAGIC, Kind, encode_frame};

struct Cluster {
    voters: Vec<Member>,
    folders: Vec<TempDir>,
    nodes: Vec<Option<Running>>,
}

impl Cluster {
    async fn start() -> Cluster {
        let voters = voters(3);
        let folders: Vec<TempDir> = (0..3).map(|_| folder()).collect();
        let mut nodes = Vec::new();
        for (nth, folder) in folders.iter().enumerate() {
            nodes.push(Some(run(nth as u64 + 1, &voters, folder).await));
        }
        Cluster { voters, folders, nodes }
    }

    async fn restart(&mut self, nth: usize) {
        self.nodes[nth] = Some(run(nth as u64 + 1, &self.voters, &self.folders[nth]).await);
    }

    /// The leader's place among the nodes, once all living nodes agree on one that lives.
    async fn leader(&self) -> usize {
        eventually("all agree on a leader", async || {
            let mut leaders = Vec::new();
            for node in self.nodes.iter().flatten() {
                leaders.push(node.handle.status().await?.leader?.0 as usize - 1);
            }
            (leaders.iter().all(|leader| *leader == leaders[0]) && self.nodes[leaders[0]].is_some()).then_some(leaders[0])
        })
        .await
    }

    fn client(&self, name: &str, first: u32) -> ClientHandle {
        let token = Token(rand::random());
        let (seed, timing) = (Seed(1), Default::default());
        let config = Config {
            name: name.into(),
            how: Default::default(),
            device: String::new(),
            token,
            servers: 0,
            first,
            seed,
            timing,
            window: 16,
        };
        let servers = self.voters.iter().map(|voter| voter.client_address.clone()).collect();
        let runner = ClientRunner { config, net: TokioNet::default(), clock: SystemClock::new(), servers };
        let (handle, run) = runner.start();
        tokio::spawn(run);
        handle
    }

    async fn stop(self) {
        for node in self.nodes.into_iter().flatten() {
            assert_eq!(node.stop().await, Ended::Stopped);
        }
    }
}

async fn next(client: &mut ClientHandle) -> ClientEvent {
    tokio::time::timeout(Duration::from_secs(20), client.next()).await.expect("something within 20 s").expect("it runs")
}

async fn settled(client: &mut ClientHandle, wanted: u64) -> Done {
    loop {
        if let ClientEvent::Settled { number, result } = next(client).await
            && number == wanted
        {
            return result.unwrap();
        }
    }
}

async fn any_settled(client: &mut ClientHandle) -> Done {
    loop {
        if let ClientEvent::Settled { result, .. } = next(client).await {
            return result.unwrap();
        }
    }
}

/// Does a command and returns what came of it.
async fn done(client: &mut ClientHandle, command: Command) -> Done {
    let number = client.submit(command).await.unwrap();
    settled(client, number).await
}

fn lobby() -> RoomRef {
    RoomRef::Name("lobby".into())
}

fn post(nth: u64) -> Command {
    Command::Post { room: lobby(), text: format!("message {nth}") }
}

async fn delivered(client: &mut ClientHandle, count: u64) -> Vec<(u64, String)> {
    let mut texts = Vec::new();
    while (texts.len() as u64) < count {
        if let ClientEvent::Deliver(event) = next(client).await {
            let EventKind::Posted(post) = &event.kind else { continue };
            texts.push((post.seq, post.text.clone()));
        }
    }
    texts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_elect_a_leader_and_members_on_different_nodes_read_what_is_posted() {
    let cluster = Cluster::start().await;
    let (mut ada, mut ben) = (cluster.client("ada", 0), cluster.client("ben", 1));
    assert!(matches!(done(&mut ada, Command::CreateRoom { name: "lobby".into() }).await, Done::Room { created: true, .. }));
    done(&mut ben, Command::Join { room: lobby() }).await;
    ben.follow(lobby(), From::After(0)).await;
    for nth in 1..=50 {
        let Done::Posted { seq, .. } = done(&mut ada, post(nth)).await else { panic!("a post is posted") };
        assert_eq!(seq, nth);
    }
    let read = delivered(&mut ben, 50).await;
    let expected: Vec<(u64, String)> = (1..=50).map(|nth| (nth, format!("message {nth}"))).collect();
    assert_eq!(read, expected);
    assert!(ben.ask(Ask::Cluster).await.is_some());
    loop {
        if let ClientEvent::Answered { result, .. } = next(&mut ben).await {
            assert!(matches!(result, Ok(Answer::Cluster(status)) if status.members.len() == 3));
            break;
        }
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_costs_nobody_a_message() {
    let mut cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let (mut ada, mut ben) = (cluster.client("ada", leader as u32), cluster.client("ben", leader as u32 + 1));
    done(&mut ada, Command::CreateRoom { name: "lobby".into() }).await;
    done(&mut ben, Command::Join { room: lobby() }).await;
    ben.follow(lobby(), From::After(0)).await;
    let mut nth = 0;
    while nth < 120 {
        match ada.submit(post(nth + 1)).await {
            Ok(_) => nth += 1,
            // What was accepted while there was no leader is asked about later: the answers to others may come first.
            Err(SubmitError::WindowFull) => drop(any_settled(&mut ada).await),
            Err(SubmitError::Ended) => panic!("the client goes on"),
        }
        if nth == 60 && cluster.nodes[leader].is_some() {
            cluster.nodes[leader].take().unwrap().kill().await;
        }
    }
    let expected: Vec<(u64, String)> = (1..=120).map(|nth| (nth, format!("message {nth}"))).collect();
    assert_eq!(delivered(&mut ben, 120).await, expected);
    // It comes back on its own folder and catches up.
    cluster.restart(leader).await;
    eventually("the restarted node has applied what the others have", async || {
        let mut hashes = Vec::new();
        for node in cluster.nodes.iter().flatten() {
            let status = node.handle.status().await?;
            hashes.push((status.applied, status.state_hash));
        }
        hashes.iter().all(|hash| *hash == hashes[0]).then_some(())
    })
    .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_folder_is_told_so_and_stops() {
    let mut cluster = Cluster::start().await;
    let leader = cluster.leader().await;
    let mut ada = cluster.client("ada", leader as u32);
    done(&mut ada, Command::CreateRoom { name: "lobby".into() }).await;
    let wiped = (leader + 1) % 3;
    cluster.nodes[wiped].take().unwrap().stop().await;
    cluster.folders[wiped] = folder();
    cluster.restart(wiped).await;
    let ended = tokio::time::timeout(Duration::from_secs(10), cluster.nodes[wiped].take().unwrap().node).await;
    let Ok(Ok(Ended::Halted(reason))) = ended else { panic!("it should halt: {ended:?}") };
    assert!(reason.to_string().contains("this data folder is new"), "{reason}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_of_this_process_needs_no_socket() {
    let cluster = Cluster::start().await;
    cluster.leader().await;
    let node = cluster.nodes[0].as_ref().unwrap();
    let mut connection = node.handle.connect(ClientHello { token: None }).await.unwrap();
    let sign_in = Ask::SignIn { name: "ada".into(), token: Token(rand::random()) };
    connection.request(Request { id: 1, ask: sign_in }).await.unwrap();
    let Some(Incoming::Reply(reply)) = connection.next().await else { panic!("a reply") };
    assert!(matches!(reply, Reply { id: 1, result: Ok(Answer::SignedIn { .. }), .. }), "{reply:?}");
    // More than may be in flight: it waits for room, and no reply is lost.
    for id in 2..2_000 {
        connection.request(Request { id, ask: Ask::Ping }).await.unwrap();
    }
    for id in 2..2_000 {
        assert!(matches!(connection.next().await, Some(Incoming::Reply(reply)) if reply.id == id));
    }
    assert_eq!(node.handle.metrics().connections(), 1);
    drop(connection);
    eventually("the connection is gone", async || (node.handle.metrics().connections() == 0).then_some(())).await;
    let mut waiting = node.handle.connect(ClientHello { token: None }).await.unwrap();
    let handle = node.handle.clone();
    cluster.stop().await;
    assert!(matches!(waiting.next().await, Some(Incoming::Closed(CloseReason::Stopping))));
    assert!(waiting.next().await.is_none());
    assert!(waiting.request(Request { id: 1, ask: Ask::Ping }).await.is_err());
    assert!(handle.connect(ClientHello { token: None }).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn framed_clients_that_break_the_rules_are_cut_off_and_counted() {
    let (voters, folder) = (voters(1), folder());
    let node = run(1, &voters, &folder).await;
    let greeting = [&CLIENT_MAGIC[..], &encode_frame(Kind::ClientHello, &ClientHello { token: None })].concat();
    let with = |bytes: &[u8]| [&greeting[..], bytes].concat();
    let mut oversized = (65u32 << 10).to_le_bytes().to_vec();
    oversized.extend_from_slice(&[0; 4]);
    let mut flipped = encode_frame(Kind::Request, &Request { id: 1, ask: Ask::Ping }).to_vec();
    flipped[9] ^= 4;
    let wrong: Vec<(&str, Vec<u8>, Reason)> = vec![
        ("another protocol", b"GET / HTTP/1.1\r\n\r\n".to_vec(), Reason::Magic),
        ("no hello first", [&CLIENT_MAGIC[..], &encode_frame(Kind::Ping, &())].concat(), Reason::Unexpected),
        ("a request too large", with(&oversized), Reason::TooLarge),
        ("a flipped bit", with(&flipped), Reason::Checksum),
        ("no request", with(&encode_frame(Kind::Request, &"?")), Reason::Malformed),
        ("a peer's message", with(&encode_frame(Kind::Peer, &1u8)), Reason::Unexpected),
    ];
    for (what, bytes, reason) in wrong {
        let before = node.handle.metrics().refused(Port::Client, reason);
        let mut raw = Raw::connect(&voters[0].client_address).await;
        raw.send(bytes).await;
        assert_eq!(raw.next().await, None, "{what}");
        assert_eq!(node.handle.metrics().refused(Port::Client, reason), before + 1, "{what}");
    }
    let mut raw = Raw::connect(&voters[0].client_address).await;
    raw.send(with(&encode_frame(Kind::Request, &Request { id: 7, ask: Ask::Ping }))).await;
    let reply: Reply = raw.next().await.unwrap().decode().unwrap();
    assert_eq!((reply.id, reply.result), (7, Ok(Answer::Pong)));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_sleeps_gets_everything_later_and_holds_nobody_up() {
    let cluster = Cluster::start().await;
    let (mut ada, mut ben) = (cluster.client("ada", 0), cluster.client("ben", 1));
    done(&mut ada, Command::CreateRoom { name: "lobby".into() }).await;
    done(&mut ben, Command::Join { room: lobby() }).await;
    ben.follow(lobby(), From::After(0)).await;
    delivered(&mut ben, 0).await;
    // More than its client, the sockets and its node's credit hold together.
    let text = |nth: u64| format!("{nth} {}", "x".repeat(3_000));
    let mut unsettled = std::collections::VecDeque::new();
    for nth in 1..=3_000 {
        if unsettled.len() == 16 {
            settled(&mut ada, unsettled.pop_front().unwrap()).await;
        }
        unsettled.push_back(ada.submit(Command::Post { room: lobby(), text: text(nth) }).await.unwrap());
    }
    let read = delivered(&mut ben, 3_000).await;
    assert!(read.iter().zip(1..).all(|((seq, said), nth)| *seq == nth && *said == text(nth)));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_admits_no_more_still_answers_everybody() {
    let (voters, folder) = (voters(3), folder());
    // Alone, so that every request is held for a leader; with room for a few only.
    let node = run_with(1, &voters, &folder, |config| config.limits.admission_bytes = 1_000).await;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..3_000 {
        let handle = node.handle.clone();
        asked.spawn(async move {
            let mut connection = handle.connect(ClientHello { token: None }).await.unwrap();
            let ask = Ask::SignIn { name: "ada".into(), token: Token(rand::random()) };
            connection.request(Request { id: 1, ask }).await.unwrap();
            connection.next().await
        });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(node.handle.status().await.is_some(), "an overloaded node still tells how it is");
    let all = async {
        while let Some(reply) = asked.join_next().await {
            let Some(Incoming::Reply(Reply { result: Err(refusal), .. })) = reply.unwrap() else { panic!("a refusal") };
            assert!(refusal.is_temporary());
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("everybody is answered");
    node.stop().await;
}
