//! Revocations (R6): when they act, what counts then, and what a note by a revoked key shows.

use crate::founding::{certificates, end_of, keys, own_keys, seed};
use crate::no_fork;
use crate::world::{Instead, World};
use belfry_protocol::cert::{Reason, Revocation, certificate_hash};
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::engine::federation::{Alarm, Input};
use belfry_protocol::note::{SignedNote, SigningKey};
use belfry_protocol::wire::v1::Kind;
use belfry_protocol::wire::{Frame, Version};

const LINE: &str = "a.example/line";

fn revocation(name: &str, from_sizes: &[u64], serial: u64) -> SignedNote {
    let at = usize::try_from(serial - 1).unwrap();
    let said = Revocation {
        node: name.to_owned(),
        serial,
        certificate: certificate_hash(&certificates(name, from_sizes)[at]),
        reason: Reason::Compromised,
        time_seconds: 1,
    };
    let identity = SigningKey::ed25519(name, seed(name, "identity")).unwrap();
    said.sign(&identity).unwrap()
}

impl World {
    /// Withdraws the serial before the newest of a node, as its operator does.
    fn revoke(&mut self, at: usize) -> SignedNote {
        let name = self.name(at).to_owned();
        let from_sizes = self.nodes[at].from_sizes.clone();
        let note = revocation(&name, &from_sizes, from_sizes.len() as u64 - 1);
        let mut keys = own_keys(&name, &from_sizes);
        keys.before = None;
        keys.log = keys.log.both_until(0);
        self.nodes[at].engine.as_mut().unwrap().renew(keys);
        self.step(at, vec![Input::Revoke(Box::new(note.clone()))]);
        note
    }

    fn acts_at(&self, at: usize) -> Vec<String> {
        let revoked = self.status(at).revoked;
        revoked.into_iter().flat_map(|one| one.acts_for).collect()
    }

    fn stolen(&self, at: usize) -> Vec<&Alarm> {
        let alarms = self.nodes[at].alarms.iter();
        let stolen = alarms.filter(|alarm| matches!(alarm, Alarm::StolenKey { .. }));
        stolen.collect()
    }
}

/// A federation that acknowledged a little, in which a node has keys of a second serial.
fn rotated(at: usize) -> World {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(200);
    world.rotate(at);
    world.append(0, "two");
    world.run_ms(1_000);
    world
}

#[test]
fn a_revocation_acts_for_a_ledger_once_its_entry_there_is_acked() {
    let mut world = rotated(1);
    let before = world.nodes[0].acked;
    world.kill(3);
    world.revoke(1);
    world.run_ms(1_500);
    // The entry in the factory's ledger is acknowledged by the other tower and by the new key of this one.
    assert_eq!(world.nodes[0].acked, before + 1, "{:?}", world.status(0));
    for node in 0..3 {
        assert_eq!(world.acts_at(node), [LINE], "node {node}");
    }
    assert_eq!(world.status(0).revoked[0].reason, "compromised");
    // Who was away hears of it, and a restart changes nothing.
    world.start(3);
    world.append(0, "three");
    world.run_ms(3_000);
    assert_eq!(world.acts_at(3), [LINE]);
    for node in [0, 2] {
        world.kill(node);
        world.start(node);
    }
    world.run_ms(3_000);
    for node in [0, 2, 3] {
        assert_eq!(world.acts_at(node), [LINE], "node {node}");
    }
    let size = world.size(0);
    world.append(0, "four");
    world.run_ms(1_000);
    assert_eq!((world.size(0), world.nodes[0].acked), (size + 1, size + 1));
    no_fork(&world);
    assert!(world.nodes.iter().all(|node| node.alarms.is_empty()));
}

#[test]
fn a_factory_that_lost_its_disk_tells_of_a_revocation_once() {
    let mut world = rotated(1);
    world.revoke(1);
    world.run_ms(1_500);
    let size = world.size(0);
    world.kill(0);
    world.nodes[0].store = Default::default();
    world.start(0);
    world.run_ms(4_000);
    world.append(0, "three");
    world.run_ms(1_000);
    // The `restore` entry and the new one.
    assert_eq!((world.size(0), world.nodes[0].acked), (size + 2, size + 2));
    assert_eq!(world.acts_at(0), [LINE]);
}

/// The lines of tower 1 as a thief of its first serial would make them: without those of its new keys.
fn as_the_thief(world: &World, at: usize, bytes: &[u8]) -> Option<Vec<u8>> {
    at_second(world, at, bytes, 1_795_168_900)
}

/// The lines of tower 1 by its first serial, with this time.
fn at_second(world: &World, at: usize, bytes: &[u8], seconds: u64) -> Option<Vec<u8>> {
    let acks = Kind::Acks.number().to_le_bytes();
    if at != 1 || bytes.get(6..8) != Some(acks.as_slice()) {
        return None;
    }
    let note = SignedNote::parse(&bytes[12..]).unwrap();
    let name = world.name(1);
    let ours = |line: &&belfry_protocol::note::SignatureLine| !line.name().starts_with(name);
    let logs = note.signatures().iter().filter(ours).cloned().collect();
    let mut made = SignedNote::new(note.text(), logs).unwrap();
    let [_, _, ack, mirror] = keys(name, 1);
    for key in [ack, mirror] {
        let line = key.cosign(note.text(), seconds).unwrap();
        made = made.with_signature(line).unwrap();
    }
    let text = made.to_string();
    Some(Frame::encode(
        Version::V1_0,
        Kind::Acks.number(),
        text.as_bytes(),
    ))
}

#[test]
fn the_digest_that_covers_a_revocation_needs_its_quorum_without_the_revoked_key() {
    let mut world = rotated(1);
    let before = world.nodes[0].acked;
    world.kill(3);
    world.instead = Some(as_the_thief);
    world.revoke(1);
    world.run_ms(3_000);
    // Two towers of three are a quorum, and one of the two lines is by the revoked key.
    assert_eq!(world.nodes[0].acked, before, "{:?}", world.status(0));
    assert_eq!(world.acts_at(0), [""; 0]);
    assert_eq!(world.stolen(0).len(), 1, "{:?}", world.nodes[0].alarms);
    assert_eq!(world.status(0).odd_digests.len(), 1, "kept, to be shown");
    assert_eq!(world.status(0).forks, []);
    world.start(3);
    world.run_ms(3_000);
    assert_eq!(world.nodes[0].acked, before + 1);
    assert_eq!(world.acts_at(0), [LINE]);
}

#[test]
fn a_tower_that_hears_of_no_revocation_learns_of_it_from_the_ledger() {
    let mut world = rotated(1);
    world.deaf = Some((2, &[Kind::Revocations]));
    world.revoke(1);
    world.run_ms(1_500);
    assert_eq!(world.acts_at(2), [LINE]);
    // It tells its own ledger, too, and who forgets nothing hears nothing new.
    world.kill(2);
    world.start(2);
    world.run_ms(1_500);
    assert_eq!(world.acts_at(2), [LINE]);
}

#[test]
fn a_tower_that_learns_of_a_revocation_after_its_entry_went_to_files_knows_where_it_is() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.append(0, "one");
    world.run_ms(200);
    // Neither the second and third certificate nor the revocation of the second come to this tower.
    world.deaf = Some((2, &[Kind::Revocations, Kind::Chains]));
    world.cut(1, 2);
    for _ in 0..2 {
        world.rotate(1);
        world.run_ms(5_000);
    }
    world.revoke(1);
    world.run_ms(1_000);
    for number in 0..260 {
        world.append(0, &format!("filler {number}"));
        world.run_ms(20);
    }
    world.run_ms(2_000);
    assert_eq!(world.status(2).revoked, []);
    let flushed = Input::MirrorFlushed {
        origin: LINE.to_owned(),
        through: 256,
    };
    world.step(2, vec![flushed]);
    world.deaf = None;
    world.heal();
    world.run_ms(70_000);
    assert_eq!(world.acts_at(2), [LINE], "{:?}", world.status(2));
}

/// The lines of tower 1 as of the moment in which its certificate ends.
fn as_of_the_end(world: &World, at: usize, bytes: &[u8]) -> Option<Vec<u8>> {
    at_second(world, at, bytes, end_of(1))
}

/// The same a second before.
fn as_of_just_before(world: &World, at: usize, bytes: &[u8]) -> Option<Vec<u8>> {
    at_second(world, at, bytes, end_of(1) - 1)
}

#[test]
fn an_ack_of_a_time_at_which_its_certificate_has_ended_counts_for_nobody() {
    for (instead, counts) in [(as_of_the_end as Instead, false), (as_of_just_before, true)] {
        let mut world = World::new(3, 2);
        world.run_ms(500);
        world.append(0, "one");
        world.run_ms(200);
        let before = world.nodes[0].acked;
        world.kill(3);
        world.instead = Some(instead);
        world.append(0, "two");
        world.run_ms(2_000);
        assert_eq!(world.nodes[0].acked > before, counts);
        world.instead = None;
        world.start(3);
        world.run_ms(3_000);
        assert!(world.nodes[0].acked > before);
    }
}

#[test]
fn before_it_acts_a_digest_under_the_old_log_key_is_a_fork_and_after_it_a_theft() {
    for revoked in [false, true] {
        let mut world = rotated(0);
        if revoked {
            world.revoke(0);
            world.run_ms(1_500);
            assert_eq!(world.acts_at(2), [LINE]);
        }
        let forged = world.forged(1, 9);
        world.gossip(2, 1, forged);
        world.run_ms(3_000);
        let forks = world.status(2).forks.len();
        let stolen = world.stolen(2).len();
        assert_eq!((forks, stolen), if revoked { (0, 1) } else { (1, 0) });
        let acked = world.nodes[0].acked;
        world.append(0, "goes on");
        world.run_ms(2_000);
        assert_eq!(
            world.nodes[0].acked > acked,
            revoked,
            "{:?}",
            world.status(0)
        );
    }
}

#[test]
fn a_revocation_by_anybody_else_changes_nothing() {
    let mut world = rotated(1);
    let name = world.name(1).to_owned();
    let good = revocation(&name, &world.nodes[1].from_sizes, 1);
    let thief = SigningKey::ed25519(&name, [9; 32]).unwrap();
    let forged = thief.signed_note(good.text()).unwrap();
    let other = revocation(&name, &[0], 1)
        .to_string()
        .replace("serial 1", "serial 2");
    for note in [forged.to_string(), other, "no note".to_owned()] {
        world.step(0, Vec::new());
        if let Ok(note) = SignedNote::parse(note.as_bytes()) {
            world.step(0, vec![Input::Revoke(Box::new(note))]);
        }
    }
    assert_eq!(world.status(0).revoked, []);
    // The checkpoint's own rules are not touched by a note that is none.
    assert!(Checkpoint::parse(good.text()).is_err());
}
