//! Factories and towers by the rules R1-R4, several engines at a time on a virtual clock.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

mod agenda;
mod clocks;
mod epochs;
mod forks;
mod forks_kept;
mod forks_review;
mod founding;
mod hostile;
mod later;
mod liars;
mod mischief;
mod recovery;
mod restored;
mod review;
mod revocation;
mod rotation;
#[cfg(feature = "ml-dsa")]
mod subtrees;
mod uploads;
mod views;
mod windows;
mod witness;
mod world;

use belfry_protocol::engine::federation::Alarm;
use belfry_protocol::engine::mem::MemStore;
use world::World;

#[test]
fn a_fresh_federation_acknowledges_what_is_appended() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    assert_eq!(world.status(0).phase, "active", "{:?}", world.status(0));
    world.append(0, "first");
    world.run_ms(100);
    assert_eq!(world.nodes[0].acked, 1, "{:?}", world.status(0));
    for word in ["second", "third", "fourth"] {
        world.append(0, word);
    }
    world.run_ms(100);
    assert_eq!(world.nodes[0].acked, 4);
    for tower in 1..=3 {
        let mirror = &world.status(tower).mirrors[0];
        assert_eq!(
            (mirror.held, mirror.seen, mirror.acked),
            (4, 4, 4),
            "tower {tower}"
        );
    }
}

#[test]
fn acks_go_on_without_one_tower_and_it_catches_up() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.kill(3);
    for number in 0..20 {
        world.append(0, &number.to_string());
        world.run_ms(20);
    }
    world.run_ms(300);
    assert_eq!(world.nodes[0].acked, 20, "{:?}", world.status(0));
    world.start(3);
    world.run_ms(3_000);
    let mirror = &world.status(3).mirrors[0];
    assert_eq!(
        (mirror.held, mirror.acked),
        (20, 20),
        "{:?}",
        world.status(3)
    );
}

#[test]
fn without_a_quorum_nothing_is_signed_and_nothing_is_lost() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "before");
    world.run_ms(100);
    world.cut(0, 2);
    world.cut(0, 3);
    world.append(0, "during");
    world.run_ms(2_000);
    assert_eq!(world.nodes[0].acked, 1);
    assert!(world.nodes[0].digests.iter().all(|(size, _)| *size == 1));
    world.heal();
    world.run_ms(3_000);
    assert_eq!(world.nodes[0].acked, 2, "{:?}", world.status(0));
}

#[test]
fn a_restarted_factory_goes_on_where_it_was() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    for number in 0..5 {
        world.append(0, &number.to_string());
    }
    world.run_ms(100);
    world.kill(0);
    world.start(0);
    world.append(0, "too early");
    assert_eq!(
        world.nodes[0].refusals.len(),
        1,
        "refused while it recovers"
    );
    world.run_ms(1_000);
    assert_eq!(world.status(0).phase, "active", "{:?}", world.status(0));
    world.append(0, "after");
    world.run_ms(200);
    assert_eq!(world.nodes[0].acked, 6);
    assert!(world.nodes[0].alarms.is_empty());
}

/// Every digest that ever left a node, by size: two roots of one size are a fork.
pub(crate) fn no_fork(world: &World) {
    let digests = &world.nodes[0].digests;
    for (size, root) in digests {
        assert!(
            digests
                .iter()
                .all(|(other, same)| other != size || same == root),
            "fork at {size}"
        );
    }
    for node in &world.nodes {
        assert!(
            !node
                .alarms
                .iter()
                .any(|alarm| matches!(alarm, Alarm::Fork { .. })),
            "{:?}",
            node.alarms
        );
    }
}

#[test]
fn a_rolled_back_factory_fast_forwards_and_does_not_fork() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(100);
    let old = world.nodes[0].store.clone();
    for number in 0..300 {
        world.append(0, &number.to_string());
        if number % 50 == 0 {
            world.run_ms(30);
        }
    }
    world.run_ms(500);
    assert_eq!(world.nodes[0].acked, 301);
    world.kill(0);
    world.nodes[0].store = old;
    world.start(0);
    world.run_ms(3_000);
    assert_eq!(world.status(0).phase, "active", "{:?}", world.status(0));
    assert_eq!(
        world.nodes[0].alarms,
        [Alarm::FastForward { from: 1, to: 301 }]
    );
    world.append(0, "after");
    world.run_ms(500);
    // 301 adopted, the `restore` entry, and the new one.
    assert_eq!((world.size(0), world.nodes[0].acked), (303, 303));
    no_fork(&world);
}

#[test]
fn a_lost_disk_comes_back_from_the_towers() {
    let mut world = World::new(4, 3);
    world.run_ms(500);
    for number in 0..40 {
        world.append(0, &number.to_string());
    }
    world.run_ms(300);
    assert_eq!(world.nodes[0].acked, 40);
    world.kill(0);
    world.nodes[0].store = MemStore::default();
    world.start(0);
    world.run_ms(4_000);
    assert_eq!(world.status(0).phase, "active", "{:?}", world.status(0));
    world.append(0, "after");
    world.run_ms(300);
    assert_eq!(world.nodes[0].acked, 42);
    no_fork(&world);
}

#[test]
fn all_nodes_stop_and_start_together() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(100);
    for node in 0..4 {
        world.kill(node);
    }
    for node in 0..4 {
        world.start(node);
    }
    world.run_ms(2_000);
    world.append(0, "two");
    world.run_ms(200);
    assert_eq!(world.nodes[0].acked, 2, "{:?}", world.status(0));
    no_fork(&world);
}

#[test]
fn bytes_that_are_no_message_are_counted_and_change_nothing() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    let before = world.status(1).mirrors;
    for bytes in [&b""[..], b"BLFR", b"HTTP/1.1 200 OK", &[0xff; 4_096]] {
        world.inject(1, 0, bytes.to_vec());
    }
    assert_eq!(world.status(1).mirrors, before);
    assert_eq!(world.status(1).refused, [("malformed frame", 4)]);
    world.append(0, "still");
    world.run_ms(100);
    assert_eq!(world.nodes[0].acked, 1);
}
