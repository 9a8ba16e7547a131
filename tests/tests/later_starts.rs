//! What a restore, a rollback or a lost file leaves behind, and the starts after it: nothing is judged twice, nothing signs
//! alone, and what a human accepted stays accepted.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_node::store::Layout;
use belfry_protocol::tlog::tile::Tile;
use belfry_tests::federation::{FACTORY, Federation};
use belfry_tests::process::copy;
use belfry_tests::{Node, lines};
use std::fs;
use std::path::Path;

fn running() -> Federation {
    let federation = Federation::found(3);
    federation.start_all();
    federation
}

fn serials(federation: &Federation, tower: usize) -> usize {
    federation.keys(tower).certificates().len()
}

/// Puts the ledger's database of a copy in the place of the newer one; files beside it stay.
fn roll_back(dir: &Path, old: &Path) {
    for name in ["ledger.db-wal", "ledger.db-shm"] {
        let _ = fs::remove_file(dir.join(name));
    }
    fs::copy(old.join("ledger.db"), dir.join("ledger.db")).unwrap();
}

fn restart(federation: &Federation, node: usize) {
    federation.stop(node);
    federation.start(node);
    federation.ready(node);
}

#[test]
fn a_member_without_its_manifest_never_signs_alone() {
    let federation = running();
    let receipts = vec![federation.receipt(federation.append(3))];
    federation.stop(FACTORY);
    let dir = &federation.nodes[FACTORY].dir;
    let (manifest, away) = (dir.join("genesis.json"), federation.beside("genesis.json"));
    fs::rename(&manifest, &away).unwrap();
    let input = federation.beside("in.ndjson");
    fs::write(&input, lines(1)).unwrap();
    let input = input.to_string_lossy();
    for alone in [&["run", "--allow-solo"][..], &["run"], &["append", &input]] {
        let refused = federation.on(FACTORY, alone).expect(23);
        assert!(
            refused.stderr.contains("genesis.json is gone")
                && !refused.stderr.contains("--allow-solo"),
            "{}",
            refused.stderr
        );
    }
    fs::rename(&away, &manifest).unwrap();
    federation.start(FACTORY);
    federation.ready(FACTORY);
    federation.append(1);
    federation.verify(&receipts);
}

#[test]
fn what_a_human_accepted_before_the_first_start_stays_accepted() {
    let federation = running();
    let mut receipts = vec![federation.receipt(federation.append(300))];
    federation.settled(federation.towers());
    // Tower 3 is gone for good, and tower 1 lost its disk.
    federation.stop(1);
    federation.stop(3);
    federation.lose_disk(1);
    let name = federation.nodes[1].name.clone();
    let accept = ["ledger", "accept-restored", "--confirm", &name];
    let _ = federation.on(1, &accept).expect(0);
    federation.start(1);
    federation.ready(1);
    receipts.push(federation.receipt(federation.append(3)));
    assert_eq!(serials(&federation, 1), 2, "old keys ack nothing more");
    restart(&federation, 1);
    receipts.push(federation.receipt(federation.append(3)));
    assert_eq!(serials(&federation, 1), 2);
    let size = federation.settled([1, 2]);
    federation.check(size, [1, 2]);
    federation.verify(&receipts);
}

#[test]
fn a_rollback_of_a_tower_is_judged_once() {
    let federation = running();
    federation.append(3);
    federation.stop(1);
    let old = federation.beside("old");
    let dir = &federation.nodes[1].dir;
    copy(dir, &old);
    federation.start(1);
    federation.ready(1);
    // Whole tiles, in files that the old database does not know.
    federation.append(700);
    federation.settled(federation.towers());
    let mirror = Layout::new(dir).mirror_root(&federation.nodes[FACTORY].name);
    let second = mirror.tile(Tile {
        level: 0,
        index: 1,
        width: 256,
    });
    let _ = federation.wait(1, "has tiles in files", |_| second.exists());
    federation.stop(1);
    roll_back(dir, &old);
    federation.start(1);
    federation.append(1);
    federation.ready(1);
    assert_eq!(serials(&federation, 1), 2, "{}", federation.tail(1));
    assert!(dir.join("set-aside-1").is_dir());
    for _ in 0..2 {
        restart(&federation, 1);
    }
    assert_eq!(serials(&federation, 1), 2, "{}", federation.tail(1));
    assert!(!dir.join("set-aside-2").exists());
    let size = federation.settled(federation.towers());
    federation.check(size, federation.towers());
}

#[test]
fn a_tower_loses_its_disk_twice_and_then_its_newest_keys() {
    let federation = running();
    federation.append(3);
    let keys = federation.nodes[1].dir.join("keys");
    let old = federation.beside("old-keys");
    for serial in [2, 3] {
        federation.stop(1);
        copy(&keys, &old);
        federation.lose_disk(1);
        federation.start(1);
        federation.append(1);
        federation.ready(1);
        assert_eq!(serials(&federation, 1), serial, "{}", federation.tail(1));
    }
    federation.append(1);
    // Keys out of an older backup: they ack nothing, and their node says so instead of trying.
    federation.stop(1);
    let newest = federation.beside("newest-keys");
    copy(&keys, &newest);
    copy(&old, &keys);
    let refused = federation.on(1, &["run"]).expect(12);
    assert!(
        refused.stderr.contains("keys/ is older"),
        "{}",
        refused.stderr
    );
    copy(&newest, &keys);
    federation.start(1);
    federation.ready(1);
    federation.append(1);
    let size = federation.settled(federation.towers());
    federation.check(size, federation.towers());
}

#[test]
fn nobody_brings_a_towers_own_ledger_back_and_it_is_not_destroyed_either() {
    let federation = running();
    federation.stop(1);
    let (dir, old) = (&federation.nodes[1].dir, federation.beside("old"));
    copy(dir, &old);
    let input = federation.beside("in.ndjson");
    fs::write(&input, lines(600)).unwrap();
    let append = ["append", &input.to_string_lossy(), "--private"];
    federation.start(1);
    let _ = federation.on(1, &append).expect(0);
    federation.stop(1);
    roll_back(dir, &old);
    let refused = federation.on(1, &["run"]).expect(23);
    assert!(refused.stderr.contains("rolled back"), "{}", refused.stderr);
    let accept = ["ledger", "accept-restored", "--confirm"];
    let accept = [&accept[..], &[federation.nodes[1].name.as_str()]].concat();
    let _ = federation.on(1, &accept).expect(0);
    assert!(dir.join("set-aside-1").is_dir());
    federation.start(1);
    federation.ready(1);
    let _ = federation.on(1, &append).expect(0);
    let _ = federation.on(1, &["ledger", "fsck"]).expect(0);
}

#[test]
fn a_ledger_of_its_own_goes_on_after_a_human_accepted_its_rollback() {
    let node = Node::new();
    let old = node.beside("old");
    copy(&node.dir(), &old);
    let input = node.write("a.ndjson", lines(600));
    let _ = node.run(&["append", &input]).expect(0);
    roll_back(&node.dir(), &old);
    let _ = node.run(&["append", &input]).expect(23);
    let accept = ["ledger", "accept-restored", "--confirm", Node::NAME];
    let _ = node.run(&accept).expect(0);
    let _ = node.run(&["append", &input]).expect(0);
    let _ = node.run(&["ledger", "fsck"]).expect(0);
    let again = node.run(&accept).expect(2);
    assert!(again.stderr.contains("not restored"), "{}", again.stderr);
}
