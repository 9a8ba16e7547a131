//! The SQLite store: one writer with one transaction per step, and any number of read-only readers.
//! Files by loss class (`docs/architecture.md`); `synchronous=FULL` always. May not decide anything: rules are the
//! engine's.

pub mod bans;
#[cfg(feature = "http")]
mod bodies;
pub mod index;
pub mod layout;
mod look;
mod mirrors;
mod open;
pub mod payloads;
pub mod reader;
pub mod tokens;
mod transaction;
mod view;

#[cfg(test)]
mod tests;

pub use layout::{Layout, TileRoot};
pub use look::quick_check;
pub use mirrors::Placed;
pub use open::OpenError;
pub use reader::Reader;
pub use transaction::SqliteTransaction;
pub use view::LedgerView;

use crate::disk::Disk;
use belfry_protocol::engine::store::StoreError;
use rusqlite::Connection;
use std::sync::Arc;

/// Pages of 8 KiB in the write-ahead log from which it is copied into the database: large enough to be rare, small
/// enough for disk.
const CHECKPOINT_PAGES: i64 = 4_096;
/// Free pages of 8 KiB that a closed database may keep.
const FREE_PAGES_KEPT: i64 = 512;
/// Bytes of entries after which the log's length is looked at.
const LOOK_BYTES: u64 = 1 << 20;
/// Below this many free bytes nothing is appended: a database needs room to finish what it began.
const LOWEST_FREE_BYTES: u64 = 48 << 20;

/// The writing side of a data directory. There is one per node, held by the writer thread.
pub struct Store {
    layout: Layout,
    disk: Arc<dyn Disk>,
    ledger: Connection,
    payloads: Connection,
    written_since_look: u64,
    checkpoint_pages: i64,
}

impl Store {
    /// Opens the databases for writing, making or migrating them as needed. Only one store of a directory may be open.
    ///
    /// # Errors
    /// When a file cannot be opened, is damaged, or is newer than this program.
    pub fn open(layout: Layout, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        // The last process may have stopped because a sync failed. What SQLite reads now would be taken for durable.
        for log in [layout.ledger_log(), layout.payloads_log()] {
            disk.write_again(&log).map_err(|error| OpenError::Access {
                detail: error.to_string(),
                path: log,
            })?;
        }
        let ledger = open::writer(&layout.ledger_db(), open::Database::Ledger, disk.as_ref())?;
        let payloads = open::writer(
            &layout.payloads_db(),
            open::Database::Payloads,
            disk.as_ref(),
        )?;
        Ok(Self {
            layout,
            disk,
            ledger,
            payloads,
            written_since_look: 0,
            checkpoint_pages: CHECKPOINT_PAGES,
        })
    }

    /// The data directory.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The disk it is on.
    #[must_use]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// How many pages of the write-ahead log may wait before they are copied: for trials that want to see it happen.
    pub fn set_checkpoint_pages(&mut self, pages: i64) {
        self.checkpoint_pages = pages;
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// When the disk is full or the database fails.
    pub fn begin(&mut self) -> Result<SqliteTransaction<'_>, StoreError> {
        let free = self
            .disk
            .free_bytes(self.layout.dir())
            .map_err(|error| StoreError::Io(error.to_string()))?;
        if free < LOWEST_FREE_BYTES {
            return Err(StoreError::Full(format!(
                "{} MiB are free and {} MiB must stay free; make room and try again",
                free >> 20,
                LOWEST_FREE_BYTES >> 20
            )));
        }
        self.begin_reading()
    }

    /// Begins a transaction that writes nothing, and so needs no room.
    ///
    /// # Errors
    /// When the database fails.
    pub fn begin_reading(&mut self) -> Result<SqliteTransaction<'_>, StoreError> {
        SqliteTransaction::begin(&mut self.ledger, &mut self.payloads, self.disk.as_ref())
    }

    /// Work between steps: destroys erased keys if asked to, and copies the write-ahead log when it is long. Returns
    /// whether no erased key is left.
    ///
    /// # Errors
    /// When a database fails.
    pub fn tidy(&mut self, written: u64, destroy: bool) -> Result<bool, StoreError> {
        let destroyed = !destroy
            || payloads::destroy_erased(
                &mut self.ledger,
                &mut self.payloads,
                self.disk.as_ref(),
                self.layout.payloads_log(),
            )?;
        self.written_since_look += written;
        if self.written_since_look < LOOK_BYTES {
            return Ok(destroyed);
        }
        self.written_since_look = 0;
        if self.waiting_pages()? >= self.checkpoint_pages {
            self.checkpoint("PASSIVE")?;
        }
        Ok(destroyed)
    }

    /// The size of the ledger before the newest step that stored payloads; above the ledger's size if the ledger was rolled
    /// back.
    ///
    /// # Errors
    /// When the database fails.
    pub fn payload_base(&self) -> Result<u64, StoreError> {
        payloads::newest_base(&self.payloads)
    }

    /// Payloads whose entries are not in a ledger of `size` entries: index and commitment.
    ///
    /// # Errors
    /// When the database fails.
    pub fn orphans(&self, size: u64) -> Result<Vec<(u64, [u8; 32])>, StoreError> {
        payloads::orphans(&self.payloads, size)
    }

    /// After a human accepted a ledger of `size` entries as it is: payloads of entries that it does not have are dropped.
    ///
    /// # Errors
    /// When the database fails.
    pub fn accept_payloads(&mut self, size: u64) -> Result<(), StoreError> {
        payloads::collect_orphans(&mut self.payloads, size)?;
        payloads::note_base(&self.payloads, size)
    }

    /// Drops payloads by their commitments.
    ///
    /// # Errors
    /// When the database fails.
    pub fn drop_payloads(&mut self, ids: &[[u8; 32]]) -> Result<(), StoreError> {
        payloads::drop_payloads(&mut self.payloads, ids)
    }

    /// Collects payloads whose entry never became durable; only at start, before anything is appended.
    ///
    /// # Errors
    /// When the database fails.
    pub fn collect_orphans(&mut self, size: u64) -> Result<u64, StoreError> {
        payloads::collect_orphans(&mut self.payloads, size)
    }

    /// Copies the write-ahead logs into the databases and closes them.
    ///
    /// # Errors
    /// When a database fails; nothing is lost then, the logs are replayed at the next start.
    pub fn close(self) -> Result<(), StoreError> {
        self.shrink()?;
        self.checkpoint("TRUNCATE")
    }

    /// Gives back the room that a bulk append took for entries which are in tiles now: when most of the file is free, what
    /// is left is small and quickly copied.
    fn shrink(&self) -> Result<(), StoreError> {
        let count = |pragma: &str| -> Result<i64, StoreError> {
            let value = self
                .ledger
                .query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0));
            value.map_err(|error| transaction::store_error(&error))
        };
        let (free, all) = (count("freelist_count")?, count("page_count")?);
        if free > FREE_PAGES_KEPT && free > all / 2 {
            self.ledger
                .execute_batch("VACUUM")
                .map_err(|error| transaction::store_error(&error))?;
        }
        Ok(())
    }

    /// Pages in the ledger's write-ahead log; the file itself keeps its length when the log starts over.
    fn waiting_pages(&self) -> Result<i64, StoreError> {
        self.ledger
            .query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1))
            .map_err(|error| transaction::store_error(&error))
    }

    fn checkpoint(&self, mode: &str) -> Result<(), StoreError> {
        for connection in [&self.ledger, &self.payloads] {
            connection
                .query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
                .map_err(|error| transaction::store_error(&error))?;
        }
        // A copy syncs the log and the database.
        self.disk.database_synced();
        self.disk.database_synced();
        Ok(())
    }
}
