//! The demo's federation: four data directories, a manifest that all four signed, and a process for each.

use super::children::Children;
use super::founding::{describe, free_port, make, sign};
use crate::cli::control::Control;
use crate::config::environment;
use crate::disk::RealDisk;
use crate::exit::{Code, Failure};
use crate::member;
use crate::net::Transport;
use crate::store::Layout;
use belfry_protocol::manifest::{Federation, Quorum, policy};
use belfry_protocol::policy::Policy;
use serde_json::Value;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The factory, then its towers.
pub(super) const NAMES: [&str; 4] = [
    "demo.example/workshop",
    "north.demo.example",
    "south.demo.example",
    "west.demo.example",
];
/// How long the demo waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// One node of the demo.
pub(super) struct Demoed {
    pub(super) name: &'static str,
    pub(super) layout: Layout,
    pub(super) address: String,
}

/// The federation of the demo.
pub(super) struct Cluster {
    pub(super) nodes: Vec<Demoed>,
    pub(super) policy: Policy,
    pub(super) quorum: Quorum,
    pub(super) id: String,
    pub(super) children: Arc<Children>,
}

impl Cluster {
    /// Makes keys, configuration and manifest, and starts all nodes.
    pub(super) fn found(
        home: &Path,
        transport: Transport,
        children: Arc<Children>,
    ) -> Result<Self, Failure> {
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
            children,
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
        let mut command = Command::new(std::env::current_exe()?);
        // What is set for the user's own node is not meant for these.
        for name in environment().keys() {
            command.env_remove(name);
        }
        command
            .args(["run", "--no-input", "--end-with-input", "--data-dir"])
            .arg(node.layout.dir())
            .stdout(Stdio::null())
            .stderr(log);
        self.children.start(number, &mut command)?;
        let until = Instant::now() + PATIENCE;
        loop {
            if let Ok(text) = std::fs::read_to_string(&address)
                && text.ends_with('\n')
            {
                node.address = format!("http://{}", text.trim());
                return Ok(());
            }
            self.children.check_open()?;
            if self.children.ended(number).is_some() || Instant::now() > until {
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
            self.children.check_open()?;
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
