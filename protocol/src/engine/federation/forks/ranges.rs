//! Ranges of log keys (R6): a digest of size N verifies only under the serial whose range holds N. A certificate that takes a
//! size away from the key that signed it denies what was signed. That is no fork proof, because digests carry no time and
//! whoever has the older key could sign one afterwards; so a human is told, and nothing is judged.

use super::super::io::Alarm;
use super::super::members::Members;
use super::super::mirror::Mirror;
use super::super::{MemberIx, Turn};
use crate::checkpoint::Checkpoint;
use crate::engine::store::{StoreError, Transaction};
use crate::note::SignedNote;

/// A digest that was kept because its log signed it, and that verifies no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Denied {
    /// Its size.
    size: u64,
    /// First size of the key that has it now.
    from_size: u64,
}

/// Whether a kept digest of a member, whose signature was verified once, is of a size that now belongs to another key.
pub(in super::super) fn denied(members: &Members, origin: MemberIx, note: &str) -> Option<Denied> {
    let note = SignedNote::parse(note.as_bytes()).ok()?;
    let size = Checkpoint::parse(note.text()).ok()?.size;
    let chain = members.chain(origin);
    let now = crate::cert::key_for_size(chain, size)?;
    let signed_by = |key: &crate::note::VerifierKey| {
        let mut lines = note.signatures().iter();
        lines.any(|line| line.name() == key.name() && line.key_id() == key.key_id())
    };
    let mut before = chain.iter().filter(|one| one.serial < now.serial);
    (!signed_by(&now.log) && before.any(|one| signed_by(&one.log))).then_some(Denied {
        size,
        from_size: now.log_from_size,
    })
}

impl super::Forks {
    /// A longer chain was learned, or the node started and nobody was told yet.
    pub(in super::super) fn ranges_are_due(&mut self) {
        self.ranges_due = true;
    }
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// Compares the chains with what was signed, outside of any input that may be undone.
    pub(in super::super) fn compare_ranges(&mut self) -> Result<(), StoreError> {
        if std::mem::take(&mut self.v.forks.ranges_due) {
            (0..self.settings.members.count()).try_for_each(|member| self.compare_range(member))?;
        }
        Ok(())
    }

    fn compare_range(&mut self, origin: MemberIx) -> Result<(), StoreError> {
        let members = &self.settings.members;
        if members.chain(origin).len() < 2 || self.v.forks.denied.contains(&origin) {
            return Ok(());
        }
        let kept: Vec<String> = if origin == self.settings.me {
            let newest = self.own.tx.newest_digest()?;
            newest.map(|(_, note)| note).into_iter().collect()
        } else {
            let mirror = Mirror::load(self.own.tx, members.name(origin))?;
            let kept = mirror.map(|mirror| (mirror.seen, mirror.acked));
            let (seen, acked) = kept.unwrap_or_default();
            let seen = seen.map(|(_, note)| note).into_iter();
            seen.chain(acked.map(|ack| ack.note)).collect()
        };
        let denied = kept.iter().find_map(|note| denied(members, origin, note));
        let Some(denied) = denied else {
            return Ok(());
        };
        let name = members.name(origin).to_owned();
        self.v.forks.denied.insert(origin);
        self.alarm(Alarm::KeyRange {
            origin: name,
            size: denied.size,
            from_size: denied.from_size,
        });
        Ok(())
    }
}
