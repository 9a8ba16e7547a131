//! How often a log of a witness-network list may ask for a cosignature: its `qpd` line, requests a day. Buckets that fill up
//! evenly, in memory; a restart fills them. May not refuse a log that no list limits.
//!
//! Old checkpoints of a log are public, so anybody can send them again. Two buckets keep that from using up what the log
//! needs: what made its tree grow is charged to one, and happens once for each size; all else is charged to the other.

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::problem::Problem;

/// What one request costs: with it, a bucket that gets `qpd` each microsecond has room for `qpd` requests after a day.
const COST: u128 = 86_400_000_000;

/// One bucket: what was spent of it at some time, in the unit of [`COST`].
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    level: u128,
    at_us: u64,
}

impl Spent {
    /// What is spent now: it fills up evenly.
    fn now(&mut self, now_us: u64, qpd: u32) -> u128 {
        let passed = u128::from(now_us.saturating_sub(self.at_us));
        self.level = self.level.saturating_sub(passed * u128::from(qpd));
        self.at_us = now_us.max(self.at_us);
        self.level
    }
}

/// What a request is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bucket {
    Growth = 0,
    Rest = 1,
}

/// A request that may go on: told how it ended, it is charged.
#[derive(Debug)]
pub(super) struct Asked {
    origin: String,
    qpd: u32,
    bucket: Bucket,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was cosigned.
    Cosigned,
    /// It was answered with another verdict.
    Refused,
    /// It was not judged: the tower was busy, or may not sign.
    NotNow,
}

/// Too many requests.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    qpd: u32,
    /// When the next one is taken, in seconds.
    retry_seconds: u64,
}

/// What the listed logs spent. Bounded by the logs that are listed, because only those are here.
pub(super) struct Quotas {
    since: Instant,
    spent: Mutex<BTreeMap<String, [Spent; 2]>>,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            spent: Mutex::default(),
        }
    }
}

impl Quotas {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, [Spent; 2]>> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// A request that the log signed, which may ask so often a day; whether it says that the tree grew.
    ///
    /// # Errors
    /// [`TooMany`]
    pub(super) fn ask(&self, origin: &str, qpd: u32, grows: bool) -> Result<Asked, TooMany> {
        self.ask_at(self.now_us(), origin, qpd, grows)
    }

    fn ask_at(&self, now_us: u64, origin: &str, qpd: u32, grows: bool) -> Result<Asked, TooMany> {
        let bucket = if grows { Bucket::Growth } else { Bucket::Rest };
        let mut all = self.lock();
        let spent = all.entry(origin.to_owned()).or_default();
        let spent = &mut spent[bucket as usize];
        let over = (spent.now(now_us, qpd) + COST).saturating_sub(u128::from(qpd) * COST);
        if over > 0 {
            let wait_us = over.div_ceil(u128::from(qpd));
            let retry_seconds = u64::try_from(wait_us.div_ceil(1_000_000)).unwrap_or(u64::MAX);
            return Err(TooMany { qpd, retry_seconds });
        }
        // At once, so that requests side by side do not all find room.
        spent.level += COST;
        Ok(Asked {
            origin: origin.to_owned(),
            qpd,
            bucket,
        })
    }

    /// How a request ended. One that only said that the tree grew is charged as any other.
    pub(super) fn ended(&self, asked: &Asked, ended: Ended) {
        if ended == Ended::Cosigned || (ended, asked.bucket) == (Ended::Refused, Bucket::Rest) {
            return;
        }
        let mut all = self.lock();
        let Some(spent) = all.get_mut(&asked.origin) else {
            return;
        };
        let back = &mut spent[asked.bucket as usize];
        back.level = back.level.saturating_sub(COST);
        if ended == Ended::Refused {
            let most = u128::from(asked.qpd) * COST;
            let rest = &mut spent[Bucket::Rest as usize];
            rest.level = (rest.level + COST).min(most);
        }
    }
}

impl TooMany {
    /// 429, with when to ask again, and the limit in both spellings of its headers.
    pub(super) fn response(&self) -> Response {
        let problem = Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!(
                "the list of logs allows this log {} requests a day",
                self.qpd
            ),
        );
        let seconds = self.retry_seconds;
        let mut response = problem.retry_after(seconds).into_response();
        let headers = response.headers_mut();
        headers.insert("x-ratelimit-limit", HeaderValue::from(self.qpd));
        headers.insert("x-ratelimit-remaining", HeaderValue::from(0));
        headers.insert("x-ratelimit-reset", HeaderValue::from(seconds));
        text(headers, "ratelimit", &format!("\"qpd\";r=0;t={seconds}"));
        let policy = format!("\"qpd\";q={};w=86400", self.qpd);
        text(headers, "ratelimit-policy", &policy);
        response
    }
}

fn text(headers: &mut HeaderMap, name: &'static str, value: &str) {
    // Digits and punctuation are always a header's value.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: u64 = 3_600_000_000;

    fn taken(quotas: &Quotas, now_us: u64, grows: bool, ended: Ended) -> bool {
        let asked = quotas.ask_at(now_us, "log.example", 4, grows);
        asked.is_ok_and(|asked| {
            quotas.ended(&asked, ended);
            true
        })
    }

    #[test]
    fn so_many_a_day_and_then_one_whenever_there_is_room() {
        let quotas = Quotas::default();
        for _ in 0..4 {
            assert!(taken(&quotas, 5, true, Ended::Cosigned));
        }
        let refused = quotas.ask_at(5, "log.example", 4, true).unwrap_err();
        assert_eq!((refused.qpd, refused.retry_seconds), (4, 6 * 3_600));
        assert!(!taken(&quotas, 6 * HOUR_US - 1, true, Ended::Cosigned));
        assert!(taken(&quotas, 6 * HOUR_US + 5, true, Ended::Cosigned));
        assert!(!taken(&quotas, 6 * HOUR_US + 5, true, Ended::Cosigned));
        // Another log has its own, and a day fills it up, no more.
        assert!(quotas.ask_at(5, "other.example", 4, true).is_ok());
        let later = 1_000 * HOUR_US;
        let count = (0..9).filter(|_| taken(&quotas, later, true, Ended::Cosigned));
        assert_eq!(count.count(), 4);
    }

    #[test]
    fn what_strangers_repeat_does_not_use_up_what_growth_needs() {
        let quotas = Quotas::default();
        for _ in 0..4 {
            assert!(taken(&quotas, 0, false, Ended::Cosigned));
        }
        assert!(!taken(&quotas, 0, false, Ended::Cosigned));
        // Claims of growth that were none are charged as repeats, and the growth itself goes on.
        for _ in 0..100 {
            assert!(taken(&quotas, 0, true, Ended::Refused));
        }
        assert!(!taken(&quotas, 5 * HOUR_US, false, Ended::Cosigned));
        for _ in 0..4 {
            assert!(taken(&quotas, 0, true, Ended::Cosigned));
        }
        assert!(!taken(&quotas, 0, true, Ended::Cosigned));
    }

    #[test]
    fn what_was_not_judged_costs_nothing() {
        let quotas = Quotas::default();
        for grows in [true, false] {
            for _ in 0..100 {
                assert!(taken(&quotas, 0, grows, Ended::NotNow));
            }
        }
        // As often as a list can say, for as long as a node can run.
        let asked = quotas.ask_at(u64::MAX, "busy.example", (1 << 31) - 1, true);
        assert!(asked.is_ok());
    }
}
