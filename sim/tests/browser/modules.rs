//! The pages' modules by themselves, inside of a browser: the client machine against the vectors of the Rust machine, and what else `node-bin/web-tests` has.

use crate::browser;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};

/// Serves files of the repository to one browser, until the test ends.
fn serve(root: PathBuf) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let root = root.clone();
            std::thread::spawn(move || answer(stream, &root));
        }
    });
    address
}

fn answer(mut stream: TcpStream, root: &Path) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    lines.find(String::is_empty);
    let path = first.split(' ').nth(1).unwrap_or("/").trim_start_matches('/');
    let kind = match path.rsplit('.').next() {
        Some("js") => "text/javascript",
        Some("json") => "application/json",
        _ => "text/html",
    };
    let (status, body) = match path {
        "" => ("200 OK", b"<!doctype html><title>modules</title>".to_vec()),
        path if !path.contains("..") => {
            std::fs::read(root.join(path)).map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body))
        }
        _ => ("404 Not Found", Vec::new()),
    };
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

#[test]
fn the_pages_client_machine_does_what_the_vectors_of_the_rust_machine_say() {
    let Some(mut browser) = browser() else { return };
    let window = browser.open(&serve(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")), (800, 600), &[]);
    browser.until(&window, "the page", "document.title === 'modules'");
    for (module, given) in
        [("vectors", "await (await fetch('/docs/client-vectors.json')).json()"), ("random", "200"), ("app", "")]
    {
        let played = format!(
            "(async () => {{ const {{ run }} = await import('/node-bin/web-tests/{module}.js'); return run({given}); }})()"
        );
        let found = browser.value(&window, &played);
        assert!(found["failed"].as_array().is_some_and(Vec::is_empty), "{module}: {found:#}");
        assert!(found["passed"].as_u64().is_some_and(|passed| passed >= 10), "{module}: {found:#}");
    }
    assert!(browser.errors.is_empty(), "{:#?}", browser.errors);
}
