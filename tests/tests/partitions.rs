//! Wires that are cut: what still has a quorum goes on, what has none waits, and everything catches up afterwards.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_tests::federation::{FACTORY, Federation};
use serde_json::Value;

/// Who a node is connected to.
fn connected(status: &Value) -> usize {
    let peers = status["peers"].as_array().unwrap().iter();
    peers.filter(|peer| peer["connected"] == true).count()
}

#[test]
fn one_tower_alone_catches_up_and_without_a_quorum_nothing_is_signed() {
    let federation = Federation::found_with_relays(3);
    federation.start_all();
    for number in 0..4 {
        let _ = federation.wait(number, "knows everybody", |status| connected(status) == 3);
    }
    let mut receipts = vec![federation.receipt(federation.append(5))];

    // Tower 3 alone: the others are a quorum.
    federation.part(&[3], &[FACTORY, 1, 2]);
    let _ = federation.wait(3, "is alone", |status| connected(status) == 0);
    receipts.push(federation.receipt(federation.append(300)));
    let size = federation.settled([1, 2]);
    assert!(federation.status(3)["mirrors"][0]["held"].as_u64().unwrap() < size);
    federation.heal();
    federation.settled(federation.towers());

    // The factory with one tower of three: entries are durable and held by that tower, and signed by nobody.
    federation.part(&[FACTORY, 1], &[2, 3]);
    let _ = federation.wait(FACTORY, "has one tower left", |status| {
        connected(status) == 1
    });
    let last = federation.try_append(&belfry_tests::lines(4)).unwrap();
    let status = federation.wait(FACTORY, "has one tower hold them", |status| {
        let peers = status["peers"].as_array().unwrap().iter();
        peers
            .filter(|peer| peer["held"].as_u64() > Some(last))
            .count()
            == 1
    });
    let number = |key: &str| status[key].as_u64().unwrap();
    assert!(
        number("signed_size") <= last && number("size") > last,
        "{status}"
    );
    let ended = federation.on(
        FACTORY,
        &[
            "wait",
            "--for",
            &format!("signed={}", last + 1),
            "--timeout",
            "2",
        ],
    );
    assert_eq!(ended.code, 31, "{ended:?}");
    federation.heal();
    let size = federation.settled(federation.towers());
    assert!(size > last);
    receipts.push(federation.receipt(last));
    federation.check(size, federation.towers());
    federation.verify(&receipts);
}
