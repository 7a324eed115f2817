//! When the clock is read: a lease and the vote gate trust that nothing is handed over with a moment from before it came.
#![allow(clippy::unwrap_used)]

mod live;

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;
use tertulia_driver::disk::RealDisk;
use tertulia_driver::store::{FolderIdentity, StoreOptions, ThreadedStore, open};
use tertulia_driver::{Clock, Handle, Input, Observer, Setup, TokioNet, start, system_entropy};
use tertulia_protocol::contract::Now;
use tertulia_protocol::dice::Seed;
use tertulia_protocol::ids::*;
use tertulia_protocol::node::{Config, Output};
use tertulia_protocol::time::{Instant, Timestamp};

/// A process that is stopped for a second right after each reading of the clock. Meanwhile somebody asks something of it.
#[derive(Clone, Default)]
struct Stopping(Arc<Mutex<Scene>>);

#[derive(Default)]
struct Scene {
    seconds: u64,
    asker: Option<Handle>,
    /// When each call was made.
    made: Vec<Instant>,
    /// With which moment it was handed over.
    handed: Vec<Instant>,
}

const CALLS: usize = 20;

impl Clock for Stopping {
    fn now(&self) -> Now {
        let mut scene = self.0.lock().unwrap();
        let read = Instant(scene.seconds * 1_000_000);
        scene.seconds += 1;
        if let Some(asker) = scene.asker.clone().filter(|_| scene.made.len() < CALLS) {
            let made = Instant(scene.seconds * 1_000_000);
            scene.made.push(made);
            // Only its beginning is wanted: what it waits for does not matter.
            let mut call = pin!(asker.hand_over(Duration::from_secs(1)));
            let _ = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
        Now { instant: read, wall: Timestamp(1_700_000_000_000_000 + read.0) }
    }
}

impl Observer for Stopping {
    fn input(&mut self, now: Now, input: &Input) {
        if *input == Input::HandOver {
            self.0.lock().unwrap().handed.push(now.instant);
        }
    }
    fn output(&mut self, _: Now, _: &Output) {}
}

#[tokio::test]
async fn nothing_is_handed_over_with_a_moment_from_before_it_came() {
    let (voters, folder) = (live::voters(1), live::folder());
    let (node, cluster) = (NodeId(1), live::secret().cluster_id());
    let disk = RealDisk::open(folder.path()).unwrap();
    let identity = FolderIdentity { cluster, node };
    let (opened, restored) = open(disk, identity, Boot(1), || Incarnation(1), StoreOptions::default()).unwrap();
    let clock = Stopping::default();
    let setup = Setup {
        config: Config::new(node, cluster, voters.clone(), Seed(1)),
        secret: live::secret(),
        net: TokioNet::default(),
        peer_listen: voters[0].peer_address.clone(),
        store: ThreadedStore::start(opened).unwrap(),
        restored,
        clock: clock.clone(),
        entropy: system_entropy(),
        shutdown: Box::pin(std::future::pending()),
        facts: None,
        observer: Some(Box::new(clock.clone())),
        aside: None,
        faults: None,
    };
    let (handle, ended) = start(setup).await.unwrap();
    clock.0.lock().unwrap().asker = Some(handle);
    let running = tokio::spawn(ended);
    live::eventually("all calls are handed over", || async { (clock.0.lock().unwrap().handed.len() == CALLS).then_some(()) })
        .await;
    running.abort();
    let scene = clock.0.lock().unwrap();
    for (made, handed) in scene.made.iter().zip(&scene.handed) {
        assert!(handed >= made, "made at {made:?}, handed over as if it had come by {handed:?}");
    }
}
