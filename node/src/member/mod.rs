//! A node as a member of a federation: its manifest, what the engine needs for a start, and the way between engine and
//! network. May not decide anything about messages: that is the engine's.

mod ahead;
mod alarms;
mod arrive;
mod bans;
mod cost;
mod keys;
mod link;
pub mod lobby;
mod network;
mod repeats;
mod serving;
#[cfg(test)]
pub(crate) mod testing;
mod verify;
mod watch;

pub use alarms::Told;
pub use bans::{Bans, Left, what_is_left};
pub use keys::Renewer;
pub(crate) use keys::own_keys;
pub use link::{Link, Traffic};
pub use network::{Network, connect};

use crate::disk::Disk;
use crate::exit::{Code, Failure};
use crate::net::{Multiaddr, PeerId};
use crate::set_aside;
use crate::startup::check_not_older_than_tiles;
use crate::store::{Layout, Placed, Reader, Store};
use belfry_keys::NodeKeys;
use belfry_protocol::engine::federation::Settings;
use belfry_protocol::engine::federation::disk::{OwnDisk, Restore};
use belfry_protocol::engine::federation::members::Members;
use belfry_protocol::engine::ledger::start::Incarnation;
use belfry_protocol::engine::store::Transaction;
use belfry_protocol::manifest::{Federation, SignedManifest};
use belfry_protocol::wire::{Range, Version};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Longest frame between members: a tail with its head, as the engine has it, and room for the frame.
const MAX_FRAME: usize = (9 << 20) + 4_096;

/// Transport ids and addresses of the members, without this node's own.
fn peers_of(federation: &Federation, local: PeerId) -> Vec<(PeerId, Vec<Multiaddr>)> {
    let members = federation.manifest().members.iter();
    members
        .filter_map(|member| {
            let peer: PeerId = member.peer.parse().ok()?;
            let known = |address: &String| address.parse::<Multiaddr>().ok();
            Some((peer, member.addresses.iter().filter_map(known).collect()))
        })
        .filter(|(peer, _)| *peer != local)
        .collect()
}

/// The founded federation of a data directory, if it has one.
///
/// # Errors
/// When the manifest cannot be read or does not verify.
pub fn federation(layout: &Layout) -> Result<Option<Federation>, Failure> {
    match std::fs::read(layout.genesis()) {
        Ok(bytes) => founded(layout, &bytes).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn founded(layout: &Layout, manifest: &[u8]) -> Result<Federation, Failure> {
    let path = layout.genesis();
    let refuse = |error: &dyn std::fmt::Display| {
        Failure::new(
            Code::VerificationFailed,
            format!("{}: {error}", path.display()),
        )
        .hint("the manifest must be the one that every member signed; get it again from another member")
    };
    let signed = SignedManifest::parse(manifest).map_err(|error| refuse(&error))?;
    let founded = signed.verify_founding().map_err(|error| refuse(&error))?;
    Ok(Federation::from(founded))
}

/// A directory that was a member's may never go on alone: towers may hold what it does not know any more (R3).
///
/// # Errors
/// When it was one and its manifest is gone.
pub(crate) fn refuse_lost_manifest(layout: &Layout, disk: &Arc<dyn Disk>) -> Result<(), Failure> {
    if layout.genesis().exists() || !layout.ledger_db().exists() {
        return Ok(());
    }
    if !Reader::open(layout.clone(), Arc::clone(disk))?.was_member()? {
        return Ok(());
    }
    Err(Failure::new(
        Code::Recovering,
        "this node belongs to a federation and genesis.json is gone; it may never sign alone",
    )
    .hint("copy genesis.json out of any other member's data directory: it is the same file everywhere"))
}

/// Makes a directory a member: stores the manifest and gives the directory its disk id. A directory that is a member
/// without having been made one here is a lost disk (R3).
///
/// # Errors
/// When the manifest does not verify or the directory cannot be written.
pub fn install(layout: &Layout, disk: Arc<dyn Disk>, manifest: &[u8]) -> Result<(), Failure> {
    let before = federation(layout)?;
    if before.is_some() {
        return Err(Failure::new(
            Code::Failed,
            "this node belongs to a federation already",
        ));
    }
    founded(layout, manifest)?;
    let mut store = Store::open(layout.clone(), Arc::clone(&disk))?;
    let mut tx = store.begin()?;
    if OwnDisk::load(&tx)?.is_none() {
        OwnDisk::new(random_id()?).store(&mut tx)?;
    }
    tx.commit()?;
    store.close()?;
    // Whole or not at all: half a manifest would stop every later start.
    let temporary = layout.genesis().with_extension("json.new");
    disk.write(&temporary, manifest)?;
    disk.sync_files(std::slice::from_ref(&temporary))?;
    disk.rename(&temporary, &layout.genesis())?;
    disk.sync_dirs(&BTreeSet::from([layout.dir().to_path_buf()]))?;
    Ok(())
}

fn random_id() -> Result<[u8; 16], Failure> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
    Ok(id)
}

/// Whether towers hold this member's own ledger.
pub(crate) fn is_watched(federation: &Federation, name: &str) -> bool {
    let member = federation.member(name);
    member.is_some_and(|(_, member)| member.factory) && federation.quorum_of(name).is_some()
}

/// What the engine needs for this start.
pub(crate) fn settings(
    store: &mut Store,
    disk: &Arc<dyn Disk>,
    federation: Federation,
    keys: &NodeKeys,
    incarnation: Incarnation,
    incarnation_before: u64,
) -> Result<Settings, Failure> {
    let Some((me, member)) = federation.member(keys.name()) else {
        return Err(Failure::new(
            Code::ConfigInvalid,
            format!("the manifest does not name {}", keys.name()),
        )
        .hint("genesis.json belongs to another node, or this node was not admitted"));
    };
    let transport = crate::net::peer_id_of(&keys.transport_public_key()).to_string();
    if member.identity != *keys.identity_verifier() || member.peer != transport {
        return Err(Failure::new(
            Code::KeyUnavailable,
            format!("the manifest names other keys for {}", keys.name()),
        )
        .hint("use the keys with which this node was founded; new ones take an amendment"));
    }
    let disk = own_disk(store, disk, keys)?;
    Ok(Settings {
        members: Members::new(federation),
        me,
        incarnation,
        incarnation_before,
        keys: own_keys(keys),
        versions: vec![Range {
            min: Version::V1_0,
            max: Version::V1_0,
        }],
        disk,
        agent: concat!("belfry/", env!("CARGO_PKG_VERSION")).to_owned(),
    })
}

/// This directory as a tower's disk: one that came out of a backup (`RESTORED` is set), or is empty although the manifest
/// names its node, gets a new id and has to catch up (R3).
pub(crate) fn own_disk(
    store: &mut Store,
    disk: &Arc<dyn Disk>,
    keys: &NodeKeys,
) -> Result<OwnDisk, Failure> {
    let known = OwnDisk::load(&store.begin()?)?;
    let older = older_mirrors(store, disk)?;
    let marked = store.layout().restored_marker().exists();
    let disk = match known {
        Some(known) if !marked && older.is_empty() => known,
        _ => note_restored(store, keys)?,
    };
    // Seen and written down: it may not be taken for another rollback at the next start.
    for placed in &older {
        let layout = store.layout();
        set_aside::tiles_beyond(layout, &placed.root(layout), placed.flushable)?;
    }
    let newest = keys.current().serial();
    if disk.restore == Restore::Done && newest < disk.lowest_serial {
        return Err(Failure::new(
            Code::KeyUnavailable,
            format!(
                "keys/ is older than this directory: its newest serial is {newest}, and serial {} was in use",
                disk.lowest_serial
            ),
        )
        .hint("put the newest backup of keys/ back; older keys acknowledge nothing any more"));
    }
    if disk.restore != Restore::Done {
        tracing::warn!(
            "this directory was lost or restored and has to catch up: as a tower it promises nothing before every other tower told it what it knows"
        );
    }
    Ok(disk)
}

/// The mirrored ledgers that have files beyond what `ledger.db` knows: then the database was rolled back, and acks may
/// have been given that it does not know.
fn older_mirrors(store: &Store, disk: &Arc<dyn Disk>) -> Result<Vec<Placed>, Failure> {
    let layout = store.layout().clone();
    let reader = Reader::open(layout.clone(), Arc::clone(disk))?;
    let mut older = Vec::new();
    for placed in reader.ledgers()?.into_iter().skip(1) {
        let root = placed.root(&layout);
        if let Err(detail) = check_not_older_than_tiles(&root, placed.flushable) {
            tracing::warn!(origin = placed.origin, detail, "ledger.db was rolled back");
            older.push(placed);
        }
    }
    Ok(older)
}

/// Writes down that this directory is another one than before.
fn note_restored(store: &mut Store, keys: &NodeKeys) -> Result<OwnDisk, Failure> {
    let lowest_serial = keys.current().serial().saturating_add(1);
    let disk = OwnDisk::restored(random_id()?, lowest_serial);
    let mut tx = store.begin()?;
    disk.store(&mut tx)?;
    tx.commit()?;
    let marker = store.layout().restored_marker();
    if marker.exists() {
        // Only now: the record says it, durably.
        std::fs::remove_file(&marker)?;
        std::fs::File::open(store.layout().dir())?.sync_all()?;
    }
    Ok(disk)
}
