//! From a plan that fails to a smaller one that fails in the same way: faults are left out, halves first (delta debugging),
//! then what is left is made shorter. May not change what fails: the same rule must be broken.

use crate::plan::{Plan, Timed};
use crate::run::{Outcome, run_caught};

/// A smaller plan, and how it was found.
pub struct Shrunk {
    /// The plan.
    pub plan: Plan,
    /// Its outcome.
    pub outcome: Outcome,
    /// Runs that it took.
    pub runs: u64,
}

/// Which rule a plan breaks, if it breaks one.
fn broken(plan: &Plan) -> Option<(String, Outcome)> {
    let outcome = run_caught(plan, |_| {}).ok()?;
    let invariant = outcome.violation.as_ref()?.invariant.to_owned();
    Some((invariant, outcome))
}

/// Tries plans one after the other and keeps each that still fails.
struct Search {
    best: Plan,
    outcome: Outcome,
    invariant: String,
    runs: u64,
    most: u64,
}

impl Search {
    fn try_plan(&mut self, plan: Plan) -> bool {
        if self.runs >= self.most || plan.check().is_err() || plan == self.best {
            return false;
        }
        self.runs += 1;
        match broken(&plan) {
            Some((invariant, outcome)) if invariant == self.invariant => {
                self.best = plan;
                self.outcome = outcome;
                true
            }
            _ => false,
        }
    }

    fn with_faults(&self, faults: Vec<Timed>) -> Plan {
        Plan {
            faults,
            ..self.best.clone()
        }
    }

    /// Leaves out ever smaller runs of faults.
    fn fewer_faults(&mut self) {
        let mut chunk = self.best.faults.len().div_ceil(2);
        while chunk > 0 {
            let mut start = 0;
            while start < self.best.faults.len() {
                let mut faults = self.best.faults.clone();
                let end = (start + chunk).min(faults.len());
                faults.drain(start..end);
                if !self.try_plan(self.with_faults(faults)) {
                    start += chunk;
                }
            }
            chunk /= 2;
        }
    }

    /// Ends the time of faults as early as possible.
    fn shorter(&mut self) {
        let last = self.best.faults.last().map_or(0, |one| one.at_ms / 1_000);
        for seconds in [last + 1, last + 5, last + 20, last + 60] {
            let plan = Plan {
                seconds,
                ..self.best.clone()
            };
            if seconds < self.best.seconds && self.try_plan(plan) {
                return;
            }
        }
    }

    /// Fewer entries, and shorter ones.
    fn quieter(&mut self) {
        for rate in [0, 100, 1_000] {
            let mut plan = self.best.clone();
            if rate < plan.workload.entries_per_1000_seconds {
                plan.workload.entries_per_1000_seconds = rate;
                plan.workload.entry_bytes = 16;
                if self.try_plan(plan) {
                    return;
                }
            }
        }
    }

    /// One data centre instead of many.
    fn closer(&mut self) {
        let mut plan = self.best.clone();
        plan.topology.regions.clear();
        plan.topology.latency_us.clear();
        self.try_plan(plan);
    }
}

/// Shrinks a plan within so many runs. `None` if it does not fail.
#[must_use]
pub fn shrink(plan: &Plan, most_runs: u64) -> Option<Shrunk> {
    let (invariant, outcome) = broken(plan)?;
    let mut search = Search {
        best: plan.clone(),
        outcome,
        invariant,
        runs: 1,
        most: most_runs,
    };
    loop {
        let before = search.best.clone();
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
