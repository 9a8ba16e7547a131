//! One ledger of a data directory, the node's own or a mirrored one: rows above its flushed index, files below it.
//! Knows no size of its own: callers say how far they look, and no further than a digest covers.

use super::layout::TileRoot;
use super::reader::Reader;
use super::transaction::{read_edge, read_tail, split};
use belfry_protocol::engine::store::{Place, Run, StoreError};
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::tlog::proof::TileSource;
use belfry_protocol::tlog::tile::{Bundle, TILE_WIDTH, Tile};
use std::io;

type Result<T> = std::result::Result<T, StoreError>;

/// A read-only view of one ledger.
pub struct LedgerView<'a> {
    reader: &'a Reader,
    place: Place,
    root: TileRoot,
}

impl<'a> LedgerView<'a> {
    pub(super) fn new(reader: &'a Reader, place: Place, root: TileRoot) -> Self {
        Self {
            reader,
            place,
            root,
        }
    }

    /// Where its files are.
    #[must_use]
    pub fn root(&self) -> &TileRoot {
        &self.root
    }

    /// The unflushed runs within `[from, to)`, in order.
    ///
    /// # Errors
    /// When the store fails.
    pub fn tail(&self, from: u64, to: u64) -> Result<Vec<Run>> {
        read_tail(self.reader.connection(), self.place, from, to)
    }

    /// An unflushed tile of level 1 or more, as far as it is filled.
    ///
    /// # Errors
    /// When the store fails.
    pub fn edge(&self, level: u8, tile: u64) -> Result<Option<Vec<Hash>>> {
        read_edge(self.reader.connection(), self.place, level, tile)
    }

    /// Entries of a bundle in bundle form.
    ///
    /// # Errors
    /// When it is not there or damaged.
    pub fn bundle(&self, wanted: Bundle) -> Result<Vec<u8>> {
        let first = wanted.index * TILE_WIDTH;
        let runs = self.tail(first, first + TILE_WIDTH)?;
        let found: usize = runs.iter().map(|run| run.leaves.len()).sum();
        let width = usize::from(wanted.width);
        // Rows first: they are dropped only after their file was verified, so one of the two is always there.
        let mut bytes = if found >= width && runs.first().is_some_and(|run| run.start == first) {
            runs.iter()
                .map(|run| run.bundle.as_slice())
                .collect::<Vec<_>>()
                .concat()
        } else {
            let file = self.file(&self.root.bundle(wanted), &wanted.path())?;
            bundle::exactly(&file, 256).map_err(|error| damaged(&wanted.path(), &error))?;
            file
        };
        let mut end = 0;
        for entry in bundle::entries(&bytes).take(width) {
            end += 2 + entry
                .map_err(|error| damaged(&wanted.path(), &error))?
                .len();
        }
        bytes.truncate(end);
        bundle::exactly(&bytes, width).map_err(|error| damaged(&wanted.path(), &error))?;
        Ok(bytes)
    }

    /// The bytes of entry `index` of a ledger of `size` entries.
    ///
    /// # Errors
    /// When it is not there or damaged.
    pub fn entry(&self, index: u64, size: u64) -> Result<Vec<u8>> {
        let position = usize::try_from(index % TILE_WIDTH).unwrap_or(0);
        let wanted = Bundle::of_tree(index / TILE_WIDTH, size)
            .filter(|bundle| position < usize::from(bundle.width))
            .ok_or_else(|| StoreError::Damaged(format!("there is no entry {index}")))?;
        let bytes = self.bundle(wanted)?;
        let entry = bundle::entries(&bytes).nth(position);
        entry
            .and_then(std::result::Result::ok)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| StoreError::Damaged(format!("entry {index} is missing in its bundle")))
    }

    fn file(&self, path: &std::path::Path, name: &str) -> Result<Vec<u8>> {
        let read = self.reader.disk().read(path);
        read.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::Damaged(format!("{name} is missing")),
            _ => StoreError::Io(format!("{name}: {error}")),
        })
    }
}

impl TileSource for LedgerView<'_> {
    type Error = StoreError;

    fn tile(&self, tile: Tile) -> Result<Vec<Hash>> {
        let width = usize::from(tile.width);
        let rows: Vec<Hash> = if tile.level == 0 {
            let first = tile.index * TILE_WIDTH;
            let runs = self.tail(first, first + TILE_WIDTH)?;
            runs.iter()
                .map(|run| run.leaves.as_slice())
                .collect::<Vec<_>>()
                .concat()
        } else {
            self.edge(tile.level, tile.index)?.unwrap_or_default()
        };
        let hashes = if rows.len() >= width {
            rows
        } else {
            let file = split(&self.file(&self.root.tile(tile), &tile.path())?)?;
            if file.len() as u64 != TILE_WIDTH {
                return Err(StoreError::Damaged(format!(
                    "{} has {} hashes instead of 256",
                    tile.path(),
                    file.len()
                )));
            }
            file
        };
        match hashes.get(..width) {
            Some(hashes) => Ok(hashes.to_vec()),
            None => Err(StoreError::Damaged(format!(
                "{} has only {} hashes",
                tile.path(),
                hashes.len()
            ))),
        }
    }
}

fn damaged(what: &str, detail: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged(format!("{what}: {detail}"))
}
