//! A whole data directory on the simulated disk: files and databases together, copies that come back, room that ends.

#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

use belfry_node::disk::Disk;
use belfry_node::store::{Layout, Reader, Store};
use belfry_protocol::engine::store::{Record, StoreError, Table, Transaction};
use belfry_sim_sys::SimDisk;
use belfry_sim_sys::disk::{Faults, Unsynced};
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

fn mount(name: &str) -> (SimDisk, Layout) {
    let disk = SimDisk::mount(format!("/belfry-disk/{name}"), 7).unwrap();
    let layout = Layout::new(disk.root());
    (disk, layout)
}

fn open(disk: &SimDisk, layout: &Layout) -> Result<Store, String> {
    Store::open(layout.clone(), Arc::new(disk.clone())).map_err(|error| error.to_string())
}

fn put(store: &mut Store, value: &[u8]) -> Result<(), StoreError> {
    let mut tx = store.begin()?;
    tx.put_record(Record::Acked, value)?;
    tx.put_row(Table::Nonces, value, value)?;
    tx.commit().map(drop)
}

fn get(store: &mut Store) -> Option<Vec<u8>> {
    store
        .begin_reading()
        .unwrap()
        .record(Record::Acked)
        .unwrap()
}

#[test]
fn one_place_has_one_disk_and_is_free_again() {
    let (disk, layout) = mount("once");
    let again = SimDisk::mount(disk.root(), 1).map(|_| ());
    assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    let store = open(&disk, &layout).unwrap();
    let root = disk.root().to_owned();
    drop((disk, store));
    assert!(SimDisk::mount(root, 1).unwrap().files().is_empty());
    assert!(SimDisk::mount("relative", 1).is_err());
}

#[test]
fn disks_beside_each_other_do_not_meet() {
    let ((one, at_one), (two, at_two)) = (mount("one"), mount("two"));
    let (mut a, mut b) = (open(&one, &at_one).unwrap(), open(&two, &at_two).unwrap());
    put(&mut a, b"a").unwrap();
    one.crash(Some(Unsynced::Lost));
    put(&mut b, b"b").unwrap();
    assert!(put(&mut a, b"lost").is_err());
    drop(a);
    assert_eq!(get(&mut open(&one, &at_one).unwrap()).unwrap(), b"a");
    assert_eq!(get(&mut b).unwrap(), b"b");
}

#[test]
fn files_are_durable_when_they_and_all_directories_above_were_synced() {
    let (disk, layout) = mount("files");
    let dir = layout.tiles().join("tile/0/x001");
    let (temporary, name) = (layout.tiles().join("tmp/0"), dir.join("234"));
    let dirs: BTreeSet<PathBuf> = dir
        .ancestors()
        .take_while(|path| path.starts_with(disk.root()))
        .map(PathBuf::from)
        .collect();
    for missing in dirs.iter().chain([&temporary]) {
        disk.write(&temporary, b"whole").unwrap();
        if *missing != temporary {
            disk.sync_files(std::slice::from_ref(&temporary)).unwrap();
        }
        disk.rename(&temporary, &name).unwrap();
        let synced = dirs.iter().filter(|path| *path != missing);
        disk.sync_dirs(&synced.cloned().collect()).unwrap();
        disk.crash(Some(Unsynced::Lost));
        assert_ne!(disk.read(&name).ok().as_deref(), Some(&b"whole"[..]));
        let _ = disk.remove_dir(&layout.tiles());
    }
    disk.write(&temporary, b"whole").unwrap();
    disk.sync_files(std::slice::from_ref(&temporary)).unwrap();
    disk.rename(&temporary, &name).unwrap();
    disk.sync_dirs(&dirs).unwrap();
    disk.crash(Some(Unsynced::Lost));
    assert_eq!(disk.read(&name).unwrap(), b"whole");
    assert_eq!(disk.list(&dir).unwrap(), [name]);
}

#[test]
fn a_copy_of_the_whole_disk_or_of_one_database_comes_back() {
    let (disk, layout) = mount("copies");
    let mut store = open(&disk, &layout).unwrap();
    put(&mut store, b"old").unwrap();
    disk.write(&layout.genesis(), b"old").unwrap();
    let copy = disk.snapshot();
    put(&mut store, b"new").unwrap();
    disk.write(&layout.genesis(), b"new").unwrap();
    disk.restore_files(&copy, &layout.ledger_db());
    drop(store);
    // The log went back with its database, and other files did not.
    assert_eq!(get(&mut open(&disk, &layout).unwrap()).unwrap(), b"old");
    assert_eq!(disk.read(&layout.genesis()).unwrap(), b"new");
    disk.restore(&copy);
    assert_eq!(disk.read(&layout.genesis()).unwrap(), b"old");
    assert_eq!(get(&mut open(&disk, &layout).unwrap()).unwrap(), b"old");
}

#[test]
fn a_full_disk_pushes_back_goes_on_reading_and_recovers() {
    let (disk, layout) = mount("full");
    let mut store = open(&disk, &layout).unwrap();
    put(&mut store, b"before").unwrap();
    disk.set_faults(Faults {
        full_at_write: Some(0),
        ..Faults::default()
    });
    assert!(matches!(put(&mut store, b"no"), Err(StoreError::Full(_))));
    assert_eq!(get(&mut store).unwrap(), b"before");
    disk.set_faults(Faults::default());
    put(&mut store, b"after").unwrap();
    // Too little room for anything is seen before anything is begun.
    disk.set_capacity(1 << 20);
    assert!(matches!(put(&mut store, b"no"), Err(StoreError::Full(_))));
    assert_eq!(get(&mut store).unwrap(), b"after");
}

#[test]
fn what_was_changed_where_it_is_stored_is_never_taken_for_what_was_written() {
    // Large enough that most flips hit it.
    let value = vec![b'w'; 30_000];
    let (mut noticed, mut harmless) = (0, 0);
    for seed in 0..60 {
        let disk = SimDisk::mount("/belfry-disk/rot", seed).unwrap();
        let layout = Layout::new(disk.root());
        let mut store = open(&disk, &layout).unwrap();
        put(&mut store, &value).unwrap();
        store.close().unwrap();
        disk.flip_somewhere(&layout.ledger_db()).unwrap();
        let read = Reader::open(layout, Arc::new(disk.clone())).map(|reader| {
            let rows = reader.rows(Table::Nonces, b"", 9);
            let found = reader.integrity();
            let same = |rows: Vec<_>| rows == [(value.clone(), value.clone())];
            // A row that is not there any more has no checksum: SQLite's own check sees the hole.
            rows.and_then(|rows| Ok(same(rows) || !found?.is_empty()))
        });
        match read {
            Ok(Ok(same)) => {
                assert!(same, "seed {seed}");
                harmless += 1;
            }
            Ok(Err(_)) | Err(_) => noticed += 1,
        }
    }
    assert!(noticed > 0 && harmless > 0, "{noticed} {harmless}");
}

#[test]
fn reads_and_syncs_fail_and_come_short_when_asked() {
    let (disk, layout) = mount("errors");
    let path = layout.genesis();
    disk.write(&path, b"12345678").unwrap();
    disk.set_faults(Faults {
        fail_read: Some(1),
        short_read: Some(2),
        fail_sync: Some(0),
        ..Faults::default()
    });
    assert_eq!(disk.read(&path).unwrap(), b"12345678");
    assert!(disk.read(&path).is_err());
    assert_eq!(disk.read(&path).unwrap(), b"1234");
    assert!(disk.sync_files(std::slice::from_ref(&path)).is_err());
    // As on a real system: the next sync says yes, and has nothing to write.
    disk.sync_files(std::slice::from_ref(&path)).unwrap();
    disk.sync_dirs(&BTreeSet::from([disk.root().to_owned()]))
        .unwrap();
    disk.crash(Some(Unsynced::Kept));
    assert_eq!(disk.read(&path).unwrap(), b"");
    assert_eq!(disk.counts().failed, 3);
}
