//! What the store on disk does beyond the contract of a store, which the model test of `sim/sys` compares with the one in
//! memory: checksums of rows, and payloads that are durable ahead of their entries.

use super::{Layout, Reader, Store};
use crate::disk::FixedSyncDisk;
use belfry_protocol::engine::store::{Record, StoreError, Table, Transaction};
use belfry_protocol::entry::batch::SealedPayload;
use std::sync::Arc;
use std::time::Duration;

fn disk() -> Arc<FixedSyncDisk> {
    let sync = Duration::ZERO;
    Arc::new(FixedSyncDisk { sync })
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
