//! Entries of other logs over HTTP (C2SP `tlog-mirror`): every row of the specification, and that the mirror key signs only
//! what is held.

use super::founding::own_keys;
use super::witness::{LOG, Log, TOWER, asked, lines, root};
use super::world::World;
use belfry_protocol::cosignature::verify;
use belfry_protocol::engine::federation::Input;
use belfry_protocol::engine::federation::witness::{Answer, Upload};
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::tlog::memory::MemoryTree;
use belfry_protocol::upload::{Package, UploadHead};

fn entry(number: u64) -> Vec<u8> {
    format!("entry {number}").into_bytes()
}

fn head(start: u64, end: u64, ticket: &str) -> UploadHead {
    UploadHead {
        origin: LOG.to_owned(),
        start,
        end,
        ticket: ticket.as_bytes().to_vec(),
    }
}

/// The canonical sequence of packages.
fn packages(log: &Log, head: &UploadHead) -> Vec<Package> {
    let tree = MemoryTree::new(log.leaves.clone());
    let mut list = Vec::new();
    let mut from = head.start;
    while let Some((start, end)) = head.range_from(from) {
        let mut entries = Vec::new();
        for number in start..end {
            bundle::push(&mut entries, &entry(number)).unwrap();
        }
        let proof = tree
            .subtree_proof(start - start % 256, end, head.end)
            .unwrap();
        list.push(Package {
            start,
            end,
            entries,
            proof,
        });
        from = end;
    }
    list
}

impl World {
    fn upload(&mut self, head: &UploadHead, packages: Vec<Package>, ends: bool) -> Answer {
        let upload = Box::new(Upload {
            head: head.clone(),
            packages,
            ends,
        });
        self.step(TOWER, vec![Input::AddEntries { id: 0, upload }]);
        self.nodes[TOWER].witnessed.pop().unwrap()
    }

    fn upload_all(&mut self, log: &Log, head: &UploadHead) -> Answer {
        self.upload(head, packages(log, head), true)
    }

    fn held_of_log(&self) -> Vec<Vec<u8>> {
        let place = self.mirror(TOWER, LOG).place;
        self.nodes[TOWER].store.entries_of(place).unwrap()
    }
}

fn info(answer: &Answer) -> (u16, u64, u64, String) {
    match answer {
        Answer::Progress {
            size, next, ticket, ..
        } => (answer.status(), *size, *next, ticket.clone()),
        other => panic!("{other:?}"),
    }
}

/// A tower that cosigned 700 entries of a log and holds none of them.
fn pending() -> (World, Log) {
    let (mut world, log) = (asked(), Log::new(1_000));
    assert_eq!(world.witness(TOWER, log.request(0, 700)).status(), 200);
    (world, log)
}

#[test]
fn entries_are_held_and_then_the_mirror_key_signs() {
    let (mut world, log) = pending();
    // Nothing is known: the answer says where to begin.
    let start = info(&world.upload(&head(0, 0, ""), Vec::new(), true));
    assert_eq!((start.0, start.1, start.2), (409, 700, 0));
    let head_all = head(0, 700, &start.3);
    let mut all = packages(&log, &head_all);
    assert_eq!(all.len(), 3);
    let rest = all.split_off(1);
    let part = info(&world.upload(&head_all, all, false));
    assert_eq!((part.0, part.1, part.2), (202, 700, 256));
    assert_eq!(
        world.mirror(TOWER, LOG).acked,
        None,
        "no line before all are held"
    );
    let done = world.upload(&head(256, 700, &part.3), rest, true);
    let keys = own_keys(world.name(TOWER), &world.nodes[TOWER].from_sizes).newest;
    let key = keys.mirror.verifier();
    let note = log.digest(700);
    assert_eq!(lines(&done).len(), 1);
    assert!(verify(note.text(), &lines(&done)[0], key).unwrap() > 0);
    let mirror = world.mirror(TOWER, LOG);
    assert_eq!(
        (mirror.base.end(), mirror.base.root()),
        (700, root(&log.leaves[..700]))
    );
    let held = world.held_of_log();
    assert_eq!(held.len(), 700);
    assert!((0..).zip(&held).all(|(number, one)| *one == entry(number)));
    // Again, with nothing to send.
    assert_eq!(
        world.upload(&head(700, 700, ""), Vec::new(), true).status(),
        200
    );
}

#[test]
fn each_way_to_be_wrong_has_its_status() {
    let (mut world, log) = (asked(), Log::new(1_000));
    let none =
        |world: &mut World, head: &UploadHead| world.upload(head, Vec::new(), false).status();
    assert_eq!(
        none(&mut world, &head(0, 700, "")),
        422,
        "never a pending checkpoint"
    );
    assert_eq!(world.witness(TOWER, log.request(0, 700)).status(), 200);
    let mut stranger = head(0, 700, "");
    stranger.origin = "other.example".to_owned();
    assert_eq!(none(&mut world, &stranger), 404);
    stranger.origin = world.name(0).to_owned();
    assert_eq!(
        none(&mut world, &stranger),
        404,
        "a member's entries come from members"
    );
    assert_eq!(none(&mut world, &head(0, 699, "")), 409);
    assert_eq!(none(&mut world, &head(1, 700, "")), 409);
    assert_eq!(none(&mut world, &head(0, 700, "")), 202);
    // A lying entry, a lying proof, and a proof of another size: nothing is kept of the batch.
    let right = packages(&log, &head(0, 700, ""));
    let mut entry = right.clone();
    let last = entry[1].entries.len() - 1;
    entry[1].entries[last] ^= 1;
    let mut proof = right.clone();
    proof[0].proof[0] = Hash([1; 32]);
    let mut short = right.clone();
    short[2].proof.pop();
    for wrong in [entry, proof, short] {
        assert_eq!(world.upload(&head(0, 700, ""), wrong, true).status(), 422);
    }
    let mirror = world.mirror_or_none();
    assert!(mirror.is_none_or(|mirror| mirror.base.end() == 0));
    assert_eq!(world.upload(&head(0, 700, ""), right, true).status(), 200);
    // What is far below is waste, what was signed is not gone back on.
    assert_eq!(none(&mut world, &head(0, 700, "")), 409);
    assert_eq!(world.witness(TOWER, log.request(700, 1_000)).status(), 200);
    assert_eq!(none(&mut world, &head(700, 1_000, "")), 202);
}

#[test]
fn a_ticket_names_a_checkpoint_that_was_pending_once() {
    let (mut world, log) = pending();
    let first = info(&world.upload(&head(0, 700, ""), Vec::new(), false));
    assert_eq!(world.witness(TOWER, log.request(700, 900)).status(), 200);
    // Without it the size is not known any more; the answer names the current one.
    let gone = info(&world.upload(&head(0, 700, ""), Vec::new(), false));
    assert_eq!((gone.0, gone.1), (409, 900));
    assert_eq!(
        world.upload_all(&log, &head(0, 700, &first.3)).status(),
        200
    );
    assert_eq!(world.mirror(TOWER, LOG).acked.unwrap().size, 700);
    // A checkpoint that this tower did not sign is no ticket, whoever else signed it.
    let unsigned = log.digest(800).to_string();
    assert_eq!(
        world
            .upload(&head(700, 800, &unsigned), Vec::new(), false)
            .status(),
        409
    );
    assert_eq!(world.upload_all(&log, &head(700, 900, "")).status(), 200);
    // The smaller one is not signed again once a larger one was.
    let back = info(&world.upload(&head(700, 700, &first.3), Vec::new(), true));
    assert_eq!((back.0, back.1), (409, 900));
}

#[test]
fn two_uploads_at_once_hold_every_entry_once() {
    let (mut world, log) = pending();
    let whole = head(0, 700, "");
    let all = packages(&log, &whole);
    let first = world.upload(&whole, all[..1].to_vec(), false);
    assert_eq!(info(&first).2, 256);
    // The other began before and sends the same again, and more.
    let excess = world.upload(&whole, all.clone(), true);
    assert_eq!(excess.status(), 409, "a whole bundle more than needed");
    let late = head(250, 700, "");
    assert_eq!(world.upload_all(&log, &late).status(), 200);
    assert_eq!(world.held_of_log().len(), 700);
}

#[test]
fn other_members_hear_nothing_of_it_and_a_restart_forgets_nothing() {
    let (mut world, log) = pending();
    assert_eq!(world.upload_all(&log, &head(0, 700, "")).status(), 200);
    world.kill(TOWER);
    world.start(TOWER);
    world.watch(TOWER);
    world.run_ms(3_000);
    world.append(0, "entry");
    world.run_ms(2_000);
    for node in [0, 2, 3] {
        let refused = world.status(node).refused;
        assert!(refused.is_empty(), "{node}: {refused:?}");
    }
    assert_eq!(
        world.upload(&head(700, 700, ""), Vec::new(), true).status(),
        200
    );
}

#[test]
fn a_tower_whose_clock_is_wrong_takes_entries_and_signs_nothing() {
    let (mut world, log) = pending();
    world.kill(TOWER);
    world.skew_us.insert(TOWER, 3_600_000_000);
    world.start(TOWER);
    world.watch(TOWER);
    world.run_ms(1_000);
    world.measure();
    assert_eq!(world.witness(TOWER, log.request(700, 900)).status(), 503);
    let held = world.upload_all(&log, &head(0, 700, ""));
    assert_eq!(held.status(), 503);
    let mirror = world.mirror(TOWER, LOG);
    assert_eq!((mirror.base.end(), mirror.acked), (700, None));
    world.skew_us.clear();
    world.run_ms(200);
    world.measure();
    world.run_ms(1_000);
    let signed = world.upload(&head(700, 700, ""), Vec::new(), true);
    assert_eq!(signed.status(), 200);
    assert_eq!(world.witness(TOWER, log.request(700, 900)).status(), 200);
}

impl World {
    fn mirror_or_none(&self) -> Option<belfry_protocol::engine::federation::mirror::Mirror> {
        use belfry_protocol::engine::federation::mirror::Mirror;
        let mut store = self.nodes[TOWER].store.clone();
        Mirror::load(&store.begin(), LOG).unwrap()
    }
}
