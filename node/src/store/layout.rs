//! Where things are in a data directory. Names only: opens nothing.

use belfry_protocol::tlog::tile::{Bundle, Tile};
use std::path::{Path, PathBuf};

/// A data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// The layout of `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The directory itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    /// Key files.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.dir.join("keys")
    }

    /// Promises.
    #[must_use]
    pub fn ledger_db(&self) -> PathBuf {
        self.dir.join("ledger.db")
    }

    /// Private payloads.
    #[must_use]
    pub fn payloads_db(&self) -> PathBuf {
        self.dir.join("payloads.db")
    }

    /// Operational data.
    #[must_use]
    pub fn state_db(&self) -> PathBuf {
        self.dir.join("state.db")
    }

    /// Derived search index.
    #[must_use]
    pub fn index_db(&self) -> PathBuf {
        self.dir.join("index.db")
    }

    /// Full tiles and bundles, served as they are.
    #[must_use]
    pub fn tiles(&self) -> PathBuf {
        self.dir.join("tiles")
    }

    /// Tiles on their way, under temporary names.
    #[must_use]
    pub fn tiles_tmp(&self) -> PathBuf {
        self.dir.join("tiles").join("tmp")
    }

    /// A full hash tile.
    #[must_use]
    pub fn tile(&self, tile: Tile) -> PathBuf {
        self.tiles().join(Tile { width: 256, ..tile }.path())
    }

    /// A full entry bundle.
    #[must_use]
    pub fn bundle(&self, bundle: Bundle) -> PathBuf {
        self.tiles().join(
            Bundle {
                width: 256,
                ..bundle
            }
            .path(),
        )
    }

    /// Things of the running process.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// The lock that a writing process holds for life.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.run().join("lock")
    }

    /// The control socket of a running node.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.run().join("control.sock")
    }

    /// Marks a directory that came out of a backup (R3).
    #[must_use]
    pub fn restored_marker(&self) -> PathBuf {
        self.dir.join("RESTORED")
    }
}
