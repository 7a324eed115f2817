//! The servers as the terminal's clients reach them.

use super::is_post;
use crate::hex;
use crate::peers::address_of;
use std::path::Path;
use std::time::Duration;
use tertulia_driver::{
    ClientEvent, ClientHandle, ClientRunner, OpenCommand, Outbox, OutboxError, SubmitError, SystemClock, TokioNet,
};
use tertulia_protocol::chat::{Command, Devices, RoomRef};
use tertulia_protocol::client::{Choice, Config, Timing};
use tertulia_protocol::dice::Seed;
use tertulia_protocol::gateway::{Ask, ClientHello, From, How, Reply, Request};
use tertulia_protocol::wire::{CLIENT_FRAME_LIMIT, CLIENT_MAGIC, FrameReader, Kind, encode_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Commands that may be under way at once, those among them that a side without a majority has accepted: as many as a session may have.
const WINDOW: u32 = 64;
/// For how long a session is logged out.
const GOODBYE: Duration = Duration::from_secs(1);

/// A client with a session of its own, on one server at a time.
pub struct Remote {
    /// Whose it is.
    pub name: String,
    client: ClientHandle,
    running: JoinHandle<()>,
    servers: Vec<String>,
    /// Why there is no connection, while there is none.
    failure: Option<String>,
    /// What is unsettled at the end is kept.
    pub keeps: bool,
    /// Where the client was signed in last.
    at: Option<String>,
    /// The cluster has refused the session for good.
    refused: bool,
}

impl Remote {
    /// `servers`: `http://host:port` each. What is unsettled at the end is lost.
    pub fn signing_in(name: &str, how: How, servers: &[String]) -> Remote {
        let (client, running) = runner(name, how, servers).start();
        Remote {
            name: name.into(),
            client,
            running: tokio::spawn(running),
            servers: servers.to_vec(),
            failure: None,
            keeps: false,
            at: None,
            refused: false,
        }
    }

    /// As [`Remote::signing_in`], with an outbox in a file: goes on where the last process that had it ended.
    pub fn kept(name: &str, how: How, servers: &[String], outbox: Outbox) -> Result<Remote, String> {
        let (client, running) = runner(name, how, servers).resume(outbox).map_err(|error| error.to_string())?;
        Ok(Remote {
            name: name.into(),
            client,
            running: tokio::spawn(running),
            servers: servers.to_vec(),
            failure: None,
            keeps: true,
            at: None,
            refused: false,
        })
    }

    /// With the outbox of this file, if one is named.
    pub fn with(name: &str, how: How, servers: &[String], outbox: Option<&Path>) -> Result<Remote, String> {
        match outbox {
            None => Ok(Remote::signing_in(name, how, servers)),
            Some(path) => {
                let outbox = opened(path).map_err(|error| error.to_string())?;
                Remote::kept(name, how, servers, outbox).map_err(|error| format!("{}: {error}", path.display()))
            }
        }
    }

    /// Logs the session out that nobody will use again, as well as that goes within a moment. Not where a message is still to be committed under it.
    pub async fn log_out(&mut self) {
        let nowhere = self.at.is_none() && self.failure.is_some();
        if self.keeps || self.refused || nowhere || self.open().await.iter().any(|(_, command, _)| is_post(command)) {
            return;
        }
        let Ok(number) = self.submit(Command::LogOut { devices: Devices::This }).await else { return };
        let over = async {
            while let Ok(event) = self.next().await {
                match event {
                    ClientEvent::Settled { number: settled, .. } if settled == number => return,
                    ClientEvent::Rejected(_) => return,
                    _ => {}
                }
            }
        };
        // Nobody answers: then the session stays, until the cluster's `idle_ms` ends it.
        let _ = timeout(GOODBYE, over).await;
    }

    /// Ends the client; what it wanted kept is written then.
    pub async fn end(self) {
        drop(self.client);
        // A task that panicked has said so.
        let _ = self.running.await;
    }

    /// Commands that are not settled, also those of earlier processes.
    pub async fn open(&self) -> Vec<OpenCommand> {
        self.client.open().await
    }

    /// Also uses the servers that the cluster names.
    pub async fn learn_servers(&self) {
        self.client.learn_servers().await;
    }

    pub async fn submit(&self, command: Command) -> Result<u64, SubmitError> {
        self.client.submit(command).await
    }

    /// The answer comes among the events, with this number.
    pub async fn ask(&self, ask: Ask) -> Option<u64> {
        self.client.ask(ask).await
    }

    pub async fn follow(&self, room: RoomRef, from: From) {
        self.client.follow(room, from).await;
    }

    /// Follows every room that the user is in, also those joined later.
    pub async fn follow_all(&self) {
        self.client.follow_all().await;
    }

    /// Takes a command back that was certainly never sent.
    pub async fn withdraw(&self, number: u64) -> Option<Command> {
        self.client.withdraw(number).await
    }

    /// What happens next. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<ClientEvent, String> {
        let event = self.client.next().await.ok_or("the client has ended: this is a bug, please report it")?;
        match &event {
            ClientEvent::Connected { .. } => self.failure = None,
            ClientEvent::Disconnected { server, why } => {
                let why = why.split(" (os error").next().unwrap_or(why);
                let address = address_of(self.server(*server));
                self.failure = Some(if why.starts_with(address) { why.into() } else { format!("{address}: {why}") });
            }
            ClientEvent::Rejected(_) => self.refused = true,
            ClientEvent::SignedIn { server, .. } => self.at = Some(self.server(*server).to_owned()),
            ClientEvent::Servers(servers) => self.servers = servers.iter().map(|address| format!("http://{address}")).collect(),
            ClientEvent::OutboxFailed { why } => return Err(format!("what you send cannot be kept: {why}")),
            _ => {}
        }
        Ok(event)
    }

    /// What to add to a message about silence: ` (127.0.0.1:8081: Connection refused)`, or nothing.
    pub fn failure(&self) -> String {
        self.failure.as_ref().map_or_else(String::new, |failure| format!(" ({failure})"))
    }

    pub fn servers(&self) -> &[String] {
        &self.servers
    }

    /// Where the client is signed in, or was last.
    pub fn at(&self) -> Option<&str> {
        self.at.as_deref()
    }

    pub fn server(&self, server: u32) -> &str {
        self.servers.get(server as usize).map_or("?", String::as_str)
    }
}

/// Opens an outbox, and says if its end is gone.
pub fn opened(path: &Path) -> Result<Outbox, OutboxError> {
    let outbox = Outbox::open(path)?;
    if outbox.torn() > 0 {
        let (path, torn) = (path.display(), outbox.torn());
        eprintln!(
            "the last {torn} bytes of {path} were not written to their end and were cut off: look whether your last message is in its room"
        );
    }
    Ok(outbox)
}

fn runner(name: &str, how: How, servers: &[String]) -> ClientRunner<TokioNet, SystemClock> {
    let config = Config {
        name: name.into(),
        how,
        device: "terminal".into(),
        token: hex::draw_token(),
        servers: servers.len() as u32,
        first: 0,
        seed: Seed(rand::random()),
        timing: Timing { choice: Some(Choice::default()), ..Timing::default() },
        window: WINDOW,
    };
    let servers = servers.iter().map(|url| address_of(url).to_owned()).collect();
    ClientRunner { config, net: TokioNet::default(), clock: SystemClock::new(), servers }
}

/// Asks one server one thing that needs no session.
pub async fn ask_once(url: &str, ask: Ask) -> Result<Reply, String> {
    match timeout(Duration::from_secs(5), exchange(address_of(url), ask)).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(error)) => Err(format!("{url}: {error}")),
        Err(_) => Err(format!("{url}: no answer within 5 s")),
    }
}

async fn exchange(address: &str, ask: Ask) -> std::io::Result<Reply> {
    let mut stream = TcpStream::connect(address).await?;
    let hello = encode_frame(Kind::ClientHello, &ClientHello { token: None });
    let request = encode_frame(Kind::Request, &Request { id: 1, ask });
    stream.write_all(&[&CLIENT_MAGIC[..], &hello, &request].concat()).await?;
    let mut frames = FrameReader::new(CLIENT_FRAME_LIMIT);
    loop {
        while let Some(frame) = frames.next_frame().map_err(std::io::Error::other)? {
            if frame.kind == Kind::Reply {
                return frame.decode().map_err(std::io::Error::other);
            }
        }
        if stream.read_buf(frames.buffer()).await? == 0 {
            return Err(std::io::Error::other("it closed the connection without an answer"));
        }
    }
}
