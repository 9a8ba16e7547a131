//! Amendments that change who a member is (R14), with real nodes: a tower that lost its keys gets new ones under its name, and a tower
//! becomes a factory.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_tests::founders::Founders;
use std::fs;

const FOUR: [(&str, &str); 4] = [
    ("t1.example", "tower"),
    ("t2.example", "tower"),
    ("t3.example", "tower"),
    ("shop.example/line", "factory"),
];

#[test]
fn a_tower_gets_a_new_identity_and_another_becomes_a_factory() {
    let mut founders = Founders::gather(&FOUR);
    let id = founders.propose(&["--title", "the first four"]);
    for number in 0..4 {
        let _ = founders.sign(number, &id).expect(0);
    }
    for number in 0..4 {
        assert_eq!(founders.founded(number), id);
    }
    founders.takes_entries(3);

    // t2 lost everything, its keys among it. A new directory of its name comes with a ticket, and is listed with its new key.
    let before = founders
        .on(1, &["key", "export", "--purpose", "identity"])
        .expect(0);
    founders.lose(1, "tower");
    let after = founders
        .on(1, &["key", "export", "--purpose", "identity"])
        .expect(0);
    assert_ne!(before.stdout, after.stdout);
    let ticket = founders.ticket_of(0, &["--role", "tower"]);
    let _ = founders.on(1, &["join", &ticket]).expect(0);
    founders.launch(1);
    let _ = founders.wait(1, "is let in", |status| status["welcome"].is_string());
    // Whom to let in is said by name: nobody joins beside.
    let nobody = founders
        .on(0, &["genesis", "amend", "--identity", "t3.example"])
        .expect(2);
    assert!(nobody.stderr.contains("in the name of"), "{nobody:?}");
    founders.amend(
        0,
        1,
        &["--identity", "t2.example"],
        &[0, 1, 2, 3],
        &[0, 1, 2, 3],
    );
    let chain = fs::read_to_string(founders.nodes[0].dir.join("genesis.json")).unwrap();
    assert!(
        chain.lines().last().unwrap().contains(after.stdout.trim()),
        "{chain}"
    );
    founders.takes_entries(3);

    // A tower becomes a factory, too: its ledger is acknowledged from there on.
    founders.amend(
        0,
        2,
        &["--role", "t3.example=factory,tower"],
        &[0, 2, 3],
        &[0, 1, 2, 3],
    );
    founders.takes_entries(2);
    founders.takes_entries(3);
    let receipts = founders.beside("receipts").to_string_lossy().into_owned();
    let file = founders
        .beside("line.ndjson")
        .to_string_lossy()
        .into_owned();
    let args = [
        "append",
        &file,
        "--wait",
        "acked",
        "--receipts",
        &receipts,
        "--json",
    ];
    let _ = founders.until(2, &args);
    let (history, copy) = (founders.beside("t3.history"), founders.beside("copy"));
    let (history, copy) = (history.to_string_lossy(), copy.to_string_lossy());
    let _ = founders.until(2, &["audit", "history", "--out", &history, "--json"]);
    let _ = founders
        .on(2, &["ledger", "export", "--format", "tiles", &copy])
        .expect(0);
    let receipt = fs::read_dir(receipts)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let verified = belfry_tests::run(&[
        "audit",
        "verify",
        &receipt.to_string_lossy(),
        "--history",
        &history,
        "--federation",
        &id,
        "--ledger",
        &copy,
        "--json",
    ]);
    assert_eq!(verified.expect(0).json()["epoch"], 2);
}
