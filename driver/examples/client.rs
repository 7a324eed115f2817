//! A client of about thirty lines: signs in, joins a room, posts a message, prints what arrives; survives the death of its server, and its own.
//!
//! In one terminal `cargo run --release -- demo`, in another `cargo run -p tertulia-driver --example client`; then kill the node that it is on.
//! It runs until Ctrl-C, or until as many messages have arrived as the first argument says.

use std::path::Path;
use tertulia_driver::{ClientEvent, ClientRunner, Outbox, SystemClock, TokioNet};
use tertulia_protocol::chat::{Command, Done, RoomRef};
use tertulia_protocol::client::{Choice, Config, Timing};
use tertulia_protocol::dice::Seed;
use tertulia_protocol::gateway::{EventKind, From, Token};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let most: usize = std::env::args().nth(1).map_or(Ok(usize::MAX), |most| most.parse())?;
    let servers = std::env::args().nth(2).unwrap_or("127.0.0.1:8081,127.0.0.1:8082,127.0.0.1:8083".into());
    let servers: Vec<String> = servers.split(',').map(str::to_owned).collect();
    let outbox = Outbox::open(Path::new(&std::env::args().nth(3).unwrap_or("target/example.outbox".into())))?;
    let timing = Timing { choice: Some(Choice::default()), ..Timing::default() };
    let (token, seed) = (Token(rand::random()), Seed(rand::random()));
    let config = Config {
        name: "ada".into(),
        how: Default::default(),
        device: String::new(),
        token,
        servers: 0,
        first: 0,
        seed,
        timing,
        window: 32,
    };
    let runner = ClientRunner { config, net: TokioNet::default(), clock: SystemClock::new(), servers };
    let (mut client, running) = runner.resume(outbox)?;
    tokio::spawn(running);
    client.submit(Command::CreateRoom { name: "lobby".into() }).await?;
    client.submit(Command::Post { room: RoomRef::Name("lobby".into()), text: "hello".into() }).await?;
    let mut arrived = 0;
    while let Some(event) = client.next().await {
        match event {
            ClientEvent::SignedIn { server, .. } => println!("-- on server {server}"),
            ClientEvent::Disconnected { why, .. } => println!("-- {why}"),
            ClientEvent::Settled { result: Ok(Done::Room { room, .. }), .. } => {
                let from = client.cursor(room).await.map_or(From::Last(10), From::After);
                client.follow(RoomRef::Id(room), from).await;
            }
            ClientEvent::Accepted { copies, .. } => println!("-- accepted without a leader, on {copies} node(s)"),
            ClientEvent::Settled { result: Err(refusal), .. } | ClientEvent::Rejected(refusal) => println!("-- {refusal}"),
            ClientEvent::Deliver(event) =>
            {
                #[allow(irrefutable_let_patterns, reason = "other events than posts come later")]
                if let EventKind::Posted(post) = &event.kind {
                    println!("{} {}: {}", event.cursor, post.author_name, post.text);
                    arrived += 1;
                }
            }
            _ => {}
        }
        if arrived >= most {
            break;
        }
    }
    Ok(())
}
