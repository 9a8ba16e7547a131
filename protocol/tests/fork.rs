//! Fork proofs: every pair of small sizes, both types, certificates, and everything that must not pass for a fork.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_protocol::cert::{Certificate, Scope, certificate_hash};
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::fork::{ForkError, ForkKind, ForkProof, smaller_root};
use belfry_protocol::note::{SignedNote, SigningKey};
use belfry_protocol::tlog::hash::{Hash, empty_root, leaf_hash, node_hash, sha256};
use proptest::prelude::*;

const ORIGIN: &str = "acme.example/line-4";

/// Leaves of a history; histories with another letter differ from leaf `from` on.
fn leaves(size: u64, from: u64, letter: u8) -> Vec<Hash> {
    (0..size)
        .map(|i| {
            leaf_hash(&[
                if i < from { b'a' } else { letter },
                u8::try_from(i).unwrap(),
            ])
        })
        .collect()
}

fn split(size: usize) -> usize {
    size.next_power_of_two() / 2
}

/// MTH of RFC 6962, straight from its definition.
fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// SUBPROOF(m, D, false) of RFC 6962, straight from its definition.
fn subproof(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if m == leaves.len() {
        return vec![root(leaves)];
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut proof, other) = if m <= k {
        (subproof(m, left), root(right))
    } else {
        (subproof(m - k, right), root(left))
    };
    proof.push(other);
    proof
}

fn log_key() -> SigningKey {
    SigningKey::ed25519(ORIGIN, [1; 32]).unwrap()
}

fn tower_key() -> SigningKey {
    SigningKey::cosigner("t.example", [2; 32]).unwrap()
}

fn signed(leaves: &[Hash]) -> SignedNote {
    checkpoint(leaves).sign(&log_key()).unwrap()
}

fn checkpoint(leaves: &[Hash]) -> Checkpoint {
    Checkpoint {
        origin: ORIGIN.to_owned(),
        size: leaves.len() as u64,
        root: root(leaves),
    }
}

fn cosigned(leaves: &[Hash], time: u64) -> SignedNote {
    let text = checkpoint(leaves).to_text();
    SignedNote::new(&text, vec![tower_key().cosign(&text, time).unwrap()]).unwrap()
}

fn fork(m: u64, n: u64) -> ForkProof {
    let (small, large) = (leaves(m, 0, b'b'), leaves(n, 0, b'c'));
    let nodes = if m == n {
        Vec::new()
    } else {
        subproof(usize::try_from(m).unwrap(), &large)
    };
    ForkProof::build(
        ForkKind::Origin,
        signed(&large),
        signed(&small),
        nodes,
        Vec::new(),
    )
    .unwrap()
}

#[test]
fn every_small_fork_is_proved_and_every_consistent_pair_is_not() {
    for n in 1..=33u64 {
        for m in 1..=n {
            let proof = fork(m, n);
            let found = ForkProof::parse(proof.to_json().as_bytes())
                .unwrap()
                .verify(&[log_key().verifier().clone()]);
            let found = found.unwrap();
            assert_eq!(
                (found.smaller_size, found.larger_size, found.origin.as_str()),
                (m, n, ORIGIN)
            );
            if m < n {
                let honest = leaves(n, n, b'a');
                let small = &honest[..usize::try_from(m).unwrap()];
                let nodes = subproof(small.len(), &honest);
                assert_eq!(
                    smaller_root(m, n, &nodes, &root(&honest)),
                    Some(root(small))
                );
                let proof = ForkProof::build(
                    ForkKind::Origin,
                    signed(small),
                    signed(&honest),
                    nodes,
                    Vec::new(),
                )
                .unwrap();
                assert_eq!(
                    proof.verify(&[log_key().verifier().clone()]),
                    Err(ForkError::Consistent)
                );
            }
        }
    }
}

#[test]
fn wrong_nodes_prove_nothing() {
    let proof = fork(5, 13);
    let rebuilt = |nodes| {
        ForkProof::build(
            ForkKind::Origin,
            proof.smaller().clone(),
            proof.larger().clone(),
            nodes,
            Vec::new(),
        )
    };
    let trusted = [log_key().verifier().clone()];
    for at in 0..proof.nodes().len() {
        let mut nodes = proof.nodes().to_vec();
        nodes[at] = sha256(b"other");
        assert_eq!(
            rebuilt(nodes).unwrap().verify(&trusted),
            Err(ForkError::LargerRoot)
        );
        let mut fewer = proof.nodes().to_vec();
        fewer.remove(at);
        assert_eq!(
            rebuilt(fewer).unwrap().verify(&trusted),
            Err(ForkError::LargerRoot)
        );
    }
    let mut more = proof.nodes().to_vec();
    more.push(sha256(b"more"));
    assert_eq!(
        rebuilt(more).unwrap().verify(&trusted),
        Err(ForkError::LargerRoot)
    );
    assert!(rebuilt(Vec::new()).is_err());
    assert!(rebuilt(vec![Hash::default(); 65]).is_err());
}

#[test]
fn size_zero_is_a_case_of_its_own() {
    let text = format!("{ORIGIN}\n0\nHA5HAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
    let wrong = log_key().signed_note(&text).unwrap();
    let (empty, five) = (signed(&[]), signed(&leaves(5, 0, b'b')));
    let trusted = [log_key().verifier().clone()];
    let build = |one: &SignedNote, other: &SignedNote, nodes| {
        ForkProof::build(
            ForkKind::Origin,
            one.clone(),
            other.clone(),
            nodes,
            Vec::new(),
        )
    };
    assert!(
        build(&wrong, &five, Vec::new())
            .unwrap()
            .verify(&trusted)
            .is_ok()
    );
    assert!(
        build(&wrong, &empty, Vec::new())
            .unwrap()
            .verify(&trusted)
            .is_ok()
    );
    assert_eq!(
        build(&empty, &five, Vec::new()).unwrap().verify(&trusted),
        Err(ForkError::Consistent)
    );
    assert_eq!(
        build(&five, &five, Vec::new()).unwrap().verify(&trusted),
        Err(ForkError::Consistent)
    );
    assert!(build(&wrong, &five, vec![Hash::default()]).is_err());
    assert!(build(&five, &five, vec![Hash::default()]).is_err());
}

#[test]
fn only_the_accused_can_be_accused() {
    let proof = fork(3, 7);
    let other = SigningKey::ed25519(ORIGIN, [9; 32]).unwrap();
    assert!(matches!(
        proof.verify(&[other.verifier().clone()]),
        Err(ForkError::Signer(_))
    ));
    assert!(matches!(proof.verify(&[]), Err(ForkError::Signer(_))));
    let foreign = SigningKey::ed25519("b.example", [1; 32]).unwrap();
    let note = Checkpoint {
        origin: "b.example".to_owned(),
        size: 3,
        root: sha256(b"x"),
    }
    .sign(&foreign)
    .unwrap();
    let mixed = ForkProof::build(
        ForkKind::Origin,
        note,
        proof.larger().clone(),
        proof.nodes().to_vec(),
        Vec::new(),
    );
    assert!(matches!(mixed, Err(ForkError::Malformed(_))));
    // One of the two notes forged by a stranger.
    let forged = checkpoint(&leaves(3, 0, b'z')).sign(&other).unwrap();
    let nodes = proof.nodes().to_vec();
    let forged = ForkProof::build(
        ForkKind::Origin,
        forged,
        proof.larger().clone(),
        nodes,
        Vec::new(),
    )
    .unwrap();
    assert!(matches!(
        forged.verify(&[log_key().verifier().clone()]),
        Err(ForkError::Signer(_))
    ));
}

#[test]
fn towers_are_accused_by_two_lines_of_one_key() {
    let (small, large) = (leaves(3, 0, b'b'), leaves(7, 0, b'c'));
    let build = |one, other| {
        ForkProof::build(ForkKind::Tower, one, other, subproof(3, &large), Vec::new()).unwrap()
    };
    let trusted = [tower_key().verifier().clone()];
    let proof = build(cosigned(&small, 5), cosigned(&large, 6));
    let found = ForkProof::parse(proof.to_json().as_bytes())
        .unwrap()
        .verify(&trusted)
        .unwrap();
    assert_eq!(
        (found.kind, found.smaller_key.name()),
        (ForkKind::Tower, "t.example")
    );
    // The log's own signatures do not accuse a tower, nor does a second key of it.
    let by_log = build(signed(&small), signed(&large));
    assert!(matches!(
        by_log.verify(&[trusted[0].clone(), log_key().verifier().clone()]),
        Err(ForkError::Signer(_))
    ));
    let next = SigningKey::cosigner("t.example", [3; 32]).unwrap();
    let text = checkpoint(&large).to_text();
    let later = SignedNote::new(&text, vec![next.cosign(&text, 9).unwrap()]).unwrap();
    let two_keys = build(cosigned(&small, 5), later);
    assert!(matches!(
        two_keys.verify(&[trusted[0].clone(), next.verifier().clone()]),
        Err(ForkError::Signer(_))
    ));
}

/// Certificates of the node: serial 1 from size 0, serial 2 from size 5.
fn chain(identity: &SigningKey) -> (Vec<SignedNote>, [SigningKey; 2]) {
    let log = [11u8, 21].map(|seed| SigningKey::ed25519(ORIGIN, [seed; 32]).unwrap());
    let mut notes: Vec<SignedNote> = Vec::new();
    for (serial, (log, from)) in (1u64..).zip(log.iter().zip([0, 5])) {
        let seed = |purpose: u8| [u8::try_from(serial).unwrap() * 10 + purpose; 32];
        let certificate = Certificate {
            scope: Scope::Unfounded,
            node: ORIGIN.to_owned(),
            serial,
            previous: notes.last().map(certificate_hash),
            not_before_seconds: serial,
            not_after_seconds: serial + 10,
            log: log.verifier().clone(),
            log_from_size: from,
            ack: SigningKey::cosigner(ORIGIN, seed(2))
                .unwrap()
                .verifier()
                .clone(),
            mirror: SigningKey::cosigner(&format!("{ORIGIN}/mirror"), seed(3))
                .unwrap()
                .verifier()
                .clone(),
            envelope: SigningKey::ed25519(ORIGIN, seed(4))
                .unwrap()
                .verifier()
                .clone(),
        };
        notes.push(certificate.sign(identity).unwrap());
    }
    (notes, log)
}

#[test]
fn certificates_lead_to_a_trusted_identity() {
    let identity = SigningKey::ed25519(ORIGIN, [9; 32]).unwrap();
    let (certificates, keys) = chain(&identity);
    let (small, large) = (leaves(3, 0, b'b'), leaves(7, 0, b'c'));
    let build = |a: &SigningKey, b: &SigningKey| {
        let (one, other) = (
            checkpoint(&small).sign(a).unwrap(),
            checkpoint(&large).sign(b).unwrap(),
        );
        ForkProof::build(
            ForkKind::Origin,
            one,
            other,
            subproof(3, &large),
            certificates.clone(),
        )
        .unwrap()
    };
    let trusted = [identity.verifier().clone()];
    let proof = build(&keys[0], &keys[1]);
    let found = ForkProof::parse(proof.to_json().as_bytes())
        .unwrap()
        .verify(&trusted)
        .unwrap();
    assert_eq!(
        (&found.smaller_key, &found.larger_key),
        (keys[0].verifier(), keys[1].verifier())
    );
    // A key does not speak for sizes of another serial.
    assert!(matches!(
        build(&keys[0], &keys[0]).verify(&trusted),
        Err(ForkError::Signer(_))
    ));
    assert!(matches!(
        build(&keys[1], &keys[1]).verify(&trusted),
        Err(ForkError::Signer(_))
    ));
    let stranger = SigningKey::ed25519(ORIGIN, [8; 32]).unwrap();
    assert!(matches!(
        proof.verify(&[stranger.verifier().clone()]),
        Err(ForkError::Cert(_))
    ));
    assert!(matches!(proof.verify(&[]), Err(ForkError::Signer(_))));
}

#[test]
fn only_the_canonical_file_is_read() {
    let json = fork(2, 3).to_json();
    assert!(
        json.starts_with("{\"format\":\"belfry-fork/v1\",\"larger\":\"acme.example/line-4\\n3\\n")
    );
    assert!(json.contains("\",\"nodes\":[\"") && json.ends_with(",\"type\":\"origin\"}"));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["origin"], ORIGIN);
    let swapped = {
        let (smaller, larger) = (
            value["smaller"].as_str().unwrap(),
            value["larger"].as_str().unwrap(),
        );
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        json.replace(&quoted(smaller), "#")
            .replace(&quoted(larger), &quoted(smaller))
            .replace('#', &quoted(larger))
    };
    let bad = [
        format!("{json}\n"),
        format!(" {json}"),
        json.replace("{\"format\"", "{\"extra\":1,\"format\""),
        json.replace("{\"format\"", "{\"certificates\":[],\"format\""),
        json.replace("fork/v1", "fork/v2"),
        json.replace("\"origin\"}", "\"other\"}"),
        json.replace("\"origin\":\"acme", "\"origin\":\"bcme"),
        json.replace("acme.example/line-4\\n3", "\\u0061cme.example/line-4\\n3"),
        json.replace(
            "{\"format\":\"belfry-fork/v1\",",
            "{\"format\":\"belfry-fork/v1\",\"format\":\"belfry-fork/v1\",",
        ),
        json.replace("/", "\\/"),
        swapped,
        json[..json.len() - 1].to_owned(),
        "[".repeat(10_000),
        "x".repeat(300_000),
    ];
    for text in bad {
        assert!(ForkProof::parse(text.as_bytes()).is_err(), "{text}");
    }
    assert_eq!(fork(2, 3).digest(), sha256(json.as_bytes()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_changed_byte_is_refused(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut bytes = fork(3, 7).to_json().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let judged = ForkProof::parse(&bytes).and_then(|proof| proof.verify(&[log_key().verifier().clone()]));
        prop_assert!(judged.is_err());
    }
}
