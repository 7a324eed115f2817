//! What a node with much history costs: fills one with messages, and says how much memory it takes, how long a restart takes, and how long pages take to read.
//!
//! ```text
//! cargo run --release -p tertulia-driver --example history -- FOLDER [MESSAGES] [ROOMS] [USERS]
//! ```
//! The first start on an empty folder fills it (by default a million messages of 200 bytes in 1,000 rooms by 10,000 users) and stops; every start measures itself and the pages.

#![allow(clippy::disallowed_methods, reason = "it measures real time")]

use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tertulia_driver::disk::RealDisk;
use tertulia_driver::store::{FolderIdentity, StoreOptions, ThreadedStore, open};
use tertulia_driver::{Connection, Ended, Handle, Incoming, Setup, SystemClock, TokioNet, start, system_entropy};
use tertulia_protocol::chat::{Command, RoomRef};
use tertulia_protocol::dice::Seed;
use tertulia_protocol::gateway::{Answer, Ask, ClientHello, Request, Token};
use tertulia_protocol::ids::{Boot, Incarnation, NodeId, RoomId, Seq};
use tertulia_protocol::node::Config;
use tertulia_protocol::raft::Member;
use tertulia_protocol::replica::Identity;
use tertulia_protocol::wire::handshake::Secret;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Requests that one session has under way.
const WINDOW: usize = 32;
/// Sessions that write at one time.
const WRITERS: usize = 64;
const PAGES: u64 = 2_000;

struct Running {
    handle: Handle,
    node: JoinHandle<Ended>,
    stop: oneshot::Sender<()>,
}

async fn run(folder: &str) -> Result<Running, Failed> {
    let secret = Secret::new(b"a secret of sufficient length").ok_or("no secret")?;
    let (node, cluster) = (NodeId(1), secret.cluster_id());
    let me =
        Member { id: node, peer_address: "127.0.0.1:0".into(), client_address: "http://127.0.0.1:1".into(), incarnation: None };
    std::fs::create_dir_all(folder)?;
    let disk = RealDisk::open(std::path::Path::new(folder))?;
    let draw = || Incarnation(rand::random());
    let (opened, restored) = open(disk, FolderIdentity { cluster, node }, Boot(rand::random()), draw, StoreOptions::default())?;
    let (stop, stopped) = oneshot::channel::<()>();
    let setup = Setup {
        config: Config::new(node, cluster, vec![me], Seed(1)),
        secret,
        net: TokioNet::default(),
        peer_listen: "127.0.0.1:0".into(),
        store: ThreadedStore::start(opened)?,
        restored,
        clock: SystemClock::new(),
        entropy: system_entropy(),
        shutdown: Box::pin(async move { drop(stopped.await) }),
        facts: None,
        observer: None,
        aside: None,
        faults: None,
    };
    let (handle, ended) = start(setup).await?;
    Ok(Running { handle, node: tokio::spawn(ended), stop })
}

impl Running {
    async fn stop(self) {
        drop(self.stop);
        let _ = self.node.await;
    }
}

/// One session on a connection of its own.
struct Session {
    connection: Connection,
    asked: u64,
    open: VecDeque<u64>,
}

impl Session {
    async fn new(handle: &Handle, name: &str, token: Token) -> Result<Session, Failed> {
        let connection = handle.connect(ClientHello { token: None }).await.ok_or("the node has stopped")?;
        let mut session = Session { connection, asked: 0, open: VecDeque::new() };
        loop {
            // A node that has just started may not lead yet.
            match session.ask(Ask::SignIn { name: name.into(), token }).await {
                Ok(_) => return Ok(session),
                Err(why) if why.to_string().contains("try again") => {}
                Err(why) => return Err(why),
            }
        }
    }

    async fn send(&mut self, ask: Ask) -> Result<(), Failed> {
        self.asked += 1;
        self.open.push_back(self.asked);
        Ok(self.connection.request(Request { id: self.asked, ask }).await.map_err(|_| "the node has stopped")?)
    }

    async fn answer(&mut self) -> Result<Answer, Failed> {
        loop {
            match self.connection.next().await {
                Some(Incoming::Reply(reply)) => {
                    self.open.retain(|id| *id != reply.id);
                    return reply.result.map_err(|refusal| refusal.to_string().into());
                }
                Some(Incoming::Closed(reason)) => return Err(reason.to_string().into()),
                Some(_) => {}
                None => return Err("the node has stopped".into()),
            }
        }
    }

    async fn ask(&mut self, ask: Ask) -> Result<Answer, Failed> {
        self.send(ask).await?;
        self.answer().await
    }
}

fn token(user: u64) -> Token {
    let mut token = [7; 32];
    token[..8].copy_from_slice(&user.to_le_bytes());
    Token(token)
}

/// The memory of this process, in MiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) / 1_024
}

/// A writer is so many users one after the other; each joins its rooms and posts its part.
async fn write(handle: Handle, users: Vec<u64>, messages: u64, rooms: u64) -> Result<(), Failed> {
    let each = messages / users.len() as u64;
    for user in users {
        let mut session = Session::new(&handle, &format!("user {user}"), token(user)).await?;
        let mut number = 0;
        let mut submit = |command| {
            number += 1;
            Ask::Submit { identity: Identity::Number(number), first_unacked: number.saturating_sub(WINDOW as u64), command }
        };
        let mine: Vec<String> = (0..3).map(|nth| format!("room {}", (user * 7 + nth * 13) % rooms + 1)).collect();
        for name in &mine {
            session.ask(submit(Command::CreateRoom { name: name.clone() })).await?;
        }
        for nth in 0..each {
            let room = RoomRef::Name(mine[nth as usize % mine.len()].clone());
            let text = format!("message {nth} of user {user}: {}", "lorem ipsum dolor sit amet ".repeat(6));
            while session.open.len() >= WINDOW {
                session.answer().await?;
            }
            session.send(submit(Command::Post { room, text })).await?;
        }
        while !session.open.is_empty() {
            session.answer().await?;
        }
    }
    Ok(())
}

async fn pages(handle: &Handle, rooms: u64) -> Result<(), Failed> {
    let mut session = Session::new(handle, "reader", token(u64::MAX)).await?;
    let Answer::Rooms(views) = session.ask(Ask::Rooms).await? else { return Err("no rooms".into()) };
    let total: Seq = views.iter().map(|room| room.last).sum();
    println!("{} rooms, {total} messages", views.len());
    for (what, newest) in [("newest 50 of a room", true), ("50 around any message", false)] {
        let mut took = Vec::new();
        for nth in 0..PAGES {
            let room = &views[(nth * 7_919 % rooms) as usize % views.len()];
            let seq = nth.wrapping_mul(2_654_435_761) % room.last.max(1) + 1;
            let reference = RoomRef::Id(RoomId(room.id.0));
            let ask = if newest {
                Ask::History { room: reference, after: None, before: Some(Seq::MAX), limit: 50, at_least: None }
            } else {
                Ask::Around { room: reference, seq, limit: 50, at_least: None }
            };
            let begin = Instant::now();
            let Answer::History { posts, .. } = session.ask(ask).await? else { return Err("no page".into()) };
            took.push(begin.elapsed());
            assert!(!posts.is_empty());
        }
        took.sort();
        let at = |percent: usize| took[(took.len() - 1) * percent / 100].as_secs_f64() * 1_000.0;
        println!("{what}: median {:.2} ms, p99 {:.2} ms, longest {:.2} ms", at(50), at(99), at(100));
    }
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failed> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("name a folder")?;
    let mut number = |default| args.next().map_or(Ok(default), |text| text.parse::<u64>());
    let (messages, rooms, users) = (number(1_000_000)?, number(1_000)?, number(10_000)?);
    let is_new = !std::path::Path::new(&folder).exists();
    let begin = Instant::now();
    let running = run(&folder).await?;
    drop(Session::new(&running.handle, "reader", token(u64::MAX)).await?);
    println!("the first request is answered {:.2} s after the start; memory {} MiB", begin.elapsed().as_secs_f64(), memory());
    if is_new {
        let begin = Instant::now();
        let part = |writer: usize| (0..users).filter(move |user| *user as usize % WRITERS == writer).collect::<Vec<_>>();
        let writers: Vec<_> = (0..WRITERS)
            .map(part)
            .filter(|users| !users.is_empty())
            .map(|mine| {
                let share = messages * mine.len() as u64 / users;
                let handle = running.handle.clone();
                tokio::spawn(async move {
                    let wrote = write(handle, mine, share, rooms).await;
                    if let Err(why) = &wrote {
                        eprintln!("a writer failed: {why}");
                    }
                    wrote
                })
            })
            .collect();
        for writer in writers {
            if let Err(why) = writer.await? {
                println!("{:?}", running.node.await);
                return Err(why);
            }
        }
        let took = begin.elapsed();
        println!("filled in {:.0} s; memory {} MiB", took.as_secs_f64(), memory());
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    pages(&running.handle, rooms).await?;
    println!("memory {} MiB", memory());
    running.stop().await;
    Ok(())
}
