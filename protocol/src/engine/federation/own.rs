//! Statements of this node's own that come back from others (R3). One that this incarnation did not make stops signing at
//! once; two that cannot both be true are a fork, and after a fork nothing is ever signed again.

use super::factory::Phase;
use super::forks::Statement;
use super::io::Alarm;
use super::{Stop, Turn};
use crate::checkpoint::Checkpoint;
use crate::engine::open_end;
use crate::engine::store::{Place, Record, StoreError, Transaction};
use crate::entry::leaf::Leaf;
use crate::note::SignedNote;
use crate::tlog::tile::TILE_WIDTH;

pub(super) use crate::engine::ledger::FORKED;

/// What is shown after a statement of this node's own that this start did not make.
pub(super) const FOREIGN: &str = "others hold a digest of ours that this start did not make; stop any other copy of this node, then restart to recover";

impl<T: Transaction> Turn<'_, '_, T> {
    /// At the first step after a start: a ledger that forked stays silent, and one that was retired too once its last
    /// entry is acknowledged.
    pub(super) fn stay_silent(&mut self) -> Result<(), StoreError> {
        // The step that found it may not have committed.
        if let Some(proof) = &self.v.factory.fork_proof {
            self.own.tx.put_record(Record::Forked, proof.as_bytes())?;
        }
        if self.own.tx.record(Record::Forked)?.is_some() {
            self.v.factory.stop(FORKED);
        } else if let Some(successor) = self.own.tx.record(Record::Retired)?
            && !self.end_is_owed()?
        {
            let successor = String::from_utf8_lossy(&successor);
            self.v
                .factory
                .stop(&format!("retired; its successor is {successor}"));
        }
        Ok(())
    }

    /// Whether the entries up to the one that retired this ledger are still to be signed or acknowledged: durable entries
    /// before it were promised. A ledger that was retired while it recovered has no such entry and owes nothing.
    fn end_is_owed(&self) -> Result<bool, StoreError> {
        let size = self.own.head.size();
        if self.own.head.signed == Some(size) {
            return Ok(self.v.acked < size);
        }
        let border = size.saturating_sub(1) / TILE_WIDTH * TILE_WIDTH;
        let runs = self.own.tx.tail(Place::OWN, border, size)?;
        let last = runs
            .last()
            .and_then(|run| crate::tlog::bundle::entries(&run.bundle).last()?.ok());
        let leaf = last.and_then(|entry| Leaf::parse(entry).ok());
        Ok(leaf.is_some_and(|leaf| leaf.kind == "retire" && leaf.scrub.is_none()))
    }

    /// A verified digest of this node's own, wherever it came from.
    pub(super) fn own_statement(
        &mut self,
        digest: &Checkpoint,
        note: &SignedNote,
    ) -> Result<(), StoreError> {
        if let Some(stored) = self.own.tx.digest(digest.size)? {
            let stored = SignedNote::parse(stored.as_bytes())
                .map_err(|error| StoreError::Damaged(error.to_string()))?;
            if stored.text() != note.text() {
                self.forked(digest, &stored, note);
            }
            return Ok(());
        }
        if digest.size < self.own.head.signed.unwrap_or(0) {
            // It is not kept any more: the ledger itself tells whether it was its own.
            return self.claim(self.settings.me, digest, note, false);
        }
        let signs = matches!(
            self.v.factory.phase,
            Phase::Preparing { .. } | Phase::Active
        );
        if !signs || digest.size <= self.own.head.signed.unwrap_or(0) {
            return Ok(());
        }
        // One of the start before, still on its way, says what was adopted.
        let base = self.signed_head()?;
        self.own.write_entries()?;
        let late = digest.size <= self.own.head.size()
            && open_end::edge_at(self.own.tx, Place::OWN, &base.edge, digest.size)?.root()
                == digest.root;
        if !late {
            self.v.factory.stop(FOREIGN);
            self.alarm(Alarm::ForeignStatement { size: digest.size });
        }
        Ok(())
    }

    /// Two digests of one size with two roots, both with our own signature.
    fn forked(&mut self, digest: &Checkpoint, one: &SignedNote, other: &SignedNote) {
        let me = self.settings.me;
        let one = Statement::stored(&one.to_string());
        if let Some((one, other)) = one.zip(self.statement(me, digest, other)) {
            self.contradiction(me, &one, &other, &[]);
        }
    }

    /// A statement of ours that a tower shows to refuse a prepare.
    pub(super) fn own_shown(&mut self, evidence: &[u8]) -> Result<(), Stop> {
        let note = super::messages::note(evidence)?;
        let (origin, digest) = self.open_digest(&note)?;
        super::tower::ensure(origin == self.settings.me, "not our ledger")?;
        Ok(self.own_statement(&digest, &note)?)
    }
}
