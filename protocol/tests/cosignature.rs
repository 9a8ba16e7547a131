//! Cosignatures: built, verified, and refused where their time or key is not a cosigner's.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::cosignature::{
    build, cosignature_message, subtree_message, timestamp, verify,
};
use belfry_protocol::note::{NoteError, SignatureLine, SigningKey};
use belfry_protocol::tlog::hash::{Hash, sha256};

fn checkpoint() -> Checkpoint {
    Checkpoint {
        origin: "a.example/log".to_owned(),
        size: 3,
        root: sha256(b"root"),
    }
}

#[test]
fn builds_and_verifies() {
    let key = SigningKey::cosigner("t.example", [1; 32]).unwrap();
    for time in [1, 1_770_193_051, (1 << 63) - 1] {
        let line = build(&checkpoint(), &key, time).unwrap();
        assert_eq!(timestamp(&line), Some(time));
        assert_eq!(
            verify(&checkpoint().to_text(), &line, key.verifier()),
            Ok(time)
        );
        let other = Checkpoint {
            size: 4,
            ..checkpoint()
        };
        assert!(verify(&other.to_text(), &line, key.verifier()).is_err());
    }
    assert_eq!(build(&checkpoint(), &key, 0), Err(NoteError::Timestamp(0)));
    assert!(build(&checkpoint(), &key, 1 << 63).is_err());
}

#[test]
fn a_changed_time_is_refused() {
    let key = SigningKey::cosigner("t.example", [1; 32]).unwrap();
    let line = build(&checkpoint(), &key, 1_000).unwrap();
    for time in [0u64, 1_001, 1 << 63] {
        let blob = [&time.to_be_bytes()[..], &line.signature()[8..]].concat();
        let changed = SignatureLine::new("t.example", line.key_id(), blob).unwrap();
        assert!(
            verify(&checkpoint().to_text(), &changed, key.verifier()).is_err(),
            "{time}"
        );
    }
    let short = SignatureLine::new("t.example", line.key_id(), vec![0; 7]).unwrap();
    assert!(verify(&checkpoint().to_text(), &short, key.verifier()).is_err());
    let log = SigningKey::ed25519("t.example", [1; 32]).unwrap();
    assert_eq!(
        verify(&checkpoint().to_text(), &line, log.verifier()),
        Err(NoteError::WrongUse(1))
    );
    let other = SigningKey::cosigner("t.example", [2; 32]).unwrap();
    assert_eq!(
        verify(&checkpoint().to_text(), &line, other.verifier()),
        Err(NoteError::NoKnownSignature)
    );
}

#[test]
fn messages_have_the_layout_of_the_specification() {
    assert_eq!(
        cosignature_message("o\n1\nr\n", 7),
        b"cosignature/v1\ntime 7\no\n1\nr\n"
    );
    let message = subtree_message("ab", 7, "xyz", 1, 2, &Hash([9; 32])).unwrap();
    let expected = [
        &b"subtree/v1\n\0\x02ab"[..],
        &7u64.to_be_bytes(),
        b"\x03xyz",
        &1u64.to_be_bytes(),
        &2u64.to_be_bytes(),
        &[9; 32],
    ];
    assert_eq!(message, expected.concat());
    assert!(subtree_message("", 7, "xyz", 1, 2, &Hash([9; 32])).is_err());
    assert!(subtree_message(&"a".repeat(256), 7, "xyz", 1, 2, &Hash([9; 32])).is_err());
}

#[cfg(feature = "ml-dsa")]
#[test]
fn subtree_cosignatures_have_no_time() {
    use belfry_protocol::cosignature::subtree::{self, Subtree};
    use belfry_protocol::note::Algorithm;
    let key = SigningKey::new("t.example", Algorithm::MlDsa44, [1; 32]).unwrap();
    let tree = Subtree {
        origin: "a.example/log",
        start: 4,
        end: 8,
        root: sha256(b"root"),
    };
    let line = subtree::build(&tree, &key).unwrap();
    subtree::verify(&tree, &line, key.verifier()).unwrap();
    assert!(subtree::verify(&Subtree { end: 7, ..tree }, &line, key.verifier()).is_err());
    assert!(subtree::build(&Subtree { start: 3, ..tree }, &key).is_err());
    let ed25519 = SigningKey::cosigner("t.example", [1; 32]).unwrap();
    assert!(subtree::build(&tree, &ed25519).is_err());
}
