//! A log that signed two trees, caught by real processes: every node ends with the same proof, shows it, and keeps it over a
//! restart; an auditor verifies it with the manifest alone.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_node::net::Protocol;
use belfry_node::store::Layout;
use belfry_protocol::checkpoint::{Checkpoint, ForeignCheckpoint};
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::wire::v1::Kind;
use belfry_protocol::wire::{Frame, Version};
use belfry_tests::federation::{FACTORY, Federation};
use belfry_tests::peer::Peer;
use belfry_tests::{Ended, request, run};
use serde_json::Value;

/// The tower that the test is.
const SELF: usize = 3;
/// The tower that is lied to.
const VICTIM: usize = 1;
const ENTRIES: u64 = 9;

/// A command that ended as it should.
fn ends(ended: Ended, code: i32) {
    drop(ended.expect(code));
}

fn forks_of(status: &Value) -> Vec<Value> {
    status["forks"].as_array().cloned().unwrap_or_default()
}

/// A digest of the factory's ledger that its log key signed and its ledger never had.
fn forged(federation: &Federation, size: u64) -> Vec<u8> {
    let keys = federation.keys(FACTORY);
    let checkpoint = Checkpoint {
        origin: federation.nodes[FACTORY].name.clone(),
        size,
        root: Hash([7; 32]),
    };
    let key = keys.log_key_for_size(size).unwrap();
    let note = checkpoint.sign(key).unwrap().to_string();
    Frame::encode(Version::V1_0, Kind::Digest.number(), note.as_bytes())
}

/// Of equal size, and smaller, where the size is a power of two and where it is not.
#[test]
fn a_log_that_signs_two_trees_is_caught_by_everybody() {
    for size in [ENTRIES, 8, 5] {
        caught(size);
    }
}

fn caught(size: u64) {
    let federation = Federation::found(3);
    let honest = [FACTORY, VICTIM, 2];
    federation.start_all();
    federation.ready(FACTORY);
    federation.append(ENTRIES);
    let signed = federation.wait(VICTIM, "holds everything", |status| {
        status["mirrors"][0]["acked"].as_u64() >= Some(ENTRIES)
    });
    let held = signed["mirrors"][0]["held"].as_u64().unwrap();
    // Its certificates are entries, too: the newest digest is larger than what was appended.
    let size = if size == ENTRIES { held } else { size };

    federation.kill(SELF);
    let victim = Peer::id_of(&federation, VICTIM);
    let mut liar = Peer::start(&federation, federation.keys(SELF), None);
    liar.dial(&federation, &[VICTIM]);
    liar.connected(victim);
    liar.greet(victim, |_| {}).unwrap();
    let _refused = liar.ask(victim, Protocol::Sync, forged(&federation, size));

    let mut ids = Vec::new();
    for number in honest {
        let status = federation.wait(number, "knows of the fork", |status| {
            !forks_of(status).is_empty()
        });
        let fork = forks_of(&status)[0].clone();
        assert_eq!(fork["type"], "origin", "{fork}");
        assert_eq!(fork["accused"], federation.nodes[FACTORY].name.as_str());
        assert_eq!(fork["smaller_size"], size, "{fork}");
        assert_eq!(fork["larger_size"], held, "{fork}");
        ids.push(fork["id"].as_str().unwrap().to_owned());
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "one proof: {ids:?}");
    let stopped = federation.status(FACTORY);
    assert!(
        stopped["phase"].as_str().unwrap().contains("fork proof"),
        "{stopped}"
    );
    assert_eq!(
        federation.try_append(b"{}\n"),
        None,
        "it takes nothing more"
    );

    // Whoever was killed knows it still, and acks nothing.
    federation.kill(2);
    federation.start(2);
    let again = federation.wait(2, "is up again", |status| !forks_of(status).is_empty());
    assert_eq!(again["mirrors"][0]["state"], "forked", "{again}");
    assert_eq!(
        again["mirrors"][0]["acked"].as_u64().unwrap(),
        held,
        "{again}"
    );
    shown(&federation, &ids[0]);
}

/// What commands, HTTP, the ledger and an auditor say of it.
fn shown(federation: &Federation, id: &str) {
    let listed = federation.on(2, &["forks", "list", "--json"]).expect(22);
    assert_eq!(listed.json()["forks"][0]["id"], id);
    let text = federation.on(2, &["forks", "list"]).expect(22);
    assert!(text.stdout.contains("shop.example/line signed"), "{text:?}");
    let status = federation.on(2, &["status"]).expect(0);
    assert!(
        status.stdout.contains("FORK      shop.example/line"),
        "{status:?}"
    );
    assert!(
        status.stdout.contains("FORKED, nothing of it"),
        "{status:?}"
    );
    let one = federation.on(2, &["forks", "show", &id[..8]]).expect(0);
    assert!(one.stdout.contains(id), "{one:?}");
    ends(federation.on(2, &["forks", "show", "abc"]), 2);
    ends(federation.on(2, &["forks", "show", "0123456789"]), 1);

    let file = federation.beside(&format!("{id}.json"));
    let path = file.to_str().unwrap();
    ends(
        federation.on(2, &["forks", "export", "--out", path, "--dry-run"]),
        0,
    );
    assert!(!file.exists());
    ends(federation.on(2, &["forks", "export", "--out", path]), 0);
    let genesis = Layout::new(&federation.nodes[FACTORY].dir).genesis();
    let genesis = genesis.to_str().unwrap();
    let holds = run(&["audit", "verify", path, "--genesis", genesis, "--json"]).expect(22);
    assert_eq!(holds.json()["type"], "origin", "{holds:?}");
    let identity = |number: usize| federation.keys(number).identity_verifier().to_string();
    ends(
        run(&["audit", "verify", path, "--key", &identity(FACTORY)]),
        22,
    );
    ends(
        run(&["audit", "verify", path, "--key", &identity(VICTIM)]),
        20,
    );

    for number in [FACTORY, VICTIM, 2] {
        let address = federation.http(number);
        let list = request(&address, "GET", "/api/v1/forks", &[], b"").json();
        assert_eq!(list["forks"][0]["id"], id, "{list}");
        let answer = request(&address, "GET", &format!("/api/v1/forks/{id}"), &[], b"");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.text(), std::fs::read_to_string(&file).unwrap());
        let media = "content-type: application/vnd.belfry.fork+json";
        assert!(answer.head.to_lowercase().contains(media), "{answer:?}");
        let none = request(&address, "GET", "/api/v1/forks/00112233", &[], b"");
        assert_eq!(none.status, 404);
        let metrics = request(&address, "GET", "/metrics", &[], b"").text();
        assert!(
            metrics.contains("belfry_forks{kind=\"origin\"} 1"),
            "{metrics}"
        );
    }
    // Exactly one entry of each tower's own ledger tells of it.
    for number in [VICTIM, 2] {
        let own = federation.status(number)["size"].as_u64().unwrap();
        let told = (0..own).filter(|index| {
            let entry = federation.on(number, &["ledger", "get", &index.to_string()]);
            entry
                .expect(0)
                .stdout
                .contains(&format!("\"digest\":\"{id}\""))
        });
        assert_eq!(told.count(), 1, "node {number}");
    }
    federation.stop(2);
    ends(federation.on(2, &["ledger", "fsck"]), 0);
    ends(federation.on(2, &["forks", "export", "--json"]), 0);
}

/// A digest with an extension line, which no honest member signs, of the factory's own tree.
fn odd(federation: &Federation, size: u64, root: Hash) -> Vec<u8> {
    let keys = federation.keys(FACTORY);
    let checkpoint = ForeignCheckpoint {
        origin: federation.nodes[FACTORY].name.clone(),
        size,
        root,
        extensions: vec!["more".to_owned()],
    };
    let key = keys.log_key_for_size(size).unwrap();
    let note = key.signed_note(&checkpoint.to_text()).unwrap().to_string();
    Frame::encode(Version::V1_0, Kind::Digest.number(), note.as_bytes())
}

#[test]
fn a_digest_that_no_honest_member_signs_is_kept_and_shown() {
    let federation = Federation::found(3);
    federation.start_all();
    federation.ready(FACTORY);
    federation.append(ENTRIES);
    let signed = federation.wait(VICTIM, "holds everything", |status| {
        status["mirrors"][0]["acked"].as_u64() >= Some(ENTRIES)
    });
    let held = signed["mirrors"][0]["held"].as_u64().unwrap();
    let note = federation.on(FACTORY, &["ledger", "head", "--json"]);
    let root = note.expect(0).json()["root"].as_str().unwrap().to_owned();
    federation.kill(SELF);
    let victim = Peer::id_of(&federation, VICTIM);
    let mut liar = Peer::start(&federation, federation.keys(SELF), None);
    liar.dial(&federation, &[VICTIM]);
    liar.connected(victim);
    liar.greet(victim, |_| {}).unwrap();
    let root: [u8; 32] = belfry_protocol::hex::decode(&root)
        .unwrap()
        .try_into()
        .unwrap();
    let note = odd(&federation, held, Hash(root));
    let _refused = liar.ask(victim, Protocol::Sync, note);
    let status = federation.wait(VICTIM, "keeps it", |status| {
        status["odd_digests"][0]["size"] == held
    });
    assert_eq!(status["alarms"][0]["kind"], "odd-digest", "{status:#}");
    assert_eq!(forks_of(&status), [] as [Value; 0]);
    let text = federation.on(VICTIM, &["status"]).expect(0).stdout;
    assert!(text.contains("ODD       shop.example/line"), "{text}");
    let list = federation
        .on(VICTIM, &["forks", "list", "--json"])
        .expect(0)
        .json();
    let id = list["odd_digests"][0]["id"].as_str().unwrap().to_owned();
    let address = federation.http(VICTIM);
    let shown = request(&address, "GET", "/api/v1/forks", &[], b"").json();
    assert_eq!(shown["odd_digests"], list["odd_digests"]);
    let metrics = request(&address, "GET", "/metrics", &[], b"").text();
    assert!(metrics.contains("belfry_odd_digests 1"), "{metrics}");
    let counted = "belfry_alarms_total{kind=\"odd-digest\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    let exported = federation
        .on(VICTIM, &["forks", "export", &id[..8]])
        .expect(0)
        .stdout;
    assert!(
        exported.contains("\nmore\n\n— shop.example/line"),
        "{exported}"
    );
}
