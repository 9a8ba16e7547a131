//! One transaction over both databases. Payloads are committed before the ledger (R10): an orphaned payload is
//! harmless and collected at start, a leaf without its payload would be a broken promise.

use crate::disk::Disk;
use belfry_protocol::engine::ledger::Head;
use belfry_protocol::engine::outbox::Committed;
use belfry_protocol::engine::store::{
    IdemRow, Place, Record, Run, StoreError, Table, Transaction, checksum,
};
use belfry_protocol::entry::batch::{IdemTag, SealedPayload};
use belfry_protocol::tlog::hash::{HASH_LEN, Hash};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

type Result<T> = std::result::Result<T, StoreError>;

/// A write transaction; dropped without a commit it leaves no trace.
pub struct SqliteTransaction<'a> {
    ledger: &'a mut Connection,
    payloads: &'a mut Connection,
    disk: &'a dyn Disk,
    payloads_begun: bool,
    /// Payloads of this transaction are durable already.
    payloads_durable: bool,
    /// Payload rows that this transaction's savepoint may have to take back.
    payloads_since_savepoint: Vec<[u8; 32]>,
    finished: bool,
    /// Rows changed through this connection before: a transaction that changed none needs no sync.
    changes_before: u64,
}

impl<'a> SqliteTransaction<'a> {
    pub(super) fn begin(
        ledger: &'a mut Connection,
        payloads: &'a mut Connection,
        disk: &'a dyn Disk,
    ) -> Result<SqliteTransaction<'a>> {
        batch(ledger, "BEGIN IMMEDIATE")?;
        let changes_before = ledger.total_changes();
        Ok(SqliteTransaction {
            changes_before,
            ledger,
            payloads,
            disk,
            payloads_begun: false,
            payloads_durable: false,
            payloads_since_savepoint: Vec::new(),
            finished: false,
        })
    }

    /// Makes the payloads durable ahead of the ledger: to be called before anything of this transaction leaves the node,
    /// because an entry that towers hold must not lose its payload to a power cut.
    ///
    /// # Errors
    /// When the payload database fails.
    pub fn commit_payloads(&mut self) -> Result<()> {
        if !self.payloads_begun {
            return Ok(());
        }
        batch(self.payloads, "COMMIT")?;
        self.payloads_begun = false;
        self.payloads_durable = true;
        self.disk.database_synced();
        Ok(())
    }

    fn run(&self, sql: &str, values: impl Params) -> Result<()> {
        let mut statement = self
            .ledger
            .prepare_cached(sql)
            .map_err(|error| store_error(&error))?;
        statement
            .execute(values)
            .map(|_| ())
            .map_err(|error| store_error(&error))
    }

    fn row<R>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<R>,
    ) -> Result<Option<R>> {
        let mut statement = self
            .ledger
            .prepare_cached(sql)
            .map_err(|error| store_error(&error))?;
        statement
            .query_row(values, read)
            .optional()
            .map_err(|error| store_error(&error))
    }
}

impl Drop for SqliteTransaction<'_> {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // After an I/O error SQLite may have rolled back by itself; then there is nothing to do.
        let _ = self.ledger.execute_batch("ROLLBACK");
        if self.payloads_begun {
            let _ = self.payloads.execute_batch("ROLLBACK");
        }
    }
}

impl Transaction for SqliteTransaction<'_> {
    fn savepoint(&mut self) -> Result<()> {
        self.payloads_since_savepoint.clear();
        self.run("SAVEPOINT input", [])
    }

    fn keep_savepoint(&mut self) -> Result<()> {
        self.run("RELEASE input", [])
    }

    fn undo_savepoint(&mut self) -> Result<()> {
        for id in std::mem::take(&mut self.payloads_since_savepoint) {
            self.payloads
                .execute("DELETE FROM payload WHERE id = ?1", [id.as_slice()])
                .map_err(|error| store_error(&error))?;
        }
        self.run("ROLLBACK TO input", [])?;
        self.run("RELEASE input", [])
    }

    fn record(&self, record: Record) -> Result<Option<Vec<u8>>> {
        read_record(self.ledger, record)
    }

    fn put_record(&mut self, record: Record, value: &[u8]) -> Result<()> {
        let sum = checksum("record", record.name().as_bytes(), value);
        self.run(
            "INSERT INTO record (name, value, sum) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value, sum = excluded.sum",
            params![record.name(), value, sum.as_bytes().as_slice()],
        )
    }

    fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let found = self.row(
            "SELECT value, sum FROM keyed WHERE kind = ?1 AND key = ?2",
            params![table.name(), key],
            |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?)),
        )?;
        found
            .map(|(value, sum)| checked(table, key, value, &sum))
            .transpose()
    }

    fn put_row(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        let sum = checksum(table.name(), key, value);
        self.run(
            "INSERT INTO keyed (kind, key, value, sum) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value, sum = excluded.sum",
            params![table.name(), key, value, sum.as_bytes().as_slice()],
        )
    }

    fn remove_row(&mut self, table: Table, key: &[u8]) -> Result<()> {
        self.run(
            "DELETE FROM keyed WHERE kind = ?1 AND key = ?2",
            params![table.name(), key],
        )
    }

    fn rows(&self, table: Table, from: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        read_rows(self.ledger, table, from, limit)
    }

    fn remove_rows_below(&mut self, table: Table, below: &[u8]) -> Result<u64> {
        let mut statement = self
            .ledger
            .prepare_cached("DELETE FROM keyed WHERE kind = ?1 AND key < ?2")
            .map_err(|error| store_error(&error))?;
        statement
            .execute(params![table.name(), below])
            .map(|count| count as u64)
            .map_err(|error| store_error(&error))
    }

    fn put_tail(&mut self, place: Place, start: u64, leaves: &[Hash], bundle: &[u8]) -> Result<()> {
        self.run(
            "INSERT INTO tail (place, start, leaves, bundle) VALUES (?1, ?2, ?3, ?4)",
            params![place.0, number(start)?, join(leaves), bundle],
        )
    }

    fn tail(&self, place: Place, from: u64, to: u64) -> Result<Vec<Run>> {
        read_tail(self.ledger, place, from, to)
    }

    fn drop_tail_below(&mut self, place: Place, end: u64) -> Result<()> {
        self.run(
            "DELETE FROM tail WHERE place = ?1 AND start < ?2",
            params![place.0, number(end)?],
        )
    }

    fn drop_tail_from(&mut self, place: Place, start: u64) -> Result<()> {
        self.run(
            "DELETE FROM tail WHERE place = ?1 AND start >= ?2",
            params![place.0, number(start)?],
        )
    }

    fn edge(&self, place: Place, level: u8, tile: u64) -> Result<Option<Vec<Hash>>> {
        read_edge(self.ledger, place, level, tile)
    }

    fn put_edge(&mut self, place: Place, level: u8, tile: u64, hashes: &[Hash]) -> Result<()> {
        self.run(
            "INSERT INTO edge (place, level, tile, hashes) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (place, level, tile) DO UPDATE SET hashes = excluded.hashes",
            params![place.0, level, number(tile)?, join(hashes)],
        )
    }

    fn drop_edge_below(&mut self, place: Place, level: u8, tile: u64) -> Result<()> {
        self.run(
            "DELETE FROM edge WHERE place = ?1 AND level = ?2 AND tile < ?3",
            params![place.0, level, number(tile)?],
        )
    }

    fn drop_edge_from(&mut self, place: Place, level: u8, tile: u64) -> Result<()> {
        self.run(
            "DELETE FROM edge WHERE place = ?1 AND level = ?2 AND tile >= ?3",
            params![place.0, level, number(tile)?],
        )
    }

    fn put_digest(&mut self, size: u64, note: &str) -> Result<()> {
        let sum = checksum("digest", &size.to_be_bytes(), note.as_bytes());
        self.run(
            "INSERT INTO digest (size, note, sum) VALUES (?1, ?2, ?3)
             ON CONFLICT (size) DO UPDATE SET note = excluded.note, sum = excluded.sum",
            params![number(size)?, note, sum.as_bytes().as_slice()],
        )
    }

    fn newest_digest(&self) -> Result<Option<(u64, String)>> {
        read_newest_digest(self.ledger)
    }

    fn digest(&self, size: u64) -> Result<Option<String>> {
        let sql = "SELECT size, note, sum FROM digest WHERE size = ?1";
        let found = read_digest(self.ledger, sql, &[number(size)?.into()])?;
        Ok(found.map(|(_, note)| note))
    }

    fn drop_digests_above(&mut self, size: u64) -> Result<()> {
        self.run("DELETE FROM digest WHERE size > ?1", [number(size)?])
    }

    fn prune_digests(&mut self, keep: u64) -> Result<()> {
        self.run(
            "DELETE FROM digest WHERE size < (SELECT min(size) FROM (SELECT size FROM digest ORDER BY size DESC LIMIT ?1))",
            [number(keep)?],
        )
    }

    fn idem(&self, id: &[u8; 16]) -> Result<Option<IdemRow>> {
        let raw = self.row(
            "SELECT entry, content, expires_us FROM idem WHERE id = ?1",
            [id.as_slice()],
            |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, Vec<u8>>(1)?,
                    row.get(2)?,
                ))
            },
        )?;
        raw.map(|(entry, content, expires_us)| {
            Ok(IdemRow {
                index: size_of(entry)?,
                content: content
                    .try_into()
                    .map_err(|_| damaged("an idempotency row"))?,
                expires_us,
            })
        })
        .transpose()
    }

    fn put_idem(&mut self, tag: &IdemTag, row: &IdemRow) -> Result<()> {
        self.run(
            "INSERT INTO idem (id, entry, content, expires_us) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (id) DO UPDATE SET entry = excluded.entry, content = excluded.content,
             expires_us = excluded.expires_us",
            params![
                tag.id.as_slice(),
                number(row.index)?,
                row.content.as_slice(),
                row.expires_us
            ],
        )
    }

    fn drop_idem_from(&mut self, index: u64) -> Result<()> {
        self.run("DELETE FROM idem WHERE entry >= ?1", [number(index)?])
    }

    fn prune_idem(&mut self, now_us: i64) -> Result<()> {
        self.run(
            "DELETE FROM idem WHERE expires_us IS NOT NULL AND expires_us <= ?1",
            [now_us],
        )
    }

    fn put_payload(&mut self, index: u64, payload: &SealedPayload) -> Result<()> {
        if !self.payloads_begun {
            batch(self.payloads, "BEGIN IMMEDIATE")?;
            self.payloads_begun = true;
            super::payloads::note_base(self.payloads, Head::load(self)?.size())?;
        }
        let mut statement = self
            .payloads
            .prepare_cached("INSERT INTO payload (id, entry, key, sealed) VALUES (?1, ?2, ?3, ?4)")
            .map_err(|error| store_error(&error))?;
        statement
            .execute(params![
                payload.id.as_slice(),
                number(index)?,
                payload.key.as_slice(),
                payload.sealed
            ])
            .map_err(|error| store_error(&error))?;
        self.payloads_since_savepoint.push(payload.id);
        Ok(())
    }

    fn erase_payload(&mut self, id: &[u8; 32], erase_index: u64) -> Result<()> {
        let sum = checksum("erased", id, &erase_index.to_be_bytes());
        self.run(
            "INSERT INTO erased (payload, entry, done, sum) VALUES (?1, ?2, 0, ?3)",
            params![
                id.as_slice(),
                number(erase_index)?,
                sum.as_bytes().as_slice()
            ],
        )
    }

    fn erased(&self, id: &[u8; 32]) -> Result<Option<u64>> {
        let entry = self.row(
            "SELECT entry FROM erased WHERE payload = ?1",
            [id.as_slice()],
            |row| row.get(0),
        )?;
        entry.map(size_of).transpose()
    }

    fn commit(mut self) -> Result<Committed> {
        self.commit_payloads()?;
        let with_payloads = self.payloads_durable;
        batch(self.ledger, "COMMIT").map_err(|error| match error {
            // The payloads are durable and their entries are not: only a start may collect them.
            StoreError::Full(why) if with_payloads => StoreError::Io(why),
            other => other,
        })?;
        self.finished = true;
        // SQLite writes and syncs nothing if nothing changed.
        if self.ledger.total_changes() != self.changes_before {
            self.disk.database_synced();
        }
        Ok(Committed::after_durable_commit())
    }
}

/// Reads a singleton and checks its sum.
pub(crate) fn read_record(connection: &Connection, record: Record) -> Result<Option<Vec<u8>>> {
    let mut statement = connection
        .prepare_cached("SELECT value, sum FROM record WHERE name = ?1")
        .map_err(|error| store_error(&error))?;
    let row: Option<(Vec<u8>, Vec<u8>)> = statement
        .query_row([record.name()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(|error| store_error(&error))?;
    let Some((value, sum)) = row else {
        return Ok(None);
    };
    if sum != checksum("record", record.name().as_bytes(), &value).as_bytes() {
        return Err(damaged(&format!(
            "the {} record does not match its checksum",
            record.name()
        )));
    }
    Ok(Some(value))
}

/// Reads an unflushed tile of level 1 or more.
pub(crate) fn read_edge(
    connection: &Connection,
    place: Place,
    level: u8,
    tile: u64,
) -> Result<Option<Vec<Hash>>> {
    let mut statement = connection
        .prepare_cached("SELECT hashes FROM edge WHERE place = ?1 AND level = ?2 AND tile = ?3")
        .map_err(|error| store_error(&error))?;
    let blob: Option<Vec<u8>> = statement
        .query_row(params![place.0, level, number(tile)?], |row| row.get(0))
        .optional()
        .map_err(|error| store_error(&error))?;
    blob.map(|blob| split(&blob)).transpose()
}

/// Reads the unflushed runs of a ledger that begin within `[from, to)`, in order.
pub(crate) fn read_tail(
    connection: &Connection,
    place: Place,
    from: u64,
    to: u64,
) -> Result<Vec<Run>> {
    let mut statement = connection
        .prepare_cached("SELECT start, leaves, bundle FROM tail WHERE place = ?1 AND start >= ?2 AND start < ?3 ORDER BY start")
        .map_err(|error| store_error(&error))?;
    let rows = statement
        .query_map(params![place.0, number(from)?, number(to)?], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, Vec<u8>>(1)?,
                row.get::<_, Vec<u8>>(2)?,
            ))
        })
        .map_err(|error| store_error(&error))?;
    rows.map(|row| {
        let (start, leaves, bundle) = row.map_err(|error| store_error(&error))?;
        Ok(Run {
            start: size_of(start)?,
            leaves: split(&leaves)?,
            bundle,
        })
    })
    .collect()
}

/// Reads keyed rows from key `from` on, at most `limit`, and checks their sums.
pub(crate) fn read_rows(
    connection: &Connection,
    table: Table,
    from: &[u8],
    limit: usize,
) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut statement = connection
        .prepare_cached(
            "SELECT key, value, sum FROM keyed WHERE kind = ?1 AND key >= ?2 ORDER BY key LIMIT ?3",
        )
        .map_err(|error| store_error(&error))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement
        .query_map(params![table.name(), from, limit], |row| {
            Ok((
                row.get::<_, Vec<u8>>(0)?,
                row.get::<_, Vec<u8>>(1)?,
                row.get::<_, Vec<u8>>(2)?,
            ))
        })
        .map_err(|error| store_error(&error))?;
    rows.map(|row| {
        let (key, value, sum) = row.map_err(|error| store_error(&error))?;
        let value = checked(table, &key, value, &sum)?;
        Ok((key, value))
    })
    .collect()
}

fn checked(table: Table, key: &[u8], value: Vec<u8>, sum: &[u8]) -> Result<Vec<u8>> {
    if sum != checksum(table.name(), key, &value).as_bytes() {
        return Err(damaged(&format!(
            "a row of {} does not match its checksum",
            table.name()
        )));
    }
    Ok(value)
}

/// Reads the newest digest and checks its sum.
pub(crate) fn read_newest_digest(connection: &Connection) -> Result<Option<(u64, String)>> {
    read_digest(
        connection,
        "SELECT size, note, sum FROM digest ORDER BY size DESC LIMIT 1",
        &[],
    )
}

/// Reads one digest by a statement that yields size, note and sum, and checks its sum.
pub(crate) fn read_digest(
    connection: &Connection,
    sql: &str,
    values: &[Value],
) -> Result<Option<(u64, String)>> {
    let mut statement = connection
        .prepare_cached(sql)
        .map_err(|error| store_error(&error))?;
    let row: Option<(i64, String, Vec<u8>)> = statement
        .query_row(rusqlite::params_from_iter(values), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()
        .map_err(|error| store_error(&error))?;
    let Some((size, note, sum)) = row else {
        return Ok(None);
    };
    let size = size_of(size)?;
    if sum != checksum("digest", &size.to_be_bytes(), note.as_bytes()).as_bytes() {
        return Err(damaged(&format!(
            "the digest of size {size} does not match its checksum"
        )));
    }
    Ok(Some((size, note)))
}

/// Hashes as one blob.
pub(crate) fn join(hashes: &[Hash]) -> Vec<u8> {
    let arrays: Vec<[u8; HASH_LEN]> = hashes.iter().map(|hash| hash.0).collect();
    arrays.into_flattened()
}

/// A blob as hashes.
pub(crate) fn split(blob: &[u8]) -> Result<Vec<Hash>> {
    let (hashes, odd) = blob.as_chunks::<HASH_LEN>();
    if !odd.is_empty() {
        return Err(damaged("a row of hashes has an odd length"));
    }
    Ok(hashes.iter().map(|hash| Hash(*hash)).collect())
}

/// A size or index as SQLite holds it.
pub(crate) fn number(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| damaged("a size beyond 2^63"))
}

/// A size or index from SQLite.
pub(crate) fn size_of(value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| damaged("a negative size"))
}

fn batch(connection: &Connection, sql: &str) -> Result<()> {
    let mut statement = connection
        .prepare_cached(sql)
        .map_err(|error| store_error(&error))?;
    statement
        .execute([])
        .map(|_| ())
        .map_err(|error| store_error(&error))
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.to_owned())
}

/// Sorts an SQLite error by what must happen next (R9).
pub(crate) fn store_error(error: &rusqlite::Error) -> StoreError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase};
    match error.sqlite_error_code() {
        Some(DiskFull) => StoreError::Full(error.to_string()),
        Some(DatabaseCorrupt | NotADatabase) => StoreError::Damaged(error.to_string()),
        _ => StoreError::Io(error.to_string()),
    }
}
