//! What the engine needs for a start, and whether this directory is still the one it was (R3). Opens no socket, reads no
//! clock and draws nothing: what is fresh comes in as a value.

use crate::disk::Disk;
use crate::exit::{Code, Failure};
use crate::set_aside;
use crate::startup::check_not_older_than_tiles;
use crate::store::{Placed, Reader, Store};
use belfry_protocol::engine::federation::disk::{OwnDisk, Restore};
use belfry_protocol::engine::federation::epochs::needed;
use belfry_protocol::engine::federation::members::Members;
use belfry_protocol::engine::federation::{ASK_US, REACK_US, Settings};
use belfry_protocol::engine::keys::OwnKeys;
use belfry_protocol::engine::ledger::start::Incarnation;
use belfry_protocol::engine::store::{Record, Transaction};
use belfry_protocol::manifest::Federation;
use belfry_protocol::note::VerifierKey;
use belfry_protocol::wire::{Range, Version};
use std::collections::BTreeSet;
use std::sync::Arc;

/// One start of a member.
pub struct Start<'a> {
    /// The epochs of the federation it belongs to, oldest first.
    pub epochs: Vec<Federation>,
    /// The node's name.
    pub name: &'a str,
    /// Its identity key.
    pub identity: &'a VerifierKey,
    /// Its id in the transport.
    pub peer: &'a str,
    /// What it signs with.
    pub keys: OwnKeys,
    /// This start.
    pub incarnation: Incarnation,
    /// Number of the start before; 0 for the first.
    pub incarnation_before: u64,
    /// Random: the directory's id, if it needs a new one.
    pub fresh_disk_id: [u8; 16],
}

/// What the engine needs for this start.
///
/// # Errors
/// When the manifest names another node or other keys, or the directory is older than its keys.
pub fn settings(
    store: &mut Store,
    disk: &Arc<dyn Disk>,
    start: Start<'_>,
) -> Result<Settings, Failure> {
    // Who left is needed until the ledgers of the others are in the new epoch.
    let mut epochs = start.epochs.iter().rev();
    let named = epochs.find_map(|epoch| epoch.member(start.name));
    let Some((_, member)) = named else {
        return Err(Failure::new(
            Code::ConfigInvalid,
            format!("the manifest does not name {}", start.name),
        )
        .hint("genesis.json belongs to another node, or this node was not admitted"));
    };
    if member.identity != *start.identity || member.peer != start.peer {
        return Err(Failure::new(
            Code::KeyUnavailable,
            format!("the manifest names other keys for {}", start.name),
        )
        .hint("use the keys with which this node was founded; new ones take an amendment"));
    }
    let is_tower = member.tower;
    let newest = start.keys.newest.number;
    let disk = own_disk(store, disk, newest, start.fresh_disk_id)?;
    // Only a tower took keys of a new serial after a restore: a factory signs on with those it had.
    if is_tower {
        refuse_older_keys(&disk, newest)?;
    }
    let lost = || {
        Failure::new(
            Code::Failed,
            "the epochs of this federation do not fit together",
        )
    };
    let tx = store.begin_reading()?;
    let epochs = needed(&tx, start.epochs, start.name)?;
    let members = Members::through(epochs).ok_or_else(lost)?;
    Ok(Settings {
        me: members.by_name(start.name).ok_or_else(lost)?,
        members,
        incarnation: start.incarnation,
        incarnation_before: start.incarnation_before,
        keys: start.keys,
        versions: vec![Range {
            min: Version::V1_0,
            max: Version::V1_0,
        }],
        disk,
        agent: concat!("belfry/", env!("CARGO_PKG_VERSION")).to_owned(),
        window_us: None,
        reack_us: REACK_US,
        ask_us: ASK_US,
    })
}

/// This directory as a tower's disk: one that came out of a backup (`RESTORED` is set), or is empty although the manifest
/// names its node, gets the `fresh` id and has to catch up (R3). `newest` is the newest serial of its keys.
///
/// # Errors
/// When the store fails.
pub fn own_disk(
    store: &mut Store,
    disk: &Arc<dyn Disk>,
    newest: u64,
    fresh: [u8; 16],
) -> Result<OwnDisk, Failure> {
    let known = OwnDisk::load(&store.begin()?)?;
    let older = older_mirrors(store, disk)?;
    let marked = disk.exists(&store.layout().restored_marker());
    let disk = match known {
        Some(known) if !marked && older.is_empty() => known,
        _ => note_restored(store, newest, fresh)?,
    };
    // Seen and written down: it may not be taken for another rollback at the next start.
    for placed in &older {
        let layout = store.layout();
        set_aside::tiles_beyond(
            store.disk().as_ref(),
            layout,
            &placed.root(layout),
            placed.flushable,
        )?;
    }
    if disk.restore != Restore::Done {
        tracing::warn!(
            "this directory was lost or restored and has to catch up: as a tower it promises nothing before every other tower told it what it knows"
        );
    }
    Ok(disk)
}

/// Keys of a serial that the directory has left behind would acknowledge nothing.
fn refuse_older_keys(disk: &OwnDisk, newest: u64) -> Result<(), Failure> {
    if disk.restore != Restore::Done || newest >= disk.lowest_serial {
        return Ok(());
    }
    Err(Failure::new(
        Code::KeyUnavailable,
        format!(
            "keys/ is older than this directory: its newest serial is {newest}, and serial {} was in use",
            disk.lowest_serial
        ),
    )
    .hint("put the newest backup of keys/ back; older keys acknowledge nothing any more"))
}

/// The mirrored ledgers that have files beyond what `ledger.db` knows: then the database was rolled back, and acks may
/// have been given that it does not know.
fn older_mirrors(store: &Store, disk: &Arc<dyn Disk>) -> Result<Vec<Placed>, Failure> {
    let layout = store.layout().clone();
    let reader = Reader::open(layout.clone(), Arc::clone(disk))?;
    let mut older = Vec::new();
    for placed in reader.ledgers()?.into_iter().skip(1) {
        let root = placed.root(&layout);
        if let Err(detail) = check_not_older_than_tiles(disk.as_ref(), &root, placed.flushable) {
            tracing::warn!(origin = placed.origin, detail, "ledger.db was rolled back");
            older.push(placed);
        }
    }
    Ok(older)
}

/// Writes down that this directory is another one than before.
fn note_restored(store: &mut Store, newest: u64, fresh: [u8; 16]) -> Result<OwnDisk, Failure> {
    let disk = OwnDisk::restored(fresh, newest.saturating_add(1));
    let mut tx = store.begin()?;
    disk.store(&mut tx)?;
    // What this node voted since, only its mirrored ledger knows (R14).
    tx.put_record(Record::VotesMissing, b"1")?;
    tx.commit()?;
    let marker = store.layout().restored_marker();
    let here = store.disk();
    if here.exists(&marker) {
        // Only now: the record says it, durably.
        here.remove(&marker)?;
        here.sync_dirs(&BTreeSet::from([store.layout().dir().to_path_buf()]))?;
    }
    Ok(disk)
}
