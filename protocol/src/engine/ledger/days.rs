//! Day digests (R12): when the clamped clock shows a new day, the old one is closed by a `day.digest` entry, which
//! belongs to the new day. Days on which the node was off are closed too, each holding its predecessor's digest, so that the chain is unbroken.

use super::{Config, Step};
use crate::day::day_root;
use crate::engine::store::{StoreError, Transaction};
use crate::entry::json::Json;
use crate::entry::time::date_of_day;
use crate::tlog::compact::CompactRange;

/// Most days closed in one step, a century: only a clock that is wrong by more needs several steps, and one step must
/// not be endless.
const DAYS_PER_STEP: i64 = 36_525;

impl<T: Transaction> Step<'_, T> {
    /// Begins the first day with the first entry.
    pub(super) fn open_day(&mut self) {
        if self.head.day.is_none() {
            self.head.day = Some(self.head.clock.day());
        }
    }

    /// Closes the days that ended before the clamped clock's day.
    pub(super) fn close_days(&mut self, config: &Config) -> Result<(), StoreError> {
        let today = self.clamped_wall().day();
        let Some(first) = self.head.day else {
            return Ok(());
        };
        for day in first..today.min(first.saturating_add(DAYS_PER_STEP)) {
            let range = &self.head.today;
            let body = Json::object([
                ("day", Json::text(date_of_day(day))),
                ("end", Json::whole(range.end())),
                ("root", Json::text(day_root(range).to_hex())),
                ("start", Json::whole(range.start())),
            ]);
            self.head.today = CompactRange::empty_at(self.head.size());
            self.head.day = Some(day + 1);
            self.append_system(config, "day.digest", body)?;
        }
        Ok(())
    }
}
