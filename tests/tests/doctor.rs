//! `belfry doctor` on nodes that are well and nodes that are not, running and stopped.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_tests::federation::{FACTORY, Federation, PATIENCE};
use belfry_tests::{Ended, Node, lines};
use serde_json::Value;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

/// The check of this name.
fn check(ended: &Ended, name: &str) -> Value {
    let shown = ended.json();
    let all = shown["checks"].as_array().unwrap();
    let found = all.iter().find(|check| check["name"] == name);
    found
        .unwrap_or_else(|| panic!("no check {name}: {shown:#}"))
        .clone()
}

/// A check with this outcome, whose text or remedy has these words.
fn shows(ended: &Ended, name: &str, state: &str, words: &str) {
    let check = check(ended, name);
    assert!(
        check["state"] == state && check.to_string().contains(words),
        "{state} {words}: {check:#}"
    );
    assert_eq!(
        check["remedy"].is_string(),
        matches!(state, "WARN" | "FAIL"),
        "{check:#}"
    );
}

/// Nothing failed, and nothing but the disk of this machine is worth a warning.
fn is_well(ended: &Ended) {
    let shown = ended.json();
    let told = |check: &&Value| check["state"] == "WARN" || check["state"] == "FAIL";
    let all = shown["checks"].as_array().unwrap();
    let bad: Vec<&Value> = all.iter().filter(told).collect();
    let ours = |check: &&&Value| !check["name"].as_str().unwrap().starts_with("disk.");
    assert!(bad.iter().find(ours).is_none(), "{shown:#}");
    assert_eq!(ended.code, if bad.is_empty() { 0 } else { 40 }, "{ended:?}");
}

/// Puts a line into a section of a node's configuration.
fn configure(node: &Node, old: &str, new: &str) {
    let file = node.dir().join("config.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(old), "{text}");
    fs::write(file, text.replace(old, new)).unwrap();
}

fn append(node: &Node, count: u64) {
    let args = ["append", "-", "--kind", "log.line"];
    let _ = node.run_with_input(&args, &lines(count)).expect(0);
}

#[test]
fn a_node_that_is_well_passes_running_and_stopped() {
    let node = Node::new();
    configure(
        &node,
        "listen = \"127.0.0.1:9470\"",
        "listen = \"127.0.0.1:0\"",
    );
    append(&node, 300);
    let stopped = node.run(&["doctor", "--json"]);
    is_well(&stopped);
    assert_eq!(stopped.json()["running"], false);
    for name in [
        "config.valid",
        "keys.modes",
        "keys.certificates",
        "database.integrity",
        "database.nonces",
        "ledger.edge",
        "ports.http",
    ] {
        assert_eq!(check(&stopped, name)["state"], "PASS", "{stopped:?}");
    }
    let served = node.serve();
    let running = node.run(&["doctor", "--json"]);
    is_well(&running);
    assert_eq!(running.json()["running"], true);
    shows(&running, "ports.http", "PASS", "answers");
    let human = node.run(&["doctor"]);
    assert!(human.stdout.contains("PASS     ledger.edge"), "{human:?}");
    let dry = node.run(&["doctor", "--json", "--dry-run"]);
    shows(&dry, "disk.sync", "UNKNOWN", "--dry-run");
    assert_eq!(served.stop(), 0);
    let left = fs::read_dir(node.dir()).unwrap().flatten();
    let left: Vec<_> = left
        .filter(|entry| entry.file_name().to_string_lossy().contains("doctor"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_key_that_others_can_read_fails() {
    let node = Node::new();
    let keys = fs::read_dir(node.dir().join("keys")).unwrap().flatten();
    let secret = keys.map(|entry| entry.path()).find(|path| {
        path.extension()
            .is_none_or(|kind| kind != "pub" && kind != "note")
    });
    let secret = secret.unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o640)).unwrap();
    let ended = node.run(&["doctor", "--json"]).expect(41);
    shows(&ended, "keys.modes", "FAIL", "0640");
    shows(&ended, "keys.modes", "FAIL", "chmod");
    assert_eq!(ended.error()["kind"], "doctor-failures");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let ended = node.run(&["doctor", "--json"]);
    assert_eq!(check(&ended, "keys.modes")["state"], "PASS");
}

#[test]
fn a_port_that_another_program_has_fails() {
    let (tcp, udp) = (
        TcpListener::bind("127.0.0.1:0").unwrap(),
        UdpSocket::bind("127.0.0.1:0").unwrap(),
    );
    let node = Node::new();
    let http = tcp.local_addr().unwrap();
    configure(
        &node,
        "listen = \"127.0.0.1:9470\"",
        &format!("listen = \"{http}\""),
    );
    let file = node.dir().join("config.toml");
    let config = fs::read_to_string(&file).unwrap();
    let export = udp.local_addr().unwrap();
    fs::write(file, format!("{config}\n[export]\nlisten = \"{export}\"\n")).unwrap();
    let ended = node.run(&["doctor", "--json"]).expect(41);
    shows(&ended, "ports.http", "FAIL", "http.listen");
    shows(
        &ended,
        "ports.export",
        "FAIL",
        "another program listens there",
    );
}

#[test]
fn a_damaged_right_edge_and_a_bad_configuration_fail() {
    let node = Node::new();
    append(&node, 700);
    // A letter of an entry that is not in a file yet.
    let db = node.dir().join("ledger.db");
    let sound = fs::read(&db).unwrap();
    let mut bytes = sound.clone();
    let found = bytes.windows(8).position(|part| part == b"line 699");
    bytes[found.unwrap()] ^= 1;
    fs::write(&db, &bytes).unwrap();
    let ended = node.run(&["doctor", "--json"]).expect(41);
    shows(&ended, "ledger.edge", "FAIL", "do not match their hashes");
    shows(&ended, "ledger.edge", "FAIL", "ledger fsck");
    let refused = node.run_with_input(&["append", "-"], b"{}");
    assert_eq!(refused.code, 24, "{refused:?}");
    fs::write(&db, &sound).unwrap();
    let ended = node.run(&["doctor", "--json"]);
    assert_eq!(check(&ended, "ledger.edge")["state"], "PASS", "{ended:?}");

    let mut bytes = fs::read(&db).unwrap();
    bytes[..16].fill(b'?');
    fs::write(&db, &bytes).unwrap();
    let _ = fs::remove_file(node.dir().join("ledger.db-wal"));
    let ended = node.run(&["doctor", "--json"]).expect(41);
    shows(&ended, "database.integrity", "FAIL", "ledger.db");

    configure(&node, "role = \"factory\"", "role = \"mill\"");
    let ended = node.run(&["doctor", "--json"]).expect(41);
    shows(&ended, "config.valid", "FAIL", "mill");
    assert_eq!(check(&ended, "ports")["state"], "UNKNOWN");
    let _ = Node::empty().run(&["doctor"]).expect(10);
}

#[test]
fn members_are_looked_at_one_by_one() {
    let federation = Federation::found(3);
    federation.start_all();
    let _ = federation.append(50);
    let doctor = |number| federation.on(number, &["doctor", "--json"]);
    // A ping or an ack may still be on its way.
    let until = Instant::now() + PATIENCE;
    let well = loop {
        let ended = doctor(FACTORY);
        let shown = ended.json();
        let bad = shown["checks"].as_array().unwrap().iter().any(|check| {
            let name = check["name"].as_str().unwrap();
            !name.starts_with("disk.") && matches!(check["state"].as_str(), Some("WARN" | "FAIL"))
        });
        if !bad {
            break ended;
        }
        assert!(Instant::now() < until, "{shown:#}");
    };
    is_well(&well);
    shows(&well, "members.t1.example.dial", "PASS", "connected at");
    shows(&well, "members.t2.example.hello", "PASS", "belfry/");
    shows(&well, "members.quorum", "PASS", "3 of 3");
    shows(&well, "ledger.head-elsewhere", "PASS", "t3.example holds");
    shows(&well, "ports.net-tcp", "PASS", "answers");

    federation.stop(3);
    let gone = federation.wait(FACTORY, "misses a tower", |status| {
        status["quorum"]["connected"] == 2
    });
    assert_eq!(gone["quorum"]["connected"], 2);
    let ended = doctor(FACTORY).expect(40);
    shows(&ended, "members.t3.example.dial", "WARN", "not connected");
    assert_eq!(
        check(&ended, "members.t3.example.hello")["state"],
        "UNKNOWN"
    );
    assert_eq!(check(&ended, "members.t1.example.dial")["state"], "PASS");

    federation.stop(2);
    let _ = federation.wait(FACTORY, "has no quorum", |status| {
        status["quorum"]["connected"] == 1
    });
    let ended = doctor(FACTORY).expect(41);
    shows(&ended, "members.quorum", "FAIL", "1 of 3");

    // From outside: who can be knocked at, and nothing that takes a hello.
    federation.stop(FACTORY);
    let ended = doctor(FACTORY).expect(40);
    shows(
        &ended,
        "members.t1.example.dial",
        "PASS",
        "takes connections",
    );
    shows(&ended, "members.t2.example.dial", "WARN", "firewalls");
    shows(
        &ended,
        "members.t1.example.hello",
        "UNKNOWN",
        "does not run",
    );
    shows(&ended, "ledger.head-elsewhere", "UNKNOWN", "does not run");
    shows(&ended, "ports.net-tcp", "PASS", "free for the node");
    federation.stop(1);
}
