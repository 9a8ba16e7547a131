//! Old and lost disks of a federation's nodes: a factory goes on from what its towers hold, a tower from what the others
//! hold, and neither contradicts what it said before.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_node::audit::receipt;
use belfry_tests::federation::{FACTORY, Federation};
use belfry_tests::process::copy;
use std::fs;

/// Three towers: two acks are a quorum, and a recovery asks two.
fn running() -> Federation {
    let federation = Federation::found(3);
    federation.start_all();
    federation
}

fn kinds(entries: &[Vec<u8>]) -> Vec<String> {
    let kind = |entry: &Vec<u8>| {
        let entry: serde_json::Value = serde_json::from_slice(entry).unwrap();
        entry["kind"].as_str().unwrap_or_default().to_owned()
    };
    entries.iter().map(kind).collect()
}

/// A human is told, the ledger says so itself, and nothing that was there is another now.
fn went_forward(federation: &Federation, before: &[Vec<u8>]) {
    let log = federation.log(FACTORY);
    assert!(
        log.contains("ALARM") && log.contains("fast-forward"),
        "{log}"
    );
    let size = federation.settled(federation.towers());
    let now = federation.entries(size);
    assert!(
        now.len() > before.len() && now.starts_with(before),
        "entries changed"
    );
    let added = kinds(&now[before.len()..]);
    assert_eq!(added[0], "restore", "{added:?}");
}

/// What a restore left behind may not be in the way of the next start.
fn starts_again(federation: &Federation, at: usize) {
    federation.stop(at);
    federation.start(at);
    federation.ready(at);
}

#[test]
fn an_old_directory_of_the_factory_goes_forward() {
    let federation = running();
    let mut receipts = vec![federation.receipt(federation.append(5))];
    federation.stop(FACTORY);
    let (dir, old) = (
        federation.nodes[FACTORY].dir.clone(),
        federation.beside("old"),
    );
    copy(&dir, &old);
    federation.start(FACTORY);
    federation.ready(FACTORY);
    // More than a tile, so that files are missing, too.
    receipts.push(federation.receipt(federation.append(600)));
    let size = federation.settled(federation.towers());
    let before = federation.entries(size);

    federation.stop(FACTORY);
    copy(&old, &dir);
    federation.start(FACTORY);
    federation.ready(FACTORY);
    went_forward(&federation, &before);
    starts_again(&federation, FACTORY);
    receipts.push(federation.receipt(federation.append(3)));
    let size = federation.settled(federation.towers());
    federation.check(size, federation.towers());
    federation.verify(&receipts);
}

#[test]
fn a_lost_factory_comes_back_from_its_towers_with_what_was_only_prepared() {
    let federation = running();
    let mut receipts = vec![federation.receipt(federation.append(300))];
    federation.settled(federation.towers());
    // One tower alone holds what comes now: prepared, and never signed.
    federation.stop(2);
    federation.stop(3);
    let last = federation.try_append(&belfry_tests::lines(7)).unwrap();
    let _ = federation.wait(FACTORY, "has one tower hold them", |status| {
        let peers = status["peers"].as_array().unwrap();
        peers.iter().any(|peer| peer["held"].as_u64() > Some(last))
    });
    let before = federation.entries(last + 1);
    federation.kill(FACTORY);
    federation.lose_disk(FACTORY);
    // Two answers are what a recovery needs, and one of the two knows the tail.
    federation.start(2);
    federation.start(FACTORY);
    let _ = federation.wait(FACTORY, "has its entries back", |status| {
        status["size"].as_u64() > Some(last)
    });
    federation.start(3);
    federation.ready(FACTORY);
    went_forward(&federation, &before);
    receipts.push(federation.receipt(last));
    receipts.push(federation.receipt(federation.append(3)));
    let size = federation.settled(federation.towers());
    federation.check(size, federation.towers());
    federation.verify(&receipts);
}

/// Tower 1 comes back on another disk: it promises nothing before the other towers told it everything, takes keys of a
/// new serial, and its word counts again under them.
fn a_tower_comes_back(replace: impl FnOnce(&Federation)) {
    let federation = running();
    let mut receipts = vec![federation.receipt(federation.append(300))];
    let old = federation.beside("old");
    federation.stop(1);
    copy(&federation.nodes[1].dir, &old);
    receipts.push(federation.receipt(federation.append(300)));
    federation.settled([2, 3]);
    let policy = federation.policy();
    replace(&federation);

    // With one of the others away it waits, and says so.
    federation.stop(3);
    federation.start(1);
    let factory = federation.nodes[FACTORY].name.clone();
    let _ = federation.wait(1, "is restoring", |status| {
        let connected = status["peers"].as_array().unwrap().iter();
        status["phase"] == "restoring"
            && status["restoring"][0] == *factory
            && status["needs_serial"] == true
            && connected.filter(|peer| peer["connected"] == true).count() == 2
    });
    federation.start(3);
    federation.ready(3);
    // Its first ack is of a digest that the others acked.
    receipts.push(federation.receipt(federation.append(1)));
    federation.ready(1);
    let size = federation.settled(federation.towers());
    let keys = federation.keys(1);
    assert_eq!(keys.certificates().len(), 2, "{}", federation.tail(1));
    federation.check(size, federation.towers());
    starts_again(&federation, 1);

    // Without tower 3 a quorum is tower 2 and the new keys of tower 1.
    federation.stop(3);
    let receipt = federation.receipt(federation.append(1));
    let refused = receipt::verify(receipt.as_bytes(), &policy, None).unwrap_err();
    assert_eq!(
        refused.code,
        belfry_node::exit::Code::QuorumNotMet,
        "{refused}"
    );
    receipts.push(receipt);
    federation.verify(&receipts);
}

#[test]
fn a_tower_with_an_empty_disk_comes_back_under_new_keys() {
    a_tower_comes_back(|federation| federation.lose_disk(1));
}

#[test]
fn a_tower_out_of_a_backup_comes_back_under_new_keys() {
    a_tower_comes_back(|federation| {
        let dir = &federation.nodes[1].dir;
        copy(&federation.beside("old"), dir);
        fs::write(dir.join("RESTORED"), "").unwrap();
    });
}
