//! Entries that do not match their hashes are told to nobody.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_node::disk::Disk;
use belfry_node::member::serving;
use belfry_node::store::{Layout, Reader, Store};
use belfry_protocol::engine::store::{Place, Transaction};
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::hash::{Hash, leaf_hash};
use belfry_protocol::wire::codec::Text;
use belfry_protocol::wire::v1::Get;
use belfry_sim_sys::SimDisk;
use std::sync::Arc;

/// The answer of a node that holds three entries beside these leaf hashes.
fn answer(root: &str, leaves: impl Fn(&[u8]) -> Hash) -> Result<Vec<u8>, String> {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::mount(root, 1).unwrap());
    let layout = Layout::new(root);
    let mut store = Store::open(layout.clone(), Arc::clone(&disk)).unwrap();
    let entries = [b"one".as_slice(), b"two", b"three"];
    let mut bytes = Vec::new();
    for entry in entries {
        bundle::push(&mut bytes, entry).unwrap();
    }
    let leaves: Vec<Hash> = entries.into_iter().map(leaves).collect();
    let mut tx = store.begin().unwrap();
    tx.put_tail(Place(1), 0, &leaves, &bytes).unwrap();
    tx.commit().unwrap();
    let get = Get {
        origin: Text::new("other.example/line".to_owned()).unwrap(),
        from: 0,
        count: 3,
        tree_size: 3,
    };
    let reader = Reader::open(layout, disk).unwrap();
    serving::answer(&reader, Place(1), &get).map_err(|error| error.to_string())
}

#[test]
fn entries_are_compared_with_their_hashes_before_they_leave() {
    let told = answer("/serving/whole", leaf_hash).unwrap();
    assert!(told.windows(5).any(|part| part == b"three"));
    let flipped = |entry: &[u8]| match entry {
        b"two" => leaf_hash(b"twp"),
        other => leaf_hash(other),
    };
    let refused = answer("/serving/flipped", flipped).unwrap_err();
    assert!(refused.contains("do not match"), "{refused}");
}
