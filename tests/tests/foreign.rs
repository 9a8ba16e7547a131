//! A verifier written elsewhere (PyPI `aics-tlog`) judges our ledger: from the live node and from an export.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_tests::{Ended, Node, foreign, lines, root};
use std::path::PathBuf;
use std::process::Command;

/// Python with `aics-tlog`, as `.ci/install` sets it up.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("BELFRY_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| root().join(".build/py/bin/python"));
    let works = Command::new(&python)
        .args(["-m", "aics_tlog", "--version"])
        .output();
    foreign(
        "aics-tlog 0.2.1",
        works
            .is_ok_and(|output| output.status.success())
            .then_some(python),
    )
}

fn judge(python: &PathBuf, tiles: &str, key: &str, more: &[&str]) -> Ended {
    let driver = root().join("tests/foreign/verify_aics.py");
    let output = Command::new(python)
        .arg(driver)
        .args(["--tiles", tiles, "--vkey-file", key])
        .args(more)
        .output();
    output.unwrap().into()
}

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
