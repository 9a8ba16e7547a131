//! Signed envelopes: what is read and its attachment print to the same bytes; nothing verifies by a key that signed nothing.
#![no_main]

use belfry_protocol::note::VerifierKey;
use belfry_protocol::wire::Envelope;
use std::sync::LazyLock;

static KEY: LazyLock<VerifierKey> = LazyLock::new(|| {
    let key = belfry_protocol::note::SigningKey::ed25519("a.example", [1; 32]).expect("a name");
    key.verifier().clone()
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok((envelope, rest)) = Envelope::split(data) {
        assert_eq!([&envelope.to_bytes()[..], rest].concat(), data);
        assert!(!envelope.verify(&KEY));
    }
});
