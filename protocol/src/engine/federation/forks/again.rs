//! What was heard once must not get lost. Notes of a step that could not commit, because the disk was full, are heard again by
//! the next one; and where more digests of one ledger wait to be compared than are kept, everybody is asked again what they
//! saw of it before anything of it is acknowledged.

use super::super::{MemberIx, Stop, Turn};
use crate::engine::store::{StoreError, Transaction};
use crate::note::SignedNote;
use std::collections::BTreeSet;

/// Bytes of notes remembered until their step is durable: some thousands. A disk that stays full while more than that is heard
/// loses the newest; everybody is asked again afterwards what they saw, in any case.
const MAX_HEARD_BYTES: usize = 1 << 20;

/// Notes of the newest step, which may not have committed: each was signed by its log, so that no stranger fills the room.
#[derive(Default)]
pub(super) struct Heard {
    notes: BTreeSet<String>,
    bytes: usize,
}

impl Heard {
    fn add(&mut self, note: String) {
        let bytes = self.bytes + note.len();
        if bytes <= MAX_HEARD_BYTES && self.notes.insert(note) {
            self.bytes = bytes;
        }
    }
}

impl super::Forks {
    /// Remembers a digest whose log's signature is right, until the step is durable.
    pub(in super::super) fn remember(&mut self, note: &SignedNote) {
        self.heard.add(note.to_string());
    }

    /// After a step that did not commit: what it heard is to be heard again.
    pub(super) fn unheard(&mut self) -> BTreeSet<String> {
        let mut notes = std::mem::take(&mut self.again);
        let mut bytes: usize = notes.iter().map(String::len).sum();
        for note in std::mem::take(&mut self.heard.notes) {
            if bytes + note.len() <= MAX_HEARD_BYTES {
                bytes += note.len();
                notes.insert(note);
            }
        }
        notes
    }

    /// A digest found no room among those that wait to be compared.
    pub(super) fn lost_one(&mut self, origin: MemberIx) {
        self.lost.insert(origin);
    }
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// What the step before heard is durable; what an earlier one heard in vain is heard now.
    pub(in super::super) fn hear_again(&mut self) -> Result<(), StoreError> {
        self.v.forks.heard = Heard::default();
        // A step that will fail as the one before did would only check all those signatures once more.
        if self.is_quiet() {
            return Ok(());
        }
        for text in std::mem::take(&mut self.v.forks.again) {
            let Ok(note) = SignedNote::parse(text.as_bytes()) else {
                continue;
            };
            if let Err(Stop::Store(error)) = self.digest_heard(&note) {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Once nothing waits to be compared any more: if some digest found no room meanwhile, others tell again what they saw,
    /// and nothing is acknowledged before they did (R3 does the same after a start).
    pub(super) fn look_again(&mut self, origin: MemberIx) {
        if !self.v.forks.is_held_up(origin) && self.v.forks.lost.remove(&origin) {
            self.v.tower.ask_again(origin);
        }
    }
}
