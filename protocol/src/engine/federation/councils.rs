//! Whose word counts for a ledger while epochs change (R14): from the epoch whose quorum vouched for it last to the newest, the
//! towers of each. May not know what any of them said: that is the rules'.

use super::members::MemberIx;
use crate::manifest::Quorum;
use crate::tlog::hash::Hash;

/// Factories and towers of one epoch.
#[derive(Clone, Debug)]
pub(super) struct Council {
    pub(super) epoch: u64,
    /// Hash of its manifest.
    pub(super) manifest: Hash,
    /// k.
    needed: u32,
    /// By member: factory, tower; nothing for who is no member in this epoch.
    roles: Vec<Option<(bool, bool)>>,
    /// How many are members, and towers.
    members: usize,
    towers: u32,
}

impl Council {
    pub(super) fn new(epoch: u64, manifest: Hash, needed: u32) -> Self {
        Self {
            epoch,
            manifest,
            needed,
            roles: Vec::new(),
            members: 0,
            towers: 0,
        }
    }

    /// Lists a member, once.
    pub(super) fn set(&mut self, member: MemberIx, factory: bool, tower: bool) {
        if self.roles.len() <= member {
            self.roles.resize(member + 1, None);
        }
        self.roles[member] = Some((factory, tower));
        self.members += 1;
        self.towers += u32::from(tower);
    }

    fn role(&self, member: MemberIx) -> Option<(bool, bool)> {
        self.roles.get(member).copied().flatten()
    }

    pub(super) fn has(&self, member: MemberIx) -> bool {
        self.role(member).is_some()
    }

    pub(super) fn count(&self) -> usize {
        self.members
    }

    pub(super) fn is_factory(&self, member: MemberIx) -> bool {
        self.role(member).is_some_and(|(factory, _)| factory)
    }

    pub(super) fn is_tower(&self, member: MemberIx) -> bool {
        self.role(member).is_some_and(|(_, tower)| tower)
    }

    /// What it says of the ledger of `origin`; nothing if that is no factory's, or no tower counts for it.
    pub(super) fn judge(&self, origin: MemberIx) -> Option<Judge<'_>> {
        if !self.is_factory(origin) {
            return None;
        }
        let own = u32::from(self.is_tower(origin));
        let towers = self.towers.saturating_sub(own);
        Some(Judge {
            council: self,
            origin,
            quorum: Quorum::new(towers, self.needed).ok()?,
        })
    }
}

/// The towers of one epoch that count for one ledger.
#[derive(Clone, Copy, Debug)]
pub struct Judge<'a> {
    council: &'a Council,
    origin: MemberIx,
    quorum: Quorum,
}

impl<'a> Judge<'a> {
    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.council.epoch
    }

    /// Its arithmetic.
    #[must_use]
    pub fn quorum(&self) -> Quorum {
        self.quorum
    }

    /// Whether a member is one of them: never the ledger's own (R2).
    #[must_use]
    pub fn counts(&self, member: MemberIx) -> bool {
        member != self.origin && self.council.is_tower(member)
    }

    /// The towers.
    pub fn towers(&self) -> impl Iterator<Item = MemberIx> + use<'a> {
        let (council, origin) = (self.council, self.origin);
        (0..council.roles.len()).filter(move |one| *one != origin && council.is_tower(*one))
    }

    /// Whether k of them are among those.
    pub fn is_quorum(&self, is: impl Fn(MemberIx) -> bool) -> bool {
        self.number(is) >= self.quorum.needed as usize
    }

    /// Whether r of them are (R2): whatever a quorum holds, an honest one of them knows.
    pub fn is_recovery(&self, is: impl Fn(MemberIx) -> bool) -> bool {
        self.number(is) >= self.quorum.recovery as usize
    }

    /// How many of them are among those.
    pub fn number(&self, is: impl Fn(MemberIx) -> bool) -> usize {
        self.towers().filter(|one| is(*one)).count()
    }
}
