//! A ledger on its own that is shown a fork of its own (R3): it signs nothing any more, also after a restart, and nobody can
//! silence it with less than that.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::engine::keys::LogKeys;
use belfry_protocol::engine::ledger::{Config, Free, Input, Ledger, Promise, Refusal};
use belfry_protocol::engine::mem::MemStore;
use belfry_protocol::engine::store::Transaction;
use belfry_protocol::engine::{Now, RequestId};
use belfry_protocol::entry::json::Json;
use belfry_protocol::entry::time::TimeUs;
use belfry_protocol::fork::{ForkKind, ForkProof};
use belfry_protocol::note::{SignedNote, SigningKey};
use belfry_protocol::tlog::hash::Hash;

const ORIGIN: &str = "test.example/ledger";
const DAY_US: i64 = 86_400_000_000;

fn key(serial: u8) -> SigningKey {
    SigningKey::ed25519(ORIGIN, [serial; 32]).unwrap()
}

/// A ledger of which the second key signs from size 2 on.
fn ledger() -> Ledger {
    let config = Config {
        origin: ORIGIN.to_owned(),
        solo: true,
        backup_retention_us: DAY_US,
    };
    Ledger::new(
        config,
        LogKeys::new(vec![(0, key(1)), (2, key(2))]).unwrap(),
    )
}

fn step(store: &mut MemStore, day: i64, inputs: Vec<Input>) -> (Vec<Promise>, Vec<Free>) {
    let now = Now {
        mono_us: 0,
        wall: TimeUs::from_micros(day * DAY_US).unwrap(),
    };
    let mut tx = store.begin();
    let (mut out, _) = ledger().step(now, &mut tx, inputs).unwrap();
    let free = out.take_free();
    (out.release(&tx.commit().unwrap()), free)
}

fn append(text: &str) -> Input {
    Input::System {
        request: RequestId(1),
        kind: "window",
        body: Json::object([("text", Json::text(text))]),
    }
}

fn signed(serial: u8, size: u64, root: u8) -> SignedNote {
    let checkpoint = Checkpoint {
        origin: ORIGIN.to_owned(),
        size,
        root: Hash([root; 32]),
    };
    checkpoint.sign(&key(serial)).unwrap()
}

fn shown(one: SignedNote, other: SignedNote) -> Input {
    let proof = ForkProof::build(ForkKind::Origin, one, other, Vec::new(), Vec::new());
    Input::OwnFork(Box::new(proof.unwrap()))
}

fn digests(promises: &[Promise]) -> usize {
    let digests = promises.iter();
    digests
        .filter(|one| matches!(one, Promise::Digest { .. }))
        .count()
}

#[test]
fn nothing_is_signed_after_a_fork_of_ones_own() {
    let mut store = MemStore::default();
    let (promises, _) = step(&mut store, 20_000, vec![append("a"), append("b")]);
    assert_eq!(digests(&promises), 1);
    let proof = shown(signed(2, 2, 7), signed(2, 2, 8));
    let (promises, free) = step(&mut store, 20_000, vec![proof, append("c")]);
    assert_eq!(digests(&promises), 0);
    let refusal = Refusal::Forked;
    let request = RequestId(1);
    assert_eq!(free, [Free::Refused { request, refusal }]);
    // Each step reads the store anew, as a restart does; a day that ends writes nothing either.
    let (promises, free) = step(&mut store, 20_003, vec![append("c"), Input::Tick]);
    assert_eq!((promises.len(), free.len()), (0, 1));
    assert_eq!(store.entries().unwrap().len(), 2);
    // Somebody else can still go on in its place.
    let retire = Input::Retire {
        request,
        successor: "other.example".to_owned(),
    };
    let (promises, _) = step(&mut store, 20_003, vec![retire]);
    assert!(matches!(promises[..], [Promise::Retired { .. }]));
}

#[test]
fn less_than_a_fork_of_ones_own_silences_nobody() {
    let mut store = MemStore::default();
    let stranger = SigningKey::ed25519(ORIGIN, [9; 32]).unwrap();
    let forged = |root: u8| {
        let checkpoint = Checkpoint {
            origin: ORIGIN.to_owned(),
            size: 2,
            root: Hash([root; 32]),
        };
        checkpoint.sign(&stranger).unwrap()
    };
    let none = [
        shown(forged(7), forged(8)),
        // An older key must not speak of sizes that are the newer one's, nor the other way round.
        shown(signed(1, 2, 7), signed(1, 2, 8)),
        shown(signed(1, 2, 7), signed(2, 2, 8)),
        shown(signed(2, 1, 7), signed(2, 1, 8)),
        // The same twice.
        shown(signed(2, 2, 7), signed(2, 2, 7)),
    ];
    for proof in none {
        let (promises, free) = step(&mut store, 20_000, vec![proof, append("a")]);
        assert_eq!((digests(&promises), free.len()), (1, 0));
    }
}
