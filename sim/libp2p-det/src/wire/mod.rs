//! The network between simulated nodes: streams of bytes in memory that take time, stall where a direction is dead, and
//! break when they are reset. Every node has a port of one address. May not look into what it carries.

mod flow;
mod pipe;
mod transport;

use belfry_node::net::Wire;
use belfry_protocol::tlog::hash::{Hash, sha256_parts};
use belfry_sim::plan::Topology;
use belfry_sim::streams::Stream;
use flow::Flow;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;
use tokio::time::Instant;

/// A direction between two nodes.
pub type Way = (usize, usize);

/// The port of the first node; the others follow.
pub const FIRST_PORT: u16 = 10_000;
/// Ports of callers, which mean nothing.
const FIRST_CALLER: u16 = 40_000;
/// Latency where nothing is said, in microseconds: one data centre.
const LATENCY_US: u64 = 300;
/// What a lost packet costs, in microseconds: TCP's shortest time before it sends again.
const SENT_AGAIN_US: u64 = 200_000;

/// How the network is today.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// How much longer than its latency something may take, in percent.
    pub jitter_percent: u64,
    /// Out of a million writes so many are lost and sent again.
    pub lost_per_million: u32,
}

impl Default for Weather {
    fn default() -> Self {
        Self {
            jitter_percent: 10,
            lost_per_million: 2_000,
        }
    }
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Connections that were made.
    pub connections: u64,
    /// Connections that were reset.
    pub resets: u64,
    /// Pieces that were delivered.
    pub pieces: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The network. Clones are the same one.
#[derive(Clone)]
pub struct Net(Arc<Mutex<State>>);

struct State {
    begin: Instant,
    regions: Vec<usize>,
    latency_us: Vec<Vec<u64>>,
    weather: Weather,
    draws: Stream,
    /// How many faults keep a direction dead.
    blocked: BTreeMap<Way, u32>,
    listeners: BTreeMap<u16, Listener>,
    /// Both directions of every connection, by number.
    flows: BTreeMap<u64, Flow>,
    next: u64,
    trace: Hash,
    counted: Counted,
}

/// A node that listens.
#[derive(Default)]
struct Listener {
    arrived: VecDeque<pipe::Pipe>,
    waker: Option<Waker>,
}

/// Connections that a node has not taken yet; more are refused, as by a full backlog.
const BACKLOG: usize = 128;

impl Net {
    /// The network of a topology. Must be made within a simulation.
    #[must_use]
    pub fn new(seed: u64, topology: &Topology, weather: Weather) -> Self {
        Self(Arc::new(Mutex::new(State {
            begin: Instant::now(),
            regions: topology.regions.clone(),
            latency_us: topology.latency_us.clone(),
            weather,
            draws: Stream::new(seed, "wire", 0),
            blocked: BTreeMap::new(),
            listeners: BTreeMap::new(),
            flows: BTreeMap::new(),
            next: 0,
            trace: Hash([0; 32]),
            counted: Counted::default(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a node's transport runs over.
    #[must_use]
    pub fn wire(&self, host: usize) -> Wire {
        let net = self.clone();
        Wire::Given(Arc::new(move || transport::carrier(net.clone(), host)))
    }

    /// One fault more keeps a direction dead: what is sent waits.
    pub fn block(&self, way: Way) {
        *self.lock().blocked.entry(way).or_default() += 1;
    }

    /// One fault less. When it was the last, what waited goes on.
    pub fn unblock(&self, way: Way) {
        let mut state = self.lock();
        if let Some(count) = state.blocked.get_mut(&way) {
            *count -= 1;
            if *count == 0 {
                state.blocked.remove(&way);
                state.go_on(way);
            }
        }
    }

    /// All directions are open again.
    pub fn heal(&self) {
        let mut state = self.lock();
        for way in std::mem::take(&mut state.blocked).into_keys() {
            state.go_on(way);
        }
    }

    /// Resets the connections between two nodes, as a router does that forgot them; says how many there were.
    pub fn reset(&self, a: usize, b: usize) -> u64 {
        let mut state = self.lock();
        let mut ends = 0;
        for flow in state.flows.values_mut() {
            if [(a, b), (b, a)].contains(&flow.way) && flow.reset() {
                ends += 1;
            }
        }
        let resets = u64::div_ceil(ends, 2);
        state.counted.resets += resets;
        resets
    }

    /// Hash over every delivered piece with its time and its bytes, in hex.
    #[must_use]
    pub fn trace(&self) -> String {
        self.lock().trace.to_hex()
    }

    /// What was counted so far.
    #[must_use]
    pub fn counted(&self) -> Counted {
        self.lock().counted
    }
}

impl State {
    fn is_blocked(&self, way: Way) -> bool {
        self.blocked.contains_key(&way)
    }

    fn latency_us(&self, (from, to): Way) -> u64 {
        let region = |host: usize| self.regions.get(host).copied().unwrap_or(0);
        let row = self.latency_us.get(region(from));
        let named = row.and_then(|row| row.get(region(to)));
        named.copied().unwrap_or(LATENCY_US)
    }

    /// How long something takes that leaves now.
    fn delay(&mut self, way: Way) -> Duration {
        let latency_us = self.latency_us(way);
        let jitter_us = latency_us * self.weather.jitter_percent / 100;
        let lost = self.draws.happens(self.weather.lost_per_million);
        let again_us = if lost { SENT_AGAIN_US } else { 0 };
        Duration::from_micros(latency_us + self.draws.below(jitter_us + 1) + again_us)
    }

    /// A direction opens: what waited leaves now.
    fn go_on(&mut self, way: Way) {
        let waiting = self.flows.iter().filter(|(_, flow)| flow.way == way);
        let waiting: Vec<u64> = waiting.map(|(number, _)| *number).collect();
        for number in waiting {
            let at = Instant::now() + self.delay(way);
            if let Some(flow) = self.flows.get_mut(&number) {
                flow.go_on(at);
            }
        }
    }

    /// Adds a delivered piece to the trace.
    fn delivered(&mut self, way: Way, bytes: &[u8]) {
        let at_us = Instant::now().saturating_duration_since(self.begin);
        self.counted.pieces += 1;
        self.counted.bytes += bytes.len() as u64;
        self.trace = sha256_parts(&[
            &self.trace.0,
            &at_us.as_micros().to_be_bytes(),
            &(way.0 as u64).to_be_bytes(),
            &(way.1 as u64).to_be_bytes(),
            bytes,
        ]);
    }

    /// A new connection: the end of `from`, and the end of `to`.
    fn connect(&mut self, net: &Net, from: usize, to: usize) -> (pipe::Pipe, pipe::Pipe) {
        let (there, back) = (self.next, self.next + 1);
        self.next += 2;
        self.counted.connections += 1;
        self.flows.insert(there, Flow::new((from, to)));
        self.flows.insert(back, Flow::new((to, from)));
        (
            pipe::Pipe::new(net.clone(), there, back),
            pipe::Pipe::new(net.clone(), back, there),
        )
    }
}
