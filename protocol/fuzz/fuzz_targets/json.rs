//! JSON: the canonical form of what is read reads as the same value, and prints the same.
#![no_main]

use belfry_protocol::entry::json::Json;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(value) = Json::parse(data) {
        let canonical = value.to_canonical();
        let again = Json::parse(&canonical).expect("the canonical form must read");
        assert_eq!(again, value);
        assert_eq!(again.to_canonical(), canonical);
        let _ = value.as_u64();
    }
});
