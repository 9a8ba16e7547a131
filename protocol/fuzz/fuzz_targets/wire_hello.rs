//! Hellos: what is read has its goodbye in front, signs to the same bytes where we can sign it, and does not verify by a
//! key that signed nothing.
#![no_main]

use belfry_protocol::note::SigningKey;
use belfry_protocol::wire::Hello;
use std::sync::LazyLock;

static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::ed25519("a.example", [1; 32]).expect("a name"));

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let goodbye = Hello::read_goodbye(data);
    let Ok(read) = Hello::parse(data) else {
        return;
    };
    assert!(read.verify(KEY.verifier()).is_err());
    let hello = read.into_hello();
    assert_eq!(
        goodbye,
        hello.goodbye.map(|goodbye| (goodbye, hello.reason.clone()))
    );
    // Without certificates, any key signs a goodbye.
    if let (Ok(again), true) = (hello.encode(&KEY), hello.chain.is_empty()) {
        assert_eq!(again[..again.len() - 64], data[..data.len() - 64]);
    }
});
