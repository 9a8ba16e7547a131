//! What may never happen, whatever goes wrong (S1-S13). Every promise is looked at when it leaves, and every directory when
//! a process starts on it.

use super::{is_honest, is_sound, owes, revoked};
use crate::world::World;
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::cosignature::timestamp;
use belfry_protocol::engine::federation::{Promise, Topic, Verdict};
use belfry_protocol::engine::nonces::Refused;
use belfry_protocol::note::SignedNote;
use belfry_protocol::tlog::hash::{Hash, sha256};
use belfry_protocol::wire::v1::{Heads, Kind};
use belfry_protocol::wire::{Frame, codec};

/// Longest frame that is looked into.
const MAX_FRAME: usize = 16 << 20;

/// Something durable leaves a node.
pub(crate) fn promised(world: &mut World, at: usize, promise: &Promise) {
    world.watch.time(world.now_us);
    if !is_honest(world, at) {
        return;
    }
    match promise {
        Promise::Publish {
            topic: Topic::Acks,
            bytes,
        } => heads(world, at, bytes.as_slice()),
        Promise::Publish {
            topic: Topic::Digests,
            bytes,
        } => own_digest(world, at, bytes.as_slice()),
        Promise::Request { bytes, .. } => own_digest(world, at, bytes.as_slice()),
        Promise::Reply { id, bytes } => {
            acks(world, at, bytes.as_slice());
            answered_once(world, at, *id, bytes.as_slice());
            owes::replied(world, at, bytes.as_slice());
        }
        Promise::Acked { size } => {
            revoked::promised(world, at, *size);
            world.watch.acknowledged(at, *size);
            world.watch.reached("an entry was acknowledged");
            if world.nodes.iter().any(|node| !node.is_up()) {
                world
                    .watch
                    .reached("an ack was given while a tower was missing");
            }
        }
        Promise::Alarm(alarm) => {
            revoked::alarm(world, at, alarm);
            world.watch.alarm(at, alarm);
        }
        _ => {}
    }
}

pub(crate) fn framed(bytes: &[u8], kind: Kind) -> Option<&[u8]> {
    let frame = Frame::parse(bytes, MAX_FRAME).ok()?;
    (Kind::from_number(frame.kind) == Some(kind)).then_some(frame.payload)
}

/// S3, S6: of one honest key any two digests are of one tree.
fn own_digest(world: &mut World, at: usize, bytes: &[u8]) {
    let Some(payload) = framed(bytes, Kind::Digest) else {
        return;
    };
    let note = SignedNote::parse(payload).ok();
    let digest = note.and_then(|note| Some((Checkpoint::parse(note.text()).ok()?, note)));
    let Some((digest, note)) = digest else {
        return world.watch.fail(
            "S6",
            Some(at),
            "a digest that cannot be read left it".to_owned(),
        );
    };
    if digest.origin != world.nodes[at].name {
        return;
    }
    revoked::digest(world, at, digest.size, &note);
    let now_us = world.now_us;
    let known = &world.watch.digests[at];
    let before = known.range(..digest.size).next_back();
    let (same, before) = (
        known.get(&digest.size).map(|(root, _)| *root),
        before.map(|(size, (root, _))| (*size, *root)),
    );
    match same {
        Some(root) if root == digest.root => return,
        Some(root) => {
            let what = format!(
                "two roots of size {}: {root} and {}",
                digest.size, digest.root
            );
            return world.watch.fail("S3", Some(at), what);
        }
        None => {}
    }
    let stored = before.into_iter().chain([(digest.size, digest.root)]);
    // A machine whose power failed in the middle of what it let out cannot be read any more.
    let is_on = world.nodes[at].drive.is_none() || root_at(world, at, 1).is_some();
    let shows = is_on && is_sound(world, at);
    for (size, root) in stored.filter(|_| shows) {
        let found = root_at(world, at, size);
        if found != Some(root) {
            let what = format!("its entries do not lead to its own digest of size {size}");
            return world.watch.fail("S3", Some(at), what);
        }
    }
    world.watch.digests[at].insert(digest.size, (digest.root, now_us));
    let owes = &mut world.watch.owes[at];
    owes.digest = owes.digest.max(digest.size);
}

/// The root of a node's own first `size` entries, as they are stored.
fn root_at(world: &World, at: usize, size: u64) -> Option<Hash> {
    world.nodes[at].root(size)
}

/// S2, S6: a tower acks what was signed, of one tree, never back in time, and its mirror line says what it holds.
fn acks(world: &mut World, at: usize, bytes: &[u8]) {
    let Some(note) = framed(bytes, Kind::Acks).and_then(|bytes| SignedNote::parse(bytes).ok())
    else {
        return;
    };
    let Ok(digest) = Checkpoint::parse(note.text()) else {
        return;
    };
    let name = world.nodes[at].name.clone();
    let mirror_name = format!("{name}/mirror");
    let Some(origin) = world.founded.by_name(&digest.origin) else {
        return;
    };
    let own = world.watch.digests[origin].get(&digest.size);
    let is_true = own.is_some_and(|(root, _)| *root == digest.root);
    let stolen = world.watch.stolen.get(&origin).and_then(|by_size| {
        let all = by_size.get(&digest.size)?;
        all.iter().find(|one| one.root == digest.root).copied()
    });
    let hidden = world.watch.hidden.get(&origin);
    if hidden
        .and_then(|hidden| hidden.get(&digest.size))
        .map(|one| one.root)
        == Some(digest.root)
    {
        let what = format!(
            "it acked size {} of {}, whose entries nobody has",
            digest.size, digest.origin
        );
        return world.watch.fail("S6", Some(at), what);
    }
    if !is_true && stolen.is_none() && is_honest(world, origin) {
        let what = format!(
            "it acked size {} of {}, which nobody signed",
            digest.size, digest.origin
        );
        return world.watch.fail("S6", Some(at), what);
    }
    revoked::acked(world, at, origin, &digest, &note);
    for line in note.signatures().iter().filter(|line| line.name() == name) {
        let key = (at, line.key_id(), digest.origin.clone());
        let seconds = timestamp(line).unwrap_or(0);
        let acked = world.watch.acked.entry(key).or_default();
        if !acked.told.insert(line.signature().to_vec()) {
            continue;
        }
        if seconds < acked.time_seconds {
            let what = format!("its acks of {} went back in time", digest.origin);
            return world.watch.fail("S6", Some(at), what);
        }
        acked.time_seconds = seconds;
        match stolen {
            Some(one) if one.shared < acked.true_size => {
                let what = format!("it acked two trees of {}", digest.origin);
                return world.watch.fail("S6", Some(at), what);
            }
            Some(_) => acked.stolen = true,
            None if acked.stolen => {
                let what = format!("it acked two trees of {}", digest.origin);
                return world.watch.fail("S6", Some(at), what);
            }
            None => acked.true_size = acked.true_size.max(digest.size),
        }
    }
    let owes = world.watch.owes[at]
        .acks
        .entry(digest.origin.clone())
        .or_default();
    *owes = (*owes).max(digest.size);
    if note
        .signatures()
        .iter()
        .any(|line| line.name() == mirror_name)
    {
        let held = held(world, at, &digest.origin);
        if held < digest.size && is_sound(world, at) {
            let what = format!(
                "its mirror line says that it holds {} entries of {}, and it holds {held}",
                digest.size, digest.origin
            );
            world.watch.fail("S2", Some(at), what);
        }
    }
}

/// What a tower tells everybody of what it acked.
fn heads(world: &mut World, at: usize, bytes: &[u8]) {
    let Some(heads) = framed(bytes, Kind::Heads).and_then(|body| codec::decode::<Heads>(body).ok())
    else {
        return;
    };
    for note in heads.notes.as_slice() {
        let note = SignedNote::parse(note.as_slice()).ok();
        let digest = note.and_then(|note| Some((Checkpoint::parse(note.text()).ok()?, note)));
        let Some((digest, note)) = digest else {
            continue;
        };
        if let Some(origin) = world.founded.by_name(&digest.origin) {
            revoked::acked(world, at, origin, &digest, &note);
        }
    }
}

/// Entries of a ledger that a node's directory holds.
fn held(world: &mut World, at: usize, origin: &str) -> u64 {
    let mirror = world.nodes[at].mirror(origin);
    mirror.map_or(0, |mirror| mirror.base.end().max(mirror.end.end()))
}

/// S1: a guarded request is answered at most once by one node, also after it was started again.
fn answered_once(world: &mut World, at: usize, id: u64, answer: &[u8]) {
    if framed(answer, Kind::Marked).is_none() {
        return;
    }
    let Some(question) = world.questions.get(&id) else {
        return;
    };
    let hash = sha256(&question.bytes);
    if !world.watch.answered.insert((at, hash)) {
        let what = "it answered a request that it had answered before".to_owned();
        world.watch.fail("S1", Some(at), what);
    }
}

/// S1: a single request has its effect once, however often it is sent.
pub(crate) fn single(world: &mut World, at: usize, nonce: [u8; 16], taken: Result<(), Refused>) {
    world.watch.time(world.now_us);
    let before = world.watch.taken.contains(&(at, nonce));
    match taken {
        Ok(()) if before && is_honest(world, at) => {
            let what = "it took a single request that it had taken before".to_owned();
            world.watch.fail("S1", Some(at), what);
        }
        Ok(()) => {
            world.watch.taken.insert((at, nonce));
        }
        Err(Refused::Replayed | Refused::BelowFloor) if before => {
            let what = "a single request was refused the second time";
            world.watch.reached(what);
        }
        Err(_) => {}
    }
}

/// A process was started: what it let out before must be in its directory (S2).
pub(crate) fn started(world: &mut World, at: usize) {
    world.watch.time(world.now_us);
    owes::check(world, at);
    if world.nodes[at].is_damaged() && world.nodes[at].edge_is_wrong() {
        let what = "it started on newest entries that are not those it signed".to_owned();
        world.watch.fail("S10", Some(at), what);
    }
}

/// A directory was replaced by another: it owes nothing that is not in it.
pub(crate) fn replaced(world: &mut World, at: usize) {
    world.watch.owes[at] = owes::Owes::default();
    world.watch.revocations.replaced(at);
    world.watch.taken.retain(|(node, _)| *node != at);
}

/// S7: nobody is blamed for gossip while everybody keeps the rules.
pub(crate) fn judged(world: &mut World, at: usize, peer: &str, _id: [u8; 20], verdict: Verdict) {
    if verdict == Verdict::Reject {
        blamed(world, at, peer, "rejected gossip");
    }
}

/// S7, and what refusals show of rare states.
pub(crate) fn refused(world: &mut World, at: usize, peer: &str, why: &'static str, relayed: bool) {
    match why {
        "replayed" | "wrong token" | "other nonce" => {
            world.watch.reached("a replayed message was refused");
        }
        "wrong signature" => {
            world.watch.reached("a damaged message was refused");
        }
        _ => {}
    }
    // What a node may only say of a message that no honest node sends.
    let blames = why.starts_with("malformed") || why == "wrong signature";
    if blames && !relayed {
        blamed(world, at, peer, why);
    }
}

fn blamed(world: &mut World, at: usize, peer: &str, why: &str) {
    if world.watch.mischief {
        return;
    }
    world.watch.time(world.now_us);
    let known = world.founded.by_peer(peer);
    let who = known.map_or(peer, |at| world.nodes[at].name.as_str());
    let what = format!("it blames {who} for nothing: {why}");
    world.watch.fail("S7", Some(at), what);
}

/// Why connections are ended.
pub(crate) fn disconnects(world: &mut World, _at: usize, _peer: &str, why: &str) {
    if why.contains("version") {
        world.watch.reached("a hello was refused for its version");
    }
}
