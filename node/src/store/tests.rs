//! The contract of a store: the same operations on the one in memory and the one on disk, and the same answers. The
//! engine's models run on the first, nodes on the second.

use super::{Layout, Reader, Store};
use crate::disk::FixedSyncDisk;
use belfry_protocol::engine::mem::MemStore;
use belfry_protocol::engine::store::{IdemRow, Place, Record, StoreError, Table, Transaction};
use belfry_protocol::entry::batch::{IdemTag, SealedPayload};
use belfry_protocol::tlog::hash::{Hash, leaf_hash};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

type Result<T> = std::result::Result<T, StoreError>;

const RECORDS: [Record; 3] = [Record::Head, Record::SignedHead, Record::StreamBlock];
/// Beyond all starts, tiles and sizes that are drawn here.
const SIZES: u64 = 12;
/// Beyond all levels.
const LEVELS: u8 = 3;

#[derive(Clone, Debug)]
enum Op {
    PutRecord(usize, Vec<u8>),
    PutRow(Table, Vec<u8>, Vec<u8>),
    RemoveRow(Table, Vec<u8>),
    RemoveRowsBelow(Table, Vec<u8>),
    PutTail(Place, u64, u8),
    DropTailBelow(Place, u64),
    DropTailFrom(Place, u64),
    PutEdge(Place, u8, u64, u8),
    DropEdgeBelow(Place, u8, u64),
    DropEdgeFrom(Place, u8, u64),
    PutDigest(u64, String),
    DropDigestsAbove(u64),
    PruneDigests(u64),
    PutIdem(u8, u64, Option<i64>),
    PruneIdem(i64),
    DropIdemFrom(u64),
}

/// One part of a transaction: inputs run in savepoints, and some of them are refused.
#[derive(Clone, Debug)]
enum Part {
    Plain(Vec<Op>),
    Kept(Vec<Op>),
    Undone(Vec<Op>),
}

/// What is done to a store, as (parts, whether they are committed).
type Plan = Vec<(Vec<Part>, bool)>;

fn table() -> impl Strategy<Value = Table> {
    prop::sample::select(Table::ALL.to_vec())
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    // Few different keys, with prefixes of each other and bytes on both sides of what text and numbers sort by.
    prop::collection::vec(prop::sample::select(vec![0, 1, b'a', 0x80, 0xff]), 0..3)
}

fn place() -> impl Strategy<Value = Place> {
    prop::sample::select(vec![Place::OWN, Place(1), Place(u32::MAX)])
}

fn op() -> impl Strategy<Value = Op> {
    let value = || prop::collection::vec(any::<u8>(), 0..6);
    let (level, size) = (1..LEVELS, 0..SIZES);
    prop_oneof![
        (0..RECORDS.len(), value()).prop_map(|(record, value)| Op::PutRecord(record, value)),
        (table(), key(), value()).prop_map(|(table, key, value)| Op::PutRow(table, key, value)),
        (table(), key(), value()).prop_map(|(table, key, value)| Op::PutRow(table, key, value)),
        (table(), key()).prop_map(|(table, key)| Op::RemoveRow(table, key)),
        (table(), key()).prop_map(|(table, key)| Op::RemoveRowsBelow(table, key)),
        (place(), size.clone(), 1..4_u8).prop_map(|(place, at, len)| Op::PutTail(place, at, len)),
        (place(), size.clone()).prop_map(|(place, end)| Op::DropTailBelow(place, end)),
        (place(), size.clone()).prop_map(|(place, start)| Op::DropTailFrom(place, start)),
        (place(), level.clone(), size.clone(), 0..4_u8)
            .prop_map(|(place, level, tile, len)| Op::PutEdge(place, level, tile, len)),
        (place(), level.clone(), size.clone())
            .prop_map(|(place, level, tile)| Op::DropEdgeBelow(place, level, tile)),
        (place(), level, size.clone())
            .prop_map(|(place, level, tile)| Op::DropEdgeFrom(place, level, tile)),
        (size.clone(), "[a-z\n]{0,5}").prop_map(|(size, note)| Op::PutDigest(size, note)),
        size.clone().prop_map(Op::DropDigestsAbove),
        (1..4_u64).prop_map(Op::PruneDigests),
        (0..4_u8, size, prop::option::of(0..9_i64))
            .prop_map(|(id, index, expires)| Op::PutIdem(id, index, expires)),
        (0..9_i64).prop_map(Op::PruneIdem),
        (0..SIZES).prop_map(Op::DropIdemFrom),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let ops = || prop::collection::vec(op(), 0..8);
    let part = prop_oneof![
        ops().prop_map(Part::Plain),
        ops().prop_map(Part::Kept),
        ops().prop_map(Part::Undone),
    ];
    let transaction = (prop::collection::vec(part, 1..5), prop::bool::weighted(0.8));
    prop::collection::vec(transaction, 1..8)
}

fn hashes(seed: u64, len: u8) -> Vec<Hash> {
    (0..len)
        .map(|at| leaf_hash(&[&seed.to_be_bytes()[..], &[at]].concat()))
        .collect()
}

/// Does `op`; what it returns belongs to the comparison.
fn apply(tx: &mut impl Transaction, op: &Op) -> Result<u64> {
    match op {
        Op::PutRecord(record, value) => tx.put_record(RECORDS[*record], value)?,
        Op::PutRow(table, key, value) => tx.put_row(*table, key, value)?,
        Op::RemoveRow(table, key) => tx.remove_row(*table, key)?,
        Op::RemoveRowsBelow(table, below) => return tx.remove_rows_below(*table, below),
        // A run is written once: SQLite refuses a second one at the same start, and the engine never asks for it.
        Op::PutTail(place, start, len) if tx.tail(*place, *start, start + 1)?.is_empty() => {
            tx.put_tail(*place, *start, &hashes(*start, *len), &[*len])?;
        }
        Op::PutTail(..) => {}
        Op::DropTailBelow(place, end) => tx.drop_tail_below(*place, *end)?,
        Op::DropTailFrom(place, start) => tx.drop_tail_from(*place, *start)?,
        Op::PutEdge(place, level, tile, len) => {
            tx.put_edge(*place, *level, *tile, &hashes(*tile, *len))?;
        }
        Op::DropEdgeBelow(place, level, tile) => tx.drop_edge_below(*place, *level, *tile)?,
        Op::DropEdgeFrom(place, level, tile) => tx.drop_edge_from(*place, *level, *tile)?,
        Op::PutDigest(size, note) => tx.put_digest(*size, note)?,
        Op::DropDigestsAbove(size) => tx.drop_digests_above(*size)?,
        Op::PruneDigests(keep) => tx.prune_digests(*keep)?,
        Op::PutIdem(id, index, expires_us) => {
            let (id, content) = ([*id; 16], [7; 16]);
            let tag = IdemTag {
                id,
                content,
                for_ever: expires_us.is_none(),
            };
            let row = IdemRow {
                index: *index,
                content,
                expires_us: *expires_us,
            };
            tx.put_idem(&tag, &row)?;
        }
        Op::PruneIdem(now) => tx.prune_idem(*now)?,
        Op::DropIdemFrom(index) => tx.drop_idem_from(*index)?,
    }
    Ok(0)
}

/// Everything that reads return, as text.
fn state(tx: &impl Transaction) -> Result<Vec<String>> {
    let mut seen = Vec::new();
    for record in RECORDS {
        seen.push(format!("{record:?} {:?}", tx.record(record)?));
    }
    for table in Table::ALL {
        let all = tx.rows(table, b"", usize::MAX)?;
        for (key, _) in &all {
            seen.push(format!("{table:?} {key:?} {:?}", tx.row(table, key)?));
        }
        for from in [&b""[..], b"\0", b"a", b"b", b"\x80", b"\xff\xff"] {
            seen.push(format!("{table:?} from {:?}", tx.rows(table, from, 2)?));
        }
        seen.push(format!("{table:?} absent {:?}", tx.row(table, b"absent")?));
        seen.push(format!("{table:?} none {:?}", tx.rows(table, b"", 0)?));
        seen.push(format!("{table:?} all {all:?}"));
    }
    for place in [Place::OWN, Place(1), Place(2), Place(u32::MAX)] {
        for (from, to) in [(0, SIZES), (3, 7), (5, 5), (7, 3)] {
            let tail = tx.tail(place, from, to)?;
            seen.push(format!("{place:?} {from}..{to} {tail:?}"));
        }
        for (level, tile) in (1..LEVELS).flat_map(|level| (0..SIZES).map(move |tile| (level, tile)))
        {
            let edge = tx.edge(place, level, tile)?;
            seen.push(format!("{place:?} {level}/{tile} {edge:?}"));
        }
    }
    seen.push(format!("newest {:?}", tx.newest_digest()?));
    for size in 0..SIZES {
        seen.push(format!("digest {size} {:?}", tx.digest(size)?));
    }
    for id in 0..4 {
        seen.push(format!("idem {id} {:?}", tx.idem(&[id; 16])?));
    }
    Ok(seen)
}

/// Runs one transaction's parts; what it saw on the way belongs to the comparison.
fn run(tx: &mut impl Transaction, parts: &[Part]) -> Result<Vec<Vec<String>>> {
    let mut seen = Vec::new();
    for part in parts {
        let (Part::Plain(ops) | Part::Kept(ops) | Part::Undone(ops)) = part;
        let alone = !matches!(part, Part::Plain(_));
        if alone {
            tx.savepoint()?;
        }
        for op in ops {
            let returned = apply(tx, op)?;
            seen.push(vec![format!("{op:?} {returned}")]);
        }
        seen.push(state(tx)?);
        match part {
            Part::Plain(_) => {}
            Part::Kept(_) => tx.keep_savepoint()?,
            Part::Undone(_) => tx.undo_savepoint()?,
        }
        if alone {
            seen.push(state(tx)?);
        }
    }
    Ok(seen)
}

/// Runs a whole plan on one of the two stores, transaction by transaction.
macro_rules! run_on {
    ($begin:expr, $parts:expr, $commit:expr) => {{
        let mut tx = $begin;
        let seen = run(&mut tx, $parts).unwrap();
        if $commit {
            tx.commit().unwrap();
        } else {
            drop(tx);
        }
        seen
    }};
}

fn disk() -> Arc<FixedSyncDisk> {
    let sync = Duration::ZERO;
    Arc::new(FixedSyncDisk { sync })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_stores_answer_alike(plan in plan()) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let mut memory = MemStore::default();
        let mut sqlite = Store::open(layout.clone(), disk()).unwrap();
        for (parts, commit) in plan {
            let expected = run_on!(memory.begin(), &parts, commit);
            let found = run_on!(sqlite.begin().unwrap(), &parts, commit);
            prop_assert_eq!(found, expected);
            let expected = state(&memory.begin()).unwrap();
            let found = state(&sqlite.begin().unwrap()).unwrap();
            prop_assert_eq!(found, expected, "after commit: {}", commit);
        }
        // The same once more from the files alone.
        sqlite.close().unwrap();
        let mut again = Store::open(layout, disk()).unwrap();
        let found = state(&again.begin().unwrap()).unwrap();
        prop_assert_eq!(found, state(&memory.begin()).unwrap());
    }
}

#[test]
fn a_changed_row_is_found_by_every_read() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path());
    let mut store = Store::open(layout.clone(), disk()).unwrap();
    let mut tx = store.begin().unwrap();
    for key in [b"a", b"b", b"c"] {
        tx.put_row(Table::Disks, key, b"value").unwrap();
    }
    tx.commit().unwrap();
    let change = "UPDATE keyed SET value = x'00' WHERE key = x'62'";
    assert_eq!(store.ledger.execute(change, []).unwrap(), 1);
    let tx = store.begin().unwrap();
    assert!(tx.row(Table::Disks, b"a").unwrap().is_some());
    assert!(matches!(
        tx.row(Table::Disks, b"b"),
        Err(StoreError::Damaged(_))
    ));
    assert!(matches!(
        tx.rows(Table::Disks, b"", 9),
        Err(StoreError::Damaged(_))
    ));
    assert_eq!(tx.rows(Table::Disks, b"c", 9).unwrap().len(), 1);
    drop(tx);
    // The same value under another key or table is no more right.
    let change = "UPDATE keyed SET kind = 'forks' WHERE key = x'63'";
    assert_eq!(store.ledger.execute(change, []).unwrap(), 1);
    let reader = Reader::open(layout, disk()).unwrap();
    assert!(matches!(
        reader.rows(Table::Forks, b"", 9),
        Err(StoreError::Damaged(_))
    ));
}

/// A prepare may leave between the two commits, and the power may fail there too: the payload is what must be left.
#[test]
fn payloads_are_durable_ahead_of_their_entries() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path());
    let payload = SealedPayload {
        id: [5; 32],
        key: [1; 32],
        sealed: vec![2],
    };
    let mut store = Store::open(layout.clone(), disk()).unwrap();
    let mut tx = store.begin().unwrap();
    tx.put_payload(3, &payload).unwrap();
    tx.put_record(Record::SignedHead, b"head").unwrap();
    tx.commit_payloads().unwrap();
    drop(tx);
    store.close().unwrap();
    let mut store = Store::open(layout, disk()).unwrap();
    assert_eq!(store.orphans(0).unwrap(), [(3, payload.id)]);
    let tx = store.begin().unwrap();
    assert_eq!(tx.record(Record::SignedHead).unwrap(), None);
}
