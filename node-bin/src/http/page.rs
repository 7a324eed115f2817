//! The web page: a few files inside the binary.

use super::{App, Origins, Problem};
use crate::gate::Gate;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
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
        .route("/cluster", get(async |State(app): State<App<G>>| asset(&app.origins, "cluster.html")))
        .route(
            "/cluster/{file}",
            get(async |State(app): State<App<G>>, Path(file): Path<String>| asset(&app.origins, &format!("cluster/{file}"))),
        )
        .route(
            "/vendor/lit-html/{*file}",
            get(async |State(app): State<App<G>>, Path(file): Path<String>| {
                asset(&app.origins, &format!("vendor/lit-html/{file}"))
            }),
        )
        .route("/icon.svg", get(async |State(app): State<App<G>>| file(&app.origins, SVG, include_str!("../../web/icon.svg"))))
}

/// The cluster page's files.
fn asset(origins: &Origins, name: &str) -> Result<Response, Problem> {
    macro_rules! files {
        ($($path:literal)*) => {
            match name {
                $($path => Some(include_str!(concat!("../../web/", $path))),)*
                _ => None,
            }
        };
    }
    let text = files! {
        "cluster.html" "cluster/cluster.css" "cluster/main.js" "cluster/cards.js" "cluster/control.js" "cluster/counter.js" "cluster/format.js" "cluster/model.js"
        "cluster/picture.js" "cluster/sources.js" "cluster/sse.js" "cluster/timeline.js" "cluster/table.js" "cluster/lit.js" "cluster/story.js"
        "vendor/lit-html/lit-html.js" "vendor/lit-html/directive.js" "vendor/lit-html/directive-helpers.js" "vendor/lit-html/directives/repeat.js"
    };
    let kind = if name.ends_with("html") {
        HTML
    } else if name.ends_with("css") {
        CSS
    } else {
        JS
    };
    let Some(text) = text else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "not-found", "Nothing here", format!("there is no file {name}")));
    };
    // An unoptimised build takes them from the disk, so that a page can be changed without building.
    let folder = cfg!(debug_assertions).then_some(concat!(env!("CARGO_MANIFEST_DIR"), "/web/"));
    let fresh = folder.and_then(|folder| std::fs::read_to_string(format!("{folder}{name}")).ok());
    Ok(match fresh {
        Some(fresh) => file(origins, kind, fresh),
        None => file(origins, kind, text),
    })
}

fn file(origins: &Origins, kind: &'static str, text: impl IntoResponse) -> Response {
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_SECURITY_POLICY, origins.page_policy());
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // A newer release may bring another page: always ask.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
