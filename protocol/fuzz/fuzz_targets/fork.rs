//! Fork proofs: what is read prints to exactly the same bytes, and nobody is accused without a trusted key.
#![no_main]

use belfry_protocol::fork::ForkProof;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(proof) = ForkProof::parse(data) {
        assert_eq!(proof.to_json().as_bytes(), data);
        assert!(proof.verify(&[]).is_err());
    }
});
