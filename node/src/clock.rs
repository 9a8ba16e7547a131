//! The node's clocks. The only place that reads them, also for probes at the socket.

use belfry_protocol::engine::Now;
use belfry_protocol::entry::time::TimeUs;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the clock that never steps begins for this process: engine and network count from the same moment.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);
/// Both clocks are read again if there was more time than this between them: the thread was interrupted.
const APART: Duration = Duration::from_micros(50);
/// How often; on a machine so busy, the closest reading of them is taken.
const ATTEMPTS: usize = 5;

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

/// Seconds since 1970 as people read them: to the second, in UTC.
#[cfg(feature = "net")]
#[must_use]
pub(crate) fn shown_seconds(seconds: u64) -> String {
    let micros = i64::try_from(seconds).ok();
    let micros = micros.and_then(|seconds| seconds.checked_mul(1_000_000));
    let time = micros.and_then(TimeUs::from_micros);
    time.map_or_else(
        || "the end of time".to_owned(),
        |time| time.to_string().replace(".000000Z", "Z"),
    )
}

/// Both clocks, read as close to each other as the machine allows.
#[must_use]
pub(crate) fn now() -> Now {
    let epoch = *EPOCH;
    let mut closest: Option<(Duration, Now)> = None;
    for _ in 0..ATTEMPTS {
        let before = epoch.elapsed();
        let wall = wall();
        let apart = epoch.elapsed().saturating_sub(before);
        let mono_us = u64::try_from(before.as_micros()).unwrap_or(u64::MAX);
        if closest.is_none_or(|(least, _)| apart < least) {
            closest = Some((apart, Now { mono_us, wall }));
        }
        if apart <= APART {
            break;
        }
    }
    closest.map_or_else(
        || Now {
            mono_us: 0,
            wall: wall(),
        },
        |(_, now)| now,
    )
}
