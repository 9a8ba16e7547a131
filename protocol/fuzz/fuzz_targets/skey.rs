//! Private keys in Go's form: what is read is exported as exactly the same text, and `Debug` does not show it.
#![no_main]

use belfry_protocol::note::SigningKey;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(key) = SigningKey::import(text) {
        assert_eq!(*key.export(), text);
        let (_, secret) = text
            .rsplit_once(&format!("+{}+", key.verifier().key_id_hex()))
            .expect("the id is in it");
        assert!(!format!("{key:?}").contains(secret));
    }
});
