//! Subtrees over HTTP: the specification's answers, what a tower must have cosigned itself, and what it does that forgot.

use super::founding::{own_keys, subtree_key};
use super::witness::{LOG, Log, TOWER, asked, lines, root};
use super::world::World;
use belfry_protocol::cosignature::subtree::{self, Subtree};
use belfry_protocol::cosignature::{second, timestamp};
use belfry_protocol::engine::federation::witness::Answer;
use belfry_protocol::engine::federation::{Alarm, Input};
use belfry_protocol::note::{SignatureLine, SignedNote, SigningKey};
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::tlog::memory::MemoryTree;
use belfry_protocol::witness::SignSubtree;

impl Log {
    /// A request for `[start, end)` of the tree of `size` entries, with this checkpoint.
    fn part(&self, (start, end): (u64, u64), size: usize, checkpoint: &SignedNote) -> SignSubtree {
        let tree = MemoryTree::new(self.leaves[..size].to_vec());
        let range = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
        SignSubtree {
            start,
            end,
            root: root(&self.leaves[range]),
            proof: tree.subtree_proof(start, end, size as u64).unwrap(),
            checkpoint: checkpoint.clone(),
        }
    }
}

impl World {
    fn sign_subtree(&mut self, at: usize, request: SignSubtree) -> Answer {
        let input = Input::SignSubtree {
            id: 0,
            request: Box::new(request),
            checks: Default::default(),
        };
        self.step(at, vec![input]);
        self.nodes[at].witnessed.pop().unwrap()
    }

    /// Has a tree of the log cosigned; the checkpoint with the tower's lines alone.
    fn cosigned(&mut self, log: &Log, old: usize, size: usize) -> SignedNote {
        let answer = self.witness(TOWER, log.request(old, size));
        SignedNote::new(log.digest(size).text(), lines(&answer).to_vec()).unwrap()
    }
}

/// That the answer is one line of the tower's ML-DSA key for this subtree, without a time.
fn is_signed(world: &World, log: &Log, (start, end): (u64, u64), answer: &Answer) {
    let Answer::Granted(grant) = answer else {
        panic!("{answer:?}")
    };
    let made = grant.lines().unwrap();
    assert_eq!(made, grant.lines().unwrap(), "it is deterministic");
    let key = own_keys(world.name(TOWER), &world.nodes[TOWER].from_sizes).newest;
    let key = key.subtree.unwrap();
    let range = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
    let tree = Subtree {
        origin: &log.origin,
        start,
        end,
        root: root(&log.leaves[range]),
    };
    assert_eq!(made.len(), 1);
    subtree::verify(&tree, &made[0], key.verifier()).unwrap();
    assert_eq!(timestamp(&made[0]), Some(0));
}

#[test]
fn the_table_row_by_row() {
    let mut world = asked();
    let log = Log::new(20);
    let note = world.cosigned(&log, 0, 14);
    let good = log.part((8, 13), 14, &note);
    let status = |world: &mut World, request| world.sign_subtree(TOWER, request).status();

    // 400: what the parser refuses, too, whoever hands it over.
    for (start, end) in [(8, 8), (13, 8), (9, 13), (8, 15), (0, u64::MAX)] {
        let bad = SignSubtree {
            start,
            end,
            ..good.clone()
        };
        assert_eq!(status(&mut world, bad), 400, "[{start}, {end})");
    }
    // 404: another origin, also with a right line of this tower's key.
    let ack = own_keys(world.name(TOWER), &[0]).newest.ack;
    let stranger = Log::of("other.example", "entry", 20);
    let text = stranger.digest(14).text().to_owned();
    let line = ack.cosign(&text, 1).unwrap();
    let note_of = |line: &SignatureLine| SignedNote::new(&text, vec![line.clone()]).unwrap();
    let unknown = stranger.part((8, 13), 14, &note_of(&line));
    assert_eq!(status(&mut world, unknown), 404);
    // 403: the log's own line alone; another tower's; a right line on another tree; a wrong one beside a right one.
    assert_eq!(
        status(&mut world, log.part((8, 13), 14, &log.digest(14))),
        403
    );
    let other = own_keys(world.name(2), &[0]).newest.ack;
    let by_other = other.cosign(note.text(), 1).unwrap();
    let by_other = SignedNote::new(note.text(), vec![by_other]).unwrap();
    assert_eq!(status(&mut world, log.part((8, 13), 14, &by_other)), 403);
    let moved = SignedNote::new(log.digest(15).text(), note.signatures().to_vec()).unwrap();
    assert_eq!(status(&mut world, log.part((8, 13), 15, &moved)), 403);
    let wrong = ack.cosign(log.digest(3).text(), 1).unwrap();
    let mixed = note.clone().with_signature(wrong).unwrap();
    assert_eq!(status(&mut world, log.part((8, 13), 14, &mixed)), 403);
    // 422: each way a proof fails.
    let mut spoilt: Vec<SignSubtree> = vec![good.clone(); 5];
    spoilt[0].proof[0] = Hash([3; 32]);
    spoilt[1].proof.pop();
    spoilt[2].proof.push(Hash([3; 32]));
    spoilt[3].proof.clear();
    spoilt[4].root = Hash([3; 32]);
    for bad in spoilt {
        assert_eq!(status(&mut world, bad), 422);
    }
    // 200: a part, a beginning, a single entry, the whole; and the same with strangers' lines.
    for range in [(8, 13), (0, 8), (13, 14), (12, 14), (0, 14)] {
        let answer = world.sign_subtree(TOWER, log.part(range, 14, &note));
        is_signed(&world, &log, range, &answer);
    }
    let more = note.clone().with_signature(line).unwrap();
    assert_eq!(status(&mut world, log.part((8, 13), 14, &more)), 403);
    let crowd = note.with_signature(log.digest(14).signatures()[0].clone());
    let answer = world.sign_subtree(TOWER, log.part((8, 13), 14, &crowd.unwrap()));
    is_signed(&world, &log, (8, 13), &answer);
    assert!(world.nodes[TOWER].alarms.is_empty());
}

#[test]
fn what_was_cosigned_once_can_be_asked_for_later() {
    let mut world = asked();
    let log = Log::new(20);
    let old = world.cosigned(&log, 0, 5);
    let new = world.cosigned(&log, 5, 14);
    world.kill(TOWER);
    world.start(TOWER);
    world.watch(TOWER);
    for (size, note) in [(5, &old), (14, &new)] {
        let answer = world.sign_subtree(TOWER, log.part((4, 5), size, note));
        is_signed(&world, &log, (4, 5), &answer);
    }
    // An ML-DSA line of this tower's is as good as its Ed25519 line.
    let key = subtree_key(world.name(TOWER), 1).unwrap();
    let line = second(new.text(), &new.signatures()[0], &key).unwrap();
    assert_eq!(timestamp(&line), timestamp(&new.signatures()[0]));
    let alone = SignedNote::new(new.text(), vec![line]).unwrap();
    let answer = world.sign_subtree(TOWER, log.part((4, 6), 14, &alone));
    is_signed(&world, &log, (4, 6), &answer);
    let ed25519 = SigningKey::cosigner("t.example", [1; 32]).unwrap();
    assert!(second(new.text(), &new.signatures()[0], &ed25519).is_err());
}

#[test]
fn a_member_that_was_acknowledged_has_subtrees() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    for number in 0..9 {
        world.append(0, &number.to_string());
    }
    world.run_ms(500);
    let log = Log::ledger(&world, 0);
    let acked = world.mirror(TOWER, world.name(0)).acked.unwrap();
    let note = SignedNote::parse(acked.note.as_bytes()).unwrap();
    let size = usize::try_from(acked.size).unwrap();
    let answer = world.sign_subtree(TOWER, log.part((4, 8), size, &note));
    is_signed(&world, &log, (4, 8), &answer);
    // A tower without a ledger of its own is nobody's log, and a factory is no tower.
    assert_eq!(
        world.sign_subtree(0, log.part((4, 8), size, &note)),
        Answer::Unknown
    );
}

#[test]
fn nothing_is_signed_of_a_log_that_forked() {
    let mut world = asked();
    let (log, liar) = (Log::new(9), Log::of(LOG, "lie", 9));
    let note = world.cosigned(&log, 0, 5);
    assert_eq!(world.witness(TOWER, liar.request(5, 5)).status(), 422);
    let stopped = world.sign_subtree(TOWER, log.part((0, 4), 5, &note));
    assert_eq!(stopped.status(), 503, "{stopped:?}");
}

#[test]
fn a_line_that_is_newer_than_the_mark_is_not_built_upon() {
    let mut world = asked();
    let log = Log::new(20);
    let old = world.cosigned(&log, 0, 5);
    let before = world.nodes[TOWER].store.clone();
    let new = world.cosigned(&log, 5, 14);
    world.kill(TOWER);
    world.nodes[TOWER].store = before;
    world.start(TOWER);
    world.watch(TOWER);
    for _ in 0..2 {
        let refused = world.sign_subtree(TOWER, log.part((8, 13), 14, &new));
        assert_eq!(refused.status(), 503, "{refused:?}");
    }
    let origin = LOG.to_owned();
    let told = Alarm::TowerRolledBack { origin };
    assert_eq!(world.nodes[TOWER].alarms, [told], "a human is told once");
    let answer = world.sign_subtree(TOWER, log.part((0, 4), 5, &old));
    is_signed(&world, &log, (0, 4), &answer);
    // A line of its own on another tree of the size that it remembers.
    let liar = Log::of(LOG, "lie", 20);
    let ack = own_keys(world.name(TOWER), &[0]).newest.ack;
    let line = ack.cosign(liar.digest(5).text(), 1).unwrap();
    let other = SignedNote::new(liar.digest(5).text(), vec![line]).unwrap();
    let refused = world.sign_subtree(TOWER, liar.part((0, 4), 5, &other));
    assert_eq!(refused.status(), 503, "{refused:?}");
}
