//! What a screen shows of the vote that is on: states, votes, absentees, locks. Data only; may not change anything.

use super::Ceremony;
use super::own::VoteKind;
use super::seen::{Candidate, Sort};
use super::{rounds, rules};
use crate::genesis::{Check, Election, Recovery, Roll, Saying, YIELD_AFTER_SECONDS};
use crate::tlog::hash::Hash;
use std::collections::{BTreeMap, BTreeSet};

/// Where a proposal stands, as far as this member knows at one moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum State {
    /// Approvals are collected.
    Open,
    /// It has a certificate: members commit, and nobody can take it back.
    Ready,
    /// Refusals make its approvals impossible in every round that is open.
    Rejected,
    /// 72 hours have passed without a certificate. A new round may begin.
    Expired,
    /// Its proposers took it back.
    Withdrawn,
}

impl State {
    /// The word on a screen.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Ready => "ready",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// One manifest that is voted on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ManifestStatus {
    /// Its hash.
    pub manifest: Hash,
    /// Where it stands.
    pub state: State,
    /// Title of its newest proposal.
    pub title: String,
    /// Who proposed it newest.
    pub proposer: String,
    /// When, as the proposer says, in seconds since 1970.
    pub opened_seconds: u64,
    /// The round in which it is to be approved: the first that was begun and can still be won.
    pub round: u64,
    /// A round after that one was begun, too: whoever signs again signs there.
    pub later: Option<u64>,
    /// The round in which it would be proposed again.
    pub next: u64,
    /// Who approved it in that round, or accepted it for all rounds.
    pub approved: Vec<String>,
    /// Who approved it in that very round: as many as are needed must.
    pub in_round: Vec<String>,
    /// Who committed it in that round.
    pub committed: Vec<String>,
    /// Who refused it, and why.
    pub refused: Vec<(String, String)>,
    /// Who has a say and said nothing.
    pub silent: Vec<String>,
    /// Approvals of one round that it needs from those who vote.
    pub needed: usize,
    /// It is signed by recovery keys.
    pub recovery: Option<RecoveryStatus>,
}

/// Where a manifest of recovery keys stands beside its votes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecoveryStatus {
    /// When this node saw it first, in seconds since 1970.
    pub seen_seconds: u64,
    /// From when on its operator may give way, in seconds since 1970.
    pub from_seconds: u64,
    /// Names of the recovery keys that signed.
    pub keys: Vec<String>,
    /// Who gave way.
    pub yielded: Vec<String>,
    /// How many members must.
    pub needed: usize,
}

/// A manifest of recovery keys, and who gave way to it.
fn recovery(
    candidate: &Candidate,
    yielded: Vec<String>,
    roll: &Roll<'_>,
) -> Option<RecoveryStatus> {
    let (recovery, seen_seconds) = candidate.recovery.as_ref()?;
    Some(RecoveryStatus {
        seen_seconds: *seen_seconds,
        from_seconds: seen_seconds.saturating_add(YIELD_AFTER_SECONDS),
        keys: recovery
            .keys
            .iter()
            .map(|key| key.name().to_owned())
            .collect(),
        yielded,
        needed: Recovery::yields_needed(roll),
    })
}

/// The vote that is on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// The epoch that is voted on.
    pub epoch: u64,
    /// What this member committed last, and in which round: it approves nothing else unless shown a later certificate.
    pub lock: Option<(Hash, u64)>,
    /// What it gave way to.
    pub yielded: Option<Hash>,
    /// The highest round in which it voted.
    pub voted_round: u64,
    /// Its own votes are missing, so it casts none.
    pub rebuilding: bool,
    /// Own votes that wait for an acked digest, or for the key.
    pub waiting: usize,
    /// Those of them that the key has not signed.
    pub unsigned: usize,
    /// The manifest and round that a next proposal should be for: what locks allow, in a round that nobody used.
    pub suggested: Option<(Hash, u64)>,
    /// The manifests.
    pub manifests: Vec<ManifestStatus>,
    /// Members that are shown to have voted twice.
    pub accused: Vec<String>,
}

impl<C: Check> Ceremony<C> {
    /// What a screen shows at `now_seconds` since 1970; `None` where nothing is voted on.
    #[must_use]
    pub fn status(&self, now_seconds: u64) -> Option<Status> {
        let election = self.election()?;
        let manifests: Vec<ManifestStatus> = self
            .seen
            .candidates
            .iter()
            .map(|(hash, candidate)| self.standing(&election, hash, candidate, now_seconds))
            .collect();
        // At epoch 0, and of who only wants to join, a name says little: anybody can list a key of their own under it.
        let base = election.base.map(|(_, base)| base);
        let accused = self.seen.evidence.keys().map(|(name, id, _)| {
            let member = base.and_then(|base| base.member(name));
            match member.is_some_and(|(_, member)| member.identity.key_id() == *id) {
                true => name.clone(),
                false => format!("{name} (key {id:08x})"),
            }
        });
        let accused: BTreeSet<String> = accused.collect();
        let waiting = || self.own.iter().filter(|(_, own)| !own.released);
        Some(Status {
            epoch: election.epoch(),
            lock: self.own.lock(),
            yielded: self.own.yielded(),
            voted_round: self.own.highest(),
            rebuilding: self.missing,
            waiting: waiting().count(),
            unsigned: waiting().filter(|(_, own)| own.vote.is_none()).count(),
            suggested: self.suggested(&election, &manifests),
            manifests,
            accused: accused.into_iter().collect(),
        })
    }

    /// The newest certificate's manifest, else the own lock's, else the one that most voters approved; in the round after all
    /// that matter.
    fn suggested(&self, election: &Election<'_>, all: &[ManifestStatus]) -> Option<(Hash, u64)> {
        let certified = self.seen.certificates.last_key_value();
        let certified = certified.map(|((_, hash), _)| *hash);
        let locked = self.own.lock().map(|(hash, _)| hash);
        // Names that only a proposal knows do not make it the favourite.
        let votes = |name: &&String| election.base.is_none_or(|(_, b)| b.member(name).is_some());
        let most = all
            .iter()
            .max_by_key(|m| m.approved.iter().filter(votes).count());
        let hash = certified.or(locked).or(most.map(|m| m.manifest))?;
        let standing = all.iter().find(|m| m.manifest == hash);
        standing.map(|one| (hash, one.next))
    }

    fn here<'a>(&'a self, roll: &'a Roll<'a>, now_seconds: u64) -> rounds::Here<'a> {
        rounds::Here {
            own: &self.own,
            seen: &self.seen,
            roll,
            me: &self.settings.identity,
            now_seconds,
        }
    }

    fn standing(
        &self,
        election: &Election<'_>,
        hash: &Hash,
        candidate: &Candidate,
        now_seconds: u64,
    ) -> ManifestStatus {
        let roll = election.roll(&candidate.manifest);
        let newest = candidate.proposals.last_key_value();
        let newest = newest.map(|(place, known)| (place, &known.proposal));
        let approvals = self.seen.approvals(hash, &roll);
        let here = self.here(&roll, now_seconds);
        let rounds::Standing {
            round,
            later,
            certified: at,
            over,
        } = here.standing(hash, candidate);
        let used = rounds::used(election, &self.seen).max(self.own.highest());
        let reach = rules::horizon(&self.own, &self.seen);
        let next = here.next(candidate, used.max(round), reach);
        let approved: BTreeSet<&str> = approvals
            .keys()
            .filter(|(at, seat)| *at == round || roll.is_standing(*seat))
            .map(|(_, seat)| roll.name(*seat))
            .collect();
        let in_round: BTreeSet<&str> = approvals
            .keys()
            .filter(|(at, _)| *at == round)
            .map(|(_, seat)| roll.name(*seat))
            .collect();
        let said = |sort: Sort| {
            let votes = self.seen.votes.about(hash, sort);
            votes.map(|(_, _, vote)| vote)
        };
        let refused: BTreeMap<String, String> = said(Sort::Refuse)
            .filter_map(|vote| match &vote.statement().saying {
                Saying::Refuse { reason } => Some((vote.line().name().to_owned(), reason.clone())),
                _ => None,
            })
            .collect();
        let all: BTreeSet<&str> = roll.seats().map(|seat| roll.name(seat)).collect();
        let silent = all
            .iter()
            .filter(|name| !approved.contains(**name) && !refused.contains_key(**name));
        let yielded = said(Sort::Yield).map(|vote| vote.line().name().to_owned());
        let yielded: Vec<String> = yielded.collect();
        let withdrawn = !self.seen.is_proposed(hash);
        let certified = self.seen.certificates.keys().any(|(_, of)| of == hash);
        let (opened_seconds, title) = newest.map_or((0, ""), |(_, proposal)| proposal.opened());
        let voting: Vec<usize> = roll.seats().filter(|seat| roll.votes(*seat)).collect();
        // Whoever refused it before this round may have changed its mind, and whoever approved it has.
        let now: BTreeSet<&str> = said(Sort::Refuse)
            .filter(|vote| vote.statement().subject.round >= round)
            .map(|vote| vote.line().name())
            .filter(|name| !approved.contains(name))
            .collect();
        let against = |seat: &&usize| now.contains(roll.name(**seat));
        let left = voting.len() - voting.iter().filter(against).count();
        let joiner_refuses = roll
            .seats()
            .any(|seat| roll.is_standing(seat) && now.contains(roll.name(seat)));
        let state = if certified {
            State::Ready
        } else if withdrawn && !candidate.proposals.is_empty() {
            State::Withdrawn
        } else if left < roll.threshold() || joiner_refuses {
            State::Rejected
        } else if over {
            State::Expired
        } else {
            State::Open
        };
        ManifestStatus {
            manifest: *hash,
            state,
            title: title.to_owned(),
            proposer: newest.map_or_else(String::new, |(_, p)| p.proposer().to_owned()),
            opened_seconds: match (newest, &candidate.recovery) {
                (None, Some((_, seen_seconds))) => *seen_seconds,
                _ => opened_seconds,
            },
            round,
            later,
            next,
            in_round: in_round.iter().map(|name| (*name).to_owned()).collect(),
            approved: approved.iter().map(|name| (*name).to_owned()).collect(),
            committed: self
                .seen
                .commits(hash, at.unwrap_or(round))
                .into_keys()
                .map(str::to_owned)
                .collect(),
            silent: silent.map(|name| (*name).to_owned()).collect(),
            refused: refused.into_iter().collect(),
            needed: roll.threshold(),
            recovery: recovery(candidate, yielded, &roll),
        }
    }

    /// The highest round in which this member voted; 0 if it did not.
    #[must_use]
    pub fn voted_round(&self) -> u64 {
        self.own.highest()
    }

    /// What this member voted in a round: approved, committed.
    #[must_use]
    pub fn voted(&self, round: u64) -> (Option<Hash>, Option<Hash>) {
        let of = |kind| self.own.in_round(kind, round);
        (of(VoteKind::Approve), of(VoteKind::Commit))
    }
}
