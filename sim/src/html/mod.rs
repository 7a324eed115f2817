//! A recorded run as one page: a file that holds all it needs, opens from a disk and asks no network for anything.
//!
//! The page is `page.html` with its style, its scripts and the run as JSON put in. Whatever a scenario's author wrote is data: it stands in the JSON with every
//! `<` escaped, and the scripts show it as text. A policy in the page forbids all scripts but these, and all connections.

mod data;

use crate::engine::{Engine, Outcome};
use crate::record::Recording;
use crate::scenario::Scenario;
use sha2::{Digest, Sha256};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// In the order in which they need each other; one script in the page.
const SCRIPTS: &[&str] = &[
    include_str!("data.js"),
    include_str!("evidence.js"),
    include_str!("view.js"),
    include_str!("draw.js"),
    include_str!("list.js"),
    include_str!("detail.js"),
    include_str!("keys.js"),
    include_str!("main.js"),
];

/// A run that was played, and how.
#[derive(Clone, Debug)]
pub struct Played<'a> {
    pub scenario: &'a Scenario,
    pub seed: u64,
    pub engine: Engine,
    /// The name of the known bug that was switched on.
    pub bug: Option<&'a str>,
    /// The command that plays it again.
    pub command: String,
    pub outcome: &'a Outcome,
    pub recording: &'a Recording,
}

/// The whole page.
pub fn page(played: &Played<'_>) -> String {
    let script = format!("\"use strict\";\n{}", SCRIPTS.concat());
    let data = data::json(played);
    let title = format!("{} · seed {} · {}", played.scenario.name, played.seed, played.engine.name());
    let policy = format!("default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src '{}'", hash(&script));
    fill(TEMPLATE, |name| match name {
        "title" => escape(&title),
        "policy" => policy.clone(),
        "style" => STYLE.to_owned(),
        "data" => data.clone(),
        "script" => script.clone(),
        _ => String::new(),
    })
}

/// Puts values in the places of `{{name}}`; values are not looked at again.
fn fill(template: &str, value: impl Fn(&str) -> String) -> String {
    let mut page = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else { break };
        page.push_str(before);
        page.push_str(&value(name));
        rest = after;
    }
    page.push_str(rest);
    page
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A script's hash, as a content security policy names it.
fn hash(script: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sum = Sha256::digest(script.as_bytes());
    let mut text = String::from("sha256-");
    for three in sum.chunks(3) {
        let bits = three.iter().enumerate().fold(0u32, |bits, (nth, byte)| bits | u32::from(*byte) << (16 - 8 * nth));
        for digit in 0..4 {
            let known = digit <= three.len();
            text.push(if known { char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scripts_hash_is_that_of_browsers() {
        // From the W3C's text on content security policies.
        assert_eq!(hash("alert('Hello, world.');"), "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=");
    }

    #[test]
    fn what_is_put_in_is_not_filled_again() {
        let page = fill("<{{a}}|{{b}}>", |name| if name == "a" { "{{b}}".to_owned() } else { "x".to_owned() });
        assert_eq!(page, "<{{b}}|x>");
    }
}
