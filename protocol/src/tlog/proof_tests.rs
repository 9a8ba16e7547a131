//! Proofs built from tiles against the strict verifiers, and against two other implementations.

use super::*;
use crate::tlog::hash::leaf_hash;
use crate::tlog::verify;
use proptest::prelude::*;
use std::convert::Infallible;

/// A tree that computes every tile from its leaves, by the definition.
struct Leaves(Vec<Hash>);

fn mth(leaves: &[Hash]) -> Hash {
    match leaves.len() {
        0 => empty_root(),
        1 => leaves[0],
        n => {
            let split = n.next_power_of_two() / 2;
            node_hash(&mth(&leaves[..split]), &mth(&leaves[split..]))
        }
    }
}

impl TileSource for Leaves {
    type Error = Infallible;
    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Infallible> {
        let span = 1usize << (8 * usize::from(tile.level));
        let first = usize::try_from(tile.index).unwrap() * 256;
        Ok((first..first + usize::from(tile.width))
            .map(|i| mth(&self.0[i * span..(i + 1) * span]))
            .collect())
    }
}

fn tree(n: u64) -> Leaves {
    Leaves((0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect())
}

/// SUB of the draft, as it is written there.
fn sub(s: usize, e: usize, d: &[Hash], b: bool) -> Vec<Hash> {
    let n = d.len();
    if s == 0 && e == n {
        return if b { vec![] } else { vec![mth(d)] };
    }
    let k = n.next_power_of_two() / 2;
    let (mut proof, other) = if e <= k {
        (sub(s, e, &d[..k], b), mth(&d[k..]))
    } else if k <= s {
        (sub(s - k, e - k, &d[k..], b), mth(&d[..k]))
    } else {
        (sub(0, e - k, &d[k..], false), mth(&d[..k]))
    };
    proof.push(other);
    proof
}

#[test]
fn every_small_proof_is_the_one_of_the_definition_and_verifies() {
    for n in 1..=66u64 {
        let leaves = tree(n);
        let root = mth(&leaves.0);
        let mut reader = TreeReader::new(&leaves, n);
        assert_eq!(reader.root().unwrap(), root);
        for s in 0..n {
            let proof = reader.inclusion(s).unwrap();
            let leaf = leaves.0[usize::try_from(s).unwrap()];
            verify::inclusion(&leaf, s, n, &proof, &root).unwrap();
            for e in s + 1..=n {
                if !is_subtree(s, e) {
                    assert!(reader.subtree(s, e).is_err());
                    continue;
                }
                let (su, eu) = (usize::try_from(s).unwrap(), usize::try_from(e).unwrap());
                let proof = reader.subtree(s, e).unwrap();
                assert_eq!(proof, sub(su, eu, &leaves.0, true), "[{s},{e}) of {n}");
                verify::subtree(s, e, n, &mth(&leaves.0[su..eu]), &root, &proof).unwrap();
            }
        }
        for m in 1..=n {
            let mu = usize::try_from(m).unwrap();
            assert_eq!(
                reader.consistency_with_start(m).unwrap(),
                sub(0, mu, &leaves.0, false),
                "{m} of {n}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn proofs_of_random_trees_verify_and_changed_ones_do_not(
        n in 2u64..70_000, index in any::<u64>(), old in any::<u64>(), bit in any::<u64>(),
    ) {
        let leaves = tree(n);
        let mut reader = TreeReader::new(&leaves, n);
        let root = reader.root().unwrap();
        let (index, old) = (index % n, 1 + old % n);
        let leaf = leaves.0[usize::try_from(index).unwrap()];
        let mut proof = reader.inclusion(index).unwrap();
        prop_assert_eq!(verify::inclusion(&leaf, index, n, &proof, &root), Ok(()));
        flip(&mut proof, bit);
        prop_assert!(verify::inclusion(&leaf, index, n, &proof, &root).is_err());
        let old_root = TreeReader::new(&leaves, old).root().unwrap();
        let mut proof = reader.consistency(old).unwrap();
        prop_assert_eq!(verify::consistency(old, n, &old_root, &root, &proof), Ok(()));
        if !proof.is_empty() {
            flip(&mut proof, bit);
            prop_assert!(verify::consistency(old, n, &old_root, &root, &proof).is_err());
        }
        proof.push(root);
        prop_assert!(verify::consistency(old, n, &old_root, &root, &proof).is_err());
    }
}

fn flip(proof: &mut [Hash], bit: u64) {
    let bit = usize::try_from(bit % (proof.len() as u64 * 256)).unwrap();
    proof[bit / 256].0[bit % 256 / 8] ^= 1 << (bit % 8);
}
