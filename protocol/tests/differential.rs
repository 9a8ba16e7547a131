//! The same trees and proofs from two implementations written elsewhere: Cloudflare's `tlog_tiles` and `ct-merkle`.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_protocol::tlog::compact::CompactRange;
use belfry_protocol::tlog::hash::{Hash, leaf_hash};
use belfry_protocol::tlog::proof::{TileSource, TreeReader};
use belfry_protocol::tlog::tile::Tile;
use belfry_protocol::tlog::verify;
use std::collections::BTreeMap;
use std::convert::Infallible;

/// Largest tree compared; beyond 256 it has a tile of level 1.
const LARGEST: u64 = 300;

/// Tiles as the compact range completes them.
#[derive(Default)]
struct Tiles(BTreeMap<(u8, u64), Vec<Hash>>);

impl TileSource for Tiles {
    type Error = Infallible;

    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Infallible> {
        let hashes = self
            .0
            .get(&(tile.level, tile.index))
            .cloned()
            .unwrap_or_default();
        Ok(hashes.into_iter().take(usize::from(tile.width)).collect())
    }
}

fn value(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

fn tiles() -> Tiles {
    let mut tiles = Tiles::default();
    let mut range = CompactRange::default();
    for index in 0..LARGEST {
        let leaf = leaf_hash(&value(index));
        tiles.0.entry((0, index / 256)).or_default().push(leaf);
        range.push(leaf, |node| {
            if node.height % 8 == 0 {
                tiles
                    .0
                    .entry((node.height / 8, node.index / 256))
                    .or_default()
                    .push(node.hash);
            }
        });
    }
    tiles
}

/// Stored hashes in the order of `tlog_tiles`.
struct Stored(Vec<tlog_tiles::Hash>);

impl tlog_tiles::HashReader for Stored {
    fn read_hashes(
        &self,
        indexes: &[u64],
    ) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::tlog::Error> {
        Ok(indexes
            .iter()
            .map(|index| self.0[usize::try_from(*index).unwrap()])
            .collect())
    }
}

fn theirs(hashes: &[Hash]) -> Vec<tlog_tiles::Hash> {
    hashes.iter().map(|hash| tlog_tiles::Hash(hash.0)).collect()
}

#[test]
fn tlog_tiles_makes_the_same_roots_and_proofs() {
    let tiles = tiles();
    let mut stored = Stored(Vec::new());
    for n in 1..=LARGEST {
        let more = tlog_tiles::stored_hashes(n - 1, &value(n - 1), &stored).unwrap();
        stored.0.extend(more);
        let mut reader = TreeReader::new(&tiles, n);
        let root = reader.root().unwrap();
        assert_eq!(
            tlog_tiles::tree_hash(n, &stored).unwrap().0,
            root.0,
            "root of {n}"
        );
        for other in [0, n / 3, n / 2, n - 1] {
            let path = reader.inclusion(other).unwrap();
            assert_eq!(
                tlog_tiles::prove_record(n, other, &stored).unwrap(),
                theirs(&path),
                "{other} in {n}"
            );
            if other > 0 {
                let proof = reader.consistency(other).unwrap();
                assert_eq!(
                    tlog_tiles::prove_tree(n, other, &stored).unwrap(),
                    theirs(&proof),
                    "{other} to {n}"
                );
            }
        }
    }
}

#[test]
fn ct_merkle_makes_the_same_roots_and_proofs_and_we_accept_them() {
    let tiles = tiles();
    let mut tree = ct_merkle::mem_backed_tree::MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new();
    for n in 1..=LARGEST {
        tree.push(value(n - 1));
        let mut reader = TreeReader::new(&tiles, n);
        let root = reader.root().unwrap();
        assert_eq!(tree.root().as_bytes().as_slice(), root.0, "root of {n}");
        let ours = |bytes: &[u8]| -> Vec<Hash> {
            bytes
                .as_chunks::<32>()
                .0
                .iter()
                .map(|hash| Hash(*hash))
                .collect()
        };
        for index in [0, n / 2, n - 1] {
            let path = ours(
                tree.prove_inclusion(usize::try_from(index).unwrap())
                    .as_bytes(),
            );
            assert_eq!(path, reader.inclusion(index).unwrap(), "{index} in {n}");
            verify::inclusion(&leaf_hash(&value(index)), index, n, &path, &root).unwrap();
        }
        for added in [1, n / 2]
            .into_iter()
            .filter(|added| *added > 0 && *added < n)
        {
            let old = n - added;
            let proof = ours(
                tree.prove_consistency(usize::try_from(added).unwrap())
                    .as_bytes(),
            );
            assert_eq!(proof, reader.consistency(old).unwrap(), "{old} to {n}");
            let old_root = TreeReader::new(&tiles, old).root().unwrap();
            verify::consistency(old, n, &old_root, &root, &proof).unwrap();
        }
    }
}
