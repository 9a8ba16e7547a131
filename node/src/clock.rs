//! The node's clocks. The only place that reads them for the engine.

use belfry_protocol::engine::Now;
use belfry_protocol::entry::time::TimeUs;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall time now. A clock before 1970 or after 9999 counts as 1970: the engine's clamped clock then stands still.
#[must_use]
pub(crate) fn wall() -> TimeUs {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .and_then(TimeUs::from_micros)
        .unwrap_or_default()
}

/// Both clocks; the monotonic one counts from `start`.
#[must_use]
pub(crate) fn now(start: Instant) -> Now {
    let mono_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
    Now {
        mono_us,
        wall: wall(),
    }
}
