//! `GET /api/v1/me/export`: all that a user has written, and what the cluster keeps about the user, as one JSON document.
//!
//! It is sent while it is read, page by page; one that could not be finished breaks off, so that half a document is never taken for a whole one.

use super::extract::Act;
use super::{Problem, schema, view};
use crate::gate::Gate;
use crate::stopped;
use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::Frame;
use serde_json::json;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tertulia_protocol::gateway::{Answer, Ask};
use tertulia_protocol::ids::RoomId;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long one part may wait to be taken.
const PATIENCE: Duration = Duration::from_secs(60);
/// Times that a page is asked for again, when there is no leader just now.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);

/// All that the asker has written, and what the cluster keeps about the asker.
///
/// One JSON document, sent while it is read; one that could not be finished breaks off, so that half a document is never taken for a whole one.
#[utoipa::path(get, path = "/api/v1/me/export", responses((status = 200, body = schema::Export)), extensions(("x-problems" = json!(["busy"]))))]
pub async fn export<G: Gate>(act: Act<G>) -> Result<Response, Problem> {
    let place = act.app.exports.clone().try_acquire_owned().map_err(|_| {
        super::problem::unavailable(
            "busy",
            "Busy",
            "too many exports are under way on this node: ask again, or ask another node".into(),
            5,
        )
    })?;
    let Answer::Me(me) = act.ask(Ask::Me).await? else { return Err(Problem::unexpected()) };
    let Answer::Rooms(rooms) = act.ask(Ask::Rooms).await? else { return Err(Problem::unexpected()) };
    let rooms: Vec<_> = rooms.iter().filter(|room| room.member).map(view::room).collect();
    let begin = format!("{{\"me\": {},\n\"rooms\": {},\n\"messages\": [", json!(view::me(&me)), json!(rooms));
    let (out, parts) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut stopping = act.app.stopping.clone();
        let written = tokio::select! {
            biased;
            () = stopped(&mut stopping) => Err(io::Error::other("the node is stopping")),
            written = write(&act, begin, &out) => written,
        };
        if let Err(error) = written {
            let _ = timeout(PATIENCE, out.send(Err(error))).await;
        }
        drop(place);
    });
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"tertulia-export.json\""),
    ];
    Ok((headers, Body::new(Parts(parts))).into_response())
}

type Part = io::Result<Bytes>;

async fn write<G: Gate>(act: &Act<G>, begin: String, out: &mpsc::Sender<Part>) -> io::Result<()> {
    let send = async |text: String| match timeout(PATIENCE, out.send(Ok(text.into()))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(io::Error::other("nobody takes it")),
    };
    send(begin).await?;
    let (mut after, mut first) = ((RoomId(0), 0), true);
    loop {
        let (posts, next) = page(act, after).await?;
        if !posts.is_empty() {
            let lines: Vec<String> = posts.iter().map(|post| json!(view::message_in(post)).to_string()).collect();
            let comma = if first { "\n" } else { ",\n" };
            send(format!("{comma}{}", lines.join(",\n"))).await?;
            first = false;
        }
        match next {
            Some(next) => after = next,
            None => return send("\n]}\n".into()).await,
        }
    }
}

type Page = (Vec<(RoomId, tertulia_protocol::chat::Post)>, Option<(RoomId, u64)>);

async fn page<G: Gate>(act: &Act<G>, after: (RoomId, u64)) -> io::Result<Page> {
    for _ in 0..TRIES {
        match act.ask(Ask::Export { after }).await {
            Ok(Answer::Exported { posts, next }) => return Ok((posts, next)),
            Ok(_) => return Err(io::Error::other("an answer to another question")),
            Err(problem) if problem.retry_after.is_some() => tokio::time::sleep(PAUSE).await,
            Err(problem) => return Err(io::Error::other(problem.detail)),
        }
    }
    Err(io::Error::other("the cluster has had no leader for too long"))
}

struct Parts(mpsc::Receiver<Part>);

impl hyper::body::Body for Parts {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context).map(|part| part.map(|part| part.map(Frame::data)))
    }
}
