//! Envelopes: a frozen layout, and no byte that can be changed unseen.

use super::*;
use crate::tlog::hash::Hash;
use crate::wire::header::{Guard, MemberId, to_topic};
use crate::wire::version::Version;
use proptest::prelude::*;

fn key() -> SigningKey {
    SigningKey::ed25519("a.example", [7; 32]).unwrap()
}

fn header(guard: Guard) -> Header {
    Header {
        version: Version { major: 1, minor: 2 },
        kind: 0x0304,
        federation: Hash([0x11; 32]),
        lineage: [0; 16],
        epoch: 5,
        sender: MemberId(Hash([0x22; 32])),
        key_serial: 6,
        incarnation: 7,
        destination: Hash([0x33; 32]),
        guard,
        token: [0x44; 16],
        issued_at_us: 8,
    }
}

fn seal(guard: Guard) -> Envelope {
    Envelope::seal(header(guard), b"ring".to_vec(), &key()).unwrap()
}

#[test]
fn the_layout_is_frozen() {
    let bytes = seal(Guard::Stream {
        stream: 9,
        counter: 10,
    })
    .to_bytes();
    let expected = [
        "01".to_owned() + "0201" + "0403" + &"11".repeat(32) + &"00".repeat(16),
        "0500000000000000".to_owned() + &"22".repeat(32),
        "0600000000000000".to_owned() + "0700000000000000" + &"33".repeat(32),
        "01".to_owned() + "0900000000000000" + "0a00000000000000" + &"44".repeat(16),
        "0800000000000000".to_owned() + "04000000" + "72696e67",
    ]
    .concat();
    let (signed, signature) = bytes.split_at(HEADER_BYTES + 4);
    assert_eq!(crate::hex::encode(signed), expected);
    let message = [b"belfry/envelope/v1\0", signed].concat();
    assert!(key().verifier().verify_bytes(&message, signature));
}

#[test]
fn an_attachment_is_handed_back() {
    let sealed = seal(Guard::Nonce([3; 16]));
    let bytes = [&sealed.to_bytes()[..], b"attached"].concat();
    let (envelope, rest) = Envelope::split(&bytes).unwrap();
    assert_eq!((&envelope, rest), (&sealed, &b"attached"[..]));
    assert!(envelope.verify(key().verifier()));
}

#[test]
fn every_truncation_is_refused() {
    let bytes = seal(Guard::None).to_bytes();
    for cut in 1..bytes.len() {
        assert_eq!(
            Envelope::split(&bytes[..cut]),
            Err(EnvelopeError::Truncated),
            "{cut}"
        );
    }
    assert_eq!(Envelope::split(b""), Err(EnvelopeError::Truncated));
}

#[test]
fn every_flipped_bit_is_noticed() {
    for guard in [
        Guard::None,
        Guard::Stream {
            stream: 1,
            counter: 2,
        },
    ] {
        let bytes = seal(guard).to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let stands = Envelope::split(&flipped).is_ok_and(|(e, _)| e.verify(key().verifier()));
            assert!(!stands, "bit {bit}");
        }
    }
}

#[test]
fn headers_have_one_spelling() {
    const GUARD_AT: usize = 141;
    let bytes = seal(Guard::None).to_bytes();
    assert_eq!(bytes[GUARD_AT..GUARD_AT + 17], [0; 17]);
    let changed = |at: usize, byte: u8| {
        let mut changed = bytes.clone();
        changed[at] = byte;
        Envelope::split(&changed).map(|_| ())
    };
    assert_eq!(changed(0, 2), Err(EnvelopeError::Layout(2)));
    assert_eq!(changed(0, 0), Err(EnvelopeError::Layout(0)));
    for at in GUARD_AT + 1..GUARD_AT + 17 {
        assert!(
            matches!(changed(at, 1), Err(EnvelopeError::Guard(_))),
            "{at}"
        );
    }
    for tag in 3..=255 {
        assert!(
            matches!(changed(GUARD_AT, tag), Err(EnvelopeError::Guard(_))),
            "{tag}"
        );
    }
    assert_eq!(changed(40, 1), Err(EnvelopeError::Lineage));
}

#[test]
fn a_lineage_is_for_founding_only() {
    let mut founding = header(Guard::None);
    founding.lineage = [1; 16];
    let refused = Envelope::seal(founding, Vec::new(), &key());
    assert_eq!(refused, Err(EnvelopeError::Lineage));
    founding.federation = Hash([0; 32]);
    let sealed = Envelope::seal(founding, Vec::new(), &key()).unwrap();
    assert_eq!(Envelope::split(&sealed.to_bytes()), Ok((sealed, &b""[..])));
}

#[test]
fn an_oversized_body_is_refused_by_its_claim() {
    let mut bytes = seal(Guard::None).to_bytes();
    for claim in [MAX_BODY_BYTES + 1, u32::MAX as usize] {
        bytes[HEADER_BYTES - 4..HEADER_BYTES]
            .copy_from_slice(&u32::try_from(claim).unwrap().to_le_bytes());
        assert_eq!(
            Envelope::split(&bytes),
            Err(EnvelopeError::BodyTooLong(claim))
        );
    }
    let longer = vec![0; MAX_BODY_BYTES + 1];
    let refused = Envelope::seal(header(Guard::None), longer, &key());
    assert_eq!(refused, Err(EnvelopeError::BodyTooLong(MAX_BODY_BYTES + 1)));
    let largest = Envelope::seal(header(Guard::None), vec![0; MAX_BODY_BYTES], &key()).unwrap();
    let bytes = largest.to_bytes();
    assert_eq!(bytes.len(), MAX_ENVELOPE_BYTES);
    assert_eq!(Envelope::split(&bytes), Ok((largest, &b""[..])));
}

#[test]
fn only_type_1_keys_sign_and_verify() {
    let cosigner = SigningKey::cosigner("a.example", [7; 32]).unwrap();
    let refused = Envelope::seal(header(Guard::None), Vec::new(), &cosigner);
    assert_eq!(refused, Err(EnvelopeError::Note(NoteError::WrongUse(0x04))));
    // The same point under another type: the signature fits, the key does not.
    let sealed = seal(Guard::None);
    assert_eq!(
        cosigner.verifier().public_key(),
        key().verifier().public_key()
    );
    assert!(sealed.verify(key().verifier()) && !sealed.verify(cosigner.verifier()));
    let other = SigningKey::ed25519("a.example", [8; 32]).unwrap();
    assert!(!sealed.verify(other.verifier()));
}

fn guards() -> impl Strategy<Value = Guard> {
    prop_oneof![
        Just(Guard::None),
        any::<(u64, u64)>().prop_map(|(stream, counter)| Guard::Stream { stream, counter }),
        any::<[u8; 16]>().prop_map(Guard::Nonce),
    ]
}

proptest! {
    #[test]
    fn round_trip(
        guard in guards(),
        numbers: (u16, u16, u64, u64, u64, i64),
        hashes: ([u8; 32], [u8; 32], [u8; 16]),
        body in proptest::collection::vec(any::<u8>(), 0..64),
        rest in proptest::collection::vec(any::<u8>(), 0..16),
    ) {
        let (version, kind, epoch, key_serial, incarnation, issued_at_us) = numbers;
        let header = Header {
            version: Version::from_u16(version),
            kind,
            federation: Hash(hashes.0),
            lineage: [0; 16],
            epoch,
            sender: MemberId(Hash(hashes.1)),
            key_serial,
            incarnation,
            destination: to_topic("bells"),
            guard,
            token: hashes.2,
            issued_at_us,
        };
        let sealed = Envelope::seal(header, body, &key()).unwrap();
        let bytes = [sealed.to_bytes(), rest.clone()].concat();
        let (read, after) = Envelope::split(&bytes).unwrap();
        prop_assert!(read.verify(key().verifier()));
        prop_assert_eq!((read, after), (sealed, &rest[..]));
    }

    #[test]
    fn what_is_read_prints_the_same(mut bytes in proptest::collection::vec(0u8..3, 0..300)) {
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        // No lineage, and a body of a few bytes, or nothing would ever be read.
        for at in (37..53).chain(183..186) {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = 0;
            }
        }
        if let Ok((envelope, rest)) = Envelope::split(&bytes) {
            prop_assert_eq!([&envelope.to_bytes()[..], rest].concat(), bytes);
        }
    }
}
