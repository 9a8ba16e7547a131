//! A fork proof against this ledger itself (R3): it signs nothing any more, for ever. Only what verifies under this ledger's
//! own keys counts; who showed it does not matter.

use super::{Ledger, Step};
use crate::engine::store::{Record, StoreError, Transaction};
use crate::fork::{ForkKind, ForkProof};

/// What is shown while a fork proof against this node's own ledger is there.
pub const FORKED: &str =
    "there is a fork proof against this ledger, and nothing is ever signed under its name again";

impl Ledger {
    /// Whether this ledger's own keys signed what cannot both be true, each the size that is in its range (R6): whoever has
    /// a key of an earlier range must not be able to silence the ledger.
    fn is_forked_by(&self, proof: &ForkProof) -> bool {
        let Ok((smaller, larger)) = proof.sizes() else {
            return false;
        };
        let key = |size| self.log_keys.verifier_for(size).cloned();
        let (Some(smaller), Some(larger)) = (key(smaller), key(larger)) else {
            return false;
        };
        let trusted = [smaller, larger];
        let fork = proof.verify(&trusted);
        let [smaller, larger] = trusted;
        fork.is_ok_and(|fork| {
            fork.kind == ForkKind::Origin
                && fork.origin == self.origin()
                && fork.smaller_key == smaller
                && fork.larger_key == larger
        })
    }
}

impl<T: Transaction> Step<'_, T> {
    /// Somebody shows a proof against this ledger. What does not verify changes nothing.
    pub(super) fn own_fork(
        &mut self,
        ledger: &Ledger,
        proof: &ForkProof,
    ) -> Result<(), StoreError> {
        if self.forked || !ledger.is_forked_by(proof) {
            return Ok(());
        }
        self.forked = true;
        let file = proof.to_json();
        self.tx.put_record(Record::Forked, file.as_bytes())
    }
}
