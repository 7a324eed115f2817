//! `node chat`: who chats, with what session, and whether on a whole screen or by lines.
//!
//! What is written is kept in a file of the state folder until it is acknowledged: a chat that ends before goes on with it the next time.

use super::remote::{Remote, ask_once, opened};
use super::{Failed, Input, advice, harmless, is_post, lines, plain, screen};
use crate::cli::Chat;
use crate::show;
use jiff::tz::TimeZone;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tertulia_driver::OutboxError;
use tertulia_protocol::chat::password::Password;
use tertulia_protocol::chat::{Refusal, Settings, SignIn};
use tertulia_protocol::client::Status;
use tertulia_protocol::gateway::{Answer, Ask, How};
use tokio::time::{Instant, timeout_at};
use xxhash_rust::xxh3::xxh3_64;

/// At its end a chat waits for so long for the answers to what it has just sent.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

pub async fn chat(args: &Chat) -> Result<(), Failed> {
    let user = user(args)?;
    let mut input = lines();
    let (mut remote, file) = open(args, &user, &mut input).await?;
    let ended = match is_screen(args) {
        true => {
            let named = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
            let options = screen::Options {
                name: user.clone(),
                room: args.room.clone(),
                colours: !named("NO_COLOR"),
                bell: args.bell,
                zone: TimeZone::system(),
            };
            match screen::run(&mut remote, options, args.mouse).await {
                Ok(screen::Ended::Quit) => Ok(()),
                Ok(screen::Ended::Rejected(refusal)) => Err(Failed::refused(rejected(&refusal, &user, file.as_deref()))),
                Err(error) => Err(error.into()),
            }
        }
        false => tokio::select! {
            ended = plain::run(args, &mut remote, &mut input, &user) => ended,
            _ = tokio::signal::ctrl_c() => Ok(()),
        },
    };
    let open = unacknowledged(&mut remote).await;
    if open > 0 && remote.keeps {
        show(&format!("-- {open} not acknowledged yet: kept, and sent when you chat here again"));
    }
    remote.log_out().await;
    remote.end().await;
    ended
}

/// How many messages are not acknowledged. Those that are on their way may be in a moment, and it would be wrong to say so of them.
async fn unacknowledged(remote: &mut Remote) -> usize {
    let until = Instant::now() + ON_ITS_WAY;
    loop {
        let mut open = remote.open().await;
        open.retain(|(_, command, _)| is_post(command));
        let on_its_way = open.iter().any(|(.., status)| *status == Status::Sent);
        if !on_its_way || !matches!(timeout_at(until, remote.next()).await, Ok(Ok(_))) {
            return open.len();
        }
    }
}

/// On a whole screen, where there is one.
fn is_screen(args: &Chat) -> bool {
    let is_dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    !args.plain && !args.password_stdin && !is_dumb && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// The name that was given, or that of whoever is logged in here.
fn user(args: &Chat) -> Result<String, String> {
    let named = |name: &str| std::env::var(name).ok().filter(|user| !user.trim().is_empty());
    let user = args.user.clone().or_else(|| named("USER")).or_else(|| named("LOGNAME"));
    user.ok_or_else(|| "say who you are: node chat --user NAME".into())
}

/// Why there is no session any more, and what to do. A kept one that is over is put aside: the next chat signs in anew.
fn rejected(refusal: &Refusal, user: &str, file: Option<&Path>) -> String {
    let over = matches!(refusal, Refusal::LoggedOut | Refusal::UnknownSession);
    let Some(file) = file.filter(|_| over) else { return advice(refusal, user) };
    let mut aside = file.as_os_str().to_owned();
    aside.push(".over");
    match std::fs::rename(file, &aside) {
        Ok(()) => format!("{refusal}. What that session had not sent is in {}; chat again to sign in", aside.display()),
        Err(error) => format!("{refusal}; {} cannot be put aside: {error}", file.display()),
    }
}

/// With the outbox of this user and these servers, unless another chat has it. A session that goes on needs no password.
async fn open(args: &Chat, user: &str, input: &mut Input) -> Result<(Remote, Option<PathBuf>), String> {
    let servers = &args.servers.urls;
    let folder = args.state.clone().or_else(state_folder).filter(|_| !args.forget);
    let file = folder.map(|folder| folder.join(file_name(user, servers)));
    let outbox = match file.as_deref().map(opened) {
        None => None,
        Some(Ok(outbox)) => Some(outbox),
        Some(Err(OutboxError::InUse { .. })) => {
            show("-- you chat here in another window, too: what this one has not sent at its end is lost");
            None
        }
        Some(Err(error)) => return Err(format!("{error}, or chat with --forget")),
    };
    let goes_on = outbox.as_ref().is_some_and(|outbox| !outbox.records().is_empty());
    let with_password = args.password_stdin || args.register;
    let how = if goes_on && !with_password { How::Name } else { how(args, user, input).await? };
    // Whoever gives a password wants it looked at, which a session that is open does not do.
    let outbox = outbox.filter(|_| !(goes_on && with_password));
    match outbox {
        Some(outbox) => Ok((Remote::kept(user, how, servers, outbox)?, file)),
        None => Ok((Remote::signing_in(user, how, servers), None)),
    }
}

/// Where programs keep what is worth more than a cache and less than a document (XDG base directories).
fn state_folder() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    Some(named("XDG_STATE_HOME").or_else(|| Some(named("HOME")?.join(".local/state")))?.join("tertulia"))
}

/// A session belongs to one user of one cluster.
fn file_name(user: &str, servers: &[String]) -> String {
    let mut servers = servers.to_vec();
    servers.sort();
    let shown: String = user.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    format!("{shown}-{:016x}.outbox", xxh3_64(format!("{user}\n{}", servers.join("\n")).as_bytes()))
}

/// With a password, where the cluster wants one or one is given.
async fn how(args: &Chat, user: &str, input: &mut Input) -> Result<How, String> {
    let asked = args.password_stdin || args.register;
    let wanted = match settings(args).await {
        Some(settings) => matches!(settings.sign_in, SignIn::Accounts | SignIn::Invite),
        None => false,
    };
    if !asked && !wanted {
        return Ok(How::Name);
    }
    let password = Password(password(args, user, input).await?);
    Ok(match args.register {
        true => How::Register { password, invite: args.invite.clone() },
        false => How::LogIn { password },
    })
}

/// The cluster's settings, from the first server that answers.
async fn settings(args: &Chat) -> Option<Settings> {
    for url in &args.servers.urls {
        if let Ok(Ok(Answer::Settings(settings))) = ask_once(url, Ask::Settings).await.map(|reply| reply.result) {
            return Some(*settings);
        }
    }
    None
}

async fn password(args: &Chat, user: &str, input: &mut Input) -> Result<String, String> {
    let typed = !args.password_stdin && std::io::stdin().is_terminal();
    if !typed && !args.password_stdin {
        return Err("this cluster wants a password: give it as the first line of standard input, with --password-stdin".into());
    }
    if !typed {
        return first_line(input).await;
    }
    if !args.register {
        return typed_password(&format!("password of {}: ", harmless(user)), input).await;
    }
    let password = typed_password(&format!("new password of {}: ", harmless(user)), input).await?;
    match typed_password("once more: ", input).await? == password {
        true => Ok(password),
        false => Err("these are two different passwords, so no account was made: try again".into()),
    }
}

/// Asks for it at the terminal, which does not show it.
async fn typed_password(prompt: &str, input: &mut Input) -> Result<String, String> {
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin).ok();
    if let Some(before) = &before {
        eprint!("{prompt}");
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Now, &hidden).map_err(|error| format!("cannot hide what you type: {error}"))?;
    }
    let read = first_line(input).await;
    if let Some(before) = before {
        let _ = tcsetattr(&stdin, OptionalActions::Now, &before);
        eprintln!();
    }
    read
}

async fn first_line(input: &mut Input) -> Result<String, String> {
    let read = tokio::select! {
        read = input.next_line() => read,
        _ = tokio::signal::ctrl_c() => Ok(None),
    };
    match read {
        Ok(Some(line)) => Ok(line),
        Ok(None) => Err("no password was given".into()),
        Err(error) => Err(format!("cannot read the password: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_of_each_cluster_has_a_file_of_their_own() {
        let name = |user: &str, servers: &[&str]| file_name(user, &servers.iter().map(|url| (*url).into()).collect::<Vec<_>>());
        assert_eq!(name("ana", &["http://a:1", "http://b:1"]), name("ana", &["http://b:1", "http://a:1"]));
        assert_ne!(name("ana", &["http://a:1"]), name("ana", &["http://b:1"]));
        assert_ne!(name("a/na", &["http://a:1"]), name("ana", &["http://a:1"]));
        assert!(name("../../etc", &[]).starts_with("etc-"));
    }
}
