//! What one life of a node leaves behind, and what its later starts do with it: retirements and erasures that the disk
//! lost, fast-forwards in two pieces, disks of nodes of both roles, keys that are older than the directory.

use crate::restored::lose;
use crate::world::World;
use belfry_protocol::engine::federation::restored::accept_restored;
use belfry_protocol::engine::federation::{Alarm, Input};
use belfry_protocol::engine::ledger;
use belfry_protocol::engine::mem::MemStore;
use belfry_protocol::engine::store::{Record, Transaction};
use belfry_protocol::engine::{RequestId, outbox::Committed};
use belfry_protocol::entry::leaf::Leaf;

const FACTORY: &str = "a.example/line";
const SUCCESSOR: &str = "b.example/line";

fn kinds(world: &World, at: usize) -> Vec<String> {
    let entries = world.nodes[at].store.entries().unwrap();
    let kind = |entry: &Vec<u8>| Leaf::parse(entry).unwrap().kind;
    entries.iter().map(kind).collect()
}

fn retired(world: &mut World, at: usize) -> Option<String> {
    let record = world.nodes[at]
        .store
        .begin()
        .record(Record::Retired)
        .unwrap();
    record.map(|bytes| String::from_utf8(bytes).unwrap())
}

/// A ledger that is retired takes nothing, whatever its node went through.
fn stays_retired(world: &mut World, kinds_then: &[&str]) {
    assert_eq!(retired(world, 0).as_deref(), Some(SUCCESSOR));
    let refusals = world.nodes[0].refusals.len();
    world.append(0, "too late");
    world.run_ms(2_000);
    assert_eq!(world.nodes[0].refusals.len(), refusals + 1);
    assert_eq!(kinds(world, 0), kinds_then);
    let size = kinds_then.len() as u64;
    assert_eq!(world.nodes[0].acked, size, "{:?}", world.status(0));
}

#[test]
fn a_retirement_outlives_the_disk() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(200);
    world.retire(0, SUCCESSOR);
    world.run_ms(1_000);
    world.kill(0);
    world.nodes[0].store = MemStore::default();
    world.start(0);
    world.run_ms(5_000);
    stays_retired(&mut world, &["window", "retire"]);
}

#[test]
fn a_retirement_that_only_towers_know_holds() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(500);
    let before = world.nodes[0].store.clone();
    world.retire(0, SUCCESSOR);
    // The step's prepare left, and its commit did not happen.
    world.run_ms(1);
    world.kill(0);
    world.nodes[0].store = before;
    world.start(0);
    world.run_ms(5_000);
    stays_retired(&mut world, &["window", "retire"]);
}

#[test]
fn what_was_appended_before_a_retirement_is_signed_after_a_restart() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(500);
    world.append(0, "two");
    world.retire(0, SUCCESSOR);
    world.kill(0);
    world.start(0);
    world.run_ms(5_000);
    stays_retired(&mut world, &["window", "window", "retire"]);
    // Nothing is owed any more: from the next start on it is silent.
    world.kill(0);
    world.start(0);
    world.run_ms(1_000);
    let phase = world.status(0).phase;
    assert!(phase.contains(SUCCESSOR), "{phase}");
    assert!(!world.status(0).appends);
}

#[test]
fn an_erasure_that_only_towers_know_is_done_again() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(500);
    let before = world.nodes[0].store.clone();
    let payload = [9; 32];
    let erase = ledger::Input::Erase {
        request: RequestId(77),
        index: 0,
        payload,
    };
    world.step(0, vec![Input::Ledger(erase)]);
    world.run_ms(1);
    world.kill(0);
    world.nodes[0].store = before;
    world.start(0);
    world.run_ms(5_000);
    assert_eq!(kinds(&world, 0), ["window", "erase"]);
    let tx = world.nodes[0].store.begin();
    assert_eq!(tx.erased(&payload).unwrap(), Some(1));
}

#[test]
fn a_fast_forward_in_two_pieces_is_told_once_and_whole() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(300);
    // Towers hold a tail that no digest covers.
    world.append(0, "unsigned");
    let holds = |world: &World| (1..=3).all(|at| world.status(at).mirrors[0].tail == 2);
    for _ in 0..20 {
        world.run_ms(1);
        if holds(&world) {
            break;
        }
    }
    assert!(holds(&world));
    world.kill(0);
    world.nodes[0].store = MemStore::default();
    world.start(0);
    let between = |world: &World| world.size(0) == 1 && world.status(0).phase == "adopting";
    for _ in 0..3_000 {
        world.run_ms(1);
        if between(&world) {
            break;
        }
    }
    assert!(between(&world), "{:?}", world.status(0));
    world.kill(0);
    world.start(0);
    world.run_ms(5_000);
    assert_eq!(kinds(&world, 0), ["window", "window", "restore"]);
    let told: Vec<&Alarm> = world.nodes[0]
        .alarms
        .iter()
        .filter(|alarm| matches!(alarm, Alarm::FastForward { .. }))
        .collect();
    assert_eq!(told, [&Alarm::FastForward { from: 0, to: 2 }]);
    let tx = world.nodes[0].store.begin();
    assert!(tx.record(Record::FloorDue).unwrap().is_some());
}

#[test]
fn a_lost_disk_of_a_node_of_both_roles_counts_again_as_a_tower() {
    let mut world = World::with_both(4, 3, 1);
    world.run_ms(1_000);
    world.append(0, "one");
    world.append(1, "own one");
    world.run_ms(2_000);
    lose(&mut world, 1);
    world.start(1);
    world.run_ms(20_000);
    world.append(0, "two");
    world.run_ms(5_000);
    // Three of four are needed, and it is one of the three.
    world.kill(4);
    world.append(0, "three");
    world.run_ms(10_000);
    let status = world.status(0);
    assert_eq!(world.nodes[0].acked, world.size(0), "{status:?}");
}

#[test]
fn a_restored_node_whose_own_ledger_is_retired_acks_again() {
    let mut world = World::with_both(4, 3, 1);
    world.run_ms(1_000);
    world.append(0, "one");
    world.append(1, "own one");
    world.run_ms(2_000);
    world.retire(1, SUCCESSOR);
    world.run_ms(2_000);
    // Out of a backup that knows of the retirement.
    world.kill(1);
    world.nodes[1].restored = true;
    world.start(1);
    world.run_ms(30_000);
    assert!(!world.status(1).needs_serial, "{:?}", world.status(1));
    world.kill(4);
    world.append(0, "two");
    world.run_ms(10_000);
    assert_eq!(world.nodes[0].acked, 2, "{:?}", world.status(1));
}

#[test]
fn keys_that_are_older_than_the_directory_ack_nothing_and_status_says_so() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(200);
    lose(&mut world, 3);
    world.start(3);
    world.run_ms(8_000);
    assert_eq!(world.nodes[3].from_sizes.len(), 2);
    world.kill(3);
    world.nodes[3].from_sizes.truncate(1);
    world.start(3);
    world.run_ms(5_000);
    world.append(0, "two");
    world.run_ms(2_000);
    let status = world.status(3);
    assert!(status.needs_serial, "{status:?}");
    assert!(status.mirrors[0].acked < 2, "{status:?}");
    let refused = world.status(0).refused;
    assert_eq!(refused, Vec::new(), "an ack without a line");
}

#[test]
fn a_tower_that_a_human_accepted_does_not_wait_for_one_that_is_gone_for_good() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(200);
    world.kill(3);
    lose(&mut world, 2);
    world.start(2);
    world.run_ms(5_000);
    assert_eq!(world.status(2).phase, "restoring");
    world.kill(2);
    let mut tx = world.nodes[2].store.begin();
    accept_restored(&mut tx, &[FACTORY.to_owned()]).unwrap();
    let _: Committed = tx.commit().unwrap();
    world.start(2);
    world.run_ms(15_000);
    world.append(0, "two");
    world.run_ms(2_000);
    assert_eq!(world.nodes[0].acked, 2, "{:?}", world.status(2));
    // Still so at its next start; and no more once the other one is back.
    world.kill(2);
    world.start(2);
    world.run_ms(2_000);
    assert_eq!(world.status(2).phase, "tower");
    world.start(3);
    world.run_ms(5_000);
    world.kill(3);
    world.kill(2);
    world.start(2);
    world.run_ms(5_000);
    assert_eq!(world.status(2).phase, "asking");
}
