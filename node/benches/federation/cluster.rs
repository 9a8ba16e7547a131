//! A federation of one factory and three towers in directories of their own, founded as the demo does it, each node a
//! process: this program again, which takes commands on its standard input, or `belfry run`.

use crate::NODE;
use belfry_node::disk::RealDisk;
use belfry_node::founding::{describe, free_port, make, sign};
use belfry_node::member;
use belfry_node::net::Transport;
use belfry_node::store::Layout;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The factory, then its towers.
pub(crate) const NODES: [&str; 4] = [
    "bench.example/workshop",
    "north.bench.example",
    "south.bench.example",
    "west.bench.example",
];
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);

/// A node's process that takes commands.
pub(crate) struct Process {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Process {
    fn start(dir: &Path) -> Self {
        let log = File::create(dir.join("node.log")).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([NODE.as_ref(), dir.as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut process = Self {
            commands: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        };
        process.answer();
        process
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Gives a command and waits for its answer.
    pub(crate) fn ask(&mut self, command: &str) -> Value {
        self.tell(command);
        self.answer()
    }

    /// Gives a command; the answer is to be taken later.
    pub(crate) fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
    }

    pub(crate) fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).expect("a node ended; BELFRY_BENCH_KEEP keeps its node.log")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Cluster {
    home: Option<tempfile::TempDir>,
    dirs: Vec<PathBuf>,
    running: Vec<Option<Process>>,
}

impl Cluster {
    /// Directories, keys and the manifest that all four signed; nothing runs yet.
    pub(crate) fn found() -> Self {
        let home = tempfile::tempdir().unwrap();
        let transport = match std::env::var("BELFRY_BENCH_TRANSPORT").as_deref() {
            Ok("quic") => Transport::Quic,
            _ => Transport::Tcp,
        };
        let (mut keys, mut members, mut dirs) = (Vec::new(), Vec::new(), Vec::new());
        for (number, name) in NODES.into_iter().enumerate() {
            let dir = home.path().join(format!("node-{number}"));
            let port = free_port().unwrap();
            let node_keys = make(&Layout::new(&dir), name, number == 0, port, transport).unwrap();
            members.push(describe(&node_keys, number == 0, port, transport));
            keys.push(node_keys);
            dirs.push(dir);
        }
        let manifest = sign("Belfry bench", members, &keys).unwrap().to_json();
        for dir in &dirs {
            member::install(&Layout::new(dir), Arc::new(RealDisk), manifest.as_bytes()).unwrap();
        }
        Self {
            home: Some(home),
            running: dirs.iter().map(|_| None).collect(),
            dirs,
        }
    }

    /// Founds a federation, starts all four nodes and waits until the factory takes entries and may have them acked.
    pub(crate) fn active() -> Self {
        let mut cluster = Self::found();
        (0..NODES.len()).for_each(|number| cluster.start(number));
        cluster.wait_until_acked();
        cluster
    }

    pub(crate) fn start(&mut self, number: usize) {
        self.running[number] = Some(Process::start(&self.dirs[number]));
    }

    /// Ends a node's process as a power cut would.
    pub(crate) fn stop(&mut self, number: usize) {
        self.running[number] = None;
    }

    /// What the node owes is in the ledger and acknowledged.
    fn wait_until_acked(&mut self) {
        let until = Instant::now() + PATIENCE;
        loop {
            let status = self.node(0).ask("status");
            if status["size"].as_u64() >= Some(2) && status["acked"] == status["size"] {
                return;
            }
            assert!(
                Instant::now() < until,
                "the federation does not ack: {status}"
            );
            std::thread::sleep(LOOK);
        }
    }

    pub(crate) fn node(&mut self, number: usize) -> &mut Process {
        self.running[number].as_mut().unwrap()
    }

    pub(crate) fn dir(&self, number: usize) -> &Path {
        &self.dirs[number]
    }

    /// Ids of the running processes, in the order of [`NODES`].
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.running.iter().flatten().map(Process::id).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.running.clear();
        if std::env::var_os("BELFRY_BENCH_KEEP").is_some()
            && let Some(home) = self.home.take()
        {
            println!("kept {}", home.keep().display());
        }
    }
}
