//! The store in memory and the one on a (simulated) disk answer alike, operation by operation, with savepoints, dropped
//! transactions and new starts: large simulations run on the first, nodes on the second.

#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

use belfry_node::store::{Layout, Store};
use belfry_protocol::engine::mem::MemStore;
use belfry_protocol::engine::store::Transaction;
use belfry_sim_sys::SimDisk;
use belfry_sim_sys::streams::Stream;
use belfry_sim_sys::trials::work::{Part, payload, run, state};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What happens after a transaction.
#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    /// The store is closed and opened.
    Close,
    /// The process ends and starts.
    Kill,
    /// The power fails.
    Crash,
}

type Step = (Vec<Part>, bool, Then);

fn part() -> impl Strategy<Value = Part> {
    any::<u64>().prop_map(|seed| Part::draw(&mut Stream::new(seed, "part", 0)))
}

fn step() -> impl Strategy<Value = Step> {
    let then = prop_oneof![
        6 => Just(Then::Nothing),
        1 => Just(Then::Close),
        1 => Just(Then::Kill),
        1 => Just(Then::Crash),
    ];
    let parts = prop::collection::vec(part(), 1..5);
    (parts, prop::bool::weighted(0.8), then)
}

/// A root that no other disk of this process has.
fn mount() -> SimDisk {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    SimDisk::mount(format!("/belfry-model/{number}"), number).unwrap()
}

fn open(disk: &SimDisk) -> Store {
    Store::open(Layout::new(disk.root()), Arc::new(disk.clone())).unwrap()
}

/// The payloads of a store, by commitment.
fn payloads(store: &Store) -> Vec<[u8; 32]> {
    let mut ids: Vec<[u8; 32]> = store
        .orphans(0)
        .unwrap()
        .into_iter()
        .map(|(_, id)| id)
        .collect();
    ids.sort_unstable();
    ids
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_stores_answer_alike(steps in prop::collection::vec(step(), 1..14)) {
        let disk = mount();
        let (mut memory, mut sqlite) = (MemStore::default(), open(&disk));
        let mut held: Vec<u8> = Vec::new();
        for (parts, commit, then) in steps {
            let (mut expected, mut found) = (memory.begin(), sqlite.begin().unwrap());
            let (mut here, mut there) = (held.clone(), held.clone());
            for part in &parts {
                let wanted = run(&mut expected, part, &mut here).unwrap();
                prop_assert_eq!(run(&mut found, part, &mut there).unwrap(), wanted, "{:?}", part);
                prop_assert_eq!(state(&found).unwrap(), state(&expected).unwrap(), "{:?}", part);
            }
            if commit {
                expected.commit().unwrap();
                found.commit().unwrap();
                held = there;
            } else {
                drop((expected, found));
            }
            prop_assert!(sqlite.tidy(0, true).unwrap());
            sqlite = match then {
                Then::Nothing => sqlite,
                Then::Close => {
                    sqlite.close().unwrap();
                    open(&disk)
                }
                Then::Kill => {
                    disk.restart();
                    drop(sqlite);
                    open(&disk)
                }
                Then::Crash => {
                    disk.crash(None);
                    drop(sqlite);
                    open(&disk)
                }
            };
            let expected = state(&memory.begin()).unwrap();
            prop_assert_eq!(state(&sqlite.begin().unwrap()).unwrap(), expected, "{:?}", then);
            let mut ids: Vec<[u8; 32]> = held.iter().map(|number| payload(*number).id).collect();
            ids.sort_unstable();
            prop_assert_eq!(payloads(&sqlite), ids);
        }
    }
}
