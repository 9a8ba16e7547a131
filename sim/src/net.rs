//! The simulated network: connections between nodes, how long a message takes, and what happens to it on the way. A
//! connection is a stream in each direction: what is sent arrives in order, or the connection breaks. Gossip is a flood
//! over connections, which is less orderly than what the product uses. May not look into messages.

use crate::streams::Stream;
use std::collections::{BTreeMap, BTreeSet};

/// A direction between two nodes.
pub(crate) type Way = (usize, usize);

/// Odds in a million, and what else is wrong everywhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) loss: u32,
    pub(crate) duplication: u32,
    pub(crate) reordering: u32,
    pub(crate) corruption: u32,
    pub(crate) slow: u32,
    pub(crate) slow_extra_us: u64,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It arrives at these times; `corrupt`: with a flipped bit.
    Arrives {
        at_us: u64,
        again_us: Option<u64>,
        corrupt: bool,
    },
    /// It waits until its direction is open again.
    Stalls,
    /// It is lost; of a request that means that the connection breaks.
    Lost,
}

/// All connections.
pub(crate) struct Net {
    /// Open connections, by the lower and the higher number, with how often they were opened.
    open: BTreeMap<Way, u64>,
    /// Whom each node is connected to.
    near: BTreeMap<usize, BTreeSet<usize>>,
    opened: u64,
    /// How many faults keep a direction dead.
    blocked: BTreeMap<Way, u32>,
    /// When the last message in a direction arrives.
    last_us: BTreeMap<Way, u64>,
    region: Vec<usize>,
    latency_us: Vec<Vec<u64>>,
    pub(crate) weather: Weather,
    draws: Stream,
}

/// One-way latency where a plan names none, in microseconds: one data centre.
const LATENCY_US: u64 = 300;

fn pair(a: usize, b: usize) -> Way {
    (a.min(b), a.max(b))
}

impl Net {
    pub(crate) fn new(seed: u64, region: Vec<usize>, latency_us: Vec<Vec<u64>>) -> Self {
        Self {
            open: BTreeMap::new(),
            near: BTreeMap::new(),
            opened: 0,
            blocked: BTreeMap::new(),
            last_us: BTreeMap::new(),
            region,
            latency_us,
            weather: Weather::default(),
            draws: Stream::new(seed, "net", 0),
        }
    }

    /// The open connection between two nodes; its number tells it from an earlier one.
    pub(crate) fn connection(&self, a: usize, b: usize) -> Option<u64> {
        self.open.get(&pair(a, b)).copied()
    }

    /// Opens a connection unless there is one or a direction is dead. Says whether it did.
    pub(crate) fn connect(&mut self, a: usize, b: usize) -> bool {
        if a == b || self.is_blocked(a, b) || self.is_blocked(b, a) {
            return false;
        }
        if self.open.contains_key(&pair(a, b)) {
            return false;
        }
        self.opened += 1;
        self.open.insert(pair(a, b), self.opened);
        self.near.entry(a).or_default().insert(b);
        self.near.entry(b).or_default().insert(a);
        self.last_us.remove(&(a, b));
        self.last_us.remove(&(b, a));
        true
    }

    /// Ends a connection. Says whether there was one.
    pub(crate) fn disconnect(&mut self, a: usize, b: usize) -> bool {
        for (of, other) in [(a, b), (b, a)] {
            if let Some(near) = self.near.get_mut(&of) {
                near.remove(&other);
            }
        }
        self.open.remove(&pair(a, b)).is_some()
    }

    /// Whom a node is connected to.
    pub(crate) fn peers(&self, of: usize) -> BTreeSet<usize> {
        self.near.get(&of).cloned().unwrap_or_default()
    }

    pub(crate) fn is_blocked(&self, from: usize, to: usize) -> bool {
        self.blocked.contains_key(&(from, to))
    }

    /// One fault more keeps a direction dead.
    pub(crate) fn block(&mut self, way: Way) {
        *self.blocked.entry(way).or_default() += 1;
    }

    /// One fault less. Says whether the direction is open now.
    pub(crate) fn unblock(&mut self, way: Way) -> bool {
        let Some(count) = self.blocked.get_mut(&way) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.blocked.remove(&way);
            return true;
        }
        false
    }

    /// Everything is open again. Returns what was not.
    pub(crate) fn heal(&mut self) -> Vec<Way> {
        self.weather = Weather::default();
        std::mem::take(&mut self.blocked).into_keys().collect()
    }

    /// How long a message takes now, in microseconds.
    pub(crate) fn latency_us(&mut self, from: usize, to: usize) -> u64 {
        let region = |node: usize| self.region.get(node).copied().unwrap_or(0);
        let row = self.latency_us.get(region(from));
        let base = row.and_then(|row| row.get(region(to))).copied();
        let base = base.unwrap_or(LATENCY_US);
        let mut us = base + self.draws.below(base / 4 + 50);
        // A busy machine or a lost packet, now and then.
        if self.draws.happens(5_000) {
            us += self.draws.below(20 * base + 5_000);
        }
        if self.draws.happens(self.weather.slow) {
            us += self
                .draws
                .below(self.weather.slow_extra_us.saturating_mul(2));
        }
        us
    }

    /// What becomes of a message that is sent now over an open connection.
    pub(crate) fn fate(&mut self, now_us: u64, from: usize, to: usize) -> Fate {
        if self.draws.happens(self.weather.loss) {
            return Fate::Lost;
        }
        if self.is_blocked(from, to) {
            return Fate::Stalls;
        }
        let mut at_us = now_us + self.latency_us(from, to);
        if !self.draws.happens(self.weather.reordering) {
            let last = self.last_us.entry((from, to)).or_default();
            at_us = at_us.max(*last + 1);
            *last = at_us;
        }
        let again = self.draws.happens(self.weather.duplication);
        let again_us = again.then(|| at_us + self.draws.below(2_000_000));
        Fate::Arrives {
            at_us,
            again_us,
            corrupt: self.draws.happens(self.weather.corruption),
        }
    }

    /// Flips a bit.
    pub(crate) fn corrupt(&mut self, bytes: &mut [u8]) {
        let at = self.draws.index(bytes.len());
        let bit = self.draws.below(8);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << bit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives_in_order_and_a_dead_direction_holds_it() {
        let mut net = Net::new(1, Vec::new(), Vec::new());
        assert!(net.connect(0, 1) && !net.connect(1, 0));
        let mut last = 0;
        for _ in 0..1_000 {
            let Fate::Arrives { at_us, .. } = net.fate(5, 0, 1) else {
                panic!("nothing is wrong");
            };
            assert!(at_us > last);
            last = at_us;
        }
        net.block((0, 1));
        net.block((0, 1));
        assert_eq!(net.fate(5, 0, 1), Fate::Stalls);
        assert!(matches!(net.fate(5, 1, 0), Fate::Arrives { .. }));
        assert!(!net.unblock((0, 1)) && net.unblock((0, 1)));
        assert_eq!(net.peers(0), BTreeSet::from([1]));
    }
}
