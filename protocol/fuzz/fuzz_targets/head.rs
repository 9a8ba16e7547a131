//! Head records: what is read is written as exactly the same bytes.
#![no_main]

use belfry_protocol::engine::ledger::Head;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(head) = Head::decode(data) {
        assert_eq!(head.encode(), data);
        assert!(head.flushed <= head.size());
        let _ = head.root();
    }
});
