//! Hellos: what is read is what was signed, nothing can be changed unseen, and a goodbye is always readable.

use super::*;
use crate::cert::{Scope, certificate_hash};
use crate::wire::version::Version;
use proptest::prelude::*;

const NODE: &str = "a.example/press";

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

fn chain(length: u64) -> Vec<SignedNote> {
    let mut notes: Vec<SignedNote> = Vec::new();
    for serial in 1..=length {
        let purpose = |purpose| key(serial, purpose).verifier().clone();
        let certificate = Certificate {
            scope: Scope::Unfounded,
            node: NODE.to_owned(),
            serial,
            previous: notes.last().map(certificate_hash),
            not_before_seconds: serial * 100,
            not_after_seconds: serial * 100 + 120,
            log: purpose(1),
            log_from_size: 0,
            ack: purpose(2),
            mirror: purpose(3),
            envelope: purpose(4),
        };
        notes.push(certificate.sign(&identity()).unwrap());
    }
    notes
}

fn range(min: u16, max: u16) -> Range {
    let (min, max) = (Version::from_u16(min), Version::from_u16(max));
    Range { min, max }
}

fn text<const N: usize>(text: &str) -> Text<N> {
    Text::new(text).unwrap()
}

fn hello(length: u64) -> Hello {
    Hello {
        goodbye: None,
        reason: Text::default(),
        federation: Hash([0x11; 32]),
        epoch: 3,
        manifest_head: Hash([0x22; 32]),
        versions: vec![range(0x0100, 0x0102), range(0x0200, 0x0200)],
        peer: text("12D3KooWpeer"),
        to: text("12D3KooWother"),
        token: [0x33; 16],
        disk: [0x44; 16],
        roles: ROLE_FACTORY | 0x80,
        times: Times {
            sent_us: 1,
            echo_us: 2,
            received_us: 3,
            answered_us: -4,
        },
        chain: chain(length),
        digest: Some(key(1, 1).signed_note("a.example/press\n0\n\n").unwrap()),
        agent: text("belfry/0.2"),
        extensions: b"of later".to_vec(),
    }
}

fn encoded(length: u64) -> Vec<u8> {
    hello(length).encode(&key(length, 4)).unwrap()
}

#[test]
fn what_was_signed_is_read_and_verified() {
    let read = Hello::parse(&encoded(2)).unwrap();
    assert_eq!(*read.hello(), hello(2));
    let certificates = read.verify(identity().verifier()).unwrap();
    assert_eq!(certificates.len(), 2);
    assert_eq!(certificates[1].envelope, *key(2, 4).verifier());
    let other = SigningKey::ed25519(NODE, [98; 32]).unwrap();
    assert!(matches!(
        read.verify(other.verifier()),
        Err(HelloError::Chain(_))
    ));
}

#[test]
fn only_the_newest_envelope_key_signs() {
    for wrong in [key(1, 4), key(2, 1), identity()] {
        assert_eq!(hello(2).encode(&wrong), Err(HelloError::WrongKey));
    }
    // A newest certificate cut off leaves a chain that holds, under a key that did not sign.
    let mut shorter = hello(2);
    shorter.chain.pop();
    let mut bytes = layout::write(&shorter).unwrap();
    let signature = sign(&key(2, 4), &[DOMAIN, &bytes].concat()).unwrap();
    bytes.extend_from_slice(&signature);
    let read = Hello::parse(&bytes).unwrap();
    assert_eq!(
        read.verify(identity().verifier()),
        Err(HelloError::Signature)
    );
}

#[test]
fn every_truncation_is_refused() {
    let bytes = encoded(1);
    for cut in 0..bytes.len() {
        assert_eq!(
            Hello::parse(&bytes[..cut]),
            Err(HelloError::Truncated),
            "{cut}"
        );
    }
    let longer = [&bytes[..], b"!"].concat();
    assert_eq!(Hello::parse(&longer), Err(HelloError::Trailing(1)));
}

#[test]
fn every_flipped_bit_is_noticed() {
    let (bytes, identity) = (encoded(1), identity());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let read = Hello::parse(&flipped);
        let stands = read.is_ok_and(|read| read.verify(identity.verifier()).is_ok());
        assert!(!stands, "bit {bit}");
    }
}

#[test]
fn a_goodbye_is_readable_whatever_follows() {
    let mut goodbye = hello(1);
    goodbye.goodbye = Some(Goodbye::OtherFederation);
    goodbye.reason = text("ours is <11>");
    let expected = Some((Goodbye::OtherFederation, text("ours is <11>")));
    let bytes = goodbye.encode(&key(1, 4)).unwrap();
    assert_eq!(Hello::read_goodbye(&bytes), expected);
    let end = 5 + "ours is <11>".len();
    assert_eq!(Hello::read_goodbye(&bytes[..end]), expected);
    assert_eq!(Hello::read_goodbye(&bytes[..end - 1]), None);
    let mut later = [&bytes[..end], &[0xff; 40]].concat();
    later[0] = 9;
    assert_eq!(Hello::read_goodbye(&later), expected);
    assert_eq!(Hello::parse(&later), Err(HelloError::Layout(9)));
    assert_eq!(Hello::read_goodbye(&encoded(1)), None);
    // Without certificates it is short, and proves nothing.
    goodbye.chain.clear();
    let read = Hello::parse(&goodbye.encode(&key(1, 4)).unwrap()).unwrap();
    assert!(read.verify(identity().verifier()).is_err());
    goodbye.goodbye = None;
    assert!(matches!(
        goodbye.encode(&key(1, 4)),
        Err(HelloError::Field { .. })
    ));
}

#[test]
fn unknown_numbers_and_bits_are_kept() {
    let mut later = hello(1);
    later.goodbye = Some(Goodbye::Unknown(4_000));
    later.roles = 0xff;
    let bytes = later.encode(&key(1, 4)).unwrap();
    assert_eq!(Hello::parse(&bytes).unwrap().into_hello(), later);
    for other in [0, 5] {
        later.goodbye = Some(Goodbye::Unknown(other));
        assert!(matches!(
            later.encode(&key(1, 4)),
            Err(HelloError::Field { .. })
        ));
    }
}

#[test]
fn what_is_out_of_bounds_is_not_built() {
    type Change = fn(&mut Hello);
    let changes: [Change; 6] = [
        |hello| hello.versions = vec![range(0x0100, 0x0100); MAX_RANGES + 1],
        |hello| hello.versions = vec![range(0x0101, 0x0100)],
        |hello| hello.versions = vec![range(0x0100, 0x0200)],
        |hello| hello.extensions = vec![0; MAX_EXTENSION_BYTES + 1],
        |hello| hello.chain = vec![hello.chain[0].clone(); MAX_HELLO_CERTIFICATES + 1],
        |hello| hello.digest = Some(identity().signed_note(&"long\n".repeat(1_700)).unwrap()),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut changed = hello(1);
        change(&mut changed);
        let refused = changed.encode(&key(1, 4));
        assert!(
            matches!(refused, Err(HelloError::Field { .. })),
            "{number}: {refused:?}"
        );
    }
}

/// A chain is sent whole or not at all.
#[test]
fn a_chain_that_does_not_fit_is_refused() {
    assert!(encoded(64).len() <= MAX_HELLO_BYTES);
    let mut large = hello(1);
    let filler = identity().signed_note(&"long\n".repeat(1_600)).unwrap();
    large.chain.splice(0..0, vec![filler; 8]);
    assert!(matches!(
        large.encode(&key(1, 4)),
        Err(HelloError::TooLong(_))
    ));
    large.chain.remove(0);
    assert!(large.encode(&key(1, 4)).is_ok());
    let longer = vec![1; MAX_HELLO_BYTES + 1];
    assert_eq!(
        Hello::parse(&longer),
        Err(HelloError::TooLong(MAX_HELLO_BYTES + 1))
    );
}

/// Each length or count of a hello, raised to what its field can say, is refused.
#[test]
fn oversized_claims_are_refused() {
    let bytes = encoded(1);
    let find = |needle: &[u8]| {
        bytes
            .windows(needle.len())
            .position(|w| w == needle)
            .unwrap()
    };
    let chain = find(b"belfry-key-cert") - 3;
    let mut twos = vec![
        3,
        find(b"12D3KooWpeer") - 2,
        find(b"12D3KooWother") - 2,
        chain + 1,
    ];
    twos.extend([find(b"belfry/0.2") - 2, find(b"of later") - 2]);
    for at in twos {
        let mut changed = bytes.clone();
        changed[at..at + 2].fill(0xff);
        assert!(
            matches!(Hello::parse(&changed), Err(HelloError::Field { .. })),
            "{at}"
        );
    }
    for at in [5 + 32 + 8 + 32, chain] {
        let mut changed = bytes.clone();
        changed[at] = 0xff;
        assert!(
            matches!(Hello::parse(&changed), Err(HelloError::Field { .. })),
            "{at}"
        );
    }
}

proptest! {
    #[test]
    fn round_trip(
        code: u16,
        words in ("\\PC{0,100}", "\\PC{0,30}", "\\PC{0,15}"),
        numbers: (u64, u8, i64, i64, [u8; 16]),
        minors in proptest::collection::vec((0u16..4, 0u16..9, 0u16..9), 0..=MAX_RANGES),
        extensions in proptest::collection::vec(any::<u8>(), 0..=64),
        has_digest: bool,
    ) {
        let mut wanted = hello(1);
        wanted.goodbye = Goodbye::from_code(code);
        (wanted.reason, wanted.peer, wanted.agent) = (text(&words.0), text(&words.1), text(&words.2));
        (wanted.epoch, wanted.roles, wanted.times.sent_us, wanted.times.echo_us, wanted.token) = numbers;
        let valid = |(major, min, more): (u16, u16, u16)| range(major << 8 | min, major << 8 | (min + more));
        wanted.versions = minors.into_iter().map(valid).collect();
        wanted.extensions = extensions;
        if !has_digest {
            wanted.digest = None;
        }
        let bytes = wanted.encode(&key(1, 4)).unwrap();
        let read = Hello::parse(&bytes).unwrap();
        prop_assert_eq!(read.hello(), &wanted);
        let reason = Hello::read_goodbye(&bytes).map(|(goodbye, reason)| (goodbye.code(), reason));
        prop_assert_eq!(reason, wanted.goodbye.map(|_| (code, wanted.reason.clone())));
    }

    #[test]
    fn changed_bytes_never_panic_and_have_one_spelling(at: prop::sample::Index, byte: u8) {
        let mut bytes = encoded(1);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Hello::read_goodbye(&bytes);
        if let Ok(read) = Hello::parse(&bytes) {
            prop_assert_eq!(layout::write(read.hello()).unwrap(), &bytes[..bytes.len() - SIGNATURE_BYTES]);
        }
    }
}
