//! Encoded private payloads: what is read is encoded as exactly the same bytes.
#![no_main]

use belfry_protocol::entry::commit::{decode_payload, encode_payload};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some((content_type, content)) = decode_payload(data) {
        assert_eq!(encode_payload(content_type, content), data);
    }
});
