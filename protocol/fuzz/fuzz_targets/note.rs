//! Signed notes: what is read prints to exactly the same bytes.
#![no_main]

use belfry_protocol::note::SignedNote;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(note) = SignedNote::parse(data) {
        assert_eq!(note.to_string().as_bytes(), data);
    }
});
