//! Verifies a whole tile tree: checkpoint signature, every entry, every tile of every level, and the root. Hashing-bound:
//! bundles are hashed on all cores, the right edge on one.

use super::source::Source;
use crate::exit::{Code, Failure};
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::entry::Leaf;
use belfry_protocol::note::{SignedNote, VerifierKey};
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::compact::CompactRange;
use belfry_protocol::tlog::hash::{Hash, leaf_hash};
use belfry_protocol::tlog::proof::TileSource;
use belfry_protocol::tlog::tile::{
    Bundle, MAX_TILE_LEVEL, TILE_HEIGHT, TILE_WIDTH, Tile, hashes_at,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;

/// Bundles read ahead of the right edge.
const BUNDLES_AHEAD: usize = 64;

/// A verified tree.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The signed checkpoint.
    pub checkpoint: Checkpoint,
    /// Entries hashed.
    pub entries: u64,
    /// Bytes of entries hashed.
    pub bytes: u64,
}

/// Verifies everything below the checkpoint of `source` under `key`. With `strict`, every entry must also be a
/// canonical Belfry entry. `progress` is told the number of entries.
///
/// # Errors
/// The first thing that does not verify.
pub fn verify(
    source: &Source,
    key: &VerifierKey,
    strict: bool,
    mut progress: impl FnMut(u64),
) -> Result<Verified, Failure>
where
{
    let checkpoint = checkpoint(source, key)?;
    let size = checkpoint.size;
    let bundles = size.div_ceil(TILE_WIDTH);
    let workers = std::thread::available_parallelism().map_or(2, usize::from) as u64;
    let stop = AtomicBool::new(false);
    let mut edge = CompactRange::default();
    let mut upper: Vec<Vec<Hash>> = vec![Vec::new(); usize::from(MAX_TILE_LEVEL) + 2];
    let mut bytes = 0;
    std::thread::scope(|scope| {
        let stop = &stop;
        let lanes: Vec<_> = (0..workers)
            .map(|lane| {
                let (send, receive) = sync_channel(BUNDLES_AHEAD);
                scope.spawn(move || {
                    for index in (lane..bundles).step_by(usize::try_from(workers).unwrap_or(1)) {
                        if stop.load(Ordering::Relaxed)
                            || send.send(hash_bundle(source, index, size, strict)).is_err()
                        {
                            return;
                        }
                    }
                });
                receive
            })
            .collect();
        let mut work = || -> Result<(), Failure> {
            for index in 0..bundles {
                let lane = usize::try_from(index % workers).unwrap_or(0);
                let ended = || Failure::new(Code::Failed, "a verifying thread ended early");
                let (leaves, length) = lanes[lane].recv().map_err(|_| ended())??;
                bytes += length;
                for leaf in leaves {
                    edge.push(leaf, |node| {
                        if u32::from(node.height).is_multiple_of(TILE_HEIGHT) {
                            upper[usize::from(node.height / 8)].push(node.hash);
                        }
                    });
                }
                check_full_tiles(source, &mut upper, edge.end())?;
                progress(edge.end());
            }
            Ok(())
        };
        let result = work();
        stop.store(true, Ordering::Relaxed);
        drop(lanes);
        result
    })?;
    check_partial_tiles(source, &upper, size)?;
    if edge.root() != checkpoint.root {
        return Err(Failure::new(
            Code::VerificationFailed,
            format!(
                "the entries have root {} and the checkpoint says {}",
                edge.root(),
                checkpoint.root
            ),
        ));
    }
    Ok(Verified {
        checkpoint,
        entries: size,
        bytes,
    })
}

/// The checkpoint of `source`, verified under `key`.
///
/// # Errors
/// When it is missing, malformed, or signed by another key.
pub fn checkpoint(source: &Source, key: &VerifierKey) -> Result<Checkpoint, Failure> {
    let refused =
        |why: String| Failure::new(Code::VerificationFailed, format!("checkpoint: {why}"));
    let note = source
        .get("checkpoint")?
        .ok_or_else(|| refused("missing".to_owned()))?;
    let note = SignedNote::parse(&note).map_err(|error| refused(error.to_string()))?;
    Checkpoint::open(&note, key).map_err(|error| refused(error.to_string()))
}

/// Leaf hashes of one bundle, compared with its leaf tile, and its length in bytes.
fn hash_bundle(
    source: &Source,
    index: u64,
    size: u64,
    strict: bool,
) -> Result<(Vec<Hash>, u64), Failure> {
    let (Some(wanted), Some(tile)) = (Bundle::of_tree(index, size), Tile::of_tree(0, index, size))
    else {
        return Err(Failure::new(
            Code::Failed,
            format!("no bundle {index} in a tree of {size}"),
        ));
    };
    let bytes = source.bundle(wanted)?;
    let bad = |position: usize, why: String| {
        let entry = index * TILE_WIDTH + position as u64;
        Failure::new(
            Code::VerificationFailed,
            format!("entry {entry} ({}): {why}", wanted.path()),
        )
    };
    let mut leaves = Vec::with_capacity(usize::from(wanted.width));
    for (position, entry) in bundle::entries(&bytes).enumerate() {
        let entry = entry.map_err(|error| bad(position, error.to_string()))?;
        if strict {
            Leaf::parse(entry).map_err(|error| bad(position, error.to_string()))?;
        }
        leaves.push(leaf_hash(entry));
    }
    let stored = source.tile(tile)?;
    if let Some(position) = leaves
        .iter()
        .zip(&stored)
        .position(|(own, stored)| own != stored)
    {
        return Err(bad(
            position,
            format!("it does not match its hash in {}", tile.path()),
        ));
    }
    Ok((leaves, bytes.len() as u64))
}

/// Compares every tile of level 1 and more that just became full, and forgets its hashes.
fn check_full_tiles(source: &Source, upper: &mut [Vec<Hash>], size: u64) -> Result<(), Failure> {
    for level in 1..=MAX_TILE_LEVEL {
        let hashes = &mut upper[usize::from(level)];
        if hashes.len() as u64 == TILE_WIDTH {
            let index = hashes_at(level, size) / TILE_WIDTH - 1;
            compare(
                source,
                Tile {
                    level,
                    index,
                    width: 256,
                },
                hashes,
            )?;
            hashes.clear();
        }
    }
    Ok(())
}

fn check_partial_tiles(source: &Source, upper: &[Vec<Hash>], size: u64) -> Result<(), Failure> {
    for level in 1..=MAX_TILE_LEVEL {
        let hashes = &upper[usize::from(level)];
        if let Some(tile) = Tile::of_tree(level, hashes_at(level, size) / TILE_WIDTH, size)
            && !hashes.is_empty()
        {
            compare(source, tile, hashes)?;
        }
    }
    Ok(())
}

fn compare(source: &Source, tile: Tile, hashes: &[Hash]) -> Result<(), Failure> {
    let stored = source.tile(tile)?;
    match stored
        .iter()
        .zip(hashes)
        .position(|(stored, own)| stored != own)
    {
        None if stored.len() == hashes.len() => Ok(()),
        at => Err(Failure::new(
            Code::VerificationFailed,
            format!(
                "{}: hash {} is not the root of what is below it",
                tile.path(),
                at.unwrap_or(stored.len())
            ),
        )),
    }
}
