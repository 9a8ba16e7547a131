//! Everybody's votes on one epoch, bounded so that nobody's fill the place of another's: of whoever votes the newest rounds,
//! of whoever only joins one of each sort for each manifest. May not verify, and may not count.

use super::seen::{Sort, Who};
use crate::genesis::{Evidence, Vote};
use crate::tlog::hash::Hash;
use std::collections::{BTreeMap, BTreeSet};

/// Most votes that are kept of one key that votes: those of the lowest round go first, which nobody can win any more. Five sorts
/// in 51 rounds.
pub const MAX_VOTES_EACH: usize = 256;

/// What became of a vote.
pub(super) enum Taken {
    New,
    Known,
    /// Another vote of that key in that round is here already.
    Contradicts(Box<Evidence>),
}

/// Votes by key, and by round and sort.
#[derive(Clone, Debug, Default)]
pub(super) struct Votes {
    by: BTreeMap<Who, BTreeMap<(u64, Sort), Vote>>,
    /// Which of them are about a manifest.
    about: BTreeMap<Hash, BTreeSet<(Sort, u64, Who)>>,
    /// Manifests with votes that were not looked at since.
    fresh: BTreeSet<Hash>,
}

impl Votes {
    /// Those of one sort about one manifest, with their rounds.
    pub(super) fn about(
        &self,
        hash: &Hash,
        sort: Sort,
    ) -> impl Iterator<Item = (u64, &Who, &Vote)> {
        let places = self.about.get(hash).into_iter().flatten();
        places
            .filter(move |(of, ..)| *of == sort)
            .filter_map(|(of, round, who)| {
                let vote = self.by.get(who)?.get(&(*round, *of))?;
                Some((*round, who, vote))
            })
    }

    /// All.
    pub(super) fn all(&self) -> impl Iterator<Item = &Vote> {
        self.by.values().flat_map(BTreeMap::values)
    }

    /// What a key said of a sort in a round.
    pub(super) fn of(&self, who: &Who, round: u64, sort: Sort) -> Option<&Vote> {
        self.by.get(who)?.get(&(round, sort))
    }

    /// The rounds in which a key voted, and for what, highest last.
    pub(super) fn rounds_of(&self, who: &Who) -> impl Iterator<Item = (u64, Sort, Hash)> {
        let votes = self.by.get(who).into_iter().flatten();
        votes.map(|((round, sort), vote)| (*round, *sort, vote.statement().subject.manifest))
    }

    /// Whether exactly this vote is here.
    pub(super) fn has(&self, vote: &Vote) -> bool {
        let Some(sort) = Sort::of(&vote.statement().saying) else {
            return false;
        };
        let (name, id) = (vote.line().name(), vote.line().key_id());
        let place = (vote.statement().subject.round, sort);
        let first = (name.to_owned(), id, Hash::default());
        let keys = self.by.range(first..);
        keys.take_while(|(who, _)| who.0 == name && who.1 == id)
            .any(|(_, of)| of.get(&place) == Some(vote))
    }

    /// Manifests that were voted on since this was asked last.
    pub(super) fn take_fresh(&mut self) -> BTreeSet<Hash> {
        std::mem::take(&mut self.fresh)
    }

    /// Takes a verified vote by `who`. `votes`: it has a vote on this epoch, and is not just listed in somebody's proposal, who
    /// may have invented it.
    pub(super) fn take(&mut self, who: &Who, votes: bool, vote: Vote) -> Taken {
        let subject = vote.statement().subject;
        let Some(sort) = Sort::of(&vote.statement().saying) else {
            return Taken::Known;
        };
        let place = (subject.round, sort);
        let empty = BTreeMap::new();
        let mine = self.by.get(who).unwrap_or(&empty);
        // A yield contradicts commits of any round, and the other way round.
        let mut against = mine.values().filter_map(|other| Evidence::of(other, &vote));
        if let Some(evidence) = against.next() {
            return Taken::Contradicts(Box::new(evidence));
        }
        // Acceptances stand in every round: another one of the same manifest says nothing new.
        let said = |((_, of), held): (&(u64, Sort), &Vote)| {
            *of == sort && held.statement().subject.manifest == subject.manifest
        };
        if mine.contains_key(&place) || (!votes && mine.iter().any(said)) {
            return Taken::Known;
        }
        // A yield has no round, and is never let go.
        let lowest = mine.keys().find(|(_, of)| *of != Sort::Yield).copied();
        if votes && mine.len() >= MAX_VOTES_EACH {
            match lowest {
                Some(lowest) if lowest < place || sort == Sort::Yield => self.forget(who, lowest),
                _ => return Taken::Known,
            }
        }
        self.about
            .entry(subject.manifest)
            .or_default()
            .insert((sort, subject.round, who.clone()));
        self.fresh.insert(subject.manifest);
        self.by.entry(who.clone()).or_default().insert(place, vote);
        Taken::New
    }

    fn forget(&mut self, who: &Who, place: (u64, Sort)) {
        let of = self.by.get_mut(who);
        if let Some(vote) = of.and_then(|of| of.remove(&place)) {
            let about = self.about.get_mut(&vote.statement().subject.manifest);
            about.map(|about| about.remove(&(place.1, place.0, who.clone())));
        }
    }
}
