//! A quick look at every database, for `doctor`: schema, and SQLite's quick check. Reads only.

use super::Layout;
use super::open::{self, Database};
use super::transaction::store_error;
use crate::disk::RealDisk;
use crate::exit::Failure;
use std::path::PathBuf;

/// Problems of one database that are told; the rest is for `ledger fsck`.
const TOLD: u8 = 3;

/// The databases of a directory that are there, each with what is wrong with it.
#[must_use]
pub fn quick_check(layout: &Layout) -> Vec<(PathBuf, Result<Vec<String>, Failure>)> {
    let all = [
        (layout.ledger_db(), Database::Ledger),
        (layout.payloads_db(), Database::Payloads),
        (layout.state_db(), Database::State),
    ];
    let there = all.into_iter().filter(|(path, _)| path.exists());
    there
        .map(|(path, which)| {
            let looked = open::reader(&path, which, &RealDisk).map_err(Failure::from);
            let problems = looked.and_then(|connection| {
                let lines: rusqlite::Result<Vec<String>> = connection
                    .prepare(&format!("PRAGMA quick_check({TOLD})"))
                    .and_then(|mut rows| rows.query_map([], |row| row.get(0))?.collect());
                let lines = lines.map_err(|error| Failure::from(store_error(&error)))?;
                Ok(lines.into_iter().filter(|line| line != "ok").collect())
            });
            (path, problems)
        })
        .collect()
}
