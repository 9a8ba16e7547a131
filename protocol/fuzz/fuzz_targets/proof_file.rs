//! Proof files: what is read prints to exactly the same bytes.
#![no_main]

use belfry_protocol::proof_file::TlogProof;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(proof) = TlogProof::parse(data) {
        assert_eq!(proof.to_string().as_bytes(), data);
    }
});
