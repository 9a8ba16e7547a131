//! Everybody's votes on one epoch, bounded so that nobody's fill the place of another's: of whoever votes the newest rounds,
//! of whoever only joins one of each sort for each manifest. May not verify, and may not count.

use super::seen::{Sort, Who};
use crate::genesis::{Election, Evidence, Vote};
use crate::note::VerifierKey;
use crate::tlog::hash::Hash;
use std::collections::{BTreeMap, BTreeSet};

/// Most votes that are kept of one key that votes: those of the lowest round go first, which nobody can win any more.
pub const MAX_VOTES_EACH: usize = 256;

/// The same in a founding, where anybody can list keys: eight rounds of approvals and commits.
pub const MAX_FOUNDING_VOTES_EACH: usize = 16;

/// Most refusals and withdrawals that are kept of one key: they never take the place of what binds.
pub const MAX_REMARKS_EACH: usize = 32;

/// Most votes that are kept of a founding.
pub const MAX_FOUNDING_VOTES: usize = 16_384;

/// Where a vote of one key is: there is one of each round and sort; of what does not bind, one for each manifest.
type Place = (u64, Sort, Hash);

fn place_of(sort: Sort, vote: &Vote) -> Place {
    let subject = vote.statement().subject;
    let manifest = match sort {
        Sort::Approve | Sort::Commit | Sort::Yield => Hash::default(),
        Sort::Refuse | Sort::Withdraw => subject.manifest,
    };
    (subject.round, sort, manifest)
}

/// What became of a vote.
pub(super) enum Taken {
    New,
    Known,
    /// Another vote of that key in that round is here already.
    Contradicts(Box<Evidence>),
    /// Nothing more is kept.
    TooMany,
}

/// Who votes, as far as room is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Voter {
    /// A member of the epoch before.
    Member,
    /// Anybody, at epoch 0.
    Founder,
    /// Somebody who is just listed in a proposal: its proposer may have invented them.
    Joiner,
}

impl Voter {
    pub(super) fn of(election: &Election<'_>, key: &VerifierKey) -> Self {
        match (election.base.is_none(), election.votes(key)) {
            (true, _) => Self::Founder,
            (false, true) => Self::Member,
            (false, false) => Self::Joiner,
        }
    }
}

/// Votes by key, and by round and sort.
#[derive(Clone, Debug, Default)]
pub(super) struct Votes {
    by: BTreeMap<Who, BTreeMap<Place, Vote>>,
    /// Which of them are about a manifest.
    about: BTreeMap<Hash, BTreeSet<(Sort, u64, Who, Hash)>>,
    /// Manifests with votes that were not looked at since.
    fresh: BTreeSet<Hash>,
    count: usize,
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
            .filter_map(|(of, round, who, manifest)| {
                let vote = self.by.get(who)?.get(&(*round, *of, *manifest))?;
                Some((*round, who, vote))
            })
    }

    /// All.
    pub(super) fn all(&self) -> impl Iterator<Item = &Vote> {
        self.by.values().flat_map(BTreeMap::values)
    }

    /// What a key approved in a round.
    pub(super) fn approved(&self, who: &Who, round: u64) -> Option<Hash> {
        let vote = self
            .by
            .get(who)?
            .get(&(round, Sort::Approve, Hash::default()))?;
        Some(vote.statement().subject.manifest)
    }

    /// Whether a key refused a manifest in a round.
    pub(super) fn refused(&self, who: &Who, round: u64, manifest: &Hash) -> bool {
        let of = self.by.get(who);
        of.is_some_and(|of| of.contains_key(&(round, Sort::Refuse, *manifest)))
    }

    /// Whether a key took a manifest back, in this round or later.
    pub(super) fn withdrew(&self, who: &Who, round: u64, manifest: &Hash) -> bool {
        let of = self.by.get(who).into_iter().flat_map(BTreeMap::keys);
        of.into_iter()
            .any(|(at, sort, of)| *sort == Sort::Withdraw && of == manifest && *at >= round)
    }

    /// The rounds in which a key voted, and for what, highest last.
    pub(super) fn rounds_of(&self, who: &Who) -> impl Iterator<Item = (u64, Sort, Hash)> {
        let votes = self.by.get(who).into_iter().flatten();
        votes.map(|((round, sort, _), vote)| (*round, *sort, vote.statement().subject.manifest))
    }

    /// Whether exactly this vote is here.
    pub(super) fn has(&self, vote: &Vote) -> bool {
        let Some(sort) = Sort::of(&vote.statement().saying) else {
            return false;
        };
        let (name, id) = (vote.line().name(), vote.line().key_id());
        let place = place_of(sort, vote);
        // A commit's line is by the envelope key.
        let is_commit = sort == Sort::Commit;
        let first = (
            name.to_owned(),
            if is_commit { 0 } else { id },
            Hash::default(),
        );
        let keys = self.by.range(first..);
        keys.take_while(|(who, _)| who.0 == name && (is_commit || who.1 == id))
            .any(|(_, of)| of.get(&place) == Some(vote))
    }

    /// Manifests that were voted on since this was asked last.
    pub(super) fn take_fresh(&mut self) -> BTreeSet<Hash> {
        std::mem::take(&mut self.fresh)
    }

    /// Takes a verified vote by `who`.
    pub(super) fn take(&mut self, who: &Who, voter: Voter, vote: Vote) -> Taken {
        let subject = vote.statement().subject;
        let Some(sort) = Sort::of(&vote.statement().saying) else {
            return Taken::Known;
        };
        let place = place_of(sort, &vote);
        let empty = BTreeMap::new();
        let mine = self.by.get(who).unwrap_or(&empty);
        // A yield contradicts commits of any round, and the other way round.
        let mut against = mine.values().filter_map(|other| Evidence::of(other, &vote));
        if let Some(evidence) = against.next() {
            return Taken::Contradicts(Box::new(evidence));
        }
        // Acceptances stand in every round: another one of the same manifest says nothing new.
        let said = |((_, of, _), held): (&Place, &Vote)| {
            *of == sort && held.statement().subject.manifest == subject.manifest
        };
        if mine.contains_key(&place) || (voter == Voter::Joiner && mine.iter().any(said)) {
            return Taken::Known;
        }
        // A yield has no round, and is never let go.
        let is_remark = |sort: Sort| matches!(sort, Sort::Refuse | Sort::Withdraw);
        let alike = |(_, of, _): &&Place| is_remark(*of) == is_remark(sort);
        let mut lowest = mine.keys().filter(alike);
        let lowest = lowest.find(|(_, of, _)| *of != Sort::Yield).copied();
        let each = match voter {
            Voter::Joiner => usize::MAX, // of each sort one for each manifest
            _ if is_remark(sort) => MAX_REMARKS_EACH,
            Voter::Member => MAX_VOTES_EACH,
            Voter::Founder => MAX_FOUNDING_VOTES_EACH,
        };
        let is_full = mine.keys().filter(alike).count() >= each;
        if !is_full && voter == Voter::Founder && self.count >= MAX_FOUNDING_VOTES {
            return Taken::TooMany;
        }
        match lowest.filter(|_| is_full) {
            Some(lowest) if lowest < place || sort == Sort::Yield => self.forget(who, lowest),
            None if !is_full => {}
            _ => return Taken::Known,
        }
        self.count += 1;
        self.about.entry(subject.manifest).or_default().insert((
            sort,
            subject.round,
            who.clone(),
            place.2,
        ));
        self.fresh.insert(subject.manifest);
        self.by.entry(who.clone()).or_default().insert(place, vote);
        Taken::New
    }

    fn forget(&mut self, who: &Who, place: Place) {
        let of = self.by.get_mut(who);
        if let Some(vote) = of.and_then(|of| of.remove(&place)) {
            self.count -= 1;
            let about = self.about.get_mut(&vote.statement().subject.manifest);
            about.map(|about| about.remove(&(place.1, place.0, who.clone(), place.2)));
        }
    }
}
