//! A verifier written elsewhere (PyPI `aics-tlog`) judges our ledger: from the live node and from an export.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_tests::foreign::{judge, python};
use belfry_tests::{Node, lines};
use std::path::PathBuf;

#[test]
fn aics_tlog_accepts_the_live_node_and_the_export() {
    let Some(python) = python() else { return };
    let node = Node::new();
    let input = node.write("a.ndjson", lines(700));
    let _ = node.run(&["append", &input]).expect(0);
    let config = node.dir().join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("public = false", "public = true")).unwrap();
    let key = node.write("log.vkey", node.run(&["key", "export"]).expect(0).stdout);
    let served = node.serve();
    let old = node.write("old.checkpoint", served.get("/checkpoint").body);
    let more = node.write("b.ndjson", lines(70_000));
    let _ = node.run(&["append", &more]).expect(0);
    let root = node.json(&["ledger", "consistency", "513"])["old_root"]
        .as_str()
        .unwrap()
        .to_owned();
    let checks = [
        "--origin",
        Node::NAME,
        "--index",
        "0",
        "--index",
        "511",
        "--index",
        "69999",
        "--old-checkpoint",
        &old,
        "--old",
        &format!("513={root}"),
    ];
    let live = judge(&python, &served.address, &key, &checks).expect(0);
    assert!(
        live.stdout.contains("\"ok\": true") || live.stdout.contains("\"ok\":true"),
        "{live:?}"
    );
    let export = node.beside("export").to_string_lossy().into_owned();
    let _ = node.run(&["ledger", "export", &export]).expect(0);
    let exported = judge(&python, &export, &key, &checks).expect(0);
    assert!(exported.json()["ok"] == true, "{exported:?}");
    let tile = PathBuf::from(&export).join("tile/0/001");
    let mut bytes = std::fs::read(&tile).unwrap();
    bytes[40] ^= 1;
    std::fs::remove_file(&tile).unwrap();
    std::fs::write(&tile, bytes).unwrap();
    let damaged = judge(&python, &export, &key, &["--index", "300"]).expect(1);
    assert!(damaged.json()["ok"] == false, "{damaged:?}");
}
