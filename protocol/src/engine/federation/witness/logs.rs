//! Logs that are no members and that this tower cosigns all the same: by origin, with the keys trusted for each.
//! May not hold what was cosigned of them: that is durable, see [`super::Witnessed`].

use crate::checkpoint::MAX_ORIGIN_BYTES;
use crate::note::{Algorithm, VerifierKey};
use std::collections::BTreeMap;
use thiserror::Error;

/// Most logs: the largest public list of today has 40,000, and each costs about a kilobyte.
pub const MAX_LOGS: usize = 65_536;

/// Most keys of one log: two while it rotates, each perhaps of two algorithms.
pub const MAX_KEYS: usize = 4;

/// A log that is no member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The keys that are trusted for it.
    pub keys: Vec<VerifierKey>,
    /// Whether its entries are taken and held, too.
    pub mirror: bool,
    /// Requests a day that a list allows it; `None`: no list limits it. Whoever takes requests enforces it.
    pub queries_per_day: Option<u32>,
}

/// Why a log was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LogsError {
    /// The key signs something else.
    #[error(
        "a log signs with a key of type 0x01, and this one is of type {0:#04x}; use the log's own vkey"
    )]
    KeyType(u8),
    /// The origin cannot be one.
    #[error("an origin is one line of 1 to {MAX_ORIGIN_BYTES} bytes")]
    Origin,
    /// Too many keys for one origin.
    #[error("{0} has more than {MAX_KEYS} keys")]
    Keys(String),
    /// Too many logs.
    #[error("more than {MAX_LOGS} logs")]
    Logs,
}

/// All of them, by origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logs(BTreeMap<String, Log>);

impl Logs {
    /// Trusts `key` for `origin`, besides the keys that are trusted for it already.
    ///
    /// # Errors
    /// [`LogsError`].
    pub fn add(&mut self, origin: &str, key: VerifierKey) -> Result<(), LogsError> {
        if key.algorithm() == Algorithm::CosignatureV1 {
            return Err(LogsError::KeyType(key.algorithm().byte()));
        }
        let is_line = !origin.is_empty() && !origin.bytes().any(|byte| byte < 0x20);
        if !is_line || origin.len() > MAX_ORIGIN_BYTES {
            return Err(LogsError::Origin);
        }
        if !self.0.contains_key(origin) && self.0.len() == MAX_LOGS {
            return Err(LogsError::Logs);
        }
        let log = self.0.entry(origin.to_owned()).or_insert_with(|| Log {
            keys: Vec::new(),
            mirror: false,
            queries_per_day: None,
        });
        if log.keys.contains(&key) {
            return Ok(());
        }
        if log.keys.len() == MAX_KEYS {
            return Err(LogsError::Keys(origin.to_owned()));
        }
        log.keys.push(key);
        Ok(())
    }

    /// Holds the entries of a log that is here, too.
    pub fn mirror(&mut self, origin: &str) {
        if let Some(log) = self.0.get_mut(origin) {
            log.mirror = true;
        }
    }

    /// Says how many requests a day a log that is here may make.
    pub fn limit(&mut self, origin: &str, queries_per_day: u32) {
        if let Some(log) = self.0.get_mut(origin) {
            log.queries_per_day = Some(queries_per_day);
        }
    }

    /// Takes the logs of a list whose origins are not here yet: a list never removes or replaces what is configured.
    /// Stops at [`MAX_LOGS`], and says how many were left out.
    pub fn add_list(&mut self, list: Self) -> usize {
        let mut left_out = 0;
        for (origin, log) in list.0 {
            let room = self.0.len() < MAX_LOGS;
            match self.0.entry(origin) {
                std::collections::btree_map::Entry::Occupied(_) => {}
                std::collections::btree_map::Entry::Vacant(free) if room => {
                    free.insert(log);
                }
                std::collections::btree_map::Entry::Vacant(_) => left_out += 1,
            }
        }
        left_out
    }

    /// The log of an origin.
    #[must_use]
    pub fn get(&self, origin: &str) -> Option<&Log> {
        self.0.get(origin)
    }

    /// Origins and logs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Log)> {
        self.0.iter().map(|(origin, log)| (origin.as_str(), log))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
