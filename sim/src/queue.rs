//! What is planned, in the order of its time, and at one time in the order of its planning. May not know what happens.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Events beside their times: what is put in order stays small, however large an event is.
pub(crate) struct Queue<E> {
    order: BinaryHeap<Reverse<(u64, u64, usize)>>,
    events: Vec<Option<E>>,
    free: Vec<usize>,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self {
            order: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<E> Queue<E> {
    /// Plans an event; `number` tells it from others at the same time.
    pub(crate) fn push(&mut self, at_us: u64, number: u64, event: E) {
        let place = match self.free.pop() {
            Some(place) => {
                self.events[place] = Some(event);
                place
            }
            None => {
                self.events.push(Some(event));
                self.events.len() - 1
            }
        };
        self.order.push(Reverse((at_us, number, place)));
    }

    /// The next event, with its time, if it is not later than that.
    pub(crate) fn next_until(&mut self, until_us: u64) -> Option<(u64, E)> {
        let Reverse((at_us, _, _)) = self.order.peek()?;
        if *at_us > until_us {
            return None;
        }
        let Reverse((at_us, _, place)) = self.order.pop()?;
        self.free.push(place);
        Some((at_us, self.events[place].take()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_the_order_of_time_and_planning() {
        let mut queue = Queue::default();
        for round in 0..2 {
            for (number, at_us) in [5, 3, 5, 4].into_iter().enumerate() {
                queue.push(at_us, number as u64, number);
            }
            let mut order = Vec::new();
            while let Some(next) = queue.next_until(5) {
                order.push(next);
            }
            assert_eq!(order, [(3, 1), (4, 3), (5, 0), (5, 2)], "{round}");
        }
        queue.push(6, 1, 9);
        assert!(queue.next_until(5).is_none() && queue.events.len() == 4);
    }
}
