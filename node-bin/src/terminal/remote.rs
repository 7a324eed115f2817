//! The servers as the terminal's clients reach them.

use crate::hex;
use crate::peers::address_of;
use std::time::Duration;
use tertulia_driver::{ClientEvent, ClientHandle, ClientRunner, SubmitError, SystemClock, TokioNet};
use tertulia_protocol::chat::{Command, RoomRef};
use tertulia_protocol::client::{Config, Timing};
use tertulia_protocol::dice::Seed;
use tertulia_protocol::gateway::{Ask, ClientHello, From, Reply, Request, Token};
use tertulia_protocol::wire::{CLIENT_FRAME_LIMIT, CLIENT_MAGIC, FrameReader, Kind, encode_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Commands that may be under way at once.
const WINDOW: u32 = 32;

/// A client with a session of its own, on one server at a time.
pub struct Remote {
    client: ClientHandle,
    servers: Vec<String>,
    /// Why there is no connection, while there is none.
    failure: Option<String>,
}

impl Remote {
    /// `servers`: `http://host:port` each.
    pub fn new(name: &str, servers: &[String]) -> Remote {
        Remote::with_token(name, hex::draw_token(), servers)
    }

    /// With a token whose session may be open already.
    pub fn with_token(name: &str, token: Token, servers: &[String]) -> Remote {
        let config = Config {
            name: name.into(),
            token,
            servers: servers.len() as u32,
            first: 0,
            seed: Seed(rand::random()),
            timing: Timing::default(),
            window: WINDOW,
        };
        let addresses = servers.iter().map(|url| address_of(url).to_owned()).collect();
        let runner = ClientRunner { config, net: TokioNet::default(), clock: SystemClock::new(), servers: addresses };
        let (client, running) = runner.start();
        tokio::spawn(running);
        Remote { client, servers: servers.to_vec(), failure: None }
    }

    pub async fn submit(&self, command: Command) -> Result<u64, SubmitError> {
        self.client.submit(command).await
    }

    /// The answer comes among the events.
    pub async fn ask(&self, ask: Ask) {
        let _ = self.client.ask(ask).await;
    }

    pub async fn follow(&self, room: RoomRef, from: From) {
        self.client.follow(room, from).await;
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

    pub fn server(&self, server: u32) -> &str {
        self.servers.get(server as usize).map_or("?", String::as_str)
    }
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
