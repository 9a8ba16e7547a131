//! A node as a member of a federation: its manifest, what the engine needs for a start, and the way between engine and
//! network. May not decide anything about messages: that is the engine's.

pub mod chain;
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
#[cfg(feature = "net")]
mod way;

pub use chain::Epochs;
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
#[cfg(feature = "http")]
pub(crate) use way::{OWN_REQUESTS, Way};

use crate::disk::Disk;
use crate::exit::{Code, Failure};
use crate::store::{Layout, Reader, Store};
use belfry_protocol::engine::federation::disk::OwnDisk;
use belfry_protocol::engine::store::Transaction;
use belfry_protocol::manifest::Federation;
use std::sync::Arc;

/// Longest frame between members: a tail with its head, as the engine has it, and room for the frame.
pub const MAX_FRAME: usize = (9 << 20) + 4_096;

/// The founded federation of a data directory, if it has one, in the epoch that is in force.
///
/// # Errors
/// When the manifests cannot be read or do not verify.
pub fn federation(layout: &Layout) -> Result<Option<Federation>, Failure> {
    let epochs = Epochs::read(layout)?;
    epochs.map(|epochs| epochs.newest()).transpose()
}

/// The same in every epoch up to that one, oldest first; empty without a federation.
///
/// # Errors
/// As [`federation`].
pub fn epochs(layout: &Layout) -> Result<Vec<Federation>, Failure> {
    let epochs = Epochs::read(layout)?;
    epochs.map_or(Ok(Vec::new()), |epochs| epochs.federations())
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

/// Makes a directory a member: stores the manifest, or the whole chain of them, and gives the directory its disk id. A directory that is a member
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
    Epochs::verify(manifest).map_err(|error| chain::refused(layout, &error))?;
    let mut store = Store::open(layout.clone(), Arc::clone(&disk))?;
    let mut tx = store.begin()?;
    if OwnDisk::load(&tx)?.is_none() {
        OwnDisk::new(random_id()?).store(&mut tx)?;
    }
    tx.commit()?;
    store.close()?;
    chain::write(layout, disk.as_ref(), manifest)
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
