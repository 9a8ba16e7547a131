//! Many seeds at once, each on one thread; what they found, and which rare states they reached between them.

use crate::plan::{Plan, Wishes, draw};
use crate::run::{How, Outcome, RunError, run_caught, run_caught_as};
use crate::watch::RARE;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

/// What came of one seed.
pub struct Seeded {
    /// Its plan.
    pub plan: Plan,
    /// Its outcome.
    pub outcome: Outcome,
}

/// What came of all seeds.
#[derive(Default)]
pub struct Summary {
    /// Seeds that were played.
    pub seeds: u64,
    /// Those that broke a rule, by seed.
    pub failed: BTreeMap<u64, Seeded>,
    /// Those whose second run was not the first.
    pub unlike: Vec<u64>,
    /// How often each rare state was reached.
    pub reached: BTreeMap<&'static str, u64>,
    /// How often each fault was planned.
    pub faults: BTreeMap<&'static str, u64>,
    /// Simulated microseconds.
    pub simulated_us: u64,
    /// Steps of engines.
    pub steps: u64,
    /// Messages.
    pub messages: u64,
    /// Entries appended.
    pub appended: u64,
    /// The longest time to get well, in microseconds, with its seed.
    pub slowest: Option<(u64, u64)>,
}

impl Summary {
    /// Rare states that no seed reached.
    #[must_use]
    pub fn never_reached(&self) -> Vec<&'static str> {
        let all = RARE.into_iter();
        all.filter(|what| !self.reached.contains_key(what))
            .collect()
    }

    fn add(&mut self, seed: u64, plan: Plan, outcome: Outcome) {
        self.seeds += 1;
        for (what, count) in &outcome.reached {
            *self.reached.entry(what).or_default() += count;
        }
        for timed in &plan.faults {
            *self.faults.entry(timed.fault.name()).or_default() += 1;
        }
        self.simulated_us += outcome.simulated_us;
        self.steps += outcome.steps;
        self.messages += outcome.messages;
        self.appended += outcome.appended;
        if let Some(us) = outcome.converged_us {
            self.slowest = self.slowest.max(Some((us, seed)));
        }
        if outcome.violation.is_some() {
            self.failed.insert(seed, Seeded { plan, outcome });
        }
    }
}

/// What to play.
pub struct Swarm {
    /// First seed.
    pub from: u64,
    /// How many.
    pub seeds: u64,
    /// Threads.
    pub jobs: NonZero<usize>,
    /// What the seeds leave open.
    pub wishes: Wishes,
    /// Every so many seeds are played twice and compared; 0: none.
    pub doublecheck: u64,
}

impl Swarm {
    /// Plays all seeds. `told` hears of each seed that is done.
    ///
    /// # Errors
    /// [`RunError`] when a plan cannot be played at all.
    pub fn play(&self, told: impl Fn(u64, &Outcome) + Sync) -> Result<Summary, RunError> {
        let next = AtomicU64::new(self.from);
        let summary = Mutex::new(Summary::default());
        let error = Mutex::new(None);
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= self.from.saturating_add(self.seeds) {
                    return;
                }
                match self.one(seed) {
                    Ok((plan, outcome, alike)) => {
                        told(seed, &outcome);
                        let mut all = summary.lock().unwrap_or_else(PoisonError::into_inner);
                        if !alike {
                            all.unlike.push(seed);
                        }
                        all.add(seed, plan, outcome);
                    }
                    Err(why) => {
                        *error.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                        return;
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.get() {
                scope.spawn(work);
            }
        });
        match error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(summary.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn one(&self, seed: u64) -> Result<(Plan, Outcome, bool), RunError> {
        let plan = draw(seed, &self.wishes);
        let outcome = run_caught(&plan, |_| {})?;
        let again = self.doublecheck > 0 && seed.is_multiple_of(self.doublecheck);
        let alike = !again || run_caught_as(&plan, How::PLAIN, |_| {})?.is_like(&outcome);
        Ok((plan, outcome, alike))
    }
}
