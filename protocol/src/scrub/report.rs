//! What a scrub found, counted by class. Holds no value and no position, so it may be stored and shown.

use super::class::Class;

const CLASSES: usize = Class::ALL.len();

/// How many values of each class were replaced, and how many were seen but kept as the rule set says.
#[derive(Default, Clone, Debug, PartialEq, Eq)]
pub struct Report {
    replaced: [u64; CLASSES],
    kept: [u64; CLASSES],
}

impl Report {
    /// Classes with replaced values and their counts, highest priority first.
    pub fn iter(&self) -> impl Iterator<Item = (Class, u64)> + '_ {
        counts(&self.replaced)
    }

    /// Classes whose values were seen and kept. May miss some of a text that [`super::Scrubber::may_change`] cleared.
    pub fn kept(&self) -> impl Iterator<Item = (Class, u64)> + '_ {
        counts(&self.kept)
    }

    /// Counts one replaced value.
    pub fn add(&mut self, class: Class) {
        bump(&mut self.replaced[class.index()], 1);
    }

    /// Counts one value that was seen and kept.
    pub(super) fn add_kept(&mut self, class: Class) {
        bump(&mut self.kept[class.index()], 1);
    }

    /// Adds the counts of another report.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.replaced.iter_mut().zip(other.replaced) {
            bump(mine, theirs);
        }
        for (mine, theirs) in self.kept.iter_mut().zip(other.kept) {
            bump(mine, theirs);
        }
    }

    /// Whether nothing was replaced.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.replaced.iter().all(|count| *count == 0)
    }
}

fn counts(of: &[u64; CLASSES]) -> impl Iterator<Item = (Class, u64)> + '_ {
    Class::ALL
        .into_iter()
        .zip(of.iter().copied())
        .filter(|(_, count)| *count > 0)
}

fn bump(count: &mut u64, by: u64) {
    *count = count.saturating_add(by);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_merges() {
        let mut report = Report::default();
        assert!(report.is_empty());
        report.add_kept(Class::SgNricMasked);
        assert!(report.is_empty());
        report.add(Class::Email);
        let mut other = Report::default();
        other.add(Class::Email);
        other.add(Class::Jwt);
        report.merge(&other);
        assert_eq!(
            report.iter().collect::<Vec<_>>(),
            [(Class::Jwt, 1), (Class::Email, 2)]
        );
        assert_eq!(
            report.kept().collect::<Vec<_>>(),
            [(Class::SgNricMasked, 1)]
        );
    }
}
