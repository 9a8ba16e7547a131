//! What is planned, in the order of its time, and at one time in the order of its planning. May not know what happens.

use super::Event;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Events beside their times: what is put in order stays small, however large an event is.
#[derive(Default)]
pub(super) struct Queue {
    order: BinaryHeap<Reverse<(u64, u64, usize)>>,
    events: Vec<Option<Event>>,
    free: Vec<usize>,
}

impl Queue {
    /// Plans an event; `number` tells it from others at the same time.
    pub(super) fn push(&mut self, at_us: u64, number: u64, event: Event) {
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
    pub(super) fn next_until(&mut self, until_us: u64) -> Option<(u64, Event)> {
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
                queue.push(at_us, number as u64, Event::Start { node: number });
            }
            let mut order = Vec::new();
            while let Some((at_us, Event::Start { node })) = queue.next_until(5) {
                order.push((at_us, node));
            }
            assert_eq!(order, [(3, 1), (4, 3), (5, 0), (5, 2)], "{round}");
        }
        queue.push(6, 1, Event::Append);
        assert!(queue.next_until(5).is_none() && queue.events.len() == 4);
    }
}
