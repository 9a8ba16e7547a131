//! Founding by vote (R14): four real nodes whose operators never meet, what they see, and what goes wrong.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_tests::founders::{Founders, vote};
use belfry_tests::{request, run};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const FOUR: [(&str, &str); 4] = [
    ("t1.example", "tower"),
    ("t2.example", "tower"),
    ("t3.example", "tower"),
    ("shop.example/line", "factory"),
];

/// The factory's entries are acknowledged: the federation works.
fn takes_entries(founders: &Founders, factory: usize) {
    let _ = founders
        .on(factory, &["wait", "--for", "ready", "--timeout", "60"])
        .expect(0);
    let file = founders.beside("line.ndjson");
    fs::write(&file, "{\"said\":\"hello\"}\n").unwrap();
    let file = file.to_string_lossy();
    let until = Instant::now() + Duration::from_secs(60);
    let appended = loop {
        let args = ["append", &file, "--wait", "acked", "--json"];
        let ended = founders.on(factory, &args);
        if ended.code == 0 {
            break ended.json();
        }
        assert!(Instant::now() < until, "{ended:?}");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(
        appended["first"].is_u64() || appended["entries"].is_u64(),
        "{appended}"
    );
}

#[test]
fn four_nodes_that_know_nobody_found_a_federation() {
    let founders = Founders::gather(&FOUR);
    let began = Instant::now();
    let hash = founders.propose(&["--title", "the first four"]);
    // What a human sees names everybody, and what the numbers do not protect against.
    let shown = founders.on(3, &["genesis", "show"]).expect(0).stdout;
    for (name, _) in FOUR {
        assert!(shown.contains(name), "{shown}");
    }
    assert!(shown.contains("no recovery key"), "{shown}");
    assert!(shown.contains("one tower that colludes"), "{shown}");
    assert!(shown.contains(&hash), "{shown}");
    let draft = fs::read(founders.nodes[1].dir.join("founding.json")).unwrap();
    for number in 0..4 {
        let _ = founders.sign(number, &hash).expect(0);
    }
    let ids: Vec<String> = (0..4).map(|number| founders.founded(number)).collect();
    println!("from the proposal to a member: {:?}", began.elapsed());
    assert!(ids.iter().all(|id| *id == hash), "{ids:?}");
    takes_entries(&founders, 3);
    // A stranger verifies the manifest, from a file and from a node.
    let file = founders.nodes[1].dir.join("genesis.json");
    let file = file.to_string_lossy();
    let verified = run(&["genesis", "verify", &file, "--json", "--federation", &hash]);
    assert_eq!(
        verified.expect(0).json()["members"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
    let address = fs::read_to_string(founders.nodes[2].dir.join("run/http.addr")).unwrap();
    let url = format!("http://{}/public/mcp/genesis.json", address.trim());
    let _ = run(&["genesis", "verify", &url, "--federation", &hash]).expect(0);
    let other = run(&["genesis", "verify", &url, "--federation", "0123456789"]).expect(20);
    assert!(other.stderr.contains("not of 0123456789"), "{other:?}");
    let one = request(address.trim(), "GET", "/genesis/0.json", &[], b"");
    let own = fs::read(founders.nodes[2].dir.join("genesis.json")).unwrap();
    assert!((one.status, one.body) == (200, own));
    let none = request(address.trim(), "GET", "/genesis/1.json", &[], b"");
    assert_eq!(none.status, 404);
    // Every step is an entry of the ledger of whoever took it.
    let tail = founders.on(0, &["ledger", "tail", "--json"]);
    for kind in ["genesis.proposed", "genesis.vote", "genesis.active"] {
        assert!(tail.stdout.contains(kind), "{kind}: {tail:?}");
    }
    // As if the power had failed before the manifest was in its place: the end of the founding comes again.
    founders.nodes[1].kill();
    fs::remove_file(founders.nodes[1].dir.join("genesis.json")).unwrap();
    fs::write(founders.nodes[1].dir.join("founding.json"), draft).unwrap();
    founders.launch(1);
    assert_eq!(founders.founded(1), hash);
    takes_entries(&founders, 3);
    // It goes on after a restart, and founds nothing twice.
    founders.nodes[3].kill();
    founders.launch(3);
    takes_entries(&founders, 3);
    let again = founders.on(3, &["genesis", "draft", "--federation", "red.example"]);
    let belongs = again.stderr.contains("belongs to a federation");
    assert!(belongs, "{again:?}");
}

#[test]
fn whoever_refuses_says_why_and_an_absentee_is_left_out_in_a_later_round() {
    let founders = Founders::gather(&FOUR);
    let first = founders.propose(&["--title", "with everybody"]);
    let wrong = founders
        .on(
            1,
            &["genesis", "sign", &first[..8], "--confirm", "0:00000000"],
        )
        .expect(2);
    assert!(wrong.stderr.contains("nothing was done"), "{wrong:?}");
    let unsafe_quorum = founders
        .on(0, &["genesis", "propose", "--quorum", "1"])
        .expect(2);
    assert!(
        unsafe_quorum.stderr.contains("2k > n + f"),
        "{unsafe_quorum:?}"
    );
    let _ = founders.sign(0, &first).expect(0);
    let _ = founders.sign(3, &first).expect(0);
    let _ = founders
        .on(
            1,
            &[
                "genesis",
                "reject",
                &first[..8],
                "--reason",
                "t3 is never there",
            ],
        )
        .expect(0);
    let seen = founders.wait(3, "sees the refusal", |status| {
        vote(status, &first).is_some_and(|vote| vote["state"] == "rejected")
    });
    let refused = &vote(&seen, &first).unwrap()["refused"][0];
    assert_eq!(refused["name"], "t2.example");
    assert_eq!(refused["reason"], "t3 is never there");
    // Votes survive a crash, and one that was cast binds: the same round takes no other manifest.
    founders.nodes[2].kill();
    founders.nodes[0].kill();
    founders.launch(0);
    let status = founders.status(0).unwrap();
    assert_eq!(status["voted_round"], 1, "{status}");
    let second = founders.propose(&["--title", "without t3", "--without", "t3.example"]);
    assert_ne!(first, second);
    let status = founders.status(0).unwrap();
    assert_eq!(vote(&status, &second).unwrap()["round"], 2, "{status}");
    for number in [0, 1, 3] {
        let _ = founders.sign(number, &second).expect(0);
    }
    for number in [0, 1, 3] {
        assert_eq!(founders.founded(number), second);
    }
    takes_entries(&founders, 3);
    // The one that was left out comes back and is told; it founds nothing by itself.
    founders.launch(2);
    let alone = founders.wait(2, "is told", |status| status["refusal"].is_string());
    assert_eq!(alone["state"], "founding", "{alone}");
    let why = alone["refusal"].as_str().unwrap();
    assert!(why.contains("founded"), "{why}");
}

#[test]
fn tickets_work_once_for_their_role_and_their_founding() {
    let founders = Founders::init(&[
        ("t1.example", "tower"),
        ("t2.example", "tower"),
        ("t3.example", "tower"),
        ("shop.example/line", "factory"),
    ]);
    let nothing = founders.on(1, &["join", "belfry1nonsense"]).expect(2);
    assert!(nothing.stderr.contains("damaged"), "{nothing:?}");
    let _ = founders
        .on(0, &["genesis", "draft", "--federation", "blue.example"])
        .expect(0);
    founders.launch(0);
    let ticket = founders.ticket(&[]);
    let role = founders.on(3, &["join", &ticket]).expect(1);
    assert!(role.stderr.contains("does not admit a factory"), "{role:?}");
    let mut damaged = ticket.clone();
    let last = damaged.pop().unwrap();
    damaged.push(if last == 'a' { 'b' } else { 'a' });
    let damaged = founders.on(1, &["join", &damaged]).expect(2);
    assert!(damaged.stderr.contains("damaged on its way"), "{damaged:?}");
    let joined = founders
        .on(1, &["join", &ticket, "--json"])
        .expect(0)
        .json();
    assert_eq!(joined["federation"], "blue.example");
    assert_eq!(joined["invited_by"], "t1.example");
    let twice = founders.on(1, &["join", &ticket]).expect(1);
    assert!(
        twice
            .stderr
            .contains("takes part in the founding of blue.example already"),
        "{twice:?}"
    );
    founders.launch(1);
    let _ = founders.wait(1, "is let in", |status| status["welcome"].is_string());
    // The same ticket in other hands.
    let _ = founders.on(2, &["join", &ticket]).expect(0);
    founders.launch(2);
    let refused = founders.wait(2, "is refused", |status| status["refusal"].is_string());
    let why = refused["refusal"].as_str().unwrap();
    assert!(why.contains("used by somebody else"), "{why}");
    assert_eq!(
        founders.status(0).unwrap()["people"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    founders.nodes[2].kill();
    fs::remove_file(founders.nodes[2].dir.join("founding.json")).unwrap();
    // One that was taken back, and one that has expired.
    let given = founders.on(0, &["invite", "--json"]).expect(0).json();
    let id = given["id"].as_str().unwrap();
    let _ = founders.on(0, &["invite", "--revoke", &id[..8]]).expect(0);
    let _ = founders
        .on(2, &["join", given["ticket"].as_str().unwrap()])
        .expect(0);
    founders.launch(2);
    let refused = founders.wait(2, "is refused", |status| status["refusal"].is_string());
    assert!(
        refused["refusal"].as_str().unwrap().contains("revoked"),
        "{refused}"
    );
    founders.nodes[2].kill();
    fs::remove_file(founders.nodes[2].dir.join("founding.json")).unwrap();
    let short = founders.ticket(&["--expires", "1s"]);
    std::thread::sleep(Duration::from_millis(1_200));
    let late = founders.on(2, &["join", &short]).expect(1);
    assert!(late.stderr.contains("expired"), "{late:?}");
    let list = founders.on(0, &["invite", "--list"]).expect(0).stdout;
    for state in ["used", "revoked", "expired"] {
        assert!(list.contains(state), "{list}");
    }
}

#[test]
fn an_identity_key_on_another_machine_signs_what_was_reviewed_and_nothing_else() {
    let founders = Founders::gather(&FOUR);
    let offline = founders.beside("offline");
    // The card was signed; from here on the key is elsewhere.
    let identity = founders.nodes[1].dir.join("keys");
    let kept = fs::read_dir(&identity).unwrap().flatten();
    let key = kept
        .map(|file| file.path())
        .find(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with("identity") && !name.ends_with(".pub")
        })
        .unwrap();
    // Nothing but the file of the key goes to the other machine.
    fs::create_dir_all(offline.join("keys")).unwrap();
    founders.nodes[1].kill();
    fs::rename(&key, offline.join("keys").join(key.file_name().unwrap())).unwrap();
    founders.launch(1);
    let first = founders.propose(&["--title", "first"]);
    let waits = founders.sign(1, &first).expect(0);
    assert!(
        waits.stdout.contains("waits for the identity key"),
        "{waits:?}"
    );
    let status = founders.status(1).unwrap();
    assert_eq!(status["unsigned"], 1, "{status}");
    let request = founders.on(1, &["genesis", "export"]).expect(0).stdout;
    // The same as QR codes, as a scanner gives them: lines, in any order.
    let codes = founders
        .on(1, &["genesis", "export", "--qr"])
        .expect(0)
        .stdout;
    let mut scanned: Vec<&str> = codes
        .lines()
        .filter(|line| line.starts_with("BELFRY1:"))
        .collect();
    assert!(scanned.len() > 1, "{codes}");
    scanned.reverse();
    let file = founders.beside("request.txt");
    fs::write(&file, scanned.join("\n")).unwrap();
    let (file, offline) = (file.to_string_lossy(), offline.to_string_lossy());
    let confirm = format!("0:{}", &first[..8]);
    let sign = |request: &str, confirm: &str| {
        run(&[
            "genesis",
            "sign-request",
            request,
            "--confirm",
            confirm,
            "--no-input",
            "-d",
            &offline,
        ])
    };
    let dry = run(&[
        "genesis",
        "sign-request",
        &file,
        "--dry-run",
        "-d",
        &offline,
    ])
    .expect(0);
    assert!(dry.stdout.contains("would sign"), "{dry:?}");
    assert!(!PathBuf::from(&*offline).join("keys/votes").exists());
    let signed = sign(&file, &confirm).expect(0);
    assert!(
        signed
            .stderr
            .contains("approve it in round 1, as t2.example"),
        "{signed:?}"
    );
    let vote = signed.stdout;
    // The same again is the same; a forged request for another manifest in that round is refused by the key's own lock.
    assert_eq!(sign(&file, &confirm).expect(0).stdout, vote);
    let mut forged: Value = serde_json::from_str(&request).unwrap();
    let manifest = forged["manifest"]
        .as_str()
        .unwrap()
        .replace("blue.example", "grey.example");
    let hash = belfry_protocol::tlog::hash::sha256(manifest.as_bytes()).to_hex();
    forged["statement"] = Value::from(forged["statement"].as_str().unwrap().replace(&first, &hash));
    forged["manifest"] = Value::from(manifest);
    let other = founders.beside("forged.json");
    fs::write(&other, forged.to_string()).unwrap();
    let refused = sign(&other.to_string_lossy(), &format!("0:{}", &hash[..8])).expect(1);
    assert!(refused.stderr.contains("signed manifest"), "{refused:?}");
    // A statement that does not follow from the manifest beside it is signed in no case, and locks nothing.
    let lock = || {
        let votes = fs::read_dir(PathBuf::from(&*offline).join("keys/votes"));
        let mut files = votes.unwrap().map(|file| file.unwrap().path());
        fs::read(files.next().unwrap()).unwrap()
    };
    let locked = lock();
    let lineage = "lineage ";
    for (from, to) in [
        ("epoch 0", "epoch 1"),
        (lineage, "lineage 0"),
        ("-approve/", "-commit/"),
    ] {
        let mut forged: Value = serde_json::from_str(&request).unwrap();
        let statement = forged["statement"].as_str().unwrap();
        let mut changed = statement.replacen(from, to, 1);
        if from == lineage {
            let at = changed.find("lineage 0").unwrap() + 9 + 31;
            changed.remove(at);
        }
        forged["statement"] = Value::from(changed);
        fs::write(&other, forged.to_string()).unwrap();
        let refused = sign(&other.to_string_lossy(), &confirm).expect(20);
        assert_eq!(refused.stdout, "", "{refused:?}");
    }
    let mut foreign: Value = serde_json::from_str(&request).unwrap();
    foreign["name"] = Value::from("t3.example");
    fs::write(&other, foreign.to_string()).unwrap();
    let refused = sign(&other.to_string_lossy(), &confirm).expect(20);
    assert!(
        refused.stderr.contains("this is the key of t2.example"),
        "{refused:?}"
    );
    assert_eq!(lock(), locked);
    // A node that votes by itself signs no requests: it would not know of the vote.
    let here = founders
        .on(
            2,
            &["genesis", "sign-request", &file, "--confirm", &confirm],
        )
        .expect(2);
    assert!(here.stderr.contains("votes by itself"), "{here:?}");
    let theirs = founders.beside("theirs.json");
    fs::write(&theirs, &vote).unwrap();
    let wrong = founders
        .on(2, &["genesis", "import", &theirs.to_string_lossy()])
        .expect(2);
    assert!(wrong.stderr.contains("a vote of t2.example"), "{wrong:?}");
    let voted = founders.beside("vote.json");
    fs::write(&voted, &vote).unwrap();
    let _ = founders
        .on(1, &["genesis", "import", &voted.to_string_lossy()])
        .expect(0);
    for number in [0, 2, 3] {
        let _ = founders.sign(number, &first).expect(0);
    }
    assert_eq!(founders.founded(1), first);
}
