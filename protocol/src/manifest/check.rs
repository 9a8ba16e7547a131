//! The rules that a manifest must keep as a whole. May not look at signatures, earlier epochs or the time of day.

use super::document::{
    MAX_FEDERATION_NAME_BYTES, MAX_MANIFEST_BYTES, MAX_MEMBERS, MAX_RECOVERY_KEYS,
};
use super::{Manifest, ManifestError, Member, Quorum, check_amendment};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Largest number that the text form holds: 2^53 - 1.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// Longest nonce window: nonces of a whole day must still be remembered.
const MAX_NONCE_WINDOW_SECONDS: u32 = 86_400;

/// Largest clock bound: beyond a minute, times say nothing.
const MAX_CLOCK_BOUND_MS: u32 = 60_000;

impl Manifest {
    /// Checks every rule. What [`Manifest::parse`] read has passed; a draft has to.
    ///
    /// # Errors
    /// [`ManifestError`] for the first rule that is broken.
    pub fn check(&self) -> Result<(), ManifestError> {
        self.check_within(usize::MAX)
    }

    /// [`Manifest::check`] of one that was read from a file of so many bytes: it is no longer than that.
    pub(crate) fn check_within(&self, file_bytes: usize) -> Result<(), ManifestError> {
        self.check_head()?;
        self.check_numbers()?;
        self.check_members()?;
        self.check_quorums()?;
        // Last, so that a broken limit of one member is named first.
        if file_bytes > MAX_MANIFEST_BYTES && self.to_json().len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge {
                what: "manifest",
                limit: MAX_MANIFEST_BYTES,
            });
        }
        Ok(())
    }

    fn check_head(&self) -> Result<(), ManifestError> {
        let name = &self.federation;
        if !(1..=MAX_FEDERATION_NAME_BYTES).contains(&name.len()) {
            return value("federation", "must have 1 to 100 bytes");
        }
        // A human decides by this name: nothing that moves the cursor, and no look-alike by spaces at the ends.
        if name.chars().any(char::is_control) || name.trim() != name {
            return value(
                "federation",
                "must have no control character, and no space at its ends",
            );
        }
        if self.epoch > MAX_NUMBER {
            return value("epoch", "must be at most 2^53 - 1");
        }
        if (self.epoch == 0) != self.previous.is_none() {
            return value(
                "previous",
                "must be left out at epoch 0 and name the epoch before in every later one",
            );
        }
        let in_order = self.created_seconds < self.resign_from_seconds
            && self.resign_from_seconds < self.expires_seconds
            && self.expires_seconds <= MAX_NUMBER;
        if !in_order {
            return value(
                "resign_from_seconds",
                "must lie after created_seconds and before expires_seconds, all at most 2^53 - 1",
            );
        }
        let waits = self.effective_seconds;
        if waits.is_some() && self.epoch == 0 {
            return value(
                "effective_seconds",
                "must be left out at epoch 0, which takes effect at once",
            );
        }
        if waits.is_some_and(|at| at <= self.created_seconds || at >= self.expires_seconds) {
            return value(
                "effective_seconds",
                "must lie after created_seconds and before expires_seconds",
            );
        }
        if self.protocol.0 > self.protocol.1 {
            return value("protocol", "must name the oldest version first");
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), ManifestError> {
        let limits = &self.limits;
        if !(1..=MAX_NONCE_WINDOW_SECONDS).contains(&limits.nonce_window_seconds) {
            return value("nonce_window_seconds", "must be 1 to 86,400");
        }
        if !(1..=MAX_CLOCK_BOUND_MS).contains(&limits.clock_bound_ms) {
            return value("clock_bound_ms", "must be 1 to 60,000");
        }
        if self.recovery_keys.len() > MAX_RECOVERY_KEYS {
            return value("recovery_keys", "must be at most 16");
        }
        if !self.recovery_keys.is_sorted_by(|a, b| a < b) {
            return value("recovery_keys", "must be sorted, each once");
        }
        Ok(())
    }

    fn check_members(&self) -> Result<(), ManifestError> {
        if !(1..=MAX_MEMBERS).contains(&self.members.len()) {
            return value("members", "must be 1 to 64");
        }
        self.members.iter().try_for_each(Member::check)?;
        self.check_unique("name", |member| member.name.as_bytes())?;
        self.check_unique("identity key", |member| member.identity.public_key())?;
        self.check_unique("PeerId", |member| member.peer.as_bytes())?;
        if !self.members.is_sorted_by(|a, b| a.name < b.name) {
            return value("members", "must be sorted by name");
        }
        Ok(())
    }

    fn check_unique<'a>(
        &'a self,
        what: &'static str,
        key: impl Fn(&'a Member) -> &'a [u8],
    ) -> Result<(), ManifestError> {
        let mut seen = BTreeMap::new();
        for member in &self.members {
            if let Some(first) = seen.insert(key(member), member) {
                return Err(ManifestError::Shared {
                    first: first.name.clone(),
                    second: member.name.clone(),
                    what,
                });
            }
        }
        Ok(())
    }

    /// R2, for every factory with the towers that count for it, and for amendments.
    fn check_quorums(&self) -> Result<(), ManifestError> {
        if !self.members.iter().any(|member| member.factory) {
            return Err(ManifestError::NoFactory);
        }
        for factory in self.members.iter().filter(|member| member.factory) {
            Quorum::new(self.tower_count(&factory.name), self.tower_quorum).map_err(|problem| {
                ManifestError::Quorum {
                    factory: factory.name.clone(),
                    problem,
                    common: self.allowed_quorums(),
                }
            })?;
        }
        let members = u32::try_from(self.members.len()).unwrap_or(u32::MAX); // at most 64
        check_amendment(members, self.amendment_threshold).map_err(ManifestError::Amendment)
    }

    /// Every k that fits all factories. There may be none: with five towers, a factory that is one of them allows only 3,
    /// one that is not only 4.
    #[must_use]
    pub fn allowed_quorums(&self) -> Option<RangeInclusive<u32>> {
        let factories = self.members.iter().filter(|member| member.factory);
        factories
            .map(|factory| Quorum::allowed(self.tower_count(&factory.name)))
            .reduce(|all, one| {
                let (all, one) = all.zip(one)?;
                let (from, to) = (*all.start().max(one.start()), *all.end().min(one.end()));
                (from <= to).then_some(from..=to)
            })
            .flatten()
    }

    /// n of R2: the towers that count for `origin`.
    pub(super) fn tower_count(&self, origin: &str) -> u32 {
        u32::try_from(self.towers_of(origin).count()).unwrap_or(u32::MAX)
    }
}

fn value<T>(field: &'static str, problem: &'static str) -> Result<T, ManifestError> {
    Err(ManifestError::Value { field, problem })
}
