//! Liars caught (R5): a log that signs two trees, a tower that acks both, whoever withholds a proof, and what every other node
//! ends in. The proof must hold with nothing but the accused's identity key.

use super::founding::{own_keys, seed};
use crate::hostile::kind;
use crate::world::World;
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::engine::federation::forks::ForkRow;
use belfry_protocol::engine::federation::serve;
use belfry_protocol::engine::federation::{Alarm, Topic};
use belfry_protocol::engine::store::{Table, Transaction};
use belfry_protocol::entry::leaf::{Content, Leaf};
use belfry_protocol::fork::{ForkKind, ForkProof};
use belfry_protocol::note::{SignedNote, SigningKey};
use belfry_protocol::tlog::hash::{Hash, leaf_hash};
use belfry_protocol::tlog::memory::MemoryTree;
use belfry_protocol::wire::codec::{self, Bytes, List};
use belfry_protocol::wire::v1::{Heads, ProofNodes};
use belfry_protocol::wire::{Frame, Version};

const DIGEST: u16 = 4;
const HEADS: u16 = 12;
const PROOF_NODES: u8 = 18;

/// The tree of some entries.
pub(super) fn tree_of(entries: &[Vec<u8>]) -> MemoryTree {
    MemoryTree::new(entries.iter().map(|entry| leaf_hash(entry)).collect())
}

/// A federation whose factory has `count` acknowledged entries, and the same entries with the third one changed and one
/// more behind.
pub(super) fn lived(towers: usize, k: u32, both: usize, count: usize) -> World {
    let mut world = World::with_both(towers, k, both);
    world.run_ms(500);
    for number in 0..count {
        world.append(0, &number.to_string());
        world.run_ms(60);
    }
    world.run_ms(3_000);
    assert_eq!(world.nodes[0].acked, count as u64, "{:?}", world.status(0));
    let mut other = world.nodes[0].store.entries().unwrap();
    other[2] = b"{}".to_vec();
    other.push(b"{}".to_vec());
    world.other_tree = other;
    world
}

/// A digest of the other tree, signed with the factory's own log key.
pub(super) fn other_digest(world: &World, size: usize) -> SignedNote {
    let name = world.name(0).to_owned();
    let checkpoint = Checkpoint {
        root: tree_of(&world.other_tree).root(size as u64),
        size: size as u64,
        origin: name.clone(),
    };
    let key = SigningKey::ed25519(&name, seed(&name, "log")).unwrap();
    checkpoint.sign(&key).unwrap()
}

pub(super) fn digest_frame(note: &SignedNote) -> Vec<u8> {
    Frame::encode(Version::V1_0, DIGEST, note.to_string().as_bytes())
}

/// Serves proofs of the other tree wherever nobody holds one: the liar is member 3, a tower that stole the log's key.
pub(super) fn liar_serves(world: &World, at: usize, bytes: &[u8]) -> Option<Vec<u8>> {
    if at != 3 || kind(bytes) != Some(PROOF_NODES) {
        return None;
    }
    let tree = tree_of(&world.other_tree);
    let (_, _, question) = world
        .sent
        .iter()
        .rev()
        .find(|(to, _, question)| *to == at && kind(question) == Some(17))?;
    let (envelope, _) = belfry_protocol::wire::Envelope::split(&question[12..]).unwrap();
    let get: belfry_protocol::wire::v1::GetProof = codec::decode(&envelope.body).unwrap();
    (get.larger <= tree.size()).then(|| serve::prove(&get, &tree))
}

pub(super) fn proofs(world: &World, at: usize) -> Vec<ForkProof> {
    let mut store = world.nodes[at].store.clone();
    let rows = store.begin().rows(Table::Forks, &[], 100).unwrap();
    let rows = rows.iter().map(|(_, row)| ForkRow::decode(row).unwrap());
    rows.map(|row| row.proof().unwrap()).collect()
}

/// The entries of a node's own ledger that tell of forks.
pub(super) fn told(world: &World, at: usize) -> Vec<String> {
    let entries = world.nodes[at].store.entries().unwrap();
    let leaves = entries.iter().map(|entry| Leaf::parse(entry).unwrap());
    leaves
        .filter(|leaf| leaf.kind == "fork.seen")
        .map(|leaf| match leaf.content {
            Content::Body(body) => body.get("digest").unwrap().as_str().unwrap().to_owned(),
            Content::Commit { .. } => panic!("a private fork"),
        })
        .collect()
}

impl World {
    /// The alarms of one sort that a node raised.
    pub(crate) fn alarms(&self, at: usize, sort: impl Fn(&Alarm) -> bool) -> Vec<Alarm> {
        let alarms = self.nodes[at].alarms.iter();
        alarms.filter(|alarm| sort(alarm)).cloned().collect()
    }
}

pub(super) fn identity(world: &World, at: usize) -> belfry_protocol::note::VerifierKey {
    let name = world.name(at);
    SigningKey::ed25519(name, seed(name, "identity"))
        .unwrap()
        .verifier()
        .clone()
}

/// Every node has a proof against the factory that holds offline, tells of it once, acks nothing more and is not to be
/// talked out of it by a restart.
fn all_caught(world: &mut World, sizes: (u64, u64)) {
    let count = world.nodes.len();
    for round in 0..2 {
        for at in 0..count {
            let kept = proofs(world, at);
            assert_eq!(
                kept.len(),
                1,
                "node {at}, round {round}: {:?}",
                world.status(at).forks
            );
            let fork = kept[0].verify(&[identity(world, 0)]).unwrap();
            assert_eq!((fork.smaller_size, fork.larger_size), sizes);
            let file = kept[0].to_json();
            assert_eq!(ForkProof::parse(file.as_bytes()).unwrap(), kept[0]);
            let forks = world.alarms(at, |alarm| matches!(alarm, Alarm::Fork { .. }));
            assert_eq!(forks.len(), 1, "node {at}: one alarm, also after a restart");
            let status = world.status(at);
            assert_eq!(status.forks.len(), 1);
            assert_eq!(status.forks[0].accused, world.name(0));
            if at == 0 {
                assert!(
                    status.phase.starts_with("stopped: there is a fork proof"),
                    "{}",
                    status.phase
                );
            } else {
                assert_eq!(status.mirrors[0].state, "forked");
                assert_eq!(told(world, at), [kept[0].digest().to_hex()], "node {at}");
            }
        }
        let before = world.nodes[0].digests.len();
        let acked: Vec<u64> = (1..count)
            .map(|at| world.status(at).mirrors[0].acked)
            .collect();
        world.append(0, "after");
        world.run_ms(2_000);
        let now: Vec<u64> = (1..count)
            .map(|at| world.status(at).mirrors[0].acked)
            .collect();
        assert_eq!(acked, now, "nothing is acked after a fork");
        assert_eq!(world.nodes[0].digests.len(), before, "nor signed");
        for at in 0..count {
            world.kill(at);
        }
        for at in 0..count {
            world.start(at);
        }
        world.run_ms(4_000);
    }
}

#[test]
fn two_digests_of_one_size() {
    let mut world = lived(3, 2, 0, 7);
    let forged = digest_frame(&other_digest(&world, 7));
    world.gossip(2, 1, forged);
    world.run_ms(500);
    all_caught(&mut world, (7, 7));
}

#[test]
fn a_smaller_digest_of_another_tree_is_caught_by_the_tower_alone() {
    for size in [4, 5, 6] {
        let mut world = lived(3, 2, 0, 7);
        let forged = digest_frame(&other_digest(&world, size));
        world.inject(2, 1, forged);
        world.run_ms(500);
        all_caught(&mut world, (size as u64, 7));
    }
}

#[test]
fn a_larger_digest_of_another_tree_is_caught_once_somebody_shows_how_it_grew() {
    for held in [7, 8] {
        let mut world = lived(3, 2, 0, held);
        world.instead = Some(liar_serves);
        let forged = digest_frame(&other_digest(&world, held + 1));
        world.inject(2, 1, forged);
        world.run_ms(6_000);
        all_caught(&mut world, (held as u64, held as u64 + 1));
    }
}

#[test]
fn what_nobody_shows_is_withheld_and_never_called_a_fork() {
    let mut world = lived(3, 2, 0, 7);
    let forged = digest_frame(&other_digest(&world, 8));
    world.inject(2, 1, forged.clone());
    world.run_ms(59_000);
    assert_eq!(world.status(2).mirrors[0].state, "ok");
    world.run_ms(4_000);
    assert_eq!(world.status(2).mirrors[0].state, "withheld");
    let withheld = |world: &World| {
        let of_8 = |alarm: &Alarm| matches!(alarm, Alarm::Withheld { size: 8, .. });
        world.alarms(2, of_8).len()
    };
    assert_eq!(withheld(&world), 1);
    world.run_ms(60_000);
    assert_eq!(withheld(&world), 1, "told once");
    for at in 0..4 {
        assert!(proofs(&world, at).is_empty());
    }
    assert_eq!(
        world.status(2).mirrors[0].acked,
        7,
        "what nobody shows is not acked"
    );
    // The factory's own digest of that size comes to the other towers all the same; then the two are compared.
    world.append(0, "seven");
    world.run_ms(500);
    all_caught(&mut world, (8, 8));
}

#[test]
fn a_proof_that_comes_late_ends_the_withholding() {
    let mut world = lived(3, 2, 0, 7);
    let forged = digest_frame(&other_digest(&world, 8));
    world.inject(2, 1, forged);
    world.run_ms(70_000);
    assert_eq!(world.status(2).mirrors[0].state, "withheld");
    world.instead = Some(liar_serves);
    world.run_ms(10_000);
    all_caught(&mut world, (7, 8));
}

#[test]
fn a_digest_that_was_passed_over_is_compared_when_its_entries_come() {
    let mut world = lived(3, 2, 0, 4);
    // A tower that is cut off sees only the other tree's digest, and then the true one.
    for other in [0, 1, 3] {
        world.cut(2, other);
    }
    let forged = digest_frame(&other_digest(&world, 5));
    world.gossip(2, 1, forged);
    for word in ["four", "five", "six"] {
        world.append(0, word);
        world.run_ms(200);
    }
    // Its process dies before it can compare anything: what it was shown is durable.
    world.kill(2);
    world.start(2);
    world.heal();
    world.run_ms(6_000);
    all_caught(&mut world, (5, 7));
}

#[test]
fn replayed_old_digests_are_no_fork() {
    let mut world = lived(3, 2, 0, 7);
    let name = world.name(0).to_owned();
    let tree = tree_of(&world.nodes[0].store.entries().unwrap());
    let key = SigningKey::ed25519(&name, seed(&name, "log")).unwrap();
    world.kill(2);
    world.start(2);
    world.run_ms(2_000);
    for size in [3, 7, 1, 4, 3] {
        let digest = Checkpoint {
            origin: name.clone(),
            size: size as u64,
            root: tree.root(size as u64),
        };
        let note = digest.sign(&key).unwrap();
        world.gossip(2, 1, digest_frame(&note));
        world.gossip(0, 1, digest_frame(&note));
    }
    world.run_ms(1_000);
    world.append(0, "more");
    world.run_ms(500);
    assert_eq!(world.nodes[0].acked, 8);
    for at in 0..4 {
        assert_eq!(world.status(at).forks, []);
    }
    assert_eq!(world.status(2).mirrors[0].acked, 8);
}

#[test]
fn a_factory_that_is_shown_its_own_old_fork_never_signs_again() {
    let mut world = lived(3, 2, 0, 7);
    // It signed none of that size, or does not keep it any more: the ledger itself tells.
    for word in ["seven", "eight", "nine", "ten"] {
        world.append(0, word);
        world.other_tree.push(word.as_bytes().to_vec());
    }
    world.run_ms(500);
    let signed = |size: u64| world.nodes[0].digests.iter().any(|(one, _)| *one == size);
    let unsigned = (8..11).find(|size| !signed(*size)).unwrap();
    let forged = digest_frame(&other_digest(&world, usize::try_from(unsigned).unwrap()));
    world.gossip(0, 1, forged);
    world.run_ms(500);
    let newest = world.nodes[0].acked;
    all_caught(&mut world, (unsigned, newest));
}

/// A digest with the acks of tower 1 under its own key.
fn acked_by_one(world: &World, note: &SignedNote) -> SignedNote {
    let keys = own_keys(world.name(1), &world.nodes[1].from_sizes);
    let line = keys
        .newest
        .ack
        .cosign(note.text(), super::founding::START + 500);
    note.clone().with_signature(line.unwrap()).unwrap()
}

/// A heads message with these notes.
pub(super) fn heads(notes: &[SignedNote]) -> Vec<u8> {
    let notes = notes.iter().map(|note| Bytes::new(note.to_string()));
    let heads = Heads {
        notes: List::new(notes.collect::<Option<_>>().unwrap()).unwrap(),
    };
    Frame::encode(Version::V1_0, HEADS, &codec::encode(&heads))
}

#[test]
fn a_tower_that_acks_both_trees_is_caught_and_its_acks_stop_counting() {
    for (size, sizes) in [(7, (7, 7)), (5, (5, 7)), (8, (7, 8))] {
        // The first tower is a factory too: towers 2 and 3 watch two ledgers, and it counts for the first alone.
        let mut world = lived(3, 2, 2, 7);
        world.instead = Some(liar_serves);
        let lie = acked_by_one(&world, &other_digest(&world, size));
        world.gossip_on(2, 1, Topic::Acks, heads(&[lie]));
        world.run_ms(8_000);
        for at in 0..4 {
            let status = world.status(at);
            let by = |kind: &str| status.forks.iter().filter(|fork| fork.kind == kind).count();
            assert_eq!(
                (by("origin"), by("tower")),
                (1, 1),
                "node {at}: {:?}",
                status.forks
            );
            let lying = status
                .forks
                .iter()
                .find(|fork| fork.kind == "tower")
                .unwrap();
            assert_eq!(lying.accused, world.name(1));
            assert_eq!((lying.smaller, lying.larger), sizes);
            let proof = proofs(&world, at)
                .into_iter()
                .find(|one| one.kind() == ForkKind::Tower);
            let proof = proof.unwrap();
            proof.verify(&[identity(&world, 1)]).unwrap();
            assert!(
                proof.verify(&[identity(&world, 0)]).is_err(),
                "it accuses the tower alone"
            );
        }
        // The second member's ledger has honest entries: without the liar two towers still make its quorum, one does not.
        world.append(2, "honest");
        world.run_ms(1_000);
        let size = world.size(2);
        assert_eq!(
            world.nodes[2].acked,
            0,
            "tower 3 alone is no quorum: {:?}",
            world.status(2)
        );
        assert!(size > 0 && world.status(3).mirrors.iter().any(|one| one.acked == size));
        let own = world.status(1).mirrors;
        assert!(
            own.iter()
                .all(|mirror| mirror.acked < size || mirror.origin == world.name(0)),
            "the liar itself acks nothing more: {own:?}"
        );
    }
}

#[test]
fn who_was_away_is_told_of_a_fork_on_return() {
    let mut world = lived(3, 2, 0, 7);
    world.kill(3);
    let forged = digest_frame(&other_digest(&world, 5));
    world.gossip(2, 1, forged);
    world.run_ms(1_000);
    world.start(3);
    world.run_ms(2_000);
    all_caught(&mut world, (5, 7));
}

#[test]
fn a_proof_that_does_not_hold_accuses_nobody() {
    let mut world = lived(3, 2, 0, 7);
    let true_note = SignedNote::parse(world.newest_digest(0).as_bytes()).unwrap();
    let name = world.name(0).to_owned();
    let stolen = SigningKey::ed25519(&name, [9; 32]).unwrap();
    let other = Checkpoint {
        origin: name,
        size: 7,
        root: Hash([1; 32]),
    };
    let forged = other.sign(&stolen).unwrap();
    let certificates = super::founding::certificates(world.name(0), &[0]);
    let lie = ForkProof::build(
        ForkKind::Origin,
        true_note,
        forged,
        Vec::new(),
        certificates,
    );
    let file = lie.unwrap().to_json();
    for bytes in [file.as_bytes(), &file.as_bytes()[1..], b""] {
        let frame = Frame::encode(Version::V1_0, 19, bytes);
        world.gossip_on(2, 1, Topic::Alarms, frame);
    }
    world.run_ms(500);
    let refused = world.status(2).refused;
    let count = |why: &str| {
        refused
            .iter()
            .find(|(one, _)| *one == why)
            .map_or(0, |one| one.1)
    };
    assert_eq!(count("fork proof does not hold"), 1, "{refused:?}");
    assert_eq!(count("malformed fork proof"), 2, "{refused:?}");
    assert_eq!(world.status(2).forks, []);
    world.append(0, "more");
    world.run_ms(500);
    assert_eq!(world.nodes[0].acked, 8);
}

#[test]
fn a_lie_about_a_proof_convinces_nobody() {
    fn junk(_: &World, at: usize, bytes: &[u8]) -> Option<Vec<u8>> {
        let nodes = ProofNodes {
            nodes: List::new(vec![Hash([7; 32]); 3]).unwrap(),
        };
        let lie = Frame::encode(
            Version::V1_0,
            u16::from(PROOF_NODES),
            &codec::encode(&nodes),
        );
        (at != 2 && kind(bytes) == Some(PROOF_NODES)).then_some(lie)
    }
    let mut world = lived(3, 2, 0, 7);
    world.instead = Some(junk);
    // The true ledger's own digest, which only one tower saw, while no entries come.
    let forged = digest_frame(&other_digest(&world, 8));
    world.inject(2, 1, forged);
    world.run_ms(30_000);
    assert_eq!(world.status(2).forks, []);
    assert_eq!(world.status(2).mirrors[0].acked, 7);
}
