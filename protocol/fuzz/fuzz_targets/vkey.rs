//! Public keys: what is read prints to exactly the same text.
#![no_main]

use belfry_protocol::note::VerifierKey;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(key) = VerifierKey::parse(text) {
        assert_eq!(key.to_string(), text);
    }
});
