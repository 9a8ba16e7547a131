//! Signing digests (R1, R9). On its own (`solo`) a ledger needs no other's acknowledgement, so every step that appended signs,
//! in the same transaction as the entries: one sync makes both durable, and the note leaves after it.

use super::{Config, Head, KEPT_DIGESTS, Promise, Step};
use crate::checkpoint::Checkpoint;
use crate::engine::keys::LogKeys;
use crate::engine::store::{StoreError, Transaction};

/// Digests beyond [`KEPT_DIGESTS`] that may gather before they are pruned, so that pruning is rare.
const PRUNE_EVERY: u64 = 1_024;

/// Forgets all but the newest digests, before the one of `size` entries becomes the newest.
pub(super) fn prune(tx: &mut impl Transaction, head: &Head, size: u64) -> Result<(), StoreError> {
    if size % PRUNE_EVERY < size.saturating_sub(head.signed.unwrap_or(0)) {
        tx.prune_digests(KEPT_DIGESTS)?;
    }
    Ok(())
}

/// The note of a checkpoint, under the key whose range holds its size (R6); in the overlap after a rotation the key before
/// adds a line.
pub(crate) fn sign(
    checkpoint: &Checkpoint,
    keys: &LogKeys,
    now_seconds: u64,
) -> Result<String, StoreError> {
    let size = checkpoint.size;
    let mut signers = keys.signers(size, now_seconds);
    let first = signers
        .next()
        .ok_or_else(|| StoreError::Damaged(format!("the log key for size {size} is not here")))?;
    // The keys' name is the origin by construction of the ledger, so this fails only on a damaged head.
    let damaged = |error: &dyn std::fmt::Display| StoreError::Damaged(error.to_string());
    let mut note = checkpoint.sign(first).map_err(|error| damaged(&error))?;
    for key in signers {
        let line = key
            .sign_note(note.text())
            .map_err(|error| damaged(&error))?;
        note = note.with_signature(line).map_err(|error| damaged(&error))?;
    }
    Ok(note.to_string())
}

impl<T: Transaction> Step<'_, T> {
    pub(super) fn sign_if_due(
        &mut self,
        config: &Config,
        log_keys: &LogKeys,
    ) -> Result<(), StoreError> {
        let size = self.head.size();
        let now_seconds = self.now.wall_seconds();
        if size == 0 || self.head.signed == Some(size) || log_keys.has_ended(now_seconds) {
            return Ok(());
        }
        if self.head.signed.is_some_and(|signed| signed > size) {
            return Err(StoreError::Damaged(format!(
                "the ledger has {size} entries and signed more"
            )));
        }
        let checkpoint = Checkpoint {
            origin: config.origin.clone(),
            size,
            root: self.head.root(),
        };
        let note = sign(&checkpoint, log_keys, now_seconds)?;
        self.tx.put_digest(size, &note)?;
        prune(self.tx, &self.head, size)?;
        self.head.signed = Some(size);
        self.out.promise(Promise::Digest { size, note });
        Ok(())
    }
}
