//! Bugs of the client machine, each as a small story that goes otherwise with the bug than without.
#![cfg(feature = "zoo")]
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;
use tertulia_protocol::chat::{Command, More, Post, RoomRef};
use tertulia_protocol::client::{Client, Config, Output};
use tertulia_protocol::contract::Now;
use tertulia_protocol::dice::Seed;
use tertulia_protocol::gateway::*;
use tertulia_protocol::ids::*;
use tertulia_protocol::replica::Identity;
use tertulia_protocol::time::{Duration, Instant, Timestamp};
use tertulia_protocol::zoo::Bug;

/// A client, and a test that plays its servers.
struct Scene {
    client: Client,
    now: Now,
}

impl Scene {
    fn new(bug: Option<Bug>) -> Scene {
        let now = Now { instant: Instant(1), wall: Timestamp(1) };
        let token = Token([1; 32]);
        let config = Config {
            name: "ada".into(),
            how: Default::default(),
            device: String::new(),
            token,
            servers: 3,
            first: 0,
            seed: Seed(1),
            timing: Default::default(),
            window: 8,
        };
        let mut client = Client::new(config, now);
        client.set_bug(bug);
        Scene { client, now }
    }

    fn pass(&mut self, ms: u64) {
        self.now.instant += Duration::from_millis(ms);
        self.client.handle_timeout(self.now);
    }

    /// All that the client wants now.
    fn wants(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.client.poll_output()).collect()
    }

    fn asks(&mut self) -> Vec<Request> {
        let asked = |output| if let Output::Send(request) = output { Some(request) } else { None };
        self.wants().into_iter().filter_map(asked).collect()
    }

    fn reply(&mut self, id: u64, index: Index, answer: Answer) {
        self.client.handle_reply(self.now, Reply { id, index, result: Ok(answer) });
    }

    /// Connects and signs in; what the client asks for then. `next_number`: what the server says is next.
    fn connect(&mut self, next_number: u64) -> Vec<Request> {
        self.pass(5_000);
        assert!(self.wants().iter().any(|output| matches!(output, Output::Connect { .. })));
        self.client.handle_connected(self.now);
        let sign_in = self.asks().remove(0);
        let (user, session) = (UserId(1), SessionId(1));
        self.reply(sign_in.id, 1, Answer::SignedIn { user, session, name: "ada".into(), next_number });
        self.asks()
    }

    fn disconnect(&mut self) {
        self.client.handle_disconnected(self.now);
    }

    fn submit(&mut self) -> u64 {
        let command = Command::Post { room: RoomRef::Id(RoomId(1)), text: "hello".into() };
        self.client.submit(self.now, command).unwrap()
    }

    /// Follows a room from its beginning and is delivered one event.
    fn follow(&mut self) {
        self.connect(1);
        self.client.follow(self.now, RoomRef::Id(RoomId(1)), From::After(0));
        let ask = self.asks().remove(0);
        self.reply(ask.id, 1, Answer::Following { room: RoomId(1), cursor: 0 });
        assert_eq!(self.deliver(1), [1]);
    }

    /// Hands an event over; which ones the user is delivered.
    fn deliver(&mut self, cursor: Cursor) -> Vec<Cursor> {
        let (id, author) = (MessageId(1), UserId(1));
        let post = Post {
            seq: cursor,
            id,
            author,
            author_name: "ada".into(),
            text: "hello".into(),
            at: Timestamp(1),
            more: More::default(),
        };
        self.client.handle_event(self.now, Arc::new(Event { room: RoomId(1), cursor, kind: EventKind::Posted(post) }));
        let delivered = |output| if let Output::Deliver(event) = output { Some(event.cursor) } else { None };
        self.wants().into_iter().filter_map(delivered).collect()
    }
}

fn numbers(asks: &[Request]) -> Vec<u64> {
    let number = |request: &Request| match request.ask {
        Ask::Submit { identity: Identity::Number(number), .. } => Some(number),
        _ => None,
    };
    asks.iter().filter_map(number).collect()
}

#[test]
fn what_may_have_been_executed_is_sent_under_a_new_number() {
    let again = |bug| {
        let mut scene = Scene::new(bug);
        scene.connect(1);
        scene.submit();
        assert_eq!(numbers(&scene.asks()), [1]);
        scene.disconnect();
        // It was executed, and its answer was lost.
        numbers(&scene.connect(2))
    };
    assert_eq!((again(Some(Bug::TrustNextNumber)), again(None)), (vec![2], vec![1]));
}

#[test]
fn what_was_on_its_way_is_forgotten_with_the_connection() {
    let again = |bug| {
        let mut scene = Scene::new(bug);
        scene.connect(1);
        scene.submit();
        scene.asks();
        scene.disconnect();
        numbers(&scene.connect(1))
    };
    assert_eq!((again(Some(Bug::ForgetQueue)), again(None)), (vec![], vec![1]));
}

#[test]
fn who_waits_too_long_says_that_it_was_refused() {
    let settled = |bug| {
        let mut scene = Scene::new(bug);
        scene.connect(1);
        scene.submit();
        scene.asks();
        scene.pass(3_000);
        scene.wants().iter().any(|output| matches!(output, Output::Settled { number: 1, result: Err(_) }))
    };
    assert_eq!((settled(Some(Bug::TimeoutIsRefusal)), settled(None)), (true, false));
}

#[test]
fn what_was_not_answered_is_acknowledged() {
    let first_unacked = |bug| {
        let mut scene = Scene::new(bug);
        scene.connect(1);
        scene.submit();
        scene.submit();
        match scene.asks().pop().unwrap().ask {
            Ask::Submit { first_unacked, .. } => first_unacked,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((first_unacked(Some(Bug::AcknowledgeTooMuch)), first_unacked(None)), (3, 1));
}

#[test]
fn a_follower_that_moves_begins_with_now() {
    let from = |bug| {
        let mut scene = Scene::new(bug);
        scene.follow();
        scene.disconnect();
        match scene.connect(1).remove(0).ask {
            Ask::Follow { from, .. } => from,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(from(Some(Bug::FollowFromNow)), From::Last(0));
    assert_eq!(from(None), From::After(1));
}

#[test]
fn a_server_that_is_behind_takes_its_follower_back() {
    let delivered = |bug| {
        let mut scene = Scene::new(bug);
        scene.follow();
        scene.disconnect();
        let ask = scene.connect(1).remove(0);
        scene.reply(ask.id, 1, Answer::Following { room: RoomId(1), cursor: 0 });
        scene.deliver(1)
    };
    assert_eq!((delivered(Some(Bug::TakeServersCursor)), delivered(None)), (vec![1], vec![]));
}

#[test]
fn an_event_that_was_delivered_is_delivered_again() {
    let delivered = |bug| {
        let mut scene = Scene::new(bug);
        scene.follow();
        scene.deliver(1)
    };
    assert_eq!((delivered(Some(Bug::DeliverAgain)), delivered(None)), (vec![1], vec![]));
}

#[test]
fn a_page_is_asked_for_without_what_was_seen() {
    let at_least = |bug| {
        let mut scene = Scene::new(bug);
        scene.connect(1);
        scene.client.ask(scene.now, Ask::Rooms);
        let ask = scene.asks().remove(0);
        scene.reply(ask.id, 9, Answer::Rooms(Vec::new()));
        let room = RoomRef::Id(RoomId(1));
        scene.client.ask(scene.now, Ask::History { room, after: None, before: None, limit: 5, at_least: Some(0) });
        match scene.asks().remove(0).ask {
            Ask::History { at_least, .. } => at_least,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((at_least(Some(Bug::ForgetOwnPast)), at_least(None)), (Some(0), Some(9)));
}
