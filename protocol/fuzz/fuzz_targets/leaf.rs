//! Leaves: what is read prints to exactly the same bytes, and those are canonical JSON.
#![no_main]

use belfry_protocol::entry::json::Json;
use belfry_protocol::entry::leaf::Leaf;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(leaf) = Leaf::parse(data) {
        assert_eq!(leaf.to_bytes(), data);
        let json = Json::parse(data).expect("a leaf is JSON");
        assert_eq!(json.to_canonical(), data, "a leaf is canonical JSON");
    }
});
