//! `belfry peers`: what an operator sees of the other members, a ping, and bans that outlive the node.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_tests::{Ended, Node, command, run};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TOWER: &str = "north.demo.example";

/// The demo's federation, kept running. Its first node is the factory.
struct Federation {
    demo: Child,
    dir: PathBuf,
    _home: Node,
}

impl Federation {
    fn new() -> Self {
        let home = Node::empty();
        std::fs::create_dir_all(home.beside("shop")).unwrap();
        home.write("shop/one.txt", "one");
        let mut demo = command(&[
            "demo",
            &home.beside("shop").to_string_lossy(),
            "--without-thief",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
        let mut lines = BufReader::new(demo.stderr.take().unwrap()).lines();
        let found = lines.by_ref().find_map(|line| {
            let line = line.ok()?;
            Some(line.split_once("--data-dir ")?.1.trim().to_owned())
        });
        std::thread::spawn(move || lines.for_each(drop));
        let dir = Path::new(&found.unwrap()).parent().unwrap().to_owned();
        let federation = Self {
            demo,
            dir,
            _home: home,
        };
        for number in 0..4 {
            let _ = federation
                .on(number, &["wait", "--for", "peers=3"])
                .expect(0);
        }
        federation
    }

    fn on(&self, number: usize, args: &[&str]) -> Ended {
        let dir = self.dir.join(format!("node-{number}"));
        let dir = dir.to_string_lossy();
        let all: Vec<&str> = args.iter().copied().chain(["--data-dir", &dir]).collect();
        run(&all)
    }

    fn json(&self, number: usize, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        self.on(number, &args).expect(0).json()
    }

    /// Looks at a peer until it is as it should be.
    fn until(&self, number: usize, peer: &str, right: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let value = self.json(number, &["peers", "show", peer]);
            if right(&value) {
                return value;
            }
            assert!(Instant::now() < until, "{value:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Federation {
    fn drop(&mut self) {
        let id = self.demo.id().to_string();
        let _ = Command::new("kill").args(["-INT", &id]).status();
        let _ = self.demo.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn an_operator_looks_at_a_member_bans_it_and_lets_it_in_again() {
    let federation = Federation::new();
    let list = federation.json(0, &["peers", "list"]);
    assert_eq!(list["peers"].as_array().unwrap().len(), 3);
    let tower = federation.until(0, TOWER, |peer| peer["acked"].as_u64() > Some(0));
    assert_eq!(tower["connected"], true, "{tower:#}");
    assert_eq!(tower["session"]["admitted"], true);
    let version = tower["session"]["version"].as_str().unwrap();
    assert!(version.starts_with("belfry/"), "{version}");
    let id = tower["peer"].as_str().unwrap();
    let short = federation.json(0, &["peers", "show", &id[..24]]);
    assert_eq!(short["name"], TOWER);
    let human = federation.on(0, &["peers", "show", TOWER]).expect(0).stdout;
    assert!(human.contains("has acknowledged"), "{human}");

    let pong = federation.json(0, &["peers", "ping", TOWER]);
    assert!(pong["rtt_us"].as_u64() > Some(0), "{pong}");

    let what_if = federation.json(0, &["peers", "ban", TOWER, "--dry-run"]);
    assert_eq!(
        (&what_if["dry_run"], &what_if["left"][0]["left"]),
        (&true.into(), &2.into())
    );
    let _ = federation.on(0, &["peers", "ping", TOWER]).expect(0);

    let banned = federation.on(
        0,
        &["peers", "ban", TOWER, "--for", "1h", "--reason", "a test"],
    );
    let text = banned.expect(0).stdout;
    assert!(
        text.contains("still counts in n") && text.contains("2 of 3 towers"),
        "{text}"
    );
    let shown = federation.until(0, TOWER, |peer| peer["connected"] == false);
    assert_eq!(shown["ban"]["reason"], "a test");
    let ended = federation
        .on(0, &["peers", "ping", TOWER, "--json"])
        .expect(30);
    assert_eq!(ended.error()["kind"], "unreachable");
    let other = federation.json(0, &["peers", "ban", "south.demo.example", "--dry-run"]);
    assert_eq!(other["left"][0]["enough"], false, "{other:#}");

    let _ = federation
        .on(0, &["peers", "unban", TOWER, "--dry-run"])
        .expect(0);
    let _ = federation.on(0, &["peers", "unban", TOWER]).expect(0);
    let _ = federation.until(0, TOWER, |peer| peer["connected"] == true);
    let _ = federation.on(0, &["peers", "unban", TOWER]).expect(1);

    let unknown = federation
        .on(0, &["peers", "show", "nobody", "--json"])
        .expect(1);
    assert!(
        unknown.error()["hint"]
            .as_str()
            .unwrap()
            .contains("peers list")
    );
    let myself = federation.on(0, &["peers", "ban", "demo.example/workshop"]);
    let _ = myself.expect(2);
}

#[test]
fn without_a_running_node_nobody_answers() {
    let node = Node::new();
    for args in [&["peers", "list"][..], &["peers", "ping", TOWER]] {
        let _ = node.run(args).expect(30);
    }
}
