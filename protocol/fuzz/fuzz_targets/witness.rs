//! Bodies of the witness protocol: what is read prints to exactly the same bytes.
#![no_main]

use belfry_protocol::witness::{
    AddCheckpoint, SignSubtree, parse_conflict, parse_cosignatures, print_conflict,
    print_cosignatures,
};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(request) = AddCheckpoint::parse(data) {
        assert_eq!(request.to_string().as_bytes(), data);
    }
    if let Ok(request) = SignSubtree::parse(data) {
        assert_eq!(request.to_string().as_bytes(), data);
    }
    if let Ok(lines) = parse_cosignatures(data) {
        assert_eq!(print_cosignatures(&lines).as_bytes(), data);
    }
    if let Ok(size) = parse_conflict(data) {
        assert_eq!(print_conflict(size).as_bytes(), data);
    }
});
