//! The building blocks of bodies: what is read encodes to the same bytes and keeps its bounds.
#![no_main]

use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::wire::codec::{Bytes, List, Text, decode, encode};

// Tuples, since the derives need bincode, on which only the protocol depends.
type Body = (
    Text<16>,
    Bytes<16>,
    List<(u8, Text<8>, bool), 8>,
    List<List<Option<u16>, 4>, 4>,
    Option<Hash>,
);

/// Bounds that are none: the bytes have to be there all the same.
type Unbounded = List<Bytes<{ 1 << 40 }>, { 1 << 40 }>;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(body) = decode::<Body>(data) {
        assert_eq!(encode(&body), data);
        let (text, bytes, list, nested, _) = body;
        assert!(text.as_str().len() <= 16 && !text.as_str().contains(char::is_control));
        assert!(bytes.as_slice().len() <= 16 && list.as_slice().len() <= 8);
        let short = |row: &List<_, 4>| row.as_slice().len() <= 4;
        assert!(nested.as_slice().len() <= 4 && nested.as_slice().iter().all(short));
    }
    if let Ok(list) = decode::<Unbounded>(data) {
        assert_eq!(encode(&list), data);
    }
});
