//! In which round this member is to approve a manifest: what screens show and `genesis sign` does. One member that proposes or votes
//! far ahead draws nobody there, and a round that is lost is left. Safety never depends on it. May not change anything.

use super::own::{OwnVotes, VoteKind};
use super::seen::{Candidate, Seen, Sort, who};
use crate::genesis::{Election, OPEN_SECONDS, Roll};
use crate::manifest::faulty;
use crate::note::VerifierKey;
use crate::tlog::hash::Hash;
use std::collections::BTreeSet;

/// What one member looks at.
pub(super) struct Here<'a> {
    pub(super) own: &'a OwnVotes,
    pub(super) seen: &'a Seen,
    pub(super) roll: &'a Roll<'a>,
    /// Its identity key.
    pub(super) me: &'a VerifierKey,
    pub(super) now_seconds: u64,
}

/// Where one manifest stands for one member.
pub(super) struct Standing {
    /// The round in which it is to be approved.
    pub(super) round: u64,
    /// A later one that was begun, too.
    pub(super) later: Option<u64>,
    /// The newest round with a certificate.
    pub(super) certified: Option<u64>,
    /// The 72 hours of the round are over.
    pub(super) over: bool,
}

impl Here<'_> {
    /// The lowest round that was begun, in which this member still may approve it, that is not over, and in which enough others
    /// may; without such a one, the lowest of those that are left. After a certificate only later rounds matter.
    pub(super) fn standing(&self, hash: &Hash, candidate: &Candidate) -> Standing {
        let begun = self.begun(hash, candidate);
        let certified = self.seen.certificates.keys().rev();
        let certified = certified
            .filter(|(_, of)| of == hash)
            .map(|(at, _)| *at)
            .next();
        let mine = self.roll.seat_of_key(self.me);
        if mine.is_some_and(|seat| !self.roll.votes(seat)) {
            return Standing {
                round: self.acceptance(hash),
                later: None,
                certified,
                over: false,
            };
        }
        let from = certified.map_or(0, |round| round + 1);
        let may = |round: &u64| *round >= from && self.may(hash, *round);
        let open: Vec<u64> = begun.iter().copied().filter(may).collect();
        let in_time = |round: &&u64| !self.is_over(candidate, **round);
        let winnable = |round: &&u64| self.is_winnable(hash, **round);
        let first = open.iter().filter(winnable).find(in_time);
        let first = first.or_else(|| open.iter().find(in_time)).or(open.first());
        let highest = begun.last().copied().unwrap_or(0);
        let mut round = first.copied().or(certified).unwrap_or(highest);
        // Whoever approved it there goes on with others that are later, once not all of these can be liars; or once it is lost.
        if self.own.in_round(VoteKind::Approve, round) == Some(*hash) {
            let lost = self.is_over(candidate, round) || !self.is_winnable(hash, round);
            let mut later = open.iter().filter(|at| **at > round);
            round = later
                .find(|at| lost || self.is_used(hash, **at))
                .copied()
                .unwrap_or(round);
        }
        Standing {
            round,
            later: open.iter().copied().find(|at| *at > round),
            certified,
            over: certified.is_none() && self.is_over(candidate, round),
        }
    }

    /// Rounds that somebody proposed and did not take back, or in which more members approved than may lie.
    fn begun(&self, hash: &Hash, candidate: &Candidate) -> BTreeSet<u64> {
        let proposed = candidate.proposals.keys();
        let proposed = proposed.filter(|(round, by)| !self.seen.votes.withdrew(by, *round, hash));
        let proposed = proposed.map(|(round, _)| *round);
        let approved = self.seen.votes.about(hash, Sort::Approve);
        let approved = approved.map(|(round, ..)| round);
        let approved = approved.filter(|round| self.is_used(hash, *round));
        proposed.chain(approved).collect()
    }

    /// The lowest round above `used` that this member did not propose it for yet, and that is not over.
    pub(super) fn next(&self, candidate: &Candidate, used: u64, reach: u64) -> u64 {
        let mine = |round: u64| candidate.proposals.contains_key(&(round, who(self.me)));
        let mut free = used.saturating_add(1)..=reach;
        free.find(|round| !mine(*round) && !self.is_over(candidate, *round))
            .unwrap_or(reach)
    }

    /// Members that approved it in a round, beside this one: more than may lie.
    fn is_used(&self, hash: &Hash, round: u64) -> bool {
        let approved = self.seen.votes.about(hash, Sort::Approve);
        let others = approved.filter(|(at, _, vote)| {
            let seat = self.roll.seat_of(vote.line());
            *at == round
                && seat.is_some_and(|seat| self.roll.votes(seat) && self.roll.key(seat) != self.me)
        });
        let members = self.roll.seats().filter(|seat| self.roll.votes(*seat));
        let members = u32::try_from(members.count()).unwrap_or(u32::MAX);
        others.count() > faulty(members) as usize
    }

    /// Whether this member may approve it in a round, or did.
    fn may(&self, hash: &Hash, round: u64) -> bool {
        match self.own.in_round(VoteKind::Approve, round) {
            Some(approved) => approved == *hash,
            None => {
                round >= self.own.highest() && !self.seen.votes.refused(&who(self.me), round, hash)
            }
        }
    }

    /// The 72 hours since this node saw the first proposal of a round. What proposers say of the time counts for nothing.
    fn is_over(&self, candidate: &Candidate, round: u64) -> bool {
        let of_round = candidate
            .proposals
            .iter()
            .filter(|((at, _), _)| *at == round);
        let first = of_round.map(|(_, known)| known.seen_seconds).min();
        first.is_some_and(|seen| self.now_seconds >= seen.saturating_add(OPEN_SECONDS))
    }

    /// Whether enough members approved it in that round, or still may: nobody approves two in one round, or goes back.
    fn is_winnable(&self, hash: &Hash, round: u64) -> bool {
        let voting = self.roll.seats().filter(|seat| self.roll.votes(*seat));
        let may = voting.filter(|seat| {
            let member = who(self.roll.key(*seat));
            if let Some(approved) = self.seen.votes.approved(&member, round) {
                return approved == *hash;
            }
            let later = |(at, sort, of): (u64, Sort, Hash)| match sort {
                Sort::Approve | Sort::Commit => at > round,
                Sort::Refuse => at == round && of == *hash,
                Sort::Yield | Sort::Withdraw => false,
            };
            !self.seen.votes.rounds_of(&member).any(later)
        });
        may.count() >= self.roll.threshold()
    }

    /// Where who only joins accepts it, for all rounds: the lowest one that is left to it.
    fn acceptance(&self, hash: &Hash) -> u64 {
        let from = self.own.highest().max(1);
        let free = |round: &u64| {
            let approved = self.own.in_round(VoteKind::Approve, *round);
            let refused = self.seen.votes.refused(&who(self.me), *round, hash);
            approved.is_none_or(|approved| approved == *hash) && !refused
        };
        let own = (1..=from).find(|at| self.own.in_round(VoteKind::Approve, *at) == Some(*hash));
        own.or_else(|| (from..from.saturating_add(4)).find(free))
            .unwrap_or(from)
    }
}

/// The highest round in which more members approved or committed than may lie; 0 if there is none.
pub(super) fn used(election: &Election<'_>, seen: &Seen) -> u64 {
    let binds = |sort: Sort| matches!(sort, Sort::Approve | Sort::Commit);
    let Some((_, base)) = election.base else {
        // Everybody is needed anyway.
        let all = seen.votes.all().map(crate::genesis::Vote::statement);
        let all = all.filter(|one| Sort::of(&one.saying).is_some_and(binds));
        return all.map(|one| one.subject.round).max().unwrap_or(0);
    };
    let highest = base.members.iter().map(|member| {
        let me = who(&member.identity);
        let rounds = seen.votes.rounds_of(&me);
        let binding = rounds.filter(|(_, sort, _)| binds(*sort));
        binding.map(|(round, ..)| round).max().unwrap_or(0)
    });
    let mut highest: Vec<u64> = highest.collect();
    highest.sort_unstable_by(|a, b| b.cmp(a));
    // Of the f highest each may be a liar's.
    let liars = faulty(u32::try_from(highest.len()).unwrap_or(u32::MAX));
    highest.get(liars as usize).copied().unwrap_or(0)
}
