//! What other towers acked (R5): two acks under one key of a tower that cannot both be true are its own lie, whatever its
//! factory did. The newest ack of each is kept, and every other one is compared with it.

use super::super::{MemberIx, Turn};
use super::Statement;
use super::questions::Why;
use crate::checkpoint::Checkpoint;
use crate::engine::federation::checks::verified_lines;
use crate::engine::store::{StoreError, Table, Transaction};
use crate::note::{SignedNote, VerifierKey};
use std::cmp::Ordering;

/// In the overlap of two serials both keys sign, and an ack of each is kept: a later serial takes the place of the one two
/// before it.
fn key_of(origin: &str, tower: &str, serial: u64) -> Vec<u8> {
    let place = u8::from(serial % 2 == 1);
    [origin.as_bytes(), &[0], tower.as_bytes(), &[0, place]].concat()
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// A digest with other towers' lines; its log's signature was verified.
    pub(in super::super) fn hear_acks(
        &mut self,
        origin: MemberIx,
        digest: &Checkpoint,
        note: &SignedNote,
    ) -> Result<(), StoreError> {
        let me = self.settings.me;
        let towers: Vec<MemberIx> = self.settings.members.towers_of(origin).collect();
        for tower in towers.into_iter().filter(|one| *one != me) {
            let members = &self.settings.members;
            let name = members.name(tower);
            if !note.signatures().iter().any(|line| line.name() == name)
                || self.v.forks.is_liar(tower)
            {
                continue;
            }
            let Some(log) = members.log_key(origin, digest.size).cloned() else {
                return Ok(());
            };
            let keys: Vec<(u64, VerifierKey)> = members
                .cosigners(tower)
                .filter(|one| {
                    let ends_seconds = one.not_after_seconds;
                    self.checks
                        .cosignature(&one.ack, ends_seconds, note)
                        .is_some()
                })
                .map(|one| (one.serial, one.ack.clone()))
                .collect();
            for (serial, key) in keys {
                let known = self.known_ack(origin, tower, serial)?;
                let known = known.filter(|known| is_by(&known.note, &key));
                let again = |known: &Statement| known.is(digest.size, &digest.root);
                if !is_by(note, &key) || known.as_ref().is_some_and(again) {
                    continue;
                }
                let lines = verified_lines(&self.checks, note, &[&log, &key]);
                let Some(only) = lines.filter(|note| note.signatures().len() == 2) else {
                    continue;
                };
                let statement = Statement {
                    size: digest.size,
                    root: digest.root,
                    note: only,
                };
                // Under another key it is no lie of the tower's (R3).
                if let Some(known) = &known {
                    self.compare_acks(origin, known, &statement)?;
                }
                // One that was on its way for long does not take the place of a newer one.
                if known.is_none_or(|known| known.size < statement.size) {
                    let members = &self.settings.members;
                    let row = key_of(members.name(origin), members.name(tower), serial);
                    let note = statement.note.to_string();
                    self.own.tx.put_row(Table::Heads, &row, note.as_bytes())?;
                }
            }
        }
        Ok(())
    }

    /// The newest ack of a tower that is kept, by the key of this serial or of an earlier one.
    fn known_ack(
        &self,
        origin: MemberIx,
        tower: MemberIx,
        serial: u64,
    ) -> Result<Option<Statement>, StoreError> {
        let members = &self.settings.members;
        let row = key_of(members.name(origin), members.name(tower), serial);
        let known = self.own.tx.row(Table::Heads, &row)?;
        Ok(known
            .and_then(|known| String::from_utf8(known).ok())
            .and_then(|known| Statement::stored(&known)))
    }

    /// Whether the newest ack that is kept of a tower, by a key that is not revoked, is of more than `at` entries.
    pub(in super::super) fn has_acked_beyond(
        &self,
        origin: MemberIx,
        tower: MemberIx,
        at: u64,
    ) -> Result<bool, StoreError> {
        for one in self.settings.members.cosigners(tower) {
            let known = self.known_ack(origin, tower, one.serial)?;
            if known.is_some_and(|known| known.size > at && is_by(&known.note, &one.ack)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn compare_acks(
        &mut self,
        origin: MemberIx,
        known: &Statement,
        new: &Statement,
    ) -> Result<(), StoreError> {
        let good = |one: &Statement| self.is_good(origin, one.size, &one.root);
        if good(known) && good(new) {
            return Ok(());
        }
        let (smaller, larger) = match known.size.cmp(&new.size) {
            Ordering::Less => (known, new),
            Ordering::Greater => (new, known),
            Ordering::Equal => {
                self.contradiction(origin, known, new, &[]);
                return Ok(());
            }
        };
        let held = self.place_of(origin, larger.size)?.is_some();
        self.ask_about(origin, smaller, larger, Why::Acks { held });
        Ok(())
    }
}

/// Whether a note has a line that could be this key's; one that is kept was verified.
pub(super) fn is_by(note: &SignedNote, key: &VerifierKey) -> bool {
    let mut lines = note.signatures().iter();
    lines.any(|line| line.name() == key.name() && line.key_id() == key.key_id())
}
