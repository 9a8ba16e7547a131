//! Signed notes against the public vectors, against `signed_note` as an independent judge, and under mutation.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_protocol::note::{
    Algorithm, NoteError, SignatureLine, SignedNote, SigningKey, VerifierKey, is_foreign_name,
    is_member_name, verify_note,
};
use proptest::prelude::*;

const PETER_VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETER_SKEY: &str =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const ENOCH_VKEY: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const TEXT: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";

fn key(name: &str, byte: u8) -> SigningKey {
    SigningKey::ed25519(name, [byte; 32]).unwrap()
}

#[test]
fn the_example_of_the_specification_verifies() {
    let vkey =
        VerifierKey::parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
            .unwrap();
    let note = b"This is an example message.\n\n\xe2\x80\x94 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    let note = SignedNote::parse(note).unwrap();
    assert_eq!(note.text(), "This is an example message.\n");
    assert_eq!(verify_note(&note, &[vkey]).unwrap().len(), 1);
}

#[test]
fn go_keys_round_trip_and_sign() {
    let signer = SigningKey::import(PETER_SKEY).unwrap();
    assert_eq!(*signer.export(), PETER_SKEY);
    assert_eq!(signer.verifier().to_string(), PETER_VKEY);
    let note = signer.signed_note(TEXT).unwrap();
    let keys = [ENOCH_VKEY, PETER_VKEY].map(|vkey| VerifierKey::parse(vkey).unwrap());
    let verified = verify_note(&note, &keys).unwrap();
    assert_eq!(verified[0].key.name(), "PeterNeumann");
    let oracle = signed_note::StandardSigner::new(PETER_SKEY).unwrap();
    let signature = signed_note::Signer::sign(&oracle, TEXT.as_bytes()).unwrap();
    assert_eq!(note.signatures()[0].signature(), signature);
    let tessera = "PRIVATE+KEY+example.com/log/testdata+33d7b496+AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg";
    let expected = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";
    assert_eq!(
        SigningKey::import(tessera).unwrap().verifier().to_string(),
        expected
    );
}

#[test]
fn a_cosigner_key_of_the_formats_library_parses() {
    let vkey = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";
    let key = VerifierKey::parse(vkey).unwrap();
    assert_eq!(
        (key.algorithm(), key.to_string().as_str()),
        (Algorithm::CosignatureV1, vkey)
    );
}

#[test]
fn unsafe_and_misprinted_keys_are_refused() {
    let weak = VerifierKey::new("a", Algorithm::Ed25519, &{
        let mut identity = [0u8; 32];
        identity[0] = 1;
        identity
    });
    assert_eq!(weak.unwrap_err(), NoteError::SmallOrder);
    // y = p + 3: a second spelling of the point with y = 3.
    let mut second = [0xff; 32];
    (second[0], second[31]) = (0xf0, 0x7f);
    let refused = VerifierKey::new("a", Algorithm::CosignatureV1, &second).unwrap_err();
    assert_eq!(refused, NoteError::NonCanonicalKey);
    let wrong_id = "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    assert!(matches!(
        VerifierKey::parse(wrong_id),
        Err(NoteError::KeyId { .. })
    ));
    let upper = PETER_VKEY.replace("c74f20a3", "C74F20A3");
    assert!(matches!(
        VerifierKey::parse(&upper),
        Err(NoteError::KeyId { .. })
    ));
    assert_eq!(
        VerifierKey::parse("a+00000000+AgA="),
        Err(NoteError::Algorithm(2))
    );
    for bad in [
        "",
        "a",
        "a+b",
        "a+00000000+",
        "a b+00000000+AQ==",
        "+00000000+AQ==",
    ] {
        assert!(VerifierKey::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn known_keys_must_verify_and_unknown_ones_are_ignored() {
    let (ours, other) = (key("ours", 1), key("other", 2));
    let note = ours
        .signed_note(TEXT)
        .unwrap()
        .with_signature(other.sign_note(TEXT).unwrap())
        .unwrap();
    let known = [ours.verifier().clone()];
    assert_eq!(verify_note(&note, &known).unwrap().len(), 1);
    assert_eq!(verify_note(&note, &[]), Err(NoteError::NoKnownSignature));
    let forged = SignatureLine::new("ours", ours.verifier().key_id(), vec![7; 64]).unwrap();
    let note = note.with_signature(forged).unwrap();
    assert!(matches!(
        verify_note(&note, &known),
        Err(NoteError::BadSignature { .. })
    ));
    // A stranger under our name but with another key id is a stranger.
    let stranger = SignatureLine::new("ours", 1, vec![7; 64]).unwrap();
    let note = ours
        .signed_note(TEXT)
        .unwrap()
        .with_signature(stranger)
        .unwrap();
    assert_eq!(verify_note(&note, &known).unwrap().len(), 1);
}

#[test]
fn malformed_notes_are_refused() {
    let good = key("ours", 1).signed_note(TEXT).unwrap().to_string();
    let line = key("ours", 1).sign_note(TEXT).unwrap().to_string();
    assert_eq!(
        SignedNote::parse(good.replace('\n', "\r\n").as_bytes()),
        Err(NoteError::CarriageReturn)
    );
    let bad = [
        String::new(),
        TEXT.to_owned(),
        format!("{TEXT}\n"),
        format!("\n{line}\n"),
        format!("{TEXT}{line}\n"),
        format!("{TEXT}\n{line}"),
        format!("{TEXT}\n{line}\n\n"),
        format!("{TEXT}\n{line} \n"),
        format!("{TEXT}\n{}\n", line.replace('\u{2014}', "-")),
        format!("{TEXT}\n{}\n", line.replace("ours", "o+urs")),
        format!("{TEXT}\n{}\n", line.replace("ours", "o\u{2003}urs")),
        format!("{TEXT}\n\u{2014} ours AAAA\n"),
        format!("{TEXT}\n\u{2014} ours\n"),
        format!("x\ty\n\n{line}\n"),
        format!("x\0\n\n{line}\n"),
    ];
    for note in bad {
        assert!(SignedNote::parse(note.as_bytes()).is_err(), "{note:?}");
    }
    assert!(SignedNote::parse(b"\xff\n\n").is_err());
    let many = format!("x\n\n{}", format!("{line}\n").repeat(101));
    assert!(matches!(
        SignedNote::parse(many.as_bytes()),
        Err(NoteError::TooLarge { .. })
    ));
    let long = format!("{}\n\n{line}\n", "x".repeat(1_000_000));
    assert!(matches!(
        SignedNote::parse(long.as_bytes()),
        Err(NoteError::TooLarge { .. })
    ));
}

#[test]
fn the_last_empty_line_separates() {
    let signer = key("ours", 1);
    for text in [
        "a\n\nb\n",
        "\n",
        "a\n\n",
        "\u{2014} ours AAAAAAA=\n",
        "a\n\n\u{2014} ours AAAAAAA=\n",
    ] {
        let note = signer.signed_note(text).unwrap();
        let read = SignedNote::parse(note.to_string().as_bytes()).unwrap();
        assert_eq!((read.text(), read.signatures().len()), (text, 1));
        verify_note(&read, &[signer.verifier().clone()]).unwrap();
    }
}

#[test]
fn keys_do_only_what_their_type_says_and_never_show_a_secret() {
    let (log, cosigner) = (
        key("ours", 1),
        SigningKey::cosigner("ours", [1; 32]).unwrap(),
    );
    assert_eq!(cosigner.sign_note(TEXT), Err(NoteError::WrongUse(4)));
    let checkpoint = "ours\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
    assert_eq!(log.cosign(checkpoint, 1), Err(NoteError::WrongUse(1)));
    assert_eq!(cosigner.cosign(checkpoint, 0), Err(NoteError::Timestamp(0)));
    assert!(cosigner.cosign(checkpoint, 1 << 63).is_err());
    assert!(cosigner.cosign(TEXT, 1).is_err());
    assert_ne!(log.verifier().key_id(), cosigner.verifier().key_id());
    let secret = SigningKey::import(PETER_SKEY).unwrap();
    let shown = format!("{secret:?} {secret:#?}");
    assert!(!shown.contains("AYEKFALVFGyNhPJEMzD1") && !shown.contains("129, 10"));
}

#[test]
fn private_keys_are_read_strictly() {
    let wrong_id = PETER_SKEY.replace("c74f20a3", "c74f20a4");
    assert!(matches!(
        SigningKey::import(&wrong_id),
        Err(NoteError::KeyId { .. })
    ));
    for bad in [
        "",
        PETER_VKEY,
        "PRIVATE+KEY+",
        "PRIVATE+KEY+a+00000000+AQ==",
        "PRIVATE+KEY+a b+c74f20a3+AQ==",
    ] {
        let error = SigningKey::import(bad).unwrap_err();
        assert!(!error.to_string().contains("AYEK"));
    }
    assert!(SigningKey::ed25519("caf\u{e9}", [1; 32]).is_err());
    assert!(SigningKey::ed25519(&"a".repeat(208), [1; 32]).is_err());
}

#[test]
fn names() {
    for good in ["acme.example/line-4", "a", "x/mirrors", &"a".repeat(200)] {
        assert!(is_member_name(good), "{good}");
    }
    for bad in [
        "",
        "a b",
        "a+b",
        "Acme",
        "x/mirror",
        "belfry-x",
        "caf\u{e9}",
        &"a".repeat(201),
        "a\u{7f}",
    ] {
        assert!(!is_member_name(bad), "{bad}");
    }
    assert!(is_foreign_name("caf\u{e9}") && !is_foreign_name("a\u{a0}b"));
}

#[cfg(feature = "ml-dsa")]
#[test]
fn ml_dsa_keys_round_trip_and_cosign() {
    let key = SigningKey::new("witness", Algorithm::MlDsa44, [9; 32]).unwrap();
    assert_eq!(
        VerifierKey::parse(&key.verifier().to_string()).unwrap(),
        *key.verifier()
    );
    assert_eq!(
        SigningKey::import(&key.export()).unwrap().verifier(),
        key.verifier()
    );
    let checkpoint = "ours\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
    let line = key.cosign(checkpoint, 5).unwrap();
    assert_eq!(line.signature().len(), 8 + 2_420);
    let note = SignedNote::new(checkpoint, vec![line]).unwrap();
    verify_note(&note, &[key.verifier().clone()]).unwrap();
    assert!(key.sign_note("no checkpoint\n").is_err());
    assert_eq!(key.sign_note(checkpoint).unwrap().signature()[..8], [0; 8]);
}

/// Note texts: lines of anything printable, empty ones included.
fn texts() -> impl Strategy<Value = String> {
    proptest::collection::vec("[ -~\u{a1}-\u{ff}]{0,20}", 1..6)
        .prop_map(|lines| lines.join("\n") + "\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn notes_round_trip_and_the_independent_judge_agrees(text in texts(), seed in any::<[u8; 32]>()) {
        let signer = SigningKey::ed25519("a.example/log", seed).unwrap();
        let note = signer.signed_note(&text).unwrap();
        let bytes = note.to_string().into_bytes();
        prop_assert_eq!(&SignedNote::parse(&bytes).unwrap(), &note);
        let oracle = signed_note::StandardVerifier::new(&signer.verifier().to_string()).unwrap();
        let judged = signed_note::Note::from_bytes(&bytes).unwrap();
        prop_assert!(judged.verify(&signed_note::VerifierList::new(vec![Box::new(oracle)])).is_ok());
    }

    #[test]
    fn any_changed_byte_is_refused_or_unsigned(text in texts(), at in any::<prop::sample::Index>(), flip in 1u8..) {
        let signer = key("a.example/log", 3);
        let mut bytes = signer.signed_note(&text).unwrap().to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(note) = SignedNote::parse(&bytes) {
            prop_assert_eq!(note.to_string().into_bytes(), bytes);
            prop_assert!(verify_note(&note, &[signer.verifier().clone()]).is_err());
        }
    }

    #[test]
    fn whatever_we_accept_the_independent_judge_accepts(bytes in "[a-c\n\u{2014} A-D=]{0,60}") {
        if SignedNote::parse(bytes.as_bytes()).is_ok() {
            prop_assert!(signed_note::Note::from_bytes(bytes.as_bytes()).is_ok());
        }
    }
}
