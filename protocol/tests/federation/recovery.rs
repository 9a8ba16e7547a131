//! Second copies, rolled-back and restored towers, and random schedules of faults with the rules checked at the end.

use crate::no_fork;
use crate::world::{Node, World};
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::cosignature;
use belfry_protocol::engine::federation::{Alarm, Status};
use belfry_protocol::engine::mem::MemStore;
use belfry_protocol::engine::store::Place;
use belfry_protocol::note::SignedNote;
use std::collections::BTreeMap;

impl World {
    fn status_or_none(&self, at: usize) -> Option<Status> {
        self.is_up(at).then(|| self.status(at))
    }
}

#[test]
fn of_two_live_copies_the_older_stops() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(100);
    let mut copy = Node {
        store: world.nodes[0].store.clone(),
        starts: 100,
        from_sizes: vec![0],
        ..Node::default()
    };
    world.swap(0, &mut copy);
    world.start(0);
    world.heal();
    world.run_ms(2_000);
    world.append(0, "by the copy");
    world.run_ms(500);
    assert_eq!(world.nodes[0].acked, 2, "{:?}", world.status(0));
    // The first one comes back and knows nothing of the other.
    world.swap(0, &mut copy);
    world.heal();
    world.append(0, "by the first");
    world.run_ms(5_000);
    let status = world.status(0);
    assert!(status.phase.starts_with("stopped"), "{status:?}");
    let second = |alarm: &&Alarm| matches!(alarm, Alarm::SecondCopy { .. });
    assert_eq!(world.nodes[0].alarms.iter().filter(second).count(), 1);
    let theirs = copy.digests.clone();
    world.nodes[0].digests.extend(theirs);
    no_fork(&world);
    // The copy goes on.
    world.swap(0, &mut copy);
    world.heal();
    world.append(0, "by the copy again");
    world.run_ms(3_000);
    assert!(world.nodes[0].acked >= 3, "{:?}", world.status(0));
    no_fork(&world);
}

/// Every ack of a tower in order: size, root, time.
fn acks(world: &World, tower: usize) -> Vec<(u64, String, u64)> {
    let name = world.name(tower);
    let mut list = Vec::new();
    for (at, bytes) in &world.answers {
        let Some(note) = bytes
            .get(12..)
            .and_then(|note| SignedNote::parse(note).ok())
        else {
            continue;
        };
        let digest = Checkpoint::parse(note.text()).unwrap();
        for line in note.signatures() {
            if *at == tower && line.name() == name {
                let time = cosignature::timestamp(line).unwrap();
                list.push((digest.size, digest.root.to_string(), time));
            }
        }
    }
    list
}

fn acks_are_in_order(world: &World, tower: usize) {
    let list = acks(world, tower);
    for pair in list.windows(2) {
        assert!(pair[0].0 <= pair[1].0, "tower {tower}: {pair:?}");
        assert!(pair[0].2 <= pair[1].2, "tower {tower}: {pair:?}");
        assert!(pair[0].0 != pair[1].0 || pair[0].1 == pair[1].1, "{pair:?}");
    }
}

#[test]
fn a_rolled_back_tower_never_acks_backwards() {
    let mut world = World::new(4, 3);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(100);
    let old = world.nodes[1].store.clone();
    for number in 0..30 {
        world.append(0, &number.to_string());
        world.run_ms(100);
    }
    world.kill(1);
    world.nodes[1].store = old;
    world.start(1);
    world.run_ms(3_000);
    let back = |alarm: &Alarm| matches!(alarm, Alarm::TowerRolledBack { .. });
    assert!(
        world.nodes[1].alarms.iter().any(back),
        "{:?}",
        world.status(1)
    );
    world.append(0, "after");
    world.run_ms(40_000);
    assert_eq!(world.nodes[0].acked, 32);
    assert_eq!(
        world.status(1).mirrors[0].acked,
        32,
        "{:?}",
        world.status(1)
    );
    assert!(acks(&world, 1).len() > 20);
    acks_are_in_order(&world, 1);
    no_fork(&world);
}

/// Schedules that are tried; `BELFRY_SCHEDULES=1000` tries more.
#[allow(
    clippy::disallowed_methods,
    reason = "a test may be told how much to try"
)]
fn seeds() -> u64 {
    let more = std::env::var("BELFRY_SCHEDULES").ok();
    more.and_then(|text| text.parse().ok()).unwrap_or(40)
}

/// A generator for schedules.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

fn entries(world: &World, node: usize, place: u32) -> Vec<Vec<u8>> {
    world.nodes[node].store.entries_of(Place(place)).unwrap()
}

/// What every acked digest covered when it was acked, by size.
fn note_acked(world: &World, covered: &mut BTreeMap<u64, Vec<Vec<u8>>>) {
    let acked = world.nodes[0].acked;
    if acked == 0 || covered.contains_key(&acked) {
        return;
    }
    for node in 0..world.nodes.len() {
        let place = u32::from(node != 0);
        let list = entries(world, node, place);
        let held = match node {
            0 => world.status_or_none(0).map_or(0, |one| one.acked),
            _ => world.held(node),
        };
        if held >= acked {
            let size = usize::try_from(acked).unwrap();
            covered.insert(acked, list[..size].to_vec());
            return;
        }
    }
}

/// A tower loses its disk, unless another one did not get over that yet: no more than that is promised (R3).
fn lose_tower(world: &mut World, tower: usize) {
    let whole = |at: usize| {
        let whole = |one: belfry_protocol::engine::federation::Status| {
            one.restoring.is_empty() && !one.needs_serial
        };
        at == tower || world.status_or_none(at).is_some_and(whole)
    };
    if (1..world.nodes.len()).all(whole) {
        world.kill(tower);
        world.nodes[tower].store = MemStore::default();
        world.nodes[tower].restored = true;
        world.start(tower);
    }
}

fn schedule(seed: u64, events: u32) {
    let (towers, k) = if seed.is_multiple_of(2) {
        (3, 2)
    } else {
        (4, 3)
    };
    let mut world = World::new(towers, k);
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut covered = BTreeMap::new();
    let mut old = world.nodes[0].store.clone();
    world.run_ms(500);
    for event in 0..events {
        let any = usize::try_from(dice.roll(towers as u64 + 1)).unwrap();
        let other = usize::try_from(dice.roll(towers as u64 + 1)).unwrap();
        match dice.roll(40) {
            0..=15 => world.append(0, &event.to_string()),
            16 | 17 => world.kill(any),
            18..=21 if !world.is_up(any) => world.start(any),
            22 if any != other => world.cut(any, other),
            23 | 24 => world.heal(),
            25 => old = world.nodes[0].store.clone(),
            26 => {
                world.kill(0);
                world.nodes[0].store = old.clone();
                world.start(0);
            }
            27 if dice.roll(4) == 0 => {
                world.kill(0);
                world.nodes[0].store = MemStore::default();
                old = MemStore::default();
                world.start(0);
            }
            28 if dice.roll(4) == 0 && any != 0 => lose_tower(&mut world, any),
            _ => {
                let time = 1 + dice.roll(120);
                world.run_ms(time);
            }
        }
        note_acked(&world, &mut covered);
    }
    for node in 0..=towers {
        if !world.is_up(node) {
            world.start(node);
        }
    }
    world.heal();
    world.run_ms(10_000);
    no_fork(&world);
    let status = world.status(0);
    assert!(
        status.phase == "active" || status.phase.starts_with("stopped"),
        "seed {seed}: {status:?}"
    );
    if status.phase == "active" {
        let size = world.size(0);
        world.append(0, "last");
        world.run_ms(3_000);
        assert!(
            world.nodes[0].acked > size,
            "seed {seed}: {:?} {:?} {:?}",
            world.status(0),
            world.lost,
            (1..=towers)
                .map(|at| (world.status(at), world.nodes[at].alarms.clone()))
                .collect::<Vec<_>>()
        );
    }
    note_acked(&world, &mut covered);
    for (size, list) in &covered {
        let size = usize::try_from(*size).unwrap();
        let holds =
            |node: usize| entries(&world, node, u32::from(node != 0)).get(..size) == Some(list);
        assert!(
            status.phase != "active" || holds(0),
            "seed {seed}: factory lost {size}"
        );
        let on = (1..=towers).filter(|tower| holds(*tower)).count();
        assert!(on >= k as usize, "seed {seed}: {size} is on {on} towers");
    }
    for tower in 1..=towers {
        acks_are_in_order(&world, tower);
    }
}

#[test]
fn random_schedules_keep_the_rules() {
    for seed in 1..=seeds() {
        schedule(seed, 300);
    }
}
