//! Checkpoints over HTTP: the specification's table row by row, one mark for HTTP and libp2p (R4), and what a tower does
//! that was stopped, rolled back or lied to.

use super::founding::{own_keys, seed};
use super::world::World;
use belfry_protocol::checkpoint::ForeignCheckpoint;
use belfry_protocol::cosignature::{timestamp, verify};
use belfry_protocol::engine::federation::forks::ForkRow;
use belfry_protocol::engine::federation::mirror::Mirror;
use belfry_protocol::engine::federation::witness::{Answer, Logs, Witnessed, newest};
use belfry_protocol::engine::federation::{Alarm, Input};
use belfry_protocol::engine::store::{Table, Transaction};
use belfry_protocol::fork::ForkProof;
use belfry_protocol::note::{SignatureLine, SignedNote, SigningKey, VerifierKey};
use belfry_protocol::tlog::hash::{Hash, leaf_hash};
use belfry_protocol::tlog::memory::MemoryTree;
use belfry_protocol::witness::AddCheckpoint;

pub(crate) const TOWER: usize = 1;
pub(crate) const LOG: &str = "log.example/one";

/// A log in memory that signs whatever it is told to.
pub(crate) struct Log {
    pub(crate) origin: String,
    pub(crate) key: SigningKey,
    pub(crate) leaves: Vec<Hash>,
}

pub(crate) fn root(leaves: &[Hash]) -> Hash {
    MemoryTree::new(leaves.to_vec()).root(leaves.len() as u64)
}

impl Log {
    pub(crate) fn of(name: &str, salt: &str, size: u64) -> Self {
        let leaf = |number: u64| leaf_hash(format!("{salt} {number}").as_bytes());
        Self {
            origin: name.to_owned(),
            key: SigningKey::ed25519(name, [9; 32]).unwrap(),
            leaves: (0..size).map(leaf).collect(),
        }
    }

    pub(crate) fn new(size: u64) -> Self {
        Self::of(LOG, "entry", size)
    }

    /// The ledger of a node, as far as its digest goes, signed by its own key.
    pub(crate) fn ledger(world: &World, at: usize) -> Self {
        let name = world.name(at);
        let keys = own_keys(name, &world.nodes[at].from_sizes);
        let entries = world.nodes[at].store.entries().unwrap();
        Self {
            origin: name.to_owned(),
            key: keys.log.for_size(0).unwrap().clone(),
            leaves: entries.iter().map(|entry| leaf_hash(entry)).collect(),
        }
    }

    fn note(&self, size: usize, root: Hash) -> SignedNote {
        let digest = ForeignCheckpoint {
            origin: self.origin.clone(),
            size: size as u64,
            root,
            extensions: Vec::new(),
        };
        self.key.signed_note(&digest.to_text()).unwrap()
    }

    pub(crate) fn digest(&self, size: usize) -> SignedNote {
        self.note(size, root(&self.leaves[..size]))
    }

    pub(crate) fn request(&self, old: usize, size: usize) -> AddCheckpoint {
        let proof = match old {
            0 => Vec::new(),
            old if old <= size => {
                let tree = MemoryTree::new(self.leaves.clone());
                tree.consistency(old as u64, size as u64).unwrap()
            }
            _ => Vec::new(),
        };
        AddCheckpoint {
            old_size: old as u64,
            proof,
            checkpoint: self.digest(size),
        }
    }
}

/// The key that every certificate of a member leads to.
fn identity(name: &str) -> VerifierKey {
    let key = SigningKey::ed25519(name, seed(name, "identity")).unwrap();
    key.verifier().clone()
}

pub(crate) fn lines(answer: &Answer) -> &[SignatureLine] {
    match answer {
        Answer::Cosigned(lines) => lines,
        other => panic!("{other:?}"),
    }
}

impl World {
    fn witness_all(&mut self, at: usize, requests: Vec<AddCheckpoint>) -> Vec<Answer> {
        let before = self.nodes[at].witnessed.len();
        let inputs = (0..)
            .zip(requests)
            .map(|(id, request)| Input::AddCheckpoint {
                id,
                request: Box::new(request),
                checks: Default::default(),
            });
        self.step(at, inputs.collect());
        self.nodes[at].witnessed[before..].to_vec()
    }

    pub(crate) fn witness(&mut self, at: usize, request: AddCheckpoint) -> Answer {
        let mut answers = self.witness_all(at, vec![request]);
        assert_eq!(answers.len(), 1, "one answer for each request");
        answers.remove(0)
    }

    pub(crate) fn watch(&mut self, at: usize) {
        let mut logs = Logs::default();
        let log = Log::new(0);
        logs.add(LOG, log.key.verifier().clone()).unwrap();
        logs.mirror(LOG);
        if let Some(engine) = &mut self.nodes[at].engine {
            engine.watch_logs(logs);
        }
    }

    fn witnessed(&self, at: usize, origin: &str) -> Option<Witnessed> {
        let mut store = self.nodes[at].store.clone();
        Witnessed::load(&store.begin(), origin).unwrap()
    }

    pub(crate) fn mirror(&self, at: usize, origin: &str) -> Mirror {
        let mut store = self.nodes[at].store.clone();
        Mirror::load(&store.begin(), origin).unwrap().unwrap()
    }

    fn proofs(&self, at: usize) -> Vec<ForkProof> {
        let mut store = self.nodes[at].store.clone();
        let rows = store.begin().rows(Table::Forks, &[], 100).unwrap();
        let read = |row: Vec<u8>| ForkRow::decode(&row).unwrap().proof().unwrap();
        rows.into_iter().map(|(_, row)| read(row)).collect()
    }

    /// Whether every line is this tower's over exactly this text, and which keys signed: ack, mirror.
    fn signers(&self, at: usize, note: &SignedNote, answer: &Answer) -> (bool, bool) {
        let keys = own_keys(self.name(at), &self.nodes[at].from_sizes).newest;
        let by = |key: &SigningKey| {
            let of = |line: &&SignatureLine| line.name() == key.verifier().name();
            let line = lines(answer).iter().find(of)?;
            Some(verify(note.text(), line, key.verifier()).unwrap() > 0)
        };
        let (ack, mirror) = (by(&keys.ack).is_some(), by(&keys.mirror).is_some());
        assert_eq!(lines(answer).len(), usize::from(ack) + usize::from(mirror));
        (ack, mirror)
    }
}

pub(crate) fn asked() -> World {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    world.watch(TOWER);
    world
}

#[test]
fn the_table_row_by_row_for_a_log_of_others() {
    let mut world = asked();
    let log = Log::new(20);
    let status = |world: &mut World, request| world.witness(TOWER, request).status();
    // 404: another origin, also a properly signed one, and whatever else is wrong.
    let stranger = Log::of("other.example", "entry", 5);
    assert_eq!(status(&mut world, stranger.request(9, 5)), 404);
    assert_eq!(
        status(&mut world, Log::of("t2.example", "x", 1).request(0, 1)),
        404
    );
    // 403: a stranger's signature, a wrong one of the trusted key, and both a right and a wrong one.
    let mut forged = log.request(0, 5);
    let other = SigningKey::ed25519(LOG, [8; 32]).unwrap();
    forged.checkpoint = other.signed_note(forged.checkpoint.text()).unwrap();
    assert_eq!(status(&mut world, forged), 403);
    let right = log.digest(5);
    let wrong = log.digest(6).signatures()[0].clone();
    let mut mixed = log.request(9, 5);
    mixed.checkpoint = right.clone().with_signature(wrong).unwrap();
    assert_eq!(status(&mut world, mixed), 403);
    // A stranger's line besides is ignored, and not kept.
    let line = other.sign_note(right.text()).unwrap();
    let with_line = right.clone().with_signature(line).unwrap();
    // 400: old above the size, before 409.
    let mut reversed = log.request(0, 5);
    reversed.old_size = 6;
    assert_eq!(status(&mut world, reversed), 400);
    // 409 with the size, before anything that is wrong with the tree.
    let mut early = log.request(0, 5);
    early.old_size = 3;
    early.checkpoint = log.note(5, Hash([1; 32]));
    assert_eq!(world.witness(TOWER, early), Answer::Conflict { size: 0 });
    // 422: an empty tree with another root; a proof where none is due.
    let mut empty = log.request(0, 0);
    empty.checkpoint = log.note(0, Hash([1; 32]));
    assert_eq!(status(&mut world, empty), 422);
    let mut extra = log.request(0, 5);
    extra.proof = vec![Hash([2; 32])];
    assert_eq!(status(&mut world, extra), 422);
    assert_eq!(world.witnessed(TOWER, LOG), None, "nothing was kept so far");
    // 200, and what is kept has the log's line and the tower's only.
    let mut first = log.request(0, 5);
    first.checkpoint = with_line;
    let answer = world.witness(TOWER, first);
    assert_eq!(world.signers(TOWER, &right, &answer), (true, false));
    let kept = SignedNote::parse(world.witnessed(TOWER, LOG).unwrap().note.as_bytes()).unwrap();
    assert_eq!(kept.text(), right.text());
    assert_eq!(kept.signatures().len(), 2);
    assert!(kept.signatures().contains(&right.signatures()[0]));
    // 409 says what was cosigned; 422 for each way a proof fails.
    let conflict = Answer::Conflict { size: 5 };
    assert_eq!(world.witness(TOWER, log.request(0, 9)), conflict);
    assert_eq!(world.witness(TOWER, log.request(4, 9)), conflict);
    assert_eq!(world.witness(TOWER, log.request(0, 4)), conflict);
    let mut bad = log.request(5, 9);
    bad.proof[0] = Hash([3; 32]);
    assert_eq!(status(&mut world, bad), 422);
    let mut short = log.request(5, 9);
    short.proof.pop();
    assert_eq!(status(&mut world, short), 422);
    let mut long = log.request(5, 9);
    long.proof.push(Hash([3; 32]));
    assert_eq!(status(&mut world, long), 422);
    assert_eq!(world.witness(TOWER, log.request(5, 9)).status(), 200);
    assert!(world.proofs(TOWER).is_empty() && world.nodes[TOWER].alarms.is_empty());
    let shown = &world.status(TOWER).logs;
    assert_eq!((shown[0].origin.as_str(), shown[0].size), (LOG, Some(9)));
}

#[test]
fn an_equal_size_is_cosigned_again_and_time_never_goes_back() {
    let mut world = asked();
    let log = Log::new(9);
    let time = |answer: &Answer| timestamp(&lines(answer)[0]).unwrap();
    let empty = world.witness(TOWER, log.request(0, 0));
    assert_eq!(empty.status(), 200, "an empty tree may be cosigned");
    let first = time(&world.witness(TOWER, log.request(0, 9)));
    world.run_ms(5_000);
    let second = time(&world.witness(TOWER, log.request(9, 9)));
    assert_eq!(second, first + 5);
    // The clock of the tower goes back an hour.
    let before = world.now_us;
    world.now_us = 0;
    let third = time(&world.witness(TOWER, log.request(9, 9)));
    world.now_us = before;
    assert_eq!(third, second);
}

#[test]
fn extension_lines_are_cosigned_as_they_are() {
    let mut world = asked();
    let log = Log::new(3);
    let text = format!("{}a line more\n", log.digest(3).text());
    let note = log.key.signed_note(&text).unwrap();
    let answer = world.witness(
        TOWER,
        AddCheckpoint {
            old_size: 0,
            proof: Vec::new(),
            checkpoint: note.clone(),
        },
    );
    assert_eq!(world.signers(TOWER, &note, &answer), (true, false));
}

#[test]
fn a_restart_between_changes_nothing() {
    let mut world = asked();
    let log = Log::new(9);
    assert_eq!(world.witness(TOWER, log.request(0, 5)).status(), 200);
    world.kill(TOWER);
    world.start(TOWER);
    world.watch(TOWER);
    let conflict = Answer::Conflict { size: 5 };
    assert_eq!(world.witness(TOWER, log.request(0, 9)), conflict);
    assert_eq!(world.witness(TOWER, log.request(5, 9)).status(), 200);
}

#[test]
fn of_two_requests_in_one_step_one_wins() {
    let mut world = asked();
    let log = Log::new(20);
    assert_eq!(world.witness(TOWER, log.request(0, 5)).status(), 200);
    let both = vec![log.request(5, 12), log.request(5, 9)];
    let answers = world.witness_all(TOWER, both);
    assert_eq!(answers[0].status(), 200);
    assert_eq!(answers[1], Answer::Conflict { size: 12 });
}

#[test]
fn two_trees_of_one_size_end_it_and_leave_a_proof() {
    let mut world = asked();
    let log = Log::new(9);
    let liar = Log::of(LOG, "lie", 9);
    assert_eq!(world.witness(TOWER, log.request(0, 5)).status(), 200);
    // Not a fork as long as nothing of that size was cosigned.
    assert_eq!(world.witness(TOWER, liar.request(5, 9)).status(), 422);
    assert!(world.proofs(TOWER).is_empty());
    assert_eq!(world.witness(TOWER, liar.request(5, 5)).status(), 422);
    let proofs = world.proofs(TOWER);
    let fork = proofs[0].verify(&[log.key.verifier().clone()]).unwrap();
    assert_eq!((fork.origin.as_str(), fork.larger_size), (LOG, 5));
    let alarm = Alarm::Fork {
        origin: LOG.to_owned(),
        size: 5,
    };
    assert_eq!(world.nodes[TOWER].alarms, [alarm]);
    for request in [log.request(5, 9), log.request(5, 5), log.request(0, 9)] {
        assert_eq!(world.witness(TOWER, request).status(), 503);
    }
    assert!(world.status(TOWER).logs[0].forked);
}

#[test]
fn a_fork_is_kept_also_if_the_old_size_was_wrong() {
    let mut world = asked();
    let (log, liar) = (Log::new(9), Log::of(LOG, "lie", 9));
    assert_eq!(world.witness(TOWER, log.request(0, 5)).status(), 200);
    let conflict = Answer::Conflict { size: 5 };
    assert_eq!(world.witness(TOWER, liar.request(0, 5)), conflict);
    assert_eq!(world.proofs(TOWER).len(), 1);
}

/// A federation whose tower 1 is cut off after it was told, while entries go on.
fn behind() -> (World, Log) {
    let mut world = asked();
    for word in ["one", "two", "three"] {
        world.append(0, word);
        world.run_ms(100);
    }
    assert_eq!(world.nodes[0].acked, 3);
    for other in [0, 2, 3] {
        world.cut(TOWER, other);
    }
    for word in ["four", "five"] {
        world.append(0, word);
        world.run_ms(100);
    }
    assert_eq!(world.nodes[0].acked, 5);
    let log = Log::ledger(&world, 0);
    assert_eq!(log.leaves.len(), 5);
    (world, log)
}

#[test]
fn a_members_ledger_has_one_mark_for_both_ways() {
    let (mut world, log) = behind();
    let name = log.origin.clone();
    assert_eq!(world.mirror(TOWER, &name).acked.unwrap().size, 3);
    let held = world.witness(TOWER, log.request(3, 3));
    assert_eq!(world.signers(TOWER, &log.digest(3), &held), (true, true));
    // What was acknowledged over libp2p is the last size over HTTP.
    let conflict = Answer::Conflict { size: 3 };
    assert_eq!(world.witness(TOWER, log.request(0, 5)), conflict);
    // Before the entries are held, the ack line alone.
    let ahead = world.witness(TOWER, log.request(3, 5));
    assert_eq!(world.signers(TOWER, &log.digest(5), &ahead), (true, false));
    assert_eq!(
        world.witness(TOWER, log.request(3, 3)),
        Answer::Conflict { size: 5 }
    );
    assert_eq!(world.mirror(TOWER, &name).acked.unwrap().size, 3);
    // A repeated digest of three entries gets no ack any more below five.
    let seen = world.mirror(TOWER, &name).seen_size();
    assert_eq!(seen, 5, "it was seen, and is fetched");
    let time = timestamp(&lines(&ahead)[0]).unwrap();
    world.heal();
    world.run_ms(3_000);
    let mirror = world.mirror(TOWER, &name);
    let ack = mirror.acked.clone().unwrap();
    assert_eq!((ack.size, mirror.base.end()), (5, 5));
    assert!(ack.time_seconds >= time);
    let both = world.witness(TOWER, log.request(5, 5));
    assert_eq!(world.signers(TOWER, &log.digest(5), &both), (true, true));
    let shown = newest(world.witnessed(TOWER, &name), Some(mirror)).unwrap();
    assert!(shown.contains("t1.example/mirror "), "{shown}");
}

#[test]
fn an_ack_that_follows_is_not_older_than_one_over_http() {
    let (mut world, log) = behind();
    let before = world.now_us;
    // The clock is an hour ahead while the digest comes over HTTP.
    world.now_us += 3_600_000_000;
    let ahead = world.witness(TOWER, log.request(3, 5));
    world.now_us = before;
    world.heal();
    world.run_ms(3_000);
    let ack = world.mirror(TOWER, &log.origin).acked.unwrap();
    assert_eq!(ack.size, 5);
    assert!(ack.time_seconds >= timestamp(&lines(&ahead)[0]).unwrap());
}

#[test]
fn a_smaller_digest_waits_while_a_larger_one_is_fetched() {
    let (mut world, log) = behind();
    // A hint of five entries without a proof: it is seen, and nothing is cosigned.
    let mut hint = log.request(3, 5);
    hint.proof.clear();
    assert_eq!(world.witness(TOWER, hint).status(), 422);
    assert_eq!(world.mirror(TOWER, &log.origin).seen_size(), 5);
    assert_eq!(world.witness(TOWER, log.request(3, 4)).status(), 503);
    assert_eq!(world.witness(TOWER, log.request(3, 5)).status(), 200);
}

#[test]
fn entries_that_do_not_lead_to_what_was_cosigned_are_never_acknowledged() {
    let (mut world, honest) = behind();
    let mut liar = Log::ledger(&world, 0);
    liar.leaves[3] = leaf_hash(b"another fourth entry");
    // Its own key signed a digest of four entries that nobody else saw.
    let ahead = world.witness(TOWER, liar.request(3, 4));
    assert_eq!(world.signers(TOWER, &liar.digest(4), &ahead), (true, false));
    world.heal();
    world.run_ms(3_000);
    let mirror = world.mirror(TOWER, &honest.origin);
    assert!(mirror.conflict, "{:?}", world.status(TOWER));
    assert_eq!(
        mirror.acked.unwrap().size,
        3,
        "five entries were not acknowledged"
    );
    let is_fork = |alarm: &Alarm| matches!(alarm, Alarm::Fork { .. });
    assert!(world.nodes[TOWER].alarms.iter().any(is_fork));
    let fork = world.proofs(TOWER)[0]
        .verify(&[identity(&honest.origin)])
        .unwrap();
    assert_eq!((fork.smaller_size, fork.larger_size), (4, 5));
    assert_eq!(world.witness(TOWER, honest.request(4, 5)).status(), 503);
}

#[test]
fn a_member_that_signs_two_trees_of_one_size_is_a_fork_over_http_too() {
    let (mut world, log) = behind();
    let mut liar = Log::ledger(&world, 0);
    liar.leaves[2] = leaf_hash(b"another third entry");
    // Smaller than what was seen, and of the size that was cosigned last.
    assert_eq!(world.witness(TOWER, log.request(3, 3)).status(), 200);
    let mut hint = log.request(3, 5);
    hint.proof.clear();
    assert_eq!(world.witness(TOWER, hint).status(), 422);
    assert_eq!(world.witness(TOWER, liar.request(3, 3)).status(), 422);
    let proofs = world.proofs(TOWER);
    let fork = proofs[0].verify(&[identity(&log.origin)]).unwrap();
    assert_eq!((fork.origin, fork.larger_size), (log.origin.clone(), 3));
    assert_eq!(world.witness(TOWER, log.request(3, 5)).status(), 503);
}

#[test]
fn extension_lines_on_a_members_digest_are_malformed() {
    let (mut world, log) = behind();
    let mut text = log.digest(3).text().to_owned();
    text.push_str("more\n");
    let checkpoint = log.key.signed_note(&text).unwrap();
    let request = AddCheckpoint {
        old_size: 3,
        proof: Vec::new(),
        checkpoint,
    };
    assert_eq!(world.witness(TOWER, request).status(), 400);
}

#[test]
fn after_a_start_nothing_of_a_member_is_cosigned_before_the_others_told() {
    let (mut world, log) = behind();
    world.kill(TOWER);
    world.start(TOWER);
    world.watch(TOWER);
    // Still cut off: not even what would be a conflict is answered as one.
    for request in [log.request(0, 5), log.request(3, 5), log.request(3, 3)] {
        assert_eq!(world.witness(TOWER, request).status(), 503);
    }
    let mut reversed = log.request(3, 3);
    reversed.old_size = 9;
    assert_eq!(world.witness(TOWER, reversed).status(), 400);
    // Of other logs nobody else could tell anything.
    assert_eq!(
        world.witness(TOWER, Log::new(5).request(0, 5)).status(),
        200
    );
}

#[test]
fn a_restored_tower_cosigns_nothing_under_its_old_keys() {
    let mut world = asked();
    world.append(0, "one");
    world.run_ms(100);
    let log = Log::new(9);
    assert_eq!(world.witness(TOWER, log.request(0, 5)).status(), 200);
    let old = world.nodes[TOWER].store.clone();
    assert_eq!(world.witness(TOWER, log.request(5, 9)).status(), 200);
    world.kill(TOWER);
    world.nodes[TOWER].store = old;
    world.nodes[TOWER].restored = true;
    for other in [0, 2, 3] {
        world.cut(TOWER, other);
    }
    world.start(TOWER);
    world.watch(TOWER);
    assert_eq!(world.witness(TOWER, log.request(5, 9)).status(), 503);
    let ledger = Log::ledger(&world, 0);
    assert_eq!(world.witness(TOWER, ledger.request(1, 1)).status(), 503);
    world.heal();
    world.run_ms(5_000);
    let again = world.witness(TOWER, log.request(5, 9));
    assert_eq!(world.nodes[TOWER].from_sizes.len(), 2, "new keys");
    assert_eq!(world.signers(TOWER, &log.digest(9), &again), (true, false));
}

#[test]
fn a_node_that_is_no_tower_cosigns_nothing() {
    let mut world = asked();
    world.watch(0);
    assert_eq!(world.witness(0, Log::new(5).request(0, 5)), Answer::Unknown);
}

#[test]
fn old_digests_sent_again_and_again_do_not_keep_acks_back() {
    let mut world = asked();
    for number in 0..40 {
        world.append(0, &number.to_string());
        world.run_ms(50);
    }
    world.kill(TOWER);
    world.start(TOWER);
    world.run_ms(1_000);
    let log = Log::ledger(&world, 0);
    // After the start none of them is known to fit what is held.
    for size in 1..30 {
        let status = world.witness(TOWER, log.request(0, size)).status();
        assert!([409, 503].contains(&status), "{status}");
    }
    world.append(0, "more");
    world.run_ms(500);
    assert_eq!(world.mirror(TOWER, &log.origin).acked.unwrap().size, 41);
    let newest = Log::ledger(&world, 0);
    let both = world.witness(TOWER, newest.request(41, 41));
    assert_eq!(
        world.signers(TOWER, &newest.digest(41), &both),
        (true, true)
    );
}

#[test]
fn a_tower_may_be_several_digests_ahead_of_its_entries() {
    let (mut world, _) = behind();
    for word in ["six", "seven"] {
        world.append(0, word);
        world.run_ms(100);
    }
    let log = Log::ledger(&world, 0);
    for (old, size) in [(3, 4), (4, 6), (6, 7)] {
        let ahead = world.witness(TOWER, log.request(old, size));
        assert_eq!(
            world.signers(TOWER, &log.digest(size), &ahead),
            (true, false)
        );
    }
    world.heal();
    world.run_ms(3_000);
    let mirror = world.mirror(TOWER, &log.origin);
    assert_eq!((mirror.acked.unwrap().size, mirror.base.end()), (7, 7));
    assert!(world.proofs(TOWER).is_empty() && world.nodes[TOWER].alarms.is_empty());
}
