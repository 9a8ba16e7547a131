//! What an independent review showed on paper, replayed: padded notes, steps that do not commit, disks that change while
//! something rests on them, clocks that were ahead.

use crate::no_fork;
use crate::world::World;
use belfry_protocol::engine::mem::MemStore;
use belfry_protocol::note::{SignatureLine, SignedNote};
use belfry_protocol::wire::{Frame, Version};

#[test]
fn lines_that_others_add_are_not_kept() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(300);
    // Its log's name and key id, and twelve thousand bytes that are no signature.
    let forged = world.forged(7, 1);
    let note = SignedNote::parse(&forged[12..]).unwrap();
    let log = &note.signatures()[0];
    let junk = SignatureLine::new(log.name(), log.key_id(), vec![9; 12_000]).unwrap();
    let padded = SignedNote::new(note.text(), vec![log.clone(), junk]).unwrap();
    let bytes = Frame::encode(Version::V1_0, 4, padded.to_string().as_bytes());
    world.gossip(1, 2, bytes.clone());
    world.inject(2, 0, bytes);
    for tower in [1, 2] {
        assert_eq!(world.status(tower).mirrors[0].seen, 7);
        let (_, row) = world.rows(tower).remove(0);
        assert!(row.len() < 4_000, "{} bytes are kept", row.len());
    }
}

/// A prepare may leave and its step not commit: what is said next must be another incarnation.
#[test]
fn a_step_that_does_not_commit_is_another_incarnation() {
    for (towers, k) in [(3, 2), (4, 3)] {
        let mut world = World::new(towers, k);
        world.run_ms(500);
        for round in 0..6 {
            for number in 0..3 {
                world.append(0, &format!("{round}/{number}"));
            }
            let before = world.status(0).incarnation;
            // Only one tower hears of what will not be on the disk.
            for tower in 2..=towers {
                world.cut(0, tower);
            }
            world.append_without_room(0, "gone");
            world.run_ms(50);
            assert!(world.status(0).incarnation > before);
            world.cut(0, 1);
            world.heal();
            world.cut(0, 1 + round % towers);
            world.run_ms(3_000);
            world.append(0, "other");
            world.run_ms(300);
            world.heal();
            world.run_ms(2_000);
            no_fork(&world);
        }
        let size = world.size(0);
        world.append(0, "last");
        world.run_ms(3_000);
        assert!(world.nodes[0].acked > size, "{:?}", world.status(0));
    }
}

/// Finding 2: a promise of a disk that is gone since must not make a quorum.
#[test]
fn a_promise_of_a_lost_disk_does_not_count() {
    let mut world = World::new(3, 2);
    world.kill(1);
    world.run_ms(800);
    // The factory recovered without tower 1; now it hears of it, and of no other.
    world.start(1);
    world.run_ms(300);
    world.cut(0, 2);
    world.cut(0, 3);
    world.append(0, "x");
    world.run_ms(300);
    assert_eq!(world.nodes[0].acked, 0);
    world.cut(0, 1);
    world.kill(1);
    world.nodes[1].store = MemStore::default();
    world.nodes[1].restored = true;
    world.start(1);
    world.cut(0, 1);
    world.run_ms(3_000);
    // Tower 2 alone, with the promise of a disk that is no more, is no quorum.
    world.cut(1, 2);
    world.heal();
    world.cut(0, 1);
    world.cut(0, 3);
    world.run_ms(3_000);
    let signed = world.nodes[0].digests.len();
    assert_eq!(signed, 0, "{:?}", world.nodes[0].digests);
    world.heal();
    world.run_ms(3_000);
    world.append(0, "y");
    world.run_ms(2_000);
    assert_eq!(world.nodes[0].acked, world.size(0), "{:?}", world.status(0));
    no_fork(&world);
}

#[test]
fn a_tower_whose_clock_was_ahead_when_its_disk_was_lost_comes_back() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(200);
    world.kill(3);
    world.ahead_us = 365 * 86_400_000_000;
    world.start(3);
    world.run_ms(2_000);
    world.ahead_us = 0;
    world.kill(3);
    world.nodes[3].store = MemStore::default();
    world.nodes[3].restored = true;
    world.start(3);
    world.run_ms(8_000);
    let status = world.status(3);
    assert_eq!(status.phase, "tower", "{status:?}");
    assert_eq!(status.mirrors[0].held, 1);
}
