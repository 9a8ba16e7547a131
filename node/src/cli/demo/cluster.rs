//! The demo's federation: four data directories, a manifest that all four signed, and a process for each.

use super::children::Children;
use crate::cli::control::Control;
use crate::config::environment;
use crate::disk::RealDisk;
use crate::exit::{Code, Failure};
use crate::founding::{describe, free_port, is_free, make, sign};
use crate::member;
use crate::net::Transport;
use crate::store::Layout;
use belfry_protocol::manifest::{Federation, Quorum, policy_text};
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
/// A member that is not started with the others: the last act is its own.
pub(super) const THIEF: &str = "mill.demo.example";
/// What the thief says is in this file.
const THIEF_LOG: &str = "thief.log";
/// How long the demo waits for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// How often it is founded anew, on other ports, when a port is taken before its node listens on it.
const FOUNDINGS: usize = 5;

/// One node of the demo.
pub(super) struct Demoed {
    pub(super) name: &'static str,
    pub(super) layout: Layout,
    pub(super) address: String,
    /// Where other members reach it.
    pub(super) peer_addresses: Vec<String>,
    factory: bool,
    port: u16,
}

impl Demoed {
    pub(super) fn role(&self) -> &'static str {
        match self.factory {
            true => "factory",
            false => "tower",
        }
    }

    /// The end of its log.
    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.layout.dir().join("node.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

/// The federation of the demo.
pub(super) struct Cluster {
    pub(super) nodes: Vec<Demoed>,
    /// Directory of the last member, if it is in the play.
    thief: Option<Layout>,
    /// The policy of the factory's ledger, as a file holds it.
    pub(super) policy: String,
    pub(super) quorum: Quorum,
    pub(super) id: String,
    /// The manifest that all members signed, as its file.
    pub(super) manifest: String,
    children: Arc<Children>,
}

impl Cluster {
    /// Makes keys, configuration and manifest, and starts all nodes.
    pub(super) fn found(
        home: &Path,
        transport: Transport,
        children: &Arc<Children>,
        with_thief: bool,
    ) -> Result<Self, Failure> {
        for _ in 1..FOUNDINGS {
            let mut cluster = Self::prepare(home, transport, children, with_thief)?;
            let Err(failure) = cluster.start_all() else {
                return Ok(cluster);
            };
            (0..cluster.nodes.len()).for_each(|number| children.kill(number));
            children.check_open()?;
            if cluster.nodes.iter().all(|node| is_free(node.port)) {
                return Err(failure);
            }
            for node in &cluster.nodes {
                std::fs::remove_dir_all(node.layout.dir())?;
            }
            if let Some(thief) = &cluster.thief {
                std::fs::remove_dir_all(thief.dir())?;
            }
        }
        let mut cluster = Self::prepare(home, transport, children, with_thief)?;
        cluster.start_all().map(|()| cluster)
    }

    /// Everything but the processes.
    fn prepare(
        home: &Path,
        transport: Transport,
        children: &Arc<Children>,
        with_thief: bool,
    ) -> Result<Self, Failure> {
        let (mut nodes, mut keys, mut members) = (Vec::new(), Vec::new(), Vec::new());
        for (number, name) in NAMES.into_iter().enumerate() {
            let layout = Layout::new(home.join(format!("node-{number}")));
            let factory = number == 0;
            let mut port = free_port()?;
            while nodes.iter().any(|node: &Demoed| node.port == port) {
                port = free_port()?;
            }
            let node_keys = make(&layout, name, factory, port, transport)?;
            let member = describe(&node_keys, factory, port, transport);
            let addresses = member.addresses.iter();
            nodes.push(Demoed {
                name,
                layout,
                address: String::new(),
                peer_addresses: addresses
                    .map(|address| format!("{address}/p2p/{}", member.peer))
                    .collect(),
                factory,
                port,
            });
            members.push(member);
            keys.push(node_keys);
        }
        let thief = with_thief.then(|| Layout::new(home.join("mill")));
        if let Some(thief) = &thief {
            // It only dials, so that nobody listens on this port.
            let port = free_port()?;
            let thief_keys = make(thief, THIEF, true, port, transport)?;
            members.push(describe(&thief_keys, true, port, transport));
            keys.push(thief_keys);
        }
        let signed = sign("Belfry demo", members, &keys)?;
        let founded = signed
            .verify_founding()
            .map_err(|error| Failure::new(Code::VerificationFailed, error.to_string()))?;
        let federation = Federation::from(founded);
        let file = signed.to_json();
        for layout in nodes.iter().map(|node| &node.layout).chain(&thief) {
            member::install(layout, Arc::new(RealDisk), file.as_bytes())?;
        }
        let chain = |name: &str| {
            let keys = keys.iter().find(|keys| keys.name() == name)?;
            Some(vec![keys.certificate_content().clone()])
        };
        let policy = policy_text(&federation, NAMES[0], chain)
            .map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
        let quorum = federation
            .quorum_of(NAMES[0])
            .ok_or_else(|| Failure::new(Code::Failed, "the demo's quorum does not work out"))?;
        Ok(Self {
            nodes,
            thief,
            policy,
            quorum,
            id: federation.id().to_hex(),
            manifest: file,
            children: Arc::clone(children),
        })
    }

    /// Starts the thief, which shows another tree to `victim` alone.
    pub(super) fn let_steal(&self, victim: usize) -> Result<(), Failure> {
        let nobody = || Failure::new(Code::Failed, "the thief is not in the play");
        let thief = self.thief.as_ref().ok_or_else(nobody)?;
        let log = File::create(thief.dir().join(THIEF_LOG))?;
        let mut command = Command::new(std::env::current_exe()?);
        for name in environment().keys() {
            command.env_remove(name);
        }
        command
            .args(["demo-thief", "--no-input", "--data-dir"])
            .arg(thief.dir())
            .arg("--factory-dir")
            .arg(self.nodes[0].layout.dir())
            .args(["--factory", NAMES[0], "--victim", NAMES[victim]])
            .stdout(Stdio::null())
            .stderr(log);
        self.children.start(NAMES.len(), &mut command)
    }

    /// What the thief said, and whether it still runs.
    pub(super) fn thief_said(&self) -> String {
        let log = self.thief.as_ref().map(|thief| thief.dir().join(THIEF_LOG));
        let said = log.and_then(|log| std::fs::read_to_string(log).ok());
        said.unwrap_or_default()
    }

    fn start_all(&mut self) -> Result<(), Failure> {
        (0..self.nodes.len()).try_for_each(|number| self.start(number))
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
                let why = format!("{} did not start:\n{}", node.name, node.last_words());
                return Err(Failure::new(Code::Failed, why));
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
            if let Some(ended) = self.children.ended(number) {
                let node = &self.nodes[number];
                let why = format!("{} died ({ended}):\n{}", node.name, node.last_words());
                return Err(Failure::new(Code::Failed, why));
            }
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
