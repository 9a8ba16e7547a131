//! A founded federation whose nodes are processes of the real binary: any number of towers, each node killed, stopped,
//! started, emptied or copied on its own. May not look into a node other than an operator can: commands, the control
//! socket, the log, and the read-only store.

#![allow(
    clippy::unwrap_used,
    reason = "what a test needs and does not get ends the test"
)]

use crate::namespaces::Network;
use crate::ports::free_port;
use crate::process::{Noded, control, last_lines, status_of};
use crate::proxy::Proxy;
use crate::{Ended, run};
use belfry_keys::{KeyDir, NodeKeys};
use belfry_node::audit::receipt;
use belfry_node::disk::RealDisk;
use belfry_node::founding;
use belfry_node::member;
use belfry_node::net::Transport;
use belfry_node::store::{Layout, Reader};
use belfry_protocol::manifest;
use belfry_protocol::policy::Policy;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything may take on a busy machine before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(40);
/// The node that appends; the others are its towers.
pub const FACTORY: usize = 0;

/// A federation of one factory and its towers.
pub struct Federation {
    /// The factory, then the towers.
    pub nodes: Vec<Noded>,
    /// Members that are programs of somebody else: factories whose ledgers nobody sees. Nothing here starts them; their
    /// directories have keys and manifest.
    pub guests: Vec<Noded>,
    /// What all members signed.
    pub founded: manifest::Federation,
    /// In front of each node, if the federation was founded with relays.
    proxies: Vec<Proxy>,
    home: TempDir,
}

impl Federation {
    /// Founds a federation of a factory and so many towers, with the smallest quorum. Nothing runs yet.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    pub fn found(towers: usize) -> Self {
        Self::founded_with(towers, false, &[], None)
    }

    /// The same with every node in its own namespace of this network, the factory in the first.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    pub fn found_in(network: &Network, towers: usize) -> Self {
        Self::founded_with(towers, false, &[], Some(network))
    }

    /// The same with a relay in front of each node, so that wires can be cut.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    pub fn found_with_relays(towers: usize) -> Self {
        Self::founded_with(towers, true, &[], None)
    }

    /// The same without relays, and with members of these names that run other programs.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    pub fn found_with_guests(towers: usize, guests: &[&str]) -> Self {
        Self::founded_with(towers, false, guests, None)
    }

    fn founded_with(
        towers: usize,
        relays: bool,
        guests: &[&str],
        network: Option<&Network>,
    ) -> Self {
        let home = TempDir::new().unwrap();
        let names = (0..=towers).map(|number| match number {
            FACTORY => "shop.example/line".to_owned(),
            tower => format!("t{tower}.example"),
        });
        let in_home = |(number, name): (usize, String)| Noded {
            name,
            port: free_port(),
            dir: home.path().join(format!("node-{number}")),
            log: home.path().join(format!("node-{number}.log")),
            inside: network.map(|network| network.namespace(number)),
            child: Mutex::default(),
        };
        let nodes: Vec<Noded> = names.enumerate().map(in_home).collect();
        let named = guests.iter().map(|name| (*name).to_owned());
        let guests: Vec<Noded> = (nodes.len()..).zip(named).map(in_home).collect();
        let ports: Vec<u16> = nodes.iter().chain(&guests).map(|node| node.port).collect();
        let proxies: Vec<Proxy> = nodes
            .iter()
            .filter(|_| relays)
            .map(|node| Proxy::start(node.port).unwrap())
            .collect();
        let is_factory = |number: usize| number == FACTORY || number > towers;
        let keys: Vec<NodeKeys> = nodes
            .iter()
            .chain(&guests)
            .enumerate()
            .map(|(number, node)| {
                founding::make(
                    &Layout::new(&node.dir),
                    &node.name,
                    is_factory(number),
                    node.port,
                    Transport::Tcp,
                )
                .unwrap()
            })
            .collect();
        let members = keys.iter().enumerate().map(|(number, keys)| {
            let port = proxies.get(number).map_or(ports[number], |one| one.port);
            let mut member = founding::describe(keys, is_factory(number), port, Transport::Tcp);
            if network.is_some() {
                let seen = Network::address(number).to_string();
                let moved = member
                    .addresses
                    .iter()
                    .map(|one| one.replace("127.0.0.1", &seen));
                member.addresses = moved.collect();
                nodes[number].listen_at(&seen);
            }
            member
        });
        let signed = founding::sign("Test", members.collect(), &keys).unwrap();
        for guest in &guests {
            fs::write(Layout::new(&guest.dir).genesis(), signed.to_json()).unwrap();
        }
        for node in &nodes {
            let layout = Layout::new(&node.dir);
            member::install(&layout, Arc::new(RealDisk), signed.to_json().as_bytes()).unwrap();
        }
        Self {
            nodes,
            guests,
            founded: manifest::Federation::from(signed.verify_founding().unwrap()),
            proxies,
            home,
        }
    }

    /// A path beside the data directories.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Adds lines to every node's configuration.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn configure(&self, lines: &str) {
        for node in &self.nodes {
            let file = node.dir.join("config.toml");
            let text = fs::read_to_string(&file).unwrap();
            fs::write(&file, format!("{text}\n{lines}\n")).unwrap();
        }
    }

    /// All numbers of towers.
    #[must_use]
    pub fn towers(&self) -> std::ops::Range<usize> {
        1..self.nodes.len()
    }

    /// A node's keys as they are now.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn keys(&self, number: usize) -> NodeKeys {
        KeyDir::open(&self.nodes[number].dir, || Ok(None)).unwrap()
    }

    /// The factory's policy, with every certificate that there is now.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let chain = |name: &str| {
            let number = self.nodes.iter().position(|node| node.name == name)?;
            Some(self.keys(number).certificate_contents().to_vec())
        };
        manifest::policy(&self.founded, &self.nodes[FACTORY].name, chain).unwrap()
    }

    /// Starts a process on a node's directory and waits until it serves.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(&self, number: usize) {
        self.launch(number);
        self.served(number);
    }

    /// Starts a node's process without waiting for anything.
    ///
    /// # Panics
    /// When it cannot be started, or runs already.
    pub fn launch(&self, number: usize) {
        self.nodes[number].launch();
    }

    /// Waits until a launched node serves.
    ///
    /// # Panics
    /// When it ends, or does not.
    pub fn served(&self, number: usize) {
        let until = Instant::now() + PATIENCE;
        let node = &self.nodes[number];
        while status_of(&node.dir).is_none() {
            let ended = node.child().as_mut().map(Child::try_wait);
            assert!(
                matches!(ended, Some(Ok(None))) && Instant::now() < until,
                "{} did not start: {ended:?}\n{}",
                node.name,
                last_lines(&node.log)
            );
            std::thread::sleep(LOOK);
        }
    }

    /// Starts every node that does not run, all at once, and waits until each takes part.
    ///
    /// # Panics
    /// When one does not.
    pub fn start_all(&self) {
        let still: Vec<usize> = (0..self.nodes.len())
            .filter(|number| self.nodes[*number].child().is_none())
            .collect();
        still.iter().for_each(|number| self.launch(*number));
        for number in still {
            self.served(number);
            self.ready(number);
        }
    }

    /// Waits until a node takes part: the factory appends, a tower acks.
    ///
    /// # Panics
    /// When it does not.
    pub fn ready(&self, number: usize) {
        let _ = self.wait(number, "is ready", |status| {
            matches!(status["phase"].as_str(), Some("active" | "tower"))
        });
    }

    /// Ends a node as a power cut would.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&self, number: usize) {
        self.nodes[number].kill();
    }

    /// Ends a node as its operator would.
    ///
    /// # Panics
    /// When it does not end cleanly.
    pub fn stop(&self, number: usize) {
        let mut child = self.nodes[number].child().take().unwrap();
        let told = Command::new("kill").arg(child.id().to_string()).status();
        assert!(told.unwrap().success());
        let ended = child.wait().unwrap();
        assert!(ended.success(), "{ended}\n{}", self.tail(number));
    }

    /// The id of a node's process.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pid(&self, number: usize) -> u32 {
        self.nodes[number].child().as_ref().unwrap().id()
    }

    /// Cuts every wire between the two sides.
    ///
    /// # Panics
    /// When there are no relays.
    pub fn part(&self, one: &[usize], other: &[usize]) {
        assert!(!self.proxies.is_empty(), "no relays");
        for (side, against) in [(one, other), (other, one)] {
            for number in side {
                let callers = against.iter().map(|one| self.nodes[*one].dir.clone());
                self.proxies[*number].cut(callers.collect());
            }
        }
    }

    /// Joins all wires again.
    pub fn heal(&self) {
        self.proxies.iter().for_each(|one| one.cut([].into()));
    }

    /// Runs a command on a node's directory.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn on(&self, number: usize, args: &[&str]) -> Ended {
        let dir = self.nodes[number].dir.to_string_lossy();
        let all: Vec<&str> = args.iter().copied().chain(["--data-dir", &dir]).collect();
        run(&all)
    }

    /// What a running node says of itself.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn status(&self, number: usize) -> Value {
        self.wait(number, "answers", |_| true)
    }

    /// The same, if it answers.
    #[must_use]
    pub fn try_status(&self, number: usize) -> Option<Value> {
        status_of(&self.nodes[number].dir)
    }

    /// Looks at a node's status until it is as wanted, and returns it.
    ///
    /// # Panics
    /// When that takes too long.
    pub fn wait(&self, number: usize, what: &str, right: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        let mut last = None;
        while Instant::now() < until {
            last = status_of(&self.nodes[number].dir).or(last);
            if let Some(status) = last.take_if(|status| right(status)) {
                return status;
            }
            std::thread::sleep(LOOK);
        }
        let logs = (0..self.nodes.len()).map(|one| self.tail(one));
        panic!(
            "{} never {what}: {last:?}\n{}",
            self.nodes[number].name,
            logs.collect::<Vec<_>>().join("\n")
        )
    }

    /// The end of a node's log.
    #[must_use]
    pub fn tail(&self, number: usize) -> String {
        let node = &self.nodes[number];
        format!("--- {}\n{}", node.name, last_lines(&node.log))
    }

    /// All a node logged.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn log(&self, number: usize) -> String {
        fs::read_to_string(&self.nodes[number].log).unwrap()
    }

    /// Where a node's HTTP listens, as it logged at its last start.
    ///
    /// # Panics
    /// When it logged nothing.
    #[must_use]
    pub fn http(&self, number: usize) -> String {
        let log = self.log(number);
        let mut lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ready = lines.rfind(|line| line["message"] == "ready");
        ready.unwrap()["address"].as_str().unwrap().to_owned()
    }

    /// Appends so many lines, once the factory takes entries, and returns the index of the last one once a quorum
    /// acknowledged it.
    ///
    /// # Panics
    /// When they are refused, or not acknowledged in time.
    pub fn append(&self, count: u64) -> u64 {
        // A factory recovers again when a tower's disk changed, and refuses meanwhile.
        let until = Instant::now() + PATIENCE;
        let last = loop {
            match self.try_append(&crate::lines(count)) {
                Some(last) => break last,
                None => assert!(Instant::now() < until, "{}", self.tail(FACTORY)),
            }
            std::thread::sleep(LOOK);
        };
        let _ = self.wait(FACTORY, "has it acknowledged", |status| {
            status["acked_size"].as_u64() > Some(last)
        });
        last
    }

    /// Appends lines through the factory's control socket; the last one's index, provisional until it is signed.
    #[must_use]
    pub fn try_append(&self, lines: &[u8]) -> Option<u64> {
        let path = "/api/v1/entries?kind=log.line&source=test";
        control(&self.nodes[FACTORY].dir, "POST", path, lines)?["last"].as_u64()
    }

    /// The receipt of an entry.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn receipt(&self, index: u64) -> String {
        let node = &self.nodes[FACTORY];
        let keys = KeyDir::public_log_keys(&node.dir, &node.name).unwrap();
        receipt::make(&self.reader(FACTORY), index, &keys)
            .unwrap()
            .to_string()
    }

    /// Takes everything from a stopped node's directory that is not made by hand: keys, configuration and manifest stay.
    ///
    /// # Panics
    /// When it cannot be removed.
    pub fn lose_disk(&self, number: usize) {
        self.nodes[number].lose_disk();
    }

    /// A copy of a stopped node's directory that listens elsewhere; nothing of it runs.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn twin(&self, number: usize) -> Noded {
        self.nodes[number].twin(self.beside("twin"), self.beside("twin.log"))
    }

    /// A node's store, to read.
    ///
    /// # Panics
    /// When it cannot be opened.
    #[must_use]
    pub fn reader(&self, number: usize) -> Reader {
        Reader::open(Layout::new(&self.nodes[number].dir), Arc::new(RealDisk)).unwrap()
    }
}

impl Drop for Federation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for number in 0..self.nodes.len() {
                eprintln!("{}", self.tail(number));
            }
        }
    }
}
