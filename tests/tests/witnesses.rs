//! Our ledger before a witness that was written elsewhere (PyPI `aics-witness`), and our conformance suite against it.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::note::SigningKey;
use belfry_protocol::tlog::hash::sha256;
use belfry_protocol::witness::{AddCheckpoint, MAX_SENT_BYTES};
use belfry_tests::federation::{FACTORY, Federation};
use belfry_tests::foreign::{AicsWitness, python};
use belfry_tests::{Node, Served, lines, request};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine before the test fails.
const PATIENCE: Duration = Duration::from_secs(120);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// A policy with this ledger and one witness, whose cosignature is needed.
fn policy(log: &str, witness: &AicsWitness) -> String {
    format!(
        "log {log}\nwitness w1 {} {}\nquorum w1\n",
        witness.vkey, witness.url
    )
}

fn submit(dir: &Path, policy: &str) {
    std::fs::write(dir.join("submit.policy"), policy).unwrap();
    let config = dir.join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = format!("{text}\n[witness]\nsubmit_policy = \"submit.policy\"\n");
    std::fs::write(&config, text).unwrap();
}

/// Looks at what a node says of its witnesses until it is as wanted.
fn wait(address: &str, what: &str, right: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let value = request(address, "GET", "/api/v1/witnesses", &[], b"").json();
        if right(&value) {
            return value;
        }
        assert!(Instant::now() < until, "never {what}: {value:#}");
        std::thread::sleep(LOOK);
    }
}

fn cosigned(address: &str, size: u64) -> Value {
    wait(address, &format!("{size} entries cosigned"), |value| {
        value["witnessed"]["size"].as_u64() >= Some(size)
            && value["witnesses"][0]["state"] == "cosigned"
            && value["witnesses"][0]["size"].as_u64() >= Some(size)
    })
}

/// Appends so many lines through the running node.
fn append(node: &Node, count: u64) -> u64 {
    let input = node.write("more.ndjson", lines(count));
    let _ = node.run(&["append", &input, "--wait", "signed"]).expect(0);
    node.json(&["ledger", "head"])["signed_size"]
        .as_u64()
        .unwrap()
}

fn stop(served: Served) {
    assert_eq!(served.stop(), 0);
}

#[test]
fn a_foreign_witness_cosigns_our_ledger_and_our_receipts_carry_it() {
    let Some(python) = python() else { return };
    let node = Node::new();
    let vkey = node.run(&["key", "export"]).expect(0).stdout;
    let witness = AicsWitness::start(&python, &[vkey.trim()]);
    submit(&node.dir(), &policy(vkey.trim(), &witness));
    let none = node.run(&["ledger", "head", "--witnessed"]).expect(21);
    assert!(none.stderr.contains("no digest has the quorum"), "{none:?}");

    let served = node.serve();
    let size = append(&node, 300);
    let shown = cosigned(&served.address, size);
    assert_eq!(shown["witnesses"][0]["state"], "cosigned", "{shown:#}");
    assert_eq!(shown["witnesses"][0]["size"], size, "{shown:#}");
    let size = append(&node, 5);
    let _ = cosigned(&served.address, size);
    let status = node.run(&["status"]).expect(0).stdout;
    assert!(
        status.contains(&format!("w1 {size} entries cosigned")),
        "{status}"
    );
    let metrics = served.get("/metrics").text();
    let line = format!("belfry_foreign_witness_cosigned_entries{{witness=\"w1\"}} {size}");
    assert!(metrics.contains(&line), "{metrics}");

    // Anybody can verify an entry by the policy alone, on another machine.
    let receipt = node.beside("7.tlog-proof").to_string_lossy().into_owned();
    let prove = ["ledger", "prove", "7", "--witnessed", "--out", &receipt];
    let _ = node.run(&prove).expect(0);
    let policy = node
        .dir()
        .join("submit.policy")
        .to_string_lossy()
        .into_owned();
    let verify = ["audit", "verify", &receipt, "--policy", &policy, "--json"];
    let verified = belfry_tests::run(&verify).expect(0).json();
    assert_eq!(
        verified["witnesses"],
        serde_json::json!(["w1"]),
        "{verified:#}"
    );
    // The ledger's own checkpoint stays the ledger's own: foreign lines count for nothing there.
    assert!(!served.get("/checkpoint").text().contains("foreign.example"));
    stop(served);

    // A restart goes on where the witness is, also when what was kept is lost: a conflict names the size.
    for lost in [false, true] {
        if lost {
            std::fs::remove_file(node.dir().join("witnessed.json")).unwrap();
        }
        let served = node.serve();
        let size = append(&node, 3);
        let _ = cosigned(&served.address, size);
        stop(served);
    }
    let head = node.json(&["ledger", "head", "--witnessed"]);
    assert!(
        head["note"]
            .as_str()
            .unwrap()
            .contains("foreign.example/w1"),
        "{head:#}"
    );
}

/// A request with another tree of three entries, under the ledger's own key.
fn another_tree(key: &SigningKey) -> Vec<u8> {
    let other = Checkpoint {
        origin: key.name().to_owned(),
        size: 3,
        root: sha256(b"another tree"),
    };
    let body = AddCheckpoint {
        old_size: 0,
        proof: Vec::new(),
        checkpoint: other.sign(key).unwrap(),
    };
    body.to_string().into_bytes()
}

#[test]
fn a_fork_that_a_foreign_witness_saw_is_proved_and_alarmed() {
    let Some(python) = python() else { return };
    let node = Node::new();
    let vkey = node.run(&["key", "export"]).expect(0).stdout;
    let witness = AicsWitness::start(&python, &[vkey.trim()]);
    submit(&node.dir(), &policy(vkey.trim(), &witness));

    // Somebody else signs with the ledger's key, and the witness sees that first.
    let export = ["key", "export", "--private", "--confirm", Node::NAME];
    let key = SigningKey::import(node.run(&export).expect(0).stdout.trim()).unwrap();
    assert_eq!(witness.add_checkpoint(&another_tree(&key)).status, 200);

    let served = node.serve();
    let _ = append(&node, 10);
    let shown = wait(&served.address, "refused", |value| {
        value["witnesses"][0]["state"] == "refused"
    });
    assert_eq!(shown["witnessed"], Value::Null, "{shown:#}");
    let status = node.json(&["status"]);
    let alarm = status["alarms"]
        .as_array()
        .unwrap()
        .iter()
        .find(|alarm| alarm["kind"] == "foreign-witness-fork")
        .unwrap_or_else(|| panic!("{status:#}"))["alarm"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(alarm.contains("w1"), "{alarm}");
    let metrics = served.get("/metrics").text();
    let counted = "belfry_alarms_total{kind=\"foreign-witness-fork\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    stop(served);

    // The proof holds for whoever has the key, and the witness kept its own evidence of our digest.
    let mut proofs = std::fs::read_dir(node.dir().join("proof")).unwrap();
    let proof = proofs.next().unwrap().unwrap().path();
    let proof = proof.to_string_lossy().into_owned();
    let verify = ["audit", "verify", &proof, "--key", vkey.trim()];
    let _ = belfry_tests::run(&verify).expect(22);
    assert!(witness.evidence().contains(Node::NAME));
}

#[test]
fn a_witness_that_does_not_know_the_ledger_is_told_of_and_the_node_goes_on() {
    let Some(python) = python() else { return };
    let node = Node::new();
    let vkey = node.run(&["key", "export"]).expect(0).stdout;
    let witness = AicsWitness::start(&python, &[]);
    submit(&node.dir(), &policy(vkey.trim(), &witness));
    let served = node.serve();
    let _ = append(&node, 2);
    let shown = wait(&served.address, "unknown", |value| {
        value["witnesses"][0]["state"] == "unknown"
    });
    let detail = shown["witnesses"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("404"), "{shown:#}");
    assert_eq!(node.json(&["status"])["alarms"], Value::Null);
    stop(served);

    // A policy for somebody else's ledger stops the start, and says which line is missing.
    let strange = "log strange.example+00000000+AAAA\nquorum none\n";
    std::fs::write(node.dir().join("submit.policy"), strange).unwrap();
    let refused = node.run(&["run", "--allow-solo", "--json"]).expect(13);
    assert!(
        refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("submit.policy")
    );
}

/// How a witness of a few lines answers a submission: status, content type, body.
type Answers = fn(&AddCheckpoint) -> (u16, &'static str, String);

/// A witness that answers by a rule, and sends on what it was sent. Its thread ends with the test's process.
fn witness_that(answers: Answers, sent: &std::sync::mpsc::SyncSender<Vec<u8>>) -> String {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let sent = sent.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).unwrap() > 0 {}
            let length = head.lines().find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            });
            let mut body = vec![0; length.unwrap_or(0)];
            stream.read_exact(&mut body).unwrap();
            let (status, kind, answer) = match AddCheckpoint::parse(&body) {
                Ok(request) if head.starts_with("POST /add-checkpoint ") => answers(&request),
                _ => (404, "text/plain", "nothing\n".to_owned()),
            };
            if head.starts_with("POST") {
                let _ = sent.try_send(body);
            }
            let _ = write!(
                stream.get_mut(),
                "HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\nretry-after: 1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
                answer.len()
            );
        }
    });
    url
}

fn cosigner(number: u8) -> SigningKey {
    SigningKey::cosigner(&format!("w{number}.example"), [number; 32]).unwrap()
}

#[test]
fn whatever_witnesses_answer_only_lines_that_verify_are_kept() {
    const RULES: [(&str, Answers); 7] = [
        ("cosigned", |request| {
            let line = cosigner(0).cosign(request.checkpoint.text(), 1_800_000_000);
            let strange = cosigner(99).cosign(request.checkpoint.text(), 1);
            (
                200,
                "text/plain",
                format!("{}\n{}\n", strange.unwrap(), line.unwrap()),
            )
        }),
        // The right key over another text.
        ("failed", |_| {
            let line = cosigner(1).cosign(
                "another.example\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
                7,
            );
            (200, "text/plain", format!("{}\n", line.unwrap()))
        }),
        ("failed", |_| (200, "text/plain", "ok\n".to_owned())),
        // The charset makes it another answer than a stale size.
        ("refused", |_| {
            (409, "text/x.tlog.size; charset=utf-8", "0\n".to_owned())
        }),
        ("refused", |_| {
            (409, "text/x.tlog.size", "999999999\n".to_owned())
        }),
        ("failed", |request| {
            (409, "text/x.tlog.size", format!("{}\n", request.old_size))
        }),
        ("busy", |_| (503, "text/plain", "later\n".to_owned())),
    ];
    let node = Node::new();
    let vkey = node.run(&["key", "export"]).expect(0).stdout;
    let (sender, sent) = std::sync::mpsc::sync_channel(1_024);
    let mut policy = format!("log {vkey}");
    for (number, (_, answers)) in (0_u8..).zip(RULES) {
        let (key, url) = (cosigner(number), witness_that(answers, &sender));
        policy.push_str(&format!("witness w{number} {} {url}/\n", key.verifier()));
    }
    policy.push_str("quorum w0\n");
    submit(&node.dir(), &policy);
    let served = node.serve();
    let size = append(&node, 4);
    let shown = wait(&served.address, "as expected", |value| {
        let mut all = value["witnesses"].as_array().unwrap().iter().zip(RULES);
        all.all(|(one, (state, _))| one["state"] == state)
            && value["witnessed"]["size"].as_u64() >= Some(size)
    });
    let note = shown["witnessed"]["note"].as_str().unwrap();
    assert!(
        note.contains("w0.example") && note.matches("\u{2014} ").count() == 2,
        "{note}"
    );
    for one in &shown["witnesses"].as_array().unwrap()[1..] {
        assert_eq!(one["size"], Value::Null, "{one:#}");
    }
    let status = node.json(&["status"]);
    let alarms: Vec<&str> = status["alarms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alarm| alarm["kind"].as_str().unwrap())
        .collect();
    assert_eq!(alarms, ["foreign-witness-refused"; 2], "{status:#}");
    // Nobody was sent anything but the log's own signature.
    let bodies: Vec<Vec<u8>> = sent.try_iter().collect();
    assert!(bodies.len() >= RULES.len());
    for body in bodies {
        let request = AddCheckpoint::parse(&body).unwrap();
        assert!(body.len() <= MAX_SENT_BYTES && request.checkpoint.signatures().len() == 1);
    }
    stop(served);
}

#[test]
fn a_factory_submits_what_its_towers_acknowledged() {
    let Some(python) = python() else { return };
    let federation = Federation::found(3);
    let keys = federation.keys(FACTORY);
    let vkey = keys.log_key().verifier().to_string();
    let witness = AicsWitness::start(&python, &[&vkey]);
    submit(&federation.nodes[FACTORY].dir, &policy(&vkey, &witness));
    federation.start_all();
    let last = federation.append(40);
    let shown = cosigned(&federation.http(FACTORY), last + 1);
    let note = shown["witnessed"]["note"].as_str().unwrap();
    // Its own line and the foreign one: no line of a tower left in the request, and none counts here.
    assert_eq!(note.matches("\u{2014} ").count(), 2, "{note}");
    let status = federation.status(FACTORY);
    assert_eq!(status["witnesses"][0]["state"], "cosigned", "{status:#}");
    federation.stop(FACTORY);
}

#[test]
fn a_factory_whose_fork_a_foreign_witness_saw_is_silenced_in_the_whole_federation() {
    let Some(python) = python() else { return };
    let federation = Federation::found(3);
    let keys = federation.keys(FACTORY);
    let vkey = keys.log_key().verifier().to_string();
    let witness = AicsWitness::start(&python, &[&vkey]);
    let stolen = witness.add_checkpoint(&another_tree(keys.log_key()));
    assert_eq!(stolen.status, 200);
    submit(&federation.nodes[FACTORY].dir, &policy(&vkey, &witness));
    federation.start_all();
    let _ = federation.try_append(&lines(20));
    for number in 0..=3 {
        let status = federation.wait(number, "keeps the fork proof", |status| {
            status["forks"]
                .as_array()
                .is_some_and(|forks| !forks.is_empty())
        });
        assert_eq!(status["forks"][0]["origin"], keys.name(), "{status:#}");
    }
    let _ = federation.wait(FACTORY, "signs nothing any more", |status| {
        status["phase"]
            .as_str()
            .is_some_and(|phase| phase.starts_with("stopped"))
    });
    let status = federation.status(FACTORY);
    let alarms = status["alarms"].as_array().unwrap();
    let kinds: Vec<&str> = alarms
        .iter()
        .filter_map(|one| one["kind"].as_str())
        .collect();
    assert!(kinds.contains(&"foreign-witness-fork"), "{status:#}");
    assert!(kinds.contains(&"fork"), "{status:#}");
}

#[test]
fn our_conformance_suite_judges_a_foreign_witness() {
    let Some(python) = python() else { return };
    let node = Node::empty();
    let seed = node.beside("seed").to_string_lossy().into_owned();
    let logs = belfry_tests::run(&["conformance", "logs", "--seed-file", &seed]).expect(0);
    let logs: Vec<&str> = logs.stdout.lines().collect();
    assert_eq!(logs.len(), 10);
    let witness = AicsWitness::start(&python, &logs);
    let restart = witness.restart_command();
    let arguments = [
        "conformance",
        "witness",
        &witness.url,
        "--seed-file",
        &seed,
        "--witness-key",
        &witness.vkey,
        "--restart-command",
        &restart,
        "--timeout",
        "60",
        "--json",
    ];
    let ended = belfry_tests::run(&arguments).expect(0);
    let report = ended.json();
    let of = |verdict: &str| -> Vec<String> {
        let rows = report["rows"].as_array().unwrap().iter();
        rows.filter(|row| row["verdict"] == verdict)
            .map(|row| row["row"].as_str().unwrap().to_owned())
            .collect()
    };
    // It does everything as specified. What the machine makes of it may be a note: a slow answer, or an answer to a
    // large body that was lost when it hung up.
    let skipped = of("skipped");
    assert_eq!(of("fail"), [""; 0], "{report:#}");
    // It does not sign subtrees, which is optional.
    let of_subtrees = |id: &String| id.starts_with("subtree-") || id == "restart-subtree";
    assert!(
        !skipped.is_empty() && skipped.iter().all(of_subtrees),
        "{report:#}"
    );
    let by_luck = ["speed", "http-body-limit"];
    assert!(
        of("note").iter().all(|row| by_luck.contains(&row.as_str())),
        "{report:#}"
    );

    // A witness that knows none of the logs is no failure, and the exit code of one that is not there is another.
    let nobody = [
        "conformance",
        "witness",
        "http://127.0.0.1:9",
        "--seed-file",
        &seed,
    ];
    let _ = belfry_tests::run(&nobody).expect(30);
    let without = ["conformance", "witness", &witness.url];
    let _ = belfry_tests::run(&without).expect(2);
}
