//! Opening databases: settings, migrations, and clear refusals of what is damaged or newer.

use crate::disk::Disk;
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};

mod embedded {
    pub(super) mod ledger {
        refinery::embed_migrations!("migrations/ledger");
    }
    pub(super) mod payloads {
        refinery::embed_migrations!("migrations/payloads");
    }
    pub(super) mod state {
        refinery::embed_migrations!("migrations/state");
    }
}

/// Which database, which decides its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    Ledger,
    Payloads,
    State,
}

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Written by a newer version of this program.
    #[error(
        "{path} has schema version {found} and this program knows up to {known}; use the newer belfry that wrote it"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// Not a database, or a damaged one.
    #[error(
        "{path} is damaged: {detail}; restore it from a backup or from mirrors, nothing was changed"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        detail: String,
    },
    /// It cannot be opened or written.
    #[error(
        "cannot open {path}: {detail}; check that the directory exists and that you may write there"
    )]
    Access {
        /// The file.
        path: PathBuf,
        /// What the system says.
        detail: String,
    },
}

impl Database {
    fn runner(self) -> refinery::Runner {
        match self {
            Self::Ledger => embedded::ledger::migrations::runner(),
            Self::Payloads => embedded::payloads::migrations::runner(),
            Self::State => embedded::state::migrations::runner(),
        }
    }

    /// Newest schema version of this program.
    fn known(self) -> i64 {
        self.runner()
            .get_migrations()
            .iter()
            .map(|migration| i64::from(migration.version()))
            .max()
            .unwrap_or(0)
    }
}

/// Opens a database for its one writer and migrates it.
pub(crate) fn writer(
    path: &Path,
    which: Database,
    disk: &dyn Disk,
) -> Result<Connection, OpenError> {
    let fail = |error: &rusqlite::Error| open_error(path, error);
    let mut connection =
        connect(path, OpenFlags::default(), disk.vfs()).map_err(|error| fail(&error))?;
    let synchronous = synchronous(disk);
    // A reader of the payloads may be in the way of an erasure; the writer must not wait long for it, it tries again.
    let (busy_ms, secure) = if which == Database::Payloads {
        (200, "ON")
    } else {
        (5_000, "OFF")
    };
    connection
        .execute_batch(&format!(
            "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous};
             PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-16384; PRAGMA temp_store=MEMORY;
             PRAGMA busy_timeout={busy_ms}; PRAGMA secure_delete={secure};"
        ))
        .map_err(|error| fail(&error))?;
    refuse_newer(&connection, path, which)?;
    which
        .runner()
        .run(&mut connection)
        .map_err(|error| OpenError::Damaged {
            path: path.to_owned(),
            detail: error.to_string(),
        })?;
    if disk.vfs().is_none() {
        restrict(path);
    }
    Ok(connection)
}

/// Opens a database for reading beside its writer.
pub(crate) fn reader(
    path: &Path,
    which: Database,
    disk: &dyn Disk,
) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect(path, flags, disk.vfs()).map_err(|error| open_error(path, &error))?;
    connection
        .execute_batch("PRAGMA cache_size=-4096; PRAGMA busy_timeout=5000; PRAGMA query_only=ON;")
        .map_err(|error| open_error(path, &error))?;
    refuse_newer(&connection, path, which)?;
    Ok(connection)
}

/// FULL in every product: a commit that returned is on the disk.
fn synchronous(disk: &dyn Disk) -> &'static str {
    #[cfg(feature = "sabotage")]
    if crate::sabotage::Sabotage::SynchronousNormal.is_on() {
        return "NORMAL";
    }
    if disk.database_syncs_itself() {
        "FULL"
    } else {
        "OFF"
    }
}

fn connect(path: &Path, flags: OpenFlags, vfs: Option<&str>) -> rusqlite::Result<Connection> {
    match vfs {
        None => Connection::open_with_flags(path, flags),
        Some(name) => Connection::open_with_flags_and_vfs(path, flags, name),
    }
}

fn refuse_newer(connection: &Connection, path: &Path, which: Database) -> Result<(), OpenError> {
    let table = "SELECT count(*) FROM sqlite_master WHERE name = 'refinery_schema_history'";
    let newest = "SELECT coalesce(max(version), 0) FROM refinery_schema_history";
    let number = |sql: &str| {
        connection
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .map_err(|error| open_error(path, &error))
    };
    if number(table)? == 0 {
        return Ok(());
    }
    let (found, known) = (number(newest)?, which.known());
    if found > known {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found,
            known,
        });
    }
    Ok(())
}

fn open_error(path: &Path, error: &rusqlite::Error) -> OpenError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    let (path, detail) = (path.to_owned(), error.to_string());
    match error.sqlite_error_code() {
        Some(NotADatabase | DatabaseCorrupt) => OpenError::Damaged { path, detail },
        _ => OpenError::Access { path, detail },
    }
}

/// Databases hold private data: nobody else reads them. Best effort, because some file systems know no modes.
fn restrict(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let private = std::fs::Permissions::from_mode(0o600);
    if let Err(error) = std::fs::set_permissions(path, private) {
        tracing::debug!(path = %path.display(), %error, "cannot restrict the mode of a database");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use crate::store::transaction::{read_edge, read_tail};
    use belfry_protocol::engine::store::Place;
    use belfry_protocol::tlog::hash::leaf_hash;

    #[test]
    fn rows_of_version_1_become_the_own_ledgers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        let mut old = Connection::open(&path).unwrap();
        let first = refinery::Target::Version(1);
        let runner = Database::Ledger.runner().set_target(first);
        runner.run(&mut old).unwrap();
        let leaves = [leaf_hash(b"a"), leaf_hash(b"b")];
        let blob: Vec<u8> = leaves.iter().flat_map(|hash| hash.0).collect();
        for start in [512_i64, 514] {
            old.execute(
                "INSERT INTO tail (start, leaves, bundle) VALUES (?1, ?2, ?3)",
                rusqlite::params![start, blob, b"\0\x01a\0\x01b".as_slice()],
            )
            .unwrap();
        }
        old.execute(
            "INSERT INTO edge (level, tile, hashes) VALUES (1, 0, ?1)",
            [&blob],
        )
        .unwrap();
        drop(old);

        let new = writer(&path, Database::Ledger, &RealDisk).unwrap();
        let runs = read_tail(&new, Place::OWN, 0, 1_000).unwrap();
        let starts: Vec<u64> = runs.iter().map(|run| run.start).collect();
        assert_eq!(starts, [512, 514]);
        for run in runs {
            assert_eq!(run.leaves, leaves);
            assert_eq!(run.bundle, b"\0\x01a\0\x01b");
        }
        let edge = read_edge(&new, Place::OWN, 1, 0).unwrap();
        assert_eq!(edge.as_deref(), Some(leaves.as_slice()));
        assert_eq!(read_tail(&new, Place(1), 0, 1_000).unwrap(), []);
        assert_eq!(read_edge(&new, Place(1), 1, 0).unwrap(), None);
        let left = "SELECT count(*) FROM sqlite_master WHERE name LIKE '%\\_v1' ESCAPE '\\'";
        let left: i64 = new.query_row(left, [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0, "the old tables are gone");
    }
}
