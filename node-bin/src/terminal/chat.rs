//! `node chat`: the last messages, then live ones; each line that is written is posted. A server that dies is a quiet line, nothing more.

use super::lines::{HELP, Said, said, told, who};
use super::remote::{Remote, ask_once};
use super::{enter, harmless, lines};
use crate::cli::Chat;
use crate::{hex, show};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use tertulia_driver::{ClientEvent, SubmitError};
use tertulia_protocol::chat::password::Password;
use tertulia_protocol::chat::{Command, RoomRef, Settings, SignIn};
use tertulia_protocol::gateway::{Answer, Ask, From, How, Token};
use tertulia_protocol::ids::{RoomId, UserId};
use tokio::io::{BufReader, Lines, Stdin};

const EARLIER: u32 = 10;
/// Members that /who names.
const MEMBERS: u32 = 100;

type Input = Lines<BufReader<Stdin>>;

pub async fn chat(args: &Chat) -> Result<(), String> {
    let chatting = async {
        let mut input = lines();
        let token = hex::draw_token();
        open(args, token, &mut input).await?;
        let mut remote = Remote::with_token(&args.user, token, &args.servers.urls);
        let room = enter(&mut remote, &args.room, true, None).await?;
        remote.follow(RoomRef::Id(room), From::Last(EARLIER)).await;
        let (room_name, user) = (harmless(&args.room), harmless(&args.user));
        show(&format!("-- {room_name}, as {user}; write a line and press Enter, end with Ctrl-D; /help for more"));
        talk(&mut remote, room, &mut input).await
    };
    tokio::select! {
        ended = chatting => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// Opens the session with a password, where the cluster wants one or one is given. Otherwise the client signs in by itself, by name alone.
async fn open(args: &Chat, token: Token, input: &mut Input) -> Result<(), String> {
    let asked = args.password_stdin || args.register;
    let wanted = match settings(args).await {
        Some(settings) => matches!(settings.sign_in, SignIn::Accounts | SignIn::Invite),
        None => false,
    };
    if !asked && !wanted {
        return Ok(());
    }
    let password = Password(password(args, input).await?);
    let how = match args.register {
        true => How::Register { password, invite: args.invite.clone() },
        false => How::LogIn { password },
    };
    let (name, device) = (args.user.clone(), "terminal".to_owned());
    let mut why = String::new();
    for url in &args.servers.urls {
        let ask = Ask::SignInAs { name: name.clone(), token, device: device.clone(), how: how.clone() };
        match ask_once(url, ask).await.map(|reply| reply.result) {
            Ok(Ok(_)) => return Ok(()),
            // Under the same token it is the same session, wherever it is asked for again.
            Ok(Err(refusal)) if refusal.is_temporary() => why = refusal.to_string(),
            Ok(Err(refusal)) => return Err(refusal.to_string()),
            Err(error) => why = error,
        }
    }
    Err(why)
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

async fn password(args: &Chat, input: &mut Input) -> Result<String, String> {
    let stdin = std::io::stdin();
    let typed = !args.password_stdin && stdin.is_terminal();
    if !typed && !args.password_stdin {
        return Err("this cluster wants a password: give it as the first line of standard input, with --password-stdin".into());
    }
    let before = if typed { tcgetattr(&stdin).ok() } else { None };
    if let Some(before) = &before {
        eprint!("password of {}: ", harmless(&args.user));
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Now, &hidden).map_err(|error| format!("cannot hide what you type: {error}"))?;
    }
    let read = tokio::select! {
        read = input.next_line() => read,
        _ = tokio::signal::ctrl_c() => Ok(None),
    };
    if let Some(before) = before {
        let _ = tcsetattr(&stdin, OptionalActions::Now, &before);
        eprintln!();
    }
    match read {
        Ok(Some(line)) => Ok(line),
        Ok(None) => Err("no password was given".into()),
        Err(error) => Err(format!("cannot read the password: {error}")),
    }
}

async fn talk(remote: &mut Remote, room: RoomId, input: &mut Input) -> Result<(), String> {
    let (mut open, mut waiting) = (true, None::<(Command, String)>);
    let mut written = BTreeMap::new();
    loop {
        if let Some((command, text)) = waiting.take() {
            match remote.submit(command.clone()).await {
                Ok(number) => drop(written.insert(number, text)),
                Err(SubmitError::WindowFull) => waiting = Some((command, text)),
                Err(error) => return Err(error.to_string()),
            }
        }
        if !open && waiting.is_none() && written.is_empty() {
            return Ok(());
        }
        tokio::select! {
            biased;
            event = remote.next() => match event? {
                ClientEvent::SignedIn { server, .. } => show(&format!("-- now on {}", remote.server(server))),
                event => happened(event, &mut written)?,
            },
            read = input.next_line(), if open && waiting.is_none() => match read {
                Ok(Some(text)) if text.trim().is_empty() => {}
                Ok(Some(text)) => match said(room, &text) {
                    Said::Do(command) => waiting = Some((command, text)),
                    Said::Who => remote.ask(Ask::Members { room: RoomRef::Id(room), after: UserId(0), limit: MEMBERS }).await,
                    Said::Quit => open = false,
                    Said::Help => show(HELP),
                    Said::Wrong(why) => show(&format!("-- {why}")),
                },
                Ok(None) => open = false,
                Err(error) => return Err(format!("cannot read what you write: {error}")),
            },
        }
    }
}

fn happened(event: ClientEvent, written: &mut BTreeMap<u64, String>) -> Result<(), String> {
    match event {
        ClientEvent::Deliver(event) => {
            if let Some(line) = told(&event) {
                show(&line);
            }
        }
        ClientEvent::Answered { result: Ok(Answer::Members { members, .. }), .. } => show(&who(&members)),
        ClientEvent::Answered { result: Err(refusal), .. } => show(&format!("-- {refusal}")),
        ClientEvent::Settled { number, result } => {
            let text = written.remove(&number).unwrap_or_default();
            if let Err(refusal) = result {
                show(&format!("-- not done: {refusal} ({})", harmless(&text)));
            }
        }
        ClientEvent::Unfollowed { refusal, .. } | ClientEvent::Rejected(refusal) => return Err(refusal.to_string()),
        _ => {}
    }
    Ok(())
}
