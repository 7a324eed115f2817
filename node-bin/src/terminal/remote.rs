//! The protocol's client over TCP: drives [`Client`] with one connection at a time, each in a task of its own.

use crate::peers::address_of;
use crate::{clock, hex};
use std::time::Duration;
use tertulia_protocol::chat::{Command, RoomRef};
use tertulia_protocol::client::{Client, Config, Output, Timing, WindowFull};
use tertulia_protocol::dice::Seed;
use tertulia_protocol::gateway::{Ask, ClientHello, Event, From, Reply, Request};
use tertulia_protocol::wire::{CLIENT_FRAME_LIMIT, CLIENT_MAGIC, FrameReader, Kind, encode_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Commands that may be under way at once.
const WINDOW: u32 = 32;

pub struct Remote {
    client: Client,
    servers: Vec<String>,
    /// Counts connections: what comes from a former one is dropped.
    generation: u64,
    requests: Option<mpsc::UnboundedSender<Request>>,
    happened: mpsc::Sender<(u64, Happened)>,
    happenings: mpsc::Receiver<(u64, Happened)>,
}

enum Happened {
    Connected,
    Reply(Reply),
    Event(Event),
    Disconnected,
}

impl Remote {
    /// A client of these servers (`http://host:port`), with a session of its own.
    pub fn new(name: &str, servers: &[String]) -> Remote {
        let config = Config {
            name: name.into(),
            token: hex::draw_token(),
            servers: servers.len() as u32,
            first: 0,
            seed: Seed(rand::random()),
            timing: Timing::default(),
            window: WINDOW,
        };
        let (happened, happenings) = mpsc::channel(256);
        Remote {
            client: Client::new(config, clock::now()),
            servers: servers.to_vec(),
            generation: 0,
            requests: None,
            happened,
            happenings,
        }
    }

    pub fn submit(&mut self, command: Command) -> Result<u64, WindowFull> {
        self.client.submit(clock::now(), command)
    }

    pub fn follow(&mut self, room: RoomRef, from: From) {
        self.client.follow(clock::now(), room, from);
    }

    pub fn unsettled(&self) -> u32 {
        self.client.unsettled()
    }

    pub fn servers(&self) -> &[String] {
        &self.servers
    }

    pub fn server(&self, server: u32) -> &str {
        self.servers.get(server as usize).map_or("?", String::as_str)
    }

    /// The next thing that concerns a user. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Output {
        loop {
            while let Some(output) = self.client.poll_output() {
                match output {
                    Output::Connect { server, hello } => self.connect(server, hello),
                    Output::Disconnect => self.disconnect(),
                    Output::Send(request) => {
                        if let Some(requests) = &self.requests {
                            // A connection that has just ended says so itself.
                            let _ = requests.send(request);
                        }
                    }
                    output => return output,
                }
            }
            let deadline = self.client.poll_timeout();
            let timer = async {
                match deadline {
                    Some(deadline) => sleep(deadline.since(clock::now().instant)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                happened = self.happenings.recv() => match happened {
                    Some((generation, happened)) if generation == self.generation => self.happened(happened),
                    _ => {}
                },
                () = timer => self.client.handle_timeout(clock::now()),
            }
        }
    }

    fn happened(&mut self, happened: Happened) {
        let now = clock::now();
        match happened {
            Happened::Connected => self.client.handle_connected(now),
            Happened::Reply(reply) => self.client.handle_reply(now, reply),
            Happened::Event(event) => self.client.handle_event(now, event.into()),
            Happened::Disconnected => {
                self.disconnect();
                self.client.handle_disconnected(now);
            }
        }
    }

    fn disconnect(&mut self) {
        self.generation += 1;
        self.requests = None;
    }

    fn connect(&mut self, server: u32, hello: ClientHello) {
        self.disconnect();
        let (requests, queue) = mpsc::unbounded_channel();
        self.requests = Some(requests);
        let (generation, happened) = (self.generation, self.happened.clone());
        let address = self.servers.get(server as usize).map(|url| address_of(url).to_owned()).unwrap_or_default();
        tokio::spawn(async move {
            // Whoever dropped this client does not listen any more.
            let _ = connection(&address, hello, queue, generation, &happened).await;
            let _ = happened.send((generation, Happened::Disconnected)).await;
        });
    }
}

/// Opens a framed connection and says hello.
pub async fn dial(address: &str, hello: &ClientHello) -> std::io::Result<TcpStream> {
    let mut stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    stream.write_all(&CLIENT_MAGIC).await?;
    stream.write_all(&encode_frame(Kind::ClientHello, hello)).await?;
    Ok(stream)
}

async fn connection(
    address: &str,
    hello: ClientHello,
    queue: mpsc::UnboundedReceiver<Request>,
    generation: u64,
    happened: &mpsc::Sender<(u64, Happened)>,
) -> Option<()> {
    let (reading, writing) = dial(address, &hello).await.ok()?.into_split();
    happened.send((generation, Happened::Connected)).await.ok()?;
    tokio::select! {
        () = write(writing, queue) => Some(()),
        done = read(reading, generation, happened) => done,
    }
}

/// Ends when the queue does: the client wants no more of this connection.
async fn write(mut stream: OwnedWriteHalf, mut queue: mpsc::UnboundedReceiver<Request>) {
    while let Some(request) = queue.recv().await {
        if stream.write_all(&encode_frame(Kind::Request, &request)).await.is_err() {
            return;
        }
    }
}

async fn read(mut stream: OwnedReadHalf, generation: u64, happened: &mpsc::Sender<(u64, Happened)>) -> Option<()> {
    let mut frames = FrameReader::new(CLIENT_FRAME_LIMIT);
    loop {
        while let Some(frame) = frames.next_frame().ok()? {
            let what = match frame.kind {
                Kind::Reply => Happened::Reply(frame.decode().ok()?),
                Kind::Event => Happened::Event(frame.decode().ok()?),
                _ => return None,
            };
            happened.send((generation, what)).await.ok()?;
        }
        if stream.read_buf(frames.buffer()).await.ok()? == 0 {
            return None;
        }
    }
}

/// Asks one server one thing that needs no session.
pub async fn ask_once(url: &str, ask: Ask) -> Result<Reply, String> {
    let fail = |error: &dyn std::fmt::Display| format!("{url}: {error}");
    let asked = async {
        let hello = ClientHello { token: None };
        let mut stream = dial(address_of(url), &hello).await.map_err(|error| fail(&error))?;
        let request = encode_frame(Kind::Request, &Request { id: 1, ask });
        stream.write_all(&request).await.map_err(|error| fail(&error))?;
        let mut frames = FrameReader::new(CLIENT_FRAME_LIMIT);
        loop {
            while let Some(frame) = frames.next_frame().map_err(|error| fail(&error))? {
                if frame.kind == Kind::Reply {
                    return frame.decode().map_err(|error| fail(&error));
                }
            }
            if stream.read_buf(frames.buffer()).await.map_err(|error| fail(&error))? == 0 {
                return Err(fail(&"it closed the connection without an answer"));
            }
        }
    };
    match timeout(Duration::from_secs(5), asked).await {
        Ok(reply) => reply,
        Err(_) => Err(fail(&"no answer within 5 s")),
    }
}
