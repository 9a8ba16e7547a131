//! One run: the time of faults, then the time to get well. The same plan gives the same outcome, byte for byte.

use crate::founding::FoundingError;
use crate::heads::Head;
use crate::plan::{Plan, PlanError};
use crate::watch::{self, Violation};
use crate::world::World;
use belfry_protocol::note::memo::Memo;
use serde::Serialize;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

/// Why a plan could not be played at all.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Its federation.
    #[error(transparent)]
    Founding(#[from] FoundingError),
}

/// What saves time and changes nothing of what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct How {
    /// Signatures that were checked before are remembered, whoever asks.
    pub memo: bool,
    /// Steps of which the engine said that they do nothing are left out.
    pub rest: bool,
}

impl How {
    /// The usual one.
    pub const FAST: Self = Self {
        memo: true,
        rest: true,
    };
    /// Everything is done that a real node does.
    pub const PLAIN: Self = Self {
        memo: false,
        rest: false,
    };
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Hash over everything that happened, in hex: equal for equal runs.
    pub trace: String,
    /// The rule that was broken, if one was.
    pub violation: Option<Violation>,
    /// Simulated microseconds in all.
    pub simulated_us: u64,
    /// Simulated microseconds from the last fault until all was well; `None` if it never was.
    pub converged_us: Option<u64>,
    /// What was missing after the last fault, each time that changed: simulated microseconds and words; the first
    /// [`MISSING_TOLD`].
    pub missing: Vec<(u64, String)>,
    /// Events that happened.
    pub events: u64,
    /// Steps of engines.
    pub steps: u64,
    /// Steps that were left out, because the engine said that they do nothing.
    pub rested: u64,
    /// Messages sent.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages and bytes sent by each node.
    pub sent: Vec<(u64, u64)>,
    /// Entries whose callers were told of an index.
    pub appended: u64,
    /// Appends that were refused, or found nobody.
    pub refused: u64,
    /// Rare states that were reached, and how often.
    pub reached: BTreeMap<&'static str, u64>,
    /// Alarms as (microseconds, node, text).
    pub alarms: Vec<(u64, usize, String)>,
    /// Appends as (microseconds when acked, microseconds from append to ack).
    pub latencies: Vec<(u64, u64)>,
    /// Clock intervals as (half-width, true offset), both in microseconds.
    pub skews: Vec<(u64, u64)>,
}

/// Changes of what is missing that an outcome tells.
pub const MISSING_TOLD: usize = 100;

/// Pause between two looks whether all is well, in microseconds.
const LOOK_US: u64 = 1_000_000;

/// When thieves show everybody what they signed, in microseconds after the last fault: everybody is connected again.
const SHOWN_AGAIN_US: u64 = 60_000_000;

/// Plays a plan to its end, or to the first broken rule. `on_second` is told each simulated second.
///
/// # Errors
/// [`RunError`] when the plan cannot be played at all.
pub fn run(plan: &Plan, on_second: impl FnMut(u64)) -> Result<Outcome, RunError> {
    run_as(plan, How::FAST, on_second)
}

/// As [`run`], with or without what saves time.
///
/// # Errors
/// As [`run`].
pub fn run_as(plan: &Plan, how: How, on_second: impl FnMut(u64)) -> Result<Outcome, RunError> {
    plan.check()?;
    let _memo = how.memo.then(Memo::remember);
    let mut world = World::new(plan, how)?;
    let (converged_us, missing) = play(&mut world, on_second);
    Ok(outcome(world, converged_us, missing))
}

/// As [`run`], with what the factories' ledgers are in the end.
///
/// # Errors
/// As [`run`].
pub fn run_to_heads(plan: &Plan) -> Result<(Outcome, Vec<Head>), RunError> {
    plan.check()?;
    let _memo = How::FAST.memo.then(Memo::remember);
    let mut world = World::new(plan, How::FAST)?;
    let (converged_us, missing) = play(&mut world, |_| {});
    let heads = world.heads();
    Ok((outcome(world, converged_us, missing), heads))
}

/// Plays to the end; says how long it took from the last fault until all was well, if it ever was, and what was missing
/// when.
fn play(world: &mut World, mut on_second: impl FnMut(u64)) -> (Option<u64>, Vec<(u64, String)>) {
    let plan = world.plan.clone();
    for second in 1..=plan.seconds {
        world.run_until(second * 1_000_000);
        on_second(second);
        if world.watch.has_failed() {
            return (None, Vec::new());
        }
    }
    world.heal();
    let healed_us = world.now_us;
    let until_us = healed_us + plan.converge_seconds * 1_000_000;
    let mut missing = Ok(());
    let mut told: Vec<(u64, String)> = Vec::new();
    // Time to be shown what a thief signed: before that nobody may have heard of it.
    let earliest_us = if world.watch.shown.is_empty() {
        healed_us
    } else {
        healed_us + SHOWN_AGAIN_US
    };
    while world.now_us < until_us && !world.watch.has_failed() {
        let next_us = world.now_us + LOOK_US;
        world.run_until(next_us);
        on_second(world.now_us / 1_000_000);
        world.attend();
        if world.now_us == healed_us + SHOWN_AGAIN_US {
            crate::inject::show_again(world);
        }
        missing = watch::is_well(world);
        if let Err(what) = &missing
            && told.last().is_none_or(|(_, before)| before != what)
            && told.len() < MISSING_TOLD
        {
            told.push((world.now_us, what.clone()));
        }
        if missing.is_ok() && world.now_us > earliest_us {
            break;
        }
    }
    let converged_us = world.now_us - healed_us;
    if let Err(what) = missing
        && !world.watch.has_failed()
    {
        world.watch.time(world.now_us);
        let seconds = plan.converge_seconds;
        let what = format!("{seconds} s after the last fault {what}");
        world.watch.fail("L1", None, what);
    }
    let well = !world.watch.has_failed();
    (well.then_some(converged_us), told)
}

fn outcome(world: World, converged_us: Option<u64>, missing: Vec<(u64, String)>) -> Outcome {
    let alarms = world.watch.alarms.iter();
    let alarms = alarms
        .map(|one| (one.at_us, one.node, format!("{:?}", one.alarm)))
        .collect();
    Outcome {
        trace: world.trace().to_hex(),
        violation: world.watch.violation().cloned(),
        simulated_us: world.now_us,
        converged_us,
        missing,
        events: world.counted.events,
        steps: world.counted.steps,
        rested: world.counted.rested,
        messages: world.counted.messages,
        bytes: world.counted.bytes,
        sent: world.counted.sent.clone(),
        appended: world.counted.appended,
        refused: world.counted.refused,
        reached: world.watch.reached_all().clone(),
        alarms,
        latencies: world.watch.latencies.clone(),
        skews: world.watch.skews.kept.clone(),
    }
}

/// As [`run`]; a panic of anything that is simulated is a broken rule (S11) and no end of the program.
///
/// # Errors
/// As [`run`].
pub fn run_caught(plan: &Plan, on_second: impl FnMut(u64)) -> Result<Outcome, RunError> {
    run_caught_as(plan, How::FAST, on_second)
}

/// As [`run_caught`], with or without what saves time.
///
/// # Errors
/// As [`run`].
pub fn run_caught_as(
    plan: &Plan,
    how: How,
    on_second: impl FnMut(u64),
) -> Result<Outcome, RunError> {
    let seconds = std::cell::Cell::new(0);
    let mut on_second = on_second;
    let counted = |second| {
        seconds.set(second);
        on_second(second);
    };
    let caught = std::panic::catch_unwind(AssertUnwindSafe(|| run_as(plan, how, counted)));
    caught.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|one| (*one).to_owned()));
        Ok(Outcome::panicked(
            seconds.get() * 1_000_000,
            text.unwrap_or_else(|| "a panic without words".to_owned()),
        ))
    })
}

impl Outcome {
    /// Whether the same happened, however many steps it took.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let mut other = other.clone();
        other.steps = self.steps;
        other.rested = self.rested;
        *self == other
    }

    fn panicked(at_us: u64, what: String) -> Self {
        Self {
            trace: String::new(),
            violation: Some(Violation {
                invariant: "S11",
                at_us,
                node: None,
                what: format!("it panicked: {what}"),
            }),
            simulated_us: at_us,
            converged_us: None,
            missing: Vec::new(),
            events: 0,
            steps: 0,
            rested: 0,
            messages: 0,
            bytes: 0,
            sent: Vec::new(),
            appended: 0,
            refused: 0,
            reached: BTreeMap::new(),
            alarms: Vec::new(),
            latencies: Vec::new(),
            skews: Vec::new(),
        }
    }
}
