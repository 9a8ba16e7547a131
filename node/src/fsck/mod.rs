//! `fsck`: derives everything again from the entries and says exactly what is damaged. Reads only; repairs nothing.
//!
//! | checked | against |
//! |---|---|
//! | entries in bundles and rows | their form, their leaf hashes in tiles and rows |
//! | tiles of every level, the head record | what the entries hash to |
//! | signed digests | the log's key, and the root at their size |
//! | day digests | the entries of their day, recomputed (R12) |
//! | private payloads, erasures, idempotency rows | the leaves that promise them |
//! | files of windows | the entries that name them (R13) |
//! | mirrored ledgers: bundles, tiles, rows | each other, up to what was verified and beyond |
//! | rows outside the tree | their checksums (R10); SQLite's own integrity check |

mod day;
mod levels;
mod mirrors;
mod promises;
mod walk;
mod windows;

use crate::exit::Failure;
use crate::store::Reader;
use crate::store::payloads::PayloadReader;
use belfry_protocol::cert::LogVerifiers;
use belfry_protocol::engine::store::StoreError;
use std::fmt;

/// One thing that is damaged.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// What is damaged: a path, an entry, a row.
    pub place: String,
    /// How.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// What was found.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Report {
    /// Entries hashed.
    pub entries: u64,
    /// Entries of mirrored ledgers hashed.
    pub mirrored: u64,
    /// Digests verified.
    pub digests: u64,
    /// Day digests recomputed.
    pub days: u64,
    /// Private payloads opened and compared with their commitments.
    pub payloads: u64,
    /// Files of windows compared with their entries.
    pub windows: u64,
    /// Windows whose file is not there any more, or was lost with the disk: older than all that are there.
    pub windows_gone: u64,
    /// What is damaged; at most [`KEPT_PROBLEMS`] of it.
    pub problems: Vec<Problem>,
    /// How much is damaged.
    pub problem_count: u64,
}

/// Problems listed word for word: a lost disk has millions.
pub const KEPT_PROBLEMS: usize = 1_000;

impl Report {
    fn problem(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.problem_count += 1;
        if self.problems.len() < KEPT_PROBLEMS {
            self.problems.push(Problem {
                place: place.into(),
                what: what.into(),
            });
        }
    }

    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problem_count == 0
    }
}

/// Checks a whole ledger as of one moment. `progress` is told the number of entries.
///
/// # Errors
/// When the directory cannot be read at all; damage is in the report.
pub fn run(
    reader: &Reader,
    log_keys: &LogVerifiers,
    progress: impl FnMut(u64),
) -> Result<Report, Failure> {
    let mut report = Report::default();
    for line in reader
        .integrity()
        .unwrap_or_else(|error| vec![error.to_string()])
    {
        report.problem("ledger.db", line);
    }
    let payloads = open_payloads(reader, &mut report);
    if let Err(error) = reader.incarnation() {
        report.problem("ledger.db, incarnation", error.to_string());
    }
    let mut missing = Vec::new();
    let mut windows = windows::Windows::default();
    let outcome = reader.at_one_moment(|reader| {
        mirrors::rows(reader, &mut report);
        mirrors::ledgers(reader, &mut report);
        let head = match reader.head() {
            Ok(head) => head,
            Err(StoreError::Damaged(what)) => {
                report.problem("ledger.db", what);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let digests = walk::digests(reader, log_keys, &mut report);
        let mut promised = promises::Promised::new(reader, payloads.as_ref(), &mut report);
        walk::entries(
            reader,
            &head,
            &digests,
            &mut promised,
            &mut report,
            progress,
        )?;
        (missing, windows) = promised.finish(&mut report);
        Ok(())
    });
    // A running node may have gone on since that moment: what is judged by files and payloads is judged by the newest head.
    let erased: std::collections::BTreeMap<_, _> =
        reader.erased().unwrap_or_default().into_iter().collect();
    for (index, _) in missing
        .into_iter()
        .filter(|(_, hmac)| !erased.contains_key(hmac))
    {
        report.problem(
            format!("entry {index}"),
            "its private payload is missing or does not open, and was not erased",
        );
    }
    if let Ok(head) = reader.head() {
        walk::stray_files(
            reader.disk(),
            &reader.layout().own_root(),
            head.size(),
            &mut report,
        );
    }
    mirrors::stray(reader, &mut report);
    windows.check(reader.layout(), &mut report);
    match outcome {
        Ok(()) => Ok(report),
        Err(StoreError::Damaged(what)) => {
            report.problem("ledger.db", what);
            Ok(report)
        }
        Err(error) => Err(error.into()),
    }
}

fn open_payloads(reader: &Reader, report: &mut Report) -> Option<PayloadReader> {
    match PayloadReader::open(reader.layout(), reader.disk()) {
        Ok(payloads) => {
            for line in payloads
                .integrity()
                .unwrap_or_else(|error| vec![error.to_string()])
            {
                report.problem("payloads.db", line);
            }
            Some(payloads)
        }
        Err(error) => {
            report.problem("payloads.db", error.to_string());
            None
        }
    }
}
