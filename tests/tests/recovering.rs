//! Recovery keys (R14): with fewer members left than the threshold, holders of recovery keys sign a manifest, 72 hours later the members
//! that are left give way, and everybody sees for ever that it was a recovery.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_tests::founders::{Founders, vote};
use belfry_tests::run;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const ALL: [(&str, &str); 5] = [
    ("t1.example", "tower"),
    ("t2.example", "tower"),
    ("t3.example", "tower"),
    ("shop.example/line", "factory"),
    ("lost.example/line", "factory"),
];
/// Members that are left: four of five would have to sign an amendment.
const LEFT: [usize; 3] = [0, 1, 3];
const SHOP: usize = 3;
/// A little more than 72 hours, in seconds.
const LATER: i64 = 72 * 3_600 + 60;

/// Three recovery keys, of which two are needed: files and public halves.
fn keys(founders: &Founders) -> Vec<(PathBuf, String)> {
    let make = |name: &str| {
        let file = founders.beside(name);
        let path = file.to_string_lossy();
        let args = ["key", "recovery", &path, "--name", name, "--plain-keys"];
        let made = run(&args).expect(0).stdout.trim().to_owned();
        let shown = run(&["key", "recovery", &path, "--show"]).expect(0);
        assert_eq!(shown.stdout.trim(), made);
        (file, made)
    };
    ["ann.recovery", "bob.recovery", "eve.recovery"]
        .map(make)
        .to_vec()
}

/// A holder signs what is in a file; the answer is in another.
fn sign(founders: &Founders, from: &str, key: &Path, to: &str, confirm: &str) -> String {
    let (from, to) = (founders.beside(from), founders.beside(to));
    let (from, key) = (from.to_string_lossy(), key.to_string_lossy());
    let args = ["genesis", "recovery", "sign", &from, "--key", &key];
    let signed = run(&[&args[..], &["--confirm", confirm, "--no-input"]].concat()).expect(0);
    fs::write(to, &signed.stdout).unwrap();
    signed.stderr
}

fn recovery<'v>(status: &'v Value, hash: &str) -> Option<&'v Value> {
    vote(status, hash).map(|one| &one["recovery"])
}

#[test]
fn survivors_go_on_by_recovery_keys_and_everybody_sees_it() {
    let founders = Founders::gather(&ALL);
    let keys = keys(&founders);
    let listed: Vec<&str> = keys
        .iter()
        .flat_map(|(_, vkey)| ["--recovery-key", vkey.as_str()])
        .collect();
    let id = founders.propose(&[&["--title", "with recovery keys"], &listed[..]].concat());
    for number in 0..ALL.len() {
        let _ = founders.sign(number, &id).expect(0);
    }
    for number in 0..ALL.len() {
        assert_eq!(founders.founded(number), id);
    }
    // One after the other, so that each is told what it acknowledged.
    for number in LEFT {
        founders.nodes[number].kill();
        if !founders.nodes[number].launch_with_clock() {
            return;
        }
        let _ = founders.until(number, &["wait", "--for", "ready", "--json"]);
    }
    let file = founders.beside("some.ndjson");
    fs::write(&file, "{\"n\":1}\n{\"n\":2}\n").unwrap();
    let file = file.to_string_lossy().into_owned();
    let _ = founders.until(SHOP, &["append", &file, "--wait", "acked", "--json"]);

    // Two of five are gone for good: nobody can amend. A survivor drafts what two holders are to sign.
    for number in [2, 4] {
        founders.nodes[number].kill();
    }
    let remove = ["--remove", "t3.example", "--remove", "lost.example/line"];
    let draft = [&["genesis", "recovery", "draft"], &remove[..]].concat();
    let few = [&draft[..], &["--key", &keys[0].1]].concat();
    let few = founders.on(0, &few).expect(2);
    assert!(few.stderr.contains("so 2 must sign"), "{few:?}");
    let both = ["--key", &keys[0].1, "--key", &keys[2].1];
    let drafted = founders.on(0, &[&draft[..], &both].concat()).expect(0);
    assert!(
        drafted.stderr.contains("- member t3.example"),
        "{drafted:?}"
    );
    fs::write(founders.beside("request.json"), &drafted.stdout).unwrap();
    let request: Value = serde_json::from_str(&drafted.stdout).unwrap();
    let manifest: Value = serde_json::from_str(request["manifest"].as_str().unwrap()).unwrap();
    assert_eq!(manifest["recovery_keys"].as_array().unwrap().len(), 1);

    // What is not signed by enough goes nowhere, nor what a node's own key would sign.
    let at = founders.beside("request.json");
    let at = at.to_string_lossy();
    let nodes = founders.nodes[0].dir.join("keys/identity.key");
    let nodes = nodes.to_string_lossy();
    let refused = run(&[
        "genesis",
        "recovery",
        "sign",
        &at,
        "--key",
        &nodes,
        "--no-input",
    ]);
    assert_eq!(refused.code, 12, "{refused:?}");
    assert!(
        refused.stderr.contains("another key than one for recovery"),
        "{refused:?}"
    );
    let hash = drafted
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("hash "))
        .unwrap()
        .trim()
        .to_owned();
    let confirm = format!("1:{}", &hash[..8]);
    let said = sign(&founders, "request.json", &keys[2].0, "one.json", &confirm);
    assert!(
        said.contains("a RECOVERY, signed by 2 of 3 recovery keys"),
        "{said}"
    );
    assert!(said.contains("1 of the 2 recovery keys"), "{said}");
    let send = |file: &str| {
        let file = founders.beside(file);
        founders.on(0, &["genesis", "recovery", "send", &file.to_string_lossy()])
    };
    let early = send("one.json").expect(20);
    assert!(early.stderr.contains("1 of the 2"), "{early:?}");
    let said = sign(&founders, "one.json", &keys[0].0, "two.json", &confirm);
    assert!(said.contains("recovery send"), "{said}");
    let _ = send("two.json").expect(0);

    // Every survivor sees it, and has 72 hours to ask why.
    let give_way = |number: usize| {
        let args = ["genesis", "recovery", "yield", &hash[..12], "--confirm"];
        founders.on(number, &[&args[..], &[&confirm]].concat())
    };
    for number in LEFT {
        let seen = founders.wait(number, "sees the recovery", |status| {
            recovery(status, &hash).is_some_and(Value::is_object)
        });
        let seen = recovery(&seen, &hash).unwrap();
        assert_eq!(seen["needed"], 2, "{seen}");
        assert_eq!(seen["yielded"].as_array().unwrap().len(), 0, "{seen}");
    }
    let shown = founders.on(1, &["genesis", "show", &hash[..12]]).expect(0);
    assert!(shown.stdout.contains("RECOVERY"), "{shown:?}");
    assert!(shown.stderr.contains("that is the veto"), "{shown:?}");
    let doctor = founders.on(1, &["doctor"]);
    assert!(doctor.stdout.contains("votes.recovery"), "{doctor:?}");
    let log = fs::read_to_string(&founders.nodes[1].log).unwrap();
    assert!(log.contains("recovery keys signed a manifest"), "{log}");
    // A member's signature is for what members propose.
    let args = ["genesis", "sign", &hash[..12], "--confirm", &confirm];
    let sign = founders.on(1, &args).expect(1);
    assert!(sign.stderr.contains("genesis recovery yield"), "{sign:?}");
    let early = give_way(1).expect(1);
    assert!(early.stderr.contains("72 hours to ask why"), "{early:?}");
    for number in LEFT {
        founders.nodes[number].step_clock(LATER);
    }
    // The clock's file is read now and then.
    let late = |number: usize| {
        let args = ["genesis", "recovery", "yield", &hash[..12], "--json"];
        let _ = founders.until(number, &[&args[..], &["--confirm", &confirm]].concat());
    };
    late(1);
    let _ = founders.wait(0, "knows who gave way", |status| {
        recovery(status, &hash).is_some_and(|one| one["yielded"][0] == "t2.example")
    });
    late(SHOP);
    for number in LEFT {
        let status = founders.wait(number, "is in the epoch", |status| {
            status["epoch_in_force"] == 1
        });
        assert_eq!(status["epochs"][1]["recovered"], true, "{status}");
    }

    // The ledger goes on, and a stranger who has the chain sees what happened.
    let _ = founders.until(SHOP, &["append", &file, "--wait", "acked", "--json"]);
    let chain = founders.nodes[1].dir.join("genesis.json");
    let chain = chain.to_string_lossy();
    let verified = run(&["genesis", "verify", &chain, "--federation", &id]).expect(0);
    let recovered = "RECOVERED: recovery keys made epoch 1";
    assert!(verified.stdout.contains(recovered), "{verified:?}");
    let list = founders.on(0, &["genesis", "list"]).expect(0);
    assert!(
        list.stdout.contains("RECOVERED by recovery keys"),
        "{list:?}"
    );
}
