//! In which round a manifest can still be won: what screens suggest, so that no single member draws the others to where it
//! stands. Safety never depends on it. May not change anything.

use super::seen::{Candidate, Seen, Sort, who};
use crate::genesis::{Election, OPEN_SECONDS, Roll};
use crate::manifest::faulty;
use crate::tlog::hash::Hash;
use std::collections::BTreeSet;

/// The round in which a manifest is to be approved now: the lowest that was begun, at or above `from`, that is not over, and in
/// which enough members may still approve it. If there is none, the highest that was begun.
pub(super) fn standing(
    seen: &Seen,
    roll: &Roll<'_>,
    (hash, candidate): (&Hash, &Candidate),
    (from, now_seconds): (u64, u64),
) -> u64 {
    let certified = seen.certificates.keys().rev().find(|(_, of)| of == hash);
    if let Some((round, _)) = certified {
        return *round;
    }
    let approved = seen.votes.about(hash, Sort::Approve);
    let approved = approved.filter(|(.., vote)| {
        let seat = roll.seat_of(vote.line());
        seat.is_some_and(|seat| roll.votes(seat))
    });
    let begun: BTreeSet<u64> = candidate
        .proposals
        .keys()
        .map(|(round, _)| *round)
        .chain(approved.map(|(round, ..)| round))
        .collect();
    let highest = begun.last().copied().unwrap_or(0);
    let is_over = |round: u64| {
        let before = candidate.proposals.iter().rev();
        let mut before = before.skip_while(|((at, _), _)| *at > round);
        let opened = before.next().map(|(_, proposal)| proposal.opened().0);
        opened.is_some_and(|opened| now_seconds >= opened.saturating_add(OPEN_SECONDS))
    };
    let open = |round: &u64| *round >= from && is_winnable(seen, roll, hash, *round);
    let open: Vec<u64> = begun.into_iter().filter(open).collect();
    let in_time = open.iter().find(|round| !is_over(**round));
    in_time.or(open.first()).copied().unwrap_or(highest)
}

/// Whether enough members approved it in that round, or still may: nobody approves two in one round, or goes back.
fn is_winnable(seen: &Seen, roll: &Roll<'_>, hash: &Hash, round: u64) -> bool {
    let voting = roll.seats().filter(|seat| roll.votes(*seat));
    let may = voting.filter(|seat| {
        let me = who(roll.key(*seat));
        if let Some(approved) = seen.votes.of(&me, round, Sort::Approve) {
            return approved.statement().subject.manifest == *hash;
        }
        let later = |(at, sort, of): (u64, Sort, Hash)| match sort {
            Sort::Approve | Sort::Commit => at > round,
            Sort::Refuse => at == round && of == *hash,
            Sort::Yield | Sort::Withdraw => false,
        };
        !seen.votes.rounds_of(&me).any(later)
    });
    may.count() >= roll.threshold()
}

/// The highest round in which more members approved or committed than may lie; 0 if there is none.
pub(super) fn used(election: &Election<'_>, seen: &Seen) -> u64 {
    let Some((_, base)) = election.base else {
        // Everybody is needed anyway.
        let binding = |sort: Sort| matches!(sort, Sort::Approve | Sort::Commit);
        let all = seen.votes.all().filter(|vote| {
            let sort = Sort::of(&vote.statement().saying);
            sort.is_some_and(binding)
        });
        return all
            .map(|vote| vote.statement().subject.round)
            .max()
            .unwrap_or(0);
    };
    let mut highest: Vec<u64> = base
        .members
        .iter()
        .map(|member| {
            let me = who(&member.identity);
            let rounds = seen.votes.rounds_of(&me);
            let binding =
                rounds.filter(|(_, sort, _)| matches!(sort, Sort::Approve | Sort::Commit));
            binding.map(|(round, ..)| round).max().unwrap_or(0)
        })
        .collect();
    highest.sort_unstable_by(|a, b| b.cmp(a));
    // Of the f highest each may be a liar's.
    let liars = faulty(u32::try_from(highest.len()).unwrap_or(u32::MAX));
    highest.get(liars as usize).copied().unwrap_or(0)
}
