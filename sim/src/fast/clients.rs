//! Clients and their connections to nodes.
//!
//! Each way of a connection is first in, first out, as TCP is; each word takes a drawn time. A node's death closes its connections; partitions
//! between nodes leave clients connected.

use super::World;
use super::event::{ClientWord, Event, Input, NodeWord};
use super::trouble::Waiting;
use crate::engine::Verdict;
use crate::record::Said;
use crate::trace::{Chain, digest};
use crate::workload::{Actor, Wire};
use std::sync::Arc;
use tertulia_protocol::dice::{Purpose, draw, within};
use tertulia_protocol::gateway::{Audience, Event as ChatEvent};
use tertulia_protocol::ids::{Boot, ConnectionId};
use tertulia_protocol::wire::Kind;

/// Where a client sits: its script, and the connection that it believes to have.
#[derive(Clone, Default)]
pub(super) struct Seat {
    pub actor: Option<Actor>,
    pub connection: Option<ConnectionId>,
    pub chain: Chain,
    timer: u64,
}

/// All connections there ever were, by number.
#[derive(Clone, Default)]
pub(super) struct Connections(Vec<Connection>);

#[derive(Clone)]
pub(super) struct Connection {
    pub client: usize,
    pub node: usize,
    /// The process that accepted it.
    pub boot: Option<Boot>,
    /// When the last word of each way arrives.
    to_node: u64,
    to_client: u64,
    words: u64,
    /// What a fault keeps from going on.
    pub waiting: Waiting,
}

impl World<'_> {
    pub(super) fn client_start(&mut self, client: usize) {
        #[cfg_attr(not(feature = "zoo"), expect(unused_mut, reason = "only a bug is given to it later"))]
        let mut actor = Actor::new(self.scenario, self.seed, client as u32, self.now);
        #[cfg(feature = "zoo")]
        actor.set_bug(self.options.bug);
        let next = actor.next_act();
        self.seats[client].timer = u64::MAX;
        self.seats[client].actor = Some(actor);
        if let Some(at) = next {
            self.queue.push(at, Event::ClientAct { client });
        }
        self.pump(client);
    }

    pub(super) fn client_act(&mut self, client: usize) {
        let now = self.now;
        let Some(actor) = &mut self.seats[client].actor else { return };
        let cut = actor.act(now);
        if let Some(at) = actor.next_act() {
            self.queue.push(at.max(now + 1), Event::ClientAct { client });
        }
        if cut {
            self.hang_up(client);
            if let Some(actor) = &mut self.seats[client].actor {
                actor.disconnected(now);
            }
        }
        self.pump(client);
    }

    /// As a node's timer: scheduled anew when the deadline has moved.
    pub(super) fn client_timer(&mut self, client: usize) {
        let now = self.now;
        let seat = &mut self.seats[client];
        if seat.timer != now {
            return;
        }
        seat.timer = u64::MAX;
        let Some(actor) = &mut seat.actor else { return };
        if actor.poll_timeout().is_some_and(|due| due <= now) {
            actor.timeout(now);
        }
        self.pump(client);
    }

    /// Takes all that a client wants, then what it saw, then its deadline.
    pub(super) fn pump(&mut self, client: usize) {
        let now = self.now;
        while let Some(wire) = self.seats[client].actor.as_mut().and_then(|actor| actor.poll(now)) {
            // Told before it leaves: the judge sees causes before effects.
            self.tell_client_facts(client);
            match wire {
                Wire::Connect { server, hello } => {
                    self.hang_up(client);
                    let connection = self.connections.open(client, self.witness.roster.serving(server));
                    self.seats[client].connection = Some(connection);
                    self.ask(connection, ClientWord::Open(hello));
                }
                Wire::Disconnect => self.hang_up(client),
                Wire::Send(request) => {
                    if self.coded {
                        self.check_codec(Kind::Request, &request);
                    }
                    if let Some(connection) = self.seats[client].connection {
                        self.ask(connection, ClientWord::Request(request));
                    }
                }
            }
        }
        self.tell_client_facts(client);
        let seat = &mut self.seats[client];
        let Some(actor) = &seat.actor else { return };
        if let Some(trouble) = actor.trouble_seen() {
            let verdict = Verdict::failed("workload", trouble);
            return self.fail(verdict);
        }
        let due = actor.poll_timeout().map_or(u64::MAX, |due| due.max(now + 1));
        if due < seat.timer {
            seat.timer = due;
            self.queue.push(due, Event::ClientTimer { client });
        }
    }

    fn tell_client_facts(&mut self, client: usize) {
        let Some(actor) = &mut self.seats[client].actor else { return };
        actor.take_facts_into(&mut self.client_facts);
        for fact in self.client_facts.drain(..) {
            self.witness.client(self.now, &fact);
        }
    }

    /// The client's end is closed; its node hears of it.
    fn hang_up(&mut self, client: usize) {
        if let Some(connection) = self.seats[client].connection.take() {
            self.witness.client_at(self.now, client, None);
            self.ask(connection, ClientWord::Close);
        }
    }

    /// Sends a client's word on its way.
    pub(super) fn ask(&mut self, connection: ConnectionId, word: ClientWord) {
        let takes = self.word_takes(connection, 0);
        let now = self.now;
        let Some(state) = self.connections.get(connection) else { return };
        state.to_node = state.to_node.max(now + takes);
        if let Some(recorder) = &mut self.witness.recorder {
            let said = match &word {
                ClientWord::Open(_) => Said::Hello,
                ClientWord::Request(request) => Said::Request(request),
                ClientWord::Close => Said::HangUp,
            };
            recorder.sent(now, (recorder.client_lane(state.client), state.node), connection.0, said, false);
        }
        self.queue.push(state.to_node, Event::ToNode { connection, word });
    }

    /// Sends a node's word on its way.
    pub(super) fn say(&mut self, connection: ConnectionId, word: NodeWord, digest: u64) {
        let takes = self.word_takes(connection, 1);
        let now = self.now;
        let Some(state) = self.connections.get(connection) else { return };
        state.to_client = state.to_client.max(now + takes);
        if let Some(recorder) = &mut self.witness.recorder {
            let said = match &word {
                NodeWord::Opened => Said::Welcome,
                NodeWord::Reply(reply) => Said::Reply(reply),
                NodeWord::Event(event) => Said::Event(event),
                NodeWord::Closed => Said::Closed,
            };
            recorder.sent(now, (state.node, recorder.client_lane(state.client)), connection.0, said, false);
        }
        self.queue.push(state.to_client, Event::ToClient { connection, word, digest });
    }

    fn word_takes(&mut self, connection: ConnectionId, way: u64) -> u64 {
        let Some(state) = self.connections.get(connection) else { return 0 };
        state.words += 1;
        let (who, nth) = ((1 << 40) + state.client as u64 * 2 + way, state.words);
        self.scenario.workload.link.pick(draw(self.draws, Purpose::LinkDelay, who, connection.0, nth))
    }

    /// A node closes a connection: what still comes over it is nothing to it.
    pub(super) fn close(&mut self, connection: ConnectionId) {
        self.say(connection, NodeWord::Closed, 6);
        if let Some(state) = self.connections.get(connection) {
            state.boot = None;
        }
    }

    /// One event for many readers; the credit for it goes back a little later, when it is written.
    pub(super) fn publish(&mut self, node: usize, to: &Audience, event: &Arc<ChatEvent>) {
        if self.coded {
            self.check_codec(Kind::Event, &**event);
        }
        let told = digest(&(7u8, &**event));
        self.hosts[node].chain.output(told);
        if self.hosts[node].written.is_empty() && !to.is_empty() {
            let after = within(self.moment(Purpose::LinkDelay, (1 << 41) + node as u64, 0), 100, 3_000);
            let boot = self.hosts[node].boot;
            self.queue.push(self.now + after, Event::Drained { node, boot });
        }
        for connection in to.iter() {
            self.hosts[node].chain.output(connection.0);
            let owed = self.owes_credit(*connection, event.cost());
            self.hosts[node].written.push((*connection, if owed { 0 } else { event.cost() }));
            self.say(*connection, NodeWord::Event(event.clone()), told);
        }
    }

    pub(super) fn drained(&mut self, node: usize, boot: Boot) {
        if !self.hosts[node].runs(boot) {
            return;
        }
        let written = std::mem::take(&mut self.hosts[node].written);
        for (connection, bytes) in written.into_iter().filter(|(_, bytes)| *bytes > 0) {
            self.input(node, Input::Drained { connection, bytes });
        }
    }

    /// A client's word arrives.
    pub(super) fn heard_from_client(&mut self, connection: ConnectionId, word: ClientWord) {
        let Some(word) = self.hold_for_node(connection, word) else { return };
        let Some(state) = self.connections.get(connection) else { return };
        let node = state.node;
        let host = &self.hosts[node];
        if let Some(recorder) = &mut self.witness.recorder {
            recorder.arrived(self.now, (recorder.client_lane(state.client), node), connection.0, host.machine.is_some());
        }
        match word {
            ClientWord::Open(_) if host.machine.is_none() => self.say(connection, NodeWord::Closed, 1),
            ClientWord::Open(hello) => {
                state.boot = Some(host.boot);
                self.input(node, Input::Connected { connection, hello });
                self.say(connection, NodeWord::Opened, 2);
            }
            word if state.boot.is_some_and(|boot| host.runs(boot)) => match word {
                ClientWord::Request(request) => self.input(node, Input::Request { connection, request }),
                _ => {
                    state.boot = None;
                    self.input(node, Input::Disconnected { connection });
                }
            },
            _ => {}
        }
    }

    /// A node's word arrives, unless the client has turned to another connection.
    pub(super) fn heard_from_node(&mut self, connection: ConnectionId, word: NodeWord, digest: u64) {
        if let Some(word) = self.hold_for_client(connection, word, digest) {
            self.deliver(connection, word, digest);
        }
    }

    /// A client takes a node's word.
    pub(super) fn deliver(&mut self, connection: ConnectionId, word: NodeWord, digest: u64) {
        let Some((client, node)) = self.connections.get(connection).map(|state| (state.client, state.node)) else { return };
        if let Some(recorder) = &mut self.witness.recorder {
            let taken = self.seats[client].connection == Some(connection);
            recorder.arrived(self.now, (node, recorder.client_lane(client)), connection.0, taken);
        }
        let (now, seat) = (self.now, &mut self.seats[client]);
        let Some(actor) = seat.actor.as_mut().filter(|_| seat.connection == Some(connection)) else { return };
        seat.chain.input(now, digest);
        match word {
            NodeWord::Opened => {
                actor.connected(now);
                self.witness.client_at(now, client, Some(node));
            }
            NodeWord::Reply(reply) => actor.reply(now, reply),
            NodeWord::Event(event) => actor.event(now, event),
            NodeWord::Closed => {
                seat.connection = None;
                actor.disconnected(now);
                self.witness.client_at(now, client, None);
            }
        }
        self.pump(client);
    }

    /// A node's process has died: its clients' connections end.
    pub(super) fn cut_clients_of(&mut self, node: usize) {
        for client in 0..self.seats.len() {
            let Some(connection) = self.seats[client].connection else { continue };
            let accepted = self.connections.get(connection).is_some_and(|state| state.node == node && state.boot.is_some());
            if accepted {
                self.say(connection, NodeWord::Closed, 3);
            }
        }
    }
}

impl Connections {
    fn open(&mut self, client: usize, node: usize) -> ConnectionId {
        self.0.push(Connection { client, node, boot: None, to_node: 0, to_client: 0, words: 0, waiting: Waiting::default() });
        ConnectionId(self.0.len() as u64)
    }

    /// In the order in which they were opened.
    pub fn all(&self) -> impl Iterator<Item = ConnectionId> + use<> {
        (1..=self.0.len() as u64).map(ConnectionId)
    }

    pub fn get(&mut self, connection: ConnectionId) -> Option<&mut Connection> {
        self.0.get_mut(connection.0.checked_sub(1)? as usize)
    }
}
