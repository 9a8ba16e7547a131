//! A federation of real processes: nodes are killed and started again, and a factory's directory is rolled back. What was
//! acknowledged stays, receipts still verify, and nothing forks.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_tests::{Ended, Node, command, run};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The demo's federation, kept running, and what was started in place of its killed processes.
struct Federation {
    demo: Child,
    dir: PathBuf,
    started: Vec<Option<Child>>,
    _home: Node,
}

impl Federation {
    fn new() -> Self {
        let home = Node::empty();
        fs::create_dir_all(home.beside("shop")).unwrap();
        home.write("shop/one.txt", "one");
        let shop = home.beside("shop");
        let mut demo = command(&["demo", &shop.to_string_lossy(), "--without-thief"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The last act names the factory's directory; messages go to stderr, the result to stdout.
        let (out, err) = (demo.stdout.take().unwrap(), demo.stderr.take().unwrap());
        let (send, lines) = std::sync::mpsc::sync_channel::<String>(64);
        for pipe in [
            Box::new(out) as Box<dyn std::io::Read + Send>,
            Box::new(err),
        ] {
            let send = send.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    let _ = send.send(line);
                }
            });
        }
        drop(send);
        let found = lines
            .iter()
            .find_map(|line| Some(line.split_once("--data-dir ")?.1.to_owned()));
        let factory = PathBuf::from(found.unwrap().trim());
        std::thread::spawn(move || lines.iter().for_each(drop));
        let federation = Self {
            demo,
            dir: factory.parent().unwrap().to_owned(),
            started: vec![None, None, None, None],
            _home: home,
        };
        // With three towers, one that is dead and one that still asks leave no quorum (R3).
        for number in 0..4 {
            let _ = federation.on(number, &["wait", "--for", "ready"]).expect(0);
        }
        federation
    }

    fn node(&self, number: usize) -> PathBuf {
        self.dir.join(format!("node-{number}"))
    }

    fn kill(&mut self, number: usize) {
        match self.started[number].take() {
            Some(mut child) => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            None => {
                let pid = process_of(&self.node(number));
                let status = Command::new("kill").args(["-9", &pid]).status();
                assert!(status.unwrap().success(), "no process of node {number}");
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }

    fn start(&mut self, number: usize) {
        let log = fs::File::options()
            .append(true)
            .create(true)
            .open(self.node(number).join("node.log"))
            .unwrap();
        let child = command(&["run", "--no-input", "--data-dir"])
            .arg(self.node(number))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.started[number] = Some(child.unwrap());
        let _ = self.on(number, &["wait", "--for", "ready"]).expect(0);
    }

    fn on(&self, number: usize, args: &[&str]) -> Ended {
        let dir = self.node(number);
        let dir = dir.to_string_lossy();
        let all: Vec<&str> = args.iter().copied().chain(["--data-dir", &dir]).collect();
        run(&all)
    }

    /// Appends entries, waits until they are acknowledged, and returns the index of the last one.
    fn append(&self, count: u64) -> u64 {
        let mut child = command(&["append", "-", "--wait", "acked", "--json", "--data-dir"])
            .arg(self.node(0))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(&belfry_tests::lines(count))
            .unwrap();
        let ended: Ended = child.wait_with_output().unwrap().into();
        let ended = ended.expect(0);
        assert_eq!(ended.json()["stage"], "acked");
        ended.json()["last"].as_u64().unwrap()
    }

    fn status(&self, number: usize) -> Value {
        self.on(number, &["status", "--json"]).expect(0).json()
    }

    /// Writes the receipt of an entry and the key it verifies under.
    fn receipt(&self, index: u64) -> PathBuf {
        let file = self.dir.join(format!("{index}.tlog-proof"));
        let path = file.to_string_lossy().into_owned();
        let _ = self
            .on(0, &["ledger", "prove", &index.to_string(), "--out", &path])
            .expect(0);
        file
    }

    fn verify(&self, receipt: &Path) {
        let key = self.on(0, &["key", "export"]).expect(0).stdout;
        let file = self.dir.join("log.vkey");
        fs::write(&file, key).unwrap();
        let _ = run(&[
            "audit",
            "verify",
            &receipt.to_string_lossy(),
            "--key",
            &file.to_string_lossy(),
        ])
        .expect(0);
    }
}

impl Drop for Federation {
    fn drop(&mut self) {
        for child in self.started.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = Command::new("kill")
            .args(["-INT", &self.demo.id().to_string()])
            .status();
        let _ = self.demo.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The process that serves a data directory: its last argument names it.
fn process_of(dir: &Path) -> String {
    let ends = format!("--data-dir\0{}\0", dir.display());
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .find(|entry| {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).ends_with(&ends)
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .unwrap()
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-r").arg(from).arg(to).status();
    assert!(status.unwrap().success());
}

#[test]
fn kills_and_a_rollback_lose_nothing_that_was_acknowledged() {
    let mut federation = Federation::new();
    let mut receipts = Vec::new();
    for tower in [1, 2, 3] {
        federation.kill(tower);
        receipts.push(federation.receipt(federation.append(3)));
        federation.start(tower);
    }
    federation.kill(0);
    let old = federation.dir.join("old");
    copy(&federation.node(0), &old);
    federation.start(0);
    let last = federation.append(300);
    receipts.push(federation.receipt(last));

    // The factory's directory goes back to what it was before those 300 entries.
    federation.kill(0);
    fs::remove_dir_all(federation.node(0)).unwrap();
    copy(&old, &federation.node(0));
    federation.start(0);
    let size = federation.status(0)["size"].as_u64().unwrap();
    assert!(size > last, "{size} entries, and {last} was acknowledged");
    let after = federation.append(1);
    assert!(after > last);
    let log = fs::read_to_string(federation.node(0).join("node.log")).unwrap();
    assert!(log.contains("fast-forward"), "a human is told: {log}");
    for tower in [1, 2, 3] {
        let began = std::time::Instant::now();
        // An ack needs two of the three.
        let same = || {
            let status = federation.status(tower);
            assert_eq!(status["refused"]["fork"], Value::Null, "{status}");
            status["mirrors"][0]["seen"] == federation.status(0)["signed_size"]
        };
        while !same() {
            assert!(began.elapsed().as_secs() < 120, "tower {tower} lags behind");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
    for receipt in &receipts {
        federation.verify(receipt);
    }
    let _ = federation.on(0, &["ledger", "fsck"]).expect(0);
}
