//! Flip a byte anywhere in a 1,000-entry ledger: `fsck` or `audit verify` notices, or the byte is not part of any
//! promise, which is shown by everything that is promised reading back unchanged.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_tests::{Node, lines, run};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Positions tried.
const FLIPS: u64 = 250;

fn files(dir: &Path, list: &mut Vec<PathBuf>) {
    for item in fs::read_dir(dir).unwrap().flatten() {
        let path = item.path();
        if path.is_dir() {
            files(&path, list)
        } else {
            list.push(path)
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(item.file_name());
        if item.path().is_dir() {
            copy(&item.path(), &target);
        } else {
            fs::copy(item.path(), target).unwrap();
        }
    }
}

/// Everything the ledger promises, as its readers see it: entries, digest, payloads.
fn promises(node: &Node, private: &[u64]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let tail = node.run(&["ledger", "tail", "-n", "2000", "--output", "ndjson"]);
    all.insert(
        "entries".to_owned(),
        format!("{} {}", tail.code, tail.stdout),
    );
    let head = node.run(&["ledger", "head", "--json"]);
    all.insert("head".to_owned(), format!("{} {}", head.code, head.stdout));
    for index in private {
        let payload = node.run(&["ledger", "get", &index.to_string(), "--payload", "--json"]);
        all.insert(
            format!("payload {index}"),
            format!("{} {}", payload.code, payload.stdout),
        );
    }
    all
}

#[test]
fn a_flipped_byte_is_noticed_or_promises_nothing() {
    let node = Node::new();
    let input = node.write("a.ndjson", lines(1_000));
    let _ = node.run(&["append", &input, "--dedupe"]).expect(0);
    let private = node
        .run_with_input(&["append", "-", "--private", "--json"], &lines(5))
        .expect(0)
        .json();
    let first = private["first"].as_u64().unwrap();
    let private: Vec<u64> = (first..first + 5).collect();
    let erased = first.to_string();
    let _ = node
        .run(&["erase", &erased, "--confirm", &erased])
        .expect(0);
    let key = node.write("log.vkey", node.run(&["key", "export"]).expect(0).stdout);
    let whole = node.beside("whole");
    copy(&node.dir(), &whole);
    let before = promises(&node, &private);
    let mut list = Vec::new();
    for part in ["ledger.db", "payloads.db"] {
        list.push(node.dir().join(part));
    }
    files(&node.dir().join("tiles"), &mut list);
    list.sort();
    assert!(
        list.iter()
            .any(|path| path.starts_with(node.dir().join("tiles"))),
        "some tiles are in files"
    );
    let sizes: Vec<u64> = list
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .collect();
    let total: u64 = sizes.iter().sum();
    let (mut noticed, mut idle) = (0, 0);
    for flip in 0..FLIPS {
        // Spread evenly over all bytes, with a step that shares no factor with page sizes.
        let mut position = (flip * (total / FLIPS) + flip * 7_919) % total;
        let which = sizes.iter().position(|size| {
            if position < *size {
                true
            } else {
                position -= size;
                false
            }
        });
        let path = &list[which.unwrap()];
        let original = fs::read(path).unwrap();
        let mut damaged = original.clone();
        damaged[usize::try_from(position).unwrap()] ^= 1 << (flip % 8);
        fs::write(path, &damaged).unwrap();
        let fsck = node.run(&["ledger", "fsck", "--json"]);
        let place = format!("{} byte {position}", path.display());
        if fsck.code == 0 {
            idle += 1;
            assert_eq!(
                promises(&node, &private),
                before,
                "{place}: not noticed, and something promised changed"
            );
        } else {
            noticed += 1;
            assert!([24, 14, 74].contains(&fsck.code), "{place}: {fsck:?}");
        }
        fs::write(path, &original).unwrap();
    }
    println!("{noticed} noticed, {idle} in bytes that promise nothing");
    assert!(noticed > FLIPS / 3, "{noticed} of {FLIPS}");
    let _ = node.run(&["ledger", "fsck"]).expect(0);
    drop(key);
}

#[test]
fn every_kind_of_export_damage_is_refused_by_audit_verify() {
    let node = Node::new();
    let input = node.write("a.ndjson", lines(1_000));
    let _ = node.run(&["append", &input]).expect(0);
    let key = node.write("log.vkey", node.run(&["key", "export"]).expect(0).stdout);
    let export = node.beside("export").to_string_lossy().into_owned();
    let _ = node.run(&["ledger", "export", &export]).expect(0);
    let mut list = Vec::new();
    files(Path::new(&export), &mut list);
    for path in list.iter().filter(|path| !path.ends_with("log.vkey")) {
        let original = fs::read(path).unwrap();
        for position in [0, original.len() / 2, original.len() - 1] {
            let mut damaged = original.clone();
            damaged[position] ^= 1;
            // A new file: exported tiles are hard links into the ledger.
            fs::remove_file(path).unwrap();
            fs::write(path, &damaged).unwrap();
            let ended = run(&["audit", "verify", &export, "--key", &key]);
            assert_eq!(
                ended.code,
                20,
                "{} byte {position}: {ended:?}",
                path.display()
            );
        }
        fs::remove_file(path).unwrap();
        let ended = run(&["audit", "verify", &export, "--key", &key]);
        assert_eq!(ended.code, 20, "{} removed: {ended:?}", path.display());
        fs::write(path, &original).unwrap();
    }
    let _ = run(&["audit", "verify", &export, "--key", &key]).expect(0);
}
