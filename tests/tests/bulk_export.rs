//! Bulk export between real processes: who may read, what is proved, how a transfer goes on, and what readers cannot do to
//! the node.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_node::export::client::{self, Server};
use belfry_tests::federation::{FACTORY, Federation, PATIENCE};
use belfry_tests::process::{control, copy, status_of};
use belfry_tests::{Ended, Node, Served, command, lines, run};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Lets a data directory serve exports on any port.
fn listen(dir: &Path) {
    let file = dir.join("config.toml");
    let config = fs::read_to_string(&file).unwrap();
    fs::write(file, config + "\n[export]\nlisten = \"127.0.0.1:0\"\n").unwrap();
}

/// A node that signs on its own and exports, with so many entries of about so many bytes.
struct Exporting {
    node: Node,
    served: Served,
    /// `quic://127.0.0.1:PORT`
    from: String,
    peer: String,
    vkey: String,
}

impl Exporting {
    fn start(node: Node) -> Self {
        let served = node.serve();
        let status = status_of(&node.dir()).unwrap();
        let text = |name: &str| status["export"][name].as_str().unwrap().to_owned();
        Self {
            vkey: node
                .run(&["key", "export"])
                .expect(0)
                .stdout
                .trim()
                .to_owned(),
            from: text("listening"),
            peer: text("peer"),
            served,
            node,
        }
    }

    fn new(entries: u64) -> Self {
        let node = Node::new();
        listen(&node.dir());
        append(&node, &lines(entries));
        Self::start(node)
    }

    fn token(&self, scope: &str) -> String {
        let made = self.node.json(&["token", "create", "--scope", scope]);
        self.node.write("token", made["token"].as_str().unwrap())
    }

    /// Arguments of a reader that is nobody to the node.
    fn args<'a>(&'a self, to: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let mut args = vec![
            "ledger", "export", "--from", &self.from, "--key", &self.vkey, to,
        ];
        args.extend(["--json", "--data-dir", "/nonexistent"]);
        args.extend(more);
        args
    }

    fn fetch(&self, to: &str, more: &[&str]) -> Ended {
        run(&self.args(to, more))
    }

    /// As an auditor with a token.
    fn audit(&self, to: &str) -> Ended {
        let token = self.token("read-all");
        self.fetch(to, &["--token-file", &token, "--peer", &self.peer])
    }

    fn to(&self, name: &str) -> String {
        self.node.beside(name).to_string_lossy().into_owned()
    }
}

fn append(node: &Node, lines: &[u8]) {
    let args = ["append", "-", "--kind", "log.line", "--wait", "signed"];
    let _ = node.run_with_input(&args, lines).expect(0);
}

fn verifies(to: &str) -> u64 {
    let key = format!("{to}/log.vkey");
    let verified = run(&["audit", "verify", to, "--key", &key, "--strict", "--json"]).expect(0);
    verified.json()["size"].as_u64().unwrap()
}

/// Partial tiles and bundles, and temporary files.
fn unfinished(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.to_string_lossy().into_owned();
        if path.is_dir() {
            unfinished(&path, found);
        } else if name.contains(".p/") || name.contains("tmp-") {
            found.push(path);
        }
    }
}

#[test]
fn nobody_is_served_unless_the_configuration_says_so() {
    let node = Node::new();
    let _served = node.serve();
    let status = status_of(&node.dir()).unwrap();
    assert!(status.get("export").is_none(), "{status}");
    let shown = node.json(&["config", "show"]);
    assert!(shown.to_string().contains("export.listen"), "{shown}");
}

#[test]
fn an_auditor_fetches_with_a_token_and_nobody_without() {
    let server = Exporting::new(1_500);
    let to = server.to("export");
    let fetched = server.audit(&to).expect(0).json();
    let size = fetched["size"].as_u64().unwrap();
    assert!(size >= 1_500 && fetched["resumed_from"] == 0, "{fetched}");
    assert_eq!(verifies(&to), size);

    let fresh = server.to("fresh");
    let refused = |more: &[&str], code: i32, text: &str| {
        let ended = server.fetch(&fresh, more).expect(code);
        assert!(
            ended.error()["message"].to_string().contains(text),
            "{ended:?}"
        );
        assert!(ended.error()["hint"].is_string(), "{ended:?}");
        assert!(!Path::new(&fresh).exists(), "{text}");
    };
    refused(&[], 12, "only members and tokens");
    let wrong = server.node.write("wrong", "belfry_00");
    refused(
        &["--token-file", &wrong, "--peer", &server.peer],
        12,
        "unknown, expired or revoked",
    );
    let append = server.token("append");
    refused(
        &["--token-file", &append, "--peer", &server.peer],
        12,
        "scope append",
    );
    let token = server.token("read-all");
    refused(&["--token-file", &token], 2, "known server");
    let other = "12D3KooWLPPHzdKtcYNFkx4R9iEWmFPFLFVnFfMq3jr7PgVnE1fB";
    refused(
        &["--token-file", &token, "--peer", other],
        20,
        "not the server that was named",
    );
    refused(
        &[
            "--token-file",
            &token,
            "--peer",
            &server.peer,
            "--origin",
            "other.example",
        ],
        1,
        "no ledger of this origin",
    );
    let counts = &status_of(&server.node.dir()).unwrap()["export"];
    assert_eq!(
        (&counts["done"], &counts["running"]),
        (&1.into(), &0.into()),
        "{counts}"
    );
    assert_eq!(counts["refused"], 4, "{counts}");
    assert_eq!(server.served.stop(), 0);
    let gone = run(&[
        "ledger",
        "export",
        "--from",
        &server.from,
        "--key",
        &server.vkey,
        &fresh,
    ]);
    let _ = gone.expect(30);
}

#[test]
fn the_reader_believes_the_log_and_not_the_server() {
    let server = Exporting::new(300);
    let stranger = Node::new();
    let key = stranger.run(&["key", "export"]).expect(0).stdout;
    let token = server.token("read-all");
    let to = server.to("export");
    let args = [
        "ledger",
        "export",
        "--from",
        &server.from,
        "--key",
        key.trim(),
        "--origin",
        Node::NAME,
        &to,
        "--token-file",
        &token,
        "--peer",
        &server.peer,
        "--json",
        "--data-dir",
        "/nonexistent",
    ];
    let ended = run(&args).expect(20);
    assert!(
        ended.error()["message"]
            .to_string()
            .contains("does not verify"),
        "{ended:?}"
    );
    assert!(!Path::new(&to).exists());
}

#[test]
fn a_public_ledger_is_everybodys() {
    let node = Node::new();
    listen(&node.dir());
    let file = node.dir().join("config.toml");
    let config = fs::read_to_string(&file).unwrap();
    fs::write(&file, config.replace("public = false", "public = true")).unwrap();
    append(&node, &lines(10));
    let server = Exporting::start(node);
    let to = server.to("export");
    let fetched = server.fetch(&to, &[]).expect(0).json();
    assert_eq!(verifies(&to), fetched["size"].as_u64().unwrap());
}

#[test]
fn a_grown_ledger_and_a_damaged_copy_are_fetched_from_where_they_differ() {
    let server = Exporting::new(700);
    let to = server.to("export");
    let first = server.audit(&to).expect(0).json()["size"].as_u64().unwrap();
    append(&server.node, &lines(600));
    let grown = server.audit(&to).expect(0).json();
    assert_eq!(grown["resumed_from"], first - first % 256, "{grown}");
    let size = grown["size"].as_u64().unwrap();
    assert!(size >= first + 600, "{grown}");
    assert_eq!(verifies(&to), size);
    let mut found = Vec::new();
    unfinished(Path::new(&to), &mut found);
    let right = format!(".p/{}", size % 256);
    let stale = found.iter().filter(|path| {
        let name = path.to_string_lossy();
        !name.ends_with(&right) && !name.contains("tile/1/")
    });
    assert_eq!(stale.count(), 0, "{found:?}");
    // A byte of the second bundle rots.
    let rotten = Path::new(&to).join("tile/entries/001");
    let mut bytes = fs::read(&rotten).unwrap();
    bytes[50] ^= 1;
    fs::write(&rotten, &bytes).unwrap();
    let mended = server.audit(&to).expect(0).json();
    assert_eq!(mended["resumed_from"], 256, "{mended}");
    assert_eq!(verifies(&to), size);
}

#[test]
fn a_killed_transfer_goes_on_where_it_was() {
    let server = Exporting::new(100);
    let pad = "x".repeat(8_000);
    let long: String = (0..6_000)
        .map(|n| format!("{{\"n\":{n},\"pad\":\"{pad}\"}}\n"))
        .collect();
    append(&server.node, long.as_bytes());
    let token = server.token("read-all");
    // A machine may be so fast that a transfer ends before it is killed.
    let cut = (0..20).find_map(|attempt| {
        let to = server.to(&format!("export-{attempt}"));
        let args = server.args(&to, &["--token-file", &token, "--peer", &server.peer]);
        let mut child = command(&args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + PATIENCE;
        while !Path::new(&to).join("tile/0/000").exists() {
            assert!(Instant::now() < until && child.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        (!Path::new(&to).join("checkpoint").exists()).then_some(to)
    });
    let to = cut.unwrap();
    let fetched = server.fetch(&to, &["--token-file", &token, "--peer", &server.peer]);
    let fetched = fetched.expect(0).json();
    let from = fetched["resumed_from"].as_u64().unwrap();
    assert!((256..6_000).contains(&from), "{fetched}");
    assert_eq!(verifies(&to), fetched["size"].as_u64().unwrap());
}

#[test]
fn a_server_that_changes_a_byte_is_caught_at_that_byte() {
    let server = Exporting::new(2_000);
    let bundle = server.node.dir().join("tiles/tile/entries/003");
    let until = Instant::now() + PATIENCE;
    while !bundle.exists() {
        assert!(Instant::now() < until, "the flusher wrote nothing");
        std::thread::sleep(Duration::from_millis(20));
    }
    let whole = fs::read(&bundle).unwrap();
    let mut lie = whole.clone();
    let last = lie.len() - 10;
    lie[last] ^= 1;
    fs::write(&bundle, &lie).unwrap();
    let to = server.to("export");
    let ended = server.audit(&to).expect(20);
    let message = ended.error()["message"].to_string();
    assert!(
        message.contains("lied or is damaged") && message.contains("tile/entries/003"),
        "{ended:?}"
    );
    assert!(!Path::new(&to).join("checkpoint").exists());
    assert!(Path::new(&to).join("tile/entries/002").exists());
    assert!(!Path::new(&to).join("tile/entries/003").exists());
    fs::write(&bundle, &whole).unwrap();
    let fetched = server.audit(&to).expect(0).json();
    assert_eq!(fetched["resumed_from"], 768, "{fetched}");
    let _ = verifies(&to);
}

#[test]
fn a_log_that_signed_two_trees_is_shown_with_both_digests() {
    let node = Node::new();
    listen(&node.dir());
    append(&node, &lines(400));
    // The same keys on two disks, which then go different ways, in a full bundle and in the last one.
    let twins = [Node::empty(), Node::empty()];
    for twin in &twins {
        copy(&node.dir(), &twin.dir());
    }
    append(&node, b"{\"here\":1}\n");
    let to = node.beside("export").to_string_lossy().into_owned();
    let first = Exporting::start(node);
    let size = first.audit(&to).expect(0).json()["size"].as_u64().unwrap();
    for (twin, count) in twins.into_iter().zip([60, 300]) {
        append(&twin, &lines(count));
        let other = Exporting::start(twin);
        let ended = other.audit(&to).expect(22);
        assert!(
            ended.error()["message"]
                .to_string()
                .contains("signed two trees"),
            "{ended:?}"
        );
        assert_eq!(verifies(&to), size);
        let kept = fs::read_to_string(Path::new(&to).join("checkpoint.contradiction")).unwrap();
        assert!(kept.starts_with(Node::NAME), "{kept}");
    }
}

#[test]
fn readers_that_do_not_read_hold_up_nobody_else() {
    let node = Node::new();
    listen(&node.dir());
    let file = node.dir().join("config.toml");
    let config = fs::read_to_string(&file).unwrap();
    fs::write(&file, config.replace("public = false", "public = true")).unwrap();
    // More than a connection holds: 4 MiB on their way and 2 MiB read ahead at the server, 8 MiB at the reader.
    let pad = "x".repeat(16_000);
    let long: String = (0..2_000)
        .map(|n| format!("{{\"n\":{n},\"pad\":\"{pad}\"}}\n"))
        .collect();
    append(&node, long.as_bytes());
    let server = Exporting::start(node);
    let place = server.from.trim_start_matches("quic://").to_owned();
    let reader = |token| Server {
        place: place.clone(),
        key: None,
        peers: vec![server.peer.parse().unwrap()],
        token,
    };
    let strangers: Vec<_> = (0..4)
        .map(|_| client::open(&reader(None), Node::NAME, 0).unwrap())
        .collect();
    let running = || status_of(&server.node.dir()).unwrap()["export"]["running"].clone();
    assert_eq!(running(), 4);
    // As many strangers as may; who has a token is served, and the node takes entries.
    let busy = server.fetch(&server.to("busy"), &[]).expect(31);
    assert!(
        busy.error()["message"]
            .to_string()
            .contains("as many exports"),
        "{busy:?}"
    );
    append(&server.node, &lines(10));
    let to = server.to("export");
    let _ = server.audit(&to).expect(0);
    assert!(verifies(&to) > 2_000);
    let resident = fs::read_to_string(format!("/proc/{}/status", server.served.id()));
    if let Some(kib) = resident.ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("VmRSS"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    }) {
        assert!(kib < 400_000, "{kib} KiB");
    }
    drop(strangers);
    let until = Instant::now() + PATIENCE;
    while running() != 0 {
        assert!(Instant::now() < until, "places were not given back");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn members_read_each_others_ledgers_and_mirrors() {
    let federation = Federation::found(3);
    for node in &federation.nodes {
        listen(&node.dir);
    }
    federation.start_all();
    let last = federation.append(700);
    let shop = federation.nodes[FACTORY].name.clone();
    let held = federation.wait(1, "holds the ledger", |status| {
        status["mirrors"][0]["acked"].as_u64() > Some(last)
    });
    let address = |status: &Value| status["export"]["listening"].as_str().unwrap().to_owned();
    let (tower, factory) = (address(&held), address(&federation.status(FACTORY)));
    // A tower, from another tower's mirror and from the factory itself, by the manifest that it has anyway.
    for (number, from) in [(2, &tower), (3, &factory)] {
        let to = federation
            .beside(&format!("export-{number}"))
            .to_string_lossy()
            .into_owned();
        let args = [
            "ledger", "export", "--from", from, "--origin", &shop, &to, "--json",
        ];
        let fetched = federation.on(number, &args).expect(0).json();
        assert!(fetched["size"].as_u64() > Some(last), "{fetched}");
        assert!(verifies(&to) > last);
    }
    // An auditor: the same manifest, and a token of the tower.
    let made = federation
        .on(1, &["token", "create", "--scope", "read-all", "--json"])
        .expect(0);
    let secret = made.json()["token"].as_str().unwrap().to_owned();
    let token = federation.beside("token");
    fs::write(&token, &secret).unwrap();
    let manifest = federation.nodes[1].dir.join("genesis.json");
    let to = federation.beside("audited").to_string_lossy().into_owned();
    let base = [
        "ledger",
        "export",
        "--from",
        &tower,
        "--origin",
        &shop,
        &to,
        "--manifest",
        manifest.to_str().unwrap(),
        "--data-dir",
        "/nonexistent",
        "--json",
    ];
    let stranger = run(&base).expect(12);
    assert!(
        stranger.error()["message"]
            .to_string()
            .contains("only members"),
        "{stranger:?}"
    );
    let args: Vec<&str> = base
        .into_iter()
        .chain(["--token-file", token.to_str().unwrap()])
        .collect();
    let _ = run(&args).expect(0);
    assert!(verifies(&to) > last);
    assert!(!federation.log(1).contains(&secret));
    // A banned member is a stranger.
    let t2 = federation.nodes[2].name.clone();
    let ban = federation.on(1, &["peers", "ban", &t2, "--reason", "test"]);
    let _ = ban.expect(0);
    let to = federation.beside("banned").to_string_lossy().into_owned();
    let args = [
        "ledger", "export", "--from", &tower, "--origin", &shop, &to, "--json",
    ];
    let _ = federation.on(2, &args).expect(12);
    assert!(control(&federation.nodes[1].dir, "GET", "/control/status", &[]).is_some());
}
