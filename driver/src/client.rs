//! Runs a [`Client`] machine over a network: for the command line, and for the simulator's workloads.
//!
//! One task owns the machine; one more for each connection reads and writes it. Events that nobody takes stop the reading, so that a slow consumer
//! slows its server down instead of filling memory here.
//!
//! With an [`Outbox`] the client goes on where an earlier process ended: commands are on disk before they are sent. Its file is written by the machine's task itself: records are
//! small, and nothing is sent meanwhile that could wait for less.

use crate::clock::Clock;
use crate::framing::{self, Lost, Reading};
use crate::net::Net;
use crate::outbox::Outbox;
use bytes::Bytes;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tertulia_protocol::chat::{Command, Done, Refusal, RoomRef};
use tertulia_protocol::client::{Change, Client, Config, Output, Probed, ResumeError, Status as Progress};
use tertulia_protocol::gateway::{
    Answer, Ask, ClientHello, CloseReason, Event, From as Place, Reply, Request, Status, TentativePost,
};
use tertulia_protocol::ids::{Cursor, MessageId, RoomId, UserId};
use tertulia_protocol::wire::{CLIENT_FRAME_LIMIT, CLIENT_MAGIC, Frame, Kind, encode_frame};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

/// Commands that may wait for the machine.
const COMMANDS: usize = 64;
/// Things to tell that nobody has taken. Beyond it the connection is not read.
const UNTAKEN: usize = 1_024;
/// Frames read ahead of the machine.
const READ_AHEAD: usize = 64;
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const WRITE_LIMIT: Duration = Duration::from_secs(5);
const READ_PIECE: usize = 16 << 10;
/// See the runtime's: a machine that wants to be called at once, again and again, is called so often.
const TIMER_PAUSE: Duration = Duration::from_micros(500);

/// What a client tells its owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientEvent {
    /// A connection to this server stands; the session follows by [`ClientEvent::SignedIn`].
    Connected { server: u32 },
    /// There is no connection; the client goes on by itself at the next server.
    Disconnected { server: u32, why: String },
    /// The session is there (again).
    SignedIn { server: u32, user: UserId, name: String },
    /// The cluster refuses the sign-in for good; nothing more will happen.
    Rejected(Refusal),
    /// A submitted command is done or finally refused. Each number settles once.
    Settled { number: u64, result: Result<Done, Refusal> },
    /// The outbox was an old copy, so whether this command was executed is not known, and will not be. In place of `Settled`.
    Unclear { number: u64 },
    /// A submitted command is accepted without a leader, on so many nodes; it settles later.
    Accepted { number: u64, id: MessageId, copies: u32 },
    /// The tentative messages of a followed room, all of them, in the order in which they are shown behind the committed ones. Told whenever that has changed.
    Tail { room: RoomId, posts: Vec<TentativePost> },
    /// A tentative message of a followed room was refused when it was its turn.
    Withdrawn { room: RoomId, post: Box<TentativePost>, refusal: Refusal },
    /// The answer to an ask.
    Answered { ask: u64, result: Result<Answer, Refusal> },
    /// The next event of a followed room: in order, without gaps, once.
    Deliver(Arc<Event>),
    /// Following a room is refused for good.
    Unfollowed { room: RoomRef, refusal: Refusal },
    /// The list of servers has changed, by [`ClientHandle::learn_servers`]; numbers of servers are places in it from now on.
    Servers(Vec<String>),
    /// The outbox cannot be written: the client has ended, because it could not keep what it sends.
    OutboxFailed { why: String },
}

/// Why a command was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubmitError {
    /// Too many are unsettled: wait for one to settle.
    WindowFull,
    /// The client has ended.
    Ended,
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SubmitError::WindowFull => "too many commands are under way: wait for one to settle",
            SubmitError::Ended => "the client has ended",
        })
    }
}

impl std::error::Error for SubmitError {}

enum Order {
    Submit(Command, oneshot::Sender<Result<u64, SubmitError>>),
    Ask(Ask, oneshot::Sender<u64>),
    Follow(RoomRef, Place),
    FollowAll,
    Withdraw(u64, oneshot::Sender<Option<Command>>),
    Open(oneshot::Sender<Vec<OpenCommand>>),
    Cursor(RoomId, oneshot::Sender<Option<Cursor>>),
    SetServers(Vec<String>),
    LearnServers,
}

/// A command that is not settled: its number, and how far it is.
pub type OpenCommand = (u64, Command, Progress);

/// The owner's side of a running client. Dropping it ends the client.
pub struct ClientHandle {
    orders: mpsc::Sender<Order>,
    events: mpsc::UnboundedReceiver<ClientEvent>,
    untaken: Arc<Untaken>,
}

#[derive(Default)]
struct Untaken {
    count: AtomicUsize,
    taken: Notify,
}

impl ClientHandle {
    /// Hands over a command. Its number comes at once, its outcome by [`ClientEvent::Settled`].
    pub async fn submit(&self, command: Command) -> Result<u64, SubmitError> {
        let (answer, number) = oneshot::channel();
        self.orders.send(Order::Submit(command, answer)).await.map_err(|_| SubmitError::Ended)?;
        number.await.map_err(|_| SubmitError::Ended)?
    }

    /// Asks something that changes nothing. The answer comes by [`ClientEvent::Answered`]. `None` when the client has ended.
    pub async fn ask(&self, ask: Ask) -> Option<u64> {
        let (answer, number) = oneshot::channel();
        self.orders.send(Order::Ask(ask, answer)).await.ok()?;
        number.await.ok()
    }

    /// Follows a room from a place on. Only members may: join first.
    pub async fn follow(&self, room: RoomRef, from: Place) {
        // A client that has ended says so by `next`.
        let _ = self.orders.send(Order::Follow(room, from)).await;
    }

    /// Follows every room that the user is in, also those joined later: from where this client or an earlier run of it was, others from now.
    pub async fn follow_all(&self) {
        let _ = self.orders.send(Order::FollowAll).await;
    }

    /// Takes a command back that was certainly never sent. `None` where it may have been, or is settled.
    pub async fn withdraw(&self, number: u64) -> Option<Command> {
        let (answer, withdrawn) = oneshot::channel();
        self.orders.send(Order::Withdraw(number, answer)).await.ok()?;
        withdrawn.await.ok()?
    }

    /// All commands that are not settled, in order; after a restart those of the runs before, too.
    pub async fn open(&self) -> Vec<OpenCommand> {
        let (answer, open) = oneshot::channel();
        if self.orders.send(Order::Open(answer)).await.is_err() {
            return Vec::new();
        }
        open.await.unwrap_or_default()
    }

    /// The last event of a room that was delivered, by this run or, with an outbox, by one before.
    pub async fn cursor(&self, room: RoomId) -> Option<Cursor> {
        let (answer, cursor) = oneshot::channel();
        self.orders.send(Order::Cursor(room, answer)).await.ok()?;
        cursor.await.ok()?
    }

    /// From now on these are the servers, each `host:port`. The connection stays if its server is among them.
    pub async fn set_servers(&self, servers: Vec<String>) {
        let _ = self.orders.send(Order::SetServers(servers)).await;
    }

    /// From now on the cluster is asked at each sign-in for its members; those are used beside the servers that were given.
    pub async fn learn_servers(&self) {
        let _ = self.orders.send(Order::LearnServers).await;
    }

    /// What happens next. `None` when the client has ended. May be cancelled without losing anything.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        let event = self.events.recv().await?;
        if self.untaken.count.fetch_sub(1, Relaxed) == UNTAKEN {
            self.untaken.taken.notify_one();
        }
        Some(event)
    }
}

/// A client and where its servers are.
pub struct ClientRunner<N: Net, C: Clock> {
    /// `servers` is set to the number of addresses.
    pub config: Config,
    pub net: N,
    pub clock: C,
    /// `host:port` of each server, in the order of their numbers.
    pub servers: Vec<String>,
}

impl<N: Net, C: Clock> ClientRunner<N, C> {
    /// The owner's side, and the future that runs the client until that side is dropped. What is unsettled then is lost.
    pub fn start(self) -> (ClientHandle, impl Future<Output = ()> + Send + 'static) {
        let client = Client::new(self.config(), self.clock.now());
        self.run(client, None)
    }

    /// As [`ClientRunner::start`], going on where the outbox ends: with its token instead of the configured one.
    pub fn resume(self, outbox: Outbox) -> Result<(ClientHandle, impl Future<Output = ()> + Send + 'static), ResumeError> {
        let client = Client::resume(self.config(), &outbox.records(), self.clock.now())?;
        Ok(self.run(client, Some(outbox)))
    }

    fn config(&self) -> Config {
        Config { servers: self.servers.len() as u32, ..self.config.clone() }
    }

    fn run(self, client: Client, outbox: Option<Outbox>) -> (ClientHandle, impl Future<Output = ()> + Send + 'static) {
        let (orders, from_owner) = mpsc::channel(COMMANDS);
        let (to_owner, events) = mpsc::unbounded_channel();
        let (probes, from_probes) = mpsc::channel(1);
        let untaken = Arc::new(Untaken::default());
        let handle = ClientHandle { orders, events, untaken: Arc::clone(&untaken) };
        let running = Running {
            client,
            net: self.net,
            clock: self.clock,
            given: self.servers.clone(),
            servers: self.servers,
            learns: false,
            learning: None,
            to_owner,
            untaken,
            line: None,
            outbox,
            changes: Vec::new(),
            submitted: Vec::new(),
            probes,
        };
        (handle, running.run(from_owner, from_probes))
    }
}

/// What a connection tells the machine's task.
enum FromServer {
    Connected,
    Reply(Reply),
    Event(Event),
    Ended(String),
}

struct Line {
    server: u32,
    /// Bounded by the machine's window.
    requests: mpsc::UnboundedSender<Bytes>,
    from_server: mpsc::Receiver<FromServer>,
    task: JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Running<N: Net, C: Clock> {
    client: Client,
    net: N,
    clock: C,
    servers: Vec<String>,
    /// Those that the owner has named.
    given: Vec<String>,
    learns: bool,
    /// The question for the cluster's members.
    learning: Option<u64>,
    to_owner: mpsc::UnboundedSender<ClientEvent>,
    untaken: Arc<Untaken>,
    line: Option<Line>,
    outbox: Option<Outbox>,
    /// To be written to the outbox, all at once.
    changes: Vec<(Change, Option<Bytes>)>,
    /// Numbers that are told when their commands are on disk.
    submitted: Vec<(oneshot::Sender<Result<u64, SubmitError>>, u64)>,
    probes: mpsc::Sender<(String, Option<Probed>)>,
}

enum Wake {
    Server(Option<FromServer>),
    Probe(String, Option<Probed>),
    Owner(Option<Order>),
    Taken,
    Timer,
}

impl<N: Net, C: Clock> Running<N, C> {
    async fn run(mut self, mut from_owner: mpsc::Receiver<Order>, mut from_probes: mpsc::Receiver<(String, Option<Probed>)>) {
        loop {
            if let Err(why) = self.drain() {
                return self.tell(ClientEvent::OutboxFailed { why });
            }
            let now = self.clock.now();
            let wait = self.client.poll_timeout().map(|at| at.since(now.instant).max(TIMER_PAUSE));
            let has_room = self.untaken.count.load(Relaxed) < UNTAKEN;
            let line = self.line.as_mut();
            let is_line = line.is_some();
            let wake = tokio::select! {
                biased;
                order = from_owner.recv() => Wake::Owner(order),
                heard = next_from(line), if is_line && has_room => Wake::Server(heard),
                Some((address, found)) = from_probes.recv() => Wake::Probe(address, found),
                () = self.untaken.taken.notified(), if !has_room => Wake::Taken,
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => Wake::Timer,
            };
            match wake {
                Wake::Owner(None) => return,
                Wake::Owner(Some(order)) => self.order(order),
                Wake::Server(heard) => {
                    self.hear(heard);
                    for _ in 0..READ_AHEAD {
                        let Some(Ok(more)) = self.line.as_mut().map(|line| line.from_server.try_recv()) else { break };
                        self.hear(Some(more));
                    }
                }
                Wake::Probe(address, found) => {
                    if let Some(server) = self.servers.iter().position(|server| *server == address) {
                        self.client.handle_probed(self.clock.now(), server as u32, found);
                    }
                }
                Wake::Taken | Wake::Timer => {}
            }
            // While its owner takes nothing the machine hears nothing, and must not think its server dead for that.
            let now = self.clock.now();
            if has_room && self.client.poll_timeout().is_some_and(|at| at <= now.instant) {
                self.client.handle_timeout(now);
            }
        }
    }

    /// Carries out all that the machine wants; what it wants kept first, as it may wait for that.
    fn drain(&mut self) -> Result<(), String> {
        loop {
            while let Some(output) = self.client.poll_output() {
                self.carry_out(output);
            }
            let Some((last, _)) = self.changes.last() else { break };
            let serial = last.serial;
            if let Some(outbox) = &mut self.outbox
                && outbox.write(&self.changes).map_err(|error| error.to_string())?
            {
                self.client.handle_kept(self.clock.now(), serial);
            }
            self.changes.clear();
        }
        for (answer, number) in self.submitted.drain(..) {
            let _ = answer.send(Ok(number));
        }
        Ok(())
    }

    fn order(&mut self, order: Order) {
        let now = self.clock.now();
        match order {
            Order::Submit(command, answer) => match self.client.submit(now, command) {
                Ok(number) => self.submitted.push((answer, number)),
                Err(_full) => drop(answer.send(Err(SubmitError::WindowFull))),
            },
            Order::FollowAll => self.client.follow_all(now),
            Order::Withdraw(number, answer) => drop(answer.send(self.client.withdraw(now, number))),
            Order::Open(answer) => {
                let open = self.client.open().map(|(number, command, status)| (number, command.clone(), status));
                let _ = answer.send(open.collect());
            }
            Order::Cursor(room, answer) => drop(answer.send(self.client.cursor(room))),
            Order::SetServers(servers) => {
                self.given.clone_from(&servers);
                self.use_servers(servers);
            }
            Order::LearnServers => {
                self.learns = true;
                self.learning = Some(self.client.ask(now, Ask::Cluster));
            }
            Order::Ask(ask, answer) => drop(answer.send(self.client.ask(now, ask))),
            Order::Follow(room, from) => self.client.follow(now, room, from),
        }
    }

    fn use_servers(&mut self, servers: Vec<String>) {
        let place = |new: &String| self.servers.iter().position(|old| old == new).map(|place| place as u32);
        let was: Vec<Option<u32>> = servers.iter().map(place).collect();
        if servers.is_empty() {
            return;
        }
        self.client.set_servers(self.clock.now(), &was);
        if let Some(line) = &mut self.line
            && let Some(new) = was.iter().position(|was| *was == Some(line.server))
        {
            line.server = new as u32;
        }
        self.servers = servers;
    }

    /// The cluster has named its members.
    fn learned(&mut self, status: &Status) {
        let mut servers = self.given.clone();
        for member in &status.members {
            let address = member.client_address.trim_start_matches("http://").trim_end_matches('/');
            if !address.is_empty() && !servers.iter().any(|known| known == address) {
                servers.push(address.into());
            }
        }
        if servers != self.servers {
            self.use_servers(servers.clone());
            self.tell(ClientEvent::Servers(servers));
        }
    }

    fn hear(&mut self, heard: Option<FromServer>) {
        let now = self.clock.now();
        let Some(server) = self.line.as_ref().map(|line| line.server) else { return };
        match heard {
            Some(FromServer::Connected) => {
                self.client.handle_connected(now);
                self.tell(ClientEvent::Connected { server });
            }
            Some(FromServer::Reply(reply)) => self.client.handle_reply(now, reply),
            Some(FromServer::Event(event)) => self.client.handle_event(now, Arc::new(event)),
            ended => {
                let why = if let Some(FromServer::Ended(why)) = ended { why } else { "the connection's task ended".into() };
                self.line = None;
                self.client.handle_disconnected(now);
                self.tell(ClientEvent::Disconnected { server, why });
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Connect { server, hello } => self.line = Some(self.connect(server, &hello)),
            Output::Disconnect => {
                if let Some(line) = self.line.take() {
                    let why = "the client gave it up".into();
                    self.tell(ClientEvent::Disconnected { server: line.server, why });
                }
            }
            Output::Send(request) => {
                if let Some(line) = &self.line {
                    // A connection that has ended says so.
                    let _ = line.requests.send(encode_frame(Kind::Request, &request));
                }
            }
            Output::SignedIn { server, user, name } => {
                if self.learns && self.learning.is_none() {
                    self.learning = Some(self.client.ask(self.clock.now(), Ask::Cluster));
                }
                self.tell(ClientEvent::SignedIn { server, user, name });
            }
            Output::Rejected(refusal) => self.tell(ClientEvent::Rejected(refusal)),
            Output::Settled { number, result } => self.tell(ClientEvent::Settled { number, result }),
            Output::Answered { ask, result } if self.learning == Some(ask) => {
                self.learning = None;
                if let Ok(Answer::Cluster(status)) = result {
                    self.learned(&status);
                }
            }
            Output::Answered { ask, result } => self.tell(ClientEvent::Answered { ask, result }),
            Output::Deliver(event) => self.tell(ClientEvent::Deliver(event)),
            Output::Unfollowed { room, refusal } => self.tell(ClientEvent::Unfollowed { room, refusal }),
            Output::Accepted { number, id, copies } => self.tell(ClientEvent::Accepted { number, id, copies }),
            Output::Tail { room } => {
                let posts = self.client.tail(room).cloned().collect();
                self.tell(ClientEvent::Tail { room, posts });
            }
            Output::Withdrawn { room, post, refusal } => self.tell(ClientEvent::Withdrawn { room, post, refusal }),
            Output::Unclear { number } => self.tell(ClientEvent::Unclear { number }),
            Output::Keep { change, record } => self.changes.push((change, Some(record))),
            Output::Forget { change } => self.changes.push((change, None)),
            Output::Probe { server } => self.probe(server),
        }
    }

    /// Measures the way to a server beside the connection that stands.
    fn probe(&self, server: u32) {
        let address = self.servers.get(server as usize).cloned().unwrap_or_default();
        let (net, clock, probes) = (self.net.clone(), self.clock.clone(), self.probes.clone());
        tokio::spawn(async move {
            let found = tokio::time::timeout(CONNECT_LIMIT, measure(&net, &clock, &address)).await.ok().and_then(Result::ok);
            // A client that has ended needs no answer.
            let _ = probes.send((address, found)).await;
        });
    }

    fn tell(&self, event: ClientEvent) {
        self.untaken.count.fetch_add(1, Relaxed);
        // An owner that is gone ends the client by its orders' end.
        let _ = self.to_owner.send(event);
    }

    fn connect(&self, server: u32, hello: &ClientHello) -> Line {
        let (requests, to_send) = mpsc::unbounded_channel();
        let (to_machine, from_server) = mpsc::channel(READ_AHEAD);
        let address = self.servers.get(server as usize).cloned().unwrap_or_default();
        let mut greeting = CLIENT_MAGIC.to_vec();
        greeting.extend_from_slice(&encode_frame(Kind::ClientHello, hello));
        let net = self.net.clone();
        let task = tokio::spawn(async move {
            let Err(lost) = converse(&net, &address, Bytes::from(greeting), to_send, &to_machine).await;
            let _ = to_machine.send(FromServer::Ended(format!("{address}: {lost}"))).await;
        });
        Line { server, requests, from_server, task }
    }
}

/// Asks a server for its load; the connection is not counted into the round trip.
async fn measure<N: Net, C: Clock>(net: &N, clock: &C, address: &str) -> Result<Probed, Lost> {
    let stream = net.connect(address).await.map_err(Lost::Io)?;
    let (mut input, mut output) = tokio::io::split(stream);
    let mut greeting = CLIENT_MAGIC.to_vec();
    greeting.extend_from_slice(&encode_frame(Kind::ClientHello, &ClientHello { token: None }));
    framing::write(&mut output, Bytes::from(greeting), WRITE_LIMIT).await?;
    let mut reading = Reading::new(CLIENT_FRAME_LIMIT, READ_PIECE);
    // The first answer may wait for whatever a new connection takes; the second one is measured.
    for id in 1.. {
        let asked = clock.now().instant;
        framing::write(&mut output, encode_frame(Kind::Request, &Request { id, ask: Ask::Load }), WRITE_LIMIT).await?;
        let reply = loop {
            match parse(&reading.next(&mut input).await?)? {
                FromServer::Reply(reply) => break reply,
                FromServer::Ended(_) => return Err(Lost::Ended),
                _ => {}
            }
        };
        if let (2, Ok(Answer::Load { permille })) = (reply.id, reply.result) {
            return Ok(Probed { round_trip: clock.now().instant.since(asked), permille });
        }
        if id > 2 {
            break;
        }
    }
    Err(Lost::Ended)
}

async fn next_from(line: Option<&mut Line>) -> Option<FromServer> {
    line?.from_server.recv().await
}

async fn converse<N: Net>(
    net: &N,
    address: &str,
    greeting: Bytes,
    mut to_send: mpsc::UnboundedReceiver<Bytes>,
    to_machine: &mpsc::Sender<FromServer>,
) -> Result<std::convert::Infallible, Lost> {
    let connecting = tokio::time::timeout(CONNECT_LIMIT, net.connect(address));
    let stream = connecting.await.map_err(|_| Lost::Io(std::io::ErrorKind::TimedOut.into()))?.map_err(Lost::Io)?;
    let (mut input, mut output) = tokio::io::split(stream);
    framing::write(&mut output, greeting, WRITE_LIMIT).await?;
    to_machine.send(FromServer::Connected).await.map_err(|_| Lost::Ended)?;
    tokio::select! {
        biased;
        lost = write_requests(&mut output, &mut to_send) => lost,
        lost = read_answers(&mut input, to_machine) => lost,
    }
}

async fn write_requests<W: AsyncWrite + Unpin>(
    output: &mut W,
    to_send: &mut mpsc::UnboundedReceiver<Bytes>,
) -> Result<std::convert::Infallible, Lost> {
    loop {
        let mut frames = vec![to_send.recv().await.ok_or(Lost::Ended)?];
        while let Ok(frame) = to_send.try_recv() {
            frames.push(frame);
        }
        framing::write(output, framing::concat(frames), WRITE_LIMIT).await?;
    }
}

async fn read_answers<R: AsyncRead + Unpin>(
    input: &mut R,
    to_machine: &mpsc::Sender<FromServer>,
) -> Result<std::convert::Infallible, Lost> {
    let mut reading = Reading::new(CLIENT_FRAME_LIMIT, READ_PIECE);
    loop {
        let heard = parse(&reading.next(input).await?)?;
        to_machine.send(heard).await.map_err(|_| Lost::Ended)?;
    }
}

fn parse(frame: &Frame) -> Result<FromServer, Lost> {
    Ok(match frame.kind {
        Kind::Reply => FromServer::Reply(framing::expect(Kind::Reply, frame)?),
        Kind::Event => FromServer::Event(framing::expect(Kind::Event, frame)?),
        Kind::Close => FromServer::Ended(framing::expect::<CloseReason>(Kind::Close, frame)?.to_string()),
        _ => return Err(Lost::unexpected(frame)),
    })
}
