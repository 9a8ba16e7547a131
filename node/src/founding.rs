//! Federations for trying out, testing and measuring: keys, configuration, ports, and a manifest that all members signed.
//! Keys are unencrypted and in one place, which a real federation's never are. Starts nothing.

use crate::clock;
use crate::config::EXAMPLE;
use crate::exit::{Code, Failure};
use crate::net::{Transport, peer_id_of};
use crate::store::Layout;
use belfry_keys::{CreateOptions, KeyDir, NodeKeys, Protection};
use belfry_protocol::cert::{Certificate, Scope, certificate_hash};
use belfry_protocol::manifest::{
    DEFAULT_RESIGN_LEAD_SECONDS, DEFAULT_VALIDITY_SECONDS, Limits, Manifest, Member, Quorum,
    SignedManifest, signing_text, smallest_amendment,
};
use belfry_protocol::note::SignedNote;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// Ports below those that Linux gives to callers: a node that is down must find its own port free when it comes back.
const PORTS: std::ops::Range<u16> = 12_000..32_000;
/// Ports that are tried before none is free.
const ATTEMPTS: usize = 256;

/// A port that is free now for TCP and UDP. Another program could take it before the node does.
///
/// # Errors
/// When none is.
pub fn free_port() -> Result<u16, Failure> {
    for _ in 0..ATTEMPTS {
        let mut random = [0; 2];
        getrandom::fill(&mut random)
            .map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
        let port = PORTS.start + u16::from_le_bytes(random) % (PORTS.end - PORTS.start);
        if is_free(port) {
            return Ok(port);
        }
    }
    Err(Failure::new(Code::Io, "no port is free on loopback"))
}

/// Whether nobody listens on a port now.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        && UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Keys and configuration of a node.
///
/// # Errors
/// When the directory cannot be written.
pub fn make(
    layout: &Layout,
    name: &str,
    factory: bool,
    port: u16,
    transport: Transport,
) -> Result<NodeKeys, Failure> {
    std::fs::create_dir_all(layout.dir())?;
    let options = CreateOptions {
        name: name.to_owned(),
        protection: Protection::Plain,
        now_seconds: now_seconds(),
        scope: Scope::Unfounded,
        import_log_key: None,
    };
    let keys = KeyDir::create(layout.dir(), options)
        .map_err(|error| Failure::new(Code::KeyUnavailable, error.to_string()))?;
    let transport = match transport {
        Transport::Tcp => "tcp",
        Transport::Quic => "quic",
        Transport::Both => "both",
    };
    let config = EXAMPLE
        .replace("{name}", name)
        .replace(
            "role = \"factory\"",
            if factory {
                "role = \"factory\""
            } else {
                "role = \"tower\""
            },
        )
        .replace("allow_solo = true", "allow_solo = false")
        .replace("listen = \"127.0.0.1:9470\"", "listen = \"127.0.0.1:0\"");
    let net = format!("\n[net]\nlisten = \"127.0.0.1:{port}\"\ntransport = \"{transport}\"\n");
    std::fs::write(layout.config(), config + &net)?;
    Ok(keys)
}

fn now_seconds() -> u64 {
    u64::try_from(clock::wall().seconds()).unwrap_or(0)
}

/// A member as the manifest names it, reached on loopback.
#[must_use]
pub fn describe(keys: &NodeKeys, factory: bool, port: u16, transport: Transport) -> Member {
    let certificate: &Certificate = keys.certificate_content();
    let note: &SignedNote = keys.certificate();
    debug_assert_eq!(certificate.node, keys.name());
    Member {
        name: keys.name().to_owned(),
        factory,
        tower: !factory,
        identity: keys.identity_verifier().clone(),
        peer: peer_id_of(&keys.transport_public_key()).to_string(),
        addresses: transport
            .listen_on(Ipv4Addr::LOCALHOST.into(), port)
            .iter()
            .map(ToString::to_string)
            .collect(),
        http: None,
        certificate_head: certificate_hash(note),
    }
}

/// The manifest of epoch 0 of a federation called `title`, with the smallest quorum, signed by every member.
///
/// # Errors
/// When an identity key is not there, or no quorum works out.
pub fn sign(
    title: &str,
    mut members: Vec<Member>,
    keys: &[NodeKeys],
) -> Result<SignedManifest, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Code::Failed, error.to_string());
    let count = u32::try_from(members.len()).unwrap_or(0);
    let created_seconds = now_seconds();
    let mut lineage = [0; 16];
    getrandom::fill(&mut lineage).map_err(|error| failed(&error))?;
    // Of a factory that is no tower itself.
    let towers = members.iter().filter(|member| member.tower).count();
    let towers = u32::try_from(towers).unwrap_or(0);
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let manifest = Manifest {
        federation: title.to_owned(),
        epoch: 0,
        previous: None,
        lineage,
        created_seconds,
        expires_seconds: created_seconds + DEFAULT_VALIDITY_SECONDS,
        resign_from_seconds: created_seconds + DEFAULT_VALIDITY_SECONDS
            - DEFAULT_RESIGN_LEAD_SECONDS,
        protocol: ((1, 0), (1, 0)),
        tower_quorum: Quorum::smallest(towers).map_or(1, |quorum| quorum.needed),
        members,
        amendment_threshold: smallest_amendment(count).unwrap_or(count),
        limits: Limits::default(),
        mirroring: true,
        effective_seconds: None,
        recovery_keys: Vec::new(),
    };
    let text = signing_text(&manifest, None);
    let mut lines = Vec::new();
    for keys in keys {
        let identity = keys
            .identity_key()
            .ok_or_else(|| failed(&"a node has no identity key"))?;
        lines.push(identity.sign_note(&text).map_err(|error| failed(&error))?);
    }
    SignedManifest::assemble(manifest, None, lines).map_err(|error| failed(&error))
}
