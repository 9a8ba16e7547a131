//! A ledger's history in a file: three epochs, a tower replaced, and what must not be believed.

use crate::chain::publish;
use crate::fixture::{
    Shared, amendment, certificate, entry, founding, log_key, mirror_key, name, person,
};
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::genesis::Verifier;
use belfry_protocol::genesis::ceremony::active_body;
use belfry_protocol::genesis::chain::{Chain, Link};
use belfry_protocol::genesis::history::{HistoryError, LedgerHistory, VerifiedHistory};
use belfry_protocol::genesis::joint::{Activation, JointError};
use belfry_protocol::manifest::{Manifest, SignedManifest, signing_text};
use belfry_protocol::note::SignedNote;
use belfry_protocol::tlog::hash::{Hash, leaf_hash, sha256};
use belfry_protocol::tlog::memory::MemoryTree;
use proptest::prelude::*;

/// Epochs 1 and 2 are activated by entries 3 and 7; the joint digests are of 5 and 9 entries.
struct Ledger {
    file: LedgerHistory,
    id: Hash,
    tree: MemoryTree,
}

fn founded(manifest: &Manifest, people: &[usize]) -> Link {
    let text = signing_text(manifest, None);
    let lines = people
        .iter()
        .map(|at| person(*at).identity.sign_note(&text).unwrap());
    Link::Founded(SignedManifest::assemble(manifest.clone(), None, lines.collect()).unwrap())
}

fn digest(tree: &MemoryTree, size: u64, towers: &[usize]) -> SignedNote {
    let text = Checkpoint {
        origin: name(0),
        size,
        root: tree.root(size),
    }
    .to_text();
    let lines = towers
        .iter()
        .map(|at| mirror_key(*at).cosign(&text, 1_795_168_900).unwrap());
    let lines = std::iter::once(log_key(0).sign_note(&text).unwrap()).chain(lines);
    SignedNote::new(&text, lines.collect()).unwrap()
}

impl Ledger {
    fn new() -> Self {
        let zero = founding(&[0, 1, 2, 3], 0);
        let one = amendment(&zero, &[0, 1, 2, 4], 1);
        let two = amendment(&one, &[0, 1, 2, 4, 5], 2);
        let mut links = vec![founded(&zero, &[0, 1, 2, 3])];
        let mut chain = Chain::found(&links[0], &mut Verifier::new(Shared::new())).unwrap();
        let votes: [(&Manifest, &[usize], &[usize]); 2] = [
            (&one, &[0, 1, 2, 4], &[0, 1, 2]),
            (&two, &[0, 1, 2, 4, 5], &[0, 1, 2, 4]),
        ];
        for (manifest, approvals, commits) in votes {
            let link = Link::Voted(publish(&chain.election(), manifest, approvals, commits));
            chain
                .extend(&link, &mut Verifier::new(Shared::new()))
                .unwrap();
            links.push(link);
        }
        let id = zero.hash();
        let entries: Vec<Vec<u8>> = (0..12)
            .map(|at| match at {
                3 => entry("genesis.active", &active_body(&id, 1, &one.hash())),
                7 => entry("genesis.active", &active_body(&id, 2, &two.hash())),
                _ => entry("audit.event", &format!("{{\"n\":{at}}}")),
            })
            .collect();
        let tree = MemoryTree::new(entries.iter().map(|bytes| leaf_hash(bytes)).collect());
        let activation = |index: u64, size, towers: &[usize], before: Option<u64>| Activation {
            entry: entries[usize::try_from(index).unwrap()].clone(),
            index,
            inclusion: tree.subtree_proof(index, index + 1, size).unwrap(),
            digest: digest(&tree, size, towers),
            extends: before.map_or_else(Vec::new, |old| tree.consistency(old, size).unwrap()),
        };
        let file = LedgerHistory {
            origin: name(0),
            links,
            certificates: (0..6).map(certificate).collect(),
            revocations: Vec::new(),
            activations: vec![
                activation(3, 5, &[1, 3, 4], None),
                activation(7, 9, &[1, 2, 4], Some(5)),
            ],
        };
        Self { file, id, tree }
    }

    fn verify(&self) -> Result<VerifiedHistory, HistoryError> {
        self.file
            .verify(&self.id, &mut Verifier::new(Shared::new()))
    }
}

#[test]
fn a_history_holds_and_judges_digests_of_every_epoch() {
    let ledger = Ledger::new();
    let text = ledger.file.to_json();
    assert_eq!(LedgerHistory::parse(text.as_bytes()).unwrap(), ledger.file);
    let VerifiedHistory { chain, history } = ledger.verify().unwrap();
    assert_eq!((chain.manifest().epoch, history.epoch()), (2, 2));
    // Size, the towers of its time, and the epoch that vouches for it.
    let cases: [(u64, &[usize], u64); 4] = [
        (2, &[1, 3], 0),
        (6, &[2, 4], 1),
        (9, &[1, 4, 5], 2),
        (12, &[2, 4, 5], 2),
    ];
    for (size, towers, epoch) in cases {
        let (old, new) = history.link_of(size).unwrap();
        let link = ledger.tree.consistency(old, new).unwrap();
        let judged = history
            .judge(&digest(&ledger.tree, size, towers), &link)
            .unwrap();
        assert_eq!(judged.epoch, epoch, "{size}");
    }
    // The tower that left vouches for nothing that came after it.
    let (old, new) = history.link_of(12).unwrap();
    let link = ledger.tree.consistency(old, new).unwrap();
    let late = history.judge(&digest(&ledger.tree, 12, &[1, 3]), &link);
    assert!(
        matches!(late, Err(JointError::Policy { epoch: 2, .. })),
        "{late:?}"
    );
}

#[test]
fn a_history_without_its_newest_activations_judges_by_the_epoch_before() {
    let mut ledger = Ledger::new();
    ledger.file.activations.truncate(1);
    assert_eq!(ledger.verify().unwrap().history.epoch(), 1);
    ledger.file.activations.clear();
    assert_eq!(ledger.verify().unwrap().history.epoch(), 0);
}

#[test]
fn what_does_not_hold_is_named() {
    let ledger = Ledger::new();
    let refused = |change: &dyn Fn(&mut Ledger)| {
        let mut ledger = Ledger::new();
        change(&mut ledger);
        ledger.verify().unwrap_err()
    };
    let other = sha256(b"other");
    assert_eq!(
        refused(&|ledger| ledger.id = other),
        HistoryError::Federation {
            expected: other,
            found: ledger.id
        }
    );
    assert!(matches!(
        refused(&|ledger| drop(ledger.file.links.remove(1))),
        HistoryError::Genesis(_)
    ));
    assert!(matches!(
        refused(&|ledger| ledger.file.origin = name(1)),
        HistoryError::NoLedger(_)
    ));
    assert!(matches!(
        refused(&|ledger| ledger
            .file
            .certificates
            .retain(|one| !one.text().contains(&name(3)))),
        HistoryError::Policy { epoch: 0, .. }
    ));
    // A joint digest that the towers of the old epoch did not acknowledge.
    assert!(matches!(
        refused(&|ledger| {
            ledger.file.activations[0].digest = digest(&ledger.tree, 5, &[1, 4]);
        }),
        HistoryError::Joint { epoch: 1, .. }
    ));
    assert_eq!(
        refused(&|ledger| {
            let again = ledger.file.activations[1].clone();
            ledger.file.activations.push(again);
        }),
        HistoryError::TooMany
    );
}

proptest! {
    #[test]
    fn a_byte_that_changed_is_refused_or_changes_nothing_that_is_trusted(at in any::<prop::sample::Index>(), by in 1u8..) {
        let ledger = Ledger::new();
        let mut bytes = ledger.file.to_json().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        if let Ok(file) = LedgerHistory::parse(&bytes) {
            prop_assert_eq!(file.to_json().into_bytes(), bytes);
            let verified = file.verify(&ledger.id, &mut Verifier::new(Shared::new()));
            // What is signed is signed; who is no tower of any epoch may have any certificate.
            if let Ok(verified) = verified {
                prop_assert_eq!(verified.chain.id(), ledger.id);
                prop_assert_eq!(verified.history.epoch(), 2);
            }
        }
    }
}
