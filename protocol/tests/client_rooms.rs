//! Rooms that do not keep everything, or not for everybody, as a client follows them.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;
use tertulia_protocol::chat::{Refusal, RoomRef};
use tertulia_protocol::client::{Client, Config, Now, Output};
use tertulia_protocol::dice::Seed;
use tertulia_protocol::gateway::{Answer, Ask, Event, EventKind, From, Reply, Request, Token};
use tertulia_protocol::ids::{Cursor, RoomId, SessionId, UserId};

const ROOM: RoomId = RoomId(7);

fn requests(client: &mut Client) -> Vec<Request> {
    let outputs = std::iter::from_fn(|| client.poll_output());
    outputs.filter_map(|output| if let Output::Send(request) = output { Some(request) } else { None }).collect()
}

fn answer(client: &mut Client, id: u64, result: Result<Answer, Refusal>) {
    client.handle_reply(Now::default(), Reply { id, index: 1, result });
}

/// Signs in and follows the room; the server begins behind `cursor`.
fn following(from: Cursor, cursor: Cursor) -> Client {
    let config = Config {
        how: Default::default(),
        device: String::new(),
        name: "ada".into(),
        token: Token([7; 32]),
        servers: 1,
        first: 0,
        seed: Seed(1),
        timing: Default::default(),
        window: 8,
    };
    let mut client = Client::new(config, Now::default());
    client.follow(Now::default(), RoomRef::Id(ROOM), From::After(from));
    reconnect(&mut client, cursor);
    client
}

/// Opens a connection; the server goes on behind `cursor`.
fn reconnect(client: &mut Client, cursor: Cursor) {
    let now = Now { instant: client.poll_timeout().unwrap_or_default(), ..Now::default() };
    client.handle_timeout(now);
    requests(client);
    client.handle_connected(now);
    let [sign_in] = &requests(client)[..] else { panic!("one sign-in") };
    let (user, session, name) = (UserId(1), SessionId(1), "ada".into());
    answer(client, sign_in.id, Ok(Answer::SignedIn { user, session, name, next_number: 1 }));
    for request in requests(client) {
        if let Ask::Follow { .. } = request.ask {
            answer(client, request.id, Ok(Answer::Following { room: ROOM, cursor }));
        }
    }
}

/// What is delivered of an event that comes, and whether the client asks for the room again.
fn comes(client: &mut Client, cursor: Cursor, kind: EventKind) -> (bool, bool) {
    client.handle_event(Now::default(), Arc::new(Event { room: ROOM, cursor, kind }));
    let outputs: Vec<Output> = std::iter::from_fn(|| client.poll_output()).collect();
    let delivered = outputs.iter().any(|output| matches!(output, Output::Deliver(_)));
    let asks = outputs.iter().any(|output| matches!(output, Output::Send(Request { ask: Ask::Follow { .. }, .. })));
    (delivered, asks)
}

#[test]
fn what_is_no_longer_kept_is_no_gap() {
    let mut client = following(0, 0);
    assert_eq!(comes(&mut client, 9, EventKind::Skipped { from: 1 }), (true, false));
    assert_eq!(comes(&mut client, 10, EventKind::Skipped { from: 10 }), (true, false));
    assert_eq!(comes(&mut client, 13, EventKind::Skipped { from: 12 }), (false, true), "11 is missing");
}

#[test]
fn who_comes_back_to_a_room_goes_on_where_it_may() {
    let mut client = following(0, 3);
    assert_eq!(comes(&mut client, 4, EventKind::Skipped { from: 4 }), (true, false));
    client.handle_disconnected(Now::default());
    // It was let out and in again meanwhile: what lies between is not for it.
    reconnect(&mut client, 8);
    assert_eq!(comes(&mut client, 9, EventKind::Skipped { from: 9 }), (true, false));
}

#[test]
fn a_room_that_was_left_is_followed_no_more() {
    let mut client = following(0, 3);
    client.unfollow(ROOM);
    assert_eq!(comes(&mut client, 4, EventKind::Skipped { from: 4 }), (false, false));
}
