//! Reading a ledger beside its writer, also from another process: rows above the flushed index, files below it.
//! May not write anything, and verifies nothing by itself: whoever hands out a proof verifies it first.

use super::mirrors::{Placed, head_of};
use super::open::{self, Database};
use super::transaction::{
    number, read_newest_digest, read_record, read_rows, size_of, store_error,
};
use super::view::LedgerView;
use super::{Layout, OpenError};
use crate::disk::Disk;
use belfry_protocol::engine::ledger::Head;
use belfry_protocol::engine::ledger::start::Incarnation;
use belfry_protocol::engine::store::{Place, Record, Run, StoreError, Table};
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::tlog::proof::TileSource;
use belfry_protocol::tlog::tile::{Bundle, Tile};
use rusqlite::Connection;
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
        let connection = open::reader(&layout.ledger_db(), Database::Ledger, disk.as_ref())?;
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
        head_of(read_record(&self.connection, Record::Head)?)
    }

    /// The head as of the newest signed digest of a federation's ledger; `None` for a ledger on its own.
    ///
    /// # Errors
    /// When the store fails or the record is damaged.
    pub fn signed_head(&self) -> Result<Option<Head>> {
        let record = read_record(&self.connection, Record::SignedHead)?;
        record.map(|bytes| head_of(Some(bytes))).transpose()
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

    /// Whether this directory was ever a federation member's.
    ///
    /// # Errors
    /// When the store fails.
    pub fn was_member(&self) -> Result<bool> {
        Ok(read_record(&self.connection, Record::Disk)?.is_some())
    }

    /// Size of the newest digest that a quorum of towers acknowledged.
    ///
    /// # Errors
    /// When the store fails.
    pub fn acked(&self) -> Result<Option<u64>> {
        let record = read_record(&self.connection, Record::Acked)?;
        Ok(record.and_then(|bytes| bytes.try_into().ok().map(u64::from_be_bytes)))
    }

    /// SHA-256 of the certificates and revocations that have an entry in the own ledger.
    ///
    /// # Errors
    /// When the store fails or the record is damaged.
    pub fn keys_told(&self) -> Result<Vec<[u8; 32]>> {
        let record = read_record(&self.connection, Record::KeysTold)?;
        Ok(record.unwrap_or_default().as_chunks().0.to_vec())
    }

    /// Who goes on in place of the own ledger, if it was retired.
    ///
    /// # Errors
    /// When the store fails.
    pub fn successor(&self) -> Result<Option<String>> {
        let record = read_record(&self.connection, Record::Retired)?;
        Ok(record.map(|name| String::from_utf8_lossy(&name).into_owned()))
    }

    /// The fork proof against this node's own ledger, if there is one: it signs nothing any more (R3).
    ///
    /// # Errors
    /// When the store fails.
    pub fn own_fork(&self) -> Result<Option<String>> {
        let record = read_record(&self.connection, Record::Forked)?;
        Ok(record.map(|file| String::from_utf8_lossy(&file).into_owned()))
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

    /// The node's own ledger.
    #[must_use]
    pub fn own(&self) -> LedgerView<'_> {
        LedgerView::new(self, Place::OWN, self.layout.own_root())
    }

    /// Any ledger of this data directory, as [`Reader::ledgers`] lists them.
    #[must_use]
    pub fn ledger(&self, placed: &Placed) -> LedgerView<'_> {
        LedgerView::new(self, placed.place, placed.root(&self.layout))
    }

    /// The own ledger's [`LedgerView::tail`].
    ///
    /// # Errors
    /// When the store fails.
    pub fn tail(&self, from: u64, to: u64) -> Result<Vec<Run>> {
        self.own().tail(from, to)
    }

    /// The own ledger's [`LedgerView::bundle`].
    ///
    /// # Errors
    /// When it is not there or damaged.
    pub fn bundle(&self, wanted: Bundle) -> Result<Vec<u8>> {
        self.own().bundle(wanted)
    }

    /// The own ledger's [`LedgerView::entry`].
    ///
    /// # Errors
    /// When it is not there or damaged.
    pub fn entry(&self, index: u64, size: u64) -> Result<Vec<u8>> {
        self.own().entry(index, size)
    }

    /// Keyed promise rows from key `from` on, at most `limit`, checksums checked.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub fn rows(&self, table: Table, from: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        read_rows(&self.connection, table, from, limit)
    }

    /// The row of exactly this key, its checksum checked.
    ///
    /// # Errors
    /// When the store fails or the row is damaged.
    pub fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let found = self.rows(table, key, 1)?.pop();
        Ok(found.filter(|(at, _)| at == key).map(|(_, row)| row))
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

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The disk it is on.
    #[must_use]
    pub fn disk(&self) -> &dyn Disk {
        self.disk.as_ref()
    }
}

impl TileSource for Reader {
    type Error = StoreError;

    fn tile(&self, tile: Tile) -> Result<Vec<Hash>> {
        self.own().tile(tile)
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
