//! Clogged links: what is sent waits for its turn, in order and in bounds, and then goes on its way as any other message.
//!
//! A message that would wait for too long breaks the connection, and what waits on it is lost, as the bytes in a socket's buffer are. When a clog ends,
//! what still waits leaves at once, ahead of what comes later.

use super::World;
use super::event::Event;
use crate::scenario::Throughput;
use std::collections::{BTreeMap, VecDeque};
use tertulia_protocol::ids::{Boot, NodeId};
use tertulia_protocol::node::Message;
use tertulia_protocol::wire::{Kind, encode_frame};

#[derive(Clone)]
struct Waiting {
    sender: NodeId,
    boot: Boot,
    message: Message,
    digest: u64,
    /// Microseconds that it takes once it is its turn.
    takes: u64,
}

/// One way of a link.
#[derive(Clone)]
struct Pipe {
    /// Which pipe of this way: an event of an earlier one does nothing.
    nth: u64,
    waiting: VecDeque<Waiting>,
    /// What all of them take.
    takes: u64,
}

/// The ways on which something waits, by (from, to).
#[derive(Clone, Default)]
pub(super) struct Clogged {
    pipes: BTreeMap<(usize, usize), Pipe>,
    made: u64,
    /// Messages that ever waited.
    pub queued: u64,
}

impl Clogged {
    pub fn waits(&self, from: usize, to: usize) -> bool {
        !self.pipes.is_empty() && self.pipes.contains_key(&(from, to))
    }

    /// The connection of these two has ended, and what waited on it with it.
    pub fn clear(&mut self, a: usize, b: usize) {
        self.pipes.remove(&(a, b));
        self.pipes.remove(&(b, a));
    }
}

impl World<'_> {
    /// Puts a message at the end of a clogged link's queue.
    pub(super) fn queue_up(&mut self, (from, sender): (usize, NodeId), to: usize, boot: Boot, message: Message, digest: u64) {
        let (takes, queue) = match self.plan.conditions().clog(from, to) {
            Some((Throughput::Messages(rate), queue)) => (Throughput::Messages(rate).takes(0), queue),
            Some((rate, queue)) => (rate.takes(encode_frame(Kind::Peer, &message).len() as u64), queue),
            None => (0, u64::MAX),
        };
        let clogged = &mut self.clogged;
        clogged.queued += 1;
        let pipe = clogged.pipes.entry((from, to)).or_insert_with(|| {
            clogged.made += 1;
            Pipe { nth: clogged.made, waiting: VecDeque::new(), takes: 0 }
        });
        let nth = pipe.nth;
        // The first one always goes, however long it takes: a link with nothing on it is not full.
        if !pipe.waiting.is_empty() && pipe.takes > queue {
            return self.queue.push(self.now, Event::Overrun { from, to, nth });
        }
        pipe.takes += takes;
        pipe.waiting.push_back(Waiting { sender, boot, message, digest, takes });
        if pipe.waiting.len() == 1 {
            self.queue.push(self.now + takes, Event::Trickle { from, to, nth });
        }
    }

    /// A queue was full: the connection breaks.
    pub(super) fn overrun(&mut self, from: usize, to: usize, nth: u64) {
        if self.clogged.pipes.get(&(from, to)).is_some_and(|pipe| pipe.nth == nth) {
            self.clogged.clear(from, to);
            self.reset(from, to);
        }
    }

    /// The first of a queue has passed.
    pub(super) fn trickle(&mut self, from: usize, to: usize, nth: u64) {
        loop {
            let Some(pipe) = self.clogged.pipes.get_mut(&(from, to)).filter(|pipe| pipe.nth == nth) else { return };
            let Some(first) = pipe.waiting.pop_front() else {
                self.clogged.pipes.remove(&(from, to));
                return;
            };
            pipe.takes -= first.takes;
            let next = pipe.waiting.front().map(|next| next.takes);
            if self.linked(from, to) == Some(first.boot) {
                self.put_on_the_wire((from, first.sender), to, first.boot, first.message, first.digest);
            }
            match next {
                Some(takes) if self.plan.conditions().clog(from, to).is_some() => {
                    return self.queue.push(self.now + takes, Event::Trickle { from, to, nth });
                }
                _ => {}
            }
        }
    }
}
