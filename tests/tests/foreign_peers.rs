//! Peers on other libp2p implementations, written from `docs/protocol.md` alone (`tests/foreign/`), are members of a
//! federation of real nodes: dialled and dialling, they say hello, are admitted, verify a digest that came by gossip, and
//! the entries under it. One that claims another federation is told so.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_tests::federation::{FACTORY, Federation, PATIENCE};
use belfry_tests::{Ended, foreign, root};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A peer's program.
struct Program {
    /// The guest it is.
    guest: usize,
    agent: &'static str,
    command: PathBuf,
    args: Vec<PathBuf>,
}

impl Program {
    /// Those that are installed.
    fn all() -> Vec<Self> {
        [Self::js(), Self::py()].into_iter().flatten().collect()
    }

    fn js() -> Option<Self> {
        let dir = root().join("tests/foreign/js-peer");
        let there = dir.join("node_modules/libp2p/package.json").exists();
        let node = Some(PathBuf::from("node")).filter(|node| there && works(node, "--version"));
        Some(Self {
            guest: 0,
            agent: "js-peer/1",
            command: foreign("js-libp2p 3.3", node)?,
            args: vec![
                "--import".into(),
                dir.join("shim.mjs"),
                dir.join("peer.mjs"),
            ],
        })
    }

    fn py() -> Option<Self> {
        let python = root().join(".build/py-peer/bin/python");
        let python = Some(python).filter(|python| works(python, "-cimport libp2p"));
        Some(Self {
            guest: 1,
            agent: "py-peer/1",
            command: foreign("py-libp2p 0.8", python)?,
            args: vec![root().join("tests/foreign/py-peer/peer.py")],
        })
    }

    /// Starts it on its guest's directory.
    fn start(&self, federation: &Federation, more: &[&str]) -> Running {
        let guest = &federation.guests[self.guest];
        let log = File::options().append(true).create(true).open(&guest.log);
        let mut child = Command::new(&self.command)
            .args(&self.args)
            .arg("--dir")
            .arg(&guest.dir)
            .args(["--seconds", &PATIENCE.as_secs().to_string()])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.unwrap())
            .spawn()
            .unwrap();
        let (said, line) = mpsc::sync_channel(1);
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut line = String::new();
            // Nothing if it ended without a word.
            let _ = stdout.read_line(&mut line);
            let _ = said.send(line);
        });
        Running { child, line }
    }

    /// What it and its guest wrote on stderr.
    fn log(&self, federation: &Federation) -> String {
        fs::read_to_string(&federation.guests[self.guest].log).unwrap()
    }
}

fn works(program: &Path, arg: &str) -> bool {
    let ended = Command::new(program).arg(arg).output();
    ended.is_ok_and(|ended| ended.status.success())
}

/// A peer's process, ended when dropped, and the one line that it prints.
struct Running {
    child: Child,
    line: mpsc::Receiver<String>,
}

impl Running {
    /// Lets it go, and waits until it ended.
    fn code(&mut self) -> Option<i32> {
        drop(self.child.stdin.take());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the factory sees of a guest.
fn seen(federation: &Federation, guest: usize) -> Value {
    let list = federation.on(FACTORY, &["peers", "list", "--json"]);
    let list = list.expect(0).json();
    let peers = list["peers"].as_array().unwrap();
    let name = federation.guests[guest].name.as_str();
    peers
        .iter()
        .find(|peer| peer["name"] == name)
        .unwrap()
        .clone()
}

/// Waits until the factory has compared a guest's clock with its own: it answers probes.
fn tells_its_clock(federation: &Federation, program: &Program) {
    let until = Instant::now() + PATIENCE;
    let name = federation.guests[program.guest].name.as_str();
    loop {
        // Fails while another guest is away, and says all the same what is known.
        let checked = federation.on(FACTORY, &["netcheck", "--json"]).json();
        let mut members = checked["members"].as_array().unwrap().iter();
        let member = members.find(|member| member["name"] == name).unwrap();
        if member["verdict"] == "ok" && member["lo_us"].is_i64() {
            return;
        }
        let log = program.log(federation);
        assert!(Instant::now() < until, "{member:#}\n{log}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Runs all programs, and checks what each saw, and what the factory sees of it.
fn all_verify(federation: &Federation, running: Vec<(&Program, Running)>, size: u64) {
    let mut running = running;
    let names: Vec<&str> = federation
        .nodes
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    for (program, running) in &mut running {
        let until = Instant::now() + PATIENCE;
        // Gossip is a hint: what is said before the mesh knows of a peer does not reach it. So there is more to say.
        let said = loop {
            let _ = federation.append(70);
            match running.line.recv_timeout(Duration::from_millis(200)) {
                Ok(line) => break line,
                Err(_) => assert!(Instant::now() < until, "{}", program.log(federation)),
            }
        };
        assert!(!said.is_empty(), "{}", program.log(federation));
        let peer = seen(federation, program.guest);
        assert_eq!(peer["connected"], true, "{peer:#}");
        assert_eq!(peer["session"]["admitted"], true, "{peer:#}");
        tells_its_clock(federation, program);
        assert_eq!(running.code(), Some(0), "{}", program.log(federation));

        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["ok"], true);
        assert_eq!(said["agent"], program.agent);
        assert_eq!(said["name"], federation.guests[program.guest].name);
        assert_eq!(said["federation"], federation.founded.id().to_hex());
        let admitted = said["admitted"].as_array().unwrap();
        let all = |name: &&str| admitted.iter().any(|one| one == name);
        assert!(names.iter().all(all), "{said:#}");
        let digest = &said["digest"];
        assert_eq!(digest["origin"], federation.nodes[FACTORY].name);
        assert_eq!(digest["serial"], 1);
        assert!(digest["size"].as_u64() >= Some(size), "{said:#}");
        assert_eq!(said["entries"], digest["size"]);
        // They came in several pieces, each proved.
        assert!(said["proof_hashes"].as_u64() > Some(0), "{said:#}");
        assert_eq!(said["last_kind"], "log.line");
        // They answered whatever nodes ask of a member; nothing that nodes ask today was strange to them.
        assert_eq!(said["asked"]["refused"], 0, "{said:#}");
        assert!(said["asked"]["others"].as_u64() > Some(0), "{said:#}");
        let _ = federation.append(1);
        let size = digest["size"].as_u64().unwrap().to_string();
        let own = federation.on(FACTORY, &["ledger", "consistency", &size, "--json"]);
        assert_eq!(digest["root"], own.expect(0).json()["old_root"]);
    }
}

#[test]
fn peers_read_the_vectors_and_refuse_what_must_be_refused() {
    for program in Program::all() {
        let dir = program.args.last().unwrap().parent().unwrap();
        let extension = program.args.last().unwrap().extension().unwrap();
        let ended: Ended = Command::new(&program.command)
            .arg(dir.join("vectors").with_extension(extension))
            .arg(root().join("docs/vectors"))
            .output()
            .unwrap()
            .into();
        let said = ended.expect(0).json();
        assert_eq!(said["ok"], true);
        assert!(said["refused"].as_u64() > Some(15), "{said}");
        assert!(said["changed"].as_u64() > Some(4_000), "{said}");
    }
}

#[test]
fn peers_that_were_written_from_the_page_are_members() {
    let programs = Program::all();
    if programs.is_empty() {
        return;
    }
    let federation = Federation::found_with_guests(3, &["js.example", "py.example/line-1"]);
    let start = |more: &[&str]| -> Vec<_> {
        let all = programs.iter();
        all.map(|program| (program, program.start(&federation, more)))
            .collect()
    };
    // First they are dialled. Each is asked for marks then: a tower whose question nobody answers would not be ready.
    let listening = start(&["--hold", "--size", "150", "--listen"]);
    federation.start_all();
    all_verify(&federation, listening, 150);
    // Then they dial.
    all_verify(&federation, start(&["--hold", "--size", "150"]), 150);
    for program in &programs {
        let other = "ff".repeat(32);
        let mut told = program.start(&federation, &["--federation", &other]);
        let line = told.line.recv().unwrap();
        assert_eq!(told.code(), Some(0), "{}", program.log(&federation));
        let told: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(told["goodbye"], 2, "{told:#}");
        assert_eq!(told["federation"], federation.founded.id().to_hex());
        let reason = told["reason"].as_str().unwrap();
        assert!(reason.contains("another federation"), "{reason}");
        // A manifest that not everybody signed says nothing to them.
        let manifest = federation.guests[program.guest].dir.join("genesis.json");
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(&manifest, text.replace("\"Test\"", "\"Best\"")).unwrap();
        let mut refused = program.start(&federation, &[]);
        assert_eq!(refused.line.recv().unwrap(), "");
        assert_eq!(refused.code(), Some(1));
        let log = program.log(&federation);
        assert!(log.contains("the note is not on this manifest"), "{log}");
    }
}
