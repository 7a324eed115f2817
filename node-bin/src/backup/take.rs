//! `node backup`: asks a node for its rows and keeps them in a file.
//!
//! - Before a node is asked, all members are: the node is given a moment to come to whatever any of them knows to be committed, so that the backup holds all that was acknowledged
//!   before the command was given. A node that does not get there gives its backup all the same, and it is said.
//! - What comes is checked as it comes; a stream that breaks off, or that is not what its end says, is asked for again, and never becomes a file.

use super::file::{self, Unfinished};
use super::size;
use crate::cli::Backup;
use crate::http::BACKUP_PATH;
use crate::operator::{Call, Outcome, open_stream};
use crate::terminal::ask_once;
use crate::{secret, show};
use hyper::body::{Body, Incoming};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;
use tertulia_driver::backup::{Head, Item, Reader, Summary};
use tertulia_protocol::gateway::{Answer, Ask, Status};
use tertulia_protocol::ids::Index;
use tertulia_protocol::wire::handshake::Secret;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How long the members have to say how far they are.
const ROLL_CALL: Duration = Duration::from_secs(2);
/// How long the node has to come as far as they are …
const CATCH_UP: Duration = Duration::from_secs(5);
/// … and how often it is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// A node that sends nothing for so long has broken off. Longer than it takes to hold a fast reader back.
const SILENCE: Duration = Duration::from_secs(30);
/// Between two rounds over all servers.
const PAUSE: Duration = Duration::from_millis(500);
/// Streams that broke off, at most.
const BROKEN: u32 = 5;

/// Why there is no backup from a node.
enum No {
    /// Another node, or this one later, may give it.
    Later(String),
    /// The same, and it had begun already.
    Broken(String),
    /// Nobody will.
    Final(String),
}

pub async fn backup(args: &Backup) -> Result<(), String> {
    if args.verify {
        let checked = file::check(&args.file)?;
        show(&format!("{} is whole: {}", args.file.display(), file::describe(&checked.head, &checked.summary)));
        return Ok(());
    }
    let secret = secret::of_running(&args.operator.secret_file)?;
    file::check_free(&args.file, args.force)?;
    let (began, mut broken, mut said) = (Instant::now(), 0, String::new());
    loop {
        for url in &args.operator.servers.urls {
            let why = match take(url, args, &secret).await {
                Ok(()) => return Ok(()),
                Err(No::Final(why)) => return Err(why),
                Err(No::Later(why)) => why,
                Err(No::Broken(why)) => {
                    broken += 1;
                    if broken >= BROKEN {
                        return Err(format!("{why}; that was the {BROKEN}th time: look at the node's log and at the line"));
                    }
                    why
                }
            };
            if why != said {
                eprintln!("waiting: {why}");
                said = why;
            }
        }
        if began.elapsed() > args.operator.patience {
            let patience = humantime::format_duration(args.operator.patience);
            return Err(format!("no node gave a backup within {patience}: {said}"));
        }
        sleep(PAUSE).await;
    }
}

/// A backup from this node.
async fn take(url: &str, args: &Backup, secret: &Secret) -> Result<(), No> {
    let roll = RollCall::of(url, &args.operator.servers.urls).await.map_err(No::Later)?;
    let status = roll.wait_for(url).await;
    let call = Call { method: "GET", path: BACKUP_PATH, body: &Value::Null };
    let stream = open_stream(url, secret, &call).await.map_err(|outcome| match outcome {
        Outcome::Done(_) => No::Final(format!("{url} gave something else than a backup: please report this")),
        Outcome::Later(why) => No::Later(why),
        Outcome::Refused(why) => No::Final(why),
    })?;
    let began = Instant::now();
    let (head, summary, length) = receive(url, stream, &args.file, args.force).await?;
    let seconds = began.elapsed().as_secs_f64();
    show(&format!("{}: {}", args.file.display(), file::describe(&head, &summary)));
    show(&format!("{} written in {seconds:.1} s", size(length)));
    roll.remark(&head, &status);
    Ok(())
}

/// Writes what comes into a file beside `path`, which becomes `path` when all of it has come.
async fn receive(url: &str, stream: Incoming, path: &Path, force: bool) -> Result<(Head, Summary, u64), No> {
    let mut file = Unfinished::create(path).map_err(No::Final)?;
    let (mut reader, mut head) = (Reader::on_the_way(), None);
    let mut stream = pin!(stream);
    loop {
        while let Some(item) = reader.next_item().map_err(|error| No::Broken(format!("{url}: {error}")))? {
            match item {
                Item::Head(found) => {
                    file.begin(&found).map_err(No::Final)?;
                    head = Some(found);
                }
                Item::Rows(rows) => file.rows(&rows).map_err(No::Final)?,
                Item::Anew => eprintln!("waiting: {url} had to let go of its snapshot and begins anew"),
                Item::Failed(why) => return Err(No::Broken(format!("{url}: {why}"))),
                Item::End(summary) => {
                    let head = head.ok_or_else(|| No::Broken(format!("{url} sent no head")))?;
                    let length = file.finish(&summary, force).map_err(No::Final)?;
                    return Ok((head, summary, length));
                }
            }
        }
        let next = timeout(SILENCE, std::future::poll_fn(|context| stream.as_mut().poll_frame(context))).await;
        match next {
            Err(_) => return Err(No::Broken(format!("{url} sent nothing for {} s", SILENCE.as_secs()))),
            Ok(None) => return Err(No::Broken(format!("{url} broke off"))),
            Ok(Some(Err(error))) => return Err(No::Broken(format!("{url} broke off: {error}"))),
            Ok(Some(Ok(frame))) => {
                if let Some(bytes) = frame.data_ref() {
                    reader.take(bytes);
                }
            }
        }
    }
}

/// How far the members are.
struct RollCall {
    statuses: BTreeMap<String, Status>,
    /// What any of them knows to be committed.
    commit: Index,
}

async fn status_of(url: &str) -> Option<Status> {
    match timeout(ROLL_CALL, ask_once(url, Ask::Cluster)).await.ok()?.ok()?.result {
        Ok(Answer::Cluster(status)) => Some(*status),
        _ => None,
    }
}

impl RollCall {
    /// All servers, and all members that the one which is to give the backup knows of.
    async fn of(url: &str, servers: &[String]) -> Result<RollCall, String> {
        let first = timeout(ROLL_CALL, ask_once(url, Ask::Cluster)).await;
        let first = first.map_err(|_| format!("{url}: no answer within {} s", ROLL_CALL.as_secs()))??;
        let Ok(Answer::Cluster(first)) = first.result else { return Err(format!("{url} does not say how far it is")) };
        let mut others: Vec<String> = first.members.iter().map(|member| member.client_address.clone()).collect();
        others.extend_from_slice(servers);
        others.sort();
        others.dedup();
        others.retain(|other| other != url);
        let mut asking = JoinSet::new();
        for other in others {
            asking.spawn(async move { status_of(&other).await.map(|status| (other, status)) });
        }
        let mut statuses = BTreeMap::from([(url.to_owned(), *first)]);
        statuses.extend(asking.join_all().await.into_iter().flatten());
        // A server of another cluster may be among them: only members count.
        let members: Vec<_> = statuses[url].members.iter().map(|member| member.id).collect();
        let of_members = statuses.values().filter(|status| members.contains(&status.node));
        let commit = of_members.map(|status| status.commit).max().unwrap_or(0);
        Ok(RollCall { statuses, commit })
    }

    /// Gives the node time to come so far; what it says of itself at last.
    async fn wait_for(&self, url: &str) -> Status {
        let mut status = self.statuses[url].clone();
        let until = Instant::now() + CATCH_UP;
        while status.applied < self.commit && Instant::now() < until {
            sleep(LOOK).await;
            status = status_of(url).await.unwrap_or(status);
        }
        status
    }

    /// Says what the backup may not hold.
    fn remark(&self, head: &Head, status: &Status) {
        let (node, through) = (head.node.0, head.applied.position.index);
        if through < self.commit {
            eprintln!(
                "note: node {node} is behind: when the backup began, all through log entry {} was committed, and it holds what is through {through}. \
                 Ask another node for the rest: --server URL",
                self.commit
            );
        } else if !self.statuses.values().any(|status| status.leader == Some(status.node)) {
            eprintln!(
                "note: the leader was not reached: the backup holds all through log entry {through}, and more may have been committed before it began"
            );
        }
        if status.repairing {
            eprintln!("note: node {node} is repairing its log; what the backup holds is committed all the same");
        }
    }
}
