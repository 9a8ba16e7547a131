//! Rows under keys, and the ledgers that this node mirrors: tiles and rows hashed again, up to what was verified and
//! beyond. Entries are bytes here: what they mean is their own node's business.

use super::Report;
use super::levels::Levels;
use super::walk::stray_files;
use crate::store::{Placed, Reader};
use belfry_protocol::engine::store::{Place, StoreError, Table};
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::hash::{Hash, leaf_hash};
use belfry_protocol::tlog::proof::TileSource;
use belfry_protocol::tlog::tile::{Bundle, TILE_WIDTH, Tile};
use std::collections::{BTreeMap, BTreeSet};

/// Rows read at once.
const PAGE: usize = 256;
/// Beyond every index that SQLite holds.
const END: u64 = i64::MAX.unsigned_abs();

/// Reads every keyed row, so that every checksum is checked.
pub(super) fn rows(reader: &Reader, report: &mut Report) {
    for table in Table::ALL {
        if let Err(error) = rows_of(reader, table) {
            report.problem(format!("ledger.db, {}", table.name()), error.to_string());
        }
    }
}

fn rows_of(reader: &Reader, table: Table) -> Result<(), StoreError> {
    let mut from = Vec::new();
    loop {
        let page = reader.rows(table, &from, PAGE)?;
        let full = page.len() == PAGE;
        match page.into_iter().next_back() {
            Some((last, _)) if full => {
                from = last;
                from.push(0);
            }
            _ => return Ok(()),
        }
    }
}

/// Walks every mirrored ledger.
pub(super) fn ledgers(reader: &Reader, report: &mut Report) {
    let rows = match reader.rows(Table::Mirror, b"", usize::MAX) {
        Ok(rows) => rows,
        // Reported with the other rows.
        Err(_) => return,
    };
    let mut places: BTreeMap<Place, String> = BTreeMap::new();
    for (key, row) in rows {
        match Placed::decode(&key, &row) {
            Ok(placed) => {
                if let Some(other) = places.insert(placed.place, placed.origin.clone()) {
                    report.problem(
                        label(&placed),
                        format!("it has the same place as the mirror of {other}"),
                    );
                }
                ledger(reader, &placed, report);
            }
            Err(error) => report.problem("ledger.db, mirror", error.to_string()),
        }
    }
}

fn label(placed: &Placed) -> String {
    format!("mirror of {}", placed.origin)
}

fn ledger(reader: &Reader, placed: &Placed, report: &mut Report) {
    if placed.flushed > placed.flushable {
        report.problem(
            label(placed),
            format!(
                "{} entries are in files and only {} are verified",
                placed.flushed, placed.flushable
            ),
        );
    }
    let base = placed.flushable;
    let mut levels = Levels::new(reader.ledger(placed), format!("{}, ", label(placed)));
    for index in 0..base.div_ceil(TILE_WIDTH) {
        let (Some(wanted), Some(tile)) =
            (Bundle::of_tree(index, base), Tile::of_tree(0, index, base))
        else {
            break;
        };
        let stored = levels.view.tile(tile).map_err(|error| {
            report.problem(levels.place(&tile.path()), error.to_string());
        });
        let entries = levels.view.bundle(wanted).map_err(|error| {
            report.problem(levels.place(&wanted.path()), error.to_string());
        });
        let hashed: Option<Vec<Hash>> = entries
            .ok()
            .map(|bytes| bundle::entries(&bytes).flatten().map(leaf_hash).collect());
        if let (Ok(stored), Some(hashed)) = (&stored, &hashed) {
            for (position, _) in stored
                .iter()
                .zip(hashed)
                .enumerate()
                .filter(|(_, (stored, hashed))| stored != hashed)
            {
                let at = index * TILE_WIDTH + position as u64;
                report.problem(
                    levels.place(&format!("entry {at}")),
                    format!("it does not match its hash in {}", tile.path()),
                );
            }
        }
        report.mirrored += hashed.as_ref().map_or(0, Vec::len) as u64;
        // Without its entries a bundle counts as its stored hashes say, so that later damage is found too.
        let Some(leaves) = hashed.or(stored.ok()) else {
            report.problem(
                levels.place(&wanted.path()),
                "neither entries nor hashes are there; what follows was not checked",
            );
            return;
        };
        for leaf in leaves {
            levels.push(leaf, report, |_| {});
        }
    }
    levels.finish(report);
    open_end(&levels, base, report);
}

/// The runs above the verified base, which no digest covers yet: contiguous, and each entry hashes to its leaf.
fn open_end(levels: &Levels<'_>, base: u64, report: &mut Report) {
    let runs = match levels.view.tail(base - base % TILE_WIDTH, END) {
        Ok(runs) => runs,
        Err(error) => return report.problem(levels.place("unflushed rows"), error.to_string()),
    };
    let mut next: Option<u64> = None;
    for run in runs {
        if next.is_some_and(|next| next != run.start) || (next.is_none() && run.start > base) {
            report.problem(
                levels.place(&format!("entry {}", run.start)),
                "entries before it are missing",
            );
        }
        next = Some(run.start + run.leaves.len() as u64);
        let hashes: Result<Vec<Hash>, _> = bundle::entries(&run.bundle)
            .map(|entry| entry.map(leaf_hash))
            .collect();
        if hashes.as_ref() != Ok(&run.leaves) {
            report.problem(
                levels.place(&format!("entries from {}", run.start)),
                "they do not match their hashes",
            );
        }
    }
}

/// Files under `mirror/` that no mirrored ledger accounts for.
pub(super) fn stray(reader: &Reader, report: &mut Report) {
    let Ok(rows) = reader.rows(Table::Mirror, b"", usize::MAX) else {
        return;
    };
    let mut known = BTreeSet::new();
    for (key, row) in rows {
        // A damaged row is reported already; its directory still is somebody's.
        let root = reader.layout().mirror_root(&String::from_utf8_lossy(&key));
        if let Ok(placed) = Placed::decode(&key, &row) {
            stray_files(reader.disk(), &root, placed.flushable, report);
        }
        known.insert(root.dir().to_path_buf());
    }
    let found = reader.disk().list(&reader.layout().mirrors());
    for dir in found.into_iter().flatten() {
        if !known.contains(&dir) {
            report.problem(
                dir.display().to_string(),
                "no mirrored ledger belongs to it",
            );
        }
    }
}
