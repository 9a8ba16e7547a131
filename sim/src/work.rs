//! What callers do: when which factory is given which entry. A function of the plan alone, so that every tier of the
//! simulator can play the same. May not know what becomes of it.

use crate::plan::Plan;
use crate::streams::Stream;
use belfry_protocol::entry::json::Json;

/// Within how many microseconds of the beginning all nodes start.
const STARTS_US: u64 = 200_000;

/// The kind of the entries: of the node's own, because they need no press.
pub const KIND: &str = "window";

/// The draws of the workload, in the order in which they are used.
pub(crate) struct Callers {
    draws: Stream,
    rate: u64,
    factories: Vec<usize>,
}

/// An entry that is given to a factory.
#[derive(Clone, Debug, PartialEq)]
pub struct Append {
    /// Simulated microseconds since the start.
    pub at_us: u64,
    /// The factory's number.
    pub factory: usize,
    /// The entry's body.
    pub body: Json,
}

impl Callers {
    pub(crate) fn new(plan: &Plan) -> Self {
        let seats = plan.topology.seats();
        Self {
            draws: Stream::new(plan.seed, "workload", 0),
            rate: plan.workload.entries_per_1000_seconds,
            factories: (0..seats.len()).filter(|at| seats[*at].factory).collect(),
        }
    }

    /// When a node starts; drawn for each before anything else.
    pub(crate) fn start_us(&mut self) -> u64 {
        self.draws.below(STARTS_US)
    }

    /// The pause before the next entry; `None` if there are none.
    pub(crate) fn pause_us(&mut self) -> Option<u64> {
        let mean_us = 1_000_000_000_u64.checked_div(self.rate)?;
        Some(self.draws.below(mean_us.saturating_mul(2).max(1)))
    }

    /// Who is given the entry, and its filler; drawn after the pause that follows it.
    pub(crate) fn entry(&mut self) -> (usize, u64) {
        let factory = self.draws.index(self.factories.len());
        (self.factories[factory], self.draws.below(u64::MAX))
    }
}

/// The body of an entry.
pub(crate) fn body(bytes: usize, filler: u64) -> Json {
    let word = format!("{filler:016x}").repeat(1 + bytes / 16);
    let text = word[..bytes.clamp(1, word.len())].to_owned();
    Json::object([("simulated", Json::text(&text))])
}

/// When each node of a plan starts, in simulated microseconds, and everything that callers do until its faults are over.
#[must_use]
pub fn of(plan: &Plan) -> (Vec<u64>, Vec<Append>) {
    let mut callers = Callers::new(plan);
    let starts = (0..plan.nodes()).map(|_| callers.start_us()).collect();
    let (mut appends, mut next_us) = (Vec::new(), callers.pause_us());
    while let Some(at_us) = next_us.filter(|at_us| *at_us <= plan.seconds * 1_000_000) {
        next_us = callers.pause_us().map(|pause_us| at_us + pause_us);
        let (factory, filler) = callers.entry();
        appends.push(Append {
            at_us,
            factory,
            body: body(plan.workload.entry_bytes, filler),
        });
    }
    (starts, appends)
}
