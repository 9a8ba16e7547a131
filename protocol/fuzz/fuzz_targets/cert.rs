//! Certificates and revocations: what is read prints to exactly the same text.
#![no_main]

use belfry_protocol::cert::{Certificate, Revocation};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(certificate) = Certificate::parse(text) {
        assert_eq!(certificate.to_text(), text);
    }
    if let Ok(revocation) = Revocation::parse(text) {
        assert_eq!(revocation.to_text(), text);
    }
});
