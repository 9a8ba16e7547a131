//! From a plan that fails to a smaller one that fails in the same way: what comes after the failure goes first, then disks
//! where memory does, then faults are left out, whole sorts and halves before single ones (delta debugging), and what is left is made shorter. May not
//! change what fails: the same rule must be broken.

use crate::plan::{Plan, Store, Timed};
use crate::run::{Outcome, run_caught};
use std::collections::BTreeSet;
use std::num::NonZero;

/// A smaller plan, and how it was found.
pub struct Shrunk {
    /// The plan.
    pub plan: Plan,
    /// Its outcome.
    pub outcome: Outcome,
    /// Runs that it took.
    pub runs: u64,
}

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Runs at most.
    pub runs: u64,
    /// Runs at once. The smaller plan is the same, however many.
    pub jobs: NonZero<usize>,
    /// Seeds that are tried for one choice of faults. Fewer faults draw other latencies, and what hangs on a moment does not
    /// fail any more: with another seed it may.
    pub seeds: u64,
}

impl Default for Effort {
    fn default() -> Self {
        Self {
            runs: 2_000,
            jobs: NonZero::<usize>::MIN,
            seeds: 4,
        }
    }
}

/// Simulated seconds that a smaller plan has beyond the moment of the last failure: it may fail somewhat later.
const SLACK_SECONDS: u64 = 10;

/// Rules that are judged when the time to get well is over: nothing can be cut off before that.
const JUDGED_AT_THE_END: [&str; 2] = ["L1", "S4"];

/// Which rule a plan breaks, if it breaks one.
fn broken(plan: &Plan) -> Option<(String, Outcome)> {
    let outcome = run_caught(plan, |_| {}).ok()?;
    let invariant = outcome.violation.as_ref()?.invariant.to_owned();
    Some((invariant, outcome))
}

/// Tries plans and keeps each that still fails.
struct Search<T> {
    best: Plan,
    outcome: Outcome,
    invariant: String,
    runs: u64,
    effort: Effort,
    /// Is told of each plan that is kept.
    told: T,
}

impl<T: FnMut(&Plan, u64)> Search<T> {
    /// Tries plans in their order and keeps the first that fails; says which.
    fn try_plans(&mut self, plans: Vec<Plan>) -> Option<usize> {
        let most = usize::try_from(self.effort.runs.saturating_sub(self.runs)).unwrap_or(0);
        let mut left: Vec<(usize, Plan)> = plans
            .into_iter()
            .enumerate()
            .filter(|(_, plan)| plan.check().is_ok() && *plan != self.best)
            .take(most)
            .collect();
        while !left.is_empty() {
            let rest = left.split_off(self.effort.jobs.get().min(left.len()));
            let outcomes: Vec<Option<(String, Outcome)>> = std::thread::scope(|scope| {
                let runs: Vec<_> = left
                    .iter()
                    .map(|(_, plan)| scope.spawn(|| broken(plan)))
                    .collect();
                let ended = runs.into_iter().map(|run| run.join().ok().flatten());
                ended.collect()
            });
            self.runs += left.len() as u64;
            for ((number, plan), outcome) in left.into_iter().zip(outcomes) {
                if let Some((invariant, outcome)) = outcome
                    && invariant == self.invariant
                {
                    self.best = plan;
                    self.outcome = outcome;
                    self.cut();
                    (self.told)(&self.best, self.runs);
                    return Some(number);
                }
            }
            left = rest;
        }
        None
    }

    /// Tries choices of faults, each with some seeds; says which choice fails.
    fn try_faults(&mut self, choices: Vec<Vec<Timed>>) -> Option<usize> {
        let seeds = self.effort.seeds.max(1);
        let best = &self.best;
        let plans = choices.into_iter().flat_map(|faults| {
            (0..seeds).map(move |more| Plan {
                seed: best.seed.wrapping_add(more),
                faults: faults.clone(),
                ..best.clone()
            })
        });
        let kept = self.try_plans(plans.collect())?;
        Some(kept / usize::try_from(seeds).unwrap_or(1))
    }

    /// Leaves out what comes after the failure.
    fn cut(&mut self) {
        let Some(violation) = &self.outcome.violation else {
            return;
        };
        if JUDGED_AT_THE_END.contains(&violation.invariant) {
            return;
        }
        let at_us = violation.at_us;
        let mut plan = self.best.clone();
        plan.faults.retain(|one| one.at_ms * 1_000 <= at_us);
        let until = at_us.div_ceil(1_000_000) + SLACK_SECONDS;
        if at_us <= plan.seconds * 1_000_000 {
            plan.seconds = plan.seconds.min(until);
            plan.converge_seconds = 0;
        } else {
            let converge = until.saturating_sub(plan.seconds);
            plan.converge_seconds = plan.converge_seconds.min(converge);
        }
        if plan == self.best {
            return;
        }
        self.runs += 1;
        if let Some((invariant, outcome)) = broken(&plan)
            && invariant == self.invariant
        {
            self.best = plan;
            self.outcome = outcome;
        }
    }

    /// Directories in memory, without what only a disk can have: such a run takes a tenth of the time.
    fn off_the_disks(&mut self) {
        if self.best.store == Store::Memory {
            return;
        }
        let faults = self.best.faults.iter();
        let faults = faults.filter(|one| !one.fault.needs_disk()).cloned();
        let plan = Plan {
            store: Store::Memory,
            faults: faults.collect(),
            ..self.best.clone()
        };
        let seeds = (0..self.effort.seeds.max(1)).map(|more| Plan {
            seed: plan.seed.wrapping_add(more),
            ..plan.clone()
        });
        self.try_plans(seeds.collect());
    }

    /// Leaves out all faults of one sort.
    fn fewer_sorts(&mut self) {
        let names = |plan: &Plan| -> BTreeSet<&'static str> {
            plan.faults.iter().map(|one| one.fault.name()).collect()
        };
        for name in names(&self.best) {
            let faults = self.best.faults.iter();
            let others = faults.filter(|one| one.fault.name() != name).cloned();
            let others: Vec<Timed> = others.collect();
            if others.len() < self.best.faults.len() {
                self.try_faults(vec![others]);
            }
        }
    }

    /// Leaves out ever smaller runs of faults.
    fn fewer_faults(&mut self) {
        let mut chunk = self.best.faults.len().div_ceil(2);
        while chunk > 0 {
            let mut start = 0;
            while start < self.best.faults.len() {
                let faults = &self.best.faults;
                let starts: Vec<usize> = (start..faults.len()).step_by(chunk).collect();
                let choices = starts.iter().map(|start| {
                    let end = (start + chunk).min(faults.len());
                    [&faults[..*start], &faults[end..]].concat()
                });
                match self.try_faults(choices.collect()) {
                    Some(choice) => start = starts[choice],
                    None => break,
                }
            }
            chunk /= 2;
        }
    }

    /// Ends the time of faults as early as possible.
    fn shorter(&mut self) {
        let last = self.best.faults.last().map_or(0, |one| one.at_ms / 1_000);
        let failed = self.outcome.violation.as_ref().map_or(0, |one| one.at_us);
        let ends = [last + 1, last + 5, failed.div_ceil(1_000_000), last + 60];
        let plans = ends.into_iter().filter(|end| *end < self.best.seconds);
        let plans = plans.map(|seconds| Plan {
            seconds,
            ..self.best.clone()
        });
        self.try_plans(plans.collect());
    }

    /// Fewer entries, and shorter ones.
    fn quieter(&mut self) {
        let rate = self.best.workload.entries_per_1000_seconds;
        let plans = [0, 100, 1_000].into_iter().filter(|fewer| *fewer < rate);
        let plans = plans.map(|fewer| {
            let mut plan = self.best.clone();
            plan.workload.entries_per_1000_seconds = fewer;
            plan.workload.entry_bytes = 16;
            plan
        });
        self.try_plans(plans.collect());
    }

    /// One data centre instead of many.
    fn closer(&mut self) {
        let mut plan = self.best.clone();
        plan.topology.regions.clear();
        plan.topology.latency_us.clear();
        self.try_plans(vec![plan]);
    }
}

/// Shrinks a plan; `told` hears of each smaller one, with the runs so far. `None` if it does not fail.
#[must_use]
pub fn shrink(plan: &Plan, effort: Effort, told: impl FnMut(&Plan, u64)) -> Option<Shrunk> {
    let (invariant, outcome) = broken(plan)?;
    let mut search = Search {
        best: plan.clone(),
        outcome,
        invariant,
        runs: 1,
        effort,
        told,
    };
    search.cut();
    loop {
        let before = search.best.clone();
        search.off_the_disks();
        search.fewer_sorts();
        search.fewer_faults();
        search.shorter();
        search.closer();
        search.quieter();
        if search.best == before {
            break;
        }
    }
    Some(Shrunk {
        plan: search.best,
        outcome: search.outcome,
        runs: search.runs,
    })
}
