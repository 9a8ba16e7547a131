//! What a node checks before it appends anything (R3, the local half): a new incarnation, the right edge, the anti-replay
//! store. What other nodes know comes later, in the engine.

use crate::disk::Disk;
use crate::exit::{Code, Failure};
use crate::flusher;
use crate::store::{Layout, Reader, Store, TileRoot};
use belfry_protocol::engine::keys::LogKeys;
use belfry_protocol::engine::ledger::start::Incarnation;
use belfry_protocol::engine::ledger::{Head, start};
use belfry_protocol::engine::nonces;
use belfry_protocol::engine::store::Transaction;
use belfry_protocol::entry::time::TimeUs;
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::hash::{Hash, leaf_hash};
use belfry_protocol::tlog::tile::{TILE_WIDTH, Tile};
use std::sync::Arc;

/// A missing `ledger.db` beside tiles or payloads is a loss, not a new ledger.
///
/// # Errors
/// When it is.
pub fn refuse_lost_ledger(layout: &Layout, disk: &dyn Disk) -> Result<(), Failure> {
    let traces = [
        layout.payloads_db(),
        layout.tiles().join("tile"),
        layout.mirrors(),
    ];
    match traces.iter().find(|path| disk.exists(path)) {
        Some(trace) if !disk.exists(&layout.ledger_db()) => Err(Failure::new(
            Code::Recovering,
            format!(
                "{} is missing, and {} shows that there was a ledger",
                layout.ledger_db().display(),
                trace.display()
            ),
        )
        .hint(
            "find the newest ledger.db; a new ledger under the same name and key would be a fork",
        )),
        _ => Ok(()),
    }
}

/// What start-up found.
pub struct Started {
    /// The ledger.
    pub head: Head,
    /// This start.
    pub incarnation: Incarnation,
    /// Private payloads whose entries are not in the ledger: of a member's ledger they may come back from towers.
    pub orphans: Vec<(u64, [u8; 32])>,
}

/// The local half of R3, before anything is appended: a new incarnation, then the right edge. A ledger that is `watched`
/// may turn out to be older than its files: towers bring it forward, and until then nothing is signed. `instance` is
/// random, `now` is wall time.
///
/// # Errors
/// When the store fails, or the ledger is not what it was.
pub fn start_up(
    store: &mut Store,
    disk: &Arc<dyn Disk>,
    log_keys: &LogKeys,
    watched: bool,
    (instance, now): ([u8; 16], TimeUs),
) -> Result<Started, Failure> {
    let layout = store.layout().clone();
    test_nonces(store)?;
    let mut tx = store.begin()?;
    let taken = start::take_incarnation(&mut tx, instance, now)?;
    tx.commit()?;
    let reader = Reader::open(layout.clone(), Arc::clone(disk))?;
    let refuse = |detail: String| {
        Failure::new(Code::Damaged, format!("the ledger's right edge does not fit: {detail}"))
            .hint("nothing was changed and nothing will be signed; run `belfry ledger fsck` to see what is damaged")
    };
    #[cfg(feature = "sabotage")]
    if crate::sabotage::Sabotage::NoStartUpCheck.is_on() {
        let head = reader.head()?;
        let orphans = Vec::new();
        return Ok(Started {
            head,
            incarnation: taken,
            orphans,
        });
    }
    let tx = store.begin()?;
    let head =
        start::check_edge(&tx, &reader, log_keys).map_err(|error| refuse(error.to_string()))?;
    drop(tx);
    check_tail(&reader, &head).map_err(refuse)?;
    let older = older_than_others(store, &head)?;
    if let Some((detail, hint)) = older {
        if !watched {
            return Err(Failure::new(Code::Recovering, detail).hint(hint));
        }
        tracing::warn!(
            detail,
            "this ledger was rolled back; it is brought forward from the towers before anything is signed"
        );
    }
    let orphans = if watched {
        store.orphans(head.size())?
    } else {
        let collected = store.collect_orphans(head.size())?;
        if collected > 0 {
            tracing::info!(
                collected,
                "payloads whose entries never became durable were collected"
            );
        }
        Vec::new()
    };
    store.tidy(0, true)?;
    flusher::clear_temporary(&layout, disk.as_ref());
    tracing::info!(size = head.size(), incarnation = taken.number, at = %now, "ledger opened");
    Ok(Started {
        head,
        incarnation: taken,
        orphans,
    })
}

/// The anti-replay tables must refuse what they must refuse on this disk (R8); nothing of it stays.
fn test_nonces(store: &mut Store) -> Result<(), Failure> {
    let mut tx = store.begin()?;
    nonces::self_test(&mut tx)?.map_err(|why| {
        Failure::new(
            Code::Damaged,
            format!("the anti-replay store does not work: {why}"),
        )
        .hint("no message could be told from its replay; check the disk, then run `belfry ledger fsck`")
    })
}

/// Signs that `ledger.db` is older than the files beside it: what was found, and what it means.
///
/// # Errors
/// When the store fails.
pub fn older_than_others(
    store: &Store,
    head: &Head,
) -> Result<Option<(String, &'static str)>, Failure> {
    if let Err(detail) = check_not_older_than_tiles(
        store.disk().as_ref(),
        &store.layout().own_root(),
        head.size(),
    ) {
        return Ok(Some((
            detail,
            "ledger.db is older than tiles/: it was rolled back or restored; signing now could fork the ledger",
        )));
    }
    let base = store.payload_base()?;
    let detail = || {
        let size = head.size();
        format!("payloads.db knows of {base} entries and ledger.db of {size}")
    };
    Ok((base > head.size()).then(|| {
        (
            detail(),
            "ledger.db was rolled back or restored; signing now could fork the ledger, find the newer copy",
        )
    }))
}

/// Every unflushed entry against its stored leaf hash, and no gap between them.
///
/// # Errors
/// What does not fit.
pub fn check_tail(reader: &Reader, head: &Head) -> Result<(), String> {
    let mut next = head.flushed;
    while next < head.size() {
        let to = (next + 16 * TILE_WIDTH).min(head.size());
        for run in reader.tail(next, to).map_err(|error| error.to_string())? {
            if run.start != next {
                return Err(format!("entries {next} to {} are missing", run.start));
            }
            let hashes: Result<Vec<Hash>, _> = bundle::entries(&run.bundle)
                .map(|entry| entry.map(leaf_hash))
                .collect();
            if hashes.as_ref() != Ok(&run.leaves) {
                return Err(format!("entries from {next} do not match their hashes"));
            }
            next += run.leaves.len() as u64;
        }
        if next < to {
            return Err(format!("entries {next} to {to} are missing"));
        }
    }
    Ok(())
}

/// A full tile beyond a ledger's size means that the database is older than the files.
///
/// # Errors
/// Which tile.
pub fn check_not_older_than_tiles(
    disk: &dyn Disk,
    root: &TileRoot,
    size: u64,
) -> Result<(), String> {
    for index in [size / TILE_WIDTH, size.div_ceil(TILE_WIDTH)] {
        let tile = Tile {
            level: 0,
            index,
            width: 256,
        };
        if disk.exists(&root.tile(tile)) && (index + 1) * TILE_WIDTH > size {
            return Err(format!(
                "the ledger has {size} entries in ledger.db, and {} is a full tile beyond them",
                tile.path()
            ));
        }
    }
    Ok(())
}
