//! The federation of `docs/vectors/genesis/`, made from fixed seeds: one factory and three towers.

use belfry_protocol::cert::{Certificate, Scope, certificate_hash, verify_chain};
use belfry_protocol::manifest::{
    DEFAULT_RESIGN_LEAD_SECONDS, DEFAULT_VALIDITY_SECONDS, Limits, Manifest, Member,
    SignedManifest, signing_text,
};
use belfry_protocol::note::{SignatureLine, SignedNote, SigningKey};
use belfry_protocol::tlog::hash::sha256;
use std::path::Path;

pub(crate) const FACTORY: &str = "acme.example/line-4";
pub(crate) const LINEAGE: [u8; 16] = *b"belfry lineage 1";
pub(crate) const CREATED: u64 = 1_795_168_800;
const DAY: u64 = 86_400;

/// Name, byte of the identity seed, PeerId.
pub(crate) const MEMBERS: [(&str, u8, &str); 4] = [
    (
        FACTORY,
        0x09,
        "12D3KooWFZd5v1BPvVe5gXa19asqDpv7sTGzr4gvtbzmbC8gRUqE",
    ),
    (
        "one.example",
        0x24,
        "12D3KooWCpViuBRaoFGhqj8Z3j1wTd4k7E6mPHgN7MDaxSf56JQx",
    ),
    (
        "three.example",
        0x26,
        "12D3KooWN4iBT5BEoaaYg59LudzGUHWLVrM8PkpQoaort6MyjkML",
    ),
    (
        "two.example",
        0x25,
        "12D3KooWPJMiEvJ35ads69T4zVAVvihYwqvsA3HwPG47xhFPpUXQ",
    ),
];

pub(crate) fn vector(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors");
    std::fs::read_to_string(docs.join(name)).unwrap()
}

pub(crate) fn identity(name: &str) -> SigningKey {
    let (_, seed, _) = MEMBERS.iter().find(|row| row.0 == name).unwrap();
    SigningKey::ed25519(name, [*seed; 32]).unwrap()
}

/// The certificate of a tower; the ack keys of serial 1 are the towers' keys of `docs/vectors/keys.json`.
fn certificate(name: &str, serial: u64, before: Option<&SignedNote>) -> Certificate {
    let base = identity_seed(name) - 0x10 + u8::try_from(serial - 1).unwrap() * 0x50;
    let plain = |byte| SigningKey::ed25519(name, [byte; 32]).unwrap();
    let mirror = SigningKey::cosigner(&format!("{name}/mirror"), [base + 0x20; 32]).unwrap();
    let ack = SigningKey::cosigner(name, [base; 32]).unwrap();
    let not_before_seconds = CREATED + (serial - 1) * 76 * DAY;
    Certificate {
        scope: Scope::Lineage(LINEAGE),
        node: name.to_owned(),
        serial,
        previous: before.map(certificate_hash),
        not_before_seconds,
        not_after_seconds: not_before_seconds + 90 * DAY,
        log: plain(base + 0x30).verifier().clone(),
        log_from_size: (serial - 1) * 100,
        ack: ack.verifier().clone(),
        mirror: mirror.verifier().clone(),
        envelope: plain(base + 0x40).verifier().clone(),
    }
}

fn identity_seed(name: &str) -> u8 {
    MEMBERS.iter().find(|row| row.0 == name).unwrap().1
}

/// The factory and the first tower have two serials, the other towers one.
pub(crate) fn notes(name: &str) -> Vec<SignedNote> {
    if name == FACTORY {
        let files = ["certificate-1.note", "certificate-2.note"];
        return files
            .map(|file| SignedNote::parse(vector(file).as_bytes()).unwrap())
            .to_vec();
    }
    let sign = |serial, before: Option<&SignedNote>| {
        let certificate = certificate(name, serial, before);
        certificate.sign(&identity(name)).unwrap()
    };
    let first = sign(1, None);
    if name == "one.example" {
        let second = sign(2, Some(&first));
        return vec![first, second];
    }
    vec![first]
}

pub(crate) fn chain(name: &str) -> Option<Vec<Certificate>> {
    verify_chain(identity(name).verifier(), &notes(name)).ok()
}

/// A member by name, with the given roles.
pub(crate) fn member(name: &str, factory: bool, tower: bool) -> Member {
    let (_, _, peer) = MEMBERS.iter().find(|row| row.0 == name).unwrap();
    let host = if name == FACTORY {
        "line-4.acme.example"
    } else {
        name
    };
    Member {
        name: name.to_owned(),
        factory,
        tower,
        identity: identity(name).verifier().clone(),
        peer: (*peer).to_owned(),
        addresses: vec![format!("/dns4/{host}/tcp/7420")],
        http: factory.then(|| "https://line-4.acme.example".to_owned()),
        certificate_head: certificate_hash(notes(name).last().unwrap()),
    }
}

pub(crate) fn manifest() -> Manifest {
    let members = MEMBERS.map(|(name, ..)| member(name, name == FACTORY, name != FACTORY));
    let recovery = SigningKey::ed25519("acme.example/recovery", [0x77; 32]).unwrap();
    Manifest {
        federation: "Acme lines".to_owned(),
        epoch: 0,
        previous: None,
        lineage: LINEAGE,
        created_seconds: CREATED,
        expires_seconds: CREATED + DEFAULT_VALIDITY_SECONDS,
        resign_from_seconds: CREATED + DEFAULT_VALIDITY_SECONDS - DEFAULT_RESIGN_LEAD_SECONDS,
        protocol: ((1, 0), (1, 0)),
        members: members.to_vec(),
        tower_quorum: 2,
        amendment_threshold: 3,
        limits: Limits::default(),
        mirroring: true,
        effective_seconds: None,
        recovery_keys: vec![sha256(recovery.verifier().to_string().as_bytes())],
    }
}

/// Signature lines of these members on the manifest of epoch 0.
pub(crate) fn lines(manifest: &Manifest, names: &[&str]) -> Vec<SignatureLine> {
    let text = signing_text(manifest, None);
    let sign = |name: &&str| identity(name).sign_note(&text).unwrap();
    names.iter().map(sign).collect()
}

pub(crate) fn signed() -> SignedManifest {
    let all = MEMBERS.map(|(name, ..)| name);
    SignedManifest::assemble(manifest(), None, lines(&manifest(), &all)).unwrap()
}
