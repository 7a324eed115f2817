//! What waits to be sent to one peer: bounded in bytes, and closed while there is no link. What does not fit is dropped: the protocol sends again
//! what matters, and a message that waited long is worth less than the ones that follow it.

use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tertulia_protocol::contract::Class;
use tokio::sync::Notify;

/// Bytes of data that may wait.
const DATA_LIMIT: usize = 8 << 20;
/// Bytes that may wait when control messages are counted too.
const LIMIT: usize = DATA_LIMIT + (1 << 20);

#[derive(Default)]
pub(crate) struct PeerQueue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    open: bool,
    frames: VecDeque<(Class, Bytes)>,
    bytes: usize,
}

impl PeerQueue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A panic elsewhere leaves it in order: no code between two of its states can panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.lock().open
    }

    /// A link is there: what is pushed from now on will be taken.
    pub(crate) fn open(&self) {
        *self.lock() = Waiting { open: true, ..Waiting::default() };
    }

    /// The link is lost, and with it what waited. Returns how much that was.
    pub(crate) fn close(&self) -> usize {
        std::mem::take(&mut *self.lock()).frames.len()
    }

    /// Queues a frame. Returns how many frames were dropped for want of room, this one perhaps among them.
    pub(crate) fn push(&self, class: Class, frame: Bytes) -> usize {
        let mut waiting = self.lock();
        if !waiting.open {
            return 1;
        }
        let dropped = match class {
            Class::Data if waiting.bytes + frame.len() > DATA_LIMIT => return 1,
            Class::Data => 0,
            Class::Control => waiting.make_room(frame.len()),
        };
        if waiting.bytes + frame.len() > LIMIT {
            return dropped + 1;
        }
        waiting.bytes += frame.len();
        waiting.frames.push_back((class, frame));
        drop(waiting);
        self.arrived.notify_one();
        dropped
    }

    /// Waits until there is something, and takes all of it. May be cancelled without losing any.
    pub(crate) async fn take(&self) -> Vec<Bytes> {
        loop {
            {
                let mut waiting = self.lock();
                if !waiting.frames.is_empty() {
                    waiting.bytes = 0;
                    return waiting.frames.drain(..).map(|(_, frame)| frame).collect();
                }
            }
            self.arrived.notified().await;
        }
    }
}

impl Waiting {
    /// Drops data, the newest first, until `length` more bytes fit. What is left keeps its order.
    fn make_room(&mut self, length: usize) -> usize {
        let mut dropped = 0;
        while self.bytes + length > LIMIT {
            let Some(newest) = self.frames.iter().rposition(|(class, _)| *class == Class::Data) else { break };
            if let Some((_, frame)) = self.frames.remove(newest) {
                self.bytes -= frame.len();
                dropped += 1;
            }
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize) -> Bytes {
        Bytes::from(vec![0; length])
    }

    #[tokio::test]
    async fn a_full_link_drops_the_newest_data_and_keeps_what_progress_depends_on() {
        let queue = PeerQueue::default();
        assert_eq!(queue.push(Class::Control, frame(1)), 1, "nothing is kept for a link that is down");
        queue.open();
        assert_eq!(queue.push(Class::Data, frame(DATA_LIMIT)), 0);
        assert_eq!(queue.push(Class::Data, frame(1)), 1);
        assert_eq!(queue.push(Class::Control, frame(1 << 20)), 0);
        assert_eq!(queue.push(Class::Control, frame(10)), 1, "data makes room for control");
        assert_eq!(queue.take().await.iter().map(Bytes::len).collect::<Vec<_>>(), [1 << 20, 10]);
        queue.push(Class::Data, frame(5));
        assert_eq!(queue.close(), 1);
        assert!(!queue.is_open());
    }
}
