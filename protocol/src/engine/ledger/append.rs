//! Appending: idempotency (R11), sequencing, and the node's own entries.

use super::{Config, Places, Promise, Refusal, Step, Stop};
use crate::engine::RequestId;
use crate::engine::store::{IdemRow, Record, StoreError, Transaction};
use crate::entry::batch::Batch;
use crate::entry::json::Json;
use crate::entry::leaf::{Content, Leaf};
use crate::entry::time::DAY_US;
use crate::hex;
use crate::tlog::MAX_SIZE;
use crate::tlog::bundle;
use crate::tlog::compact::CompactRange;
use crate::tlog::hash::sha256;

/// How long a client's idempotency key is remembered, in days.
const CLIENT_KEY_DAYS: i64 = 7;

/// Adopted entries that are remembered as telling of a fork: 4 proofs for each of 128 members, as a log and as a tower, and as
/// many logs of others. Beyond, a proof would be told twice.
const MAX_TOLD: usize = 2_048;

/// Entries of certificates and revocations that are remembered: a whole chain of its own, and revocations of as many keys of
/// each of 64 members as anybody ever made. Beyond, one would be told twice.
const MAX_KEYS_TOLD: usize = 2_048;

impl<T: Transaction> Step<'_, T> {
    pub(super) fn append(&mut self, request: RequestId, batch: Batch) -> Result<(), Stop> {
        self.clamped_wall();
        let first = self.head.size();
        if first + batch.len() as u64 > MAX_SIZE {
            return Err(Stop::Refused(request, Refusal::LedgerFull));
        }
        let known = self.known_entries(request, &batch, first)?;
        let batch = if known.is_empty() {
            batch
        } else {
            let positions: Vec<usize> = known.iter().map(|(position, _)| *position).collect();
            batch.without(&positions)
        };
        for (position, payload) in batch.payloads() {
            self.tx.put_payload(first + *position as u64, payload)?;
        }
        self.open_day();
        self.open.push(&mut self.head, &batch);
        let places = Places {
            first,
            new: batch.len() as u64,
            known,
        };
        self.out.promise(Promise::Appended { request, places });
        Ok(())
    }

    /// Looks up every tag and remembers the new ones; the insert is the check.
    fn known_entries(
        &mut self,
        request: RequestId,
        batch: &Batch,
        first: u64,
    ) -> Result<Vec<(usize, u64)>, Stop> {
        let mut known: Vec<(usize, u64)> = Vec::new();
        // Clamped: a clock that was behind must not make keys expire when it is set right.
        let now_us = self.head.clock.micros();
        for (position, tag) in batch.idem() {
            let live = self
                .tx
                .idem(&tag.id)?
                .filter(|row| row.expires_us.is_none_or(|expires| expires > now_us));
            match live {
                Some(row) if row.content == tag.content || tag.for_ever => {
                    known.push((*position, row.index))
                }
                Some(row) => {
                    return Err(Stop::Refused(
                        request,
                        Refusal::OtherContent { index: row.index },
                    ));
                }
                None => {
                    let index = first + (*position - known.len()) as u64;
                    let expires_us =
                        (!tag.for_ever).then(|| now_us.saturating_add(CLIENT_KEY_DAYS * DAY_US));
                    self.tx.put_idem(
                        tag,
                        &IdemRow {
                            index,
                            content: tag.content,
                            expires_us,
                        },
                    )?;
                }
            }
        }
        Ok(known)
    }

    /// Appends an entry of the node's own; it holds only what the node itself produced, so nothing is to be scrubbed.
    pub(super) fn append_system(
        &mut self,
        config: &Config,
        kind: &'static str,
        body: Json,
    ) -> Result<u64, StoreError> {
        let leaf = Leaf {
            kind: kind.to_owned(),
            time: self.clamped_wall(),
            source: config.origin.clone(),
            tenant: None,
            content: Content::Body(body),
            idem: None,
            scrub: None,
        };
        self.told_of_keys(&leaf)?;
        self.open_day();
        let mut batch = Batch::default();
        batch.push(&leaf.to_bytes(), None, None);
        let index = self.head.size();
        self.open.push(&mut self.head, &batch);
        Ok(index)
    }

    /// Takes back entries of this ledger that towers held: as bytes, with the idempotency tags and days that they tell
    /// (R11, R12), and with what the node's own entries did. `None` in the error: they are no entries.
    pub(crate) fn adopt(&mut self, bytes: &[u8]) -> Result<(), Option<StoreError>> {
        for entry in bundle::entries(bytes) {
            let entry = entry.map_err(|_| None)?;
            let leaf = Leaf::parse(entry).map_err(|_| None)?;
            let index = self.head.size();
            if let (true, Content::Body(body)) = (leaf.kind == "day.digest", &leaf.content) {
                // It belongs to the day after the one it closes, which began where that one ended.
                let end = body.get("end").and_then(Json::as_u64);
                if end == Some(index) {
                    self.head.today = CompactRange::empty_at(index);
                    self.head.day = self.head.day.map(|day| day + 1);
                }
            }
            if self.head.day.is_none() {
                self.head.day = Some(leaf.time.day());
            }
            if let Some(tag) = &leaf.idem {
                let expires = leaf.time.micros().saturating_add(CLIENT_KEY_DAYS * DAY_US);
                let row = IdemRow {
                    index,
                    content: tag.content,
                    expires_us: (!tag.for_ever).then_some(expires),
                };
                self.tx.put_idem(tag, &row)?;
            }
            self.done_again(&leaf, index)?;
            let mut batch = Batch::default();
            batch.push(entry, None, None);
            self.open.push(&mut self.head, &batch);
        }
        Ok(())
    }

    /// What the step did that appended an adopted entry of the node's own: it may have been lost with the disk, or its
    /// commit may never have happened although its prepare had left.
    fn done_again(&mut self, leaf: &Leaf, index: u64) -> Result<(), StoreError> {
        // Whatever came from outside went through the scrubber.
        let (None, Content::Body(body)) = (&leaf.scrub, &leaf.content) else {
            return Ok(());
        };
        let text = |key| body.get(key).and_then(Json::as_str);
        match leaf.kind.as_str() {
            "retire" => {
                let Some(successor) = text("successor") else {
                    return Ok(());
                };
                self.tx.put_record(Record::Retired, successor.as_bytes())?;
                self.retired = Some(successor.to_owned());
            }
            "erase" => {
                let payload = text("hmac").and_then(hex::decode);
                let payload = payload.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
                if let Some(payload) = payload
                    && self.tx.erased(&payload)?.is_none()
                {
                    self.tx.erase_payload(&payload, index)?;
                }
            }
            "fork.seen" => {
                let digest = text("digest").and_then(hex::decode);
                if let Some(digest) = digest.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
                    self.told_of_fork(&digest)?;
                }
            }
            _ => self.told_of_keys(leaf)?,
        }
        Ok(())
    }

    /// This ledger has the entry of a certificate or a revocation.
    fn told_of_keys(&mut self, leaf: &Leaf) -> Result<(), StoreError> {
        let Content::Body(body) = &leaf.content else {
            return Ok(());
        };
        let note = body.get("note").and_then(Json::as_str);
        let (Some(note), "key.cert" | "key.revocation") = (note, leaf.kind.as_str()) else {
            return Ok(());
        };
        let mut told = self.tx.record(Record::KeysTold)?.unwrap_or_default();
        let hash = sha256(note.as_bytes()).0;
        if told.len() < MAX_KEYS_TOLD * hash.len() && !told.as_chunks().0.contains(&hash) {
            told.extend_from_slice(&hash);
            self.tx.put_record(Record::KeysTold, &told)?;
        }
        Ok(())
    }

    /// Whether the ledger has the entry of this certificate or revocation.
    pub(crate) fn tells_of_key(&self, note: &str) -> Result<bool, StoreError> {
        let told = self.tx.record(Record::KeysTold)?.unwrap_or_default();
        Ok(told.as_chunks().0.contains(&sha256(note.as_bytes()).0))
    }

    /// This ledger tells of a fork proof already, also where the proof itself is not here any more.
    fn told_of_fork(&mut self, digest: &[u8; 32]) -> Result<(), StoreError> {
        let mut told = self.tx.record(Record::ForksTold)?.unwrap_or_default();
        if told.len() < MAX_TOLD * digest.len() && !told.as_chunks().0.contains(digest) {
            told.extend_from_slice(digest);
            self.tx.put_record(Record::ForksTold, &told)?;
        }
        Ok(())
    }
}
