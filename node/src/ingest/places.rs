//! Where the entries of a bulk append are: runs of indices, as few as can be. It may not grow without bound: an append
//! of any length is counted, but only so many separate runs are remembered.

use std::ops::Range;

/// Separate runs that are remembered.
pub const MOST_RUNS: usize = 65_536;

/// Indices of entries in the order of the input, new ones and known ones alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    runs: Vec<Range<u64>>,
    /// One past the highest index, also of runs that were not remembered.
    end: u64,
    forgotten: bool,
}

impl Runs {
    /// Adds one run; an empty one changes nothing.
    pub fn add(&mut self, run: Range<u64>) {
        if run.is_empty() {
            return;
        }
        self.end = self.end.max(run.end);
        let full = self.runs.len() >= MOST_RUNS;
        match self.runs.last_mut() {
            Some(last) if last.end == run.start => last.end = run.end,
            _ if !full => self.runs.push(run),
            _ => self.forgotten = true,
        }
    }

    /// What is known where the runs themselves are not: the highest index is below `end`.
    #[must_use]
    pub fn forgotten(end: u64) -> Self {
        Self {
            runs: Vec::new(),
            end,
            forgotten: end > 0,
        }
    }

    /// One past the highest index; 0 if there is none.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// All runs, or `None` if there were more than [`MOST_RUNS`].
    #[must_use]
    pub fn all(&self) -> Option<&[Range<u64>]> {
        (!self.forgotten).then_some(&self.runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_one_run_and_too_many_are_not_passed_over_in_silence() {
        let mut runs = Runs::default();
        for run in [5..7, 7..9, 3..3, 2..3] {
            runs.add(run);
        }
        assert_eq!(
            (runs.all(), runs.end()),
            (Some(&[5..9, 2..3][..]), 9),
            "{runs:?}"
        );
        for at in 0..MOST_RUNS as u64 {
            runs.add(10 + 2 * at..11 + 2 * at);
        }
        let end = 11 + 2 * (MOST_RUNS as u64 - 1);
        assert_eq!((runs.all(), runs.end()), (None, end));
    }
}
