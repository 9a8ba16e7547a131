//! The judgements of R14: may this member approve, commit or yield now. Pure questions over what is durable and known.
//! Stricter than R14 in one point: approvals never go back to an earlier round either, so the highest round says it all.

use super::Settings;
use super::io::{Refused, confirmation, short};
use super::own::{OwnVotes, VoteKind};
use super::seen::{Seen, who};
use crate::genesis::{Election, YIELD_AFTER_SECONDS};
use crate::tlog::hash::Hash;

/// A member votes only in rounds so far above the highest for which it holds a vote of its own or a certificate: one vote
/// in the last round there is would end the ceremony.
pub const ROUNDS_AHEAD_MAX: u64 = 16;

/// What the judgements look at.
pub(super) struct View<'a> {
    pub(super) settings: &'a Settings,
    pub(super) election: Election<'a>,
    pub(super) own: &'a OwnVotes,
    pub(super) seen: &'a Seen,
    pub(super) missing: bool,
    /// It is a member of epoch N, whose ledger towers watch.
    pub(super) is_member: bool,
}

/// The highest round that this member follows.
pub(super) fn horizon(own: &OwnVotes, seen: &Seen) -> u64 {
    let known = own.highest().max(seen.highest_certificate());
    known.saturating_add(ROUNDS_AHEAD_MAX)
}

impl View<'_> {
    fn check_complete(&self) -> Result<(), Refused> {
        match self.missing {
            false => Ok(()),
            true if !self.is_member => Err(Refused::CannotRebuild),
            true if !self.settings.watched => Err(Refused::Unwatched),
            true => Err(Refused::Rebuilding),
        }
    }

    fn check_typed(&self, manifest: &Hash, typed: &str) -> Result<(), Refused> {
        let expected = confirmation(self.election.epoch(), manifest);
        if typed == expected {
            return Ok(());
        }
        Err(Refused::Confirmation {
            expected,
            typed: typed.chars().take(80).collect(),
        })
    }

    /// "afterwards it approves or commits another hash of this epoch only if shown a certificate from a later round", and one
    /// of another hash than the locked one: a second certificate for what is locked opens nothing.
    fn check_lock(&self, manifest: &Hash) -> Result<(), Refused> {
        match self.own.lock() {
            Some((locked, since))
                if locked != *manifest && !self.seen.is_opened(&locked, since) =>
            {
                Err(Refused::Locked {
                    manifest: short(&locked),
                    round: since,
                })
            }
            _ => Ok(()),
        }
    }

    /// Whether a human of this member may approve a manifest in a round. `Ok(false)`: it did already.
    pub(super) fn may_approve(
        &self,
        manifest: &Hash,
        round: u64,
        typed: &str,
    ) -> Result<bool, Refused> {
        self.check_complete()?;
        let candidate = self.seen.candidates.get(manifest);
        let candidate = candidate.ok_or_else(|| Refused::Unknown(short(manifest)))?;
        let roll = self.election.roll(&candidate.manifest);
        if roll.seat_of_key(&self.settings.identity).is_none() {
            return Err(Refused::NoSay(self.settings.identity.name().to_owned()));
        }
        self.check_typed(manifest, typed)?;
        match self.own.in_round(VoteKind::Approve, round) {
            Some(approved) if approved == *manifest => return Ok(false),
            Some(other) => {
                return Err(Refused::Voted {
                    round,
                    other: short(&other),
                });
            }
            None => {}
        }
        let highest = horizon(self.own, self.seen);
        if round == 0 || round > highest {
            return Err(Refused::TooFar { round, highest });
        }
        let highest = self.own.highest();
        if round < highest {
            return Err(Refused::RoundBack { round, highest });
        }
        let me = who(&self.settings.identity);
        if self.seen.votes.refused(&me, round, manifest) {
            return Err(Refused::RefusedBefore(round));
        }
        // Whoever votes does so on what somebody proposes; manifests of recovery keys are given way to.
        let certified = self.seen.certificates.keys().any(|(_, of)| of == manifest);
        if self.election.votes(&self.settings.identity)
            && !certified
            && !self.seen.is_proposed(manifest)
        {
            return Err(match candidate.recovery {
                Some(_) => Refused::GiveWay(short(manifest)),
                None => Refused::TakenBack(short(manifest)),
            });
        }
        self.check_lock(manifest)?;
        // At epoch 0 an absentee is dropped only while no certificate for the fuller list exists.
        if self.election.base.is_none()
            && let Some((round, fuller)) = self.seen.fuller(&candidate.manifest)
        {
            return Err(Refused::Fuller {
                manifest: short(&fuller),
                round,
            });
        }
        Ok(true)
    }

    /// Whether this member commits a manifest in a round: nobody is asked.
    pub(super) fn may_commit(&self, manifest: &Hash, round: u64) -> bool {
        let Some(certificate) = self.seen.certificates.get(&(round, *manifest)) else {
            return false;
        };
        let roll = self.election.roll(&certificate.manifest);
        let me = roll.committer(self.settings.identity.name());
        let bound = self.own.yielded().is_some_and(|hash| hash != *manifest);
        me.is_some_and(|me| me.identity == self.settings.identity)
            && !self.missing
            && !bound
            // Never in a round below the highest in which it voted: otherwise late commits of an early round and a whole later
            // round could both become active.
            && round >= self.own.highest()
            && self.own.in_round(VoteKind::Commit, round).is_none()
            && self.check_lock(manifest).is_ok()
    }

    /// Whether a human of this member may give way to a recovery manifest. `Ok(None)`: it did already; else when this node saw
    /// it, in seconds since 1970.
    pub(super) fn may_yield(
        &self,
        manifest: &Hash,
        typed: &str,
        now_seconds: u64,
    ) -> Result<Option<u64>, Refused> {
        self.check_complete()?;
        let candidate = self.seen.candidates.get(manifest);
        let recovery = candidate.and_then(|candidate| candidate.recovery.as_ref());
        let (recovery, seen_seconds) = recovery.ok_or_else(|| Refused::Unknown(short(manifest)))?;
        let roll = self.election.roll(&recovery.manifest);
        let seat = roll.seat_of_key(&self.settings.identity);
        if !seat.is_some_and(|seat| roll.votes(seat)) {
            return Err(Refused::NoSay(self.settings.identity.name().to_owned()));
        }
        self.check_typed(manifest, typed)?;
        match self.own.yielded() {
            Some(hash) if hash == *manifest => return Ok(None),
            Some(other) => return Err(Refused::Yielded(short(&other))),
            None => {}
        }
        // "a member that committed yields only to the hash it committed": no certificate opens this, and no later commit.
        if let Some((locked, round)) = self.own.committed_other(manifest) {
            return Err(Refused::Locked {
                manifest: short(&locked),
                round,
            });
        }
        let from_seconds = seen_seconds.saturating_add(YIELD_AFTER_SECONDS);
        if now_seconds < from_seconds {
            return Err(Refused::TooSoon {
                seen_seconds: *seen_seconds,
                from_seconds,
            });
        }
        Ok(Some(*seen_seconds))
    }
}
