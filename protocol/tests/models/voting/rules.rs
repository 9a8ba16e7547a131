//! The judgements of R14: what is a certificate, what is active, who may vote, and whether the vote can still end.

use super::config::{Config, Dropped, Vote};
use super::state::{A, B, Kind, Member, State};

impl Config {
    /// The honest members that a manifest lists.
    fn listed<'a>(&self, state: &'a State, hash: u8) -> &'a [Member] {
        let absent = usize::from(hash == B && self.absentee().is_some());
        &state.members[..self.honest() - absent]
    }

    /// How many members the commits and the approvals of one round need.
    fn threshold(&self, hash: u8) -> usize {
        match self.vote {
            Vote::Founding { next } if hash == B => usize::from(next),
            _ => usize::from(self.t),
        }
    }

    /// Members whose vote for a hash is out, the liars included.
    fn count(&self, state: &State, hash: u8, voted: impl Fn(&Member) -> bool) -> usize {
        let honest = self.listed(state, hash).iter();
        honest.filter(|member| voted(member)).count() + usize::from(self.liars)
    }

    fn approvals(&self, state: &State, hash: u8, round: usize) -> usize {
        self.count(state, hash, |member| {
            if self.drops(Dropped::ApprovalsOfOneRound) {
                member.out_approved.any(hash)
            } else {
                member.out_approved.0[round] & hash != 0
            }
        })
    }

    fn joiner_accepts(&self, state: &State, round: usize) -> bool {
        if self.drops(Dropped::Standing) {
            state.accepted[round]
        } else {
            state.accepted.contains(&true)
        }
    }

    /// "a hash with the required approvals in ONE round".
    pub(super) fn certificate(&self, state: &State, hash: u8, round: usize) -> bool {
        let approvals = self.approvals(state, hash, round);
        let enough = approvals >= self.threshold(hash);
        match self.vote {
            Vote::Joiner { next } if hash == A => {
                let joiner = self.joiner_accepts(state, round);
                let all = approvals + usize::from(joiner);
                enough
                    && (joiner || self.drops(Dropped::EveryJoiner))
                    && (all >= usize::from(next) || self.drops(Dropped::NextThreshold))
            }
            Vote::Founding { .. } => {
                let standing = self.listed(state, hash).iter().all(|member| {
                    if self.drops(Dropped::Standing) {
                        member.out_approved.0[round] & hash != 0
                    } else {
                        member.out_approved.any(hash)
                    }
                });
                (enough || self.drops(Dropped::FreshApprovals))
                    && (standing || self.drops(Dropped::EveryJoiner))
            }
            _ => enough,
        }
    }

    fn commits(&self, state: &State, hash: u8, round: usize) -> bool {
        let commits = self.count(state, hash, |member| {
            if self.drops(Dropped::CommitsOfOneRound) {
                member.out_committed.any(hash)
            } else {
                member.out_committed.0[round] & hash != 0
            }
        });
        commits >= self.threshold(hash)
    }

    /// "Active = certificate plus commits of t members, all of one round".
    pub(super) fn voted(&self, state: &State, hash: u8) -> bool {
        (0..self.rounds).any(|round| {
            self.certificate(state, hash, round)
                && (self.drops(Dropped::Commit) || self.commits(state, hash, round))
        })
    }

    /// The same, or a recovery manifest with its yields.
    pub(super) fn active(&self, state: &State, hash: u8) -> bool {
        self.voted(state, hash) || (self.recovery == Some(hash) && self.recovered(state))
    }

    pub(super) fn recovered(&self, state: &State) -> bool {
        let honest = state.members.iter().filter(|member| member.yielded).count();
        let lying = if self.lying_yields { self.liars } else { 0 };
        let needed = self.n - self.t + 1 - u8::from(self.drops(Dropped::OneYield));
        honest + usize::from(lying) >= usize::from(needed)
    }

    /// "it approves or commits another hash of this epoch only if shown a certificate from a later round".
    fn lock_allows(&self, state: &State, member: &Member, hash: u8) -> bool {
        let Some((locked, since)) = member.lock() else {
            return true;
        };
        let first = match self.dropped {
            Some(Dropped::Lock) => return true,
            Some(Dropped::LaterRound) => 0,
            _ => since + 1,
        };
        let opens = |&&other: &&u8| other != locked || self.drops(Dropped::AnotherHash);
        let shown = |round| {
            let mut hashes = [A, B].iter().filter(opens);
            hashes.any(|other| self.certificate(state, *other, round))
        };
        locked == hash || (first..self.rounds).any(shown)
    }

    pub(super) fn may_approve(&self, state: &State, one: usize, hash: u8, round: usize) -> bool {
        let member = &state.members[one];
        let first = member.approved.0[round] == 0 || self.drops(Dropped::OneApproval);
        let again = member.approved.0[round] & hash != 0;
        let lists = hash == A || self.absentee() != Some(one);
        lists
            && first
            && !again
            && (self.lock_allows(state, member, hash) || self.drops(Dropped::LockOnApproval))
    }

    pub(super) fn may_commit(&self, state: &State, one: usize, hash: u8, round: usize) -> bool {
        let member = &state.members[one];
        let ordered = member.highest() <= Some(round) || self.drops(Dropped::CommitOrder);
        let bound =
            member.yielded && self.recovery != Some(hash) && !self.drops(Dropped::YieldBinds);
        let lists = hash == A || self.absentee() != Some(one);
        lists
            && ordered
            && !bound
            && member.committed.0[round] == 0
            && self.certificate(state, hash, round)
            && (self.lock_allows(state, member, hash) || self.drops(Dropped::LockOnCommit))
    }

    /// Whether a vote leaves in the step that casts it.
    pub(super) fn leaves_at_once(&self, kind: Kind) -> bool {
        match kind {
            Kind::Approve => self.drops(Dropped::ApprovalsGated),
            Kind::Commit => self.drops(Dropped::CommitsGated),
        }
    }

    /// Whether the honest members that are there can end the vote in one fresh round, liars, joiner and absentee silent.
    pub(super) fn can_end(&self, state: &State) -> bool {
        let present = self.honest() - usize::from(self.absentee().is_some());
        let members = &state.members[..present];
        let last = self.drops(Dropped::RoundsAhead)
            && members.iter().any(|m| m.highest() == Some(self.rounds - 1));
        let done = [A, B].iter().any(|hash| self.active(state, *hash));
        let fresh = |&hash: &u8| {
            let willing = |m: &&Member| self.lock_allows(state, m, hash);
            let approvals = members.iter().filter(willing).count();
            let enough = approvals >= self.threshold(hash);
            let per_round = self.drops(Dropped::Standing);
            match self.vote {
                Vote::Joiner { next } if hash == A => {
                    let next = usize::from(next);
                    let accepted = state.accepted.contains(&true) && !per_round;
                    let joiner = accepted || self.drops(Dropped::EveryJoiner);
                    // Commits of those of N+1 would need the joiner's, which has not been seen since.
                    let commits = present >= next || !self.drops(Dropped::CommitsOfMembersOnly);
                    enough && joiner && approvals + 1 >= next && commits
                }
                Vote::Founding { .. } => {
                    let listed = self.listed(state, hash);
                    let standing = listed.iter().enumerate().all(|(one, member)| {
                        (member.out_approved.any(hash) && !per_round)
                            || (one < present && willing(&member))
                    });
                    enough && standing
                }
                _ => enough,
            }
        };
        done || (!last && [A, B].iter().any(fresh))
    }

    /// "t of the members of N, t' of those of N+1, and every joiner", whenever they approved.
    pub(super) fn consented(&self, state: &State, hash: u8) -> bool {
        let approvals = self.count(state, hash, |member| member.out_approved.any(hash));
        let joiner = state.accepted.contains(&true);
        match self.vote {
            Vote::Joiner { next } if hash == A => {
                joiner && approvals >= usize::from(self.t) && approvals + 1 >= usize::from(next)
            }
            Vote::Founding { .. } => {
                let mut listed = self.listed(state, hash).iter();
                listed.all(|member| member.out_approved.any(hash))
            }
            _ => approvals >= usize::from(self.t),
        }
    }
}
