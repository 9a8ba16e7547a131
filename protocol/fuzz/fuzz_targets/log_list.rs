//! Lists of logs: what is read prints to a list that reads as the same logs.
#![no_main]

use belfry_protocol::log_list::{parse, print};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(logs) = parse(data) {
        let printed = print(&logs, 1, "contact");
        assert_eq!(parse(printed.as_bytes()), Ok(logs));
    }
});
