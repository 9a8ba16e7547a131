//! S2: what a node let out must be in its directory when it starts on it again.

use super::is_sound;
use crate::world::World;
use belfry_protocol::engine::federation::mirror::Mirror;
use belfry_protocol::engine::ledger::Head;
use belfry_protocol::engine::store::Record;
use belfry_protocol::wire::v1::{Kind, Prepared, Recovered};
use belfry_protocol::wire::{Envelope, codec};
use std::collections::BTreeMap;

/// What a node let out and must remember.
#[derive(Clone, Debug, Default)]
pub(super) struct Owes {
    /// Size of its own newest digest.
    pub(super) digest: u64,
    /// Size of its newest ack, by ledger.
    pub(super) acks: BTreeMap<String, u64>,
    /// Its highest incarnation.
    incarnation: u64,
    /// Entries that callers were told the places of.
    pub(super) entries: u64,
    /// The highest incarnation of each ledger that it promised not to go below, and what it holds under that.
    promised: BTreeMap<String, Promised>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Promised {
    incarnation: u64,
    held: u64,
}

/// A reply may hold a promise about another member's ledger (R1).
pub(super) fn replied(world: &mut World, at: usize, frame: &[u8]) {
    let body = |kind| {
        let (envelope, _) = Envelope::split(super::safety::framed(frame, kind)?).ok()?;
        Some(envelope.body)
    };
    let promised = if let Some(body) = body(Kind::Prepared) {
        codec::decode::<Prepared>(&body)
            .ok()
            .map(|one| (one.origin.to_string(), one.incarnation, one.to))
    } else if let Some(body) = body(Kind::Recovered) {
        codec::decode::<Recovered>(&body)
            .ok()
            .map(|one| (one.origin.to_string(), one.incarnation, 0))
    } else {
        None
    };
    let Some((origin, incarnation, held)) = promised else {
        return;
    };
    let owed = world.watch.owes[at].promised.entry(origin).or_default();
    if incarnation > owed.incarnation {
        *owed = Promised { incarnation, held };
    } else if incarnation == owed.incarnation {
        owed.held = owed.held.max(held);
    }
}

/// A process was started on a directory: what is missing there, in words.
pub(super) fn check(world: &mut World, at: usize) {
    let node = &mut world.nodes[at];
    let digest = node.newest_digest();
    let incarnation = node.incarnation();
    let head = node.record(Record::Head);
    let entries = head
        .and_then(|bytes| Head::decode(&bytes))
        .map_or(0, |head| head.size());
    let mirrors: BTreeMap<String, Mirror> = node.mirrors().into_iter().collect();
    let owes = &world.watch.owes[at];
    let mut lost = Vec::new();
    if digest < owes.digest {
        let what = format!("its digest of size {} (it has {digest})", owes.digest);
        lost.push(what);
    }
    if entries < owes.entries {
        let what = format!("entries up to {} (it has {entries})", owes.entries);
        lost.push(what);
    }
    for (origin, size) in &owes.acks {
        let acked = mirrors.get(origin).and_then(|one| one.acked.as_ref());
        if acked.map_or(0, |ack| ack.size) < *size {
            lost.push(format!("its ack of size {size} of {origin}"));
        }
    }
    for (origin, owed) in &owes.promised {
        let mirror = mirrors.get(origin);
        let number = mirror.map_or(0, |one| one.promised.number);
        if number < owed.incarnation {
            let what = format!(
                "its promise to {origin} of incarnation {}",
                owed.incarnation
            );
            lost.push(what);
        }
        let tail = mirror.filter(|one| one.tail.number == owed.incarnation);
        if tail.is_some_and(|one| one.end.end() < owed.held) {
            lost.push(format!("{} entries that it held of {origin}", owed.held));
        }
    }
    if incarnation <= owes.incarnation {
        let what = format!("that it had taken incarnation {}", owes.incarnation);
        lost.push(what);
    }
    world.watch.owes[at].incarnation = incarnation;
    if !lost.is_empty() && is_sound(world, at) {
        let what = format!("it forgot {}", lost.join(", "));
        world.watch.fail("S2", Some(at), what);
    }
}
