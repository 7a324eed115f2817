//! What a written line asks for: a message, or a command behind a `/`.

use super::emoji;
use crate::terminal::harmless::one_line;
use tertulia_protocol::chat::MemberRole;
use tertulia_protocol::ids::Seq;

/// A command as the help names it.
#[derive(Debug)]
pub struct Known {
    pub name: &'static str,
    pub also: &'static [&'static str],
    pub wants: &'static str,
    pub about: &'static str,
}

const fn known(name: &'static str, also: &'static [&'static str], wants: &'static str, about: &'static str) -> Known {
    Known { name, also, wants, about }
}

/// All of them, as the help shows them.
pub const COMMANDS: &[Known] = &[
    known("join", &["j"], "ROOM", "go into a room; a public one of this name is made if there is none"),
    known("part", &["leave"], "[ROOM]", "leave this room, or that one"),
    known("new", &["create"], "private NAME [USER…]", "make a private room and invite (also: group USER…, public NAME)"),
    known("msg", &["query"], "USER [TEXT]", "talk to one person"),
    known("rooms", &["list"], "", "all rooms that you may know of, to go into"),
    known("invite", &[], "USER", "invite somebody into this room"),
    known("decline", &[], "ROOM", "decline an invitation; /join takes it"),
    known("topic", &["t"], "[TEXT]", "show this room's topic, or set it (- takes it away)"),
    known("names", &["who", "n"], "", "who is in this room"),
    known("reply", &["r"], "[N] TEXT", "answer message N, or the last one of somebody else"),
    known("edit", &["e"], "[N] TEXT", "change your message N, or your last one"),
    known("delete", &["del"], "[N]", "take message N away, or your last one"),
    known("react", &[], "[N] EMOJI", "react to message N or the last one: an emoji, a name like :+1:, or a word"),
    known("unreact", &[], "[N] EMOJI", "take a reaction back"),
    known("pin", &[], "N", "pin message N"),
    known("unpin", &[], "N", "unpin message N"),
    known("me", &[], "TEXT", "say what you do: /me waves"),
    known("search", &["s", "grep"], "WORDS", "find messages, in all your rooms; -here only in this one"),
    known("goto", &["g"], "N", "show message N of this room"),
    known("read", &[], "", "mark this room as read (/read all: every room)"),
    known("withdraw", &[], "", "take back what waits here and was not sent"),
    known("friend", &[], "USER", "ask for somebody's friendship, or accept it"),
    known("unfriend", &[], "USER", "end a friendship, or decline a request"),
    known("friends", &[], "", "your friends, and who asked"),
    known("block", &["ignore"], "USER", "hear nothing more of somebody"),
    known("unblock", &["unignore"], "USER", "take that back"),
    known("whois", &["w"], "USER", "what is known of somebody"),
    known("kick", &[], "USER", "remove somebody from this room"),
    known("ban", &[], "USER", "remove somebody, for good"),
    known("unban", &[], "USER", "let somebody in again"),
    known("mute", &[], "USER [MINUTES]", "keep somebody from writing here, for an hour if nothing else is said"),
    known("unmute", &[], "USER", "take that back"),
    known("role", &[], "USER member|moderator|owner", "give somebody a role in this room"),
    known("rename", &[], "NAME", "call this room something else"),
    known("archive", &[], "", "archive this room; /unarchive opens it again"),
    known("unarchive", &[], "", "open this room again"),
    known("members", &[], "", "show or hide the list of members (Alt-M)"),
    known("status", &[], "", "this client and the cluster"),
    known("help", &["h"], "", "keys and commands (F1)"),
    known("quit", &["q", "exit"], "", "end; what waits is kept and sent next time"),
];

/// What a line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    Post(String),
    Run(Run),
    /// What is wrong with it.
    Wrong(String),
}

/// What a command does. Without a number it is about the message that is meant most likely.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Run {
    Join(String),
    Part(Option<String>),
    NewPrivate { name: String, users: Vec<String> },
    NewGroup(Vec<String>),
    Message { user: String, text: String },
    Rooms,
    Invite(String),
    Decline(String),
    Topic(Option<String>),
    Names,
    Reply(Option<Seq>, String),
    Edit(Option<Seq>, String),
    Delete(Option<Seq>),
    React { seq: Option<Seq>, emoji: String, on: bool },
    Pin(Seq, bool),
    Search { words: String, here: bool },
    Goto(Seq),
    Read { all: bool },
    Withdraw,
    Friend(String),
    Unfriend(String),
    Friends,
    Block(String, bool),
    Whois(String),
    Kick(String),
    Ban(String, bool),
    Mute { user: String, minutes: u64 },
    Role(String, MemberRole),
    Rename(String),
    Archive(bool),
    Members,
    Status,
    Help,
    Quit,
}

pub fn said(line: &str) -> Said {
    let Some(command) = line.strip_prefix('/') else { return Said::Post(line.into()) };
    if command.starts_with('/') {
        return Said::Post(command.into());
    }
    let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let name = name.to_lowercase();
    let Some(known) = COMMANDS.iter().find(|known| known.name == name || known.also.contains(&name.as_str())) else {
        return Said::Wrong(unknown(&name));
    };
    if known.name == "me" && !rest.trim().is_empty() {
        return Said::Post(format!("/me {}", rest.trim()));
    }
    match run(known.name, rest.trim()) {
        Some(run) => Said::Run(run),
        None => Said::Wrong(format!("/{} {}: {}", known.name, known.wants, known.about)),
    }
}

fn unknown(name: &str) -> String {
    let names = || COMMANDS.iter().flat_map(|known| [known.name].into_iter().chain(known.also.iter().copied()));
    let near = names().map(|known| (strsim::osa_distance(known, name), known)).min().filter(|(distance, _)| *distance <= 2);
    let begins = names().find(|known| name.len() > 1 && known.starts_with(name));
    let hint = match (begins, near) {
        (Some(near), _) | (None, Some((_, near))) => format!("did you mean /{near}?"),
        (None, None) => "/help names them".into(),
    };
    format!("there is no command /{}: {hint} (// posts a line that begins with /)", one_line(name))
}

fn run(name: &str, rest: &str) -> Option<Run> {
    let user = || word(rest);
    Some(match name {
        "join" => Run::Join(room(rest, &['#'])?),
        "part" => Run::Part(room(rest, &['#', '+', '&'])),
        "new" => return new_room(rest),
        "msg" => {
            let (user, text) = first(rest)?;
            Run::Message { user, text: text.into() }
        }
        "rooms" => Run::Rooms,
        "invite" => Run::Invite(user()?),
        "decline" => Run::Decline(room(rest, &['#', '+', '&'])?),
        "topic" => Run::Topic(some(rest).map(|topic| if topic == "-" { String::new() } else { topic.into() })),
        "names" => Run::Names,
        "reply" => with_text(rest, Run::Reply)?,
        "edit" => with_text(rest, Run::Edit)?,
        "delete" if rest.is_empty() => Run::Delete(None),
        "delete" => Run::Delete(Some(seq(rest)?)),
        "react" => with_text(rest, |seq, emoji| Run::React { seq, emoji: emoji::named(&emoji), on: true })?,
        "unreact" => with_text(rest, |seq, emoji| Run::React { seq, emoji: emoji::named(&emoji), on: false })?,
        "pin" => Run::Pin(seq(rest)?, true),
        "unpin" => Run::Pin(seq(rest)?, false),
        "search" => match rest.strip_prefix("-here") {
            Some(words) => Run::Search { words: some(words)?.into(), here: true },
            None => Run::Search { words: some(rest)?.into(), here: false },
        },
        "goto" => Run::Goto(seq(rest)?),
        "read" => Run::Read { all: rest == "all" },
        "withdraw" => Run::Withdraw,
        "friend" => Run::Friend(user()?),
        "unfriend" => Run::Unfriend(user()?),
        "friends" => Run::Friends,
        "block" => Run::Block(user()?, true),
        "unblock" => Run::Block(user()?, false),
        "whois" => Run::Whois(user()?),
        "kick" => Run::Kick(user()?),
        "ban" => Run::Ban(user()?, true),
        "unban" => Run::Ban(user()?, false),
        "mute" => {
            let (user, minutes) = first(rest)?;
            Run::Mute { user, minutes: some(minutes).unwrap_or("60").parse().ok()? }
        }
        "unmute" => Run::Mute { user: user()?, minutes: 0 },
        "role" => {
            let (user, role) = first(rest)?;
            let role = match role {
                "member" => MemberRole::Member,
                "moderator" => MemberRole::Moderator,
                "owner" => MemberRole::Owner,
                _ => return None,
            };
            Run::Role(user, role)
        }
        "rename" => Run::Rename(some(rest)?.into()),
        "archive" => Run::Archive(true),
        "unarchive" => Run::Archive(false),
        "members" => Run::Members,
        "status" => Run::Status,
        "help" => Run::Help,
        "quit" => Run::Quit,
        _ => return None,
    })
}

fn new_room(rest: &str) -> Option<Run> {
    let (kind, rest) = rest.split_once(char::is_whitespace)?;
    let mut names = Vec::new();
    let mut left = rest.trim();
    while let Some((name, more)) = first(left) {
        names.push(name);
        left = more;
    }
    Some(match kind {
        "private" if !names.is_empty() => Run::NewPrivate { name: names.remove(0), users: names },
        "group" if !names.is_empty() => Run::NewGroup(names),
        "public" => Run::Join(some(rest)?.into()),
        _ => return None,
    })
}

/// The first name, and what follows it. A name with spaces stands in quotes.
fn first(rest: &str) -> Option<(String, &str)> {
    let rest = rest.trim();
    let quoted = rest.trim_start_matches('@').strip_prefix('"').and_then(|rest| rest.split_once('"'));
    let (name, more) = match quoted.filter(|(_, more)| more.is_empty() || more.starts_with([' ', ':', ','])) {
        Some((name, more)) => (some(name)?.to_owned(), more.trim_start_matches([':', ','])),
        None => {
            let (name, more) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            (plain_name(name)?, more)
        }
    };
    Some((name, more.trim()))
}

fn some(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

/// A room's name, all of the line, with or without its sign and quotes.
fn room(text: &str, signs: &[char]) -> Option<String> {
    let name = text.trim().trim_start_matches(signs);
    let quoted = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    some(quoted.unwrap_or(name)).map(Into::into)
}

/// A user's name where nothing else follows: with or without the `@`, and quotes.
fn word(text: &str) -> Option<String> {
    match first(text) {
        Some((name, "")) => Some(name),
        _ => plain_name(text),
    }
}

fn plain_name(text: &str) -> Option<String> {
    some(text.trim().trim_start_matches('@').trim_end_matches([':', ','])).map(Into::into)
}

fn seq(text: &str) -> Option<Seq> {
    text.trim().trim_start_matches('#').parse().ok()
}

/// An optional number, then something.
fn with_text(rest: &str, does: impl FnOnce(Option<Seq>, String) -> Run) -> Option<Run> {
    let (first, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    match (seq(first), some(text)) {
        (Some(number), Some(text)) => Some(does(Some(number), text.into())),
        _ => some(rest).map(|text| does(None, text.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_posted_and_a_slash_commands() {
        assert_eq!(said("hello /who"), Said::Post("hello /who".into()));
        assert_eq!(said("//etc/passwd"), Said::Post("/etc/passwd".into()));
        assert_eq!(said("/me waves"), Said::Post("/me waves".into()));
        assert_eq!(said("/reply 7 yes, so"), Said::Run(Run::Reply(Some(7), "yes, so".into())));
        assert_eq!(said("/reply yes, so"), Said::Run(Run::Reply(None, "yes, so".into())));
        assert_eq!(said("/reply 7"), Said::Run(Run::Reply(None, "7".into())));
        assert_eq!(said("/J #lobby"), Said::Run(Run::Join("lobby".into())));
        assert_eq!(said("/react #7 :+1:"), Said::Run(Run::React { seq: Some(7), emoji: "👍".into(), on: true }));
        assert_eq!(said("/msg @ben hi  there"), Said::Run(Run::Message { user: "ben".into(), text: "hi  there".into() }));
        assert_eq!(said("/msg \"a b\" hi \"you\""), Said::Run(Run::Message { user: "a b".into(), text: "hi \"you\"".into() }));
        assert_eq!(said("/msg @\"a b\": hi"), Said::Run(Run::Message { user: "a b".into(), text: "hi".into() }));
        assert_eq!(said("/msg \"a b"), Said::Run(Run::Message { user: "\"a".into(), text: "b".into() }));
        for whois in ["/whois a b", "/whois \"a b\"", "/whois @a b"] {
            assert_eq!(said(whois), Said::Run(Run::Whois("a b".into())), "{whois}");
        }
        assert_eq!(said("/mute \"a b\" 5"), Said::Run(Run::Mute { user: "a b".into(), minutes: 5 }));
        assert_eq!(said("/role \"a b\" owner"), Said::Run(Run::Role("a b".into(), MemberRole::Owner)));
        assert_eq!(
            said("/new private \"our plans\" ben @\"a b\""),
            Said::Run(Run::NewPrivate { name: "our plans".into(), users: vec!["ben".into(), "a b".into()] })
        );
        assert_eq!(
            (said("/join my room"), said("/join #\"my room\"")),
            (said("/j \"my room\""), Said::Run(Run::Join("my room".into())))
        );
        assert_eq!(said("/topic -"), Said::Run(Run::Topic(Some(String::new()))));
        assert_eq!(said("/mute ben"), Said::Run(Run::Mute { user: "ben".into(), minutes: 60 }));
        assert_eq!(
            said("/new private plans ben @cleo"),
            Said::Run(Run::NewPrivate { name: "plans".into(), users: vec!["ben".into(), "cleo".into()] })
        );
    }

    #[test]
    fn what_is_not_a_command_is_answered_with_one_that_is() {
        let wrong = |line: &str| match said(line) {
            Said::Wrong(why) => why,
            other => panic!("{line}: {other:?}"),
        };
        assert!(wrong("/jion lobby").contains("/join?"));
        assert!(wrong("/sear").contains("/search?"));
        assert!(wrong("/xyzzy").contains("/help names them"));
        assert!(wrong("/goto x").starts_with("/goto N: "));
        assert!(wrong("/me").starts_with("/me TEXT: "));
        assert!(!wrong("/a\u{1b}b").contains('\u{1b}'));
    }

    #[test]
    fn every_command_of_the_help_does_something() {
        let arguments = ["", "x", "7", "ben owner", "private a", "7 x"];
        for known in COMMANDS {
            let works = |name: &str| arguments.iter().any(|arg| !matches!(said(&format!("/{name} {arg}")), Said::Wrong(_)));
            assert!(works(known.name) && known.also.iter().all(|name| works(name)), "{}", known.name);
        }
    }
}
