//! The demo's federation: four data directories, a manifest that all four signed, and a process for each.

use crate::cli::context::key_failure;
use crate::cli::control::Control;
use crate::clock;
use crate::config::EXAMPLE;
use crate::disk::RealDisk;
use crate::exit::{Code, Failure};
use crate::member;
use crate::net::{Transport, peer_id_of};
use crate::store::Layout;
use belfry_keys::{CreateOptions, KeyDir, NodeKeys, Protection};
use belfry_protocol::cert::{Certificate, Scope, certificate_hash};
use belfry_protocol::manifest::{
    DEFAULT_VALIDITY_SECONDS, Federation, Limits, Manifest, Member, Quorum, SignedManifest, policy,
    signing_text, smallest_amendment,
};
use belfry_protocol::note::SignedNote;
use belfry_protocol::policy::Policy;
use serde_json::Value;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The factory, then its towers.
pub(super) const NAMES: [&str; 4] = [
    "demo.example/workshop",
    "north.demo.example",
    "south.demo.example",
    "west.demo.example",
];
/// Days before expiry from which members should sign again.
const RESIGN_LEAD_SECONDS: u64 = 30 * 86_400;
/// How long the demo waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// One node of the demo.
pub(super) struct Demoed {
    pub(super) name: &'static str,
    pub(super) layout: Layout,
    pub(super) address: String,
    child: Option<Child>,
}

/// The federation of the demo.
pub(super) struct Cluster {
    pub(super) nodes: Vec<Demoed>,
    pub(super) policy: Policy,
    pub(super) quorum: Quorum,
    pub(super) id: String,
}

impl Cluster {
    /// Makes keys, configuration and manifest, and starts all nodes.
    pub(super) fn found(home: &Path, transport: Transport) -> Result<Self, Failure> {
        let mut nodes = Vec::new();
        let mut keys = Vec::new();
        let mut members = Vec::new();
        for (number, name) in NAMES.into_iter().enumerate() {
            let layout = Layout::new(home.join(format!("node-{number}")));
            let port = free_port()?;
            let node_keys = make(&layout, name, number == 0, port, transport)?;
            members.push(describe(&node_keys, number == 0, port, transport)?);
            keys.push(node_keys);
            nodes.push(Demoed {
                name,
                layout,
                address: String::new(),
                child: None,
            });
        }
        let signed = sign(members, &keys)?;
        let founded = signed
            .verify_founding()
            .map_err(|error| Failure::new(Code::VerificationFailed, error.to_string()))?;
        let federation = Federation::from(founded);
        let file = signed.to_json();
        for node in &nodes {
            member::install(&node.layout, Arc::new(RealDisk), file.as_bytes())?;
        }
        let chain = |name: &str| {
            let keys = keys.iter().find(|keys| keys.name() == name)?;
            Some(vec![keys.certificate_content().clone()])
        };
        let policy = policy(&federation, NAMES[0], chain)
            .map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
        let quorum = federation
            .quorum_of(NAMES[0])
            .ok_or_else(|| Failure::new(Code::Failed, "the demo's quorum does not work out"))?;
        let mut cluster = Self {
            nodes,
            policy,
            quorum,
            id: federation.id().to_hex(),
        };
        for number in 0..cluster.nodes.len() {
            cluster.start(number)?;
        }
        Ok(cluster)
    }

    /// Starts a node's process and waits until it serves.
    pub(super) fn start(&mut self, number: usize) -> Result<(), Failure> {
        let node = &mut self.nodes[number];
        let address = node.layout.run().join("http.addr");
        let _ = std::fs::remove_file(&address);
        let log = File::options()
            .create(true)
            .append(true)
            .open(node.layout.dir().join("node.log"))?;
        let child = Command::new(std::env::current_exe()?)
            .args(["run", "--no-input", "--data-dir"])
            .arg(node.layout.dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        node.child = Some(child);
        let until = Instant::now() + PATIENCE;
        loop {
            if let Ok(text) = std::fs::read_to_string(&address)
                && text.ends_with('\n')
            {
                node.address = format!("http://{}", text.trim());
                return Ok(());
            }
            let ended = node.child.as_mut().map(Child::try_wait);
            if Instant::now() > until || matches!(ended, Some(Ok(Some(_)))) {
                let log = std::fs::read_to_string(node.layout.dir().join("node.log"));
                let last: Vec<String> = log
                    .unwrap_or_default()
                    .lines()
                    .rev()
                    .take(5)
                    .map(str::to_owned)
                    .collect();
                let why = last.into_iter().rev().collect::<Vec<_>>().join("\n");
                return Err(Failure::new(
                    Code::Failed,
                    format!("{} did not start:\n{why}", node.name),
                ));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Ends a node's process as a power cut would.
    pub(super) fn kill(&mut self, number: usize) {
        if let Some(mut child) = self.nodes[number].child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// A node's status.
    pub(super) fn status(&self, number: usize) -> Option<Value> {
        Control::find(&self.nodes[number].layout)?
            .get("/control/status")
            .ok()
    }

    /// Waits until `right` says so of a node's status, and says how long that took.
    pub(super) fn wait(
        &self,
        number: usize,
        what: &str,
        right: impl Fn(&Value) -> bool,
    ) -> Result<Duration, Failure> {
        let began = Instant::now();
        let mut last = Value::Null;
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.status(number) {
                if right(&status) {
                    return Ok(began.elapsed());
                }
                last = status;
            }
            std::thread::sleep(LOOK);
        }
        Err(Failure::new(
            Code::TimedOut,
            format!(
                "{} after {PATIENCE:?}: {what}; it says {last}",
                self.nodes[number].name
            ),
        ))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for number in 0..self.nodes.len() {
            self.kill(number);
        }
    }
}

/// A port that is free now for TCP and UDP. Another program could take it before the node does; then the demo says so.
fn free_port() -> Result<u16, Failure> {
    for _ in 0..32 {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Failure::new(Code::Io, "no port is free on loopback"))
}

/// Keys and configuration of a node. The keys are unencrypted: they live as long as the demo.
fn make(
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
    let keys = KeyDir::create(layout.dir(), options).map_err(key_failure)?;
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

fn describe(
    keys: &NodeKeys,
    factory: bool,
    port: u16,
    transport: Transport,
) -> Result<Member, Failure> {
    let certificate: &Certificate = keys.certificate_content();
    let note: &SignedNote = keys.certificate();
    debug_assert_eq!(certificate.node, keys.name());
    Ok(Member {
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
    })
}

/// The manifest of epoch 0, signed by every member.
fn sign(members: Vec<Member>, keys: &[NodeKeys]) -> Result<SignedManifest, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Code::Failed, error.to_string());
    let count = u32::try_from(members.len()).unwrap_or(0);
    let created_seconds = now_seconds();
    let mut lineage = [0; 16];
    getrandom::fill(&mut lineage).map_err(|error| failed(&error))?;
    let mut members = members;
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let manifest = Manifest {
        federation: "Belfry demo".to_owned(),
        epoch: 0,
        previous: None,
        lineage,
        created_seconds,
        expires_seconds: created_seconds + DEFAULT_VALIDITY_SECONDS,
        resign_from_seconds: created_seconds + DEFAULT_VALIDITY_SECONDS - RESIGN_LEAD_SECONDS,
        protocol: ((1, 0), (1, 0)),
        tower_quorum: Quorum::smallest(count - 1).map_or(1, |quorum| quorum.needed),
        members,
        amendment_threshold: smallest_amendment(count).unwrap_or(count),
        limits: Limits::default(),
        mirroring: true,
        recovery_keys: Vec::new(),
    };
    let text = signing_text(&manifest, None);
    let mut lines = Vec::new();
    for keys in keys {
        let identity = keys
            .identity_key()
            .ok_or_else(|| failed(&"a demo node has no identity key"))?;
        lines.push(identity.sign_note(&text).map_err(|error| failed(&error))?);
    }
    SignedManifest::assemble(manifest, None, lines).map_err(|error| failed(&error))
}
