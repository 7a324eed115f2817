//! What the engine does with a write of the outbox: it has the disk of its node, with all that is wrong with it.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::*;
use crate::engine::Options;
use crate::scenario::Scenario;
use bytes::Bytes;
use tertulia_protocol::contract::Keep;
use tertulia_protocol::dice::Seed;

fn scenario(fault: &str) -> Scenario {
    let text = format!(
        "schema = 1\nname = \"x\"\n[cluster]\nvoters = 3\ndisk = {{ sync = \"2ms..4ms\" }}\n[workload]\nclients = 1\nrate = \"1/s\"\nstop = \"4s\"\n{fault}"
    );
    Scenario::parse("x", &text).unwrap()
}

fn keep(world: &mut World<'_>, id: u64) {
    let keep = Keep { clear: false, records: vec![Bytes::from(vec![id as u8; 10])] };
    world.output(0, Output::Keep { id, keep });
}

fn run_until(world: &mut World<'_>, at: u64) {
    while world.now < at {
        world.step();
    }
}

/// What the disk of the first node would hand back if the power failed now.
fn durable(world: &World<'_>) -> usize {
    let mut disk = world.hosts[0].disk.clone();
    disk.crash(DiskFate::LoseUnsynced, 0);
    disk.restore(Boot(99)).unwrap().kept.len()
}

#[test]
fn a_write_of_the_outbox_is_durable_after_its_sync_and_part_of_the_trace() {
    let scenario = scenario("");
    let mut world = World::new(&scenario, Seed(5), Options::default());
    run_until(&mut world, 1_000_000);
    let (now, before) = (world.now, world.hosts[0].chain.value());
    keep(&mut world, 1);
    assert_ne!(world.hosts[0].chain.value(), before);
    run_until(&mut world, now + 1_900);
    assert_eq!(durable(&world), 0);
    run_until(&mut world, now + 60_000);
    assert_eq!(durable(&world), 1);
    // A crash of the process and a start hand it back.
    world.crash(0, DiskFate::LoseUnsynced, 0);
    world.start(0);
    assert_eq!(durable(&world), 1);
}

#[test]
fn a_disk_that_stands_still_keeps_nothing_before_it_goes_on() {
    let scenario = scenario("[[fault]]\nat = \"1s\"\nstall = \"n1\"\nfor = \"700ms\"");
    let mut world = World::new(&scenario, Seed(5), Options::default());
    run_until(&mut world, 1_100_000);
    keep(&mut world, 1);
    run_until(&mut world, 1_690_000);
    assert_eq!(durable(&world), 0);
    run_until(&mut world, 1_800_000);
    assert_eq!(durable(&world), 1);
}

#[test]
fn a_disk_that_is_full_or_fails_halts_the_node_that_keeps_something_and_it_comes_back() {
    for fault in ["full", "fail"] {
        // Nobody posts that early, and a leader that is elected anew would write to its log: the write of the outbox comes right behind the fault.
        let scenario = scenario(&format!("[[fault]]\nat = \"1s\"\n{fault} = \"n1\"\nfor = \"1s\"\nrestart = \"500ms\""));
        let mut world = World::new(&scenario, Seed(5), Options::default());
        run_until(&mut world, 1_000_000);
        assert!(world.hosts[0].machine.is_some(), "{fault}: it still runs");
        keep(&mut world, 1);
        world.drain(0);
        assert!(world.hosts[0].machine.is_none() && world.verdict.is_none(), "{fault}: {:?}", world.verdict);
        run_until(&mut world, 1_700_000);
        assert!(world.hosts[0].machine.is_some() && durable(&world) == 0, "{fault}: it is started again");
    }
}
