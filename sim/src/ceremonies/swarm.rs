//! Many seeds of ceremonies, each on one thread, and which rare states they reached between them.

use super::sometimes::RARE;
use super::{How, Outcome, play};
use crate::founding::FoundingError;
use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// What to play.
pub struct Ceremonies {
    /// First seed.
    pub from: u64,
    /// How many.
    pub seeds: u64,
    /// Threads.
    pub jobs: NonZero<usize>,
}

/// What came of all seeds.
#[derive(Default)]
pub struct Summary {
    /// Seeds that were played.
    pub seeds: u64,
    /// Those that broke a rule, by seed.
    pub failed: BTreeMap<u64, Outcome>,
    /// How often each rare state was reached.
    pub reached: BTreeMap<&'static str, u64>,
    /// Simulated microseconds.
    pub simulated_us: u64,
    /// Epochs that became active.
    pub epochs: u64,
    /// Steps of members.
    pub steps: u64,
    /// Messages.
    pub messages: u64,
    /// The longest that a vote took after its faults, in microseconds, with its seed.
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

    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        for (what, count) in &outcome.reached {
            *self.reached.entry(what).or_default() += count;
        }
        self.simulated_us += outcome.simulated_us;
        self.epochs += outcome.epochs;
        self.steps += outcome.steps;
        self.messages += outcome.messages;
        if let Some(us) = outcome.slowest_us {
            self.slowest = self.slowest.max(Some((us, outcome.seed)));
        }
        if outcome.violation.is_some() {
            self.failed.insert(outcome.seed, outcome);
        }
    }
}

impl Ceremonies {
    /// Plays all seeds. `told` hears of each that is done.
    ///
    /// # Errors
    /// [`FoundingError`] when a seed cannot be played at all.
    pub fn play(&self, told: impl Fn(&Outcome) + Sync) -> Result<Summary, FoundingError> {
        let next = AtomicU64::new(self.from);
        let summary = Mutex::new(Summary::default());
        let error = Mutex::new(None);
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= self.from.saturating_add(self.seeds) {
                    return;
                }
                match play(seed, How::default()) {
                    Ok(outcome) => {
                        told(&outcome);
                        let mut all = summary.lock().unwrap_or_else(PoisonError::into_inner);
                        all.add(outcome);
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
}
