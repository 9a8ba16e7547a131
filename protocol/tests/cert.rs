//! Certificates, revocations and chains: a golden text, strictness, and what breaks a chain.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_protocol::cert::{
    CertError, Certificate, Reason, Revocation, Scope, certificate_hash, key_for_size, verify_chain,
};
use belfry_protocol::note::{Algorithm, SignedNote, SigningKey};
use belfry_protocol::tlog::hash::{Hash, sha256};
use proptest::prelude::*;

const NODE: &str = "acme.example/line-4";
const DAY: u64 = 86_400;

fn identity() -> SigningKey {
    SigningKey::ed25519(NODE, [99; 32]).unwrap()
}

fn key(serial: u64, purpose: u8) -> SigningKey {
    let mut seed = [purpose; 32];
    seed[..8].copy_from_slice(&serial.to_be_bytes());
    match purpose {
        1 | 4 => SigningKey::ed25519(NODE, seed).unwrap(),
        2 => SigningKey::cosigner(NODE, seed).unwrap(),
        _ => SigningKey::cosigner(&format!("{NODE}/mirror"), seed).unwrap(),
    }
}

fn certificate(serial: u64, previous: Option<Hash>) -> Certificate {
    Certificate {
        scope: Scope::Federation(sha256(b"federation")),
        node: NODE.to_owned(),
        serial,
        previous,
        not_before_seconds: serial * 76 * DAY,
        not_after_seconds: serial * 76 * DAY + 90 * DAY,
        log: key(serial, 1).verifier().clone(),
        log_from_size: (serial - 1) * 1_000,
        ack: key(serial, 2).verifier().clone(),
        mirror: key(serial, 3).verifier().clone(),
        envelope: key(serial, 4).verifier().clone(),
    }
}

fn chain(length: u64) -> Vec<SignedNote> {
    let mut notes: Vec<SignedNote> = Vec::new();
    for serial in 1..=length {
        let previous = notes.last().map(certificate_hash);
        notes.push(certificate(serial, previous).sign(&identity()).unwrap());
    }
    notes
}

#[test]
fn the_text_is_frozen() {
    let certificate = Certificate {
        scope: Scope::Lineage([0xab; 16]),
        ..certificate(1, None)
    };
    let expected = format!(
        "belfry-key-cert/v1\nlineage abababababababababababababababab\nnode acme.example/line-4\nserial 1\nprevious -\n\
         not-before 6566400\nnot-after 14342400\nkey log {} from-size 0\nkey ack {}\nkey mirror {}\nkey envelope {}\n",
        certificate.log, certificate.ack, certificate.mirror, certificate.envelope
    );
    assert_eq!(certificate.to_text(), expected);
    assert_eq!(Certificate::parse(&expected).unwrap(), certificate);
    let unfounded = Certificate {
        scope: Scope::Unfounded,
        ..certificate
    };
    assert!(
        unfounded
            .to_text()
            .starts_with("belfry-key-cert/v1\nunfounded\nnode ")
    );
    assert_eq!(Certificate::parse(&unfounded.to_text()).unwrap(), unfounded);
}

#[test]
fn a_chain_verifies_and_gives_the_key_of_a_size() {
    let certificates = verify_chain(identity().verifier(), &chain(3)).unwrap();
    for (size, serial) in [
        (0, 1),
        (999, 1),
        (1_000, 2),
        (1_999, 2),
        (2_000, 3),
        (1 << 62, 3),
    ] {
        assert_eq!(
            key_for_size(&certificates, size).unwrap().serial,
            serial,
            "{size}"
        );
    }
    assert!(certificates[0].is_valid_at(76 * DAY) && !certificates[0].is_valid_at(166 * DAY));
    let late = [Certificate {
        log_from_size: 5,
        ..certificate(1, None)
    }];
    assert_eq!(key_for_size(&late, 4), None);
}

#[test]
fn broken_chains_are_refused() {
    let refused = |notes: &[SignedNote]| verify_chain(identity().verifier(), notes).unwrap_err();
    let whole = chain(3);
    assert!(matches!(refused(&[]), CertError::Chain { .. }));
    assert!(matches!(
        refused(&whole[1..]),
        CertError::Chain { serial: 1, .. }
    ));
    assert!(matches!(
        refused(&[whole[0].clone(), whole[2].clone()]),
        CertError::Chain { serial: 2, .. }
    ));
    let after = Some(certificate_hash(&whole[0]));
    let second = certificate(2, after);
    let first = certificate(1, None);
    for bad in [
        Certificate {
            previous: Some(sha256(b"other")),
            ..second.clone()
        },
        Certificate {
            not_before_seconds: 1,
            ..second.clone()
        },
        Certificate {
            ack: first.ack.clone(),
            ..second.clone()
        },
        Certificate {
            envelope: first.log.clone(),
            ..second.clone()
        },
    ] {
        let notes = [whole[0].clone(), bad.sign(&identity()).unwrap()];
        assert!(
            matches!(refused(&notes), CertError::Chain { serial: 2, .. }),
            "{bad:?}"
        );
    }
    let early = Certificate {
        log_from_size: 7,
        ..first
    }
    .sign(&identity())
    .unwrap();
    let back = Certificate {
        log_from_size: 6,
        previous: Some(certificate_hash(&early)),
        ..second
    };
    assert!(matches!(
        refused(&[early, back.sign(&identity()).unwrap()]),
        CertError::Chain { serial: 2, .. }
    ));
    let stranger = SigningKey::ed25519(NODE, [98; 32]).unwrap();
    assert!(matches!(
        verify_chain(stranger.verifier(), &whole),
        Err(CertError::Note(_))
    ));
}

#[test]
fn keys_must_fit_their_purpose() {
    let good = certificate(1, None);
    let bad = [
        Certificate {
            log: good.ack.clone(),
            ..good.clone()
        },
        Certificate {
            ack: good.mirror.clone(),
            ..good.clone()
        },
        Certificate {
            mirror: good.ack.clone(),
            ..good.clone()
        },
        Certificate {
            envelope: good.log.clone(),
            ..good.clone()
        },
        Certificate {
            log: identity().verifier().clone(),
            ..good.clone()
        },
        Certificate {
            serial: 0,
            ..good.clone()
        },
        Certificate {
            serial: 2,
            ..good.clone()
        },
        Certificate {
            previous: Some(sha256(b"x")),
            ..good.clone()
        },
        Certificate {
            not_after_seconds: good.not_before_seconds,
            ..good.clone()
        },
        Certificate {
            not_after_seconds: 1 << 63,
            ..good.clone()
        },
        Certificate {
            node: format!("{NODE}/mirror"),
            ..good.clone()
        },
    ];
    for certificate in bad {
        assert!(certificate.sign(&identity()).is_err(), "{certificate:?}");
    }
    let other = SigningKey::ed25519("acme.example/line-5", [99; 32]).unwrap();
    assert!(matches!(good.sign(&other), Err(CertError::Identity { .. })));
    let twice = good.sign(&identity()).unwrap();
    let twice = twice
        .clone()
        .with_signature(key(1, 1).sign_note(twice.text()).unwrap())
        .unwrap();
    assert!(Certificate::open(&twice, identity().verifier()).is_err());
    assert_eq!(good.log.algorithm(), Algorithm::Ed25519);
}

#[test]
fn revocations_round_trip() {
    let certificate = chain(1).remove(0);
    let revocation = Revocation {
        node: NODE.to_owned(),
        serial: 1,
        certificate: certificate_hash(&certificate),
        reason: Reason::Compromised,
        time_seconds: 1_800_000_000,
    };
    let expected = format!(
        "belfry-key-revocation/v1\nnode {NODE}\nserial 1\ncertificate {}\nreason compromised\ntime 1800000000\n",
        certificate_hash(&certificate)
    );
    assert_eq!(revocation.to_text(), expected);
    let note = revocation.sign(&identity()).unwrap();
    assert_eq!(
        Revocation::open(&note, identity().verifier()).unwrap(),
        revocation
    );
    for word in ["Compromised", "", "other"] {
        assert!(Revocation::parse(&expected.replace("compromised", word)).is_err());
    }
    assert!(Revocation::parse(&format!("{expected}\n")).is_err());
    assert!(Certificate::parse(&expected).is_err());
    assert!(Revocation::open(&certificate, identity().verifier()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_changed_byte_of_a_certificate_is_refused(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut bytes = chain(1).remove(0).to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(note) = SignedNote::parse(&bytes) {
            prop_assert!(Certificate::open(&note, identity().verifier()).is_err());
        }
    }

    #[test]
    fn what_is_read_prints_the_same(at in any::<prop::sample::Index>(), byte in 0x20u8..0x7f) {
        let mut bytes = certificate(1, None).to_text().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let text = String::from_utf8(bytes).unwrap();
        if let Ok(certificate) = Certificate::parse(&text) {
            prop_assert_eq!(certificate.to_text(), text);
        }
    }
}
