//! Founding a federation for tests: keys, configuration, and a manifest that all members signed. Starts nothing.

#![allow(
    clippy::unwrap_used,
    reason = "what a test needs and does not get ends the test"
)]

use belfry_keys::{CreateOptions, KeyDir, NodeKeys, Protection};
use belfry_node::config::EXAMPLE;
use belfry_node::net::peer_id_of;
use belfry_protocol::cert::{Scope, certificate_hash};
use belfry_protocol::manifest::{
    DEFAULT_VALIDITY_SECONDS, Limits, Manifest, Member, Quorum, SignedManifest, signing_text,
    smallest_amendment,
};
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

/// Ports below those that Linux gives to callers: a node that is down must find its own port free when it comes back.
const PORTS: std::ops::Range<u32> = 12_000..32_000;

/// A port that is free now. Test processes begin at different places.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let ports = (0..2_000).map(|_| {
        let place = std::process::id().wrapping_mul(97) + NEXT.fetch_add(1, Ordering::Relaxed);
        u16::try_from(PORTS.start + place % (PORTS.end - PORTS.start)).unwrap()
    });
    ports.into_iter().find(free).unwrap()
}

fn now_seconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// Keys and configuration of a node; the keys are unencrypted, they live as long as the test.
pub(crate) fn make(dir: &Path, name: &str, port: u16) -> NodeKeys {
    fs::create_dir_all(dir).unwrap();
    let options = CreateOptions {
        name: name.to_owned(),
        protection: Protection::Plain,
        now_seconds: now_seconds(),
        scope: Scope::Unfounded,
        import_log_key: None,
    };
    let role = if name.contains('/') {
        "factory"
    } else {
        "tower"
    };
    let config = EXAMPLE
        .replace("{name}", name)
        .replace("role = \"factory\"", &format!("role = \"{role}\""))
        .replace("allow_solo = true", "allow_solo = false")
        .replace("127.0.0.1:9470", "127.0.0.1:0");
    let net = format!("\n[net]\nlisten = \"127.0.0.1:{port}\"\ntransport = \"tcp\"\n");
    fs::write(dir.join("config.toml"), config + &net).unwrap();
    KeyDir::create(dir, options).unwrap()
}

pub(crate) fn describe(keys: &NodeKeys, factory: bool, port: u16) -> Member {
    Member {
        name: keys.name().to_owned(),
        factory,
        tower: !factory,
        identity: keys.identity_verifier().clone(),
        peer: peer_id_of(&keys.transport_public_key()).to_string(),
        addresses: vec![format!("/ip4/127.0.0.1/tcp/{port}")],
        http: None,
        certificate_head: certificate_hash(keys.certificate()),
    }
}

/// The manifest of epoch 0, signed by every member.
pub(crate) fn sign(mut members: Vec<Member>, keys: &[NodeKeys]) -> SignedManifest {
    let count = u32::try_from(members.len()).unwrap();
    let created_seconds = now_seconds();
    // Of each federation another one: its first identity is as random as any number.
    let lineage = certificate_hash(keys[0].certificate()).0;
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let manifest = Manifest {
        federation: "Test".to_owned(),
        epoch: 0,
        previous: None,
        lineage: lineage[..16].try_into().unwrap(),
        created_seconds,
        expires_seconds: created_seconds + DEFAULT_VALIDITY_SECONDS,
        resign_from_seconds: created_seconds + DEFAULT_VALIDITY_SECONDS / 2,
        protocol: ((1, 0), (1, 0)),
        tower_quorum: Quorum::smallest(count - 1).unwrap().needed,
        members,
        amendment_threshold: smallest_amendment(count).unwrap(),
        limits: Limits::default(),
        mirroring: true,
        recovery_keys: Vec::new(),
    };
    let text = signing_text(&manifest, None);
    let lines = keys
        .iter()
        .map(|keys| keys.identity_key().unwrap().sign_note(&text).unwrap());
    SignedManifest::assemble(manifest, None, lines.collect()).unwrap()
}
