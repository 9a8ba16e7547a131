//! Runs every Merkle proof vector of `vectors/merkle` and `vectors/real` through the strict verifiers.
//! `vectors/README.md` says where they come from and how to run those of transparency-dev/merkle as well.

#![allow(
    clippy::unwrap_used,
    reason = "a vector that cannot be read must fail the test"
)]

use belfry_protocol::base64;
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::tlog::verify;
use serde::Deserialize;
use std::fmt::Write as _;

/// One vector; the fields present say which proof it is. Names as transparency-dev/merkle has them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Vector {
    #[serde(alias = "desc")]
    name: String,
    want_err: bool,
    proof: Option<Vec<String>>,
    leaf_idx: Option<u64>,
    leaf_hash: Option<String>,
    root: Option<String>,
    root1: Option<String>,
    root2: Option<String>,
    tree_size: Option<u64>,
    size1: Option<u64>,
    size2: Option<u64>,
    start: Option<u64>,
    end: Option<u64>,
    size: Option<u64>,
}

/// The four kinds of vectors.
#[derive(Clone, Copy)]
enum Kind {
    Inclusion,
    Consistency,
    SubtreeInclusion,
    SubtreeConsistency,
}

/// What running a list of vectors came to.
#[derive(Default)]
struct Tally {
    /// Given to a verifier.
    ran: usize,
    /// Has a hash that is not 32 bytes and wants an error: `Hash` cannot even hold it.
    unrepresentable: usize,
    /// Has a hash that is not 32 bytes, yet wants success: a rule about short hashes that we do not share.
    skipped: usize,
    /// The verifier gave the other answer.
    wrong: String,
}

fn hash(text: Option<&String>) -> Option<Hash> {
    Some(Hash(base64::decode(text?)?.try_into().ok()?))
}

/// Whether our verifier accepts the vector; `None` if one of its hashes is not 32 bytes.
fn accepted(kind: Kind, v: &Vector) -> Option<bool> {
    let proof: Vec<Hash> = v
        .proof
        .iter()
        .flatten()
        .map(|h| hash(Some(h)))
        .collect::<Option<_>>()?;
    let old_and_new = || Some((hash(v.root1.as_ref())?, hash(v.root2.as_ref())?));
    let leaf_and_root = || Some((hash(v.leaf_hash.as_ref())?, hash(v.root.as_ref())?));
    Some(match kind {
        Kind::Inclusion => {
            let (leaf, root) = leaf_and_root()?;
            verify::inclusion(
                &leaf,
                v.leaf_idx.unwrap(),
                v.tree_size.unwrap(),
                &proof,
                &root,
            )
            .is_ok()
        }
        Kind::SubtreeInclusion => {
            let (leaf, root) = leaf_and_root()?;
            let (index, start, end) = (v.leaf_idx.unwrap(), v.start.unwrap(), v.end.unwrap());
            // A subtree is a tree of its own: we have no verifier for this kind, only the rule which ranges count.
            verify::is_subtree(start, end)
                && index >= start
                && verify::inclusion(&leaf, index - start, end - start, &proof, &root).is_ok()
        }
        Kind::Consistency => {
            let (old, new) = old_and_new()?;
            verify::consistency(v.size1.unwrap(), v.size2.unwrap(), &old, &new, &proof).is_ok()
        }
        Kind::SubtreeConsistency => {
            let (old, new) = old_and_new()?;
            verify::subtree(
                v.start.unwrap(),
                v.end.unwrap(),
                v.size.unwrap(),
                &old,
                &new,
                &proof,
            )
            .is_ok()
        }
    })
}

impl Tally {
    fn add(&mut self, kind: Kind, vector: &Vector) {
        match accepted(kind, vector) {
            None if vector.want_err => self.unrepresentable += 1,
            None => self.skipped += 1,
            Some(accepted) => {
                self.ran += 1;
                if accepted == vector.want_err {
                    let verb = if accepted { "accepted" } else { "refused" };
                    writeln!(self.wrong, "{verb} wrongly: {}", vector.name).unwrap();
                }
            }
        }
    }

    /// `vectors/` is ours: nothing may be skipped, and the totals show a file that lost vectors.
    fn expect(&self, ran: usize, unrepresentable: usize) {
        assert_eq!(self.wrong, "");
        assert_eq!(
            (self.ran, self.unrepresentable, self.skipped),
            (ran, unrepresentable, 0)
        );
    }
}

fn run(kind: Kind, file: &str) -> Tally {
    let mut tally = Tally::default();
    for vector in serde_json::from_str::<Vec<Vector>>(file).unwrap() {
        tally.add(kind, &vector);
    }
    tally
}

#[test]
fn inclusion() {
    run(
        Kind::Inclusion,
        include_str!("vectors/merkle/inclusion.json"),
    )
    .expect(302, 38);
}

#[test]
fn consistency() {
    run(
        Kind::Consistency,
        include_str!("vectors/merkle/consistency.json"),
    )
    .expect(359, 44);
}

#[test]
fn inclusion_in_a_subtree() {
    run(
        Kind::SubtreeInclusion,
        include_str!("vectors/merkle/subtree_inclusion.json"),
    )
    .expect(165, 18);
}

#[test]
fn subtree_of_a_tree() {
    run(
        Kind::SubtreeConsistency,
        include_str!("vectors/merkle/subtree_consistency.json"),
    )
    .expect(327, 33);
}

#[test]
fn proofs_of_real_logs() {
    run(Kind::Inclusion, include_str!("vectors/real/inclusion.json")).expect(2, 0);
    run(
        Kind::Consistency,
        include_str!("vectors/real/consistency.json"),
    )
    .expect(1, 0);
}

/// transparency-dev accepts the empty range as a subtree; the draft (§4.1) and we demand start < end.
const EMPTY_SUBTREES_ACCEPTED_THERE: usize = 6;

#[test]
#[ignore = "needs BELFRY_MERKLE_TESTDATA, the testdata directory of a transparency-dev/merkle checkout"]
fn those_of_transparency_dev() {
    let dir =
        std::env::var_os("BELFRY_MERKLE_TESTDATA").expect("BELFRY_MERKLE_TESTDATA is not set");
    let dir = std::path::PathBuf::from(dir);
    let mut total = 0;
    for (kind, name) in [
        (Kind::Inclusion, "inclusion"),
        (Kind::Consistency, "consistency"),
        (Kind::SubtreeInclusion, "subtreeinclusion"),
        (Kind::SubtreeConsistency, "subtreeconsistency"),
    ] {
        let (mut tally, mut empty_subtrees) = (Tally::default(), 0);
        for path in json_files(&dir.join(name)) {
            let vector: Vector =
                serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            if matches!(kind, Kind::SubtreeConsistency)
                && vector.start == vector.end
                && !vector.want_err
            {
                assert_ne!(accepted(kind, &vector), Some(true), "{}", path.display());
                empty_subtrees += 1;
            } else {
                tally.add(kind, &vector);
            }
        }
        let (ran, short, skipped) = (tally.ran, tally.unrepresentable, tally.skipped);
        println!(
            "{name}: {ran} run, {short} not 32 bytes, {skipped} skipped, {empty_subtrees} empty subtrees"
        );
        assert_eq!(tally.wrong, "");
        let empty_expected = if name == "subtreeconsistency" {
            EMPTY_SUBTREES_ACCEPTED_THERE
        } else {
            0
        };
        assert_eq!(empty_subtrees, empty_expected);
        total += ran + short + skipped + empty_subtrees;
    }
    assert!(total >= 518, "only {total} vectors found");
}

fn json_files(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(json_files(&path));
        } else {
            files.push(path);
        }
    }
    files
}
