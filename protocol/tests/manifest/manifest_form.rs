//! The canonical form: the golden bytes, one spelling, limits.

use crate::fixture::{MEMBERS, manifest, vector};
use belfry_protocol::manifest::{
    MAX_MANIFEST_BYTES, MAX_MEMBERS, Manifest, ManifestError, Member, smallest_amendment,
};
use belfry_protocol::note::SigningKey;
use belfry_protocol::tlog::hash::{Hash, sha256};
use proptest::prelude::*;

#[test]
fn the_bytes_are_frozen() {
    let golden = vector("genesis/manifest.json");
    assert_eq!(manifest().to_json(), golden);
    assert_eq!(Manifest::parse(golden.as_bytes()).unwrap(), manifest());
    assert_eq!(manifest().hash(), sha256(golden.as_bytes()));
    assert_eq!(manifest().federation_id(), Some(manifest().hash()));
    let later = Manifest {
        epoch: 1,
        previous: Some(manifest().hash()),
        ..manifest()
    };
    assert_eq!(later.federation_id(), None);
    assert_eq!(Manifest::parse(later.to_json().as_bytes()).unwrap(), later);
}

#[test]
fn other_spellings_and_other_fields_are_refused() {
    let good = manifest().to_json();
    for (from, to, word) in [
        ("{\"amend", "{ \"amend", "canonical"),
        ("\"epoch\":0", "\"epoch\":0.0", "canonical"),
        ("\"epoch\":0", "\"epoch\":-0", "whole number"),
        ("Acme", "\\u0041cme", "canonical"),
        ("\"tower\"", "\"tower\",\"tower\"", "each once"),
        ("[\"tower\"]", "[\"tower\",\"factory\"]", "canonical"),
        ("[\"tower\"]", "[\"watcher\"]", "\"roles\" may hold"),
        ("[\"tower\"]", "\"tower\"", "\"roles\" is not a list"),
        ("\"epoch\":0", "\"epoch\":0,\"epoch\":0", "duplicate key"),
        (
            "\"epoch\":0",
            "\"epoch\":0,\"extra\":0",
            "\"extra\" is not known",
        ),
        (
            "\"epoch\":0",
            "\"epoch\":-1",
            "\"epoch\" is not a whole number",
        ),
        (
            "\"epoch\":0",
            "\"epoch\":1.5",
            "\"epoch\" is not a whole number",
        ),
        (
            "\"epoch\":0",
            "\"epoch\":\"0\"",
            "\"epoch\" is not a whole number",
        ),
        ("\"epoch\":0,", "", "\"epoch\" is missing"),
        ("\"epoch\":0", "\"epoch\":9007199254740992", "beyond 2^53"),
        (
            "\"tower_quorum\":2",
            "\"tower_quorum\":4294967296",
            "larger than 2^32",
        ),
        ("belfry-manifest/v1", "belfry-manifest/v2", "newer Belfry"),
        (
            "\"mirroring\":true",
            "\"mirroring\":1",
            "neither true nor false",
        ),
        ("[\"1.0\",\"1.0\"]", "[\"1.0\"]", "\"protocol\" is not"),
        (
            "[\"1.0\",\"1.0\"]",
            "[\"1.0\",\"1.256\"]",
            "\"protocol\" is not",
        ),
        (
            "[\"1.0\",\"1.0\"]",
            "[\"1.0\",\"01.0\"]",
            "\"protocol\" is not",
        ),
        (
            "\"clock_bound_ms\":500",
            "\"clock_bound_ms\":500,\"x\":1",
            "\"x\" is not known",
        ),
        ("\"lineage\":\"62", "\"lineage\":\"6", "\"lineage\" is not"),
        (
            "\"name\":\"one.example\"",
            "\"name\":1",
            "\"name\" is not a string",
        ),
        (
            "\"http\":\"https://line-4.acme.example\"",
            "\"http\":null",
            "\"http\" is not a string",
        ),
        ("[\"/dns4/one", "[1,\"/dns4/one", "\"addresses\" is not"),
        (
            "one.example+",
            "one.example-",
            "entry 2 of the members (\"one.example\"): \"identity\"",
        ),
    ] {
        assert!(good.contains(from), "{from}");
        let said = Manifest::parse(good.replacen(from, to, 1).as_bytes())
            .unwrap_err()
            .to_string();
        assert!(said.contains(word), "{to}: {said}");
    }
    for bytes in [&b""[..], b"{}", b"[]", b"null", b"\xff"] {
        assert!(Manifest::parse(bytes).is_err());
    }
    let with_end = format!("{good}\n");
    assert_eq!(
        Manifest::parse(with_end.as_bytes()),
        Err(ManifestError::NotCanonical("manifest"))
    );
}

#[test]
fn size_and_depth_are_bounded() {
    let large = vec![b' '; MAX_MANIFEST_BYTES + 1];
    let said = Manifest::parse(&large).unwrap_err();
    assert!(matches!(said, ManifestError::TooLarge { .. }));
    let deep = manifest()
        .to_json()
        .replace("\"epoch\":0", &format!("\"epoch\":{}", "[".repeat(99)));
    assert!(
        Manifest::parse(deep.as_bytes())
            .unwrap_err()
            .to_string()
            .contains("nested deeper")
    );
    // The largest manifest that keeps the other limits, unless half of it has to be escaped.
    let mut full = crowd(MAX_MEMBERS, &[3; MAX_MEMBERS]);
    let fill = |full: &mut Manifest, letter: &str| {
        for member in &mut full.members {
            member.addresses = vec![format!("/{}", letter.repeat(255)); 8];
        }
    };
    fill(&mut full, "a");
    assert_eq!(full.check(), Ok(()));
    fill(&mut full, "\\");
    assert!(matches!(full.check(), Err(ManifestError::TooLarge { .. })));
}

/// A manifest of `count` members; the bits of `roles` say factory and tower.
fn crowd(count: usize, roles: &[u8]) -> Manifest {
    let letters = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ123456789".as_bytes();
    let one = |(at, role): (usize, &u8)| {
        let name = format!("m{at:02}.example");
        let seed = [u8::try_from(at + 1).unwrap(); 32];
        let end = [letters[at % 57], letters[at / 57]];
        let end = String::from_utf8(end.to_vec()).unwrap();
        Member {
            identity: SigningKey::ed25519(&name, seed).unwrap().verifier().clone(),
            peer: format!("{}{end}", &MEMBERS[0].2[..50]),
            addresses: Vec::new(),
            http: (role & 4 != 0).then(|| format!("http://{name}/\"x\\")),
            factory: role & 1 != 0,
            tower: role & 3 != 1,
            certificate_head: Hash(seed),
            name,
        }
    };
    let mut made = Manifest {
        members: roles.iter().take(count).enumerate().map(one).collect(),
        amendment_threshold: smallest_amendment(u32::try_from(count).unwrap()).unwrap(),
        ..manifest()
    };
    // Roles with no quorum for all: everybody gets both, so that all count the same towers.
    if made.allowed_quorums().is_none() {
        for member in &mut made.members {
            (member.factory, member.tower) = (true, true);
        }
    }
    made.tower_quorum = *made.allowed_quorums().unwrap().start();
    made
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_prints_reads_back(
        roles in prop::collection::vec(0u8..8, 2..12),
        name in "[^\\p{C}\\s]{1,20}",
        epoch in 0u64..1 << 53,
        created in 0u64..1 << 52,
        spans in (1u64..1 << 30, 1u64..1 << 30),
        mirroring in any::<bool>(),
        lineage in any::<[u8; 16]>(),
        minor in any::<u8>(),
        window in 1u32..=86_400,
    ) {
        let mut made = crowd(roles.len(), &roles);
        made.federation = name;
        made.epoch = epoch;
        made.previous = (epoch > 0).then_some(Hash([7; 32]));
        made.created_seconds = created;
        made.resign_from_seconds = created + spans.0;
        made.expires_seconds = created + spans.0 + spans.1;
        made.effective_seconds = (epoch > 0 && minor > 9).then_some(created + spans.0);
        made.mirroring = mirroring;
        made.lineage = lineage;
        made.protocol = ((1, 0), (1, minor));
        made.limits.nonce_window_seconds = window;
        prop_assert_eq!(made.check(), Ok(()));
        let text = made.to_json();
        let again = Manifest::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(&again, &made);
        prop_assert_eq!(again.to_json(), text);
    }

    #[test]
    fn what_is_read_prints_the_same(at in any::<prop::sample::Index>(), byte in 0x20u8..0x7f) {
        let mut bytes = manifest().to_json().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = Manifest::parse(&bytes) {
            prop_assert_eq!(read.to_json().into_bytes(), bytes);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Manifest::parse(&bytes);
    }
}
