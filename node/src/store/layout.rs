//! Where things are in a data directory. Names only: opens nothing.

use belfry_protocol::tlog::hash::{Hash, sha256_parts};
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

    /// The co-signed manifest of the federation this node belongs to.
    #[must_use]
    pub fn genesis(&self) -> PathBuf {
        self.dir.join("genesis.json")
    }

    /// A founding that this node takes part in.
    #[must_use]
    pub fn founding(&self) -> PathBuf {
        self.dir.join("founding.json")
    }

    /// Whom a member invited, and who came.
    #[must_use]
    pub fn guests(&self) -> PathBuf {
        self.dir.join("guests.json")
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

    /// The write-ahead log of [`Layout::ledger_db`], as SQLite names it.
    #[must_use]
    pub fn ledger_log(&self) -> PathBuf {
        self.dir.join("ledger.db-wal")
    }

    /// The write-ahead log of [`Layout::payloads_db`], as SQLite names it.
    #[must_use]
    pub fn payloads_log(&self) -> PathBuf {
        self.dir.join("payloads.db-wal")
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

    /// The files of the node's own ledger.
    #[must_use]
    pub fn own_root(&self) -> TileRoot {
        TileRoot { dir: self.tiles() }
    }

    /// A full hash tile of the node's own ledger.
    #[must_use]
    pub fn tile(&self, tile: Tile) -> PathBuf {
        self.own_root().tile(tile)
    }

    /// A full entry bundle of the node's own ledger.
    #[must_use]
    pub fn bundle(&self, bundle: Bundle) -> PathBuf {
        self.own_root().bundle(bundle)
    }

    /// Mirrored ledgers, a directory for each.
    #[must_use]
    pub fn mirrors(&self) -> PathBuf {
        self.dir.join("mirror")
    }

    /// Full tiles and bundles of the mirrored ledger of `origin`. Its name is hashed, because an origin holds any letters.
    #[must_use]
    pub fn mirror_dir(&self, origin: &str) -> PathBuf {
        let name = sha256_parts(&[origin.as_bytes()]).to_hex();
        self.mirrors().join(name)
    }

    /// The files of the mirrored ledger of `origin`.
    #[must_use]
    pub fn mirror_root(&self, origin: &str) -> TileRoot {
        TileRoot {
            dir: self.mirror_dir(origin),
        }
    }

    /// Files of windows (R13).
    #[must_use]
    pub fn windows(&self) -> PathBuf {
        self.dir.join("windows")
    }

    /// The file of the window with this hash.
    #[must_use]
    pub fn window(&self, hash: &Hash) -> PathBuf {
        self.windows().join(hash.to_hex())
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

/// Where one ledger's full tiles and bundles are; the same layout for the own ledger and every mirrored one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TileRoot {
    dir: PathBuf,
}

impl TileRoot {
    /// The directory itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Tiles on their way, under temporary names.
    #[must_use]
    pub fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    /// A full hash tile.
    #[must_use]
    pub fn tile(&self, tile: Tile) -> PathBuf {
        self.dir.join(Tile { width: 256, ..tile }.path())
    }

    /// A full entry bundle.
    #[must_use]
    pub fn bundle(&self, bundle: Bundle) -> PathBuf {
        let full = Bundle {
            width: 256,
            ..bundle
        };
        self.dir.join(full.path())
    }
}
