//! The databases, and the store that tells a message from its replay.

use super::{Check, Patient};
use crate::exit::Failure;
use crate::store::{Reader, quick_check};
use belfry_protocol::engine::store::{StoreError, Table};
use std::sync::Arc;

/// Rows of the anti-replay store that are read at once.
const PAGE: usize = 1_024;
/// Rows of each of its tables that are read at most: a million would take the minutes of `ledger fsck`.
const ROWS: usize = 65_536;

/// What to do about a database that cannot be read.
const DAMAGED: &str = "look at the disk; a lost ledger.db comes back from the towers or a backup, `belfry ledger fsck` says what is left";

pub(super) fn checks(patient: &Patient<'_>) -> Vec<Check> {
    vec![databases(patient), replay(patient)]
}

fn databases(patient: &Patient<'_>) -> Check {
    const NAME: &str = "database.integrity";
    if !patient.layout.ledger_db().exists() {
        return Check::fail(
            NAME,
            format!("{} is missing", patient.layout.ledger_db().display()),
        )
        .remedy(
            "find the newest ledger.db; a new ledger under the same name and key would be a fork",
        );
    }
    let mut names = Vec::new();
    for (path, found) in quick_check(patient.layout) {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        match found {
            Err(error) => return Check::failure(NAME, &error, DAMAGED),
            Ok(problems) if !problems.is_empty() => {
                return Check::fail(NAME, format!("{name}: {}", problems.join("; "))).remedy(
                    "stop the node, run `belfry ledger fsck` to see all that is damaged, and look at the disk",
                );
            }
            Ok(_) => names.push(name),
        }
    }
    let seen = format!(
        "{}: schema known, quick check found nothing",
        names.join(", ")
    );
    Check::pass(NAME, seen)
}

/// The self-test needs the writer, which ran it at its start or does not run; from outside the checksums can be read.
fn replay(patient: &Patient<'_>) -> Check {
    const NAME: &str = "database.nonces";
    let read = Reader::open(patient.layout.clone(), Arc::clone(&patient.disk))
        .map_err(Failure::from)
        .and_then(|reader| Ok(rows(&reader)?));
    match (read, patient.running) {
        (Err(error), _) => Check::failure(NAME, &error, DAMAGED),
        (Ok((count, all)), running) => {
            let read = match all {
                true => format!("{count} rows have the right checksums"),
                false => format!("the first {count} rows have the right checksums"),
            };
            let tested = match running {
                Some(_) => "the self-test passed when the node started",
                None => "the self-test runs at every start",
            };
            Check::pass(NAME, format!("{read}; {tested}"))
        }
    }
}

/// How many rows were read, each against its checksum, and whether those are all.
fn rows(reader: &Reader) -> Result<(usize, bool), StoreError> {
    let (mut count, mut all) = (0, true);
    for table in [Table::Nonces, Table::Streams] {
        let (mut from, mut read) = (Vec::new(), 0);
        while read < ROWS {
            let page = reader.rows(table, &from, PAGE)?;
            read += page.len();
            match page.into_iter().next_back() {
                Some((last, _)) if read % PAGE == 0 => {
                    from = last;
                    from.push(0);
                }
                _ => break,
            }
        }
        all &= read < ROWS;
        count += read;
    }
    Ok((count, all))
}
