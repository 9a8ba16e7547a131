//! `belfry demo`, the README's first command, with real processes over TCP and QUIC. However it ends, none of them
//! outlives it; where it can, it takes its keys along.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_tests::{Ended, Node, command, run};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn proved_over(transport: &str) {
    let home = Node::empty();
    std::fs::create_dir_all(home.beside("shop")).unwrap();
    home.write("shop/one.txt", "one");
    home.write("shop/two.txt", "two");
    let dir = home.beside("shop");
    let dir = dir.to_string_lossy();
    let args = [
        "demo",
        &dir,
        "--exit-after-proof",
        "--transport",
        transport,
        "--json",
    ];
    let ended = run(&args).expect(0);
    let result = ended.json();
    assert_eq!(result["files"], 2, "{result}");
    assert_eq!(result["tampered_refused"], true, "{result}");
    assert_eq!(result["ack_ms"].as_array().unwrap().len(), 20, "{result}");

    // What it says of its receipt is what an auditor finds in it.
    let file = home.write("entry.tlog-proof", result["receipt"].as_str().unwrap());
    let policy = result["policy"].as_str().unwrap();
    let policy_file = home.write("demo.policy", policy);
    let found = ["audit", "verify", &file, "--policy", &policy_file, "--json"];
    let found = run(&found).expect(0).json();
    assert_eq!(result["acknowledged_by"], found["witnesses"], "{result}");
    assert_eq!(
        (&result["name"], &result["index"]),
        (&found["origin"], &found["index"])
    );
    // And so does what it says of the liar.
    let fork = &result["fork"];
    assert_eq!(fork["type"], "origin", "{fork}");
    assert_eq!(fork["accused"], result["name"]);
    assert_eq!(fork["found_by"], "north.demo.example");
    let sizes = [&fork["smaller_size"], &fork["larger_size"]];
    let sizes = sizes.map(|size| size.as_u64().unwrap());
    assert_eq!(sizes[0] + 1, sizes[1], "{fork}");
    let fork_file = home.write("fork.json", fork["file"].as_str().unwrap());
    let genesis = home.write("genesis.json", result["manifest"].as_str().unwrap());
    let found = [
        "audit",
        "verify",
        &fork_file,
        "--genesis",
        &genesis,
        "--json",
    ];
    let found = run(&found).expect(22);
    assert_eq!(found.json()["larger_size"], sizes[1]);

    let quorum = policy
        .lines()
        .find(|line| line.starts_with("group towers "));
    let quorum: Vec<&str> = quorum.unwrap().split(' ').skip(2).collect();
    assert_eq!(result["quorum"].to_string(), quorum[0], "{policy}");
    assert_eq!(result["towers"], quorum.len() - 1, "{policy}");
    for tower in &quorum[1..] {
        assert!(tower.ends_with(".demo.example/mirror"), "{tower}");
    }
}

#[test]
fn its_receipt_is_verified_as_it_is_on_disk() {
    let mut demo = Demo::start();
    let policy = || demo.dir().map(|dir| dir.join("demo.policy"));
    until(|| policy().is_some_and(|file| file.exists()), &|| {
        demo.said()
    });
    // The policy asks for all towers, and somebody takes a line out of the receipt.
    let file = policy().unwrap();
    until(
        || fs::read(&file).is_ok_and(|text| !text.is_empty()),
        &|| demo.said(),
    );
    let text = fs::read_to_string(&file).unwrap();
    let replace = |file: &Path, text: String| {
        let new = demo.home.write("new", text);
        fs::rename(new, file).unwrap();
    };
    replace(&file, text.replace("group towers 2 ", "group towers 3 "));
    let receipt = fs::read_dir(file.parent().unwrap()).unwrap().flatten();
    let receipt = receipt
        .map(|one| one.path())
        .find(|path| path.extension().is_some_and(|ext| ext == "tlog-proof"))
        .unwrap();
    let lines = fs::read_to_string(&receipt).unwrap();
    let without = lines.lines().filter(|line| !line.starts_with("— north."));
    let without: String = without.map(|line| format!("{line}\n")).collect();
    replace(&receipt, without);
    assert_eq!(demo.end(), Some(21), "{}", demo.said());
}

#[test]
fn what_cannot_be_appended_is_refused_before_anything_is_made() {
    let home = Node::empty();
    fs::create_dir(home.beside("tmp")).unwrap();
    let nowhere = home.beside("nowhere").to_string_lossy().into_owned();
    let ended = command(&["demo", &nowhere])
        .env("TMPDIR", home.beside("tmp"))
        .output();
    let ended = Ended::from(ended.unwrap()).expect(1);
    assert!(ended.stderr.contains("cannot read"), "{ended:?}");
    assert!(!ended.stderr.contains("founded"), "{ended:?}");
    assert_eq!(fs::read_dir(home.beside("tmp")).unwrap().count(), 0);
}

#[test]
fn options_that_mean_nothing_to_it_are_refused() {
    let home = Node::empty();
    fs::create_dir(home.beside("tmp")).unwrap();
    let dir = home.dir().to_string_lossy().into_owned();
    for options in [&["--dry-run"][..], &["--data-dir", &dir]] {
        let ended = command(&[&["demo"], options].concat())
            .env("TMPDIR", home.beside("tmp"))
            .output();
        let ended = Ended::from(ended.unwrap()).expect(2);
        assert!(ended.stderr.contains(options[0]), "{ended:?}");
    }
    assert_eq!(fs::read_dir(home.beside("tmp")).unwrap().count(), 0);
    assert!(!home.dir().exists());
}

/// The port that a node of the demo is to listen on for others.
fn port(dir: &Path, number: usize) -> Option<u16> {
    let config = fs::read_to_string(dir.join(format!("node-{number}/config.toml"))).ok()?;
    let (_, net) = config.split_once("[net]\nlisten = \"127.0.0.1:")?;
    net.split_once('"')?.0.parse().ok()
}

#[test]
fn a_port_that_is_taken_meanwhile_is_replaced() {
    let demo = Demo::start();
    let taken = || port(&demo.dir()?, 3);
    until(|| taken().is_some(), &|| demo.said());
    let taken = taken().unwrap();
    let thief = TcpListener::bind((Ipv4Addr::LOCALHOST, taken)).unwrap();
    let dir = demo.serves();
    drop(thief);
    assert_ne!(port(&dir, 3), Some(taken));
}

#[test]
fn it_says_where_every_node_is_and_when_one_dies() {
    let demo = Demo::start();
    let dir = demo.serves();
    let said = demo.said();
    for number in 0..4 {
        let node = dir.join(format!("node-{number}"));
        let directory = format!("directory {}\n", node.display());
        let peer = format!(
            "/ip4/127.0.0.1/tcp/{}/p2p/12D3",
            port(&dir, number).unwrap()
        );
        assert!(said.contains(&directory) && said.contains(&peer), "{said}");
    }
    assert!(said.contains("demo.example/workshop, factory"), "{said}");
    assert!(said.contains("west.demo.example, tower"), "{said}");
    // The command that it names verifies.
    let verify = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("belfry audit"));
    let verify: Vec<&str> = verify.unwrap().split_whitespace().collect();
    let _ = run(&[&["audit"], &verify[..]].concat()).expect(0);

    let west = dir.join("node-3");
    let [(id, _)] = &processes(&west)[..] else {
        panic!("{:?}", processes(&west));
    };
    assert!(
        Command::new("kill")
            .args(["-9", id])
            .status()
            .unwrap()
            .success()
    );
    let again = format!(
        "start it again with `belfry run --data-dir {}`",
        west.display()
    );
    until(|| demo.said().contains(&again), &|| demo.said());
    assert!(
        demo.said().contains("west.demo.example died"),
        "{}",
        demo.said()
    );
}

#[test]
fn a_federation_of_four_processes_proves_over_tcp() {
    proved_over("tcp");
}

#[test]
fn a_federation_of_four_processes_proves_over_quic() {
    proved_over("quic");
}

#[test]
fn without_a_federation_nobody_acknowledges() {
    let node = Node::new();
    let ended = node.run_with_input(&["append", "-", "--wait", "acked"], b"{\"n\":1}\n");
    assert_eq!(ended.code, 21, "{ended:?}");
    assert!(ended.stderr.contains("no federation"), "{ended:?}");
    let ended = node.run(&["wait", "--for", "ready", "--timeout", "0"]);
    assert_eq!(ended.code, 31, "{ended:?}");
    let ended = node.run(&["wait", "--for", "luck"]);
    assert_eq!(ended.code, 2, "{ended:?}");
}

/// How long anything may take on a busy machine before the test fails.
const PATIENCE: Duration = Duration::from_secs(120);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// A demo that runs, in a temporary directory of its own.
struct Demo {
    home: Node,
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Demo {
    fn start() -> Self {
        let home = Node::empty();
        fs::create_dir(home.beside("tmp")).unwrap();
        let file = home.write("one.txt", "one");
        let mut child = command(&["demo", &file, "--transport", "tcp"])
            .env("TMPDIR", home.beside("tmp"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (lines, hear) = (child.stderr.take().unwrap(), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                *hear.lock().unwrap() += &format!("{line}\n");
            }
        });
        Self { home, child, said }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// The directory that it made, if there is one now.
    fn dir(&self) -> Option<PathBuf> {
        let mut all = fs::read_dir(self.home.beside("tmp")).unwrap().flatten();
        all.next().map(|one| one.path())
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end; the exit status, `None` by a signal.
    fn end(&mut self) -> Option<i32> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < until, "it does not end: {}", self.said());
            std::thread::sleep(LOOK);
        }
    }

    fn serves(&self) -> PathBuf {
        until(|| self.said().contains("keeps running"), &|| self.said());
        self.dir().unwrap()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(right: impl Fn() -> bool, why: &dyn Fn() -> String) {
    let end = Instant::now() + PATIENCE;
    while !right() {
        assert!(Instant::now() < end, "never: {}", why());
        std::thread::sleep(LOOK);
    }
}

/// Ids and command lines of the processes that work on `dir` or below.
fn processes(dir: &Path) -> Vec<(String, String)> {
    let dir = dir.to_string_lossy();
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|one| {
        let line = fs::read(one.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let id = one.file_name().into_string().ok()?;
        line.contains(&format!("--data-dir {dir}"))
            .then_some((id, line))
    })
    .collect()
}

fn nobody_on(dir: &Path) {
    until(|| processes(dir).is_empty(), &|| {
        format!("{:?}", processes(dir))
    });
}

#[test]
fn a_signal_before_the_proof_ends_every_process_and_removes_the_keys() {
    for (name, started) in [("INT", 0), ("TERM", 1), ("HUP", 3), ("INT", 4)] {
        let mut demo = Demo::start();
        until(|| demo.dir().is_some(), &|| demo.said());
        let dir = demo.dir().unwrap();
        let mode = fs::metadata(&dir).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        until(|| processes(&dir).len() >= started, &|| demo.said());
        demo.signal(name);
        // A signal that comes late meets a demo that serves already.
        let code = demo.end();
        let late = code == Some(0) && demo.said().contains("keeps running");
        assert!(
            code == Some(130) || late,
            "{name}: {code:?} {}",
            demo.said()
        );
        nobody_on(&dir);
        assert!(!dir.exists(), "{name} leaves {}", dir.display());
    }
}

#[test]
fn a_signal_while_it_serves_is_its_regular_end() {
    let mut demo = Demo::start();
    let dir = demo.serves();
    assert_eq!(processes(&dir).len(), 4);
    demo.signal("TERM");
    assert_eq!(demo.end(), Some(0), "{}", demo.said());
    nobody_on(&dir);
    assert!(!dir.exists());
}

#[test]
fn a_demo_that_is_killed_takes_its_processes_along() {
    let mut demo = Demo::start();
    let dir = demo.serves();
    demo.signal("KILL");
    assert_eq!(demo.end(), None);
    nobody_on(&dir);
}

#[test]
fn a_demo_that_is_killed_early_takes_its_processes_along() {
    let mut demo = Demo::start();
    until(
        || demo.dir().is_some_and(|dir| !processes(&dir).is_empty()),
        &|| demo.said(),
    );
    let dir = demo.dir().unwrap();
    demo.signal("KILL");
    assert_eq!(demo.end(), None);
    nobody_on(&dir);
}
