//! A federation from fixed names: keys, certificates, and a manifest that all members signed.

use belfry_protocol::cert::{Certificate, Scope, certificate_hash};
use belfry_protocol::manifest::{Founded, Limits, Manifest, Member, SignedManifest, signing_text};
use belfry_protocol::note::{SignedNote, SigningKey};
use belfry_protocol::tlog::hash::{sha256, sha256_parts};

/// When everything begins, in seconds since 1970.
pub(crate) const START: u64 = 1_795_168_800;

pub(crate) fn seed(name: &str, what: &str) -> [u8; 32] {
    sha256_parts(&[name.as_bytes(), b"/", what.as_bytes()]).0
}

pub(crate) fn peer_id(name: &str) -> String {
    const ALPHABET: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let hash = sha256_parts(&[name.as_bytes(), b"a"])
        .0
        .into_iter()
        .chain(sha256(name.as_bytes()).0);
    let rest: String = hash
        .take(44)
        .map(|byte| char::from(ALPHABET[usize::from(byte) % 58]))
        .collect();
    format!("12D3KooW{rest}")
}

pub(crate) fn certificate(name: &str) -> Certificate {
    let key = |what: &str| {
        SigningKey::ed25519(name, seed(name, what))
            .unwrap()
            .verifier()
            .clone()
    };
    let cosigner = |name: &str, what: &str| {
        SigningKey::cosigner(name, seed(name, what))
            .unwrap()
            .verifier()
            .clone()
    };
    Certificate {
        scope: Scope::Unfounded,
        node: name.to_owned(),
        serial: 1,
        previous: None,
        not_before_seconds: START - 10,
        not_after_seconds: START + 90 * 86_400,
        log: key("log"),
        log_from_size: 0,
        ack: cosigner(name, "ack"),
        mirror: SigningKey::cosigner(&format!("{name}/mirror"), seed(name, "mirror"))
            .unwrap()
            .verifier()
            .clone(),
        envelope: key("envelope"),
    }
}

pub(crate) fn certificates(name: &str) -> Vec<SignedNote> {
    let identity = SigningKey::ed25519(name, seed(name, "identity")).unwrap();
    vec![certificate(name).sign(&identity).unwrap()]
}

/// One factory and `towers` towers; k as small as allowed.
pub(crate) fn found(towers: usize, k: u32) -> Founded {
    let names: Vec<String> = (0..=towers)
        .map(|number| {
            if number == 0 {
                "a.example/line".to_owned()
            } else {
                format!("t{number}.example")
            }
        })
        .collect();
    let members = names
        .iter()
        .enumerate()
        .map(|(number, name)| Member {
            name: name.clone(),
            factory: number == 0,
            tower: number > 0,
            identity: SigningKey::ed25519(name, seed(name, "identity"))
                .unwrap()
                .verifier()
                .clone(),
            peer: peer_id(name),
            addresses: vec![format!("/ip4/127.0.0.1/tcp/{}", 4_000 + number)],
            http: None,
            certificate_head: certificate_hash(&certificates(name)[0]),
        })
        .collect();
    let count = u32::try_from(towers + 1).unwrap();
    let manifest = Manifest {
        federation: "Test".to_owned(),
        epoch: 0,
        previous: None,
        lineage: [7; 16],
        created_seconds: START,
        expires_seconds: START + 365 * 86_400,
        resign_from_seconds: START + 335 * 86_400,
        protocol: ((1, 0), (1, 0)),
        members,
        tower_quorum: k,
        amendment_threshold: belfry_protocol::manifest::smallest_amendment(count).unwrap(),
        limits: Limits::default(),
        mirroring: true,
        recovery_keys: Vec::new(),
    };
    let text = signing_text(&manifest, None);
    let lines = names
        .iter()
        .map(|name| {
            SigningKey::ed25519(name, seed(name, "identity"))
                .unwrap()
                .sign_note(&text)
                .unwrap()
        })
        .collect();
    SignedManifest::assemble(manifest, None, lines)
        .unwrap()
        .verify_founding()
        .unwrap()
}
