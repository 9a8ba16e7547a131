//! Appending: idempotency (R11), sequencing, and the node's own entries.

use super::{Config, Places, Promise, Refusal, Step, Stop};
use crate::engine::RequestId;
use crate::engine::store::{IdemRow, StoreError, Transaction};
use crate::entry::batch::Batch;
use crate::entry::json::Json;
use crate::entry::leaf::{Content, Leaf};
use crate::entry::time::DAY_US;
use crate::tlog::MAX_SIZE;

/// How long a client's idempotency key is remembered, in days.
const CLIENT_KEY_DAYS: i64 = 7;

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
        self.open_day();
        let mut batch = Batch::default();
        batch.push(&leaf.to_bytes(), None, None);
        let index = self.head.size();
        self.open.push(&mut self.head, &batch);
        Ok(index)
    }
}
