//! The flusher (R10): writes full tiles and bundles to temporary names, syncs them in one batch, renames them, syncs the
//! directories, reads them back and hashes them again, and only then lets the writer drop the rows.

use crate::disk::Disk;
use crate::store::{Layout, Reader};
use crate::writer::Writer;
use belfry_protocol::engine::ledger::Head;
use belfry_protocol::engine::store::StoreError;
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::compact::CompactRange;
use belfry_protocol::tlog::hash::{Hash, leaf_hash};
use belfry_protocol::tlog::tile::{Bundle, MAX_TILE_LEVEL, TILE_WIDTH, Tile, hashes_at};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Bundles written per round: one batch of syncs covers them all.
const BUNDLES_PER_ROUND: u64 = 128;
/// Pause after a failed round, e.g. on a full disk.
const RETRY: Duration = Duration::from_secs(1);
/// Longest pause between two looks at the ledger.
const LOOK: Duration = Duration::from_millis(200);

/// Writes what is full in `reader`'s ledger to files, at most one round.
pub(crate) struct Flusher {
    reader: Reader,
    layout: Layout,
    disk: Arc<dyn Disk>,
}

/// One file of a round.
struct Planned {
    name: PathBuf,
    temporary: PathBuf,
    content: Content,
}

enum Content {
    /// A bundle; its leaf hashes are in the next tile of the round.
    Bundle(Vec<u8>),
    /// A hash tile, and the node it must hash to.
    Tile(Vec<Hash>),
}

impl Flusher {
    /// A flusher over its own read-only view.
    #[must_use]
    pub(crate) fn new(reader: Reader, disk: Arc<dyn Disk>) -> Self {
        let layout = reader.layout().clone();
        Self {
            reader,
            layout,
            disk,
        }
    }

    /// Starts the thread; it ends when the writer does.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn start(self, writer: Writer) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new()
            .name("tile-flusher".to_owned())
            .spawn(move || self.run(&writer))
    }

    fn run(&self, writer: &Writer) {
        let published = writer.published();
        loop {
            // The sender lives in the writer thread: gone means that the writer ended.
            if published.has_changed().is_err() {
                return;
            }
            let (size, flushed) = {
                let now = published.borrow();
                (now.size, now.flushed)
            };
            if size / TILE_WIDTH == flushed / TILE_WIDTH {
                std::thread::sleep(LOOK.min(Duration::from_millis(20)));
                continue;
            }
            match self.round() {
                Ok(Some(through)) => {
                    writer.flushed(through);
                    self.await_writer(writer, through);
                }
                Ok(None) => std::thread::sleep(LOOK),
                Err(error) => {
                    tracing::error!(%error, "tiles could not be written; trying again");
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    fn await_writer(&self, writer: &Writer, through: u64) {
        let published = writer.published();
        while published.has_changed().is_ok() && published.borrow().flushed < through {
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// Writes one round; returns the new flushed index, or `None` if nothing is full.
    ///
    /// # Errors
    /// When the disk fails or what was written does not read back.
    pub(crate) fn round(&self) -> Result<Option<u64>, StoreError> {
        let head = self.reader.head()?;
        let first = head.flushed / TILE_WIDTH;
        let end = (head.size() / TILE_WIDTH).min(first + BUNDLES_PER_ROUND);
        if end == first {
            return Ok(None);
        }
        let planned = self.plan(&head, first, end)?;
        let io = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::StorageFull => StoreError::Full(error.to_string()),
            _ => StoreError::Io(error.to_string()),
        };
        for file in &planned {
            let bytes = match &file.content {
                Content::Bundle(bytes) => bytes.clone(),
                Content::Tile(hashes) => hashes.iter().flat_map(|hash| hash.0).collect(),
            };
            self.disk.write(&file.temporary, &bytes).map_err(io)?;
        }
        let temporary: Vec<PathBuf> = planned.iter().map(|file| file.temporary.clone()).collect();
        self.disk.sync_files(&temporary).map_err(io)?;
        // The first flush makes `tiles/` itself, whose name is in the data directory.
        let mut dirs = BTreeSet::from([self.layout.dir().to_path_buf()]);
        for file in &planned {
            self.disk.rename(&file.temporary, &file.name).map_err(io)?;
            // Every directory up to the root may be new.
            let above = file
                .name
                .ancestors()
                .skip(1)
                .take_while(|dir| dir.starts_with(self.layout.tiles()));
            dirs.extend(above.map(std::path::Path::to_path_buf));
        }
        self.disk.sync_dirs(&dirs).map_err(io)?;
        self.read_back(&planned)?;
        Ok(Some(end * TILE_WIDTH))
    }

    fn plan(&self, head: &Head, first: u64, end: u64) -> Result<Vec<Planned>, StoreError> {
        let mut planned = Vec::new();
        let mut add = |name: PathBuf, content: Content| {
            let temporary = self.layout.tiles_tmp().join(planned.len().to_string());
            planned.push(Planned {
                name,
                temporary,
                content,
            });
        };
        for index in first..end {
            let runs = self
                .reader
                .tail(index * TILE_WIDTH, (index + 1) * TILE_WIDTH)?;
            let leaves: Vec<Hash> = runs.iter().flat_map(|run| run.leaves.clone()).collect();
            if leaves.len() as u64 != TILE_WIDTH {
                return Err(StoreError::Damaged(format!(
                    "bundle {index} has {} rows",
                    leaves.len()
                )));
            }
            let bytes = runs.into_iter().flat_map(|run| run.bundle).collect();
            add(
                self.layout.bundle(Bundle { index, width: 256 }),
                Content::Bundle(bytes),
            );
            add(
                self.layout.tile(Tile {
                    level: 0,
                    index,
                    width: 256,
                }),
                Content::Tile(leaves),
            );
        }
        for level in 1..=MAX_TILE_LEVEL {
            // As many full tiles as there are hashes on the level above.
            for index in hashes_at(level + 1, head.flushed)..hashes_at(level + 1, end * TILE_WIDTH)
            {
                let hashes = self.reader.edge(level, index)?.unwrap_or_default();
                if hashes.len() as u64 != TILE_WIDTH {
                    return Err(StoreError::Damaged(format!(
                        "unflushed tile {level}/{index} is not full"
                    )));
                }
                add(
                    self.layout.tile(Tile {
                        level,
                        index,
                        width: 256,
                    }),
                    Content::Tile(hashes),
                );
            }
        }
        Ok(planned)
    }

    /// Reads everything back and hashes it: entries to leaf tile, leaf tile to the node the engine computed.
    fn read_back(&self, planned: &[Planned]) -> Result<(), StoreError> {
        let damaged =
            |path: &PathBuf, what: &str| StoreError::Damaged(format!("{}: {what}", path.display()));
        let mut leaves: Option<Vec<Hash>> = None;
        for file in planned {
            let bytes = self
                .disk
                .read(&file.name)
                .map_err(|error| StoreError::Io(error.to_string()))?;
            match &file.content {
                Content::Bundle(_) => {
                    let entries = bundle::entries(&bytes).map(|entry| entry.map(leaf_hash));
                    let hashes: Result<Vec<Hash>, _> = entries.collect();
                    leaves = Some(hashes.map_err(|error| damaged(&file.name, &error.to_string()))?);
                }
                Content::Tile(written) => {
                    let same = bytes.len() == written.len() * 32
                        && bytes
                            .as_chunks::<32>()
                            .0
                            .iter()
                            .zip(written)
                            .all(|(read, hash)| *read == hash.0);
                    if !same || leaves.take().is_some_and(|leaves| leaves != *written) {
                        return Err(damaged(
                            &file.name,
                            "what was read back is not what was written",
                        ));
                    }
                }
            }
        }
        self.compare_roots(planned)
    }

    /// The root of every written tile against the hash that the level above holds for it.
    fn compare_roots(&self, planned: &[Planned]) -> Result<(), StoreError> {
        for file in planned {
            let Content::Tile(hashes) = &file.content else {
                continue;
            };
            let Some((level, index)) = self.place(&file.name) else {
                continue;
            };
            let mut range = CompactRange::default();
            for hash in hashes {
                range.push(*hash, |_| {});
            }
            let above = self
                .reader
                .edge(level + 1, index / TILE_WIDTH)?
                .unwrap_or_default();
            let position = usize::try_from(index % TILE_WIDTH).unwrap_or(0);
            if level < MAX_TILE_LEVEL && above.get(position) != Some(&range.root()) {
                return Err(StoreError::Damaged(format!(
                    "tile {level}/{index} does not hash to the node above it"
                )));
            }
        }
        Ok(())
    }

    fn place(&self, name: &std::path::Path) -> Option<(u8, u64)> {
        let path = name.strip_prefix(self.layout.tiles()).ok()?.to_str()?;
        match belfry_protocol::tlog::tile::parse_path(path)? {
            belfry_protocol::tlog::tile::Resource::Tile(tile) => Some((tile.level, tile.index)),
            belfry_protocol::tlog::tile::Resource::Entries(_) => None,
        }
    }
}
