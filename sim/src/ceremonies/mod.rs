//! Foundings and amendments by vote (R14), played in virtual time: the product's state machine and stores, a network that
//! loses, delays and cuts, machines that die, disks that are lost, people who are late, mistaken or of another mind, and
//! members who keep no rule. One seed gives one run, byte for byte.
//!
//! | file | holds |
//! |---|---|
//! | `plan` | what a seed decides beforehand |
//! | `people` | who takes part, their keys, and the manifests they vote on |
//! | `world`, `step`, `talk`, `life` | what happens: steps, letters, crashes and disks |
//! | `member`, `directory` | one member, and what survives its process |
//! | `humans`, `liars` | what people do |
//! | `phase`, `agree`, `close` | one vote after the other, whether it ends, and what became of it |
//! | `watch`, `count` | whether the rules are kept, counted without the code under test |
//! | `sometimes` | rare states that a suite must have reached |

mod agree;
mod close;
mod count;
mod directory;
mod humans;
mod letters;
mod liars;
mod life;
mod member;
mod people;
mod phase;
mod plan;
mod sometimes;
mod step;
mod swarm;
mod talk;
mod watch;
mod world;

#[cfg(feature = "sabotage")]
pub use plan::Sabotage;
pub use sometimes::RARE as RARE_CEREMONIES;
pub use swarm::{Ceremonies, Summary};

use crate::founding::FoundingError;
use crate::watch::Violation;
use belfry_protocol::note::memo::Memo;
use plan::Plan;
use serde::Serialize;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use world::{HOUR_US, World};

/// What came of one seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What was voted on, and among whom.
    pub about: String,
    /// Hash over everything that happened, in hex: equal for equal runs.
    pub trace: String,
    /// The rule that was broken, if one was.
    pub violation: Option<Violation>,
    /// Simulated microseconds in all.
    pub simulated_us: u64,
    /// The longest that a vote took after its faults, in simulated microseconds; none if all ended before.
    pub slowest_us: Option<u64>,
    /// Epochs that became active.
    pub epochs: u64,
    /// Steps of members.
    pub steps: u64,
    /// Messages sent.
    pub messages: u64,
    /// Rare states that were reached, and how often.
    pub reached: BTreeMap<&'static str, u64>,
    /// What happened, line by line, if it was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}

/// How one seed is played.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// What happens is told line by line.
    pub tells: bool,
    /// What is broken on purpose.
    #[cfg(feature = "sabotage")]
    pub sabotage: Option<Sabotage>,
}

impl How {
    /// Nothing is broken; what happens is told, or not.
    #[must_use]
    #[allow(
        clippy::needless_update,
        reason = "with the feature there are more fields"
    )]
    pub fn telling(tells: bool) -> Self {
        Self {
            tells,
            ..Self::default()
        }
    }
}

/// More than every vote takes: whatever does not end by then hangs.
const END_US: u64 = 5_000 * HOUR_US;

/// Plays one seed to its end, or to the first broken rule.
///
/// # Errors
/// [`FoundingError`] when its people or disks cannot be made.
pub fn play(seed: u64, how: How) -> Result<Outcome, FoundingError> {
    let _memo = Memo::remember();
    #[allow(unused_mut)]
    let mut plan = Plan::draw(seed);
    #[cfg(feature = "sabotage")]
    {
        plan.sabotage = how.sabotage;
    }
    let caught = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(&plan, how.tells)?;
        world.run_until(END_US);
        world.look_at_chains();
        if !world.phase.is_over && world.watch.violation().is_none() {
            let what = "nothing happens any more".to_owned();
            world.watch.fail(watch::rule::ENDS, None, what);
        }
        Ok(outcome(world))
    }));
    caught.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|one| (*one).to_owned()));
        let what = text.unwrap_or_else(|| "a panic without words".to_owned());
        Ok(panicked(&plan, what))
    })
}

fn about(plan: &Plan) -> String {
    let kinds: Vec<&str> = plan.kinds.iter().map(|kind| kind.word()).collect();
    let of = |what: &str, count: usize| match count {
        0 => String::new(),
        count => format!(", {count} {what}"),
    };
    format!(
        "{} among {}{}{}{}{}; faults for {} h; store {:?}",
        kinds.join(", then "),
        plan.members,
        of("liars", plan.liars.len()),
        of("gone", plan.gone.len()),
        of("silent", plan.silent.len()),
        of("late", plan.late.len()),
        plan.chaos_hours,
        plan.store,
    )
}

fn outcome(mut world: World) -> Outcome {
    Outcome {
        seed: world.plan.seed,
        about: about(&world.plan),
        trace: world.trace().to_hex(),
        violation: world.watch.violation().cloned(),
        simulated_us: world.now_us,
        slowest_us: world.phase.slowest_us,
        epochs: world.phase.epochs,
        steps: world.steps,
        messages: world.messages,
        reached: world.watch.reached_all().clone(),
        lines: world.lines.take().unwrap_or_default(),
    }
}

fn panicked(plan: &Plan, what: String) -> Outcome {
    Outcome {
        seed: plan.seed,
        about: about(plan),
        trace: String::new(),
        violation: Some(Violation {
            invariant: watch::rule::RUNS,
            at_us: 0,
            node: None,
            what: format!("it panicked: {what}"),
        }),
        simulated_us: 0,
        slowest_us: None,
        epochs: 0,
        steps: 0,
        messages: 0,
        reached: BTreeMap::new(),
        lines: Vec::new(),
    }
}
