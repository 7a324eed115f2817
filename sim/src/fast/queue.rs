//! What happens when: a heap of (time, order of scheduling), and the events beside it, so that the heap moves 16 bytes an event.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// When something is due: the time, and below it the order of scheduling with the event's slot, as one number that is compared at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due(u128);

impl Due {
    fn new(at: u64, scheduled: u32, slot: u32) -> Due {
        Due(u128::from(at) << 64 | u128::from(scheduled) << 32 | u128::from(slot))
    }

    fn at(self) -> u64 {
        (self.0 >> 64) as u64
    }

    fn slot(self) -> u32 {
        self.0 as u32
    }
}

#[derive(Clone)]
pub(super) struct Queue<T> {
    heap: BinaryHeap<Reverse<Due>>,
    slots: Vec<Option<T>>,
    free: Vec<u32>,
    /// Far below its end: no run has more events than `RUNAWAY`, and each schedules a few.
    scheduled: u32,
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
        self.heap.push(Reverse(Due::new(at, self.scheduled, slot)));
    }

    /// What comes next, and when.
    pub fn peek(&self) -> Option<(u64, &T)> {
        let Reverse(due) = self.heap.peek()?;
        self.slots[due.slot() as usize].as_ref().map(|event| (due.at(), event))
    }

    pub fn pop(&mut self) -> Option<(u64, T)> {
        let Reverse(due) = self.heap.pop()?;
        self.free.push(due.slot());
        self.slots[due.slot() as usize].take().map(|event| (due.at(), event))
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
