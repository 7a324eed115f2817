//! Clients in trouble: cut off from a node, slow to read, or rid of their connection.
//!
//! A connection is TCP's: nothing of it is lost while it lasts. What comes through a cut waits for the cut's end; what a slow client does not take waits
//! for the client, and the node gets its credit for an event only when that has been taken (there is no socket's buffer in between). How much can wait is
//! bounded by that credit and by the requests that a client may have open. A client notices by its own patience, and moves.

use super::World;
use super::event::{ClientWord, Event, Input, NodeWord};
use crate::plan::Reading;
use std::collections::VecDeque;
use tertulia_protocol::ids::ConnectionId;
use tertulia_protocol::wire::{Kind, encode_frame};

/// What waits on one connection.
#[derive(Clone, Default)]
pub(super) struct Waiting {
    to_node: VecDeque<ClientWord>,
    to_client: VecDeque<(NodeWord, u64)>,
    /// The client takes the next word at a scheduled time.
    dripping: bool,
    /// Cost of events that the node has written and has no credit for yet.
    owed: u32,
}

impl World<'_> {
    /// Breaks a client's connection, if it has one: both ends learn of it.
    pub(super) fn disconnect(&mut self, client: u32) {
        let client = client as usize;
        let Some(connection) = self.seats[client].connection.take() else { return };
        self.disconnected += 1;
        if let Some(state) = self.connections.get(connection) {
            let (node, boot) = (state.node, state.boot.take());
            if boot.is_some_and(|boot| self.hosts[node].runs(boot)) {
                self.input(node, Input::Disconnected { connection });
            }
        }
        if let Some(actor) = &mut self.seats[client].actor {
            actor.disconnected(self.now);
        }
        self.pump(client);
    }

    /// By client: the node that it is connected to.
    pub(super) fn seats_taken(&mut self) -> Vec<Option<usize>> {
        let connections: Vec<_> = self.seats.iter().map(|seat| seat.connection).collect();
        connections.into_iter().map(|connection| self.connections.get(connection?).map(|state| state.node)).collect()
    }

    fn cut_off(&mut self, connection: ConnectionId) -> bool {
        let Some((client, node)) = self.connections.get(connection).map(|state| (state.client, state.node)) else { return false };
        self.plan.conditions().cut_off(client as u32, node)
    }

    fn reading(&mut self, connection: ConnectionId) -> Reading {
        let Some(client) = self.connections.get(connection).map(|state| state.client) else { return Reading::Freely };
        self.plan.conditions().reading(client as u32)
    }

    /// Keeps a client's word that cannot reach its node now; gives back one that can.
    pub(super) fn hold_for_node(&mut self, connection: ConnectionId, word: ClientWord) -> Option<ClientWord> {
        let cut = !self.plan.conditions().clients_are_well() && self.cut_off(connection);
        let state = self.connections.get(connection)?;
        if !cut && state.waiting.to_node.is_empty() {
            return Some(word);
        }
        state.waiting.to_node.push_back(word);
        self.kept_waiting += 1;
        None
    }

    /// Keeps a node's word that its client does not take now; gives back one that it takes.
    pub(super) fn hold_for_client(&mut self, connection: ConnectionId, word: NodeWord, digest: u64) -> Option<NodeWord> {
        let troubled = !self.plan.conditions().clients_are_well()
            && (self.cut_off(connection) || self.reading(connection) != Reading::Freely);
        let state = self.connections.get(connection)?;
        if !troubled && state.waiting.to_client.is_empty() {
            return Some(word);
        }
        state.waiting.to_client.push_back((word, digest));
        self.kept_waiting += 1;
        self.drip_later(connection);
        None
    }

    /// Whether the credit for an event on this connection waits until the client has taken it.
    pub(super) fn owes_credit(&mut self, connection: ConnectionId, cost: u32) -> bool {
        let troubled = !self.plan.conditions().clients_are_well()
            && (self.cut_off(connection) || self.reading(connection) != Reading::Freely);
        let Some(state) = self.connections.get(connection) else { return false };
        let owes = troubled || !state.waiting.to_client.is_empty();
        if owes {
            state.waiting.owed += cost;
        }
        owes
    }

    /// Schedules when the client takes the next word, if it takes any.
    fn drip_later(&mut self, connection: ConnectionId) {
        if self.cut_off(connection) {
            return;
        }
        let reading = self.reading(connection);
        let now = self.now;
        let Some(state) = self.connections.get(connection) else { return };
        let Some((word, _)) = state.waiting.to_client.front().filter(|_| !state.waiting.dripping) else { return };
        let takes = match reading {
            Reading::Nothing => return,
            Reading::Freely => 0,
            Reading::Slowly(rate) => (size(word) * 1_000_000).div_ceil(rate),
        };
        state.waiting.dripping = true;
        self.queue.push(now + takes, Event::Drip { connection });
    }

    /// A slow client takes a word.
    pub(super) fn drip(&mut self, connection: ConnectionId) {
        let cut = self.cut_off(connection);
        let stopped = self.reading(connection) == Reading::Nothing;
        let Some(state) = self.connections.get(connection) else { return };
        state.waiting.dripping = false;
        if cut || stopped {
            return;
        }
        let Some((word, digest)) = state.waiting.to_client.pop_front() else { return };
        if let NodeWord::Event(event) = &word {
            let credit = event.cost().min(state.waiting.owed);
            state.waiting.owed -= credit;
            let (node, boot) = (state.node, state.boot);
            if credit > 0 && boot.is_some_and(|boot| self.hosts[node].runs(boot)) {
                self.input(node, Input::Drained { connection, bytes: credit });
            }
        }
        self.deliver(connection, word, digest);
        self.drip_later(connection);
    }

    /// It has changed who is cut off or reads slowly: what waited and can go on goes on.
    pub(super) fn review_clients(&mut self) {
        for connection in self.connections.all() {
            if self.cut_off(connection) {
                continue;
            }
            let held = self.connections.get(connection).map(|state| std::mem::take(&mut state.waiting.to_node));
            for word in held.unwrap_or_default() {
                self.ask(connection, word);
            }
            self.drip_later(connection);
        }
    }
}

fn size(word: &NodeWord) -> u64 {
    let bytes = match word {
        NodeWord::Reply(reply) => encode_frame(Kind::Reply, reply).len(),
        NodeWord::Event(event) => encode_frame(Kind::Event, &**event).len(),
        NodeWord::Opened | NodeWord::Closed => 0,
    };
    bytes as u64
}
