//! A node as a member of a federation: its manifest, what the engine needs for a start, and the way between engine and
//! network. May not decide anything about messages: that is the engine's.

mod keys;
pub mod serving;
mod start;
pub mod windows;

#[cfg(feature = "net")]
mod alarms;
#[cfg(feature = "net")]
mod arrive;
#[cfg(feature = "net")]
mod bans;
#[cfg(feature = "net")]
mod cost;
#[cfg(feature = "net")]
mod link;
#[cfg(feature = "net")]
pub mod lobby;
#[cfg(feature = "net")]
mod network;
#[cfg(feature = "net")]
mod renew;
#[cfg(feature = "net")]
mod repeats;
#[cfg(feature = "net")]
mod roster;
#[cfg(test)]
#[cfg(feature = "net")]
pub(crate) mod testing;
#[cfg(feature = "net")]
mod verify;
#[cfg(feature = "net")]
mod watch;

pub use keys::own_keys;
pub use start::{Start, own_disk, settings};
pub use windows::{Retention, read_window};

#[cfg(feature = "net")]
pub use self::{
    alarms::Told,
    bans::{Bans, Left, what_is_left},
    link::{Link, Traffic},
    network::{Network, connect, connect_over},
    renew::{Cosigners, Renewed, Renewer},
};

#[cfg(feature = "net")]
pub(crate) use alarms::Alarms;

use crate::disk::Disk;
use crate::exit::{Code, Failure};
use crate::store::{Layout, Reader, Store};
use belfry_protocol::engine::federation::disk::OwnDisk;
use belfry_protocol::engine::store::Transaction;
use belfry_protocol::genesis::chain;
use belfry_protocol::manifest::Federation;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Longest frame between members: a tail with its head, as the engine has it, and room for the frame.
pub const MAX_FRAME: usize = (9 << 20) + 4_096;

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

/// What made each epoch active, oldest first; `None` outside a federation. Read, not verified.
///
/// # Errors
/// When the file cannot be read.
pub fn links(layout: &Layout) -> Result<Option<Vec<chain::Link>>, Failure> {
    let bytes = match std::fs::read(layout.genesis()) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let links = match bytes.ends_with(b"\n") {
        true => chain::parse_chain(&bytes),
        false => chain::Link::parse(&bytes).map(|link| vec![link]),
    };
    let links = links.map_err(|error| {
        let path = layout.genesis();
        Failure::new(
            Code::VerificationFailed,
            format!("{}: {error}", path.display()),
        )
    })?;
    Ok(Some(links))
}

/// All epochs of the federation of a data directory, oldest first; none if it has none.
///
/// # Errors
/// As [`federation`].
pub fn epochs(layout: &Layout) -> Result<Vec<Federation>, Failure> {
    Ok(federation(layout)?.into_iter().collect())
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
    chain::founded(manifest).map_err(|error| refuse(&error))
}

/// A directory that was a member's may never go on alone: towers may hold what it does not know any more (R3).
///
/// # Errors
/// When it was one and its manifest is gone.
pub fn refuse_lost_manifest(layout: &Layout, disk: &Arc<dyn Disk>) -> Result<(), Failure> {
    if disk.exists(&layout.genesis()) || !disk.exists(&layout.ledger_db()) {
        return Ok(());
    }
    // The power failed between the two: the founding ends again, and signs nothing before it has.
    if disk.exists(&layout.founding()) {
        return Ok(());
    }
    if !Reader::open(layout.clone(), Arc::clone(disk))?.was_member()? {
        return Ok(());
    }
    Err(Failure::new(
        Code::Recovering,
        "this node belongs to a federation and genesis.json is gone; it may never sign alone",
    )
    .hint(
        "copy genesis.json out of any other member's data directory: that of any of them will do",
    ))
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

/// A new random id.
///
/// # Errors
/// When the system has no randomness.
pub fn random_id() -> Result<[u8; 16], Failure> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
    Ok(id)
}

/// Whether towers hold this member's own ledger.
#[must_use]
pub fn is_watched(federation: &Federation, name: &str) -> bool {
    let member = federation.member(name);
    member.is_some_and(|(_, member)| member.factory) && federation.quorum_of(name).is_some()
}
