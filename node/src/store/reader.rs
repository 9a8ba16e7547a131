//! Reading a ledger beside its writer, also from another process: rows above the flushed index, files below it.
//! May not write anything, and verifies nothing by itself: whoever hands out a proof verifies it first.

use super::open::{self, Database};
use super::transaction::{
    number, read_edge, read_newest_digest, read_record, read_tail, size_of, split, store_error,
};
use super::{Layout, OpenError};
use crate::disk::Disk;
use belfry_protocol::engine::ledger::Head;
use belfry_protocol::engine::ledger::start::Incarnation;
use belfry_protocol::engine::store::{Place, Record, Run, StoreError};
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::tlog::proof::TileSource;
use belfry_protocol::tlog::tile::{Bundle, TILE_WIDTH, Tile};
use rusqlite::Connection;
use std::io;
use std::sync::Arc;

type Result<T> = std::result::Result<T, StoreError>;

/// A read-only view of a data directory. Not shared between threads: open one per worker.
pub struct Reader {
    layout: Layout,
    disk: Arc<dyn Disk>,
    connection: Connection,
}

impl Reader {
    /// Opens the ledger for reading.
    ///
    /// # Errors
    /// When it cannot be opened or is newer than this program.
    pub fn open(layout: Layout, disk: Arc<dyn Disk>) -> std::result::Result<Self, OpenError> {
        let connection = open::reader(&layout.ledger_db(), Database::Ledger)?;
        Ok(Self {
            layout,
            disk,
            connection,
        })
    }

    /// The data directory.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The ledger's right edge.
    ///
    /// # Errors
    /// When the store fails or the record is damaged.
    pub fn head(&self) -> Result<Head> {
        match read_record(&self.connection, Record::Head)? {
            None => Ok(Head::default()),
            Some(bytes) => Head::decode(&bytes)
                .ok_or_else(|| StoreError::Damaged("the ledger's head record".to_owned())),
        }
    }

    /// Number of the newest start.
    ///
    /// # Errors
    /// When the store fails.
    pub fn incarnation(&self) -> Result<Option<u64>> {
        let record = read_record(&self.connection, Record::Incarnation)?;
        Ok(record.and_then(|bytes| {
            bytes
                .first_chunk::<8>()
                .map(|number| u64::from_be_bytes(*number))
        }))
    }

    /// Size and note of the newest signed digest.
    ///
    /// # Errors
    /// When the store fails.
    pub fn newest_digest(&self) -> Result<Option<(u64, String)>> {
        read_newest_digest(&self.connection)
    }

    /// The smallest kept digest that covers `size` entries.
    ///
    /// # Errors
    /// When the store fails.
    pub fn digest_covering(&self, size: u64) -> Result<Option<(u64, String)>> {
        let sql = "SELECT size, note, sum FROM digest WHERE size >= ?1 ORDER BY size LIMIT 1";
        super::transaction::read_digest(&self.connection, sql, &[number(size)?.into()])
    }

    /// All kept digests, oldest first.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn digests(&self) -> Result<Vec<(u64, String)>> {
        let sizes: Vec<i64> = self
            .connection
            .prepare_cached("SELECT size FROM digest ORDER BY size")
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
            .map_err(|error| store_error(&error))?;
        let sql = "SELECT size, note, sum FROM digest WHERE size = ?1";
        let read =
            |size: i64| super::transaction::read_digest(&self.connection, sql, &[size.into()]);
        sizes
            .into_iter()
            .filter_map(|size| read(size).transpose())
            .collect()
    }

    /// The unflushed runs within `[from, to)`, in order.
    ///
    /// # Errors
    /// When the store fails.
    pub fn tail(&self, from: u64, to: u64) -> Result<Vec<Run>> {
        read_tail(&self.connection, Place::OWN, from, to)
    }

    /// An unflushed tile of level 1 or more, as far as it is filled.
    ///
    /// # Errors
    /// When the store fails.
    pub fn edge(&self, level: u8, tile: u64) -> Result<Option<Vec<Hash>>> {
        read_edge(&self.connection, Place::OWN, level, tile)
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
        let bytes = if found >= width && runs.first().is_some_and(|run| run.start == first) {
            runs.into_iter().flat_map(|run| run.bundle).collect()
        } else {
            let file = self.file(&self.layout.bundle(wanted), &wanted.path())?;
            bundle::exactly(&file, 256).map_err(|error| damaged(&wanted.path(), &error))?;
            file
        };
        let mut end = 0;
        for entry in bundle::entries(&bytes).take(width) {
            end += 2 + entry
                .map_err(|error| damaged(&wanted.path(), &error))?
                .len();
        }
        let mut bytes = bytes;
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

    /// Erased payloads, as (commitment, index of the `erase` entry), each checked against its sum.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn erased(&self) -> Result<Vec<([u8; 32], u64)>> {
        let rows: Vec<(Vec<u8>, i64, Vec<u8>)> = self
            .connection
            .prepare_cached("SELECT payload, entry, sum FROM erased ORDER BY entry")
            .and_then(|mut statement| {
                statement
                    .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                    .collect()
            })
            .map_err(|error| store_error(&error))?;
        rows.into_iter()
            .map(|(id, entry, sum)| {
                let (id, entry): ([u8; 32], u64) = (
                    id.try_into().map_err(|_| damaged("erased", &"id length"))?,
                    size_of(entry)?,
                );
                let expected =
                    belfry_protocol::engine::store::checksum("erased", &id, &entry.to_be_bytes());
                if sum != expected.as_bytes() {
                    return Err(damaged(
                        "erased",
                        &format!("the row of entry {entry} does not match its checksum"),
                    ));
                }
                Ok((id, entry))
            })
            .collect()
    }

    /// The idempotency row of an id, as (entry, content tag).
    ///
    /// # Errors
    /// When the store fails.
    pub fn idem(&self, id: &[u8; 16]) -> Result<Option<(u64, Vec<u8>)>> {
        use rusqlite::OptionalExtension;
        let row: Option<(i64, Vec<u8>)> = self
            .connection
            .prepare_cached("SELECT entry, content FROM idem WHERE id = ?1")
            .and_then(|mut statement| {
                statement
                    .query_row([id.as_slice()], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .map_err(|error| store_error(&error))?;
        row.map(|(entry, content)| Ok((size_of(entry)?, content)))
            .transpose()
    }

    /// Number of idempotency rows.
    ///
    /// # Errors
    /// When the store fails.
    pub fn idem_count(&self) -> Result<u64> {
        let count = self
            .connection
            .query_row("SELECT count(*) FROM idem", [], |row| row.get(0));
        size_of(count.map_err(|error| store_error(&error))?)
    }

    /// What SQLite finds wrong with the ledger's database; empty when nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub fn integrity(&self) -> Result<Vec<String>> {
        integrity(&self.connection)
    }

    /// Runs `work` in one read transaction, so that all it reads belongs to one moment.
    ///
    /// # Errors
    /// When the store fails, or as `work` does.
    pub fn at_one_moment<R>(&self, work: impl FnOnce(&Self) -> Result<R>) -> Result<R> {
        self.connection
            .execute_batch("BEGIN")
            .map_err(|error| store_error(&error))?;
        let result = work(self);
        self.connection
            .execute_batch("COMMIT")
            .map_err(|error| store_error(&error))?;
        result
    }

    fn file(&self, path: &std::path::Path, name: &str) -> Result<Vec<u8>> {
        self.disk.read(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::Damaged(format!("{name} is missing")),
            _ => StoreError::Io(format!("{name}: {error}")),
        })
    }
}

impl TileSource for Reader {
    type Error = StoreError;

    fn tile(&self, tile: Tile) -> Result<Vec<Hash>> {
        let width = usize::from(tile.width);
        let rows: Vec<Hash> = if tile.level == 0 {
            let first = tile.index * TILE_WIDTH;
            let runs = self.tail(first, first + TILE_WIDTH)?;
            runs.into_iter().flat_map(|run| run.leaves).collect()
        } else {
            self.edge(tile.level, tile.index)?.unwrap_or_default()
        };
        let hashes = if rows.len() >= width {
            rows
        } else {
            let file = split(&self.file(&self.layout.tile(tile), &tile.path())?)?;
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

/// SQLite's own check of a database.
pub(super) fn integrity(connection: &Connection) -> Result<Vec<String>> {
    let lines: Vec<String> = connection
        .prepare("PRAGMA integrity_check")
        .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
        .map_err(|error| store_error(&error))?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

fn damaged(what: &str, detail: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged(format!("{what}: {detail}"))
}

/// The incarnation as `status` shows it.
#[must_use]
pub fn shown(incarnation: &Incarnation) -> String {
    format!(
        "{} ({})",
        incarnation.number,
        belfry_protocol::hex::encode(&incarnation.instance)
    )
}
