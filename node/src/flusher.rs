//! The flusher (R10): writes full tiles and bundles of every ledger here to temporary names, syncs them in one batch,
//! renames them, syncs the directories, reads them back and hashes them again, and only then lets the writer drop the rows.

use crate::disk::Disk;
use crate::store::{Layout, LedgerView, Placed, Reader};
use crate::writer::{Flush, Writer};
use belfry_protocol::engine::store::StoreError;
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::compact::CompactRange;
use belfry_protocol::tlog::hash::{Hash, leaf_hash};
use belfry_protocol::tlog::tile::{Bundle, MAX_TILE_LEVEL, TILE_WIDTH, Tile, hashes_at};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bundles written per round, shared by the ledgers that have any: one batch of syncs covers them all.
const BUNDLES_PER_ROUND: u64 = 128;
/// Pause after a failed round, e.g. on a full disk.
const RETRY: Duration = Duration::from_secs(1);
/// Pause between two looks at the own ledger.
const LOOK: Duration = Duration::from_millis(20);
/// Pause between two looks at the mirrored ledgers, whose rows are read for it.
const LOOK_AT_MIRRORS: Duration = Duration::from_millis(200);

/// Pause between two looks whether the writer took what was flushed.
const TAKEN: Duration = Duration::from_micros(500);

/// Writes what is full to files.
pub struct Flusher {
    reader: Reader,
    layout: Layout,
    disk: Arc<dyn Disk>,
}

/// What a round writes of one ledger.
struct Part<'a> {
    view: LedgerView<'a>,
    flush: Flush,
    files: Vec<Planned>,
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
    /// A hash tile.
    Tile(Tile, Vec<Hash>),
}

impl Flusher {
    /// A flusher over its own read-only view.
    #[must_use]
    pub fn new(reader: Reader, disk: Arc<dyn Disk>) -> Self {
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
    pub fn start(self, writer: Writer) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new()
            .name("tile-flusher".to_owned())
            .spawn(move || self.run(&writer))
    }

    /// As [`Flusher::start`], as a task of the runtime around; see [`Drive::Tasks`](crate::drive::Drive::Tasks).
    #[must_use]
    pub fn start_as_task(self, writer: Writer) -> tokio::task::JoinHandle<()> {
        tokio::spawn(async move {
            let mut looked = None;
            while let Some(pause) = self.turn(&writer, &mut looked) {
                tokio::time::sleep(pause).await;
            }
        })
    }

    fn run(&self, writer: &Writer) {
        let mut looked = None;
        while let Some(pause) = self.turn(writer, &mut looked) {
            std::thread::sleep(pause);
        }
    }

    /// Looks, writes one round if any is due, and says how long to pause then; `None` when the writer ended.
    /// `looked`: as of which commit, and when, the rows of all ledgers were looked at.
    fn turn(&self, writer: &Writer, looked: &mut Option<(u64, Instant)>) -> Option<Duration> {
        let published = writer.published();
        // The sender lives in the writer thread: gone means that the writer ended.
        if published.has_changed().is_err() {
            return None;
        }
        if writer.is_flushing() {
            return Some(TAKEN);
        }
        let (own_waits, commits) = {
            let now = published.borrow();
            (now.tiles_wait(), now.commits)
        };
        let due =
            looked.is_none_or(|(as_of, at)| as_of != commits && at.elapsed() >= LOOK_AT_MIRRORS);
        if !own_waits && !due {
            return Some(LOOK);
        }
        *looked = Some((commits, Instant::now()));
        Some(match self.round() {
            Ok(flushed) if flushed.is_empty() => LOOK,
            Ok(flushed) => {
                writer.flushed(flushed);
                // There may be more.
                *looked = None;
                TAKEN
            }
            Err(error) => {
                tracing::error!(%error, "tiles could not be written; trying again");
                *looked = None;
                RETRY
            }
        })
    }

    /// Writes one round of every ledger that has full bundles, and returns how far each is flushed then.
    ///
    /// # Errors
    /// When the disk fails or what was written does not read back.
    pub fn round(&self) -> Result<Vec<Flush>, StoreError> {
        let parts = self.plan_all()?;
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        let io = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::StorageFull => StoreError::Full(error.to_string()),
            _ => StoreError::Io(error.to_string()),
        };
        let files = || parts.iter().flat_map(|part| &part.files);
        for file in files() {
            let bytes: std::borrow::Cow<'_, [u8]> = match &file.content {
                Content::Bundle(bytes) => bytes.into(),
                Content::Tile(_, hashes) => hashes
                    .iter()
                    .map(|hash| hash.0)
                    .collect::<Vec<_>>()
                    .into_flattened()
                    .into(),
            };
            self.disk.write(&file.temporary, &bytes).map_err(io)?;
        }
        let temporary: Vec<PathBuf> = files().map(|file| file.temporary.clone()).collect();
        self.disk.sync_files(&temporary).map_err(io)?;
        // The first flush makes `tiles/` or `mirror/` itself, whose name is in the data directory.
        let mut dirs = BTreeSet::from([self.layout.dir().to_path_buf()]);
        for file in files() {
            self.disk.rename(&file.temporary, &file.name).map_err(io)?;
            // Every directory up to the root may be new.
            let above = file.name.ancestors().skip(1);
            let new = above.take_while(|dir| *dir != self.layout.dir());
            dirs.extend(new.map(Path::to_path_buf));
        }
        self.disk.sync_dirs(&dirs).map_err(io)?;
        let (mut flushed, mut failed) = (Vec::new(), None);
        for part in parts {
            match self.read_back(&part) {
                Ok(()) => flushed.push(part.flush),
                Err(error) => failed = Some(named(&part.flush.origin, error)),
            }
        }
        settle(flushed, failed)
    }

    /// What to write next of all ledgers. One that is damaged does not keep the others from being written.
    fn plan_all(&self) -> Result<Vec<Part<'_>>, StoreError> {
        let mut ledgers = self.reader.ledgers()?;
        ledgers.retain(|placed| placed.waiting() > 0);
        let busy = ledgers.len() as u64;
        let share = (BUNDLES_PER_ROUND / busy.max(1)).max(1);
        let (mut parts, mut failed) = (Vec::new(), None);
        for placed in ledgers {
            let origin = placed.origin.clone();
            match self.plan(placed, share) {
                Ok(part) => parts.push(part),
                Err(error) => failed = Some(named(&origin, error)),
            }
        }
        settle(parts, failed)
    }

    fn plan(&self, placed: Placed, share: u64) -> Result<Part<'_>, StoreError> {
        let view = self.reader.ledger(&placed);
        let first = placed.flushed / TILE_WIDTH;
        let end = (placed.flushable / TILE_WIDTH).min(first + share);
        let mut files = Vec::new();
        let mut add = |name: PathBuf, content: Content| {
            // Below the ledger's own root, so that the temporary names of two ledgers are never the same.
            let temporary = view.root().tmp().join(files.len().to_string());
            files.push(Planned {
                name,
                temporary,
                content,
            });
        };
        for index in first..end {
            let runs = view.tail(index * TILE_WIDTH, (index + 1) * TILE_WIDTH)?;
            let leaves: Vec<Hash> = runs
                .iter()
                .map(|run| run.leaves.as_slice())
                .collect::<Vec<_>>()
                .concat();
            if leaves.len() as u64 != TILE_WIDTH {
                return Err(StoreError::Damaged(format!(
                    "bundle {index} has {} rows",
                    leaves.len()
                )));
            }
            let bytes = runs
                .iter()
                .map(|run| run.bundle.as_slice())
                .collect::<Vec<_>>()
                .concat();
            let name = view.root().bundle(Bundle { index, width: 256 });
            add(name, Content::Bundle(bytes));
            let tile = full(0, index);
            add(view.root().tile(tile), Content::Tile(tile, leaves));
        }
        let through = end * TILE_WIDTH;
        for level in 1..=MAX_TILE_LEVEL {
            // As many full tiles as there are hashes on the level above.
            for index in hashes_at(level + 1, placed.flushed)..hashes_at(level + 1, through) {
                let hashes = view.edge(level, index)?.unwrap_or_default();
                if hashes.len() as u64 != TILE_WIDTH {
                    return Err(StoreError::Damaged(format!(
                        "unflushed tile {level}/{index} is not full"
                    )));
                }
                let tile = full(level, index);
                add(view.root().tile(tile), Content::Tile(tile, hashes));
            }
        }
        let flush = Flush {
            place: placed.place,
            origin: placed.origin,
            through,
        };
        Ok(Part { view, flush, files })
    }

    /// Reads everything back and hashes it: entries to leaf tile, leaf tile to the node the engine computed.
    fn read_back(&self, part: &Part<'_>) -> Result<(), StoreError> {
        let damaged =
            |path: &PathBuf, what: &str| StoreError::Damaged(format!("{}: {what}", path.display()));
        let mut leaves: Option<Vec<Hash>> = None;
        for file in &part.files {
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
                Content::Tile(_, written) => {
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
        compare_roots(part)
    }
}

/// The root of every written tile against the hash that the level above holds for it.
fn compare_roots(part: &Part<'_>) -> Result<(), StoreError> {
    for file in &part.files {
        let Content::Tile(Tile { level, index, .. }, hashes) = &file.content else {
            continue;
        };
        let mut range = CompactRange::default();
        for hash in hashes {
            range.push(*hash, |_| {});
        }
        let above = part.view.edge(level + 1, index / TILE_WIDTH)?;
        let position = usize::try_from(index % TILE_WIDTH).unwrap_or(0);
        let expected = above.as_ref().and_then(|above| above.get(position));
        if *level < MAX_TILE_LEVEL && expected != Some(&range.root()) {
            return Err(StoreError::Damaged(format!(
                "tile {level}/{index} does not hash to the node above it"
            )));
        }
    }
    Ok(())
}

fn full(level: u8, index: u64) -> Tile {
    Tile {
        level,
        index,
        width: 256,
    }
}

/// Says which mirrored ledger an error is about.
fn named(origin: &str, error: StoreError) -> StoreError {
    match error {
        StoreError::Damaged(what) if !origin.is_empty() => {
            StoreError::Damaged(format!("mirror of {origin}: {what}"))
        }
        other => other,
    }
}

/// What succeeded goes on and the failure is told; if nothing succeeded, the failure is the result.
fn settle<T>(done: Vec<T>, failed: Option<StoreError>) -> Result<Vec<T>, StoreError> {
    match failed {
        Some(error) if done.is_empty() => Err(error),
        Some(error) => {
            tracing::error!(%error, "tiles of one ledger could not be written; trying again");
            Ok(done)
        }
        None => Ok(done),
    }
}

/// Removes what an interrupted round left under temporary names; only at start.
pub fn clear_temporary(layout: &Layout, disk: &dyn Disk) {
    let _ = disk.remove_dir(&layout.own_root().tmp());
    for mirror in disk.list(&layout.mirrors()).into_iter().flatten() {
        let _ = disk.remove_dir(&mirror.join("tmp"));
    }
}

#[cfg(test)]
#[cfg(feature = "net")]
mod tests;
