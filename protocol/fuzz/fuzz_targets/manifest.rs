//! Manifests and signed manifests: what is read prints to the same bytes, keeps every rule, and founds only if signed.
#![no_main]

use belfry_protocol::manifest::{Federation, Manifest, SignedManifest};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(manifest) = Manifest::parse(data) {
        assert_eq!(manifest.to_json().as_bytes(), data);
        assert_eq!(manifest.check(), Ok(()));
        for member in manifest.members.iter().filter(|member| member.factory) {
            let federation = Federation::new(manifest.hash(), manifest.clone());
            let federation = federation.expect("what reads makes a federation");
            let quorum = federation.quorum_of(&member.name);
            assert!(quorum.is_some_and(|quorum| 2 * quorum.needed > quorum.towers + quorum.faulty));
        }
    }
    if let Ok(signed) = SignedManifest::parse(data) {
        assert_eq!(signed.to_json().as_bytes(), data);
        if let Ok(founded) = signed.verify_founding() {
            assert_eq!(Some(founded.id), founded.manifest.federation_id());
            assert_eq!(
                signed.note.signatures().len(),
                founded.manifest.members.len()
            );
        }
    }
});
