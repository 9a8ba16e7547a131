//! Puts tiles out of the way that `ledger.db` does not know, after a human accepted that it was rolled back, or where
//! other towers bring the entries again. Deletes nothing.

use crate::disk::Disk;
use crate::exit::Failure;
use crate::store::{Layout, TileRoot};
use belfry_protocol::tlog::tile::{Bundle, TILE_WIDTH, Tile};
use std::path::PathBuf;

/// Moves the full tiles of level 0 and the bundles of entries from `size` on into a new directory `set-aside-N` of the
/// data directory, and returns how many files that were. The tiles above them are made again with them.
///
/// # Errors
/// When a file cannot be moved.
pub(crate) fn tiles_beyond(
    disk: &dyn Disk,
    layout: &Layout,
    root: &TileRoot,
    size: u64,
) -> Result<u64, Failure> {
    let first = size / TILE_WIDTH;
    let mut files: Vec<PathBuf> = Vec::new();
    for index in first.. {
        let tile = root.tile(Tile {
            level: 0,
            index,
            width: 256,
        });
        let bundle = root.bundle(Bundle { index, width: 256 });
        let there: Vec<PathBuf> = [tile, bundle]
            .into_iter()
            .filter(|path| disk.exists(path))
            .collect();
        // The first one may be missing although later ones are there: its entries are in rows.
        if there.is_empty() && index > first {
            break;
        }
        files.extend(there);
    }
    if files.is_empty() {
        return Ok(0);
    }
    let aside = (1u64..)
        .map(|number| layout.dir().join(format!("set-aside-{number}")))
        .find(|dir| !disk.exists(dir))
        .unwrap_or_else(|| layout.dir().join("set-aside"));
    for file in &files {
        let name = file.strip_prefix(layout.dir()).unwrap_or(file);
        disk.rename(file, &aside.join(name))?;
    }
    tracing::warn!(
        files = files.len(),
        directory = %aside.display(),
        "tiles that ledger.db does not know were put aside"
    );
    Ok(files.len() as u64)
}
