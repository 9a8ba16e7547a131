//! A thief of keys that their owner revoked: asks in its name, signs other trees with its log key, cosigns with its ack and
//! mirror keys, and answers in its place where the owner would have acknowledged. Nothing of that may count (S13).

use super::actors::{Theft, ask, show, sign, steal_beside};
use super::{Running, later};
use crate::founding::{Keys, stolen_keys};
use crate::world::World;
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::engine::federation::Topic;
use belfry_protocol::note::SignedNote;
use belfry_protocol::tlog::hash::{Hash, sha256};
use belfry_protocol::wire::codec::{self, Bytes, List};
use belfry_protocol::wire::v1::{Heads, Kind};
use belfry_protocol::wire::{Frame, Version};

/// Pause between two deeds, in microseconds.
const AGAIN_US: u64 = 1_000_000;
/// One deed in so many is a digest of another tree: every one is kept by whoever hears of it.
const TREE_ONE_IN: u64 = 8;

/// Who stole what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thief {
    node: usize,
    serial: u64,
    until_us: u64,
}

impl Thief {
    pub(super) fn new(node: usize, serial: u64, until_us: u64) -> Self {
        Self {
            node,
            serial,
            until_us,
        }
    }
}

/// A thief begins.
pub(super) fn begin(world: &mut World, thief: Thief) {
    world.watch.mischief = true;
    world.thieves.insert(thief.node, thief);
    later(world, AGAIN_US, Running::Thieve(thief));
}

/// A thief does what comes next.
pub(super) fn go_on(world: &mut World, thief: Thief) {
    if world.now_us >= thief.until_us {
        world.thieves.remove(&thief.node);
        return;
    }
    question(world, &thief);
    if world.founded.member(thief.node).factory && world.mischief.one_in(TREE_ONE_IN) {
        other_tree(world, &thief);
    }
    if world.founded.member(thief.node).tower {
        cosign(world, &thief);
    }
    later(world, AGAIN_US, Running::Thieve(thief));
}

fn keys(world: &World, thief: &Thief) -> Option<Keys> {
    stolen_keys(&world.nodes[thief.node].name, thief.serial).ok()
}

/// A question in the owner's name, over the owner's connection.
fn question(world: &mut World, thief: &Thief) {
    let from = thief.node;
    let peers: Vec<usize> = world.net.peers(from).into_iter().collect();
    let (Some(to), Some(keys)) = (world.mischief.pick(&peers).copied(), keys(world, thief)) else {
        return;
    };
    let speaker = (thief.serial, &keys.envelope);
    let Some(bytes) = ask(world, from, to, 1, speaker) else {
        return;
    };
    world
        .watch
        .revocations
        .thief_asks(sha256(&bytes), (from, thief.serial));
    world.inject_request(from, to, bytes);
}

/// Another tree under the stolen log key: within its range, where it may be taken for a fork, or beyond, where nobody may
/// take it for anything.
fn other_tree(world: &mut World, thief: &Thief) {
    let node = thief.node;
    if world.mischief.happens(500_000) {
        let theft = Theft {
            node,
            serial: thief.serial,
        };
        steal_beside(world, theft);
        return;
    }
    let signed = world.nodes[node].newest_digest();
    let next = usize::try_from(thief.serial).unwrap_or(usize::MAX);
    let next = world.nodes[node].from_sizes.get(next).copied();
    let size = next.unwrap_or(0).max(signed + 1);
    let root = Hash(world.mischief.bytes());
    if let Some(note) = sign(world, node, thief.serial, size, root) {
        show(world, node, &note);
    }
}

/// The digest of a factory with lines by the stolen ack and mirror keys.
fn cosigned(world: &World, thief: &Thief, digest: &SignedNote) -> Option<SignedNote> {
    let keys = keys(world, thief)?;
    let name = &world.nodes[thief.node].name;
    let now = u64::try_from(world.true_us() / 1_000_000).ok()?;
    let others = digest.signatures().iter();
    let others = others.filter(|line| !line.name().starts_with(name.as_str()));
    let mut made = SignedNote::new(digest.text(), others.cloned().collect()).ok()?;
    for key in [&keys.ack, &keys.mirror] {
        made = made
            .with_signature(key.cosign(digest.text(), now).ok()?)
            .ok()?;
    }
    Some(made)
}

/// Cosigns the newest digest of some factory, true as it is, and tells everybody.
fn cosign(world: &mut World, thief: &Thief) {
    let at = thief.node;
    let others: Vec<usize> = (0..world.nodes.len())
        .filter(|one| *one != at && world.founded.member(*one).factory)
        .collect();
    let Some(origin) = world.mischief.pick(&others).copied() else {
        return;
    };
    let size = world.nodes[origin].newest_digest();
    let note = world.nodes[origin].digest(size);
    let note = note.and_then(|note| SignedNote::parse(note.as_bytes()).ok());
    let Some(note) = note.and_then(|note| cosigned(world, thief, &note)) else {
        return;
    };
    let Some(bytes) = Bytes::new(note.to_string().into_bytes()) else {
        return;
    };
    let heads = Heads {
        notes: List::new(vec![bytes]).unwrap_or_default(),
    };
    let frame = Frame::encode(Version::V1_0, Kind::Heads.number(), &codec::encode(&heads));
    for to in world.net.peers(at) {
        world.pass_on(at, to, Topic::Acks, &frame);
    }
}

/// What a thief answers in place of a node that acknowledges a digest: the same by the stolen keys, every second time.
pub(crate) fn instead(world: &mut World, at: usize, bytes: Vec<u8>) -> Vec<u8> {
    let Some(thief) = world.thieves.get(&at).copied() else {
        return bytes;
    };
    let acks = crate::watch::framed(&bytes, Kind::Acks).map(<[u8]>::to_vec);
    let note = acks.and_then(|payload| SignedNote::parse(&payload).ok());
    let Some(note) = note.filter(|note| Checkpoint::parse(note.text()).is_ok()) else {
        return bytes;
    };
    if !world.mischief.happens(500_000) {
        return bytes;
    }
    match cosigned(world, &thief, &note) {
        Some(made) => Frame::encode(
            Version::V1_0,
            Kind::Acks.number(),
            made.to_string().as_bytes(),
        ),
        None => bytes,
    }
}
