//! Who has a say in the next epoch, and what makes a certificate (R14): t of the members of N and t' of those of N+1 in
//! ONE round, and the standing acceptance of every joiner. At epoch 0 every listed member's is standing, and t of the
//! listed are needed in one round besides: standing approvals alone would make a certificate in every round.
//! May not verify signatures.

use super::error::listed;
use super::{GenesisError, Subject};
use crate::manifest::{Manifest, Member};
use crate::note::{SignatureLine, VerifierKey};
use crate::tlog::hash::Hash;
use std::collections::{BTreeMap, BTreeSet};

/// The vote on one epoch.
#[derive(Clone, Copy, Debug)]
pub struct Election<'a> {
    /// The federation and its manifest of the epoch before; `None` at epoch 0.
    pub base: Option<(Hash, &'a Manifest)>,
    /// The lineage, known before there is a federation.
    pub lineage: [u8; 16],
    /// Hash of the base.
    base_hash: Hash,
}

impl<'a> Election<'a> {
    /// The vote on who follows `base`, in the federation `id`.
    #[must_use]
    pub fn amending(id: Hash, base: &'a Manifest) -> Self {
        Self::amending_known(id, base, base.hash())
    }

    /// [`Election::amending`] with the hash of the base.
    pub(super) fn amending_known(id: Hash, base: &'a Manifest, base_hash: Hash) -> Self {
        Self {
            base: Some((id, base)),
            lineage: base.lineage,
            base_hash,
        }
    }

    /// The vote on epoch 0 of a lineage.
    #[must_use]
    pub fn founding(lineage: [u8; 16]) -> Self {
        Self {
            base: None,
            lineage,
            base_hash: Hash::default(),
        }
    }

    /// The epoch that is voted on.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.base
            .map_or(0, |(_, base)| base.epoch.saturating_add(1))
    }

    /// Whether the holder of this identity key has a vote whatever is proposed: a member of the epoch before, or at epoch 0
    /// anybody.
    #[must_use]
    pub fn votes(&self, key: &VerifierKey) -> bool {
        self.base.is_none_or(|(_, base)| {
            let mut members = base.members.iter();
            members.any(|member| member.identity == *key)
        })
    }

    /// A vote on `manifest` in `round`.
    #[must_use]
    pub fn subject(&self, manifest: Hash, round: u64) -> Subject {
        Subject {
            federation: self.base.map(|(id, _)| id),
            lineage: self.lineage,
            epoch: self.epoch(),
            round,
            manifest,
        }
    }

    /// Checks that a subject is about this election, whatever its round and manifest.
    ///
    /// # Errors
    /// [`GenesisError::OtherVote`].
    pub fn check_subject(&self, subject: &Subject) -> Result<(), GenesisError> {
        let ours = self.subject(subject.manifest, subject.round);
        if ours == *subject {
            return Ok(());
        }
        let told = |subject: &Subject| match subject.federation {
            Some(id) => format!("epoch {} of {}", subject.epoch, &id.to_hex()[..8]),
            None => format!("the lineage {}", crate::hex::encode(&subject.lineage)),
        };
        Err(GenesisError::OtherVote {
            theirs: told(subject),
            ours: told(&ours),
        })
    }

    /// Checks that `next` can be voted on: it keeps every rule and follows what is there.
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn check(&self, next: &Manifest) -> Result<(), GenesisError> {
        next.check()?;
        self.follows(next)
    }

    /// [`Election::check`] for a manifest whose own rules were checked when it was read.
    pub(super) fn follows(&self, next: &Manifest) -> Result<(), GenesisError> {
        match self.base {
            Some((_, base)) => Ok(base.check_successor_of(&self.base_hash, next)?),
            None if next.epoch == 0 && next.lineage == self.lineage => Ok(()),
            None => Err(GenesisError::OtherVote {
                theirs: format!(
                    "epoch {} of the lineage {}",
                    next.epoch,
                    crate::hex::encode(&next.lineage)
                ),
                ours: format!("the lineage {}", crate::hex::encode(&self.lineage)),
            }),
        }
    }

    /// Who has a say in whether `next` becomes the next epoch.
    #[must_use]
    pub fn roll(&self, next: &'a Manifest) -> Roll<'a> {
        let voters = self.base.map_or(next, |(_, base)| base);
        let mut seats: Vec<Seat<'a>> = voters
            .members
            .iter()
            .map(|member| Seat {
                member,
                votes: true,
                standing: self.base.is_none(),
                stays: false,
            })
            .collect();
        for member in &next.members {
            let known = seats
                .iter_mut()
                .find(|seat| seat.member.identity == member.identity);
            match known {
                Some(seat) => seat.stays = true,
                None => seats.push(Seat {
                    member,
                    votes: false,
                    standing: true,
                    stays: true,
                }),
            }
        }
        let mut by_line = BTreeMap::new();
        for (at, seat) in seats.iter().enumerate() {
            let key = &seat.member.identity;
            // Of two keys with one name and id the first is known: the other could never be told from it.
            by_line.entry((key.name(), key.key_id())).or_insert(at);
        }
        Roll {
            seats,
            by_line,
            voters,
            next,
        }
    }
}

/// One identity key that has a say.
#[derive(Clone, Copy, Debug)]
struct Seat<'a> {
    member: &'a Member,
    /// Of epoch N; at epoch 0, listed.
    votes: bool,
    /// Its approval is valid in every round: a joiner, or anybody at epoch 0.
    standing: bool,
    /// Of epoch N+1.
    stays: bool,
}

/// Everybody with a say in one manifest.
#[derive(Clone, Debug)]
pub struct Roll<'a> {
    seats: Vec<Seat<'a>>,
    by_line: BTreeMap<(&'a str, u32), usize>,
    voters: &'a Manifest,
    next: &'a Manifest,
}

impl<'a> Roll<'a> {
    /// The manifest in question.
    #[must_use]
    pub fn manifest(&self) -> &'a Manifest {
        self.next
    }

    /// The seat of whoever a line claims to be by.
    pub(super) fn seat_of(&self, line: &SignatureLine) -> Option<usize> {
        self.by_line.get(&(line.name(), line.key_id())).copied()
    }

    pub(super) fn key(&self, seat: usize) -> &'a VerifierKey {
        &self.seats[seat].member.identity
    }

    pub(super) fn name(&self, seat: usize) -> &'a str {
        &self.seats[seat].member.name
    }

    pub(super) fn is_standing(&self, seat: usize) -> bool {
        self.seats[seat].standing
    }

    pub(super) fn votes(&self, seat: usize) -> bool {
        self.seats[seat].votes
    }

    /// All seats.
    pub(super) fn seats(&self) -> std::ops::Range<usize> {
        0..self.seats.len()
    }

    /// The seat of this identity key.
    pub(super) fn seat_of_key(&self, key: &VerifierKey) -> Option<usize> {
        self.seats()
            .find(|seat| self.seats[*seat].member.identity == *key)
    }

    /// The member of N, or the listed one, of this name: who commits.
    pub(super) fn committer(&self, name: &str) -> Option<&'a Member> {
        self.voters.member(name).map(|(_, member)| member)
    }

    /// t of the members that vote: commits that make it active, and approvals of one round.
    #[must_use]
    pub fn threshold(&self) -> usize {
        self.voters.amendment_threshold as usize
    }

    /// Whether these approvals make a certificate: `fresh` of one round, `standing` of any.
    ///
    /// # Errors
    /// [`GenesisError::Missing`] for the first that is not enough.
    pub(super) fn check_approvals(
        &self,
        fresh: &BTreeSet<usize>,
        standing: &BTreeSet<usize>,
    ) -> Result<(), GenesisError> {
        let (old, all): (Vec<usize>, Vec<usize>) = (
            self.of(|seat| seat.votes).collect(),
            self.of(|seat| seat.standing).collect(),
        );
        let accepted = |seat: &usize| fresh.contains(seat) || standing.contains(seat);
        self.enough(
            "approvals of one round by the members that vote",
            &old,
            self.threshold(),
            |seat| fresh.contains(seat),
        )?;
        self.enough(
            "acceptances by those who join or found",
            &all,
            all.len(),
            accepted,
        )?;
        let new: Vec<usize> = self.of(|seat| seat.stays).collect();
        let needed = self.next.amendment_threshold as usize;
        self.enough(
            "approvals by the members of the new epoch",
            &new,
            needed,
            |seat| fresh.contains(seat) || (self.is_standing(*seat) && standing.contains(seat)),
        )
    }

    fn of(&self, which: impl Fn(&Seat<'a>) -> bool) -> impl Iterator<Item = usize> {
        self.seats().filter(move |seat| which(&self.seats[*seat]))
    }

    fn enough(
        &self,
        what: &'static str,
        seats: &[usize],
        needed: usize,
        has: impl Fn(&usize) -> bool,
    ) -> Result<(), GenesisError> {
        let have = seats.iter().filter(|seat| has(seat)).count();
        if have >= needed {
            return Ok(());
        }
        let missing = seats.iter().filter(|seat| !has(seat));
        Err(GenesisError::Missing {
            what,
            have,
            needed,
            missing: listed(missing.map(|seat| self.name(*seat))),
        })
    }

    /// Whether commits of these members make it active.
    ///
    /// # Errors
    /// [`GenesisError::Missing`].
    pub(super) fn check_commits(&self, names: &BTreeSet<&str>) -> Result<(), GenesisError> {
        let voters = &self.voters.members;
        let (there, missing): (Vec<&Member>, Vec<&Member>) = voters
            .iter()
            .partition(|member| names.contains(member.name.as_str()));
        if there.len() >= self.threshold() {
            return Ok(());
        }
        Err(GenesisError::Missing {
            what: "commits of one round",
            have: there.len(),
            needed: self.threshold(),
            missing: listed(missing.iter().map(|member| member.name.as_str())),
        })
    }
}
