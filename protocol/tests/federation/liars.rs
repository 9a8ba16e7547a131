//! Members that lie about sizes, under their own valid signatures: nothing is allocated, kept or promised for it, the lie is
//! counted, and the others go on.

use super::founding::own_keys;
use crate::hostile::kind;
use crate::world::World;
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::wire::codec;
use belfry_protocol::wire::v1::{Entries, Prepare, Recovered};
use belfry_protocol::wire::{Envelope, Frame, Version};

const PREPARE: u8 = 1;

/// A frame's envelope and what follows it.
fn opened(bytes: &[u8]) -> (Envelope, Vec<u8>) {
    let (envelope, rest) = Envelope::split(&bytes[12..]).unwrap();
    (envelope, rest.to_vec())
}

/// The same message with another body, signed by its sender again.
fn resealed(world: &World, sender: usize, like: &Envelope, body: Vec<u8>, rest: &[u8]) -> Vec<u8> {
    let keys = own_keys(world.name(sender), &world.nodes[sender].from_sizes);
    let sealed = Envelope::seal(like.header, body, &keys.newest.envelope).unwrap();
    let payload = [&sealed.to_bytes(), rest].concat();
    Frame::encode(Version::V1_0, like.header.kind, &payload)
}

fn lived() -> World {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    for word in ["one", "two", "three"] {
        world.append(0, word);
        world.run_ms(200);
    }
    assert_eq!(world.nodes[0].acked, 3);
    world
}

fn refused(world: &World, at: usize, why: &str) -> u64 {
    let all = world.status(at).refused;
    all.iter()
        .find(|(one, _)| *one == why)
        .map_or(0, |one| one.1)
}

#[test]
fn prepares_that_claim_other_sizes_than_they_carry_move_nothing() {
    let mut world = lived();
    let sent = world.sent.clone();
    let prepare = sent
        .iter()
        .rev()
        .find(|(to, _, bytes)| *to == 1 && kind(bytes) == Some(PREPARE));
    let (envelope, _) = opened(&prepare.unwrap().2);
    let honest: Prepare = codec::decode(&envelope.body).unwrap();
    let mut entry = Vec::new();
    bundle::push(&mut entry, b"{}").unwrap();
    let cut = entry[..entry.len() - 1].to_vec();
    let before = world.rows(1);
    let other_root = Hash([7; 32]);
    // What it claims to hold, under which root, and the entries that follow.
    let lies: [(u64, Hash, &[u8]); 9] = [
        (4, other_root, &entry),
        (4, honest.root, &entry),
        (9, other_root, &entry),
        (4, other_root, &[]),
        (4, other_root, &cut),
        (2, other_root, &entry),
        (0, other_root, &entry),
        (1 << 40, other_root, &entry),
        (u64::MAX, other_root, &entry),
    ];
    for (to, root, entries) in lies {
        let lie = Prepare {
            to,
            root,
            ..honest.clone()
        };
        let bytes = resealed(&world, 0, &envelope, codec::encode(&lie), entries);
        world.inject(1, 0, bytes);
        assert_eq!(world.rows(1), before, "{to} entries");
    }
    assert!(refused(&world, 1, "prepare that does not fit") > 0);
    world.append(0, "four");
    world.run_ms(200);
    assert_eq!(world.nodes[0].acked, 4);
}

/// A factory that answers every question for entries with another number of them.
fn more_entries(world: &World, at: usize, bytes: &[u8]) -> Option<Vec<u8>> {
    let payload = bytes.get(12..)?;
    let length = u32::from_le_bytes(payload.get(..4)?.try_into().ok()?) as usize;
    let mut head: Entries = codec::decode(payload.get(4..4 + length)?).ok()?;
    if at != 0 || head.to <= head.from {
        return None;
    }
    head.to = [head.to + 1, head.to + 60_000, u64::MAX, head.from + 1][world.answers.len() % 4];
    let encoded = codec::encode(&head);
    let mut lie = u32::try_from(encoded.len()).unwrap().to_le_bytes().to_vec();
    lie.extend_from_slice(&encoded);
    lie.extend_from_slice(&payload[4 + length..]);
    let number = u16::from(kind(bytes)?);
    Some(Frame::encode(Version::V1_0, number, &lie))
}

#[test]
fn entries_of_a_member_that_lies_about_their_number_come_from_others() {
    let mut world = lived();
    world.kill(1);
    world.append(0, "four");
    world.append(0, "five");
    world.run_ms(500);
    world.instead = Some(more_entries);
    world.start(1);
    world.run_ms(10_000);
    assert_eq!(world.held(1), 5, "{:?}", world.status(1));
    assert!(
        refused(&world, 1, "count differs") > 0,
        "{:?}",
        world.status(1)
    );
    world.append(0, "six");
    world.run_ms(500);
    assert_eq!(world.nodes[0].acked, 6);
}

/// A tower that promises a recovering factory honestly and claims a tail that nobody prepared.
fn longer_tail(world: &World, at: usize, bytes: &[u8]) -> Option<Vec<u8>> {
    let (envelope, _) = Envelope::split(bytes.get(12..)?).ok()?;
    let mut recovered: Recovered = codec::decode(&envelope.body).ok()?;
    let prepares = world.sent.iter().rev();
    let (_, _, prepare) = prepares
        .filter(|(to, ..)| *to == at)
        .find(|(.., bytes)| kind(bytes) == Some(PREPARE))?;
    let (prepare, _) = opened(prepare);
    if at != 1 {
        return None;
    }
    recovered.held = u64::MAX;
    recovered.tail = Some(belfry_protocol::wire::v1::Tail {
        size: 1 << 39,
        root: Hash([7; 32]),
        incarnation: prepare.header.incarnation,
        prepare: codec::Bytes::new(prepare.to_bytes()).unwrap(),
    });
    Some(resealed(
        world,
        at,
        &envelope,
        codec::encode(&recovered),
        &[],
    ))
}

#[test]
fn a_tower_that_claims_a_longer_tail_than_was_prepared_is_not_believed() {
    let mut world = lived();
    world.kill(0);
    world.instead = Some(longer_tail);
    world.start(0);
    world.run_ms(5_000);
    let status = world.status(0);
    assert_eq!((status.phase.as_str(), world.size(0)), ("active", 3));
    assert!(
        refused(&world, 0, "tail without its prepare") > 0,
        "{status:?}"
    );
    world.append(0, "four");
    world.run_ms(500);
    assert_eq!(world.nodes[0].acked, 4);
}
