//! A data directory as the product makes it, the same every time. May not put anything into it.

use crate::disk::SimDisk;
use belfry_node::store::{Layout, Store};
use rusqlite::{Connection, OpenFlags};
use std::error::Error;
use std::sync::Arc;

/// Makes the databases of a data directory at a disk's root, empty and durable. Handles that were open fail for ever.
///
/// # Errors
/// When they cannot be made.
pub fn directory(disk: &SimDisk) -> Result<(), Box<dyn Error>> {
    let made = disk.calmly(|| databases(disk));
    // A directory is made before anybody simulates: what follows begins with one that is there.
    disk.restore(&disk.snapshot());
    made
}

fn databases(disk: &SimDisk) -> Result<(), Box<dyn Error>> {
    let layout = Layout::new(disk.root());
    Store::open(layout.clone(), Arc::new(disk.clone()))?.close()?;
    // The time of a migration is the only thing in a fresh database that is not the same every time.
    for path in [layout.ledger_db(), layout.payloads_db()] {
        let flags = OpenFlags::default();
        let database = Connection::open_with_flags_and_vfs(path, flags, crate::VFS_NAME)?;
        database.execute_batch(
            "UPDATE refinery_schema_history SET applied_on = '2026-01-01T00:00:00Z';
             VACUUM; PRAGMA wal_checkpoint(TRUNCATE);",
        )?;
    }
    Ok(())
}
