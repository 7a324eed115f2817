//! The pages and their files: all of `web/`, at the same paths, and `/` and `/cluster` for the two pages.
//!
//! - Optimised builds carry the files (`build.rs` lists them); others read them from the disk each time, so that a page can be changed without building.
//! - Each file has its hash as ETag, and is always asked for again: a newer release may bring another one. What has not changed is answered 304. A page's ETag also has the hash of its
//!   policy, which names the members: browsers keep the old policy with a page that is answered 304.
//! - `sw.js`, the service worker, gets what it has to know written into it: the hash of every file, and of all of them as the *version*. So a release with another page has another
//!   service worker, and that one takes only files of its own release.

use super::{App, Origins};
use crate::gate::Gate;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Path below `web/` and bytes; empty where they are read from the disk.
static TABLE: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/web.rs"));
/// Where an unoptimised build finds them.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/web");
/// The service worker's path, and the text in it that stands for what it has to know.
const WORKER: &str = "sw.js";
const WORKER_KNOWS: &str = "/* what the server writes here */ null";

/// Of a response: it is one of these files, which are counted together.
#[derive(Clone, Copy)]
pub struct IsFile;

const HTML: &str = "text/html; charset=utf-8";

struct File {
    kind: &'static str,
    hash: String,
    bytes: Cow<'static, [u8]>,
}

type Files = BTreeMap<String, File>;

/// Those of the binary.
static FILES: LazyLock<Files> =
    LazyLock::new(|| with_worker(TABLE.iter().map(|(path, bytes)| ((*path).into(), Cow::from(*bytes)))));

/// Answers what no other route does: with a file, if the path is one's.
pub async fn open<G: Gate>(State(app): State<App<G>>, request: Request) -> Response {
    let is_asked_for = matches!(*request.method(), Method::GET | Method::HEAD);
    match name_of(request.uri().path()).filter(|_| is_asked_for).and_then(|name| respond(name, request.headers(), &app.origins)) {
        Some(response) => response,
        None => super::not_found(request).await.into_response(),
    }
}

/// The file that a path is for, if it can be one's. Nothing begins with a dot, so nothing leads out of the folder.
fn name_of(path: &str) -> Option<&str> {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    match path.strip_prefix('/')? {
        "" => Some("index.html"),
        "cluster" => Some("cluster.html"),
        name => name.split('/').all(plain).then_some(name),
    }
}

fn respond(name: &str, asked: &HeaderMap, origins: &Origins) -> Option<Response> {
    if !TABLE.is_empty() {
        return Some(respond_with(FILES.get(name)?, asked, origins));
    }
    if name == WORKER {
        return Some(respond_with(from_disk().get(name)?, asked, origins));
    }
    let bytes = fs::read(Path::new(FOLDER).join(name)).ok()?;
    Some(respond_with(&file(name, bytes.into()), asked, origins))
}

fn respond_with(file: &File, asked: &HeaderMap, origins: &Origins) -> Response {
    let known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut known = known.flat_map(|value| value.split(',')).map(|tag| tag.trim().trim_start_matches("W/"));
    let policy = origins.page_policy();
    let etag = match file.kind {
        HTML => format!("\"{}.{:016x}\"", file.hash, xxh3_64(policy.as_bytes())),
        _ => format!("\"{}\"", file.hash),
    };
    let mut response = if known.any(|tag| tag == etag || tag == "*") {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, HeaderValue::from_static(file.kind))], file.bytes.clone()).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(etag) = HeaderValue::try_from(etag) {
        headers.insert(header::ETAG, etag);
    }
    response.extensions_mut().insert(IsFile);
    response
}

fn file(name: &str, bytes: Cow<'static, [u8]>) -> File {
    File { kind: kind(name), hash: format!("{:032x}", xxh3_128(&bytes)), bytes }
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, end)| end) {
        "html" => HTML,
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webmanifest" => "application/manifest+json",
        "json" => "application/json",
        _ => "text/plain; charset=utf-8",
    }
}

/// All files, the service worker with its knowledge.
fn with_worker(files: impl Iterator<Item = (String, Cow<'static, [u8]>)>) -> Files {
    let mut files: Files = files.map(|(name, bytes)| (name.clone(), file(&name, bytes))).collect();
    let known = knowledge(&files);
    if let Some(worker) = files.remove(WORKER) {
        let text = String::from_utf8_lossy(&worker.bytes).replacen(WORKER_KNOWS, &known, 1);
        files.insert(WORKER.into(), file(WORKER, text.into_bytes().into()));
    }
    files
}

/// What the service worker has to know, as JSON: the version, and the hash of each path that the pages are made of.
fn knowledge(files: &Files) -> String {
    let mut all = String::new();
    let mut hashes = BTreeMap::new();
    for (name, file) in files {
        all.push_str(&format!("{name} {}\n", file.hash));
        let path = match name.as_str() {
            "index.html" => "/".into(),
            "cluster.html" => "/cluster".into(),
            // The worker is not among what it keeps, nor is what only people read.
            name if name == WORKER || name.ends_with(".md") || name.ends_with("LICENSE") => continue,
            name => format!("/{name}"),
        };
        hashes.insert(path, &file.hash);
    }
    json!({ "version": format!("{:032x}", xxh3_128(all.as_bytes())), "files": hashes }).to_string()
}

fn from_disk() -> Files {
    let mut found = Vec::new();
    walk(Path::new(FOLDER), "", &mut found);
    with_worker(found.into_iter())
}

/// As `build.rs` lists them. What cannot be read is not there.
fn walk(folder: &Path, prefix: &str, found: &mut Vec<(String, Cow<'static, [u8]>)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = entry.path();
        if path.is_dir() {
            walk(&path, &format!("{prefix}{name}/"), found);
        } else if !name.starts_with('.')
            && let Ok(bytes) = fs::read(&path)
        {
            found.push((format!("{prefix}{name}"), bytes.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(pairs: &[(&str, &'static str)]) -> Files {
        with_worker(pairs.iter().map(|(name, text)| ((*name).to_owned(), Cow::from(text.as_bytes()))))
    }

    #[test]
    fn no_path_leads_out_of_the_folder() {
        assert_eq!(name_of("/"), Some("index.html"));
        assert_eq!(name_of("/cluster"), Some("cluster.html"));
        assert_eq!(name_of("/app/main.js"), Some("app/main.js"));
        for bad in ["", "x", "/../Cargo.toml", "/app/../../x", "/.git", "/app/", "//etc/passwd", "/a%2f..", "/app\\x", "/app/.x"]
        {
            assert_eq!(name_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn another_file_makes_another_version_and_another_worker() {
        const SW: &str = "const SHELL = /* what the server writes here */ null;";
        let first = files(&[("index.html", "one"), ("app/main.js", "1"), ("README.md", "r"), ("sw.js", SW)]);
        let second = files(&[("index.html", "one"), ("app/main.js", "2"), ("README.md", "r"), ("sw.js", SW)]);
        let known = |files: &Files| {
            let text = String::from_utf8(files[WORKER].bytes.to_vec()).unwrap();
            let json = text.strip_prefix("const SHELL = ").unwrap().strip_suffix(';').unwrap();
            serde_json::from_str::<serde_json::Value>(json).unwrap()
        };
        assert_ne!(known(&first)["version"], known(&second)["version"]);
        assert_ne!(first[WORKER].hash, second[WORKER].hash);
        assert_eq!(known(&first)["files"]["/"], known(&second)["files"]["/"]);
        assert_eq!(known(&first)["files"]["/app/main.js"], first["app/main.js"].hash.as_str());
        let paths: Vec<String> = known(&first)["files"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(paths, ["/", "/app/main.js"]);
    }

    #[test]
    fn a_page_whose_policy_has_changed_is_sent_again() {
        let origins = Origins::new(&["http://10.0.0.1:8081".into()]);
        let etag = |name: &str| {
            let sent = respond(name, &HeaderMap::new(), &origins).unwrap();
            assert_eq!(sent.status(), StatusCode::OK);
            let known = HeaderMap::from_iter([(header::IF_NONE_MATCH, sent.headers()[header::ETAG].clone())]);
            assert_eq!(respond(name, &known, &origins).unwrap().status(), StatusCode::NOT_MODIFIED);
            known
        };
        let (page, icon) = (etag("index.html"), etag("icon.svg"));
        origins.set(&["http://10.0.0.1:8081".into(), "http://10.0.0.4:8084".into()]);
        assert_eq!(respond("index.html", &page, &origins).unwrap().status(), StatusCode::OK);
        assert_eq!(respond("icon.svg", &icon, &origins).unwrap().status(), StatusCode::NOT_MODIFIED);
    }
}
