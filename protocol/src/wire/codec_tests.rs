//! Bodies: a frozen layout, one spelling for each value, and nothing allocated for a claim alone.

use super::*;
use crate::wire::header::MemberId;
use proptest::prelude::*;

#[derive(Encode, Decode, Clone, Debug, PartialEq, Eq)]
enum Choice {
    Nothing,
    Number(u64),
    Named { name: Text<8>, flag: bool },
}

#[derive(Encode, Decode, Clone, Debug, PartialEq, Eq)]
struct Body {
    hash: Hash,
    member: Option<MemberId>,
    text: Text<12>,
    bytes: Bytes<6>,
    choices: List<Choice, 4>,
    nested: List<List<u16, 3>, 2>,
    time: i64,
    raw: [u8; 3],
}

fn text<const N: usize>(text: &str) -> Text<N> {
    Text::new(text).unwrap()
}

fn body() -> Body {
    let named = Choice::Named {
        name: text("bell"),
        flag: true,
    };
    Body {
        hash: Hash([0x11; 32]),
        member: Some(MemberId(Hash([0x22; 32]))),
        text: text("grüezi"),
        bytes: Bytes::new([1, 2, 3]).unwrap(),
        choices: List::new(vec![Choice::Nothing, Choice::Number(7), named]).unwrap(),
        nested: List::new(vec![List::default(), List::new(vec![0x0102]).unwrap()]).unwrap(),
        time: -2,
        raw: [4, 5, 6],
    }
}

/// As bincode 1.3.3 writes it: this is what another implementation must produce.
#[test]
fn the_layout_is_frozen() {
    let expected = [
        "11".repeat(32),
        "01".to_owned() + &"22".repeat(32),
        "0700000000000000".to_owned() + "6772c3bc657a69",
        "0300000000000000".to_owned() + "010203",
        "0300000000000000".to_owned() + "00000000" + "010000000700000000000000",
        "02000000".to_owned() + "0400000000000000" + "62656c6c" + "01",
        "0200000000000000".to_owned() + "0000000000000000" + "01000000000000000201",
        "feffffffffffffff".to_owned() + "040506",
    ];
    let bytes = encode(&body());
    assert_eq!(crate::hex::encode(&bytes), expected.concat());
    assert_eq!(decode::<Body>(&bytes), Ok(body()));
}

/// The bounded blocks have the layout of what they stand for, so bincode's own types agree with them.
#[test]
fn the_blocks_are_laid_out_as_bincodes_own_types() {
    assert_eq!(encode(&text::<9>("a")), encode(&"a".to_owned()));
    assert_eq!(
        encode(&Bytes::<9>::new([1, 2]).unwrap()),
        encode(&vec![1u8, 2])
    );
    assert_eq!(
        encode(&List::<u32, 9>::new(vec![1, 2]).unwrap()),
        encode(&vec![1u32, 2])
    );
    assert_eq!(encode(&Hash([3; 32])), [3; 32]);
}

#[test]
fn cuts_and_leftovers_are_refused() {
    let bytes = encode(&body());
    for cut in 0..bytes.len() {
        let refused = CodecError::Malformed("it ends inside a field");
        assert_eq!(decode::<Body>(&bytes[..cut]), Err(refused), "{cut}");
    }
    let longer = [&bytes[..], &[0, 0]].concat();
    assert_eq!(decode::<Body>(&longer), Err(CodecError::Trailing(2)));
}

/// A flipped bit gives another value or an error, never the same value.
#[test]
fn no_bit_is_without_meaning() {
    let bytes = encode(&body());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_ne!(decode::<Body>(&flipped), Ok(body()), "bit {bit}");
    }
}

#[test]
fn flags_tags_and_texts_have_one_spelling() {
    let malformed = |problem| CodecError::Malformed(problem);
    let flag = malformed("a flag is neither 0 nor 1");
    assert_eq!(decode::<bool>(&[2]), Err(flag));
    let tag = malformed("a tag stands for no variant");
    assert_eq!(decode::<Option<u8>>(&[2, 0]), Err(tag));
    assert_eq!(decode::<Choice>(&[3, 0, 0, 0]), Err(tag));
    let of = |raw: &[u8]| [&(raw.len() as u64).to_le_bytes()[..], raw].concat();
    let utf8 = malformed("a text is not UTF-8");
    assert_eq!(decode::<Text<8>>(&of(b"\xc0\x80")), Err(utf8));
    let control = malformed("a text has a control character");
    for raw in ["\0", "a\n", "\x1b[2J", "\x7f", "\u{85}"] {
        assert_eq!(
            decode::<Text<8>>(&of(raw.as_bytes())),
            Err(control),
            "{raw:?}"
        );
        assert_eq!(Text::<8>::new(raw), None);
    }
}

/// Bodies like maps, which bincode reads in any order and with duplicate keys, do not pass the second look.
#[test]
fn a_second_spelling_is_refused() {
    type Map = std::collections::BTreeMap<u8, u8>;
    let sorted = encode(&Map::from([(1, 10), (2, 20)]));
    assert_eq!(decode::<Map>(&sorted).unwrap().len(), 2);
    let mut swapped = sorted.clone();
    swapped[8..].rotate_left(2);
    assert_eq!(decode::<Map>(&swapped), Err(CodecError::NotCanonical));
}

/// Claims that no memory could hold: had anything been allocated for them, the test would not end.
#[test]
fn a_claim_is_refused_before_anything_is_allocated() {
    const HUGE: usize = 1 << 50;
    let beyond = CodecError::Malformed("a text, byte string or list is longer than its bound");
    for claim in [9, 1 << 32, 1 << 50, u64::MAX] {
        let claim = claim.to_le_bytes();
        assert_eq!(decode::<Text<8>>(&claim), Err(beyond));
        assert_eq!(decode::<Bytes<8>>(&claim), Err(beyond));
        assert_eq!(decode::<List<u64, 8>>(&claim), Err(beyond));
        assert_eq!(decode::<List<List<u64, 8>, 8>>(&claim), Err(beyond));
    }
    // A bound that is no bound: the bytes have to be there, and the limit of a body holds.
    let limit = CodecError::Malformed("it claims more than a body may hold");
    assert_eq!(
        decode::<Bytes<HUGE>>(&(1u64 << 49).to_le_bytes()),
        Err(limit)
    );
    let cut = CodecError::Malformed("it ends inside a field");
    assert_eq!(decode::<Text<HUGE>>(&(1u64 << 19).to_le_bytes()), Err(cut));
    assert_eq!(
        decode::<List<u64, HUGE>>(&(1u64 << 49).to_le_bytes()),
        Err(cut)
    );
}

#[test]
fn a_body_has_at_most_a_mebibyte() {
    type Big = Bytes<{ 2 * MAX_BODY_BYTES }>;
    let of = |length: usize| encode(&Big::new(vec![7; length]).unwrap());
    let largest = of(MAX_BODY_BYTES - 8);
    assert_eq!(largest.len(), MAX_BODY_BYTES);
    assert!(decode::<Big>(&largest).is_ok());
    let longer = CodecError::TooLong(MAX_BODY_BYTES + 1);
    assert_eq!(decode::<Big>(&of(MAX_BODY_BYTES - 7)), Err(longer));
}

/// An element may take more memory than bytes: the limit is one of the wire.
#[test]
fn a_long_list_of_wide_elements_is_read() {
    type Wide = List<Option<[u8; 1000]>, 100_000>;
    let list = Wide::new(vec![None; 100_000]).unwrap();
    assert_eq!(decode::<Wide>(&encode(&list)), Ok(list));
}

#[test]
fn bounds_hold_when_building() {
    assert_eq!(text::<3>("abc").to_string(), "abc");
    assert_eq!(Text::<3>::new("abcd"), None);
    assert_eq!(Text::<3>::new("éé"), None); // bytes, not characters
    assert_eq!(Bytes::<3>::new(vec![0; 4]), None);
    assert_eq!(List::<u8, 3>::new(vec![0; 4]), None);
    assert_eq!(List::<u8, 3>::new(vec![0; 3]).unwrap().into_inner(), [0; 3]);
    assert_eq!(
        format!("{:?} {:?}", text::<3>("a"), Bytes::<3>::new([255]).unwrap()),
        "\"a\" Bytes(ff)"
    );
}

fn bodies() -> impl Strategy<Value = Body> {
    let choice = prop_oneof![
        Just(Choice::Nothing),
        any::<u64>().prop_map(Choice::Number),
        ("[a-z]{0,8}", any::<bool>()).prop_map(|(name, flag)| Choice::Named {
            name: text(&name),
            flag
        }),
    ];
    let rows = proptest::collection::vec(proptest::collection::vec(any::<u16>(), 0..=3), 0..=2);
    (
        any::<([u8; 32], Option<[u8; 32]>, i64, [u8; 3])>(),
        "\\PC{0,3}",
        proptest::collection::vec(any::<u8>(), 0..=6),
        proptest::collection::vec(choice, 0..=4),
        rows,
    )
        .prop_map(
            |((hash, member, time, raw), words, bytes, choices, rows)| Body {
                hash: Hash(hash),
                member: member.map(|id| MemberId(Hash(id))),
                text: text(&words),
                bytes: Bytes::new(bytes).unwrap(),
                choices: List::new(choices).unwrap(),
                nested: List::new(
                    rows.into_iter()
                        .map(|row| List::new(row).unwrap())
                        .collect(),
                )
                .unwrap(),
                time,
                raw,
            },
        )
}

proptest! {
    #[test]
    fn round_trip(body in bodies()) {
        prop_assert_eq!(decode::<Body>(&encode(&body)), Ok(body));
    }

    #[test]
    fn what_is_read_prints_the_same(bytes in proptest::collection::vec(0u8..4, 0..64)) {
        if let Ok(list) = decode::<List<Choice, 4>>(&bytes) {
            prop_assert_eq!(encode(&list), bytes);
        }
    }

    #[test]
    fn changed_bytes_never_panic(body in bodies(), at: prop::sample::Index, byte: u8) {
        let mut bytes = encode(&body);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = decode::<Body>(&bytes) {
            prop_assert_eq!(encode(&read), bytes);
        }
    }
}
