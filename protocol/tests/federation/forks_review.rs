//! What a liar, or bad luck, must not achieve with forks: hiding one, holding up honest acks, asking without end, and
//! alarming people for nothing.

use super::forks::{digest_frame, heads, lived, other_digest, proofs, told, tree_of};
use super::founding::{START, certificates, own_keys, peer_id, seed};
use crate::hostile::kind;
use crate::world::{World, wall};
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::engine::Now;
use belfry_protocol::engine::federation::{Alarm, Input, Topic};
use belfry_protocol::fork::{ForkKind, ForkProof};
use belfry_protocol::note::{SignedNote, SigningKey};
use belfry_protocol::tlog::hash::Hash;

const ENTRIES: u8 = 11;
const GET_PROOF: u8 = 17;

/// A digest signed with the key of a member's log, of any serial.
fn signed(name: &str, what: &str, size: u64, root: Hash) -> SignedNote {
    let checkpoint = Checkpoint {
        origin: name.to_owned(),
        size,
        root,
    };
    let key = SigningKey::ed25519(name, seed(name, what)).unwrap();
    checkpoint.sign(&key).unwrap()
}

fn withheld(world: &World, at: usize) -> usize {
    let withheld = |alarm: &Alarm| matches!(alarm, Alarm::Withheld { .. });
    world.alarms(at, withheld).len()
}

#[test]
fn replays_of_old_digests_do_not_hold_up_acks() {
    let mut world = lived(3, 2, 0, 45);
    let name = world.name(0).to_owned();
    let tree = tree_of(&world.nodes[0].store.entries().unwrap());
    world.kill(2);
    world.start(2);
    world.run_ms(2_000);
    // A busy disk: there is never a moment without an old digest that is being compared.
    world.compare_us = 200_000;
    world.append(0, "new");
    for size in 1..=40 {
        let old = signed(&name, "log", size, tree.root(size));
        world.gossip(2, 1, digest_frame(&old));
        world.run_ms(50);
    }
    assert_eq!(world.status(2).mirrors[0].acked, 46);
    assert_eq!(world.status(2).forks, []);
}

#[test]
fn what_was_passed_over_is_compared_before_the_next_ack() {
    let mut world = lived(3, 2, 0, 4);
    for other in [0, 1, 3] {
        world.cut(2, other);
    }
    world.gossip(2, 1, digest_frame(&other_digest(&world, 5)));
    for word in ["four", "five", "six"] {
        world.append(0, word);
        world.run_ms(200);
    }
    world.compare_us = 500_000;
    world.heal();
    world.run_ms(6_000);
    assert_eq!(proofs(&world, 2).len(), 1);
    assert_eq!(world.status(2).mirrors[0].acked, 4);
}

#[test]
fn a_flood_about_one_ledger_does_not_hide_a_fork_of_another() {
    // Member 1 keeps a ledger too; it signs what nobody can serve, and tower 3 acks it.
    let mut world = lived(3, 2, 1, 7);
    let liar = world.name(1).to_owned();
    let keys = own_keys(world.name(3), &[0]);
    for number in 0..80 {
        let root = Hash([u8::try_from(number).unwrap(); 32]);
        let note = signed(&liar, "log", 1_000 + number, root);
        let line = keys.newest.ack.cosign(note.text(), START + 500).unwrap();
        let note = note.with_signature(line).unwrap();
        world.gossip_on(2, 3, Topic::Acks, heads(&[note]));
    }
    world.gossip(2, 1, digest_frame(&other_digest(&world, 5)));
    world.run_ms(5_000);
    let forks = world.status(2).forks;
    assert!(
        forks.iter().any(|fork| fork.accused == world.name(0)),
        "{forks:?}"
    );
}

#[test]
fn a_tree_that_is_shown_to_fit_is_not_asked_about_again_and_again() {
    fn no_entries(_: &World, at: usize, bytes: &[u8]) -> Option<Vec<u8>> {
        (at != 2 && kind(bytes) == Some(ENTRIES)).then(|| b"BLFR".to_vec())
    }
    let mut world = lived(3, 2, 0, 7);
    world.instead = Some(no_entries);
    world.cut(0, 2);
    world.append(0, "seven");
    world.run_ms(4_000);
    let asked = |world: &World| {
        let by_two = |one: &&(usize, usize, Vec<u8>)| one.1 == 2;
        let sent = world.sent.iter().filter(by_two);
        sent.filter(|one| kind(&one.2) == Some(GET_PROOF)).count()
    };
    world.run_ms(30_000);
    let mirror = world.status(2).mirrors[0].clone();
    assert_eq!((mirror.held, mirror.seen), (7, 8));
    assert!((1..10).contains(&asked(&world)), "{}", asked(&world));
    world.run_ms(40_000);
    assert_eq!(withheld(&world, 2), 1);
}

#[test]
fn a_lie_under_the_older_of_two_keys_is_a_tower_fork() {
    let mut world = lived(3, 2, 0, 7);
    world.kill(1);
    world.nodes[1].from_sizes.push(1 << 20);
    world.start(1);
    world.run_ms(3_000);
    world.append(0, "seven");
    world.run_ms(3_000);
    assert_eq!(world.status(1).mirrors[0].acked, 8);
    let keys = own_keys(world.name(1), &world.nodes[1].from_sizes);
    let lie = other_digest(&world, 8);
    let old = keys.before.unwrap().ack;
    let line = old.cosign(lie.text(), START + 500).unwrap();
    let lie = lie.with_signature(line).unwrap();
    world.gossip_on(2, 1, Topic::Acks, heads(&[lie]));
    world.run_ms(3_000);
    let kept = proofs(&world, 2);
    let tower = kept.iter().find(|proof| proof.kind() == ForkKind::Tower);
    let name = world.name(1);
    let identity = SigningKey::ed25519(name, seed(name, "identity")).unwrap();
    tower
        .expect("a proof against the tower")
        .verify(&[identity.verifier().clone()])
        .unwrap();
}

#[test]
fn two_digests_that_nobody_serves_still_contradict_each_other() {
    let mut world = lived(3, 2, 0, 7);
    let (newest, left, right) = (
        world.forged(20, 9),
        world.forged(10, 1),
        world.forged(10, 2),
    );
    for forged in [newest, left, right] {
        world.gossip(2, 1, forged);
    }
    world.run_ms(500);
    for at in 0..4 {
        assert_eq!(proofs(&world, at)[0].sizes(), Ok((10, 10)), "node {at}");
    }
}

#[test]
fn who_was_cut_off_is_not_told_that_others_withhold() {
    let mut world = lived(3, 2, 0, 7);
    world.inject(2, 1, digest_frame(&other_digest(&world, 8)));
    world.run_ms(10_000);
    for other in [0, 1, 3] {
        world.cut(2, other);
    }
    world.run_ms(120_000);
    world.heal();
    world.run_ms(20_000);
    assert_eq!(withheld(&world, 2), 0);
    world.run_ms(60_000);
    assert_eq!(withheld(&world, 2), 1);
}

#[test]
fn a_fork_is_told_once_whatever_becomes_of_the_step_after() {
    let mut world = lived(3, 2, 0, 7);
    world.gossip(2, 1, digest_frame(&other_digest(&world, 7)));
    assert_eq!(proofs(&world, 2).len(), 1);
    world.nodes[2].engine.as_mut().unwrap().forget();
    world.run_ms(3_000);
    assert_eq!(told(&world, 2).len(), 1);
}

#[test]
fn a_contradiction_that_cannot_be_proven_is_not_acked_either() {
    for size in [7, 6] {
        let mut world = lived(3, 2, 0, 7);
        // New keys for sizes that are long signed: under them the older digest accuses nobody.
        world.kill(0);
        world.nodes[0].from_sizes.push(5);
        world.start(0);
        world.run_ms(3_000);
        let root = tree_of(&world.other_tree).root(size);
        let name = world.name(0).to_owned();
        let lie = signed(&name, "log/2", size, root);
        world.gossip(2, 1, digest_frame(&lie));
        world.run_ms(1_000);
        // The same digest is due to be acked again.
        world.run_ms(40_000);
        let before = world.rows(2);
        let own = tree_of(&world.nodes[0].store.entries().unwrap());
        let again = signed(&name, "log/2", 7, own.root(7));
        world.inject(2, 0, digest_frame(&again));
        world.run_ms(1_000);
        assert_eq!(world.rows(2), before, "{size}");
        assert_eq!(world.status(2).forks, []);
    }
}

#[test]
fn a_comparison_that_got_lost_is_made_again() {
    let mut world = lived(3, 2, 0, 7);
    world.compare_us = 3_600_000_000;
    world.gossip(2, 1, digest_frame(&other_digest(&world, 5)));
    for other in [0, 1, 3] {
        world.cut(2, other);
    }
    world.run_ms(1_000);
    world.compare_us = 1_000;
    world.run_ms(15_000);
    assert_eq!(proofs(&world, 2).len(), 1);
}

#[test]
fn a_note_that_nobody_can_judge_does_not_hide_the_next() {
    let mut world = lived(3, 2, 0, 7);
    let stranger = signed("stranger.example", "log", 5, Hash([1; 32]));
    let lie = other_digest(&world, 5);
    world.gossip_on(2, 1, Topic::Acks, heads(&[stranger, lie]));
    world.run_ms(500);
    assert_eq!(proofs(&world, 2).len(), 1);
}

#[test]
fn the_longest_chain_of_the_longest_name_fits_a_proof() {
    let name = "a".repeat(200);
    let certificates = certificates(&name, &[0; 256]);
    let [one, other] = [1, 2].map(|root| signed(&name, "log/256", 1 << 40, Hash([root; 32])));
    let proof = ForkProof::build(ForkKind::Origin, one, other, Vec::new(), certificates).unwrap();
    assert_eq!(ForkProof::parse(proof.to_json().as_bytes()).unwrap(), proof);
}

#[test]
fn a_fork_that_was_found_in_a_step_that_did_not_commit_is_kept_by_the_next() {
    let mut world = lived(3, 2, 0, 7);
    let mut engine = world.nodes[2].engine.take().unwrap();
    let mut store = world.nodes[2].store.clone();
    let mut tx = store.begin();
    let input = Input::Gossip {
        peer: peer_id(world.name(1)),
        id: [0; 20],
        topic: Topic::Digests,
        bytes: digest_frame(&other_digest(&world, 7)),
        checks: Default::default(),
    };
    let now = Now {
        mono_us: world.now_us,
        wall: wall(world.now_us),
    };
    drop(engine.step(now, [7; 32], &mut tx, vec![input]).unwrap());
    drop(tx);
    engine.forget();
    world.nodes[2].engine = Some(engine);
    assert_eq!(world.nodes[2].alarms, []);
    world.run_ms(3_000);
    for at in 0..4 {
        assert_eq!(proofs(&world, at).len(), 1, "node {at}");
        assert_eq!(world.nodes[at].alarms.len(), 1, "node {at}");
    }
    assert_eq!(told(&world, 2).len(), 1);
}
