//! What `node chat` makes of a line that is written, and of an event that comes.

use super::{harmless, line};
use tertulia_protocol::chat::{Change, Changed, Command, MemberView, Notice, Post, RoomRef};
use tertulia_protocol::gateway::{Event, EventKind};
use tertulia_protocol::ids::{RoomId, Seq};

pub const HELP: &str = "\
-- what you write is posted; lines that begin with / are commands, and // posts a line that begins with one /
--   /reply N text    answers message N          /edit N text    changes your message N
--   /delete N        takes message N away       /react N :+1:   reacts to it
--   /topic text      sets the room's topic      /who            says who is here
--   /quit            ends, as Ctrl-D does       /help           says this
-- a line behind ~ waits for a majority: it is kept on so many nodes, and has no number yet";

/// What a line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    Do(Command),
    Who,
    Quit,
    Help,
    /// What is wrong with it.
    Wrong(String),
}

pub fn said(room: RoomId, line: &str) -> Said {
    let room = RoomRef::Id(room);
    let Some(command) = line.strip_prefix('/') else { return Said::Do(Command::Post { room, text: line.into() }) };
    if command.starts_with('/') {
        return Said::Do(Command::Post { room, text: command.into() });
    }
    let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
    let rest = rest.trim();
    let number = || {
        let (number, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let number = number.trim_start_matches('#').parse::<Seq>();
        number
            .map(|number| (number, rest.trim().to_owned()))
            .map_err(|_| format!("/{name} wants a message's number: /{name} 17 …"))
    };
    let with_text = |does: fn(RoomRef, Seq, String) -> Command| match number() {
        Ok((_, text)) if text.is_empty() => Said::Wrong(format!("/{name} wants something after the number")),
        Ok((seq, text)) => Said::Do(does(room.clone(), seq, text)),
        Err(why) => Said::Wrong(why),
    };
    match name {
        "reply" => with_text(|room, to, text| Command::Respond { room, to, text }),
        "edit" => with_text(|room, seq, text| Command::Edit { room, seq, text }),
        "react" => with_text(|room, seq, emoji| Command::React { room, seq, emoji, on: true }),
        "delete" => match number() {
            Ok((seq, _)) => Said::Do(Command::Delete { room, seq }),
            Err(why) => Said::Wrong(why),
        },
        "topic" => Said::Do(Command::SetTopic { room, topic: rest.into() }),
        "who" => Said::Who,
        "quit" => Said::Quit,
        "help" => Said::Help,
        _ => Said::Wrong(format!("there is no command /{}: /help names them", harmless(name))),
    }
}

/// A message with the number that commands want: `12:03 #17 ana: hello`.
pub fn numbered(post: &Post) -> String {
    let plain = line(post);
    let (at, rest) = plain.split_once(' ').unwrap_or(("", &plain));
    let text = match (post.more.deleted, post.more.reply_to) {
        (Some(_), _) => format!("{}: (deleted)", harmless(&post.author_name)),
        (None, Some(to)) => rest.replacen(": ", &format!(", to #{to}: "), 1),
        (None, None) => rest.into(),
    };
    let edited = if post.more.edited.is_some() && post.more.deleted.is_none() { " (edited)" } else { "" };
    format!("{at} #{} {text}{edited}", post.seq)
}

/// What there is to show of an event.
pub fn told(event: &Event) -> Option<String> {
    Some(match &event.kind {
        EventKind::Posted(post) => numbered(post),
        EventKind::Changed(changed) => format!("-- {}", change(changed)),
        EventKind::Skipped { .. } => "-- some events are no longer kept".into(),
        EventKind::Notice(notice) => match &**notice {
            Notice::Invited { name, .. } => format!("-- you are invited to {}", harmless(name)),
            Notice::Friendship { name, friendship, .. } => format!("-- {}: {friendship:?}", harmless(name)),
            Notice::Read { .. } | Notice::Mentioned { .. } => return None,
        },
        // Of this moment; and messages without a place, which the client machine tells as a room's tail.
        EventKind::Typing { .. } | EventKind::Presence { .. } => return None,
        EventKind::Tentative(_) | EventKind::Withdrawn { .. } | EventKind::Tail(_) => return None,
    })
}

pub fn change(changed: &Changed) -> String {
    let (by, user) = (harmless(&changed.by_name), harmless(&changed.user_name));
    match &changed.change {
        Change::Edited { seq } => match &changed.post {
            Some(post) if post.more.deleted.is_none() => format!("{by} changed #{seq}: {}", harmless(&post.text)),
            _ => format!("{by} changed #{seq}"),
        },
        Change::Deleted { seq } => format!("{by} deleted #{seq}"),
        Change::Reacted { seq, emoji, on: true } => format!("{by} reacts to #{seq} with {}", harmless(emoji)),
        Change::Reacted { seq, emoji, on: false } => format!("{by} takes {} off #{seq}", harmless(emoji)),
        Change::Pinned { seq, on: true } => format!("{by} pinned #{seq}"),
        Change::Pinned { seq, on: false } => format!("{by} unpinned #{seq}"),
        Change::Joined { .. } => format!("{user} is here"),
        Change::Left { .. } => format!("{user} has left"),
        Change::Kicked { .. } => format!("{by} removed {user}"),
        Change::Banned { on: true, .. } => format!("{by} banned {user}"),
        Change::Banned { on: false, .. } => format!("{by} lets {user} in again"),
        Change::Muted { until: Some(_), .. } => format!("{by} muted {user}"),
        Change::Muted { until: None, .. } => format!("{user} may write again"),
        Change::Role { role, .. } => format!("{by} made {user} {role:?}").to_lowercase(),
        Change::Topic { topic } if topic.is_empty() => format!("{by} took the topic away"),
        Change::Topic { topic } => format!("{by} set the topic: {}", harmless(topic)),
        Change::Renamed { name } => format!("{by} calls this room {}", harmless(name)),
        Change::Archived { on: true } => format!("{by} archived this room"),
        Change::Archived { on: false } => format!("{by} opened this room again"),
        Change::Rules { .. } => format!("{by} changed this room's rules"),
    }
}

/// Members in a line: who is connected first.
pub fn who(members: &[MemberView]) -> String {
    let named = |online: bool| {
        let these = members.iter().filter(|member| member.user.online == online);
        these.map(|member| harmless(&member.user.name)).collect::<Vec<_>>().join(", ")
    };
    match (named(true), named(false)) {
        (here, away) if away.is_empty() => format!("-- here: {here}"),
        (here, away) if here.is_empty() => format!("-- away: {away}"),
        (here, away) => format!("-- here: {here}; away: {away}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tertulia_protocol::chat::More;
    use tertulia_protocol::ids::{MessageId, UserId};
    use tertulia_protocol::time::Timestamp;

    const ROOM: RoomId = RoomId(3);

    #[test]
    fn a_line_is_posted_and_a_slash_commands() {
        let room = || RoomRef::Id(ROOM);
        let post = |text: &str| Said::Do(Command::Post { room: room(), text: text.into() });
        assert_eq!(said(ROOM, "hello /who"), post("hello /who"));
        assert_eq!(said(ROOM, "//etc/passwd"), post("/etc/passwd"));
        assert_eq!(said(ROOM, "/reply 7 yes, so"), Said::Do(Command::Respond { room: room(), to: 7, text: "yes, so".into() }));
        assert_eq!(said(ROOM, "/delete #7"), Said::Do(Command::Delete { room: room(), seq: 7 }));
        assert_eq!(
            said(ROOM, "/react 7 :+1:"),
            Said::Do(Command::React { room: room(), seq: 7, emoji: ":+1:".into(), on: true })
        );
        assert_eq!(said(ROOM, "/topic"), Said::Do(Command::SetTopic { room: room(), topic: String::new() }));
        assert_eq!((said(ROOM, "/who"), said(ROOM, "/quit"), said(ROOM, "/help")), (Said::Who, Said::Quit, Said::Help));
        for wrong in ["/edit", "/edit x y", "/edit 7", "/delete", "/quti"] {
            assert!(matches!(said(ROOM, wrong), Said::Wrong(_)), "{wrong}");
        }
    }

    #[test]
    fn messages_have_the_number_that_commands_want() {
        let more = More { reply_to: Some(2), edited: Some(Timestamp(0)), ..More::default() };
        let (author, author_name, at) = (UserId(1), "ana".into(), Timestamp(0));
        let post = Post { seq: 7, id: MessageId(1), author, author_name, text: "yes: so".into(), at, more };
        assert_eq!(numbered(&post), "00:00 #7 ana, to #2: yes: so (edited)");
    }
}
