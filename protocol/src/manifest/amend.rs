//! What a manifest may change of the one before it (R14), who joins by it, and whether its activation can ever be acked.
//! May not count votes: see [`crate::genesis`].

use super::{Manifest, Member};
use crate::tlog::hash::Hash;
use std::collections::BTreeSet;
use thiserror::Error;

/// Why a manifest cannot follow another one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AmendmentError {
    /// Epochs have no gaps.
    #[error("epoch {next} does not follow epoch {base}; the next one is epoch {}", .base + 1)]
    Epoch {
        /// The epoch that is amended.
        base: u64,
        /// The epoch of the amendment.
        next: u64,
    },
    /// It names another manifest as the one before.
    #[error(
        "it amends another manifest than the one of epoch {0}; make the draft again from that one"
    )]
    Previous(u64),
    /// What never changes was changed.
    #[error("`{0}` never changes; found a new federation if it must")]
    Fixed(&'static str),
    /// A ledger is its identity key's.
    #[error(
        "the identity key of {0:?} is replaced, and it keeps a ledger: what it signed before could not be told from what another          signs now; retire the ledger (`belfry ledger retire`) and let the node join again under another name"
    )]
    LedgerIdentity(String),
    /// It claims to be older than what it amends.
    #[error(
        "`created_seconds` lies before that of the manifest it amends; correct the clock of the proposer"
    )]
    Created,
    /// Too few living towers are left for a joint digest.
    #[error(
        "for the factory {factory:?} {dead} of n = {towers} towers of epoch {epoch} are dead, and at most n - k = {towers} - \
         {needed} = {} may be: no digest could ever carry the quorums of both epochs, so the new epoch would never take \
         effect; revive a tower first, or replace fewer in one amendment", towers - needed
    )]
    NeverJoint {
        /// A factory in both epochs.
        factory: String,
        /// The epoch whose quorum is out of reach.
        epoch: u64,
        /// n of that epoch.
        towers: u32,
        /// k of that epoch.
        needed: u32,
        /// How many of the n are dead.
        dead: u32,
    },
}

impl Manifest {
    /// Checks that `next` may follow this manifest: the next epoch, of this manifest, with what never changes unchanged.
    /// Its own rules are [`Manifest::check`].
    ///
    /// # Errors
    /// [`AmendmentError`], never [`AmendmentError::NeverJoint`].
    pub fn check_successor(&self, next: &Self) -> Result<(), AmendmentError> {
        self.check_successor_of(&self.hash(), next)
    }

    /// [`Manifest::check_successor`] with this manifest's hash.
    pub(crate) fn check_successor_of(
        &self,
        hash: &Hash,
        next: &Self,
    ) -> Result<(), AmendmentError> {
        if self.epoch.checked_add(1) != Some(next.epoch) {
            return Err(AmendmentError::Epoch {
                base: self.epoch,
                next: next.epoch,
            });
        }
        if next.previous != Some(*hash) {
            return Err(AmendmentError::Previous(self.epoch));
        }
        if next.lineage != self.lineage {
            return Err(AmendmentError::Fixed("lineage"));
        }
        if next.federation != self.federation {
            return Err(AmendmentError::Fixed("federation"));
        }
        for before in &self.members {
            let after = next.member(&before.name).map(|(_, after)| after);
            let replaced = after.is_some_and(|after| {
                after.identity != before.identity && (before.factory || after.factory)
            });
            if replaced {
                return Err(AmendmentError::LedgerIdentity(before.name.clone()));
            }
        }
        if next.created_seconds < self.created_seconds {
            return Err(AmendmentError::Created);
        }
        Ok(())
    }

    /// The members of `next` whose identity key this manifest does not list: each must prove it by accepting `next`. A member
    /// whose identity key is replaced is one of them.
    pub fn joiners<'n>(&self, next: &'n Self) -> impl Iterator<Item = &'n Member> {
        let known: BTreeSet<String> = self
            .members
            .iter()
            .map(|member| member.identity.to_string())
            .collect();
        next.members
            .iter()
            .filter(move |member| !known.contains(&member.identity.to_string()))
    }

    /// Checks that the activation of `next` can be acked by both epochs (R14) although the towers named in `dead` answer
    /// no more: for every factory in both, k living towers are needed in each.
    ///
    /// # Errors
    /// [`AmendmentError::NeverJoint`] with the arithmetic.
    pub fn check_joint(&self, next: &Self, dead: &BTreeSet<&str>) -> Result<(), AmendmentError> {
        let factories = self.members.iter().filter(|member| member.factory);
        let stays = |name: &str| next.member(name).is_some_and(|(_, member)| member.factory);
        for factory in factories.filter(|factory| stays(&factory.name)) {
            for of in [self, next] {
                let gone = of
                    .towers_of(&factory.name)
                    .filter(|(_, tower)| dead.contains(tower.name.as_str()));
                let gone = u32::try_from(gone.count()).unwrap_or(u32::MAX); // at most 64
                let towers = of.tower_count(&factory.name);
                if towers.saturating_sub(gone) < of.tower_quorum {
                    return Err(AmendmentError::NeverJoint {
                        factory: factory.name.clone(),
                        epoch: of.epoch,
                        towers,
                        needed: of.tower_quorum,
                        dead: gone,
                    });
                }
            }
        }
        Ok(())
    }
}
