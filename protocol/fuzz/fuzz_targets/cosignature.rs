//! Signature lines as cosignatures: what is read prints the same, and nothing verifies by a key that signed nothing.
#![no_main]

use belfry_protocol::cosignature::verify;
use belfry_protocol::note::{SignatureLine, SigningKey};

const TEXT: &str = "a.example/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(line) = SignatureLine::parse(text) {
        assert_eq!(line.to_string(), text);
        // A seed that no corpus file was signed with.
        let key = SigningKey::cosigner("w.example", [0xa5; 32]).expect("the name is good");
        if let Ok(forged) = SignatureLine::new(
            "w.example",
            key.verifier().key_id(),
            line.signature().to_vec(),
        ) {
            assert!(verify(TEXT, &forged, key.verifier()).is_err());
        }
    }
});
