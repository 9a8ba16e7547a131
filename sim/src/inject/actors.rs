//! Those who keep no rule: thieves of a log key, lying towers, replayers, flooders, askers for everything. They know the
//! keys of the member whose part they play and nothing else, and what they send goes over connections that are open.

use super::{Running, later};
use crate::clock::START_SECONDS;
use crate::directory::Backup;
use crate::founding::{own_keys, stolen_keys};
use crate::plan::Fault;
use crate::streams::Stream;
use crate::watch::{Hidden, Stolen};
use crate::world::Recorded;
use crate::world::World;
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::engine::federation::Topic;
use belfry_protocol::engine::store::Record;
use belfry_protocol::note::{SignedNote, SigningKey};
use belfry_protocol::tlog::hash::{Hash, leaf_hash};
use belfry_protocol::tlog::memory::MemoryTree;
use belfry_protocol::wire::codec::{self, Bytes, List, Text};
use belfry_protocol::wire::v1::{Get, Heads, Kind};
use belfry_protocol::wire::{Envelope, Frame, Guard, Header, MemberId, Version, to_member};

/// Pause before a thief tries again when there is nothing to steal yet, in microseconds.
const STEAL_AGAIN_US: u64 = 1_000_000;
/// Entries that a hidden tree has beyond the ledger, at most.
const HIDDEN_ENTRIES: u64 = 40;
/// How often a lying tower forgets what it holds, in microseconds.
const FORGET_US: u64 = 7_000_000;

/// A fault by somebody begins.
pub(super) fn begin(world: &mut World, fault: &Fault) {
    let until_us = |for_ms: u64| world.now_us + for_ms * 1_000;
    match fault {
        Fault::Equivocation { node } => steal(world, *node),
        Fault::HiddenEntries { node } => hide(world, *node),
        Fault::LyingTower { node } => {
            world.watch.mischief = true;
            world.watch.liars.insert(*node);
            later(world, FORGET_US, Running::Forget(*node));
        }
        Fault::Replay { per_second, for_ms }
        | Fault::Flood {
            per_second, for_ms, ..
        }
        | Fault::Garbage {
            per_second, for_ms, ..
        }
        | Fault::HugeQueries {
            per_second, for_ms, ..
        } => {
            let send = Running::Send {
                what: fault.clone(),
                every_us: 1_000_000 / (*per_second).max(1),
                until_us: until_us(*for_ms),
            };
            world.watch.mischief = true;
            later(world, 0, send);
        }
        _ => {}
    }
}

/// Somebody goes on.
pub(super) fn go_on(world: &mut World, running: Running) {
    match running {
        Running::Steal(node) => steal(world, node),
        Running::Hide(node) => hide(world, node),
        Running::Forget(node) => forget(world, node),
        Running::Send {
            what,
            every_us,
            until_us,
        } => {
            send(world, &what);
            if world.now_us < until_us {
                let again = Running::Send {
                    what,
                    every_us,
                    until_us,
                };
                later(world, every_us, again);
            }
        }
        _ => {}
    }
}

/// The log key of a factory that somebody has.
#[derive(Clone, Copy)]
pub(super) struct Theft {
    pub(super) node: usize,
    pub(super) serial: u64,
}

/// A thief signs, with a factory's newest key, a tree that differs in one entry, and shows it to half of the members.
fn steal(world: &mut World, node: usize) {
    let serial = world.nodes[node].from_sizes.len() as u64;
    let Some(note) = steal_beside(world, Theft { node, serial }) else {
        return later(world, STEAL_AGAIN_US, Running::Steal(node));
    };
    let liars: Vec<usize> = world.watch.liars.iter().copied().collect();
    for liar in liars {
        cosign_both(world, liar, &note);
    }
}

/// The same with any key, at a size in its range; `None` as long as there is nothing to steal.
pub(super) fn steal_beside(world: &mut World, theft: Theft) -> Option<SignedNote> {
    let Theft { node, serial } = theft;
    let signed = world.nodes[node].newest_digest();
    let (first, last) = range(world, &theft);
    let (first, last) = (first.max(1), last.min(signed));
    if signed == 0 || first > last {
        return None;
    }
    let entries = world.nodes[node].entries(signed)?;
    let size = world.mischief.between(first, last);
    let shared = size - 1;
    let own = entries.iter().map(|entry| leaf_hash(entry));
    let leaves = own
        .take(usize::try_from(shared).unwrap_or(usize::MAX))
        .chain([leaf_hash(b"what never was")]);
    let root = MemoryTree::new(leaves.collect()).root(size);
    let note = sign(world, node, serial, size, root)?;
    let by_size = world.watch.stolen.entry(node).or_default();
    by_size.entry(size).or_default().push(Stolen {
        serial,
        shared,
        root,
    });
    show(world, node, &note);
    Some(note)
}

/// The sizes that a log key signs.
fn range(world: &World, theft: &Theft) -> (u64, u64) {
    let from_sizes = &world.nodes[theft.node].from_sizes;
    let at = usize::try_from(theft.serial).unwrap_or(usize::MAX);
    let first = at.checked_sub(1).and_then(|at| from_sizes.get(at)).copied();
    let next = from_sizes.get(at).copied();
    (
        first.unwrap_or(0),
        next.map_or(u64::MAX, |next| next.saturating_sub(1)),
    )
}

/// A thief signs a digest beyond a factory's ledger, of entries that nobody will ever be shown. Nobody can prove that it is a
/// fork, unless the ledger grows that far.
fn hide(world: &mut World, node: usize) {
    let signed = world.nodes[node].newest_digest();
    if signed == 0 {
        return later(world, STEAL_AGAIN_US, Running::Hide(node));
    }
    // Within the range of the key that is stolen.
    let serial = world.nodes[node].from_sizes.len() as u64;
    let (first, _) = range(world, &Theft { node, serial });
    let size = first.max(signed + world.mischief.between(1, HIDDEN_ENTRIES));
    let root = Hash(world.mischief.bytes());
    let Some(note) = sign(world, node, serial, size, root) else {
        return;
    };
    let hidden = world.watch.hidden.entry(node).or_default();
    hidden.insert(size, Hidden { serial, root });
    show(world, node, &note);
}

/// A digest that a thief signs with a factory's key.
pub(super) fn sign(
    world: &World,
    node: usize,
    serial: u64,
    size: u64,
    root: Hash,
) -> Option<SignedNote> {
    let origin = world.nodes[node].name.clone();
    let key = stolen_keys(&origin, serial).ok()?.log;
    let checkpoint = Checkpoint { origin, size, root };
    checkpoint.sign(&key).ok()
}

/// A thief shows what it signed to half of the members, and to one tower at least.
pub(super) fn show(world: &mut World, node: usize, note: &SignedNote) {
    world.watch.mischief = true;
    let bytes = Frame::encode(
        Version::V1_0,
        Kind::Digest.number(),
        note.to_string().as_bytes(),
    );
    world.watch.shown.push((node, bytes.clone()));
    let half = world.nodes.len() / 2;
    let shown = world.mischief.some(half.max(1), world.nodes.len());
    let towers = (0..world.nodes.len()).find(|at| world.founded.member(*at).tower && *at != node);
    for to in shown.into_iter().chain(towers).filter(|to| *to != node) {
        world.pass_on(node, to, Topic::Digests, &bytes);
    }
}

/// A thief shows everybody what it showed some before, as long as somebody listens.
pub(crate) fn show_again(world: &mut World) {
    for (node, bytes) in world.watch.shown.clone() {
        for to in world.net.peers(node) {
            world.forget_seen(to, Topic::Digests, &bytes);
            world.pass_on(node, to, Topic::Digests, &bytes);
        }
    }
}

/// A lying tower cosigns a thief's digest beside the true one, and tells everybody.
fn cosign_both(world: &mut World, tower: usize, stolen: &SignedNote) {
    let keys = own_keys(&world.nodes[tower].name, &world.nodes[tower].from_sizes);
    let Ok(keys) = keys else { return };
    let Ok(now) = u64::try_from(world.true_us() / 1_000_000) else {
        return;
    };
    let acked = |note: &SignedNote, ack: &SigningKey| {
        let line = ack.cosign(note.text(), now.max(START_SECONDS)).ok()?;
        note.clone().with_signature(line).ok()
    };
    let Some(note) = acked(stolen, &keys.newest.ack) else {
        return;
    };
    let Some(bytes) = Bytes::new(note.to_string().into_bytes()) else {
        return;
    };
    let heads = Heads {
        notes: List::new(vec![bytes]).unwrap_or_default(),
    };
    let frame = Frame::encode(Version::V1_0, Kind::Heads.number(), &codec::encode(&heads));
    world.watch.reached("a lying tower cosigned two trees");
    world.watch.exposed.insert(tower);
    for to in world.net.peers(tower) {
        world.pass_on(tower, to, Topic::Acks, &frame);
    }
}

/// A lying tower throws away what it said that it holds, and goes on as if nothing had happened.
fn forget(world: &mut World, node: usize) {
    if !world.watch.liars.contains(&node) {
        return;
    }
    let kept: Vec<(Record, Vec<u8>)> = [Record::Disk, Record::Incarnation]
        .into_iter()
        .filter_map(|record| Some((record, world.nodes[node].record(record)?)))
        .collect();
    if kept.is_empty() && world.nodes[node].drive.is_some() {
        // Nobody can look into a disk that no process runs on.
        return later(world, FORGET_US, Running::Forget(node));
    }
    world.replace(node, Backup::Only(kept), false, 200_000);
    later(world, FORGET_US, Running::Forget(node));
}

/// One message of somebody who keeps no rule.
fn send(world: &mut World, what: &Fault) {
    match what {
        Fault::Replay { .. } => replay(world),
        Fault::Flood { from, to, .. } => {
            if let Some(bytes) = query(world, *from, *to, 1) {
                world.inject_request(*from, *to, bytes);
            }
            let note = b"flood".repeat(1 + world.mischief.index(64));
            let frame = Frame::encode(Version::V1_0, Kind::Digest.number(), &note);
            world.pass_on(*from, *to, Topic::Digests, &frame);
        }
        Fault::Garbage { to, .. } => garbage(world, *to),
        Fault::HugeQueries { from, to, .. } => {
            if let Some(bytes) = query(world, *from, *to, u32::MAX) {
                world
                    .watch
                    .reached("an honest node was asked for as much as there is");
                world.inject_request(*from, *to, bytes);
            }
        }
        _ => {}
    }
}

/// Sends a message of the past again, over any connection.
fn replay(world: &mut World) {
    let at = world.mischief.index(world.recording.kept.len());
    let Some(message) = world.recording.kept.get(at).cloned() else {
        return;
    };
    let from = world.mischief.index(world.nodes.len());
    let to = world.mischief.index(world.nodes.len());
    if from == to {
        return;
    }
    match message {
        Recorded::Request { bytes } => world.inject_request(from, to, bytes),
        Recorded::Gossip { topic, bytes } => world.pass_on(from, to, topic, &bytes),
    }
}

/// What is no message, or too much of one.
fn garbage(world: &mut World, to: usize) {
    let peers: Vec<usize> = world.net.peers(to).into_iter().collect();
    let Some(from) = world.mischief.pick(&peers).copied() else {
        return;
    };
    let draws: &mut Stream = &mut world.mischief;
    let bytes = match draws.below(5) {
        0 => Vec::new(),
        1 => draws.bytes::<64>().to_vec(),
        2 => vec![0xff; 1 + draws.index(200_000)],
        3 => {
            let kind = u16::try_from(draws.below(40)).unwrap_or(0);
            let body = draws.bytes::<512>();
            Frame::encode(Version::V1_0, kind, &body)
        }
        _ => {
            // A frame that says it is longer than it is.
            let body = draws.bytes::<64>();
            let mut frame = Frame::encode(Version::V1_0, Kind::Get.number(), &body);
            frame.truncate(20);
            frame
        }
    };
    if world.mischief.happens(500_000) {
        world.inject_request(from, to, bytes);
    } else {
        world.pass_on(from, to, Topic::Digests, &bytes);
    }
}

/// A member's own, well-signed question for entries.
fn query(world: &mut World, from: usize, to: usize, count: u32) -> Option<Vec<u8>> {
    let asker = &world.nodes[from];
    let newest = own_keys(&asker.name, &asker.from_sizes).ok()?.newest;
    ask(world, from, to, count, (newest.number, &newest.envelope))
}

/// The same by a key of some serial.
pub(super) fn ask(
    world: &mut World,
    from: usize,
    to: usize,
    count: u32,
    (key_serial, key): (u64, &SigningKey),
) -> Option<Vec<u8>> {
    let (origin, mirror) = world.nodes[to].mirrors().into_iter().next()?;
    let tree_size = mirror.base.end();
    let get = Get {
        origin: Text::new(origin)?,
        from: 0,
        count,
        tree_size,
    };
    let federation = &world.founded.federation;
    let id = |at: usize| MemberId::of(&world.founded.member(at).identity);
    let header = Header {
        version: Version::V1_0,
        kind: Kind::Get.number(),
        federation: federation.id(),
        lineage: [0; 16],
        epoch: federation.manifest().epoch,
        sender: id(from),
        key_serial,
        incarnation: u64::try_from(world.true_us()).ok()?,
        destination: to_member(id(to)),
        guard: Guard::None,
        token: [0; 16],
        issued_at_us: world.true_us(),
    };
    let sealed = Envelope::seal(header, codec::encode(&get), key).ok()?;
    Some(Frame::encode(
        Version::V1_0,
        Kind::Get.number(),
        &sealed.to_bytes(),
    ))
}
