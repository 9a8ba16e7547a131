//! A plan of the simulator, played by whole nodes: the same starts, entries and faults at the same simulated times, then time
//! to get well. Only what has a meaning for a real connection or process is played; other faults are refused by name.

use crate::federation::{Federation, FederationError};
use crate::time::{TimeError, elapsed_us, simulate, until_us};
use crate::wire::{Counted, Net, Way, Weather};
use belfry_node::writer::Answer;
use belfry_protocol::entry::json::Json;
use belfry_sim::heads::Head;
use belfry_sim::plan::{Fault, Pace, Plan, PlanError};
use belfry_sim::work;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Why a plan cannot be played here.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// The plan itself.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A fault of tier 1 alone.
    #[error("the fault {0} is not played with real connections; play the plan with belfry-sim")]
    Fault(&'static str),
    /// Settings of tier 1 alone.
    #[error("nodes have their usual settings here; play the plan's pace with belfry-sim")]
    Pace,
    /// A node.
    #[error(transparent)]
    Federation(#[from] FederationError),
    /// The simulation.
    #[error(transparent)]
    Time(#[from] TimeError),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Played {
    /// The factories' ledgers.
    pub heads: Vec<Head>,
    /// Hash over everything that was delivered, in hex.
    pub trace: String,
    /// Entries whose callers were told of an index.
    pub appended: u64,
    /// Entries that were refused, or found nobody.
    pub refused: u64,
    /// Simulated microseconds from the last fault until all was well; `None` if it never was.
    pub converged_us: Option<u64>,
    /// What was missing when it was last looked at.
    pub missing: Option<String>,
    /// Simulated microseconds in all.
    pub simulated_us: u64,
    /// What the network counted.
    pub counted: Counted,
}

/// Pause between two looks whether all is well.
const LOOK: Duration = Duration::from_secs(1);

/// What happens at a time.
#[derive(Clone, Debug)]
enum Act {
    Start(usize),
    Kill(usize),
    Block(Vec<Way>),
    Unblock(Vec<Way>),
    Append(usize, Json),
}

/// Everything that happens, by its time in microseconds.
struct Timeline(Vec<(u64, Act)>);

impl Timeline {
    fn of(plan: &Plan) -> Result<Self, PlayError> {
        if plan.pace != Pace::default() {
            return Err(PlayError::Pace);
        }
        let mut timeline = Self(Vec::new());
        let (starts, appends) = work::of(plan);
        for (at, start_us) in starts.into_iter().enumerate() {
            timeline.add(start_us, Act::Start(at));
        }
        for one in appends {
            timeline.add(one.at_us, Act::Append(one.factory, one.body));
        }
        for timed in &plan.faults {
            timeline.fault(timed.at_ms * 1_000, &timed.fault, plan.nodes())?;
        }
        // What happens at one time keeps its order.
        timeline.0.sort_by_key(|(at_us, _)| *at_us);
        Ok(timeline)
    }

    fn add(&mut self, at_us: u64, act: Act) {
        self.0.push((at_us, act));
    }

    fn shut(&mut self, at_us: u64, for_ms: u64, ways: Vec<Way>) {
        self.add(at_us, Act::Block(ways.clone()));
        self.add(at_us + for_ms * 1_000, Act::Unblock(ways));
    }

    fn down(&mut self, at_us: u64, down_ms: u64, node: usize) {
        self.add(at_us, Act::Kill(node));
        self.add(at_us + down_ms * 1_000, Act::Start(node));
    }

    fn fault(&mut self, at_us: u64, fault: &Fault, count: usize) -> Result<(), PlayError> {
        match fault {
            Fault::Partition { nodes, for_ms } => {
                let others = (0..count).filter(|other| !nodes.contains(other));
                let ways = others.flat_map(|other| {
                    let both = |node: &usize| [(*node, other), (other, *node)];
                    nodes.iter().flat_map(both).collect::<Vec<_>>()
                });
                self.shut(at_us, *for_ms, ways.collect());
            }
            Fault::OneWay { from, to, for_ms } => self.shut(at_us, *for_ms, vec![(*from, *to)]),
            Fault::Flapping {
                a,
                b,
                period_ms,
                for_ms,
            } => {
                let period_ms = (*period_ms).max(2);
                for begin_ms in (0..*for_ms).step_by(usize::try_from(period_ms).unwrap_or(2)) {
                    let ways = vec![(*a, *b), (*b, *a)];
                    self.shut(at_us + begin_ms * 1_000, period_ms / 2, ways);
                }
            }
            // A step of a task is over before anything else happens: none can be hit in its sync.
            Fault::Crash { node, down_ms, .. } => self.down(at_us, *down_ms, *node),
            Fault::Blackout { down_ms } => {
                (0..count).for_each(|node| self.down(at_us, *down_ms, node));
            }
            other => return Err(PlayError::Fault(other.name())),
        }
        Ok(())
    }
}

/// Plays a plan to its end in a simulation of its own.
///
/// # Errors
/// [`PlayError`].
pub fn play(plan: &Plan, weather: Weather) -> Result<Played, PlayError> {
    plan.check()?;
    let timeline = Timeline::of(plan)?;
    let plan = plan.clone();
    simulate(plan.seed, move || async move {
        Box::pin(run(&plan, timeline, weather)).await
    })?
}

async fn run(plan: &Plan, timeline: Timeline, weather: Weather) -> Result<Played, PlayError> {
    let net = Net::new(plan.seed, &plan.topology, weather);
    let mut federation = Federation::found(&plan.topology.seats(), net.clone())?;
    let tally = Arc::new(Tally::default());
    let end_us = plan.seconds * 1_000_000;
    for (at_us, act) in timeline.0 {
        // What a fault would end later, the healing ends.
        if at_us > end_us {
            break;
        }
        until_us(at_us).await;
        act_now(&mut federation, act, &tally)?;
    }
    until_us(end_us).await;
    net.heal();
    for at in 0..federation.count() {
        federation.start(at)?;
    }
    let (mut converged_us, mut missing) = (None, None);
    for _ in 0..plan.converge_seconds {
        tokio::time::sleep(LOOK).await;
        missing = federation.is_well().await.err();
        if missing.is_none() {
            converged_us = Some(elapsed_us().saturating_sub(end_us));
            break;
        }
    }
    Ok(Played {
        heads: federation.heads()?,
        trace: net.trace(),
        appended: tally.appended.load(Ordering::Relaxed),
        refused: tally.refused.load(Ordering::Relaxed),
        converged_us,
        missing,
        simulated_us: elapsed_us(),
        counted: net.counted(),
    })
}

/// What callers were told.
#[derive(Default)]
struct Tally {
    appended: AtomicU64,
    refused: AtomicU64,
}

fn act_now(
    federation: &mut Federation,
    act: Act,
    tally: &Arc<Tally>,
) -> Result<(), FederationError> {
    let net = federation.net().clone();
    match act {
        Act::Start(at) => federation.start(at)?,
        Act::Kill(at) => federation.kill(at),
        Act::Block(ways) => ways.into_iter().for_each(|way| net.block(way)),
        Act::Unblock(ways) => ways.into_iter().for_each(|way| net.unblock(way)),
        Act::Append(at, body) => {
            let tally = Arc::clone(tally);
            match federation.append(at, body) {
                None => drop(tally.refused.fetch_add(1, Ordering::Relaxed)),
                Some(answer) => drop(tokio::spawn(async move {
                    let told = matches!(answer.await, Ok(Ok(Answer::Appended(_))));
                    let counter = if told {
                        &tally.appended
                    } else {
                        &tally.refused
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                })),
            }
        }
    }
    Ok(())
}
