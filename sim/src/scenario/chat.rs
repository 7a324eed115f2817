//! The table `[chat]`: what a cluster is founded with, as each node's configuration says it.
//!
//! What is not said is as the chat has it by itself, so that a file without the table means a cluster that agrees on nothing.

use super::error::{ScenarioError, Source};
use super::keys::Kind::{Duration, Flag, History as Keeps, Number, OneOf};
use super::keys::{Key, Table, key};
use super::raw::{RawChat, Text};
use super::units;
use super::write::{duration, line_to, quoted};
use tertulia_protocol::chat::{Direct, History, Rates, Rules, Settings, SignIn, Tentative};

const SIGN_IN: [(&str, SignIn); 4] =
    [("open", SignIn::Open), ("guests", SignIn::Guests), ("accounts", SignIn::Accounts), ("invite", SignIn::Invite)];
const DIRECT: [(&str, Direct); 2] = [("anybody", Direct::Anybody), ("friends", Direct::Friends)];

const TENTATIVE: [(&str, Tentative); 4] = [
    ("accept", Tentative::Accept),
    ("refuse", Tentative::Refuse),
    ("2 copies", Tentative::Copies(2)),
    ("3 copies", Tentative::Copies(3)),
];

/// The longest time after which an idle device is let go, in milliseconds: a day.
const LONGEST_IDLE: u64 = 24 * 3_600 * 1_000;

pub(super) const KEYS: &[Key] = &[
    key(
        Table::Chat,
        "sign_in",
        OneOf(&["open", "guests", "accounts", "invite"]),
        "\"open\"",
        "How somebody becomes a user: by a name; by a name, as a new user each time; by a name and a password; by these and an invitation's code.",
        "sign_in = \"accounts\"",
    ),
    key(
        Table::Chat,
        "devices",
        Number(0, 1_000),
        "0",
        "Devices that one user may be signed in from; 0 is no limit.",
        "devices = 2",
    ),
    key(
        Table::Chat,
        "idle",
        Duration,
        "(never)",
        "A device without a sign of life for so long is let go: from 1 s on.",
        "idle = \"5s\"",
    ),
    key(
        Table::Chat,
        "direct",
        OneOf(&["anybody", "friends"]),
        "\"anybody\"",
        "Who may write to whom alone.",
        "direct = \"friends\"",
    ),
    key(Table::Chat, "erase", Flag, "false", "Deleting an account takes the text of its messages away.", "erase = true"),
    key(Table::Chat, "admins_make_rooms", Flag, "false", "Administrators alone make public rooms.", "admins_make_rooms = true"),
    key(Table::Chat, "history", Keeps, "\"all\"", "What rooms keep, and for whom.", "history = \"last 10\""),
    key(Table::Chat, "edits", Flag, "true", "Authors may change and delete what they wrote.", "edits = false"),
    key(Table::Chat, "text_bytes", Number(1, 4_096), "4096", "Bytes of the longest message.", "text_bytes = 2048"),
    key(
        Table::Chat,
        "tentative",
        OneOf(&["accept", "refuse", "2 copies", "3 copies"]),
        "\"accept\"",
        "What becomes of posts while no leader is reached; with copies: they are accepted once so many nodes hold them.",
        "tentative = \"refuse\"",
    ),
];

fn one_of<T: Copy>(source: Source<'_>, given: &Text, names: &[(&str, T)], usual: T) -> Result<T, ScenarioError> {
    let Some(given) = given else { return Ok(usual) };
    let found = names.iter().find(|(name, _)| name == given.get_ref());
    found.map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        source.error(Some(given.span()), format!("\"{}\" is none of {}", given.get_ref(), known.join(", ")))
    })
}

fn history(text: &str) -> Result<History, String> {
    match text {
        "all" => Ok(History::All),
        "since-join" => Ok(History::SinceJoin),
        "none" => Ok(History::None),
        _ => {
            let count = text.strip_prefix("last ").and_then(|count| count.parse().ok());
            let count = count.filter(|count| (1..=1_000).contains(count));
            count
                .map(History::Last)
                .ok_or_else(|| format!("\"{text}\" is none of all, since-join, none and \"last N\", 1 to 1000"))
        }
    }
}

/// What the table says.
pub(super) fn read(source: Source<'_>, raw: Option<&RawChat>) -> Result<Settings, ScenarioError> {
    let usual = Settings::default();
    let Some(raw) = raw else { return Ok(usual) };
    let idle_ms = source.read(&raw.idle, units::duration)?.unwrap_or(0) / 1_000;
    if let (Some(given), false) = (&raw.idle, (1_000..=LONGEST_IDLE).contains(&idle_ms)) {
        return Err(source.error(Some(given.span()), "idle is from 1 s to a day"));
    }
    let number = |given, name: &str, from: i64, to: i64, usual: u32| -> Result<u32, ScenarioError> {
        Ok(source.integer(given, name, from, to)?.map_or(usual, |number| number as u32))
    };
    Ok(Settings {
        sign_in: one_of(source, &raw.sign_in, &SIGN_IN, usual.sign_in)?,
        devices: number(&raw.devices, "devices", 0, 1_000, usual.devices)?,
        idle_ms,
        direct: one_of(source, &raw.direct, &DIRECT, usual.direct)?,
        erase: raw.erase.unwrap_or(usual.erase),
        admins_make_rooms: raw.admins_make_rooms.unwrap_or(usual.admins_make_rooms),
        rules: Rules {
            history: source.read(&raw.history, history)?.unwrap_or(usual.rules.history),
            edits: raw.edits.unwrap_or(usual.rules.edits),
            text_bytes: number(&raw.text_bytes, "text_bytes", 1, 4_096, usual.rules.text_bytes)?,
            tentative: one_of(source, &raw.tentative, &TENTATIVE, usual.rules.tentative)?,
            ..usual.rules
        },
        rates: usual.rates,
    })
}

fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: &T) -> &'static str {
    names.iter().find(|(_, known)| known == value).map_or("", |(name, _)| name)
}

/// The table as it is read; empty when it says nothing. What no file can say (who posts and invites, rates) is left out.
pub(super) fn write(settings: &Settings) -> String {
    let usual = Settings::default();
    let Settings { sign_in, devices, idle_ms, direct, erase, admins_make_rooms, rules, rates: Rates { .. } } = settings;
    let Rules { history, post: _, invite: _, edits, text_bytes, tentative } = rules;
    let mut text = String::new();
    if *sign_in != usual.sign_in {
        line_to(&mut text, "sign_in", quoted(name_of(&SIGN_IN, sign_in)));
    }
    if *devices != usual.devices {
        line_to(&mut text, "devices", devices);
    }
    if *idle_ms != 0 {
        line_to(&mut text, "idle", duration(idle_ms * 1_000));
    }
    if *direct != usual.direct {
        line_to(&mut text, "direct", quoted(name_of(&DIRECT, direct)));
    }
    for (key, is, usually) in [("erase", *erase, usual.erase), ("admins_make_rooms", *admins_make_rooms, usual.admins_make_rooms)]
    {
        if is != usually {
            line_to(&mut text, key, is);
        }
    }
    let kept = match history {
        History::All => None,
        History::SinceJoin => Some("since-join".to_owned()),
        History::None => Some("none".to_owned()),
        History::Last(count) => Some(format!("last {count}")),
    };
    if let Some(kept) = kept {
        line_to(&mut text, "history", quoted(&kept));
    }
    if *edits != usual.rules.edits {
        line_to(&mut text, "edits", edits);
    }
    if *tentative != usual.rules.tentative {
        line_to(&mut text, "tentative", quoted(name_of(&TENTATIVE, tentative)));
    }
    if *text_bytes != usual.rules.text_bytes {
        line_to(&mut text, "text_bytes", text_bytes);
    }
    if text.is_empty() { text } else { format!("\n[chat]\n{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    fn with(lines: &str) -> Result<Scenario, ScenarioError> {
        let head =
            "schema = 1\nname = \"x\"\n[cluster]\nvoters = 3\n[workload]\nclients = 1\nrate = \"1/s\"\nstop = \"9s\"\n[chat]\n";
        Scenario::parse("x", &format!("{head}{lines}"))
    }

    #[test]
    fn what_is_written_reads_back() {
        let lines = "sign_in = \"invite\"\ndevices = 2\nidle = \"3s\"\ndirect = \"friends\"\nerase = true\nadmins_make_rooms = true\n\
                     history = \"last 10\"\nedits = false\ntext_bytes = 2048\ntentative = \"refuse\"\n";
        let scenario = with(lines).unwrap();
        assert_eq!(scenario.chat.rules.history, History::Last(10));
        assert_eq!(Scenario::parse("x", &crate::scenario::write(&scenario)).unwrap(), scenario);
        assert_eq!(with("").unwrap().chat, Settings::default());
        assert_eq!(write(&Settings::default()), "");
    }

    #[test]
    fn what_makes_no_sense_is_refused_where_it_stands() {
        for wrong in ["sign_in = \"closed\"", "idle = \"10ms\"", "history = \"last 0\"", "history = \"most\"", "direct = \"no\""]
        {
            assert_eq!(with(wrong).unwrap_err().line, 10, "{wrong}");
        }
    }
}
