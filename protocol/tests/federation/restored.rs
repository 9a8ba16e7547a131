//! Towers whose directory was lost or came out of a backup: what they promise, when, and under which keys.

use crate::no_fork;
use crate::world::World;
use belfry_protocol::engine::federation::restored::accept_restored;
use belfry_protocol::engine::federation::{Alarm, Status};
use belfry_protocol::engine::mem::MemStore;
use belfry_protocol::engine::store::Transaction;
use belfry_protocol::note::SignedNote;

/// Takes a tower's disk away; at its next start it is known to be lost.
pub(crate) fn lose(world: &mut World, tower: usize) {
    world.kill(tower);
    world.nodes[tower].store = MemStore::default();
    world.nodes[tower].restored = true;
}

fn is_restoring(status: &Status) -> bool {
    !status.restoring.is_empty() || status.needs_serial
}

#[test]
fn a_restored_tower_catches_up_and_acks_under_new_keys() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    for number in 0..20 {
        world.append(0, &number.to_string());
        world.run_ms(30);
    }
    lose(&mut world, 3);
    world.append(0, "meanwhile");
    world.run_ms(200);
    let answers = world.answers.len();
    world.start(3);
    world.run_ms(5_000);
    let status = world.status(3);
    assert_eq!(status.phase, "tower", "{status:?}");
    assert_eq!((status.mirrors[0].held, status.mirrors[0].acked), (21, 21));
    assert_eq!(world.nodes[3].from_sizes.len(), 2, "one new serial");
    world.append(0, "after");
    world.kill(1);
    world.run_ms(3_000);
    assert_eq!(world.nodes[0].acked, 22, "{:?}", world.status(0));
    // Every ack since is under the new serial alone, and the factory took it.
    let name = world.name(3).to_owned();
    let mut ids = std::collections::BTreeSet::new();
    for (at, bytes) in &world.answers[answers..] {
        let note = bytes
            .get(12..)
            .and_then(|note| SignedNote::parse(note).ok());
        if let Some(note) = note.filter(|_| *at == 3) {
            let lines = note.signatures().iter().filter(|one| one.name() == name);
            ids.extend(lines.map(|line| line.key_id()));
        }
    }
    assert_eq!(ids.len(), 1);
    no_fork(&world);
}

#[test]
fn it_promises_nothing_before_every_other_tower_told() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(200);
    lose(&mut world, 3);
    world.kill(2);
    world.start(3);
    world.append(0, "two");
    world.run_ms(5_000);
    let status = world.status(3);
    assert_eq!(status.phase, "restoring");
    assert!(is_restoring(&status), "{status:?}");
    assert_eq!(world.nodes[0].acked, 1, "one tower is no quorum");
    // A factory that restarts does not get its answer either.
    world.kill(0);
    world.start(0);
    world.run_ms(3_000);
    assert_eq!(world.status(0).phase, "recovering");
    world.start(2);
    world.run_ms(8_000);
    assert_eq!(world.status(0).phase, "active");
    assert!(!is_restoring(&world.status(3)), "{:?}", world.status(3));
    world.append(0, "three");
    world.run_ms(2_000);
    assert_eq!(world.nodes[0].acked, world.size(0));
    no_fork(&world);
}

/// Counterexample B of the models: without the tail, a prefix that was signed could be overwritten.
#[test]
fn it_takes_over_the_unsigned_tail() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(300);
    world.cut(0, 3);
    world.run_ms(50);
    world.append(0, "unsigned");
    // The towers have it, and their word is still on its way.
    for _ in 0..20 {
        world.run_ms(1);
        if world.status(1).mirrors[0].tail == 2 && world.status(2).mirrors[0].tail == 2 {
            break;
        }
    }
    world.kill(0);
    let tail = |world: &World, at| {
        (
            world.status(at).mirrors[0].held,
            world.status(at).mirrors[0].tail,
        )
    };
    assert_eq!(tail(&world, 2), (1, 2));
    lose(&mut world, 1);
    world.heal();
    world.start(1);
    world.run_ms(3_000);
    assert_eq!(tail(&world, 1), (1, 2));
    // Now only the restored tower has it, and the factory's disk is lost.
    world.kill(2);
    world.nodes[0].store = MemStore::default();
    world.start(0);
    world.run_ms(3_000);
    // Two entries, and the one that tells of the fast-forward.
    assert_eq!(world.size(0), 3, "{:?}", world.status(0));
    no_fork(&world);
}

#[test]
fn without_new_keys_it_holds_and_does_not_ack() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(200);
    lose(&mut world, 3);
    world.nodes[3].no_new_keys = true;
    world.start(3);
    world.run_ms(5_000);
    world.append(0, "two");
    world.run_ms(2_000);
    let status = world.status(3);
    assert!(
        status.needs_serial && status.phase == "restoring",
        "{status:?}"
    );
    assert_eq!((status.mirrors[0].held, status.mirrors[0].acked), (2, 0));
    // With the keys the restore ends, also after a restart.
    world.kill(3);
    world.nodes[3].no_new_keys = false;
    world.start(3);
    world.run_ms(15_000);
    assert_eq!(world.status(3).mirrors[0].acked, 2, "{:?}", world.status(3));
}

#[test]
fn who_was_away_learns_the_new_keys_from_others() {
    let mut world = World::new(4, 3);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(200);
    lose(&mut world, 1);
    world.start(1);
    world.run_ms(5_000);
    assert!(!is_restoring(&world.status(1)), "{:?}", world.status(1));
    // Tower 4 comes back while tower 1 is away, and hears of its serial 2 from the others.
    lose(&mut world, 4);
    world.kill(1);
    world.start(4);
    world.run_ms(1_000);
    let chains = |world: &World, at: usize| {
        let mut store = world.nodes[at].store.clone();
        let rows = store
            .begin()
            .rows(
                belfry_protocol::engine::store::Table::Certificates,
                &[],
                100,
            )
            .unwrap();
        let of = rows.into_iter().find(|(key, _)| key == b"t1.example");
        of.map_or(0, |(_, row)| {
            String::from_utf8_lossy(&row)
                .matches("belfry-key-cert/v1")
                .count()
        })
    };
    assert_eq!(chains(&world, 4), 2);
}

#[test]
fn a_human_can_let_two_lost_towers_go_on() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(200);
    lose(&mut world, 2);
    lose(&mut world, 3);
    world.start(2);
    world.start(3);
    world.run_ms(10_000);
    for tower in [2, 3] {
        assert_eq!(world.status(tower).phase, "restoring");
        world.kill(tower);
        let mut tx = world.nodes[tower].store.begin();
        accept_restored(&mut tx, &["a.example/line".to_owned()]).unwrap();
        tx.commit().unwrap();
        world.start(tower);
    }
    world.run_ms(15_000);
    world.append(0, "two");
    world.run_ms(3_000);
    // They hold, promise and ack again: neither can wait for the other.
    assert_eq!(world.status(0).phase, "active");
    assert_eq!(world.nodes[0].acked, 2);
    assert_eq!(world.status(2).mirrors[0].held, 2, "{:?}", world.status(2));
    no_fork(&world);
}

/// Found by the simulator (seed 84): each waited for the other, although both together are no more than may be faulty.
#[test]
fn two_lost_towers_of_seven_do_not_wait_for_each_other() {
    let mut world = World::new(7, 5);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(500);
    lose(&mut world, 2);
    lose(&mut world, 3);
    world.start(2);
    world.start(3);
    world.run_ms(20_000);
    world.append(0, "two");
    world.run_ms(3_000);
    for tower in [2, 3] {
        let status = world.status(tower);
        assert!(!is_restoring(&status), "{status:?}");
        assert_eq!((status.mirrors[0].held, status.mirrors[0].acked), (2, 2));
    }
    no_fork(&world);
}

#[test]
fn three_lost_towers_of_seven_wait_for_a_human() {
    let mut world = World::new(7, 5);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(500);
    for tower in [2, 3, 4] {
        lose(&mut world, tower);
    }
    for tower in [2, 3, 4] {
        world.start(tower);
    }
    world.run_ms(20_000);
    for tower in [2, 3, 4] {
        assert_eq!(world.status(tower).phase, "restoring");
    }
    no_fork(&world);
}

#[test]
fn two_digests_of_ours_with_one_size_silence_us_for_ever() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(200);
    let forged = world.forged(1, 9);
    world.gossip(0, 1, forged);
    let forks = |alarm: &&Alarm| matches!(alarm, Alarm::Fork { .. });
    assert_eq!(world.nodes[0].alarms.iter().filter(forks).count(), 1);
    world.append(0, "two");
    world.run_ms(1_000);
    assert!(world.status(0).phase.contains("fork proof"));
    world.kill(0);
    world.start(0);
    world.run_ms(3_000);
    assert!(world.status(0).phase.contains("fork proof"));
    assert_eq!(world.size(0), 1);
}

#[test]
fn a_digest_of_ours_that_we_did_not_make_stops_us_until_a_restart() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(200);
    let forged = world.forged(7, 9);
    world.gossip(0, 1, forged);
    assert!(
        world.status(0).phase.starts_with("stopped"),
        "{:?}",
        world.status(0)
    );
    world.append(0, "two");
    world.run_ms(500);
    assert_eq!(world.size(0), 1);
    // Nobody else saw it: a restart recovers, and goes on.
    world.kill(0);
    world.start(0);
    world.run_ms(3_000);
    world.append(0, "two");
    world.run_ms(500);
    assert_eq!(world.nodes[0].acked, 2, "{:?}", world.status(0));
}

#[test]
fn a_retired_ledger_takes_nothing_more() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(200);
    world.retire(0, "b.example/line");
    world.run_ms(500);
    assert_eq!((world.size(0), world.nodes[0].acked), (2, 2));
    world.append(0, "two");
    assert!(
        world.nodes[0]
            .refusals
            .pop()
            .unwrap()
            .contains("b.example/line")
    );
    world.kill(0);
    world.start(0);
    world.run_ms(2_000);
    assert!(world.status(0).phase.contains("b.example/line"));
    // One that cannot recover can be retired, too.
    let mut other = World::new(3, 2);
    other.run_ms(500);
    for tower in 1..=3 {
        other.kill(tower);
    }
    other.kill(0);
    other.start(0);
    other.run_ms(500);
    assert_eq!(other.status(0).phase, "recovering");
    other.retire(0, "b.example/line");
    assert!(other.status(0).phase.contains("b.example/line"));
    assert_eq!(other.size(0), 0);
}
