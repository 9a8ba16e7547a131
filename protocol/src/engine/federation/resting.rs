//! What an incarnation rests on (R1): the towers whose answers and promises count, with their disks. When one of those
//! disks is replaced, or a tower cannot give what it said it holds, the factory asks again, as a new incarnation.

use super::factory::{Factory, Phase};
use super::recovery::Round;
use super::{MemberIx, Turn};
use crate::engine::store::{StoreError, Transaction};
use crate::wire::v1::DiskRef;

/// Changes of its disk after which a tower does not count for this start.
const UNSTEADY: u32 = 3;
/// Failed fetches after which a tower's answers do not count for a while.
const FAILED: u32 = 3;
/// How long that is, in microseconds: it may only have been slow.
const FORGIVE_US: u64 = 30_000_000;

impl Factory {
    /// Whether a tower's answers may count: one that changes its disk again and again does not hold anything.
    pub(super) fn is_steady(&self, tower: MemberIx) -> bool {
        self.unsteady.get(&tower).copied().unwrap_or(0) <= UNSTEADY
            && self.failed.get(&tower).copied().unwrap_or(0) < FAILED
    }
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// The disks that this incarnation rests on, as prepares name them.
    pub(super) fn resting_on(&self) -> Vec<DiskRef> {
        let members = &self.settings.members;
        let rests_on = self.v.factory.rests_on.iter();
        rests_on
            .map(|(tower, disk)| DiskRef {
                member: members.id(*tower),
                disk: *disk,
            })
            .collect()
    }

    /// Recovers again if some disk that this incarnation rests on is not its tower's any more (R1).
    pub(super) fn rest_on_current_disks(&mut self) -> Result<(), StoreError> {
        if !matches!(
            self.v.factory.phase,
            Phase::Preparing { .. } | Phase::Active
        ) {
            return Ok(());
        }
        let resting = self.v.factory.rests_on.clone();
        for (tower, disk) in resting {
            let member = self.settings.members.id(tower);
            if self
                .rests_on_replaced(&[DiskRef { member, disk }])?
                .is_some()
            {
                self.disk_changed(tower);
            }
        }
        Ok(())
    }

    /// A tower that this incarnation rests on has another disk now.
    pub(super) fn disk_changed(&mut self, tower: MemberIx) {
        *self.v.factory.unsteady.entry(tower).or_default() += 1;
        self.recover_again();
    }

    /// A tower refuses to hold anything because another one's disk was replaced, and this node still rests on that disk:
    /// the newest word that it knows of names it. Then that tower came back with an old directory, and this node forgot
    /// what it knew of the disk in between. Who of both is right it cannot tell; more of them than may lie say so, and the
    /// tower does not count for this start.
    pub(super) fn disowned(&mut self, tower: MemberIx, by: MemberIx) {
        let quorum = self.settings.members.quorum_of(self.settings.me);
        let faulty = quorum.map_or(0, |quorum| quorum.faulty);
        let factory = &mut self.v.factory;
        if !factory.rests_on.contains_key(&tower) {
            return;
        }
        let others = factory.disowned.entry(tower).or_default();
        others.insert(by);
        if others.len() > usize::try_from(faulty).unwrap_or(usize::MAX) {
            factory.unsteady.insert(tower, UNSTEADY + 1);
            self.recover_again();
        }
    }

    /// Asks again, as a new incarnation: what was said under this one may be held somewhere, and must not be told from
    /// what is said next only by its order (R1).
    pub(super) fn recover_again(&mut self) {
        if matches!(self.v.factory.phase, Phase::Idle | Phase::Stopped(_)) {
            return;
        }
        let number = &mut self.settings.incarnation.number;
        *number = number.saturating_add(1);
        let factory = &mut self.v.factory;
        factory.cuts.clear();
        factory.follower = None;
        factory.prepared.clear();
        factory.sent.clear();
        factory.rests_on.clear();
        factory.phase = Phase::Recovering(Round::default());
    }

    /// A tower could not give what it said it holds.
    pub(super) fn could_not_adopt(&mut self, tower: MemberIx) {
        let now = self.now_us();
        let factory = &mut self.v.factory;
        if now >= factory.failed_since_us.saturating_add(FORGIVE_US) {
            factory.failed.clear();
            factory.failed_since_us = now;
        }
        *factory.failed.entry(tower).or_default() += 1;
        self.recover_again();
    }
}
