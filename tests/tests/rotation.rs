//! Keys of running nodes (R6): every operational key is replaced under load, no receipt is lost, and nobody without the
//! passphrase replaces any.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_tests::federation::{FACTORY, Federation};
use belfry_tests::{command, run};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The kinds of a ledger's entries.
fn kinds(federation: &Federation, size: u64) -> Vec<String> {
    let entries = federation.entries(size).into_iter();
    let kind = |entry: Vec<u8>| {
        let entry: Value = serde_json::from_slice(&entry).unwrap();
        entry["kind"].as_str().unwrap().to_owned()
    };
    entries.map(kind).collect()
}

#[test]
fn every_operational_key_is_replaced_under_load_and_every_receipt_verifies() {
    let federation = Federation::found(3);
    federation.start_all();
    let mut receipts = vec![federation.receipt(federation.append(20))];
    let old_policy = federation.policy();
    let stop = AtomicBool::new(false);
    let from_size = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut refused = 0;
            while !stop.load(Ordering::Relaxed) {
                if federation.try_append(&belfry_tests::lines(5)).is_none() {
                    refused += 1;
                }
            }
            refused
        });
        let mut from_size = 0;
        for number in 0..federation.nodes.len() {
            let acked = federation.status(FACTORY)["acked_size"].as_u64().unwrap();
            let done = federation
                .on(number, &["key", "rotate", "--json"])
                .expect(0);
            assert_eq!(done.json()["serial"], 2, "{done:?}");
            if number == FACTORY {
                from_size = done.json()["from_size"].as_u64().unwrap();
            }
            // Acks go on.
            let _ = federation.wait(FACTORY, "has more acknowledged", |status| {
                status["acked_size"].as_u64() > Some(acked)
            });
        }
        stop.store(true, Ordering::Relaxed);
        assert_eq!(load.join().unwrap(), 0, "an append was refused");
        from_size
    });
    receipts.push(federation.receipt(federation.append(20)));
    let size = federation.settled(federation.towers());
    federation.check(size, federation.towers());
    federation.verify(&receipts);
    // A policy from before it holds for the 14 days in which the older keys sign, too.
    for receipt in &receipts {
        let verified = belfry_node::audit::receipt::verify(receipt.as_bytes(), &old_policy, None);
        assert!(verified.is_ok(), "{:?}", verified.err());
    }
    let kinds = kinds(&federation, size);
    assert_eq!(kinds.iter().filter(|kind| *kind == "key.cert").count(), 2);
    let at = usize::try_from(from_size - 2).unwrap();
    assert_eq!(
        kinds[at], "key.cert",
        "the range begins right after the entry"
    );
    for number in 0..federation.nodes.len() {
        assert_eq!(federation.keys(number).certificates().len(), 2);
    }
    // A node that restarts tells of nothing twice, and one that was away learns.
    federation.kill(FACTORY);
    federation.start(FACTORY);
    federation.ready(FACTORY);
    receipts.push(federation.receipt(federation.append(3)));
    federation.verify(&receipts);
    let size = federation.settled(federation.towers());
    let again = self::kinds(&federation, size);
    assert_eq!(again.iter().filter(|kind| *kind == "key.cert").count(), 2);
    let policy = federation
        .on(FACTORY, &["audit", "policy"])
        .expect(0)
        .stdout;
    assert_eq!(policy.matches("/mirror+2 ").count(), 3, "{policy}");
    // A third serial within the overlap takes a word more.
    let refused = federation.on(1, &["key", "rotate"]).expect(1);
    assert!(refused.stderr.contains("--early"), "{refused:?}");
    let _ = federation.on(1, &["key", "rotate", "--early"]).expect(0);
    assert_eq!(federation.keys(1).certificates().len(), 3);
    every_receipt_verifies_under_every_serial(&federation, &receipts);
    states_are_shown(&federation);
}

/// Receipts of any age verify under a policy of all serials, in which a tower still counts once.
fn every_receipt_verifies_under_every_serial(federation: &Federation, receipts: &[String]) {
    let file = federation.beside("every.policy");
    let file = file.to_string_lossy();
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let args = ["audit", "policy", "--every-serial", "--out", &file];
        let _ = federation.on(FACTORY, &args).expect(0);
        let text = fs::read_to_string(&*file).unwrap();
        if text.contains(
            "group t1.example any t1.example/mirror+1 t1.example/mirror+2 t1.example/mirror+3",
        ) {
            break;
        }
        assert!(Instant::now() < until, "{text}");
        std::thread::sleep(Duration::from_millis(50));
    }
    for receipt in receipts {
        let proof = federation.beside("any.tlog-proof");
        fs::write(&proof, receipt).unwrap();
        let _ = run(&[
            "audit",
            "verify",
            &proof.to_string_lossy(),
            "--policy",
            &file,
        ])
        .expect(0);
    }
    // Without towers it takes the log's keys of all serials.
    let keys = federation
        .on(FACTORY, &["key", "export", "--every-serial"])
        .expect(0);
    let vkeys = federation.beside("log.vkeys");
    fs::write(&vkeys, keys.stdout).unwrap();
    let (proof, vkeys) = (federation.beside("any.tlog-proof"), vkeys.to_string_lossy());
    for receipt in receipts {
        fs::write(&proof, receipt).unwrap();
        let _ = run(&["audit", "verify", &proof.to_string_lossy(), "--key", &vkeys]).expect(0);
    }
}

/// Ages and states are everywhere an operator looks.
fn states_are_shown(federation: &Federation) {
    let listed = federation
        .on(1, &["key", "list", "--json"])
        .expect(0)
        .json();
    assert_eq!(
        (&listed["serial"], &listed["state"]),
        (&3.into(), &"ok".into())
    );
    let uses: Vec<&str> = (0..3)
        .map(|at| listed["serials"][at]["use"].as_str().unwrap())
        .collect();
    assert!(
        uses[0] == "verifies only" && uses[1].starts_with("signs too until"),
        "{uses:?}"
    );
    assert_eq!(uses[2], "signs");
    let shown = federation.status(1);
    assert_eq!(shown["keys"]["serial"], 3);
    let human = federation.on(1, &["status"]).expect(0).stdout;
    assert!(human.contains("keys      serial 3, 0 days old"), "{human}");
    let dir = &federation.nodes[1].dir;
    let keys = belfry_tests::process::control(dir, "GET", "/api/v1/keys", b"").unwrap();
    assert_eq!(keys["members"].as_array().unwrap().len(), 4, "{keys}");
    let doctor = federation.on(1, &["doctor"]).stdout;
    assert!(doctor.contains("serial 3 is 0 days old"), "{doctor}");
}

#[test]
fn a_revoked_key_counts_no_more_and_what_was_acknowledged_before_stands() {
    let federation = Federation::found(3);
    federation.start_all();
    let last = federation.append(20);
    let _ = federation.settled(federation.towers());
    // Acknowledged by all three towers.
    let receipts = [federation.receipt(last)];
    let name = federation.nodes[1].name.clone();
    let revoke = |more: &[&str]| {
        let args = [&["key", "revoke", "--serial", "1", "--no-input"], more].concat();
        federation.on(1, &args)
    };
    let refused = revoke(&["--confirm", &name]).expect(2);
    assert!(refused.stderr.contains("rotate first"), "{refused:?}");
    let _ = federation.on(1, &["key", "rotate"]).expect(0);
    let unconfirmed = revoke(&[]).expect(2);
    assert!(unconfirmed.stderr.contains("--confirm"), "{unconfirmed:?}");
    let _ = revoke(&["--dry-run"]).expect(0);
    assert!(!federation.nodes[1].dir.join("keys/revoked-1.note").exists());
    let done = revoke(&["--confirm", &name, "--json"]).expect(0).json();
    assert_eq!(
        (&done["serial"], &done["reason"]),
        (&1.into(), &"compromised".into())
    );
    let factory = federation.nodes[FACTORY].name.clone();
    let acts = |status: &Value| status["revoked"][0]["acts_for"][0] == *factory;
    for number in 0..federation.nodes.len() {
        let _ = federation.wait(number, "knows that the revocation acts", acts);
    }
    let last = federation.append(5);
    let size = federation.settled(federation.towers());
    federation.check(size, federation.towers());
    assert!(kinds(&federation, size).contains(&"key.revocation".to_owned()));
    let policy = federation
        .on(FACTORY, &["audit", "policy"])
        .expect(0)
        .stdout;
    let old = federation.keys(1).certificate_contents()[0]
        .mirror
        .to_string();
    assert!(!policy.contains(&old), "{policy}");
    let file = federation.beside("after.policy");
    fs::write(&file, &policy).unwrap();
    for receipt in receipts.iter().chain([&federation.receipt(last)]) {
        let proof = federation.beside("one.tlog-proof");
        fs::write(&proof, receipt).unwrap();
        let (proof, file) = (proof.to_string_lossy(), file.to_string_lossy());
        let _ = run(&["audit", "verify", &proof, "--policy", &file]).expect(0);
    }
    // It stays so: a node that restarts signs with the new keys alone.
    federation.kill(1);
    federation.start(1);
    federation.ready(1);
    let before = federation.ack_lines();
    let _ = federation.append(5);
    let _ = federation.settled(federation.towers());
    let new = federation.ack_lines();
    let revoked = federation.keys(1).certificate_contents()[0].ack.key_id();
    let by_revoked = |line: &&belfry_tests::checks::AckLine| line.0 == name && line.1 == revoked;
    assert_eq!(new.difference(&before).filter(by_revoked).count(), 0);
}

/// All files of `keys/`, with what is in them.
fn files(dir: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let entries = fs::read_dir(dir.join("keys"))
        .unwrap()
        .map(|one| one.unwrap());
    let mut files: Vec<_> = entries
        .map(|one| (one.file_name(), fs::read(one.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn without_the_passphrase_nothing_changes() {
    let home = TempDir::new().unwrap();
    let dir = home.path().join("node");
    let (right, wrong) = (home.path().join("right"), home.path().join("wrong"));
    fs::write(&right, "correct horse\n").unwrap();
    fs::write(&wrong, "battery staple\n").unwrap();
    let on = |args: &[&str], passphrase: Option<&Path>| {
        let dir = dir.to_string_lossy();
        let passphrase = passphrase.map(|path| path.to_string_lossy().into_owned());
        let given: Vec<&str> = match &passphrase {
            Some(file) => vec!["--passphrase-file", file],
            None => vec![],
        };
        let more = ["--data-dir", &dir, "--no-input"];
        run(&[args, &more, &given].concat())
    };
    let _ = on(&["init", "--name", "a.example"], Some(&right)).expect(0);
    let before = files(&dir);
    let (dir_text, right_text) = (dir.to_string_lossy(), right.to_string_lossy());
    let mut start = command(&[
        "run",
        "--allow-solo",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
    ]);
    start.args([&*dir_text, "--passphrase-file", &*right_text]);
    let node = Running(start.stdout(std::process::Stdio::null()).spawn().unwrap());
    let until = Instant::now() + Duration::from_secs(60);
    while !dir.join("run/http.addr").exists() {
        assert!(Instant::now() < until, "it did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    for passphrase in [Some(&*wrong), None] {
        let refused = on(&["key", "rotate"], passphrase).expect(12);
        assert!(refused.stderr.contains("passphrase"), "{refused:?}");
    }
    assert_eq!(files(&dir), before);
    // The node itself asks too: whoever reaches the socket does not hold the keys.
    let forged = serde_json::json!({ "passphrase": "battery staple", "early": true });
    let answer = belfry_tests::process::control(
        &dir,
        "POST",
        "/control/keys/rotate",
        forged.to_string().as_bytes(),
    );
    assert!(answer.is_none_or(|answer| answer["code"] == 12));
    // Neither does it do without the identity key.
    let identity = dir.join("keys/identity.age");
    let away = home.path().join("identity.age");
    fs::rename(&identity, &away).unwrap();
    let refused = on(&["key", "rotate"], Some(&right)).expect(12);
    assert!(refused.stderr.contains("identity"), "{refused:?}");
    fs::rename(&away, &identity).unwrap();
    let would = on(&["key", "rotate", "--dry-run"], Some(&right)).expect(0);
    assert!(would.stdout.contains("serial 2"), "{would:?}");
    assert_eq!(files(&dir), before);
    let done = on(&["key", "rotate", "--json"], Some(&right))
        .expect(0)
        .json();
    assert_eq!(done["serial"], 2);
    assert!(files(&dir).len() > before.len());
    drop(node);
    // Also where no node runs.
    let done = on(&["key", "rotate", "--early", "--json"], Some(&right)).expect(0);
    assert_eq!(done.json()["serial"], 3);
    let told = on(&["ledger", "tail", "-n", "10"], None).expect(0).stdout;
    assert_eq!(told.matches("key.cert").count(), 3, "{told}");
}
