//! S13: beyond the entry of a revocation nothing counts that the revoked keys sign, and nothing is taken back that was
//! acknowledged before. Where that entry is, and who acknowledged it, is read here from what left the nodes, not from what
//! their engines make of it.

use super::{is_honest, is_sound};
use crate::founding::{revocation, stolen_keys};
use crate::world::World;
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::engine::federation::{Alarm, Status};
use belfry_protocol::entry::json::Json;
use belfry_protocol::entry::leaf::{Content, Leaf};
use belfry_protocol::note::{SignedNote, VerifierKey};
use belfry_protocol::tlog::hash::{Hash, sha256};
use std::collections::{BTreeMap, BTreeSet};

/// A serial of a node.
pub(crate) type Serial = (usize, u64);

/// A serial that was revoked.
struct Revoked {
    note: String,
    log: VerifierKey,
    /// Index of the entry that tells of it, by ledger.
    entries: BTreeMap<usize, u64>,
}

/// All that is known of revocations.
#[derive(Default)]
pub(crate) struct Revocations {
    all: BTreeMap<Serial, Revoked>,
    /// Entries of a ledger that were looked through.
    looked: BTreeMap<usize, u64>,
    /// Whose directory has which.
    known: BTreeSet<(usize, Serial)>,
    /// At whom which acts, and for whose ledger.
    acting: BTreeSet<(usize, Serial, usize)>,
    /// Most entries that a tower acknowledged of a ledger, by serial.
    acked: BTreeMap<(Serial, usize), u64>,
    /// What thieves ask, with whose key.
    asked: BTreeMap<Hash, Serial>,
    /// Most entries of its own ledger that a node said are acknowledged.
    promised: BTreeMap<usize, u64>,
}

impl Revocations {
    /// Whether this digest's place in a ledger is beyond the entry that revokes a serial.
    fn covers(&self, serial: Serial, origin: usize, size: u64) -> bool {
        let entry = self
            .all
            .get(&serial)
            .and_then(|one| one.entries.get(&origin));
        entry.is_some_and(|at| size > *at)
    }

    /// Whether a serial was revoked.
    pub(super) fn is_revoked(&self, serial: Serial) -> bool {
        self.all.contains_key(&serial)
    }

    /// A thief asks something.
    pub(crate) fn thief_asks(&mut self, question: Hash, serial: Serial) {
        self.asked.insert(question, serial);
    }

    /// A node's directory is another: what it knew is gone.
    pub(super) fn replaced(&mut self, at: usize) {
        self.known.retain(|(node, _)| *node != at);
        self.acting.retain(|(node, ..)| *node != at);
        self.promised.remove(&at);
    }
}

fn is_by(note: &SignedNote, key: &VerifierKey) -> bool {
    let mut lines = note.signatures().iter();
    lines.any(|line| line.name() == key.name() && line.key_id() == key.key_id())
}

/// An operator revoked a serial.
pub(crate) fn revoked(world: &mut World, at: usize, serial: u64) {
    let node = &world.nodes[at];
    let note = revocation(&node.name, &node.from_sizes, serial);
    let (Ok(note), Ok(keys)) = (note, stolen_keys(&node.name, serial)) else {
        return;
    };
    let revoked = Revoked {
        note: note.to_string(),
        log: keys.log.verifier().clone(),
        entries: BTreeMap::new(),
    };
    let known = &mut world.watch.revocations;
    known.all.insert((at, serial), revoked);
    known.looked.clear();
    world.watch.reached("a member revoked its older keys");
}

/// A factory's own digest left it: what it covers is looked through, and its own revoked keys are not on what is beyond.
pub(super) fn digest(world: &mut World, at: usize, size: u64, note: &SignedNote) {
    find_entries(world, at, size);
    let known = &world.watch.revocations;
    let mut own = known.all.iter().filter(|((node, _), _)| *node == at);
    let bad = own.find(|(serial, one)| known.covers(**serial, at, size) && is_by(note, &one.log));
    if let Some(((_, serial), _)) = bad {
        let what = format!(
            "it signed {size} entries with its log key of serial {serial}, which it revoked before"
        );
        world.watch.fail("S13", Some(at), what);
    }
}

fn find_entries(world: &mut World, at: usize, size: u64) {
    let known = &world.watch.revocations;
    if known.all.values().all(|one| one.entries.contains_key(&at)) {
        return;
    }
    let looked = known.looked.get(&at).copied().unwrap_or(0);
    let Some(entries) = world.nodes[at].entries(size).filter(|_| size > looked) else {
        return;
    };
    let known = &mut world.watch.revocations;
    known.looked.insert(at, size);
    for (index, entry) in (0..).zip(&entries) {
        let Some(told) = note_in(entry) else { continue };
        for one in known.all.values_mut().filter(|one| one.note == told) {
            one.entries.entry(at).or_insert(index);
        }
    }
}

/// The note of an entry that tells of a revocation.
fn note_in(entry: &[u8]) -> Option<String> {
    let leaf = Leaf::parse(entry).ok()?;
    let Content::Body(body) = &leaf.content else {
        return None;
    };
    let note = body.get("note").and_then(Json::as_str);
    note.filter(|_| leaf.kind == "key.revocation")
        .map(str::to_owned)
}

/// An ack left a tower: none by a key that it revoked on what is beyond, and none for another tree under a key whose
/// revocation acts there.
pub(super) fn acked(
    world: &mut World,
    at: usize,
    origin: usize,
    digest: &Checkpoint,
    note: &SignedNote,
) {
    let size = digest.size;
    let serials = 1..=world.nodes[at].from_sizes.len() as u64;
    for serial in serials.map(|serial| (at, serial)) {
        let Ok(keys) = stolen_keys(&world.nodes[at].name, serial.1) else {
            continue;
        };
        let lines = [keys.ack.verifier(), keys.mirror.verifier()];
        if !lines.iter().any(|key| is_by(note, key)) {
            continue;
        }
        if world.watch.revocations.covers(serial, origin, size) {
            let what = format!(
                "it acked {size} entries of {} with keys of serial {}, which it revoked before",
                digest.origin, serial.1
            );
            return world.watch.fail("S13", Some(at), what);
        }
        let acked = &mut world.watch.revocations.acked;
        let most = acked.entry((serial, origin)).or_default();
        *most = size.max(*most);
    }
    let stolen = world.watch.stolen.get(&origin);
    let stolen = stolen
        .and_then(|by_size| by_size.get(&size))
        .into_iter()
        .flatten();
    let mut stolen = stolen.filter(|one| one.root == digest.root);
    let acting = &world.watch.revocations.acting;
    if stolen.any(|one| acting.contains(&(at, (origin, one.serial), origin))) {
        let what = format!(
            "it acked {size} entries of {} by a revoked log key",
            digest.origin
        );
        world.watch.fail("S13", Some(at), what);
    }
}

/// A factory says that its entries are acknowledged: by a quorum without keys whose revocation they cover.
pub(super) fn promised(world: &mut World, at: usize, size: u64) {
    let known = &mut world.watch.revocations;
    let most = known.promised.entry(at).or_default();
    *most = size.max(*most);
    if known.all.is_empty() || !is_sound(world, at) {
        return;
    }
    let note = world.nodes[at].digest(size);
    let Some(note) = note.and_then(|note| SignedNote::parse(note.as_bytes()).ok()) else {
        return;
    };
    if let Err(what) = counts(world, at, size, &note) {
        world.watch.fail("S13", Some(at), what);
    }
}

/// Whether a digest's lines make a quorum without those that do not count; if not, how many do.
pub(super) fn counts(world: &World, at: usize, size: u64, note: &SignedNote) -> Result<(), String> {
    let known = &world.watch.revocations;
    let counted = (0..world.nodes.len()).filter(|tower| {
        let mut serials = 1..=world.nodes[*tower].from_sizes.len() as u64;
        let is_tower = *tower != at && world.founded.member(*tower).tower;
        is_tower
            && serials.any(|serial| {
                let key = stolen_keys(&world.nodes[*tower].name, serial);
                !known.covers((*tower, serial), at, size)
                    && key.is_ok_and(|keys| is_by(note, keys.mirror.verifier()))
            })
    });
    let (counted, name) = (counted.count(), &world.nodes[at].name);
    let quorum = world.founded.federation.quorum_of(name);
    let needed = quorum.map_or(0, |quorum| quorum.needed as usize);
    if counted >= needed {
        return Ok(());
    }
    Err(format!(
        "it took {size} entries for acked by {counted} towers of {needed}: the others' keys were revoked before"
    ))
}

/// A question was answered, or refused.
pub(crate) fn answered(world: &mut World, at: usize, question: &[u8], answered: bool) {
    if world.watch.revocations.asked.is_empty() {
        return;
    }
    let Some(serial) = world
        .watch
        .revocations
        .asked
        .get(&sha256(question))
        .copied()
    else {
        return;
    };
    let knows = world.watch.revocations.known.contains(&(at, serial));
    if !knows || !is_sound(world, at) {
        return;
    }
    if !answered {
        return world
            .watch
            .reached("a message under a revoked key was refused");
    }
    world.watch.time(world.now_us);
    let name = &world.nodes[serial.0].name;
    let what = format!(
        "it answered a message of {name} under serial {}, which is revoked",
        serial.1
    );
    world.watch.fail("S13", Some(at), what);
}

/// A node tells a human something: nobody is accused of what was first signed by keys whose revocation acts there.
pub(super) fn alarm(world: &mut World, at: usize, alarm: &Alarm) {
    let member = |name: &str| world.founded.by_name(name);
    let (accused, origin) = match alarm {
        Alarm::Fork { origin, .. } => (member(origin), member(origin)),
        Alarm::TowerFork { origin, tower } => (member(tower), member(origin)),
        _ => return,
    };
    let (Some(accused), Some(origin)) = (accused, origin) else {
        return;
    };
    let known = &world.watch.revocations;
    let acts = |serial: u64| known.acting.contains(&(at, (accused, serial), origin));
    let watch = &world.watch;
    let guiltless = match alarm {
        Alarm::Fork { .. } => {
            // Whoever signed another tree had keys that are revoked.
            let serials = watch.serials_of_thieves(accused);
            !serials.is_empty() && serials.into_iter().all(acts)
        }
        _ => {
            let serials = 1..=world.nodes[accused].from_sizes.len() as u64;
            !watch.exposed.contains(&accused) && serials.into_iter().any(acts)
        }
    };
    if guiltless && is_honest(world, accused) && known.all.keys().any(|one| one.0 == accused) {
        let name = &world.nodes[accused].name;
        let what = format!("it accuses {name} of a fork for what revoked keys signed");
        world.watch.fail("S13", Some(at), what);
    }
}

/// What a node says of revocations and of what is acknowledged.
pub(super) fn look(world: &mut World, at: usize) {
    if world.watch.revocations.all.is_empty() || !is_sound(world, at) {
        return;
    }
    let Some(status) = world.status(at) else {
        return;
    };
    let promised = world.watch.revocations.promised.get(&at).copied();
    if promised.is_some_and(|size| status.acked < size) {
        let what = format!(
            "it said that {} entries are acked, and takes it back: {}",
            promised.unwrap_or(0),
            status.acked
        );
        return world.watch.fail("S13", Some(at), what);
    }
    for one in &status.revoked {
        let Some(member) = world.founded.by_name(&one.name) else {
            continue;
        };
        let serial = (member, one.serial);
        world.watch.revocations.known.insert((at, serial));
        for origin in &one.acts_for {
            let Some(origin) = world.founded.by_name(origin) else {
                continue;
            };
            let acting = &mut world.watch.revocations.acting;
            if !acting.insert((at, serial, origin)) {
                continue;
            }
            world.watch.reached("a revocation took effect");
            if let Err(what) = may_act(world, at, serial, origin) {
                return world.watch.fail("S13", Some(at), what);
            }
        }
    }
}

/// Whether a revocation may act for a ledger: a quorum acknowledged more than its entry, by other keys.
fn may_act(world: &mut World, at: usize, serial: Serial, origin: usize) -> Result<(), String> {
    let (name, ledger) = (
        world.nodes[serial.0].name.clone(),
        world.nodes[origin].name.clone(),
    );
    let known = &world.watch.revocations;
    let entry = known
        .all
        .get(&serial)
        .and_then(|one| one.entries.get(&origin))
        .copied();
    let Some(entry) = entry else {
        return Err(format!(
            "the revocation of {name} acts for {ledger}, which has no entry of it"
        ));
    };
    let own = world.nodes[at]
        .mirror(&ledger)
        .and_then(|mirror| mirror.acked);
    let own = own.map_or(0, |ack| ack.size);
    let beyond = (0..world.nodes.len()).filter(|tower| {
        let serials = 1..=world.nodes[*tower].from_sizes.len() as u64;
        let mut acked = serials
            .map(|one| (*tower, one))
            .filter(|one| *one != serial);
        let known = &world.watch.revocations;
        let acked = acked.any(|one| {
            known
                .acked
                .get(&(one, origin))
                .is_some_and(|size| *size > entry)
        });
        let is_tower = *tower != origin && world.founded.member(*tower).tower;
        is_tower && (acked || *tower == at && own > entry || !is_honest(world, *tower))
    });
    let (beyond, quorum) = (beyond.count(), world.founded.federation.quorum_of(&ledger));
    let needed = quorum.map_or(0, |quorum| quorum.needed as usize);
    if beyond >= needed {
        return Ok(());
    }
    Err(format!(
        "the revocation of {name} acts for {ledger}, but {beyond} towers of {needed} acked its entry without the revoked keys"
    ))
}

/// Whether every revocation is known to a node, and acts for its own ledger and those it watches, as far as they go on; if
/// not, which does not.
pub(super) fn is_told(world: &World, at: usize, status: &Status) -> Result<(), String> {
    let ended = |origin: &usize| {
        let watch = &world.watch;
        watch.stolen.contains_key(origin) || watch.hidden.contains_key(origin)
    };
    let member = world.founded.member(at);
    for (member_at, serial) in world.watch.revocations.all.keys() {
        let name = &world.nodes[*member_at].name;
        let known = status.revoked.iter();
        let mut known = known.filter(|one| one.name == *name && one.serial == *serial);
        let Some(known) = known.next() else {
            return Err(format!(
                "{} does not know the revocation of {name}",
                world.nodes[at].name
            ));
        };
        let ledgers = (0..world.nodes.len()).filter(|origin| {
            let held = *origin == at || member.tower;
            held && world.founded.member(*origin).factory && !ended(origin)
        });
        for origin in ledgers {
            let ledger = &world.nodes[origin].name;
            if !known.acts_for.contains(ledger) {
                return Err(format!(
                    "at {} the revocation of {name} does not act for {ledger}",
                    world.nodes[at].name
                ));
            }
        }
    }
    Ok(())
}
