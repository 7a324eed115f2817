//! Asks nodes in the operator's name: over HTTP, with the proof that [`crate::http::Operators`] wants. Newcomers and the commands for operators use it.

use crate::http::authorization;
use crate::peers::address_of;
use axum::body::{Body, to_bytes};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::time::Duration;
use tertulia_protocol::wire::handshake::Secret;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Bytes of an answer.
const ANSWER_LIMIT: usize = 1 << 20;
/// Longer than a node takes to say that something is not done yet.
const ONE_CALL: Duration = Duration::from_secs(8);
/// Pauses after all servers were asked in vain: at least the first, doubled up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What is asked.
pub struct Call<'a> {
    pub method: &'a str,
    pub path: &'a str,
    /// An object, or null for none.
    pub body: &'a Value,
}

/// How one node answered.
#[derive(Debug)]
pub enum Outcome {
    Done(Value),
    /// It may come about: ask again, here or elsewhere.
    Later(String),
    /// Asking again would change nothing.
    Refused(String),
}

/// Asks one node once.
async fn ask(url: &str, secret: &Secret, call: &Call<'_>) -> Outcome {
    match timeout(ONE_CALL, exchange(address_of(url), secret, call)).await {
        Err(_) => Outcome::Later(format!("{url}: no answer within {} s", ONE_CALL.as_secs())),
        Ok(Err(error)) => Outcome::Later(format!("{url}: {error}")),
        Ok(Ok((status, answer))) => outcome(url, call, status, answer),
    }
}

fn outcome(url: &str, call: &Call<'_>, status: u16, answer: Value) -> Outcome {
    let detail = || answer["detail"].as_str().map_or_else(|| format!("{url} answered with status {status}"), String::from);
    match status {
        200..300 => Outcome::Done(answer),
        500.. => Outcome::Later(detail()),
        // Something else may listen there, and another server be the right one; but it is no use to ask this one again.
        404 | 405 => Outcome::Later(format!("{url} is no node that knows {}: check its address and its version", call.path)),
        _ => Outcome::Refused(detail()),
    }
}

/// Asks one node once for something that is too long to be kept. The body comes as fast as it is taken.
///
/// # Errors
/// How the node answered instead.
pub async fn open_stream(url: &str, secret: &Secret, call: &Call<'_>) -> Result<Incoming, Outcome> {
    let asking = async {
        let response = send(address_of(url), secret, call).await?;
        let status = response.status().as_u16();
        if response.status().is_success() {
            return Ok(Ok(response.into_body()));
        }
        Ok::<_, AnyError>(Err(outcome(url, call, status, value(response).await?)))
    };
    match timeout(ONE_CALL, asking).await {
        Err(_) => Err(Outcome::Later(format!("{url}: no answer within {} s", ONE_CALL.as_secs()))),
        Ok(Err(error)) => Err(Outcome::Later(format!("{url}: {error}"))),
        Ok(Ok(answer)) => answer,
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(address: &str, secret: &Secret, call: &Call<'_>) -> Result<(u16, Value), AnyError> {
    let response = send(address, secret, call).await?;
    Ok((response.status().as_u16(), value(response).await?))
}

async fn value(response: Response<Incoming>) -> Result<Value, AnyError> {
    let bytes = to_bytes(Body::new(response.into_body()), ANSWER_LIMIT).await?;
    Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

async fn send(address: &str, secret: &Secret, call: &Call<'_>) -> Result<Response<Incoming>, AnyError> {
    let body = if call.body.is_null() { String::new() } else { call.body.to_string() };
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender and the body.
    tokio::spawn(connection);
    let request = Request::builder()
        .method(call.method)
        .uri(call.path)
        .header(header::HOST, address)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, authorization(secret, call.method, call.path, body.as_bytes()))
        .body(Body::from(body))?;
    Ok(sender.send_request(request).await?)
}

/// Asks each of `servers` in turn, again and again, until it is done or refused; `Err` with the reason in the latter case. `waits` is told why it is not done yet,
/// whenever that changes. Never asks for ever by itself: whoever calls sets a limit, or wants none.
pub async fn ask_until_done(
    servers: &[String],
    secret: &Secret,
    call: &Call<'_>,
    mut waits: impl FnMut(&str),
) -> Result<Value, String> {
    let (mut pause, mut last) = (PAUSES.0, String::new());
    loop {
        for url in servers {
            match ask(url, secret, call).await {
                Outcome::Done(answer) => return Ok(answer),
                Outcome::Refused(why) => return Err(why),
                Outcome::Later(why) => {
                    if why != last {
                        waits(&why);
                        last = why;
                    }
                }
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}
