//! What R14 calls enough, written down once more: by counting who said what, without the code under test.
//! May not verify signatures: what is counted here was verified.

use super::people::{People, Who};
use belfry_protocol::manifest::{Manifest, Member};
use belfry_protocol::tlog::hash::Hash;
use std::collections::{BTreeMap, BTreeSet};

/// What binds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Word {
    Approve,
    Commit,
    Yield,
}

/// Who has a say in a manifest, and how many are enough.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// Epoch of the manifest.
    pub(super) epoch: u64,
    /// The members of N; at epoch 0, the listed.
    pub(super) old: BTreeSet<Who>,
    /// t of N.
    pub(super) threshold: usize,
    /// The members of N+1.
    pub(super) new: BTreeSet<Who>,
    /// t of N+1.
    next_threshold: usize,
    /// Whose acceptance holds in every round, and is needed.
    pub(super) joiners: BTreeSet<Who>,
    /// Recovery keys signed it.
    pub(super) recovery: bool,
}

impl Rule {
    pub(super) fn new(base: Option<&Manifest>, next: &Manifest, people: &People) -> Self {
        let of = |manifest: &Manifest| -> BTreeSet<Who> {
            let holder = |member: &Member| people.holder(&member.identity);
            manifest.members.iter().filter_map(holder).collect()
        };
        let voters = base.unwrap_or(next);
        let (old, new) = (of(voters), of(next));
        let joiners = match base {
            Some(_) => new.difference(&old).copied().collect(),
            None => new.clone(),
        };
        Self {
            epoch: next.epoch,
            old,
            threshold: voters.amendment_threshold as usize,
            new,
            next_threshold: next.amendment_threshold as usize,
            joiners,
            recovery: false,
        }
    }

    /// Whether these people can make it active, if they all want it.
    pub(super) fn is_enough(&self, people: &BTreeSet<Who>) -> bool {
        let of = |all: &BTreeSet<Who>| all.intersection(people).count();
        of(&self.old) >= self.threshold && of(&self.new) >= self.next_threshold
    }

    /// How many of those who vote may lie.
    pub(super) fn faulty(&self) -> usize {
        self.old.len().saturating_sub(1) / 3
    }

    /// How many of the next epoch may lie.
    pub(super) fn next_faulty(&self) -> usize {
        self.new.len().saturating_sub(1) / 3
    }
}

/// Who said what of the manifests of one epoch.
#[derive(Clone, Default, Debug)]
pub(super) struct Tally {
    said: BTreeMap<(Word, Hash, u64), BTreeSet<Who>>,
}

impl Tally {
    /// Counts a word; says whether it is new.
    pub(super) fn add(&mut self, word: Word, manifest: Hash, round: u64, who: Who) -> bool {
        let all = self.said.entry((word, manifest, round)).or_default();
        all.insert(who)
    }

    fn of(&self, word: Word, manifest: Hash, round: u64) -> BTreeSet<Who> {
        let said = self.said.get(&(word, manifest, round));
        said.cloned().unwrap_or_default()
    }

    /// Who said it in any round.
    pub(super) fn ever(&self, word: Word, manifest: Hash) -> BTreeSet<Who> {
        let said = self.said.iter();
        let of = said.filter(|((w, hash, _), _)| (*w, *hash) == (word, manifest));
        of.flat_map(|(_, who)| who.iter().copied()).collect()
    }

    /// Rounds in which anybody approved it.
    pub(super) fn rounds(&self, manifest: Hash) -> Vec<u64> {
        let said = self.said.keys();
        let of = said.filter(|(w, hash, _)| (*w, *hash) == (Word::Approve, manifest));
        of.map(|(_, _, round)| *round).collect()
    }

    /// The rounds of certificates for `manifest`, if `helpers` approve whatever is asked of them.
    pub(super) fn certificates(
        &self,
        rule: &Rule,
        manifest: Hash,
        helpers: &BTreeSet<Who>,
    ) -> Vec<u64> {
        let ever = self.ever(Word::Approve, manifest);
        let accepted = |who: &Who| ever.contains(who) || helpers.contains(who);
        if !rule.joiners.iter().all(accepted) {
            return Vec::new();
        }
        let rounds = self.rounds(manifest).into_iter();
        rounds
            .filter(|round| {
                let fresh = self.of(Word::Approve, manifest, *round);
                let says = |who: &&Who| fresh.contains(who) || helpers.contains(who);
                let old = rule.old.iter().filter(says).count();
                let new = rule.new.iter();
                let new = new
                    .filter(|who| says(who) || (rule.joiners.contains(who) && ever.contains(who)));
                old >= rule.threshold && new.count() >= rule.next_threshold
            })
            .collect()
    }

    /// Whether it could be shown active, if `helpers` say whatever is asked of them.
    pub(super) fn is_active(&self, rule: &Rule, manifest: Hash, helpers: &BTreeSet<Who>) -> bool {
        if rule.recovery {
            let yields = self.of(Word::Yield, manifest, 0);
            let yields = rule.old.iter().filter(|who| yields.contains(who)).count();
            let ever = self.ever(Word::Approve, manifest);
            let joined = rule.joiners.is_subset(&ever);
            return joined && yields > rule.old.len() - rule.threshold;
        }
        let mut rounds = self.certificates(rule, manifest, helpers).into_iter();
        rounds.any(|round| {
            let commits = self.of(Word::Commit, manifest, round);
            let says = |who: &&Who| commits.contains(who) || helpers.contains(who);
            rule.old.iter().filter(says).count() >= rule.threshold
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> Rule {
        Rule {
            epoch: 1,
            old: BTreeSet::from([0, 1, 2, 3]),
            threshold: 3,
            new: BTreeSet::from([0, 1, 2, 3, 4]),
            next_threshold: 4,
            joiners: BTreeSet::from([4]),
            recovery: false,
        }
    }

    #[test]
    fn enough_is_counted_as_the_rule_says() {
        let (rule, hash, nobody) = (rule(), Hash([1; 32]), BTreeSet::new());
        let mut tally = Tally::default();
        for who in 0..3 {
            assert!(tally.add(Word::Approve, hash, 2, who));
        }
        assert!(tally.certificates(&rule, hash, &nobody).is_empty());
        tally.add(Word::Approve, hash, 1, 4);
        assert_eq!(tally.certificates(&rule, hash, &nobody), [2]);
        for who in 0..2 {
            tally.add(Word::Commit, hash, 2, who);
        }
        tally.add(Word::Commit, hash, 3, 2);
        assert!(!tally.is_active(&rule, hash, &nobody));
        assert!(tally.is_active(&rule, hash, &BTreeSet::from([3])));
        tally.add(Word::Commit, hash, 2, 2);
        assert!(tally.is_active(&rule, hash, &nobody));
    }

    #[test]
    fn a_recovery_counts_yields() {
        let rule = Rule {
            recovery: true,
            ..rule()
        };
        let (hash, nobody) = (Hash([1; 32]), BTreeSet::new());
        let mut tally = Tally::default();
        tally.add(Word::Approve, hash, 1, 4);
        tally.add(Word::Yield, hash, 0, 0);
        assert!(!tally.is_active(&rule, hash, &nobody));
        tally.add(Word::Yield, hash, 0, 1);
        assert!(tally.is_active(&rule, hash, &nobody));
    }
}
