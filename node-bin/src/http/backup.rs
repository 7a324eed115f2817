//! A backup on its way out: all rows of one state of this node, while the node goes on.
//!
//! - The rows are read in parts of one snapshot, as peers read them. If the store has let go of it between two parts, the backup begins anew, and says so in the stream; after
//!   [`TRIES`] times it gives up.
//! - At most one part is read, one is under way and one waits: whoever takes the stream slowly slows the reading down. Fast ones are held back to [`RATE`], so that the node has time for others.
//! - One backup at a time. It ends when its taker is gone, when the taker takes nothing for [`PATIENCE`], and when the node stops.

use super::problem::unavailable;
use super::{App, Problem};
use crate::gate::{self, Gate};
use crate::{clock, stopped};
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::Frame;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tertulia_driver::backup::{Head, Writer, anew, failed};
use tertulia_protocol::contract::SnapshotRows;
use tertulia_protocol::gateway::{Answer, Ask};
use tertulia_protocol::ids::Index;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep_until, timeout};

/// Where it is asked for.
pub const PATH: &str = "/api/v1/cluster/backup";
/// Bytes of rows after which a part ends: so long others wait for the rows at most, which is about a millisecond.
const PART: u32 = 256 << 10;
/// Bytes a second, as for peers ([`tertulia_protocol::contract::Limits::snapshot_bytes_per_second`]).
const RATE: u64 = 64 << 20;
/// How often a backup is begun, at most.
const TRIES: u32 = 5;
/// How long one part may wait to be taken.
const PATIENCE: Duration = Duration::from_secs(60);
/// Rows from here on: the one before them follows from the head.
const FIRST_KEY: &[u8] = &[0x00, 0x00];

/// A backup: the rows of this node, in the form of docs/BACKUP.md.
#[utoipa::path(get, path = "/api/v1/cluster/backup", responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream")), security(("operator" = [])), extensions(("x-problems" = json!(["nothing-to-back-up", "backup", "busy"]))))]
pub async fn stream<G: Gate>(State(app): State<App<G>>) -> Result<Response, Problem> {
    let place = app.operators.backup_place().ok_or_else(|| {
        unavailable("busy", "Busy", "a backup is being taken from this node: wait for it, or ask another node".into(), 5)
    })?;
    let Answer::Cluster(status) = gate::ask(&app.gate, None, Ask::Cluster).await? else { return Err(Problem::unexpected()) };
    let first = read(&app.gate, None, Bytes::from_static(FIRST_KEY)).await;
    let first = first.map_err(|why| unavailable("backup", "The rows cannot be read", why, 1))?;
    if first.applied.position.index == 0 {
        let text =
            format!("node {} holds nothing yet: it is new, or waits for another node's rows. Ask another node", status.node.0);
        return Err(Problem::new(StatusCode::CONFLICT, "nothing-to-back-up", "Nothing to back up", text));
    }
    let head = Head { cluster: app.operators.cluster(), node: status.node, taken_ms: now_ms(), applied: first.applied };
    let (out, parts) = mpsc::channel(1);
    tokio::spawn(produce(app, head, first, out, place));
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    Ok((kind, Body::new(Parts(parts))).into_response())
}

fn now_ms() -> u64 {
    clock::now().wall.0 / 1_000
}

async fn read<G: Gate>(gate: &G, at: Option<Index>, from: Bytes) -> Result<SnapshotRows, String> {
    match gate.snapshot(at, from, PART).await {
        None => Err("the node is stopping: ask another one".into()),
        Some(Err(error)) => Err(error.message),
        Some(Ok(part)) => Ok(part),
    }
}

/// Writes the backup, and in the end why it is none.
async fn produce<G: Gate>(app: App<G>, head: Head, first: SnapshotRows, out: mpsc::Sender<Bytes>, place: OwnedSemaphorePermit) {
    let mut stopping = app.stopping.clone();
    let ended = tokio::select! {
        biased;
        () = stopped(&mut stopping) => Err(Ended::Failed("the node is stopping: ask another one".into())),
        ended = write(&app.gate, head, first, &out) => ended,
    };
    if let Err(Ended::Failed(why)) = ended {
        tracing::warn!(why, "a backup was not finished");
        let _ = timeout(PATIENCE, out.send(failed(&why).into())).await;
    }
    drop(place);
}

enum Ended {
    /// Nobody takes it any more.
    Gone,
    Failed(String),
}

async fn write<G: Gate>(gate: &G, mut head: Head, first: SnapshotRows, out: &mpsc::Sender<Bytes>) -> Result<(), Ended> {
    let send = async |bytes: Vec<u8>| match timeout(PATIENCE, out.send(bytes.into())).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Ended::Gone),
    };
    let (began, mut sent) = (Instant::now(), 0);
    let mut part = first;
    for _ in 0..TRIES {
        (head.applied, head.taken_ms) = (part.applied, now_ms());
        let at = Some(part.applied.position.index);
        let (mut writer, begin) = Writer::begin(&head);
        send(begin).await?;
        loop {
            if !part.rows.is_empty() {
                let bytes = writer.rows(&part.rows);
                sent += bytes.len() as u64;
                send(bytes).await?;
                sleep_until(began + Duration::from_micros(sent * 1_000_000 / RATE)).await;
            }
            let Some(next) = part.next else { return send(writer.end().1).await };
            part = read(gate, at, next).await.map_err(Ended::Failed)?;
            if part.applied != head.applied {
                break;
            }
        }
        send(anew()).await?;
        let at = Some(part.applied.position.index);
        part = read(gate, at, Bytes::from_static(FIRST_KEY)).await.map_err(Ended::Failed)?;
    }
    Err(Ended::Failed(format!(
        "the rows were replaced or let go of {TRIES} times before all were read: is the line slow, or the node receiving a snapshot itself? Ask again, or ask another node"
    )))
}

/// The stream as a body.
struct Parts(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
