//! Receipts as they are handed out: by `append --receipts`, and over HTTP once a quorum acknowledged.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_tests::federation::{FACTORY, Federation};
use belfry_tests::{Answer, Ended, Node, lines, request, run};
use std::fs;
use std::path::Path;

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn append(federation: &Federation, input: &Path, receipts: &Path) -> Ended {
    let (input, receipts) = (text(input), text(receipts));
    let args = ["append", &input, "--dedupe", "--json"];
    let stage = ["--wait", "acked", "--receipts", &receipts];
    federation.on(FACTORY, &[&args[..], &stage[..]].concat())
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|one| one.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn an_append_hands_out_receipts_that_show_a_quorum() {
    let federation = Federation::found(3);
    federation.start_all();
    let (input, dir) = (
        federation.beside("in.ndjson"),
        federation.beside("receipts"),
    );
    fs::write(&input, lines(5)).unwrap();
    let first = append(&federation, &input, &dir).expect(0).json();
    assert_eq!(
        (&first["receipts"], &first["stage"]),
        (&5.into(), &"acked".into())
    );
    let policy = text(&federation.beside("quorum.policy"));
    let origin = &federation.nodes[FACTORY].name;
    let export = ["audit", "policy", origin, "--out", &policy];
    let dry = [&export[..], &["--dry-run"]].concat();
    let _ = federation.on(1, &dry).expect(0);
    assert!(!Path::new(&policy).exists());
    let _ = federation.on(1, &export).expect(0);
    let wanted: Vec<String> = (first["first"].as_u64().unwrap()..=first["last"].as_u64().unwrap())
        .map(|index| format!("entry-{index}.tlog-proof"))
        .collect();
    assert_eq!(names(&dir), wanted);
    for name in &wanted {
        let file = text(&dir.join(name));
        let _ = run(&["audit", "verify", &file, "--policy", &policy]).expect(0);
    }

    // Again, with one line more in front: the receipts of old and new, each of the right entry.
    let mut more = b"{\"msg\":\"one more\"}\n".to_vec();
    more.extend(lines(5));
    fs::write(&input, more).unwrap();
    let again = federation.beside("again");
    let second = append(&federation, &input, &again).expect(0).json();
    assert_eq!(
        (&second["appended"], &second["known"], &second["receipts"]),
        (&1.into(), &5.into(), &6.into())
    );
    let new = format!("entry-{}.tlog-proof", second["last"]);
    let mut all = [wanted, vec![new.clone()]].concat();
    all.sort();
    assert_eq!(names(&again), all);
    let file = text(&again.join(new));
    let shown = run(&["audit", "verify", &file, "--policy", &policy, "--json"]).expect(0);
    assert!(shown.stdout.contains("one more"), "{}", shown.stdout);

    // What is refused changes nothing.
    let size = federation.status(FACTORY)["size"].clone();
    let durable = ["append", &text(&input), "--receipts", &text(&dir)];
    let refused = federation.on(FACTORY, &durable).expect(2);
    assert!(
        refused.stderr.contains("--wait acked"),
        "{}",
        refused.stderr
    );
    assert_eq!(federation.status(FACTORY)["size"], size);
}

#[test]
fn a_node_of_its_own_hands_out_receipts_under_its_key() {
    let node = Node::new();
    let (input, dir) = (node.write("a.ndjson", lines(3)), node.beside("receipts"));
    let dir_text = text(&dir);
    let args = [
        "append",
        &input,
        "--wait",
        "signed",
        "--receipts",
        &dir_text,
    ];
    let appended = node.json(&args);
    assert_eq!(appended["receipts"], 3);
    let key = node.run(&["key", "export"]).expect(0).stdout;
    for name in names(&dir) {
        let _ = run(&[
            "audit",
            "verify",
            &text(&dir.join(name)),
            "--key",
            key.trim(),
        ])
        .expect(0);
    }
    // Of a private entry it shows a commitment, and says so.
    let private = node.beside("private");
    let private_text = text(&private);
    let args = [
        "append",
        &input,
        "--private",
        "--wait",
        "signed",
        "--receipts",
        &private_text,
    ];
    let _ = node.run(&args).expect(0);
    let one = text(&private.join(&names(&private)[0]));
    let shown = run(&["audit", "verify", &one, "--key", key.trim()]).expect(0);
    assert!(shown.stdout.contains("a private entry"), "{}", shown.stdout);
    let acked = ["append", &input, "--wait", "acked", "--receipts", &dir_text];
    let size = node.json(&["status"])["size"].clone();
    let _ = node.run(&acked).expect(21);
    assert_eq!(names(&dir).len(), 3);
    assert_eq!(node.json(&["status"])["size"], size);
}

#[test]
fn http_answers_when_a_quorum_acknowledged_and_never_before() {
    let federation = Federation::found(3);
    federation.start_all();
    let token = federation
        .on(FACTORY, &["token", "create", "--scope", "append", "--json"])
        .expect(0)
        .json();
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    let address = federation.http(FACTORY);
    let post = |wait: &str, key: &str| -> Answer {
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", key),
        ];
        let body = format!("{{\"body\":{{\"door\":\"{key}\"}}}}");
        let path = format!("/api/v1/entries?wait={wait}");
        request(&address, "POST", &path, &headers, body.as_bytes())
    };
    let open = post("acked", "open");
    assert_eq!(
        (open.status, &open.json()["stage"]),
        (201, &"acked".into()),
        "{open:?}"
    );
    let signed = post("signed", "shut");
    assert_eq!(signed.status, 201, "{signed:?}");
    assert_ne!(signed.json()["stage"], "durable");

    federation.stop(2);
    federation.stop(3);
    let late = post("acked", "late");
    assert_eq!(late.status, 504, "{late:?}");
    assert!(late.text().contains("durable"), "{late:?}");
    federation.start(2);
    federation.start(3);
    federation.ready(FACTORY);
    // Towers that were away have to be connected and asked first, which may take longer than a request waits.
    federation.settled(federation.towers());
    let again = post("acked", "late");
    assert_eq!(
        (again.status, &again.json()["stage"]),
        (200, &"acked".into()),
        "{again:?}"
    );
    assert_eq!(again.json()["known"], 1);
}

#[test]
fn a_node_of_its_own_says_that_nobody_acknowledges() {
    let node = Node::new();
    let token = node.json(&["token", "create", "--scope", "append"]);
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    let served = node.serve();
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let post = |wait: &str| {
        let path = format!("/api/v1/entries?wait={wait}");
        served.request("POST", &path, &headers, b"{\"body\":1}")
    };
    let size = || served.get("/checkpoint").text();
    let before = size();
    let refused = post("acked");
    assert_eq!((refused.status, &refused.json()["code"]), (409, &21.into()));
    assert_eq!(post("never").status, 400);
    let (input, dir) = (node.write("a.ndjson", lines(1)), node.beside("receipts"));
    let acked = ["append", &input, "--wait", "acked"];
    let _ = node.run(&acked).expect(21);
    let _ = node
        .run(&[&acked[..], &["--receipts", &text(&dir)]].concat())
        .expect(21);
    assert_eq!(size(), before);
    assert!(!dir.exists());
    assert_eq!(post("signed").status, 201);
}

#[test]
fn a_quorum_is_there_only_while_enough_towers_are() {
    let federation = Federation::found(3);
    federation.start_all();
    let _ = federation.append(1);
    let _ = federation
        .on(FACTORY, &["wait", "--for", "quorum"])
        .expect(0);
    // Two of three make a quorum; all that was signed before stays acknowledged.
    federation.stop(1);
    federation.stop(2);
    let _ = federation.wait(FACTORY, "sees them leave", |status| {
        status["quorum"]["connected"] == 1
    });
    let now = ["wait", "--for", "quorum", "--timeout", "1"];
    let refused = federation.on(FACTORY, &now).expect(31);
    let why = "1 towers connected of 2 needed";
    assert!(refused.stderr.contains(why), "{}", refused.stderr);
    federation.start(1);
    let _ = federation
        .on(FACTORY, &["wait", "--for", "quorum"])
        .expect(0);
    // A mere tower has no quorum to wait for.
    let refused = federation.on(3, &now).expect(31);
    let why = "no quorum of its own";
    assert!(refused.stderr.contains(why), "{}", refused.stderr);
}

#[test]
fn a_mere_tower_refuses_to_wait_for_what_never_comes() {
    let federation = Federation::found(3);
    federation.start_all();
    let tower = 1;
    let token = federation
        .on(tower, &["token", "create", "--scope", "append", "--json"])
        .expect(0)
        .json();
    let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let input = federation.beside("in.ndjson");
    fs::write(&input, lines(2)).unwrap();
    // Its own entries come by themselves after the start.
    let size = federation.wait(tower, "has its own entries", |status| {
        status["size"].as_u64() >= Some(2)
    })["size"]
        .clone();
    for stage in ["signed", "acked"] {
        let path = format!("/api/v1/entries?wait={stage}");
        let address = federation.http(tower);
        let refused = request(&address, "POST", &path, &headers, b"{\"body\":1}");
        assert_eq!(refused.status, 409, "{refused:?}");
        assert_eq!(refused.json()["code"], 21, "{refused:?}");
        let append = ["append", &text(&input), "--wait", stage];
        let refused = federation.on(tower, &append).expect(21);
        assert!(refused.stderr.contains("no factory"), "{refused:?}");
    }
    assert_eq!(federation.status(tower)["size"], size);
}

#[test]
fn an_unfounded_node_refuses_to_wait_for_a_digest() {
    let node = Node::empty();
    let _ = node
        .run(&["init", "--name", Node::NAME, "--plain-keys", "--federated"])
        .expect(0);
    let input = node.write("a.ndjson", lines(2));
    let size = node.json(&["status"])["size"].clone();
    for stage in ["signed", "acked"] {
        let _ = node.run(&["append", &input, "--wait", stage]).expect(21);
    }
    assert_eq!(node.json(&["status"])["size"], size);
    let _ = node.run(&["append", &input]).expect(0);
}

#[test]
fn a_member_that_does_not_run_says_how_to_start_it() {
    let federation = Federation::found(3);
    let input = federation.beside("in.ndjson");
    fs::write(&input, lines(2)).unwrap();
    for stage in ["durable", "signed", "acked"] {
        let append = ["append", &text(&input), "--wait", stage];
        let refused = federation.on(FACTORY, &append).expect(23);
        let why = "this member is not running";
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
        assert!(refused.stderr.contains("`belfry run"), "{}", refused.stderr);
    }
    // Its own ledger is never signed.
    federation.start_all();
    let _ = federation.wait(1, "has entries of its own", |status| status["size"] != 0);
    let refused = federation.on(1, &["ledger", "prove", "0"]).expect(21);
    assert!(refused.stderr.contains("quorum"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("allow_solo"), "{}", refused.stderr);
}
