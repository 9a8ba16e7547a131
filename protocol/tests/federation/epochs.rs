//! Ledgers across epochs (R14): joint digests, towers that join and leave, who was away, and who comes back from nothing.

use crate::founding::line;
use crate::no_fork;
use crate::world::{Node, World};
use belfry_protocol::engine::RequestId;
use belfry_protocol::engine::federation::Input;
use belfry_protocol::engine::federation::epochs::JointRow;
use belfry_protocol::engine::ledger;
use belfry_protocol::engine::store::{Table, Transaction};
use belfry_protocol::entry::json::Json;
use belfry_protocol::genesis::ceremony::active_body;
use belfry_protocol::manifest::{Federation, Manifest, smallest_amendment};

impl Node {
    pub(crate) fn new(epochs: usize) -> Self {
        Self {
            from_sizes: vec![0],
            epochs,
            ..Self::default()
        }
    }
}

impl World {
    /// The next epoch, with what `change` does to the members.
    fn next_epoch(&mut self, k: u32, change: impl FnOnce(&mut Manifest)) {
        let newest = self.epochs[self.epochs.len() - 1].clone();
        let mut manifest = newest.manifest().clone();
        manifest.epoch += 1;
        manifest.previous = Some(newest.hash());
        manifest.tower_quorum = k;
        change(&mut manifest);
        manifest.members.sort_by(|a, b| a.name.cmp(&b.name));
        let count = u32::try_from(manifest.members.len()).unwrap();
        manifest.amendment_threshold = smallest_amendment(count).unwrap();
        newest.manifest().check_successor(&manifest).unwrap();
        self.epochs
            .push(Federation::new(newest.id(), manifest).unwrap());
    }

    /// A node learns the next epoch.
    fn enter(&mut self, at: usize) {
        let known = self.nodes[at].epochs;
        let next = self.epochs[known].clone();
        self.nodes[at].epochs += 1;
        if let Some(engine) = &mut self.nodes[at].engine {
            assert!(engine.amend(next));
        }
        self.step(at, vec![Input::Tick]);
    }

    /// As a ceremony does that tells of the epoch before it is in force.
    fn enter_told(&mut self, at: usize) {
        let newest = &self.epochs[self.nodes[at].epochs];
        let body = active_body(&newest.id(), newest.manifest().epoch, &newest.hash());
        self.requests += 1;
        let input = ledger::Input::System {
            request: RequestId(self.requests),
            kind: "genesis.active",
            body: Json::parse(body.as_bytes()).unwrap(),
        };
        self.step(at, vec![Input::Ledger(input)]);
        self.enter(at);
    }

    fn everybody_enters(&mut self) {
        for at in 0..self.nodes.len() {
            if self.nodes[at].epochs < self.epochs.len() {
                self.enter(at);
            }
        }
    }

    /// A node that is in the newest epoch only.
    fn join(&mut self, name: &str) -> usize {
        self.names.push(name.to_owned());
        self.nodes.push(Node::new(self.epochs.len()));
        self.start(self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    /// What a node knows of how the first node's ledger came into an epoch.
    fn joint(&self, at: usize, epoch: u64) -> Option<JointRow> {
        let mut store = self.nodes[at].store.clone();
        let key = JointRow::key(self.name(0), epoch);
        let row = store.begin().row(Table::Joints, &key).unwrap();
        row.map(|row| JointRow::decode(&row).unwrap())
    }

    fn write(&mut self, count: usize) {
        for number in 0..count {
            self.append(0, &number.to_string());
            self.run_ms(20);
        }
        self.run_ms(2_500);
    }
}

/// Of the three towers the first alone stays.
fn two_of_three_are_new(next: &mut Manifest) {
    let left = ["t2.example", "t3.example"];
    next.members
        .retain(|one| !left.contains(&one.name.as_str()));
    for name in ["t4.example", "t5.example"] {
        next.members.push(line(name, false, true));
    }
}

/// Three towers, of which two must hold; four entries.
fn founded() -> World {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.write(4);
    assert_eq!(world.nodes[0].acked, 4);
    world
}

#[test]
fn a_joint_digest_carries_both_quorums_and_a_new_tower_acks_from_there_on() {
    let mut world = founded();
    world.next_epoch(3, |next| next.members.push(line("t4.example", false, true)));
    world.enter_told(0);
    world.everybody_enters();
    let new = world.join("t4.example");
    world.write(4);
    assert_eq!(world.nodes[0].acked, 9, "{:?}", world.status(0));
    let joint = world.joint(0, 1).unwrap();
    assert_eq!(joint.index, 4);
    assert!(joint.size > 4, "{joint:?}");
    // Everybody was shown it, the new tower too, and that holds all of the ledger.
    for tower in [1, 2, 3, new] {
        let shown = world.joint(tower, 1).unwrap();
        assert_eq!((shown.index, shown.size), (4, joint.size), "tower {tower}");
    }
    let mirror = &world.status(new).mirrors[0];
    assert_eq!((mirror.held, mirror.acked), (9, 9));
    // Its quorum is that of the new epoch: with two of four towers nothing is acknowledged.
    world.kill(1);
    world.kill(2);
    world.write(1);
    assert_eq!(world.nodes[0].acked, 9);
    // A tower that starts asks all the other three.
    world.start(1);
    world.start(2);
    world.run_ms(3_000);
    assert_eq!(world.nodes[0].acked, 10, "{:?}", world.status(0));
    no_fork(&world);
}

#[test]
fn what_is_after_an_activation_waits_for_the_towers_of_both_epochs() {
    let mut world = founded();
    // All towers but one are new.
    world.next_epoch(2, two_of_three_are_new);
    world.everybody_enters();
    world.write(2);
    assert_eq!(world.nodes[0].acked, 4, "the new towers are not there yet");
    world.join("t4.example");
    world.join("t5.example");
    world.run_ms(3_000);
    assert_eq!(world.nodes[0].acked, 7, "{:?}", world.status(0));
    assert!(world.joint(0, 1).unwrap().size > 4);
    // Who left is not connected any more, and is not asked.
    for gone in [2, 3] {
        let peers = world.status(0).peers;
        assert!(
            peers.iter().all(|one| one.name != world.name(gone)),
            "{gone}"
        );
    }
    world.write(1);
    assert_eq!(world.nodes[0].acked, 8);
    no_fork(&world);
}

#[test]
fn without_the_old_quorum_nothing_of_the_new_epoch_counts() {
    let mut world = founded();
    world.next_epoch(2, |next| {
        next.members.retain(|one| one.name != "t3.example");
        next.members.push(line("t4.example", false, true));
    });
    // Two of the three old towers are away: t1 and t4 are a quorum of the new epoch alone.
    for other in [0, 1] {
        world.cut(other, 2);
        world.cut(other, 3);
    }
    world.enter(0);
    world.enter(1);
    world.join("t4.example");
    world.write(3);
    assert_eq!(world.nodes[0].acked, 4, "{:?}", world.status(0));
    assert!(!world.joint(0, 1).unwrap().welcome);
    // They come back, and one has not heard of the epoch: its word is what was missing.
    world.enter(3);
    world.heal();
    world.run_ms(4_000);
    assert_eq!(world.nodes[0].acked, 8, "{:?}", world.status(0));
    no_fork(&world);
}

#[test]
fn a_tower_that_was_lost_is_replaced_and_restarts_wait_for_nobody_who_left() {
    let mut world = founded();
    world.kill(3);
    world.next_epoch(2, |next| {
        next.members.retain(|one| one.name != "t3.example");
        next.members.push(line("t4.example", false, true));
    });
    for at in 0..3 {
        world.enter(at);
    }
    let new = world.join("t4.example");
    world.write(1);
    assert_eq!(world.nodes[0].acked, 6, "{:?}", world.status(0));
    // A restart of any of them asks the towers of the new epoch.
    for at in [0, 1, 2, new] {
        world.kill(at);
        world.run_ms(100);
        world.start(at);
        world.run_ms(3_000);
        world.append(0, &format!("after {at}"));
        world.run_ms(2_000);
    }
    assert_eq!(world.nodes[0].acked, 10, "{:?}", world.status(0));
    no_fork(&world);
}

#[test]
fn a_restart_in_the_middle_goes_on_where_it_was() {
    let mut world = founded();
    world.next_epoch(2, two_of_three_are_new);
    world.everybody_enters();
    world.write(1);
    assert_eq!(world.nodes[0].acked, 4);
    // It recovers with the old towers, and those of the new epoch: there are not enough of these yet.
    for at in [0, 1, 2] {
        world.kill(at);
        world.start(at);
    }
    world.run_ms(1_000);
    assert_eq!(world.status(0).phase, "recovering");
    world.join("t4.example");
    world.join("t5.example");
    world.run_ms(4_000);
    world.write(1);
    let size = world.size(0);
    assert_eq!(world.nodes[0].acked, size, "{:?}", world.status(0));
    assert!(world.joint(0, 1).unwrap().size > 4);
    no_fork(&world);
}

#[test]
fn two_epochs_at_once_are_both_joined() {
    let mut world = founded();
    world.next_epoch(3, |next| next.members.push(line("t4.example", false, true)));
    world.next_epoch(3, |next| {
        next.members.retain(|one| one.name != "t3.example");
        next.members.push(line("t5.example", false, true));
    });
    // The factory knows both before anybody of the new ones is there.
    world.everybody_enters();
    world.everybody_enters();
    let fourth = world.join("t4.example");
    let fifth = world.join("t5.example");
    world.write(2);
    world.run_ms(3_000);
    assert_eq!(world.nodes[0].acked, 8, "{:?}", world.status(0));
    for epoch in [1, 2] {
        assert!(world.joint(0, epoch).unwrap().size > 0, "epoch {epoch}");
    }
    for tower in [1, 2, fourth, fifth] {
        assert_eq!(world.status(tower).mirrors[0].acked, 8, "tower {tower}");
    }
    no_fork(&world);
}

#[test]
fn a_factory_that_lost_its_disk_and_knows_the_old_epoch_only_signs_nothing() {
    let mut world = founded();
    world.next_epoch(2, two_of_three_are_new);
    // One who leaves has not heard of it, and answers as before.
    for at in [0, 1, 2] {
        world.enter(at);
    }
    for name in ["t4.example", "t5.example"] {
        world.join(name);
    }
    world.write(2);
    assert_eq!(world.nodes[0].acked, 7, "{:?}", world.status(0));
    super::restored::lose(&mut world, 0);
    world.nodes[0].epochs = 1;
    world.cut(0, 1);
    for _ in 0..2 {
        world.kill(0);
        world.start(0);
        world.run_ms(8_000);
        world.append(0, "of the old epoch");
        world.run_ms(1_000);
        assert_ne!(world.status(0).phase, "active", "{:?}", world.status(0));
    }
    // Once it is told it asks the towers of the new epoch, too, and goes on.
    world.nodes[0].epochs = 2;
    let next = world.epochs[1].clone();
    assert!(world.nodes[0].engine.as_mut().unwrap().amend(next));
    for _ in 0..5 {
        world.heal();
        world.run_ms(2_000);
    }
    world.write(1);
    let size = world.size(0);
    assert_eq!(world.nodes[0].acked, size, "{:?}", world.status(0));
    assert_eq!(world.joint(0, 1).unwrap().index, 4);
    assert_eq!(world.status(0).judged_by, Some(1));
    no_fork(&world);
}

#[test]
fn who_joins_later_need_not_know_the_towers_of_all_epochs() {
    let mut world = founded();
    let replace = |world: &mut World, gone: &[&str], new: &str, k: u32| {
        world.next_epoch(k, |next| {
            next.members
                .retain(|one| !gone.contains(&one.name.as_str()));
            next.members.push(line(new, false, true));
        });
        world.everybody_enters();
        world.join(new);
        for _ in 0..3 {
            world.run_ms(2_000);
            world.heal();
        }
        world.write(1);
        let size = world.size(0);
        assert_eq!(world.nodes[0].acked, size, "{new}: {:?}", world.status(0));
    };
    replace(&mut world, &["t1.example"], "t4.example", 2);
    replace(&mut world, &["t2.example"], "t5.example", 2);
    replace(&mut world, &["t3.example"], "t6.example", 2);
    for gone in [1, 2, 3] {
        world.kill(gone);
    }
    replace(&mut world, &[], "t7.example", 3);
    assert_eq!(world.status(0).judged_by, Some(4));
    assert_eq!(world.status(7).mirrors[0].acked, world.size(0));
    no_fork(&world);
}

#[test]
fn what_a_step_that_failed_had_found_is_found_again() {
    let mut world = founded();
    world.next_epoch(3, |next| next.members.push(line("t4.example", false, true)));
    world.everybody_enters();
    world.join("t4.example");
    world.write(1);
    for at in 0..5 {
        world.nodes[at].engine.as_mut().unwrap().forget();
    }
    world.run_ms(3_000);
    world.write(1);
    assert_eq!(world.status(0).judged_by, Some(1));
    assert_eq!(world.nodes[0].acked, world.size(0), "{:?}", world.status(0));
    no_fork(&world);
}

#[test]
fn a_factory_that_left_signs_nothing_more() {
    let mut world = World::with_both(4, 3, 1);
    world.run_ms(500);
    world.write(2);
    world.next_epoch(2, |next| {
        next.members.retain(|one| one.name != "a.example/line")
    });
    world.everybody_enters();
    world.run_ms(1_000);
    assert!(
        world
            .status(0)
            .phase
            .starts_with("stopped: this node is no member from epoch 1 on"),
        "{:?}",
        world.status(0)
    );
    let before = world.nodes[0].digests.len();
    world.write(1);
    assert_eq!(world.nodes[0].digests.len(), before);
    no_fork(&world);
}

/// A small generator: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

/// Epochs come while nodes fall, links are cut and entries arrive; in the end everybody is there, and the ledger goes on.
fn storm(seed: u64) {
    let mut dice = Dice(seed);
    let mut world = founded();
    let mut joined = Vec::new();
    for _ in 0..30 {
        match dice.roll(10) {
            0 if world.epochs.len() < 4 => {
                let name = format!("n{}.example", world.epochs.len());
                // Of three to five towers, 2 to 3 must hold; one leaves, if enough are left.
                let leaves = dice.roll(2) == 0;
                let mut towers = 0;
                world.next_epoch(2, |next| {
                    next.members.push(line(&name, false, true));
                    if leaves {
                        let gone = next.members.iter().position(|one| one.tower);
                        next.members.remove(gone.unwrap());
                    }
                    towers = u32::try_from(next.members.len()).unwrap() - 1;
                    next.tower_quorum = belfry_protocol::manifest::Quorum::smallest(towers)
                        .unwrap()
                        .needed;
                });
                joined.push(name);
            }
            1 | 2 => {
                let at = dice.roll(world.nodes.len());
                if world.nodes[at].epochs < world.epochs.len() && world.nodes[at].engine.is_some() {
                    world.enter(at);
                }
            }
            3 => {
                let at = dice.roll(world.nodes.len());
                world.kill(at);
            }
            4 => {
                let at = dice.roll(world.nodes.len());
                if world.nodes[at].engine.is_none() {
                    world.start(at);
                }
            }
            5 => {
                let (a, b) = (dice.roll(world.nodes.len()), dice.roll(world.nodes.len()));
                if a != b {
                    world.cut(a, b);
                }
            }
            6 => world.heal(),
            7 if dice.roll(3) == 0 => {
                super::restored::lose(&mut world, 0);
                world.start(0);
            }
            _ => world.append(0, "in the storm"),
        }
        // Whoever joins comes once somebody knows the epoch that names it.
        let known = world.nodes[0].epochs;
        if known > 1 && dice.roll(2) == 0 {
            for (at, name) in joined.iter().enumerate() {
                if !world.names.contains(name) && at + 1 < known {
                    world.names.push(name.clone());
                    world.nodes.push(Node::new(at + 2));
                    world.start(world.nodes.len() - 1);
                }
            }
        }
        let pause = dice.roll(800) as u64;
        world.run_ms(pause);
    }
    for (at, name) in joined.iter().enumerate() {
        if !world.names.contains(name) {
            world.names.push(name.clone());
            world.nodes.push(Node::new(at + 2));
        }
    }
    world.heal();
    for at in 0..world.nodes.len() {
        if world.nodes[at].engine.is_none() {
            world.start(at);
        }
    }
    world.run_ms(2_000);
    for _ in 0..4 {
        world.everybody_enters();
    }
    // Whoever was refused while it was behind is dialled again.
    for _ in 0..10 {
        world.heal();
        world.run_ms(2_000);
    }
    world.run_ms(10_000);
    world.append(0, "after the storm");
    world.run_ms(5_000);
    let size = world.size(0);
    assert_eq!(
        world.nodes[0].acked,
        size,
        "seed {seed}: {:?}",
        world.status(0)
    );
    for epoch in 1..world.epochs.len() as u64 {
        let joint = world.joint(0, epoch).unwrap();
        assert!(
            joint.size > joint.index,
            "seed {seed}, epoch {epoch}: {joint:?}"
        );
        // Counted by names, without the code under test.
        let note = joint.joint().unwrap();
        for of in [epoch - 1, epoch] {
            let manifest = world.epochs[usize::try_from(of).unwrap()].manifest();
            let towers = manifest.members.iter().filter(|one| one.tower);
            let signed =
                towers.filter(|one| note.contains(&format!("\u{2014} {}/mirror ", one.name)));
            assert!(
                signed.count() >= manifest.tower_quorum as usize,
                "seed {seed}, epoch {of}: {note}"
            );
        }
    }
    no_fork(&world);
}

#[test]
fn storms_end() {
    let seeds = 0..20;
    for seed in seeds {
        storm(seed);
    }
}
