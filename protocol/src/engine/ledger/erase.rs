//! Erasing a private payload (R10): the entry stays, its payload's key goes, and an `erase` entry says so.

use super::{Config, Promise, Refusal, Step, Stop};
use crate::engine::RequestId;
use crate::engine::store::Transaction;
use crate::entry::json::Json;
use crate::entry::time::TimeUs;

impl<T: Transaction> Step<'_, T> {
    pub(super) fn erase(
        &mut self,
        config: &Config,
        request: RequestId,
        index: u64,
        payload: &[u8; 32],
    ) -> Result<(), Stop> {
        let size = self.head.size();
        if index >= size {
            return Err(Stop::Refused(request, Refusal::NoSuchEntry { index, size }));
        }
        if let Some(index) = self.tx.erased(payload)? {
            return Err(Stop::Refused(request, Refusal::AlreadyErased { index }));
        }
        let now = self.clamped_wall();
        let until = TimeUs::from_micros(now.micros().saturating_add(config.backup_retention_us))
            .unwrap_or(now);
        let body = Json::object([
            ("backup_until", Json::text(until.to_string())),
            ("hmac", Json::text(crate::hex::encode(payload))),
            ("index", Json::whole(index)),
        ]);
        let erase_index = self.append_system(config, "erase", body)?;
        self.tx.erase_payload(payload, erase_index)?;
        self.out.promise(Promise::Erased {
            request,
            index: erase_index,
        });
        Ok(())
    }
}
