//! The files of an export: what an earlier run left is hashed again before it counts, new files appear whole, and the
//! checkpoint is written last, when all else is on disk. May not judge what comes over the network.

use crate::exit::{Code, Failure};
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::export::Held;
use belfry_protocol::note::SignedNote;
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::compact::CompactRange;
use belfry_protocol::tlog::hash::{Hash, leaf_hash};
use belfry_protocol::tlog::tile::{Bundle, MAX_TILE_LEVEL, TILE_WIDTH, Tile, hashes_at, width_of};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// Longest file that is read back: a full bundle of longest entries is below 17 MiB.
const LONGEST_FILE: u64 = 17 << 20;

/// A directory of tiles that grows.
pub(super) struct Directory {
    dir: PathBuf,
}

/// What an earlier run left.
pub(super) struct Left {
    /// Its whole bundles.
    pub(super) held: Held,
    /// The finished export, if there is one, and whether the files bear it out.
    pub(super) finished: Option<Finished>,
}

/// A finished export.
pub(super) struct Finished {
    /// Its signed digest.
    pub(super) checkpoint: Checkpoint,
    /// Whether its entries are here and have its root.
    pub(super) proved: bool,
    /// Leaf hashes of its last, partial bundle.
    pub(super) tail: Vec<Hash>,
}

impl Directory {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    fn io(path: &Path, error: &std::io::Error) -> Failure {
        Failure::new(Code::Io, format!("{}: {error}", path.display()))
            .hint("what came is kept; run the command again to go on from there")
    }

    /// A file of the layout, if it is there and not too long.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let path = self.dir.join(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(Self::io(&path, &error)),
        };
        let mut bytes = Vec::new();
        file.take(LONGEST_FILE)
            .read_to_end(&mut bytes)
            .map_err(|error| Self::io(&path, &error))?;
        Ok(Some(bytes))
    }

    /// Writes beside the name and renames, so that the name never shows half a file.
    fn write(&self, name: &str, bytes: &[u8], sync: bool) -> Result<(), Failure> {
        let path = self.dir.join(name);
        let write = || -> std::io::Result<()> {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            let temporary = path.with_extension(format!("tmp-{}", std::process::id()));
            let mut file = File::create(&temporary)?;
            file.write_all(bytes)?;
            if sync {
                file.sync_all()?;
            }
            drop(file);
            fs::rename(&temporary, &path)
        };
        write().map_err(|error| Self::io(&path, &error))
    }

    pub(super) fn tile(&self, tile: Tile, bytes: &[u8]) -> Result<(), Failure> {
        self.write(&tile.path(), bytes, false)
    }

    /// The bundle, and then its tile of level 0, which says that the bundle is whole.
    pub(super) fn bundle(
        &self,
        wanted: Bundle,
        bytes: &[u8],
        leaves: &[Hash],
    ) -> Result<(), Failure> {
        self.write(&wanted.path(), bytes, false)?;
        let tile = Tile {
            level: 0,
            index: wanted.index,
            width: wanted.width,
        };
        self.write(&tile.path(), &joined(leaves), false)
    }

    /// The checkpoint of a finished export, not verified.
    pub(super) fn checkpoint(&self) -> Result<Option<Vec<u8>>, Failure> {
        self.read("checkpoint")
    }

    /// Hashes what is there again: as far as bundles and their tiles are whole and fit each other it counts, and what
    /// follows is fetched again. Missing tiles above it are made again.
    pub(super) fn look(
        &self,
        finished: Option<Checkpoint>,
        mut progress: impl FnMut(u64),
    ) -> Result<Left, Failure> {
        let mut held = Held::default();
        let mut range = CompactRange::default();
        let old_size = finished.as_ref().map_or(0, |old| old.size);
        loop {
            let index = held.size() / TILE_WIDTH;
            let Some(leaves) = self.leaves(Bundle { index, width: 256 })? else {
                break;
            };
            if held.size() + TILE_WIDTH <= old_size {
                for leaf in &leaves {
                    range.push(*leaf, |_| {});
                }
            }
            let mut above = Vec::new();
            held.push(&leaves, |tile, hashes| above.push((tile, joined(hashes))));
            for (tile, bytes) in above {
                if self.read(&tile.path())?.as_ref() != Some(&bytes) {
                    self.tile(tile, &bytes)?;
                }
            }
            progress(held.size());
        }
        let mut tail = Vec::new();
        if let Some(last) = Bundle::of_tree(old_size / TILE_WIDTH, old_size)
            && held.size() >= old_size - old_size % TILE_WIDTH
            && let Some(leaves) = self.leaves(last)?
        {
            for leaf in &leaves {
                range.push(*leaf, |_| {});
            }
            tail = leaves;
        }
        let finished = finished.map(|checkpoint| Finished {
            proved: range.end() == checkpoint.size && range.root() == checkpoint.root,
            checkpoint,
            tail,
        });
        Ok(Left { held, finished })
    }

    /// The leaf hashes of a bundle, if it is there and fits its tile.
    fn leaves(&self, wanted: Bundle) -> Result<Option<Vec<Hash>>, Failure> {
        let tile = Tile {
            level: 0,
            index: wanted.index,
            width: wanted.width,
        };
        let (Some(bytes), Some(stored)) = (self.read(&wanted.path())?, self.read(&tile.path())?)
        else {
            return Ok(None);
        };
        let Ok(entries) = bundle::exactly(&bytes, usize::from(wanted.width)) else {
            return Ok(None);
        };
        let leaves: Vec<Hash> = entries.into_iter().map(leaf_hash).collect();
        Ok((joined(&leaves) == stored).then_some(leaves))
    }

    /// The key and the digest: from here on the directory is a finished export.
    pub(super) fn finish(&self, vkey: &str, note: &SignedNote) -> Result<(), Failure> {
        self.write("log.vkey", format!("{vkey}\n").as_bytes(), true)?;
        self.sync()?;
        self.write("checkpoint", note.to_string().as_bytes(), true)?;
        let opened = File::open(&self.dir).and_then(|dir| dir.sync_all());
        opened.map_err(|error| Self::io(&self.dir, &error))
    }

    /// Everything that was written, at once: a sync for each of many thousand files would take longer than the transfer.
    fn sync(&self) -> Result<(), Failure> {
        #[cfg(target_os = "linux")]
        {
            let synced = File::open(&self.dir).and_then(|dir| Ok(rustix::fs::syncfs(&dir)?));
            synced.map_err(|error| Self::io(&self.dir, &error))
        }
        #[cfg(not(target_os = "linux"))]
        {
            rustix::fs::sync();
            Ok(())
        }
    }

    /// Removes the partial files of an older export that the newer tree does not have.
    pub(super) fn drop_partial(&self, old: u64, new: u64) {
        let stale = |level: u8| {
            let index = hashes_at(level, old) / TILE_WIDTH;
            let tile = Tile::of_tree(level, index, old)?;
            (width_of(level, index, new) != tile.width).then_some(tile)
        };
        let mut names: Vec<String> = (0..=MAX_TILE_LEVEL)
            .filter_map(stale)
            .map(|tile| tile.path())
            .collect();
        names.extend(stale(0).map(|tile| {
            let (index, width) = (tile.index, tile.width);
            Bundle { index, width }.path()
        }));
        for name in names {
            let path = self.dir.join(name);
            // Nobody needs them, and nobody minds them.
            let _ = fs::remove_file(&path);
            let _ = path.parent().map(fs::remove_dir);
        }
    }

    /// Keeps a signed note that cannot be true beside the one that is here.
    pub(super) fn keep_contradiction(&self, note: &SignedNote) -> Result<PathBuf, Failure> {
        self.write(
            "checkpoint.contradiction",
            note.to_string().as_bytes(),
            true,
        )?;
        Ok(self.dir.join("checkpoint.contradiction"))
    }
}

fn joined(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}
