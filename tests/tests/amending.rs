//! Amending by vote (R14): real nodes that founded a federation let somebody in, one of them misses two epochs, and tickets that are
//! no good are refused with a reason.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_keys::KeyDir;
use belfry_protocol::genesis::{Election, Evidence, Saying, Statement, Vote};
use belfry_protocol::manifest::Manifest;
use belfry_protocol::note::SignedNote;
use belfry_tests::founders::{Founders, vote};
use belfry_tests::run;
use serde_json::Value;
use std::fs;

const FIVE: [(&str, &str); 5] = [
    ("t1.example", "tower"),
    ("t2.example", "tower"),
    ("t3.example", "tower"),
    ("shop.example/line", "factory"),
    ("t4.example", "tower"),
];

/// Five directories, of which the first four found a federation and run.
fn founded() -> (Founders, String) {
    let founders = Founders::gather_first(&FIVE, 4);
    let hash = founders.propose(&["--title", "the first four"]);
    for number in 0..4 {
        let _ = founders.sign(number, &hash).expect(0);
    }
    for number in 0..4 {
        assert_eq!(founders.founded(number), hash);
    }
    (founders, hash)
}

/// A member drafts an amendment; returns its hash once those who are to sign know it.
fn amend(founders: &Founders, at: usize, options: &[&str], signers: &[usize]) -> String {
    let args = [&["genesis", "amend", "--json"], options].concat();
    let made = founders.until(at, &args);
    let hash = made["drafted"].as_str().unwrap().to_owned();
    for number in signers {
        let _ = founders.wait(*number, "knows the amendment", |status| {
            vote(status, &hash).is_some()
        });
    }
    hash
}

fn sign(founders: &Founders, epoch: u64, hash: &str, signers: &[usize]) {
    for number in signers {
        let confirm = format!("{epoch}:{}", &hash[..8]);
        let args = ["genesis", "sign", &hash[..12], "--confirm", &confirm];
        let _ = founders.on(*number, &args).expect(0);
    }
}

fn in_force(founders: &Founders, number: usize, epoch: u64) -> Value {
    founders.wait(number, "is in the epoch", |status| {
        status["epoch_in_force"] == epoch
    })
}

fn file(founders: &Founders, number: usize) -> String {
    fs::read_to_string(founders.nodes[number].dir.join("genesis.json")).unwrap()
}

/// Two approvals of one round by one key: a file that anybody verifies with the chain.
fn proven(founders: &Founders) {
    let none = founders.on(1, &["genesis", "evidence"]).expect(0);
    assert!(none.stdout.contains("no member was seen"), "{none:?}");
    let keys = KeyDir::open(&founders.nodes[2].dir, || Ok(None)).unwrap();
    let chain = file(founders, 1);
    let base = belfry_protocol::genesis::chain::founded(chain.trim_end().as_bytes()).unwrap();
    let election = Election::amending(base.id(), base.manifest());
    let approve = |variant: u64| {
        let next = Manifest {
            epoch: 1,
            previous: Some(base.hash()),
            expires_seconds: base.manifest().expires_seconds + variant,
            ..base.manifest().clone()
        };
        let subject = election.subject(next.hash(), 1);
        let saying = Saying::Approve;
        let text = Statement { subject, saying }.to_string();
        let line = keys.identity_key().unwrap().sign_note(&text).unwrap();
        Vote::new(SignedNote::new(&text, vec![line]).unwrap(), None).unwrap()
    };
    let evidence = Evidence::of(&approve(1), &approve(2)).unwrap().to_json();
    let (path, chain) = (
        founders.beside("twice.json"),
        founders.nodes[1].dir.join("genesis.json"),
    );
    let (shown, chain) = (path.to_string_lossy(), chain.to_string_lossy());
    let verify = || run(&["genesis", "evidence", "--verify", &shown, "--chain", &chain]);
    fs::write(&path, &evidence).unwrap();
    let holds = verify().expect(0);
    assert!(
        holds.stdout.contains("proven: t3.example approved"),
        "{holds:?}"
    );
    fs::write(&path, evidence.replace("t3.example", "t2.example")).unwrap();
    let _ = verify().expect(20);
}

#[test]
fn a_fifth_joins_by_ticket_and_who_was_away_walks_every_epoch() {
    let (founders, id) = founded();
    let unsafe_threshold = founders
        .on(1, &["genesis", "amend", "--threshold", "2"])
        .expect(2);
    assert!(
        unsafe_threshold.stderr.contains("2t - n"),
        "{unsafe_threshold:?}"
    );
    let newer = founders
        .on(1, &["genesis", "amend", "--protocol", "1.1-1.2"])
        .expect(2);
    assert!(
        newer.stderr.contains("this release speaks 1.0"),
        "{newer:?}"
    );
    let wider = ["genesis", "amend", "--protocol", "1.0-1.2", "--dry-run"];
    let wider = founders.on(1, &wider).expect(0);
    assert!(
        wider.stdout.contains("protocol 1.0 to 1.0 → 1.0 to 1.2"),
        "{wider:?}"
    );
    proven(&founders);
    // t2 invites; what the ticket pins is checked before anything is believed.
    let ticket = founders.ticket_of(1, &["--role", "tower"]);
    let joined = founders
        .on(4, &["join", &ticket, "--json"])
        .expect(0)
        .json();
    assert_eq!(joined["federation_id"], id.as_str(), "{joined}");
    founders.launch(4);
    let waits = founders.wait(4, "is let in", |status| status["welcome"].is_string());
    assert_eq!(waits["state"], "joining", "{waits}");
    let dry = founders
        .on(1, &["genesis", "amend", "--add", "--dry-run"])
        .expect(0);
    assert!(
        dry.stdout.contains("+ member t4.example (tower)"),
        "{dry:?}"
    );
    let first = amend(
        &founders,
        1,
        &["--add", "--title", "t4 joins"],
        &[0, 1, 2, 3, 4],
    );
    let shown = founders
        .on(4, &["genesis", "show", &first[..12]])
        .expect(0)
        .stdout;
    assert!(shown.contains("+ member t4.example (tower)"), "{shown}");
    assert!(shown.contains("amendment threshold 3 → 4"), "{shown}");
    sign(&founders, 1, &first, &[0, 1, 2, 3, 4]);
    for number in 0..5 {
        let status = in_force(&founders, number, 1);
        assert_eq!(status["federation_id"], id.as_str(), "{status}");
    }
    let chain = file(&founders, 0);
    assert_eq!(chain.lines().count(), 2);
    for number in 1..5 {
        let other = file(&founders, number);
        let epochs = |text: &str| -> Vec<String> {
            let links = text.lines();
            let links = links.map(|line| serde_json::from_str::<Value>(line).unwrap());
            links.map(|link| manifest_of(&link)).collect()
        };
        assert_eq!(epochs(&other), epochs(&chain), "{number}");
    }
    let verified = founders
        .on(0, &["genesis", "verify", "--json", &path(&founders, 4)])
        .expect(0)
        .json();
    assert_eq!(verified["epoch"], 1, "{verified}");
    assert_eq!(verified["members"].as_array().unwrap().len(), 5);
    founders.takes_entries(3);

    // Two epochs pass while t3 is away; the second takes effect later than it is active.
    founders.nodes[2].kill();
    let http = ["--http", "t1.example=https://t1.example"];
    let second = amend(&founders, 0, &http, &[0, 1, 3, 4]);
    sign(&founders, 2, &second, &[0, 1, 3, 4]);
    for number in [0, 1, 3, 4] {
        let _ = in_force(&founders, number, 2);
    }
    let later = ["--http", "t1.example=", "--effective-in", "3s"];
    let third = amend(&founders, 4, &later, &[0, 1, 3, 4]);
    sign(&founders, 3, &third, &[0, 1, 3, 4]);
    let active = founders.wait(0, "has a third epoch", |status| {
        status["epochs"].as_array().map_or(0, Vec::len) == 4
    });
    let last = &active["epochs"][3];
    assert!(last["effective"].is_string(), "{last}");
    founders.launch(2);
    for number in 0..5 {
        let _ = in_force(&founders, number, 3);
    }
    assert_eq!(file(&founders, 2).lines().count(), 4);
    let list = founders.on(2, &["genesis", "list"]).expect(0).stdout;
    assert_eq!(list.matches(": in force").count(), 1, "{list}");
    assert_eq!(list.matches(": superseded").count(), 3, "{list}");
    founders.takes_entries(3);

    // As if the power had failed before the file was written: what is active and due is made good.
    founders.nodes[4].kill();
    let whole = file(&founders, 4);
    let part: Vec<&str> = whole.lines().take(2).collect();
    let target = founders.nodes[4].dir.join("genesis.json");
    fs::write(target, part.join("\n") + "\n").unwrap();
    founders.launch(4);
    let _ = in_force(&founders, 4, 3);
    assert_eq!(file(&founders, 4), whole);

    // One leaves; the others go on without it.
    let fourth = amend(&founders, 1, &["--remove", "t1.example"], &[0, 1, 2, 3, 4]);
    let diff = founders
        .on(3, &["genesis", "diff", &fourth[..12]])
        .expect(0);
    assert!(diff.stdout.contains("- member t1.example"), "{diff:?}");
    sign(&founders, 4, &fourth, &[1, 2, 3, 4]);
    for number in 0..5 {
        let status = in_force(&founders, number, 4);
        assert_eq!(status["listed"], number != 0, "{status}");
    }
    founders.takes_entries(3);
}

/// It recovers before it takes entries, and nobody talks with it in an epoch that is two behind: the epochs come first.
#[test]
fn a_factory_that_missed_two_epochs_recovers_and_takes_entries() {
    let (founders, _) = founded();
    founders.takes_entries(3);
    founders.nodes[3].kill();
    for epoch in [1, 2] {
        let url = format!("t1.example=https://{epoch}.example");
        let hash = amend(&founders, 0, &["--http", &url], &[0, 1, 2]);
        sign(&founders, epoch, &hash, &[0, 1, 2]);
        for number in 0..3 {
            let _ = in_force(&founders, number, epoch);
        }
    }
    founders.nodes[3].launch();
    let _ = in_force(&founders, 3, 2);
    founders.takes_entries(3);
    let tail = founders
        .on(3, &["ledger", "tail", "--json"])
        .expect(0)
        .stdout;
    assert!(tail.matches("genesis.active").count() >= 3, "{tail}");
}

#[test]
fn a_ticket_of_a_federation_works_once_in_time_and_there() {
    let (founders, _) = founded();
    let ticket = founders.ticket_of(0, &["--role", "tower"]);
    let _ = founders.on(4, &["join", &ticket]).expect(0);
    founders.launch(4);
    let _ = founders.wait(4, "is let in", |status| status["welcome"].is_string());
    // In other hands.
    let stranger = Founders::init(&[("t9.example", "tower")]);
    let _ = stranger.on(0, &["join", &ticket]).expect(0);
    stranger.launch(0);
    let refused = stranger.wait(0, "is refused", |status| status["refusal"].is_string());
    let why = refused["refusal"].as_str().unwrap();
    assert!(why.contains("used by somebody else"), "{why}");
    stranger.nodes[0].kill();
    fs::remove_file(stranger.nodes[0].dir.join("founding.json")).unwrap();
    // Taken back.
    let given = founders.on(0, &["invite", "--json"]).expect(0).json();
    let id = given["id"].as_str().unwrap();
    let _ = founders.on(0, &["invite", "--revoke", &id[..8]]).expect(0);
    let _ = stranger
        .on(0, &["join", given["ticket"].as_str().unwrap()])
        .expect(0);
    stranger.launch(0);
    let refused = stranger.wait(0, "is refused", |status| status["refusal"].is_string());
    let why = refused["refusal"].as_str().unwrap();
    assert!(why.contains("revoked"), "{why}");
    stranger.nodes[0].kill();
    fs::remove_file(stranger.nodes[0].dir.join("founding.json")).unwrap();
    // Too late.
    let short = founders.ticket_of(0, &["--expires", "1s"]);
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let late = stranger.on(0, &["join", &short]).expect(1);
    assert!(late.stderr.contains("expired"), "{late:?}");
    // A member takes no ticket, and a ticket that names another federation is for nobody here.
    let _ = founders.on(0, &["invite", "--list"]).expect(0);
    let member = founders.on(1, &["join", &ticket]);
    assert_ne!(member.code, 0, "{member:?}");
    let mut other = belfry_protocol::genesis::Ticket::parse(&founders.ticket_of(0, &[])).unwrap();
    if let Some(pinned) = &mut other.pinned {
        pinned.federation = belfry_protocol::tlog::hash::Hash([7; 32]);
    }
    // Whether it has seen the one before, or sees it now.
    let fresh = Founders::init(&[("t8.example", "tower")]);
    for one in [&stranger, &fresh] {
        let _ = one.on(0, &["join", &other.to_text()]).expect(0);
        one.launch(0);
        let refused = one.wait(0, "is warned", |status| status["refusal"].is_string());
        let why = refused["refusal"].as_str().unwrap();
        assert!(why.contains("another federation"), "{why}");
    }
}

fn path(founders: &Founders, number: usize) -> String {
    let path = founders.nodes[number].dir.join("genesis.json");
    path.to_string_lossy().into_owned()
}

/// The manifest in a link, of whichever sort.
fn manifest_of(link: &Value) -> String {
    let manifest = link.get("manifest").or_else(|| {
        let certificate = link.get("certificate")?;
        certificate.get("manifest")
    });
    manifest.unwrap_or(link).to_string()
}
