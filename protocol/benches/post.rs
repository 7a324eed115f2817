//! What a post costs the protocol's machines: three nodes and a client that waits for each answer, in one process, without disks and network.
//!
//! Count the instructions, which are the same on every machine, and take the difference of two runs, so that what a start costs is left out:
//!
//! ```sh
//! cargo bench -p tertulia-protocol --bench post --no-run
//! for posts in 1000 4000; do valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/deps/post-* $posts; done
//! ```
#![allow(clippy::unwrap_used, reason = "a measurement may stop at the first surprise")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::World;
use tertulia_protocol::chat::{Command, RoomRef};
use tertulia_protocol::client::Output;
use tertulia_protocol::time::Duration;

fn main() {
    // A number; `cargo bench` hands over a flag of its own.
    let posts = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(1_000_u64);
    let mut world = World::new(3);
    let ada = world.add_client("ada", 0);
    let room = RoomRef::Name("lobby".into());
    let mut next = Command::CreateRoom { name: "lobby".into() };
    for _ in 0..=posts {
        world.heard[ada].clear();
        world.clients[ada].submit(world.now, next).unwrap();
        world.run_until(Duration::from_secs(5), |world| {
            world.heard[ada].iter().any(|output| matches!(output, Output::Settled { .. }))
        });
        next = Command::Post { room: room.clone(), text: "so many words as people write, and then some more".into() };
    }
    println!("{posts} posts through three nodes in one process");
}
