//! Digests across an activation: the joint digest, what came before it, what comes after it, and expelled towers' keys.

use crate::fixture::{amendment, entry, founding};
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::genesis::ceremony::active_body;
use belfry_protocol::genesis::joint::{Activation, History, JointError};
use belfry_protocol::manifest::Manifest;
use belfry_protocol::note::{SignedNote, SigningKey};
use belfry_protocol::policy::Policy;
use belfry_protocol::proof_file::TlogProof;
use belfry_protocol::tlog::hash::{Hash, leaf_hash};
use belfry_protocol::tlog::memory::MemoryTree;

const ORIGIN: &str = "m00.example";

fn tower(at: u8) -> SigningKey {
    SigningKey::cosigner(&format!("t{at}.example"), [at + 1; 32]).unwrap()
}

fn log() -> SigningKey {
    SigningKey::ed25519(ORIGIN, [200; 32]).unwrap()
}

/// Two of three towers.
fn policy(towers: [u8; 3]) -> Policy {
    let mut policy = Policy::new();
    policy.add_log(log().verifier().clone(), None).unwrap();
    let names: Vec<String> = towers.iter().map(|at| format!("t{at}.example")).collect();
    for (at, name) in towers.iter().zip(&names) {
        let key = tower(*at).verifier().clone();
        policy.add_witness(name, key, None).unwrap();
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    policy.add_group("towers", 2, &names).unwrap();
    policy.set_quorum("towers").unwrap();
    policy
}

/// A ledger whose activations of epochs 1 and 2 are entries 3 and 7.
struct Ledger {
    id: Hash,
    manifests: [Manifest; 3],
    entries: Vec<Vec<u8>>,
    tree: MemoryTree,
}

impl Ledger {
    fn new() -> Self {
        let zero = founding(&[0, 1, 2, 3], 0);
        let one = amendment(&zero, &[0, 1, 2, 3], 1);
        let two = amendment(&one, &[0, 1, 2, 3], 2);
        let id = zero.hash();
        let entries: Vec<Vec<u8>> = (0..12)
            .map(|at| match at {
                3 => entry("genesis.active", &active_body(&id, 1, &one.hash())),
                7 => entry("genesis.active", &active_body(&id, 2, &two.hash())),
                _ => entry("audit.event", &format!("{{\"n\":{at}}}")),
            })
            .collect();
        let tree = MemoryTree::new(entries.iter().map(|bytes| leaf_hash(bytes)).collect());
        Self {
            id,
            manifests: [zero, one, two],
            entries,
            tree,
        }
    }

    fn digest(&self, size: u64, towers: &[u8]) -> SignedNote {
        signed(size, self.tree.root(size), towers)
    }

    fn inclusion(&self, index: u64, size: u64) -> Vec<Hash> {
        // A subtree of one leaf: the same nodes as an inclusion proof.
        self.tree.subtree_proof(index, index + 1, size).unwrap()
    }

    fn activation(&self, index: u64, size: u64, towers: &[u8], before: Option<u64>) -> Activation {
        Activation {
            entry: self.entries[usize::try_from(index).unwrap()].clone(),
            index,
            inclusion: self.inclusion(index, size),
            digest: self.digest(size, towers),
            extends: before.map_or_else(Vec::new, |old| self.tree.consistency(old, size).unwrap()),
        }
    }

    /// Towers 0 to 2, then 2 to 4, then 4 to 6.
    fn history(&self) -> History {
        let mut history = History::new(ORIGIN, 0, policy([0, 1, 2]));
        let first = self.activation(3, 5, &[0, 1, 3, 4], None);
        history
            .activate(&self.id, &self.manifests[1], policy([2, 3, 4]), &first)
            .unwrap();
        let second = self.activation(7, 9, &[2, 3, 5, 6], Some(5));
        history
            .activate(&self.id, &self.manifests[2], policy([4, 5, 6]), &second)
            .unwrap();
        history
    }

    fn link(&self, history: &History, size: u64) -> Vec<Hash> {
        let (old, new) = history.link_of(size).unwrap();
        self.tree.consistency(old, new).unwrap()
    }
}

fn signed(size: u64, root: Hash, towers: &[u8]) -> SignedNote {
    let text = Checkpoint {
        origin: ORIGIN.to_owned(),
        size,
        root,
    }
    .to_text();
    let lines = towers
        .iter()
        .map(|at| tower(*at).cosign(&text, 1_795_168_900).unwrap());
    let lines = std::iter::once(log().sign_note(&text).unwrap()).chain(lines);
    SignedNote::new(&text, lines.collect()).unwrap()
}

#[test]
fn receipts_of_every_epoch_still_verify() {
    let ledger = Ledger::new();
    let history = ledger.history();
    assert_eq!(history.epoch(), 2);
    // Size, towers of its time, and the epoch that vouches for it.
    for (size, towers, epoch) in [
        (2, [0, 1], 0),
        (4, [1, 2], 0),
        (6, [2, 4], 1),
        (8, [3, 4], 1),
        (9, [5, 6], 2),
        (12, [4, 6], 2),
    ] {
        let digest = ledger.digest(size, &towers);
        let link = ledger.link(&history, size);
        let proof = TlogProof::new(1, ledger.inclusion(1, size), digest, None).unwrap();
        let leaf = leaf_hash(&ledger.entries[1]);
        let judged = history.judge_receipt(&proof, &leaf, &link).unwrap();
        assert_eq!((judged.epoch, judged.checkpoint.size), (epoch, size));
        let other = leaf_hash(b"another entry");
        let said = history.judge_receipt(&proof, &other, &link).unwrap_err();
        assert!(matches!(said, JointError::Inclusion(_)));
    }
}

#[test]
fn an_activation_needs_both_quorums_on_the_same_digest() {
    let ledger = Ledger::new();
    let activate = |activation: &Activation| {
        let mut history = History::new(ORIGIN, 0, policy([0, 1, 2]));
        let next = &ledger.manifests[1];
        let done = history.activate(&ledger.id, next, policy([2, 3, 4]), activation);
        done.map(|joint| joint.checkpoint.size)
    };
    assert_eq!(activate(&ledger.activation(3, 5, &[1, 2, 3], None)), Ok(5));
    for (towers, epoch) in [(&[0, 1][..], 1), (&[3, 4], 0), (&[0, 3], 0)] {
        let said = activate(&ledger.activation(3, 5, towers, None)).unwrap_err();
        assert!(matches!(said, JointError::Policy { epoch: of, .. } if of == epoch));
    }
    // A digest that does not cover the entry, and an entry that activates something else.
    let mut early = ledger.activation(3, 5, &[0, 1, 3, 4], None);
    early.digest = ledger.digest(3, &[0, 1, 3, 4]);
    assert!(matches!(activate(&early), Err(JointError::Inclusion(_))));
    let other = ledger.activation(7, 9, &[0, 1, 3, 4], None);
    assert_eq!(activate(&other), Err(JointError::Entry(1)));
    // What a tower that is only in N+1 waits for: the quorum of N alone.
    let waiting = ledger.activation(3, 5, &[0, 1], None);
    let old = policy([0, 1, 2]);
    let next = &ledger.manifests[1];
    assert!(waiting.verify_under(&ledger.id, next, &old, 0).is_ok());
    let new = policy([2, 3, 4]);
    assert!(waiting.verify_under(&ledger.id, next, &new, 1).is_err());
    // No epoch is left out.
    let mut history = History::new(ORIGIN, 0, old);
    let second = ledger.activation(7, 9, &[0, 1, 5, 6], None);
    let said = history.activate(&ledger.id, &ledger.manifests[2], new, &second);
    assert!(matches!(
        said,
        Err(JointError::Gap {
            found: 2,
            newest: 0
        })
    ));
}

/// R14: "the keys of expelled towers are worthless."
#[test]
fn expelled_towers_sign_nothing_that_counts() {
    let ledger = Ledger::new();
    let history = ledger.history();
    // Another history of size 4, by the whole quorum of epoch 0 and the log's key.
    let forged = signed(4, Hash([7; 32]), &[0, 1, 2]);
    let link = ledger.link(&history, 4);
    let said = history.judge(&forged, &link).unwrap_err();
    assert!(
        matches!(
            said,
            JointError::Prefix {
                size: 4,
                joint: 5,
                ..
            }
        ),
        "{said}"
    );
    assert!(history.judge(&forged, &[]).is_err());
    // A true digest of today by towers of yesterday.
    let late = ledger.digest(12, &[0, 1, 2, 3]);
    let link = ledger.link(&history, 12);
    let said = history.judge(&late, &link).unwrap_err();
    assert!(matches!(said, JointError::Policy { epoch: 2, .. }));
    // Today's towers on something that does not extend the joint digest.
    let torn = signed(12, Hash([8; 32]), &[4, 5, 6]);
    let said = history.judge(&torn, &link).unwrap_err();
    assert!(
        matches!(
            said,
            JointError::Prefix {
                size: 12,
                joint: 9,
                ..
            }
        ),
        "{said}"
    );
    // Whoever knows epoch 0 alone has no such check: that is what its end of validity is for.
    let young = History::new(ORIGIN, 0, policy([0, 1, 2]));
    assert!(young.link_of(4).is_none() && young.judge(&forged, &[]).is_ok());
}
