//! Evidence that must not get lost: digests of a form that no honest member signs, more claims than fit, a full disk, a lost
//! disk, and certificates that deny what was signed.

use super::forks::{digest_frame, identity, lived, other_digest, proofs, told, tree_of};
use super::founding::{peer_id, seed};
use crate::hostile::kind;
use crate::world::{World, wall};
use belfry_protocol::engine::Now;
use belfry_protocol::engine::federation::{Alarm, Input, Topic};
use belfry_protocol::engine::mem::MemStore;
use belfry_protocol::note::{SignedNote, SigningKey};
use belfry_protocol::tlog::hash::{Hash, empty_root};

const MARKS: u8 = 8;

/// Any text signed with the factory's log key.
fn signed_text(world: &World, size: u64, root: Hash, extension: &str) -> SignedNote {
    let name = world.name(0);
    let checkpoint = belfry_protocol::checkpoint::ForeignCheckpoint {
        origin: name.to_owned(),
        size,
        root,
        extensions: (!extension.is_empty())
            .then(|| extension.to_owned())
            .into_iter()
            .collect(),
    };
    let key = SigningKey::ed25519(name, seed(name, "log")).unwrap();
    key.signed_note(&checkpoint.to_text()).unwrap()
}

fn root_of(note: &SignedNote) -> Hash {
    belfry_protocol::checkpoint::Checkpoint::parse(note.text())
        .unwrap()
        .root
}

fn odd_alarms(world: &World, at: usize) -> usize {
    let odd = |alarm: &Alarm| matches!(alarm, Alarm::OddDigest { .. });
    world.alarms(at, odd).len()
}

#[test]
fn a_wrong_root_for_no_entries_is_a_fork() {
    for extension in ["", "more"] {
        let mut world = lived(3, 2, 0, 7);
        let lie = signed_text(&world, 0, Hash([7; 32]), extension);
        world.gossip(2, 1, digest_frame(&lie));
        world.run_ms(500);
        for at in 0..4 {
            let kept = proofs(&world, at);
            assert_eq!(kept.len(), 1, "node {at}");
            assert_eq!(kept[0].sizes(), Ok((0, 7)));
            kept[0].verify(&[identity(&world, 0)]).unwrap();
        }
        assert_eq!(world.status(2).mirrors[0].state, "forked");
        assert_eq!(odd_alarms(&world, 2), 1);
    }
}

#[test]
fn a_wrong_root_for_no_entries_waits_for_the_first_digest() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    let lie = signed_text(&world, 0, Hash([7; 32]), "");
    world.gossip(2, 1, digest_frame(&lie));
    world.run_ms(500);
    assert_eq!(world.status(2).forks, []);
    assert_eq!(world.status(2).odd_digests.len(), 1);
    world.kill(2);
    world.start(2);
    world.run_ms(2_000);
    world.append(0, "first");
    world.run_ms(2_000);
    assert_eq!(proofs(&world, 2)[0].sizes(), Ok((0, 1)));
    assert_eq!(world.status(2).mirrors[0].acked, 0);
}

#[test]
fn extension_lines_are_kept_and_told_and_prove_nothing_by_themselves() {
    let mut world = lived(3, 2, 0, 7);
    let newest = SignedNote::parse(world.newest_digest(0).as_bytes()).unwrap();
    let odd = signed_text(&world, 7, root_of(&newest), "more");
    for _ in 0..2 {
        world.gossip(2, 1, digest_frame(&odd));
        world.inject(2, 1, digest_frame(&odd));
    }
    world.run_ms(500);
    assert_eq!(odd_alarms(&world, 2), 1);
    let kept = world.status(2).odd_digests;
    assert_eq!((kept.len(), kept[0].size), (1, 7));
    assert_eq!(world.status(2).forks, []);
    world.append(0, "more");
    world.run_ms(500);
    assert_eq!(world.status(2).mirrors[0].acked, 8);
    // However many are signed, a few are kept.
    for number in 0..20 {
        let odd = signed_text(&world, 7, root_of(&newest), &number.to_string());
        world.gossip(2, 1, digest_frame(&odd));
    }
    assert_eq!(world.status(2).odd_digests.len(), 4);
}

#[test]
fn extension_lines_with_another_root_are_a_fork() {
    for size in [5, 7] {
        let mut world = lived(3, 2, 0, 7);
        let root = root_of(&other_digest(&world, size));
        let odd = signed_text(&world, size as u64, root, "more");
        world.gossip(2, 1, digest_frame(&odd));
        world.run_ms(1_000);
        assert_eq!(proofs(&world, 2)[0].sizes(), Ok((size as u64, 7)));
    }
}

#[test]
fn who_is_shown_an_odd_digest_of_its_own_signs_nothing_more() {
    let mut world = lived(3, 2, 0, 7);
    let newest = SignedNote::parse(world.newest_digest(0).as_bytes()).unwrap();
    let odd = signed_text(&world, 7, root_of(&newest), "more");
    world.gossip(0, 1, digest_frame(&odd));
    let phase = world.status(0).phase;
    assert!(phase.starts_with("stopped: others hold"), "{phase}");
}

#[test]
fn an_odd_digest_that_its_log_did_not_sign_is_nothing() {
    let mut world = lived(3, 2, 0, 7);
    let text = signed_text(&world, 0, Hash([7; 32]), "").text().to_owned();
    let thief = SigningKey::ed25519(world.name(0), [1; 32]).unwrap();
    world.gossip(2, 1, digest_frame(&thief.signed_note(&text).unwrap()));
    assert_eq!(world.status(2).odd_digests, []);
    assert_eq!(world.status(2).refused, [("malformed digest", 1)]);
    // The right root of no entries is no lie.
    let empty = signed_text(&world, 0, empty_root(), "");
    world.gossip(2, 1, digest_frame(&empty));
    world.run_ms(500);
    assert_eq!(world.status(2).odd_digests, []);
    assert_eq!(world.status(2).forks, []);
}

fn key_ranges(world: &World, at: usize) -> Vec<Alarm> {
    world.alarms(at, |alarm| matches!(alarm, Alarm::KeyRange { .. }))
}

#[test]
fn a_certificate_that_denies_what_was_signed_is_told() {
    let mut world = lived(3, 2, 0, 7);
    world.kill(0);
    world.nodes[0].from_sizes.push(5);
    world.start(0);
    world.run_ms(3_000);
    let alarm = Alarm::KeyRange {
        origin: world.name(0).to_owned(),
        size: 7,
        from_size: 5,
    };
    for at in 0..4 {
        assert_eq!(
            key_ranges(&world, at),
            std::slice::from_ref(&alarm),
            "node {at}"
        );
        assert_eq!(world.status(at).forks, []);
    }
    assert_eq!(world.status(2).mirrors[0].state, "key-range");
    // Who starts later hears of it, too, and acknowledges nothing under the older key.
    world.kill(2);
    world.start(2);
    world.run_ms(1_000);
    assert_eq!(key_ranges(&world, 2).len(), 2);
    assert_eq!(world.status(2).phase, "asking");
    // Nobody can bear the ledger out any more, its own factory included: it never signs beside what it denies.
    world.append(0, "seven");
    world.run_ms(60_000);
    assert_eq!(
        (world.status(0).phase.as_str(), world.nodes[0].acked),
        ("recovering", 7)
    );
    world.retire(0, "next.example");
    assert_eq!(world.status(0).successor.as_deref(), Some("next.example"));
}

#[test]
fn a_certificate_from_the_next_size_on_is_no_alarm() {
    let mut world = lived(3, 2, 0, 7);
    world.kill(0);
    world.nodes[0].from_sizes.push(8);
    world.start(0);
    world.run_ms(3_000);
    world.append(0, "seven");
    world.run_ms(1_000);
    // With the entry of the new certificate.
    assert_eq!(world.nodes[0].acked, 9);
    for at in 0..4 {
        assert_eq!(key_ranges(&world, at), [], "node {at}");
    }
    assert_eq!(world.status(2).mirrors[0].state, "ok");
}

/// Questions for marks that a node asked.
fn marks_asked(world: &World, by: usize) -> usize {
    let by = |one: &&(usize, usize, Vec<u8>)| one.1 == by && kind(&one.2) == Some(MARKS);
    world.sent.iter().filter(by).count()
}

#[test]
fn a_claim_that_found_no_room_is_told_again_by_who_saw_it() {
    // Five of seven towers make the quorum; the second and the last are away.
    let mut world = lived(7, 5, 0, 4);
    for other in [0, 1, 2, 3, 4, 5, 6] {
        world.cut(7, other);
        world.cut(2, other);
    }
    for number in 0..24 {
        world.append(0, &number.to_string());
        world.run_ms(200);
    }
    assert_eq!(world.nodes[0].acked, 28);
    let lie = digest_frame(&other_digest(&world, 5));
    // The last one saw nothing but the lie, and holds nothing to compare it with.
    world.gossip(7, 1, lie.clone());
    // The second sees digest after digest without their entries, and then the lie finds no room.
    let tree = tree_of(&world.nodes[0].store.entries().unwrap());
    for size in 8..=28 {
        let digest = signed_text(&world, size, tree.root(size), "");
        world.gossip(2, 1, digest_frame(&digest));
    }
    world.gossip(2, 1, lie);
    let mirror = world.status(2).mirrors[0].clone();
    assert_eq!((mirror.held, mirror.seen), (4, 28));
    let asked = marks_asked(&world, 2);
    world.heal();
    for other in [0, 1, 3, 4, 5, 6] {
        world.cut(7, other);
    }
    world.run_ms(6_000);
    assert!(marks_asked(&world, 2) > asked);
    assert_eq!(proofs(&world, 2).len(), 1, "{:?}", world.status(2));
}

/// A step that does not commit, as when the disk is full.
fn in_vain(world: &mut World, at: usize, topic: Topic, bytes: Vec<u8>) {
    let mut engine = world.nodes[at].engine.take().unwrap();
    let mut store = world.nodes[at].store.clone();
    let mut tx = store.begin();
    let input = Input::Gossip {
        peer: peer_id(world.name(1)),
        id: [0; 20],
        topic,
        bytes,
        checks: Default::default(),
    };
    let now = Now {
        mono_us: world.now_us,
        wall: wall(world.now_us),
    };
    drop(engine.step(now, [7; 32], &mut tx, vec![input]).unwrap());
    drop(tx);
    engine.forget();
    world.nodes[at].engine = Some(engine);
}

#[test]
fn what_was_heard_while_the_disk_was_full_is_heard_again() {
    for size in [5, 8] {
        let mut world = lived(3, 2, 0, 7);
        let lie = digest_frame(&other_digest(&world, size));
        in_vain(&mut world, 2, Topic::Digests, lie);
        // It is full for longer than one step.
        in_vain(&mut world, 2, Topic::Digests, b"BLFR".to_vec());
        world.run_ms(100);
        world.append(0, "seven");
        world.run_ms(3_000);
        // The lie contradicts the digest before it and the one after it.
        let known = proofs(&world, 2).len();
        assert!((1..=2).contains(&known), "{known} of {size}");
    }
}

#[test]
fn a_lost_disk_does_not_tell_of_a_fork_twice() {
    let mut world = lived(3, 2, 1, 7);
    world.gossip(2, 3, digest_frame(&other_digest(&world, 7)));
    world.run_ms(2_000);
    assert_eq!(told(&world, 1).len(), 1);
    let entries = world.size(1);
    world.kill(1);
    world.nodes[1].store = MemStore::default();
    world.nodes[1].restored = true;
    world.start(1);
    world.run_ms(10_000);
    assert_eq!(world.status(1).phase, "active", "{:?}", world.status(1));
    assert!(world.size(1) >= entries);
    assert_eq!(proofs(&world, 1).len(), 1);
    assert_eq!(told(&world, 1).len(), 1);
}
