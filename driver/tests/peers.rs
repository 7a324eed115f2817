//! What a node's port for peers lets in, what it refuses, and that each refusal is counted.

#![allow(clippy::unwrap_used)]

mod live;

use live::{Raw, Running, eventually, folder, run, secret, voters};
use std::time::Duration;
use tempfile::TempDir;
use tertulia_driver::Reason;
use tertulia_protocol::ids::*;
use tertulia_protocol::node::{Body, Message};
use tertulia_protocol::raft::Member;
use tertulia_protocol::raft::RaftMessage;
use tertulia_protocol::wire::handshake::*;
use tertulia_protocol::wire::{Kind, PEER_FRAME_LIMIT, encode_frame};
use tokio::net::TcpListener;

/// Node 1 of two. Node 2 is the test.
async fn node_1() -> (Running, Vec<Member>, TempDir) {
    let (voters, folder) = (voters(2), folder());
    (run(1, &voters, &folder).await, voters, folder)
}

fn node_2() -> PeerIdentity {
    PeerIdentity { cluster: secret().cluster_id(), node: NodeId(2), incarnation: Incarnation(22), boot: Boot(2) }
}

fn hello() -> Hello {
    Hello {
        version: PEER_VERSION,
        from: node_2(),
        to: NodeId(1),
        address: String::new(),
        member: false,
        lease_drift_ppm: None,
        nonce: [7; 16],
    }
}

/// Says hello and proves; what comes then is up to the caller.
async fn greet(raw: &mut Raw, hello: &Hello, secret: &Secret) -> Welcome {
    raw.send(encode_frame(Kind::Hello, hello)).await;
    let frame = raw.next().await.unwrap();
    assert_eq!(frame.kind, Kind::Welcome);
    let welcome: Welcome = frame.decode().unwrap();
    let proof = prove(secret, Side::Dialler, hello, &welcome.from, &welcome.nonce);
    raw.send(encode_frame(Kind::Proof, &Proof { proof })).await;
    welcome
}

async fn refusal(raw: &mut Raw) -> HelloRefusal {
    let frame = raw.next().await.unwrap();
    assert_eq!(frame.kind, Kind::HelloRefused);
    let refusal = frame.decode().unwrap();
    assert_eq!(raw.next().await, None, "a refused connection is closed");
    refusal
}

#[tokio::test]
async fn a_member_that_knows_the_secret_is_let_in_and_answered() {
    let (node, voters, _folder) = node_1().await;
    let mut raw = Raw::connect(&voters[0].peer_address).await;
    let welcome = greet(&mut raw, &hello(), &secret()).await;
    assert_eq!(
        verify(&secret(), Side::Acceptor, &hello(), &welcome.from, &welcome.nonce, &welcome.proof),
        Ok(()),
        "the acceptor proves itself too"
    );
    assert_eq!(raw.next().await.unwrap().kind, Kind::Pong, "it says that we are in");
    raw.send(encode_frame(Kind::Ping, &())).await;
    assert_eq!(raw.next().await.unwrap().kind, Kind::Pong);
    node.stop().await;
}

#[tokio::test]
async fn whoever_says_something_wrong_is_refused_with_the_reason() {
    let (node, voters, _folder) = node_1().await;
    let address = &voters[0].peer_address;
    let other = Secret::new(b"the secret of some other cluster").unwrap();
    let wrong: Vec<(Hello, HelloRefusal, Reason)> = vec![
        (Hello { version: 99, ..hello() }, HelloRefusal::Version { ours: PEER_VERSION }, Reason::Version),
        (
            Hello { from: PeerIdentity { cluster: other.cluster_id(), ..node_2() }, ..hello() },
            HelloRefusal::Cluster,
            Reason::Cluster,
        ),
        (Hello { to: NodeId(9), ..hello() }, HelloRefusal::Node { this_is: NodeId(1) }, Reason::WrongNode),
    ];
    for (hello, expected, reason) in wrong {
        let mut raw = Raw::connect(address).await;
        raw.send(encode_frame(Kind::Hello, &hello)).await;
        assert_eq!(refusal(&mut raw).await, expected);
        assert_eq!(node.refused(reason), 1, "{reason:?}");
    }
    // The right cluster's name without its secret.
    let mut raw = Raw::connect(address).await;
    greet(&mut raw, &hello(), &other).await;
    assert_eq!(refusal(&mut raw).await, HelloRefusal::Proof);
    assert_eq!(node.refused(Reason::Proof), 1);
    // The secret, but not a member.
    let mut raw = Raw::connect(address).await;
    let stranger = Hello { from: PeerIdentity { node: NodeId(9), ..node_2() }, ..hello() };
    greet(&mut raw, &stranger, &secret()).await;
    assert_eq!(refusal(&mut raw).await, HelloRefusal::Stranger { node: NodeId(9) });
    assert_eq!(node.refused(Reason::Stranger), 1);
    node.stop().await;
}

#[tokio::test]
async fn what_is_no_handshake_closes_the_connection_and_is_counted() {
    let (node, voters, _folder) = node_1().await;
    let address = &voters[0].peer_address;
    let mut flipped = encode_frame(Kind::Hello, &hello()).to_vec();
    flipped[20] ^= 1;
    let wrong: Vec<(&str, Vec<u8>, Reason)> = vec![
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), Reason::TooLarge),
        ("a flipped bit", flipped, Reason::Checksum),
        ("a message before the hello", encode_frame(Kind::Ping, &()).to_vec(), Reason::Unexpected),
        ("a hello of another shape", encode_frame(Kind::Hello, &1u8).to_vec(), Reason::Malformed),
        ("a frame over the handshake's limit", encode_frame(Kind::Hello, &vec![0u8; 10_000]).to_vec(), Reason::TooLarge),
    ];
    for (what, bytes, reason) in wrong {
        let before = node.refused(reason);
        let mut raw = Raw::connect(address).await;
        raw.send(bytes).await;
        let frame = raw.next_but(Kind::HelloRefused).await;
        assert_eq!(frame, None, "{what}");
        eventually(what, async || (node.refused(reason) == before + 1).then_some(())).await;
    }
    node.stop().await;
}

#[tokio::test]
async fn a_member_that_breaks_the_rules_later_is_cut_off() {
    let (node, voters, _folder) = node_1().await;
    let address = &voters[0].peer_address;
    let body = Body::Raft(RaftMessage::AskRead { term: 1, id: 1, boot: Boot(1), repair: false });
    let elsewhere = Message { group: GroupId(5), body };
    let mut oversized = (PEER_FRAME_LIMIT + 1).to_le_bytes().to_vec();
    oversized.extend_from_slice(&[0; 4]);
    let wrong: Vec<(&str, Vec<u8>, Reason)> = vec![
        ("another group", encode_frame(Kind::Peer, &elsewhere).to_vec(), Reason::Group),
        ("no message", encode_frame(Kind::Peer, &"?").to_vec(), Reason::Malformed),
        ("a hello again", encode_frame(Kind::Hello, &hello()).to_vec(), Reason::Unexpected),
        ("a frame over the limit", oversized, Reason::TooLarge),
    ];
    for (what, bytes, reason) in wrong {
        let before = node.refused(reason);
        let mut raw = Raw::connect(address).await;
        greet(&mut raw, &hello(), &secret()).await;
        assert_eq!(raw.next().await.unwrap().kind, Kind::Pong);
        raw.send(bytes).await;
        assert_eq!(raw.next_but(Kind::Pong).await, None, "{what}");
        eventually(what, async || (node.refused(reason) == before + 1).then_some(())).await;
    }
    node.stop().await;
}

#[tokio::test]
async fn a_newer_connection_of_a_peer_replaces_the_older_one() {
    let (node, voters, _folder) = node_1().await;
    let mut older = Raw::connect(&voters[0].peer_address).await;
    greet(&mut older, &hello(), &secret()).await;
    assert_eq!(older.next().await.unwrap().kind, Kind::Pong);
    let mut newer = Raw::connect(&voters[0].peer_address).await;
    greet(&mut newer, &hello(), &secret()).await;
    assert_eq!(newer.next().await.unwrap().kind, Kind::Pong);
    assert_eq!(older.next().await, None);
    node.stop().await;
}

#[tokio::test]
async fn silence_ends_a_handshake_and_a_connection() {
    let (node, voters, _folder) = node_1().await;
    let mut mute = Raw::connect(&voters[0].peer_address).await;
    let mut quiet = Raw::connect(&voters[0].peer_address).await;
    greet(&mut quiet, &hello(), &secret()).await;
    assert_eq!(mute.next().await, None);
    assert_eq!(node.refused(Reason::Slow), 1);
    assert_eq!(quiet.next_but(Kind::Pong).await, None);
    assert_eq!(node.refused(Reason::Silent), 1);
    node.stop().await;
}

/// Accepts what node 1 dials, as node 2.
async fn welcome_node_1(listener: &TcpListener, secret: &Secret, as_who: PeerIdentity) -> Raw {
    let (stream, _) = listener.accept().await.unwrap();
    let mut raw = Raw::on(stream);
    let hello: Hello = raw.next().await.unwrap().decode().unwrap();
    assert_eq!((hello.from.node, hello.to), (NodeId(1), NodeId(2)));
    let nonce = [9; 16];
    let welcome = Welcome { from: as_who, nonce, proof: prove(secret, Side::Acceptor, &hello, &as_who, &nonce) };
    raw.send(encode_frame(Kind::Welcome, &welcome)).await;
    raw
}

#[tokio::test]
async fn a_dialled_link_is_up_once_the_other_side_lets_us_in_and_down_when_it_falls_silent() {
    let (voters, folder) = (voters(2), folder());
    let listener = TcpListener::bind(&voters[1].peer_address).await.unwrap();
    let node = run(1, &voters, &folder).await;
    let mut raw = welcome_node_1(&listener, &secret(), node_2()).await;
    assert_eq!(raw.next().await.unwrap().kind, Kind::Proof);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(node.handle.metrics().links(), 0, "not before the other side has said so");
    raw.send(encode_frame(Kind::Pong, &())).await;
    let frame = raw.next_but(Kind::Ping).await.unwrap();
    assert_eq!(frame.kind, Kind::Peer, "the node asks for a vote");
    assert_eq!(node.handle.metrics().links(), 1);
    // Silent from here on: it asks for a sign of life, gives up, and dials anew.
    let mut again = welcome_node_1(&listener, &secret(), node_2()).await;
    assert_eq!(node.refused(Reason::Silent), 1);
    again.send(encode_frame(Kind::Pong, &())).await;
    eventually("the link is up again", async || (node.handle.metrics().reconnects() == 1).then_some(())).await;
    assert_eq!(node.handle.metrics().links(), 1);
    node.stop().await;
}

#[tokio::test]
async fn only_somebody_who_knows_the_secret_can_stop_a_node_by_a_refusal() {
    let (voters, folder) = (voters(2), folder());
    let listener = TcpListener::bind(&voters[1].peer_address).await.unwrap();
    let node = run(1, &voters, &folder).await;
    let refused = encode_frame(Kind::HelloRefused, &HelloRefusal::NewFolder { node: NodeId(1) });
    // Somebody at the peer's address, without any proof.
    let (stream, _) = listener.accept().await.unwrap();
    let mut raw = Raw::on(stream);
    raw.next().await.unwrap();
    raw.send(refused.clone()).await;
    assert_eq!(raw.next().await, None);
    // Somebody with the wrong secret gets no proof in return.
    let other = Secret::new(b"the secret of some other cluster").unwrap();
    let mut raw = welcome_node_1(&listener, &other, node_2()).await;
    assert_eq!(raw.next().await.unwrap().decode(), Ok(HelloRefusal::Proof));
    assert!(node.handle.status().await.is_some(), "it still runs");
    // The peer itself.
    let mut raw = welcome_node_1(&listener, &secret(), node_2()).await;
    raw.send(refused).await;
    let ended = node.node.await.unwrap();
    assert!(matches!(ended, tertulia_driver::Ended::Halted(_)), "{ended:?}");
    assert!(node.handle.status().await.is_none());
}

#[tokio::test]
async fn strangers_that_say_nothing_do_not_fill_the_port_for_long() {
    let (node, voters, _folder) = node_1().await;
    let mut mute = Vec::new();
    for _ in 0..64 {
        mute.push(Raw::connect(&voters[0].peer_address).await);
    }
    let mut raw = Raw::connect(&voters[0].peer_address).await;
    assert_eq!(raw.next().await, None, "one too many");
    assert_eq!(node.refused(Reason::TooMany), 1);
    for mut mute in mute {
        assert_eq!(mute.next().await, None);
    }
    let mut raw = Raw::connect(&voters[0].peer_address).await;
    greet(&mut raw, &hello(), &secret()).await;
    assert_eq!(raw.next().await.unwrap().kind, Kind::Pong);
    node.stop().await;
}
