//! Ends generations: when one is due, posts are held back for a moment, everything settles, and what was posted is read back from the cluster and compared.

use super::{Shared, lock};
use crate::hex;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tertulia_driver::{ClientEvent, ClientHandle, ClientRunner, SystemClock, TokioNet};
use tertulia_judge::{ClientFact, Extent, ReadPost};
use tertulia_protocol::chat::{Command, Devices, RoomRef};
use tertulia_protocol::client::{Config, Timing};
use tertulia_protocol::dice::Seed;
use tertulia_protocol::gateway::{Answer, Ask};
use tertulia_protocol::ids::{RoomId, Seq};
use tokio::time::{sleep, timeout};

/// How often it looks whether a generation is to end.
const LOOK: Duration = Duration::from_millis(500);
/// How long posts are held back for it …
const HOLD: Duration = Duration::from_millis(1_500);
/// … and the pause before they are again, if that was in vain.
const REST: Duration = Duration::from_secs(15);
/// How long reading back may take.
const READING: Duration = Duration::from_secs(60);
const PAGE: u32 = 1_000;
const NAME: &str = "load-audit";

/// Until it is dropped. `client`: its number for the judge.
pub async fn run(shared: Arc<Shared>, client: u32) {
    let mut stopped_at = 0;
    loop {
        sleep(LOOK).await;
        let rate = *shared.rate.borrow();
        let (due, full, sent) = {
            let tally = lock(&shared.tally);
            (tally.is_due(super::now().0), tally.is_full(), tally.figures().sent)
        };
        // When the load is stopped, what it has done is compared at once.
        let stopped = rate == 0 && sent > stopped_at && lock(&shared.tally).has_posts();
        if !due && !stopped {
            continue;
        }
        shared.holds.store(true, Relaxed);
        let settled = timeout(HOLD, settle(&shared)).await.is_ok();
        let ended = settled && timeout(READING, end(&shared, client)).await.unwrap_or(false);
        // One that is full goes on only when it has ended.
        shared.holds.store(false, Relaxed);
        if ended {
            stopped_at = sent;
        } else if !full {
            sleep(if stopped { LOOK } else { REST }).await;
        }
    }
}

async fn settle(shared: &Shared) {
    loop {
        let clients = lock(&shared.clients).clone();
        if lock(&shared.tally).unsettled(&clients).is_none() {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Reads the generation's posts back, and ends it. `false`: it could not, or there is nothing to end.
async fn end(shared: &Shared, client: u32) -> bool {
    let Some((room, behind)) = lock(&shared.tally).begins_behind() else { return false };
    let servers = shared.servers();
    let config = Config {
        name: NAME.into(),
        how: Default::default(),
        device: "demo".into(),
        token: hex::draw_token(),
        servers: servers.len() as u32,
        first: 0,
        seed: Seed(rand::random()),
        timing: Timing::default(),
        window: 4,
    };
    let (mut handle, running) = ClientRunner { config, net: TokioNet::default(), clock: SystemClock::new(), servers }.start();
    let running = tokio::spawn(running);
    let posts = read_back(shared, client, &mut handle, room, behind).await;
    drop(handle);
    let _ = running.await;
    match posts {
        Ok(posts) => {
            lock(&shared.tally).end(super::now(), &posts);
            lock(&shared.trouble).remove(NAME);
            true
        }
        Err(why) => {
            shared.say_trouble(NAME, why);
            false
        }
    }
}

/// All posts behind a place, to an end that a leader has confirmed.
async fn read_back(
    shared: &Shared,
    client: u32,
    handle: &mut ClientHandle,
    room: RoomId,
    behind: Seq,
) -> Result<Vec<ReadPost>, String> {
    let ended = || "the client has ended".to_owned();
    let join = handle.submit(Command::Join { room: RoomRef::Id(room) }).await.map_err(|error| error.to_string())?;
    // One session is enough, however many generations there are.
    handle.submit(Command::LogOut { devices: Devices::Others }).await.map_err(|error| error.to_string())?;
    loop {
        match handle.next().await.ok_or_else(ended)? {
            ClientEvent::Settled { number, result } if number > join => break result.map(drop).map_err(|why| why.to_string())?,
            ClientEvent::Settled { result: Err(why), .. } => return Err(why.to_string()),
            ClientEvent::Rejected(why) => return Err(format!("may not sign in: {why}")),
            _ => {}
        }
    }
    let mut all: Vec<ReadPost> = Vec::new();
    loop {
        let after = all.last().map_or(behind, |last| last.seq);
        let asked = super::now();
        let room_ref = RoomRef::Id(room);
        let ask = Ask::History { room: room_ref, after: Some(after), before: None, limit: PAGE, at_least: None };
        let number = handle.ask(ask).await.ok_or_else(ended)?;
        let result = loop {
            match handle.next().await.ok_or_else(ended)? {
                ClientEvent::Answered { ask, result } if ask == number => break result,
                _ => {}
            }
        };
        let (posts, current) = match result {
            Ok(Answer::History { posts, current, .. }) => (posts, current),
            Ok(_) => return Err("an answer to another question".into()),
            Err(why) if why.is_temporary() => continue,
            Err(why) => return Err(format!("may not read: {why}")),
        };
        let is_end = posts.len() < PAGE as usize;
        let posts: Vec<ReadPost> = posts.iter().map(Into::into).collect();
        all.extend(posts.iter().copied());
        let extent = if is_end { Extent::ToEnd } else { Extent::Page };
        let (after, before, own_past) = (Some(after), None, false);
        shared.observe(&ClientFact::Read { client, room, asked, after, before, posts, extent, current, own_past });
        // An end that nobody has confirmed is none.
        if is_end && current {
            return Ok(all);
        }
    }
}
