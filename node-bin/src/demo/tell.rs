//! Tells a node what is to be done to it: who its cut peers are, and how slow its disk is. Again and again until it has taken it, as it may be paused, or just starting.

use super::stage::{Life, Stage};
use crate::driven::{PATH, Wanted};
use axum::body::Body;
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How long a node may take to take it.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(100);

/// Until it is dropped.
pub async fn keep_telling(stage: Arc<Stage>, node: u16) {
    let mut changed = stage.watch();
    loop {
        let (seat, wanted) = (stage.seat(node), stage.wanted(node));
        if seat.life == Life::Runs && seat.told.as_ref() != Some(&wanted) {
            if matches!(timeout(PATIENCE, tell(&stage, node, &wanted)).await, Ok(Ok(()))) {
                stage.took(node, seat.pid, wanted);
            } else {
                sleep(PAUSE).await;
            }
        } else if changed.changed().await.is_err() {
            return;
        }
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

async fn tell(stage: &Stage, node: u16, wanted: &Wanted) -> Result<(), AnyError> {
    let address = format!("127.0.0.1:{}", stage.plan.http_port(node));
    let stream = TcpStream::connect(&address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender.
    tokio::spawn(connection);
    let request = Request::put(PATH)
        .header(header::HOST, &address)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {}", stage.key.text()))
        .body(Body::from(serde_json::to_string(wanted)?))?;
    let response = sender.send_request(request).await?;
    if !response.status().is_success() {
        return Err(format!("node {node} answered with status {}", response.status()).into());
    }
    Ok(())
}
