//! A node that a demo drives: what `node demo` tells its nodes at their start, and the route by which it does things to them later.
//!
//! - Nothing of this exists without the demo's flags: no route, no way into [`Faults`].
//! - Whoever calls has the demo's key, 256 bits that are drawn at each start and handed over in a file that its owner alone can read. Web pages cannot call it whatever they have: a
//!   request with an Origin is refused. The page's buttons go to the demo's own process.

use crate::gate::Gate;
use crate::hex;
use crate::http::extract::Body;
use crate::http::{App, Problem};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use clap::Args;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tertulia_driver::faults::{Faults, MAX_SYNC_DELAY};
use tertulia_protocol::ids::NodeId;

/// Where a node lets its demo in.
pub const PATH: &str = "/api/v1/demo/faults";

/// What a demo starts its nodes with.
#[derive(Args, Clone, Debug, Default)]
pub struct Driven {
    /// The demo's control, which pages of this node may call
    #[arg(long, hide = true, value_name = "URL", value_parser = crate::peers::parse_url)]
    pub control: Option<String>,
    /// The file with the key of the demo's control
    #[arg(long, hide = true, value_name = "FILE")]
    pub control_key: Option<PathBuf>,
    /// Peers that this node begins without
    #[arg(long, hide = true, value_name = "N,…", value_delimiter = ',', requires = "control_key")]
    pub cut_off: Vec<u64>,
    /// How long each sync of the disk waits from the beginning
    #[arg(long, hide = true, value_name = "MS", default_value_t = 0, requires = "control_key")]
    pub sync_delay: u64,
}

impl Driven {
    /// The way in, if a demo wants one.
    ///
    /// # Errors
    /// The key cannot be read.
    pub fn door(&self) -> Result<Option<Door>, String> {
        let Some(file) = &self.control_key else { return Ok(None) };
        let faults = Arc::new(Faults::default());
        faults.set_cut(self.cut_off.iter().copied().map(NodeId).collect());
        Ok(Some(Door { faults, key: Key::read(file)? }))
    }
}

/// The demo's key.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// 256 random bits.
    pub fn draw() -> Key {
        Key(hex::encode(&rand::random::<[u8; 32]>()))
    }

    pub fn read(file: &Path) -> Result<Key, String> {
        let fail = |why: &dyn std::fmt::Display| format!("cannot read the control's key from {}: {why}", file.display());
        let text = std::fs::read_to_string(file).map_err(|error| fail(&error))?;
        let text = text.trim();
        if hex::token(text).is_none() {
            return Err(fail(&"it is not 64 hexadecimal digits"));
        }
        Ok(Key(text.into()))
    }

    pub fn text(&self) -> &str {
        &self.0
    }

    /// Whether a request carries it. How long that takes says nothing about the key: digests are compared.
    pub fn is_in(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = value.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        given.is_some_and(|(_, given)| Sha256::digest(given.trim()) == Sha256::digest(&self.0))
    }

    pub fn refusal() -> Problem {
        let text = "this needs the demo's key: open the address of the cluster page that `node demo` has printed";
        Problem::new(StatusCode::UNAUTHORIZED, "control-key", "Not known to the demo", text)
    }
}

/// The way in for a demo.
#[derive(Clone)]
pub struct Door {
    pub faults: Arc<Faults>,
    key: Key,
}

/// What is done to a node, all of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Peers that it neither hears nor reaches.
    pub cut: BTreeSet<u64>,
    /// How long each sync of its disk waits, in milliseconds; at most 2,000.
    pub sync_delay_ms: u64,
}

impl Wanted {
    fn of(faults: &Faults) -> Wanted {
        Wanted {
            cut: faults.cut().into_iter().map(|peer| peer.0).collect(),
            sync_delay_ms: faults.sync_delay().as_millis() as u64,
        }
    }

    /// # Errors
    /// A delay beyond the bound.
    pub fn check(&self) -> Result<(), Problem> {
        let most = MAX_SYNC_DELAY.as_millis() as u64;
        if self.sync_delay_ms > most {
            return Err(Problem::bad_request(format!(
                "a disk can be slowed by {most} ms at most, not by {}",
                self.sync_delay_ms
            )));
        }
        Ok(())
    }
}

/// The route, behind its key; nothing at all for a node that no demo has started.
pub fn routes<G: Gate>(app: &App<G>) -> Router<App<G>> {
    let Some(door) = app.driven.clone() else { return Router::new() };
    let shown = door.clone();
    Router::new()
        .route(
            PATH,
            get(async move || Json(Wanted::of(&shown.faults))).put(async |State(app): State<App<G>>, Body(wanted)| {
                let wanted: Wanted = wanted;
                wanted.check()?;
                let Some(Door { faults, .. }) = &app.driven else { return Err(Problem::unexpected()) };
                faults.set_cut(wanted.cut.iter().copied().map(NodeId).collect());
                faults.set_sync_delay(Duration::from_millis(wanted.sync_delay_ms));
                tracing::info!(?wanted, "the demo has this done to this node");
                Ok(Json(Wanted::of(faults)))
            }),
        )
        .route_layer(middleware::from_fn_with_state(door.key, behind_key))
}

async fn behind_key(State(key): State<Key>, request: Request, next: Next) -> Result<Response, Problem> {
    if request.headers().contains_key(header::ORIGIN) {
        let text = "web pages cannot call this, whatever they carry: the cluster page's buttons go to the demo's own control";
        return Err(Problem::new(StatusCode::FORBIDDEN, "origin-not-allowed", "Not from a page", text));
    }
    if !key.is_in(request.headers()) {
        return Err(Key::refusal());
    }
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_the_whole_key_is_the_key() {
        let key = Key::draw();
        let headers = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(text).unwrap());
            headers
        };
        assert!(key.is_in(&headers(&format!("Bearer {}", key.text()))));
        assert!(key.is_in(&headers(&format!("bearer  {} ", key.text()))));
        for wrong in
            ["Bearer ", "Bearer 00", key.text(), &format!("Basic {}", key.text()), &format!("Bearer {}", &key.text()[1..])]
        {
            assert!(!key.is_in(&headers(wrong)), "{wrong}");
        }
        assert!(!key.is_in(&HeaderMap::new()));
    }

    #[test]
    fn a_key_comes_from_a_file_that_holds_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let driven = Driven { control_key: Some(file.clone()), cut_off: vec![2], ..Driven::default() };
        assert!(driven.door().err().unwrap().contains("cannot read"));
        std::fs::write(&file, "short\n").unwrap();
        assert!(driven.door().err().unwrap().contains("64 hexadecimal digits"));
        std::fs::write(&file, Key::draw().text()).unwrap();
        assert!(driven.door().unwrap().unwrap().faults.is_cut(NodeId(2)));
        assert!(Driven::default().door().unwrap().is_none());
    }
}
