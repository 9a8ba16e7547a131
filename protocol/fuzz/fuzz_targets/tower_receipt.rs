//! Tower receipts: what is read prints to exactly the same bytes.
#![no_main]

use belfry_protocol::tower_receipt;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(proof) = tower_receipt::parse(data) {
        let json = tower_receipt::to_json(&proof).expect("it was read");
        assert_eq!(json.as_bytes(), data);
    }
});
