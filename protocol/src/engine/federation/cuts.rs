//! What is to be signed next (R1): the ledger's unsigned end is cut into prefixes, a few at a time, and each is turned into a
//! prepare with the entries that a tower lacks. May not sign, nor decide who counts.

use super::Turn;
use super::factory::Phase;
use super::messages::To;
use crate::engine::ledger::Head;
use crate::engine::store::{Place, Record, StoreError, Transaction};
use crate::tlog::tile::TILE_WIDTH;
use crate::wire::codec::{List, Text};
use crate::wire::v1::{Kind, PREPARE_TOPIC, Prepare};

/// Entry bytes of one cut: two of them fit an unsigned tail, and one fits a frame.
const CUT_BYTES: usize = 4 << 20;
/// Entries of one cut.
const CUT_ENTRIES: u64 = 32_768;
/// Unsigned bytes from which appends are pushed back, so that a new incarnation can prepare them in one message.
const INFLIGHT_CUTS: usize = 2;
/// The next digest is prepared when the one before is signed, or after this time, in microseconds.
const DIGEST_INTERVAL_US: u64 = 50_000;
/// A prefix that is being prepared.
pub(super) struct Cut {
    pub(super) head: Head,
    at_us: u64,
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// Makes the next cut when the one before is signed, or has waited long enough.
    pub(super) fn cut(&mut self) -> Result<(), StoreError> {
        let now = self.now_us();
        let cover = match self.v.factory.phase {
            Phase::Preparing { cover } => Some(cover),
            _ => None,
        };
        let factory = &self.v.factory;
        let waits = factory
            .cuts
            .back()
            .is_some_and(|cut| now < cut.at_us.saturating_add(DIGEST_INTERVAL_US));
        if factory.cuts.len() >= INFLIGHT_CUTS
            || waits
            || (cover.is_some() && !factory.cuts.is_empty())
        {
            return Ok(());
        }
        let mut head = match factory.follower.clone() {
            Some(head) => head,
            None => self.signed_head()?,
        };
        let begin = head.size();
        if cover.is_none() && begin >= self.own.head.size() {
            return Ok(());
        }
        self.follow(&mut head, cover)?;
        if head.size() > begin || cover.is_some() {
            self.v.factory.cuts.push_back(Cut {
                head: head.clone(),
                at_us: now,
            });
        }
        self.v.factory.follower = Some(head);
        Ok(())
    }

    /// The head as of the newest digest.
    pub(super) fn signed_head(&self) -> Result<Head, StoreError> {
        match self.own.tx.record(Record::SignedHead)? {
            None => Ok(Head::default()),
            Some(bytes) => Head::decode(&bytes)
                .ok_or_else(|| StoreError::Damaged("the signed head record".to_owned())),
        }
    }

    /// Moves `head` over the rows: to the end, to `cover` if that is given, or as far as one cut goes.
    fn follow(&self, head: &mut Head, cover: Option<u64>) -> Result<(), StoreError> {
        let whole = self.own.head.size();
        let to = cover.unwrap_or(whole).min(whole);
        let border = head.size() - head.size() % TILE_WIDTH;
        let upper = match cover {
            Some(cover) => cover,
            None => whole.min(head.size().saturating_add(CUT_ENTRIES)),
        };
        let keys = self.ledger.log_keys();
        let to = if cover.is_some() {
            to
        } else {
            to.min(keys.last_in_range(head.size()))
        };
        let mut bytes = 0;
        'rows: for run in self.own.tx.tail(Place::OWN, border, upper)? {
            let entries = crate::tlog::bundle::entries(&run.bundle);
            for ((index, leaf), entry) in (run.start..).zip(&run.leaves).zip(entries) {
                if index != head.size() || index >= to {
                    continue;
                }
                // One entry is far shorter than a cut, so that a cut is never empty.
                bytes += entry.map_or(0, |entry| 2 + entry.len());
                if cover.is_none() && bytes > CUT_BYTES {
                    break 'rows;
                }
                if index == self.own.head.today.start() {
                    head.day = self.own.head.day;
                    head.today = crate::tlog::compact::CompactRange::empty_at(index);
                }
                crate::engine::open_end::sequence(head, *leaf);
            }
        }
        if cover.is_some() && head.size() != to {
            return Err(StoreError::Damaged(format!(
                "entries from {} of the own ledger are missing",
                head.size()
            )));
        }
        head.clock = self.own.head.clock;
        Ok(())
    }

    /// The prepare up to `size` with the entries from `from` on.
    pub(super) fn prepare_from(
        &self,
        from: u64,
        size: u64,
        root: crate::tlog::hash::Hash,
    ) -> Result<super::io::FreeBytes, StoreError> {
        let me = self.settings.members.name(self.settings.me).to_owned();
        let prepare = Prepare {
            origin: Text::new(me).unwrap_or_default(),
            instance: self.settings.incarnation.instance,
            to: size,
            root,
            rests_on: List::new(self.resting_on()).unwrap_or_default(),
        };
        let entries = self.own_entries(from, size)?;
        let to = To::Topic(PREPARE_TOPIC);
        Ok(self
            .settings
            .free(self.own.now, Kind::Prepare, &to, &prepare, &entries))
    }

    /// Own entries `[from, to)` in bundle form, from the rows.
    fn own_entries(&self, from: u64, to: u64) -> Result<Vec<u8>, StoreError> {
        let border = from - from % TILE_WIDTH;
        let mut bytes = Vec::new();
        let mut next = from;
        for run in self.own.tx.tail(Place::OWN, border, to)? {
            let end = run.start + run.leaves.len() as u64;
            if run.start >= from && end <= to {
                bytes.extend_from_slice(&run.bundle);
                next = end;
                continue;
            }
            for (index, entry) in (run.start..).zip(crate::tlog::bundle::entries(&run.bundle)) {
                let entry = entry.map_err(|error| StoreError::Damaged(error.to_string()))?;
                if (from..to).contains(&index)
                    && crate::tlog::bundle::push(&mut bytes, entry).is_ok()
                {
                    next = index + 1;
                }
            }
        }
        if next < to {
            return Err(StoreError::Damaged(format!(
                "entries from {next} of the own ledger are missing"
            )));
        }
        Ok(bytes)
    }
}
