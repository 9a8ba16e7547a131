//! `belfry demo`, the README's first command, with real processes over TCP and QUIC. However it ends, none of them
//! outlives it; where it can, it takes its keys along.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_tests::{Node, command, run};
use std::fs;
use std::io::{BufRead, BufReader};
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
    let result = run(&args).expect(0).json();
    assert_eq!(result["files"], 2, "{result}");
    assert_eq!(result["verified"], true, "{result}");
    assert_eq!(result["tampered_refused"], true, "{result}");
    assert_eq!(
        (&result["quorum"], &result["towers"]),
        (&2.into(), &3.into())
    );
    assert_eq!(result["ack_ms"].as_array().unwrap().len(), 20, "{result}");
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

/// Command lines of the processes that work on a directory below `dir`.
fn processes(dir: &Path) -> Vec<String> {
    let dir = dir.to_string_lossy();
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|one| fs::read(one.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(&format!("--data-dir {dir}")))
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
        assert_eq!(demo.end(), Some(130), "{name}: {}", demo.said());
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
