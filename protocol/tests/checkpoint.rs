//! Checkpoints against the public vectors and under mutation.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_protocol::checkpoint::{Checkpoint, CheckpointError};
use belfry_protocol::note::{SignedNote, SigningKey, VerifierKey, verify_note};
use belfry_protocol::tlog::hash::{Hash, empty_root, sha256};
use proptest::prelude::*;

const ROOT: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

fn checkpoint(size: u64) -> Checkpoint {
    let root = if size == 0 {
        empty_root()
    } else {
        sha256(&size.to_be_bytes())
    };
    Checkpoint {
        origin: "acme.example/line-4".to_owned(),
        size,
        root,
    }
}

#[test]
fn signs_opens_and_prints() {
    let key = SigningKey::ed25519("acme.example/line-4", [1; 32]).unwrap();
    for size in [0, 1, 10, (1 << 63) - 1] {
        let note = checkpoint(size).sign(&key).unwrap();
        let note = SignedNote::parse(note.to_string().as_bytes()).unwrap();
        assert_eq!(
            Checkpoint::open(&note, key.verifier()).unwrap(),
            checkpoint(size)
        );
    }
    assert!(checkpoint(1 << 63).sign(&key).is_err());
    let other = SigningKey::ed25519("acme.example/line-5", [1; 32]).unwrap();
    assert!(matches!(
        checkpoint(1).sign(&other),
        Err(CheckpointError::Origin { .. })
    ));
    let note = checkpoint(1).sign(&key).unwrap();
    assert!(matches!(
        Checkpoint::open(&note, other.verifier()),
        Err(CheckpointError::Note(_))
    ));
    let crossed = other.signed_note(&checkpoint(1).to_text()).unwrap();
    assert!(matches!(
        Checkpoint::open(&crossed, other.verifier()),
        Err(CheckpointError::Origin { .. })
    ));
}

#[test]
fn malformed_checkpoints_are_refused() {
    let bad = [
        String::new(),
        format!("o\n0\n{ROOT}"),
        format!("\n0\n{ROOT}\n"),
        format!("o\n00\n{ROOT}\n"),
        format!("o\n01\n{ROOT}\n"),
        format!("o\n+1\n{ROOT}\n"),
        format!("o\n-1\n{ROOT}\n"),
        format!("o\n 1\n{ROOT}\n"),
        format!("o\n\n{ROOT}\n"),
        format!("o\n9223372036854775808\n{ROOT}\n"),
        format!("o\n99999999999999999999999\n{ROOT}\n"),
        "o\n1\nAAAA\n".to_owned(),
        format!("o\n1\n{}\n", ROOT.replace("FU=", "FV=")),
        format!("o\n1\n{}\n", ROOT.trim_end_matches('=')),
        format!("o\n1\n{ROOT}\n\n"),
        format!("o\n1\n{ROOT}\next"),
        format!("o\t\n1\n{ROOT}\n"),
        format!("{}\n1\n{ROOT}\n", "o".repeat(256)),
        format!("o\n1\n{ROOT}\n{}", "x\n".repeat(33)),
    ];
    for text in bad {
        assert!(
            matches!(
                Checkpoint::parse_foreign(&text),
                Err(CheckpointError::Malformed(_))
            ),
            "{text:?}"
        );
        assert!(Checkpoint::parse(&text).is_err());
    }
    let wrong_empty = checkpoint(1).to_text().replace("\n1\n", "\n0\n");
    assert_eq!(
        Checkpoint::parse(&wrong_empty),
        Err(CheckpointError::EmptyRoot)
    );
}

#[test]
fn extension_lines_are_refused_by_us_and_kept_for_others() {
    let text = format!("o\n1\n{ROOT}\nfirst\nsecond line\n");
    assert_eq!(Checkpoint::parse(&text), Err(CheckpointError::Extensions));
    let foreign = Checkpoint::parse_foreign(&text).unwrap();
    assert_eq!(foreign.extensions, ["first", "second line"]);
    assert_eq!(foreign.to_text(), text);
}

/// C2SP issue #99, the second version of the example: seed 11 00…00, size 10; the signature is exactly the same.
#[test]
fn sigsum_example_is_reproduced() {
    let mut seed = [0u8; 32];
    seed[0] = 0x11;
    let origin =
        "sigsum.org/v1/tree/e796172b92befd62d9dc67e41c2f5bc9d3100a3023b20b1ca40288dd1c679e69";
    let key = SigningKey::ed25519(origin, seed).unwrap();
    let public = belfry_protocol::hex::encode(key.verifier().public_key());
    assert_eq!(
        public,
        "66e0b858e462a609e66fe71370c816d8846ff103d5499a22a7fec37fdbc424a7"
    );
    let text = format!("{origin}\n10\nHA5HAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
    let signature = "gJ2ho0n8F8olcerUF1FFdv235A/5as/coWrpLrtE7ovMeP5whgwouYExowG/lTznxu6OUGjjt5yJQ6bXtTcf718MqAQ=";
    let note = Checkpoint::parse(&text).unwrap().sign(&key).unwrap();
    assert_eq!(
        note.to_string(),
        format!("{text}\n\u{2014} {origin} {signature}\n")
    );
}

/// The Go checksum database: its key is not named like its origin, so only the note verifies.
#[test]
fn sum_database_key_parses() {
    let vkey = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    assert_eq!(VerifierKey::parse(vkey).unwrap().to_string(), vkey);
    let text = "go.sum database tree\n35225469\nvt5T6GaLCXvyHFl9VUvvItR43XZxfLgftEcTyO3eJCQ=\n";
    assert_eq!(Checkpoint::parse(text).unwrap().size, 35_225_469);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn texts_round_trip(size in 1..=(1u64 << 63) - 1, root in any::<[u8; 32]>(), origin in "[!-*,-~]{1,200}") {
        let checkpoint = Checkpoint { origin, size, root: Hash(root) };
        let text = checkpoint.to_text();
        prop_assert_eq!(&Checkpoint::parse(&text).unwrap(), &checkpoint);
        prop_assert_eq!(Checkpoint::parse_foreign(&text).unwrap().to_text(), text);
    }

    #[test]
    fn any_changed_byte_is_seen(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let key = SigningKey::ed25519("acme.example/line-4", [1; 32]).unwrap();
        let mut bytes = checkpoint(7).sign(&key).unwrap().to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let opened = SignedNote::parse(&bytes).map_err(CheckpointError::from)
            .and_then(|note| Checkpoint::open(&note, key.verifier()));
        prop_assert!(opened.is_err());
    }

    #[test]
    fn accepted_text_prints_the_same(text in "[a-b]\n[0-9]{1,3}\n(47DEQpj8HBSa\\+/TImW\\+5JCeuQeRkm5NMpJWZG3hSuFU=)\n([a-c]\n){0,3}") {
        if let Ok(foreign) = Checkpoint::parse_foreign(&text) {
            prop_assert_eq!(foreign.to_text(), text);
        }
    }
}

#[test]
fn strangers_on_a_checkpoint_are_ignored() {
    let key = SigningKey::ed25519("acme.example/line-4", [1; 32]).unwrap();
    let witness = SigningKey::cosigner("w.example", [2; 32]).unwrap();
    let text = checkpoint(3).to_text();
    let note = checkpoint(3)
        .sign(&key)
        .unwrap()
        .with_signature(witness.cosign(&text, 1_770_193_051).unwrap())
        .unwrap();
    assert_eq!(Checkpoint::open(&note, key.verifier()).unwrap().size, 3);
    assert_eq!(
        verify_note(&note, &[witness.verifier().clone(), key.verifier().clone()])
            .unwrap()
            .len(),
        2
    );
}
