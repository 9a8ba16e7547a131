//! A tower that signs subtrees, as the real binary does it: statuses, keys, restarts, lines of both kinds on one checkpoint,
//! and what a flood of it leaves of everything else.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::cosignature::subtree::{self, Subtree};
use belfry_protocol::cosignature::{self, timestamp};
use belfry_protocol::note::{SignatureLine, SignedNote, VerifierKey};
use belfry_protocol::tlog::hash::sha256;
use belfry_protocol::witness::{SignSubtree, parse_cosignatures};
use belfry_tests::federation::{FACTORY, Federation, PATIENCE};
use belfry_tests::logs::{SmallLog, root};
use belfry_tests::{Answer, request};
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const TOWER: usize = 1;

/// A federation whose tower watches these logs, with more in its `[witness]`.
fn founded(logs: &[&SmallLog], more: &str) -> Federation {
    let federation = Federation::found(3);
    let path = federation.nodes[TOWER].dir.join("config.toml");
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    let vkeys: Vec<String> = logs.iter().map(|log| format!("{:?}", log.vkey())).collect();
    write!(file, "\n[witness]\nlogs = [{}]\n{more}", vkeys.join(", ")).unwrap();
    federation.start_all();
    federation
}

fn post(federation: &Federation, path: &str, body: &str) -> Answer {
    request(&federation.http(TOWER), "POST", path, &[], body.as_bytes())
}

fn sign(federation: &Federation, asked: &SignSubtree) -> Answer {
    post(federation, "/sign-subtree", &asked.to_string())
}

/// Has a log's tree cosigned; the checkpoint with the tower's lines alone.
fn cosigned(federation: &Federation, log: &SmallLog, old: usize, size: usize) -> SignedNote {
    let answer = post(federation, "/add-checkpoint", &log.request(old, size));
    assert_eq!(answer.status, 200, "{answer:?}");
    let lines = parse_cosignatures(&answer.body).unwrap();
    SignedNote::new(log.checkpoint(size).text(), lines).unwrap()
}

/// The key as its operator gives it to others.
fn exported(federation: &Federation) -> VerifierKey {
    let export = ["key", "export", "--purpose", "subtree"];
    let vkey = federation.on(TOWER, &export).expect(0).stdout;
    VerifierKey::parse(vkey.trim()).unwrap()
}

/// That the answer is one line of the key for this subtree.
fn is_signed(key: &VerifierKey, origin: &str, asked: &SignSubtree, answer: &Answer) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let lines = parse_cosignatures(&answer.body).unwrap();
    assert_eq!(lines.len(), 1, "{}", answer.text());
    let tree = Subtree {
        origin,
        start: asked.start,
        end: asked.end,
        root: asked.root,
    };
    subtree::verify(&tree, &lines[0], key).unwrap();
    assert_eq!(timestamp(&lines[0]), Some(0));
}

#[test]
fn subtrees_of_a_cosigned_log_are_signed_to_the_letter() {
    let (log, unknown) = (
        SmallLog::new("log.example/one", "entry", 20),
        SmallLog::new("log.example/two", "entry", 20),
    );
    let federation = founded(&[&log], "");
    let key = exported(&federation);
    let listed = federation.on(TOWER, &["key", "list", "--json"]).expect(0);
    let listed = listed.json()["keys"].as_array().unwrap().clone();
    let row = listed.iter().find(|row| row["purpose"] == "subtree");
    assert_eq!(row.unwrap()["vkey"], key.to_string());
    let human = federation.on(TOWER, &["key", "list"]).expect(0).stdout;
    assert!(human.contains("key export --purpose subtree"), "{human}");
    assert!(human.lines().all(|line| line.len() < 300), "{human}");

    let note = cosigned(&federation, &log, 0, 14);
    assert_eq!(
        note.signatures().len(),
        1,
        "ML-DSA lines are off by default"
    );
    let good = log.part(8, 13, 14, &note);
    is_signed(&key, &log.origin, &good, &sign(&federation, &good));

    // 400, 404, 403, 422, each with one fault.
    let body = good.to_string();
    for (from, to) in [
        ("subtree 8 13", "subtree 9 13"),
        ("subtree 8 13", "subtree 0 15"),
    ] {
        let answer = post(&federation, "/sign-subtree", &body.replacen(from, to, 1));
        assert_eq!(answer.status, 400, "{to}");
        assert!(
            answer.head.contains("application/problem+json"),
            "{answer:?}"
        );
    }
    assert_eq!(post(&federation, "/sign-subtree", "x").status, 400);
    let large = "x".repeat(131_073);
    assert_eq!(post(&federation, "/sign-subtree", &large).status, 413);
    let get = request(&federation.http(TOWER), "GET", "/sign-subtree", &[], &[]);
    assert_eq!(get.status, 405);
    let other = unknown.part(8, 13, 14, &unknown.checkpoint(14));
    assert_eq!(sign(&federation, &other).status, 404);
    let unsigned = log.part(8, 13, 14, &log.checkpoint(14));
    assert_eq!(sign(&federation, &unsigned).status, 403);
    let line = &note.signatures()[0];
    let mut bytes = line.signature().to_vec();
    bytes[70] ^= 1;
    let forged = SignatureLine::new(line.name(), line.key_id(), bytes).unwrap();
    let beside = note.clone().with_signature(forged).unwrap();
    assert_eq!(sign(&federation, &log.part(8, 13, 14, &beside)).status, 403);
    let mut unproved = good.clone();
    unproved.proof.pop();
    assert_eq!(sign(&federation, &unproved).status, 422);

    // Killed after it went on: what was cosigned once is still signed, with the same key.
    let newer = cosigned(&federation, &log, 14, 20);
    federation.kill(TOWER);
    federation.start(TOWER);
    federation.ready(TOWER);
    assert_eq!(exported(&federation), key);
    for asked in [
        good,
        log.part(16, 20, 20, &newer),
        log.part(0, 20, 20, &newer),
    ] {
        is_signed(&key, &log.origin, &asked, &sign(&federation, &asked));
    }
    let metrics = request(&federation.http(TOWER), "GET", "/metrics", &[], &[]).text();
    let counted = "belfry_http_requests_total{route=\"/sign-subtree\",status=\"200\"}";
    assert!(metrics.contains(counted), "{metrics}");
}

#[test]
fn a_checkpoint_has_lines_of_both_kinds_where_that_is_configured() {
    let log = SmallLog::new("log.example/one", "entry", 20);
    let federation = founded(&[&log], "ml_dsa = true\n");
    let key = exported(&federation);
    let ack = federation.keys(TOWER).ack_key().verifier().clone();
    let note = cosigned(&federation, &log, 0, 9);
    let [first, second] = note.signatures() else {
        panic!("{note}")
    };
    // One statement: the same tree at the same time.
    let time = cosignature::verify(note.text(), first, &ack).unwrap();
    assert_eq!(cosignature::verify(note.text(), second, &key), Ok(time));
    let path = format!("/{}/checkpoint", sha256(log.origin.as_bytes()).to_hex());
    for _ in 0..2 {
        let shown = request(&federation.http(TOWER), "GET", &path, &[], &[]);
        let shown = SignedNote::parse(&shown.body).unwrap();
        assert_eq!(shown.signatures().len(), 3, "{shown}");
        for line in note.signatures() {
            assert!(shown.signatures().contains(line), "{shown}");
        }
    }
    // Each of the two lines by itself shows that this tower cosigned it.
    for line in [first, second] {
        let alone = SignedNote::new(note.text(), vec![line.clone()]).unwrap();
        let asked = log.part(4, 8, 9, &alone);
        is_signed(&key, &log.origin, &asked, &sign(&federation, &asked));
    }

    // A member's ledger, cosigned over libp2p: monitors see both kinds, and its parts are signed.
    let last = federation.append(40);
    let origin = federation.nodes[FACTORY].name.clone();
    let path = format!("/{}/checkpoint", sha256(origin.as_bytes()).to_hex());
    let until = Instant::now() + PATIENCE;
    let (shown, digest) = loop {
        let shown = request(&federation.http(TOWER), "GET", &path, &[], &[]);
        if let Ok(note) = SignedNote::parse(&shown.body)
            && let Ok(digest) = Checkpoint::parse(note.text())
            && digest.size > last
        {
            break (note, digest);
        }
        assert!(Instant::now() < until, "{}", federation.tail(TOWER));
        std::thread::sleep(Duration::from_millis(40));
    };
    let by_key = |line: &&SignatureLine| line.key_id() == key.key_id();
    let line = shown.signatures().iter().find(by_key).unwrap();
    cosignature::verify(shown.text(), line, &key).unwrap();
    // The whole tree is a subtree of itself, and needs no proof.
    let whole = SignSubtree {
        start: 0,
        end: digest.size,
        root: digest.root,
        proof: Vec::new(),
        checkpoint: shown,
    };
    is_signed(&key, &origin, &whole, &sign(&federation, &whole));
}

#[test]
fn a_fork_ends_it_and_a_flood_does_not_stop_the_rest() {
    let (log, liar, other) = (
        SmallLog::new("log.example/one", "entry", 9),
        SmallLog::new("log.example/one", "lie", 9),
        SmallLog::new("log.example/two", "entry", 40),
    );
    let federation = founded(&[&log, &other], "");
    let note = cosigned(&federation, &log, 0, 9);
    let asked = log.part(0, 8, 9, &note);
    assert_eq!(asked.root, root(&log.leaves[..8]));
    let ended = AtomicBool::new(false);
    let (signed, pushed_back) = std::thread::scope(|scope| {
        let flood: Vec<_> = (0..40)
            .map(|_| {
                scope.spawn(|| {
                    let (mut signed, mut pushed_back) = (0, 0);
                    while !ended.load(Ordering::SeqCst) {
                        match sign(&federation, &asked).status {
                            200 => signed += 1,
                            503 => pushed_back += 1,
                            status => panic!("{status}"),
                        }
                    }
                    (signed, pushed_back)
                })
            })
            .collect();
        // Another log is cosigned meanwhile, one entry after the other; a busy tower may ask for patience.
        let until = Instant::now() + PATIENCE;
        for size in 1..=20 {
            while post(
                &federation,
                "/add-checkpoint",
                &other.request(size - 1, size),
            )
            .status
                != 200
            {
                assert!(Instant::now() < until, "stuck at {size}");
            }
        }
        ended.store(true, Ordering::SeqCst);
        let counts = flood.into_iter().map(|one| one.join().unwrap());
        counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    assert!(signed > 0, "{signed} signed, {pushed_back} pushed back");

    let fork = post(&federation, "/add-checkpoint", &liar.request(9, 9));
    assert_eq!(fork.status, 422);
    let stopped = sign(&federation, &asked);
    assert_eq!(stopped.status, 503, "{stopped:?}");
    assert!(stopped.head.to_lowercase().contains("retry-after"));
}

#[test]
fn a_node_without_a_federation_signs_none() {
    let node = belfry_tests::Node::new();
    let served = node.serve();
    let log = SmallLog::new("log.example/one", "entry", 9);
    let asked = log.part(0, 8, 9, &log.checkpoint(9)).to_string();
    let answer = served.request("POST", "/sign-subtree", &[], asked.as_bytes());
    assert_eq!(answer.status, 404);
    assert_eq!(served.stop(), 0);
}
