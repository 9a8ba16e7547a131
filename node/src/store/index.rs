//! The derived search index (`index.db`): kind, source, tenant and time of every entry. It proves nothing, may be lost,
//! and is made again from the entries.

use super::reader::Reader;
use super::transaction::{number, store_error};
use belfry_protocol::engine::store::StoreError;
use belfry_protocol::entry::Leaf;
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::tile::{Bundle, TILE_WIDTH};
use rusqlite::{Connection, params};

const SCHEMA: &str = "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
    CREATE TABLE entry (idx INTEGER PRIMARY KEY, kind TEXT NOT NULL, source TEXT NOT NULL, tenant TEXT,
        time_us INTEGER NOT NULL) STRICT;
    CREATE TABLE meta (size INTEGER NOT NULL) STRICT;";

const INDEXES: &str = "CREATE INDEX entry_kind ON entry (kind, idx); CREATE INDEX entry_source ON entry (source, idx);
    CREATE INDEX entry_tenant ON entry (tenant, idx) WHERE tenant IS NOT NULL;
    CREATE INDEX entry_time ON entry (time_us);";

/// Makes the index from scratch beside the old one, then puts it in its place. Returns the number of entries.
///
/// # Errors
/// When the ledger cannot be read or the index cannot be written.
pub fn rebuild(reader: &Reader, mut progress: impl FnMut(u64)) -> Result<u64, StoreError> {
    let path = reader.layout().index_db();
    let temporary = path.with_extension("db.tmp");
    let io = |error: std::io::Error| StoreError::Io(error.to_string());
    if temporary.exists() {
        std::fs::remove_file(&temporary).map_err(io)?;
    }
    let size = reader.head()?.size();
    let connection = Connection::open(&temporary).map_err(|error| store_error(&error))?;
    connection
        .execute_batch(SCHEMA)
        .map_err(|error| store_error(&error))?;
    connection
        .execute_batch("BEGIN")
        .map_err(|error| store_error(&error))?;
    for index in 0..size.div_ceil(TILE_WIDTH) {
        let Some(wanted) = Bundle::of_tree(index, size) else {
            break;
        };
        let bytes = reader.bundle(wanted)?;
        for (at, entry) in (index * TILE_WIDTH..).zip(bundle::entries(&bytes).flatten()) {
            let leaf = Leaf::parse(entry)
                .map_err(|error| StoreError::Damaged(format!("entry {at}: {error}")))?;
            connection
                .prepare_cached("INSERT INTO entry VALUES (?1, ?2, ?3, ?4, ?5)")
                .and_then(|mut insert| {
                    let row = params![
                        number(at).unwrap_or(i64::MAX),
                        leaf.kind,
                        leaf.source,
                        leaf.tenant,
                        leaf.time.micros()
                    ];
                    insert.execute(row)
                })
                .map_err(|error| store_error(&error))?;
        }
        progress(index * TILE_WIDTH + u64::from(wanted.width));
    }
    connection
        .execute("INSERT INTO meta VALUES (?1)", [number(size)?])
        .and_then(|_| connection.execute_batch("COMMIT"))
        .and_then(|()| connection.execute_batch(INDEXES))
        .map_err(|error| store_error(&error))?;
    connection
        .close()
        .map_err(|(_, error)| store_error(&error))?;
    std::fs::rename(&temporary, &path).map_err(io)?;
    Ok(size)
}
