//! What happens when: a heap of (time, order of scheduling), and the events beside it, so that the heap moves 24 bytes an event.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

#[derive(Clone)]
pub(super) struct Queue<T> {
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    slots: Vec<Option<T>>,
    free: Vec<u32>,
    scheduled: u64,
}

impl<T> Queue<T> {
    pub fn new() -> Queue<T> {
        Queue { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), scheduled: 0 }
    }

    /// Two events of one time happen in the order in which they were scheduled.
    pub fn push(&mut self, at: u64, event: T) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(event);
                slot
            }
            None => {
                self.slots.push(Some(event));
                (self.slots.len() - 1) as u32
            }
        };
        self.scheduled += 1;
        self.heap.push(Reverse((at, self.scheduled, slot)));
    }

    /// What comes next, and when.
    pub fn peek(&self) -> Option<(u64, &T)> {
        let Reverse((at, _, slot)) = self.heap.peek()?;
        self.slots[*slot as usize].as_ref().map(|event| (*at, event))
    }

    pub fn pop(&mut self) -> Option<(u64, T)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        self.slots[slot as usize].take().map(|event| (at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_by_order() {
        let mut queue = Queue::new();
        for (at, name) in [(5, 'c'), (1, 'a'), (5, 'd'), (2, 'b')] {
            queue.push(at, name);
        }
        let mut order = String::new();
        while let Some((at, name)) = queue.pop() {
            order.push(name);
            if name == 'b' {
                queue.push(at + 1, 'x');
            }
        }
        assert_eq!(order, "abxcd");
    }
}
