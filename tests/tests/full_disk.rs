//! A node whose disk fills up: it says so, promises nothing it cannot keep, and goes on by itself once there is room.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_tests::federation::{FACTORY, Federation};
use std::fs;
use std::io::Write;
use std::path::PathBuf;

/// Twice what a node wants to have free.
const DISK_MIB: u32 = 128;

/// Founded, with one node on a small disk; `None` where users may not mount.
fn with_a_small_disk(number: usize) -> Option<Federation> {
    let mut federation = Federation::found(3);
    if !federation.nodes[number].launch_on_small_disk(DISK_MIB) {
        return None;
    }
    federation.served(number);
    federation.start_all();
    federation.ready(number);
    Some(federation)
}

/// Takes all room on a node's disk until the file is removed.
fn fill(federation: &Federation, number: usize) -> PathBuf {
    let path = federation.nodes[number].dir.join("ballast");
    let mut file = fs::File::create(&path).unwrap();
    while file.write_all(&[7; 1 << 16]).is_ok() {}
    path
}

/// What is on the small disk only its own process can open.
fn check(federation: &Federation, numbers: &[usize]) {
    for number in numbers {
        let _ = federation.on(*number, &["ledger", "fsck"]).expect(0);
    }
}

fn says_full(federation: &Federation, number: usize) {
    let _ = federation.wait(number, "says that its disk is full", |_| {
        federation.log(number).contains("the disk is full")
    });
}

#[test]
fn a_tower_without_room_catches_up_when_there_is_some() {
    let Some(federation) = with_a_small_disk(1) else {
        return;
    };
    let mut receipts = vec![federation.receipt(federation.append(5))];
    federation.settled(federation.towers());
    let ballast = fill(&federation, 1);
    receipts.push(federation.receipt(federation.append(300)));
    says_full(&federation, 1);
    federation.settled([2, 3]);
    fs::remove_file(ballast).unwrap();
    receipts.push(federation.receipt(federation.append(2)));
    federation.settled(federation.towers());
    federation.verify(&receipts);
    check(&federation, &[FACTORY, 2, 3]);
}

#[test]
fn a_factory_without_room_refuses_and_goes_on_when_there_is_some() {
    let Some(federation) = with_a_small_disk(FACTORY) else {
        return;
    };
    federation.append(5);
    let size = federation.settled(federation.towers());
    let ballast = fill(&federation, FACTORY);
    assert_eq!(federation.try_append(&belfry_tests::lines(3)), None);
    says_full(&federation, FACTORY);
    assert_eq!(federation.status(FACTORY)["size"].as_u64(), Some(size));
    fs::remove_file(ballast).unwrap();
    // Whatever it had asked or promised when the room ran out it asks again before it appends.
    federation.ready(FACTORY);
    assert_eq!(federation.append(2), size + 1);
    let size = federation.settled(federation.towers());
    check(&federation, &[1, 2, 3]);
    let one = federation.mirrored(1, size);
    assert!(one == federation.mirrored(2, size) && one == federation.mirrored(3, size));
}

#[test]
fn a_member_without_room_still_says_where_it_stands() {
    let Some(federation) = with_a_small_disk(1) else {
        return;
    };
    federation.append(5);
    let size = federation.settled(federation.towers());
    let _ballast = fill(&federation, 1);
    federation.append(5);
    says_full(&federation, 1);
    for _ in 0..10 {
        let status = federation.status(1);
        assert_eq!(status["mode"], "member", "{status}");
        assert_eq!(
            status["mirrors"][0]["held"].as_u64(),
            Some(size),
            "{status}"
        );
        assert_eq!(status["peers"].as_array().unwrap().len(), 3, "{status}");
    }
}
