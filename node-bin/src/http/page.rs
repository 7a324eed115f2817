//! The web page: a few files inside the binary.

use super::{App, Origins};
use crate::gate::Gate;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

const HTML: &str = "text/html; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

pub fn routes<G: Gate>() -> Router<App<G>> {
    Router::new()
        .route("/", get(async |State(app): State<App<G>>| file(&app.origins, HTML, include_str!("../../web/index.html"))))
        .route("/app.js", get(async |State(app): State<App<G>>| file(&app.origins, JS, include_str!("../../web/app.js"))))
        .route("/cluster.js", get(async |State(app): State<App<G>>| file(&app.origins, JS, include_str!("../../web/cluster.js"))))
        .route("/rooms.js", get(async |State(app): State<App<G>>| file(&app.origins, JS, include_str!("../../web/rooms.js"))))
        .route("/style.css", get(async |State(app): State<App<G>>| file(&app.origins, CSS, include_str!("../../web/style.css"))))
        .route("/icon.svg", get(async |State(app): State<App<G>>| file(&app.origins, SVG, include_str!("../../web/icon.svg"))))
}

fn file(origins: &Origins, kind: &'static str, text: &'static str) -> Response {
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_SECURITY_POLICY, origins.page_policy());
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // A newer release may bring another page: always ask.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
