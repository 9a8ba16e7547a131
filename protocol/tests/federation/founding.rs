//! A federation from fixed names: keys, certificates, and a manifest that all members signed.

use belfry_protocol::cert::{Certificate, Scope, certificate_hash};
use belfry_protocol::engine::keys::{LogKeys, OwnKeys, Serial};
use belfry_protocol::manifest::{Founded, Limits, Manifest, Member, SignedManifest, signing_text};
use belfry_protocol::note::{Algorithm, SignedNote, SigningKey};
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

/// The keys of a serial: log, envelope, ack, mirror.
pub(crate) fn keys(name: &str, serial: u64) -> [SigningKey; 4] {
    let seed = |what: &str| match serial {
        1 => seed(name, what),
        more => seed(name, &format!("{what}/{more}")),
    };
    let ed = |what: &str| SigningKey::ed25519(name, seed(what)).unwrap();
    [
        ed("log"),
        ed("envelope"),
        SigningKey::cosigner(name, seed("ack")).unwrap(),
        SigningKey::cosigner(&format!("{name}/mirror"), seed("mirror")).unwrap(),
    ]
}

/// When the certificate of a serial ends: each 90 days after the one before.
pub(crate) fn end_of(serial: u64) -> u64 {
    START + serial * 90 * 86_400
}

fn certificate(
    name: &str,
    serial: u64,
    from_size: u64,
    before: Option<&SignedNote>,
) -> Certificate {
    let [log, envelope, ack, mirror] = keys(name, serial).map(|key| key.verifier().clone());
    Certificate {
        scope: Scope::Unfounded,
        node: name.to_owned(),
        serial,
        previous: before.map(certificate_hash),
        not_before_seconds: START - 10,
        not_after_seconds: end_of(serial),
        log,
        log_from_size: from_size,
        ack,
        mirror,
        envelope,
    }
}

/// Certificates of serials 1, 2, …, one for each first size of a log key.
pub(crate) fn certificates(name: &str, from_sizes: &[u64]) -> Vec<SignedNote> {
    let identity = SigningKey::ed25519(name, seed(name, "identity")).unwrap();
    let mut notes: Vec<SignedNote> = Vec::new();
    for (serial, from_size) in (1..).zip(from_sizes) {
        let next = certificate(name, serial, *from_size, notes.last());
        notes.push(next.sign(&identity).unwrap());
    }
    notes
}

/// The ML-DSA-44 key of a serial, where this build has the algorithm.
pub(crate) fn subtree_key(name: &str, serial: u64) -> Option<SigningKey> {
    let algorithm = Algorithm::from_byte(0x06).ok()?;
    let seed = seed(name, &format!("subtree {serial}"));
    Some(SigningKey::new(name, algorithm, seed).unwrap())
}

/// A node's own keys of serials 1, 2, …
pub(crate) fn own_keys(name: &str, from_sizes: &[u64]) -> OwnKeys {
    let serial = |number: u64| {
        let [_, envelope, ack, mirror] = keys(name, number);
        Serial {
            number,
            not_before_seconds: START - 10,
            not_after_seconds: end_of(number),
            envelope,
            ack,
            mirror,
            subtree: subtree_key(name, number),
        }
    };
    let newest = from_sizes.len() as u64;
    let log = (1..).zip(from_sizes).map(|(number, from)| {
        let [log, ..] = keys(name, number);
        (*from, log)
    });
    OwnKeys {
        certificates: certificates(name, from_sizes),
        log: LogKeys::new(log.collect())
            .unwrap()
            .both_until(START + 14 * 86_400)
            .ending(end_of(newest)),
        newest: serial(newest),
        before: (newest > 1).then(|| serial(newest - 1)),
    }
}

/// A member as a manifest lists it.
pub(crate) fn line(name: &str, factory: bool, tower: bool) -> Member {
    let number = u16::from_be_bytes(sha256(name.as_bytes()).0[..2].try_into().unwrap());
    let identity = SigningKey::ed25519(name, seed(name, "identity")).unwrap();
    Member {
        name: name.to_owned(),
        factory,
        tower,
        identity: identity.verifier().clone(),
        peer: peer_id(name),
        addresses: vec![format!("/ip4/127.0.0.1/tcp/{}", number.max(1))],
        http: None,
        certificate_head: certificate_hash(&certificates(name, &[0])[0]),
    }
}

/// One factory and `towers` towers, of which the first `both` are factories too.
pub(crate) fn found(towers: usize, k: u32, both: usize) -> Founded {
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
        .map(|(number, name)| line(name, number <= both, number > 0))
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
        effective_seconds: None,
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
