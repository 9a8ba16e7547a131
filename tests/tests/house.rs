//! Rules about the repository itself, where a reviewer would otherwise have to remember them.
//! Reads files of the checkout only; builds and starts nothing.

#![allow(
    clippy::unwrap_used,
    reason = "a file of ours that cannot be read fails the test"
)]

use std::fs;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// A file above this is several things: split it by meaning.
const SOURCE_LINES_MAX: usize = 600;

/// The one crate with unsafe code; it repeats all other lints of the workspace.
const UNSAFE_CRATE: &str = "sim/sys";

/// Oldest releases without a known hole, by advisory. Only crates in `Cargo.lock` are judged, every copy of them.
/// `cargo deny check advisories` knows more but needs a database from outside; this runs everywhere.
const FLOORS: &[(&str, [u64; 3], &str)] = &[
    ("aws-lc-sys", [0, 39, 0], "RUSTSEC-2026-0044 to -0048"),
    (
        "curve25519-dalek",
        [4, 1, 3],
        "RUSTSEC-2024-0344, timing of scalar subtraction",
    ),
    (
        "ed25519-dalek",
        [2, 0, 0],
        "RUSTSEC-2022-0093, double public key oracle",
    ),
    ("hickory-proto", [0, 26, 1], "RUSTSEC-2026-0119 and -0120"),
    (
        "hickory-resolver",
        [0, 26, 1],
        "RUSTSEC-2026-0119 and -0120",
    ),
    (
        "libp2p-gossipsub",
        [0, 50, 1],
        "GHSA-vrx6-jcp8-vm7m and RUSTSEC-2026-0536, memory without bound",
    ),
    (
        "libp2p-quic",
        [0, 13, 1],
        "GHSA-5hq8-qhww-jm7q, panic on a certificate",
    ),
    (
        "libp2p-rendezvous",
        [0, 17, 1],
        "CVE-2026-35405 and CVE-2026-35457, memory without bound",
    ),
    (
        "quinn-proto",
        [0, 11, 15],
        "RUSTSEC-2026-0037 and -0185, panic and memory without bound",
    ),
    ("ring", [0, 17, 12], "RUSTSEC-2025-0009, panic"),
    ("rustls-webpki", [0, 103, 13], "RUSTSEC-2026-0098 to -0104"),
    ("snow", [0, 9, 5], "RUSTSEC-2024-0011, nonce state"),
    (
        "yamux",
        [0, 13, 10],
        "CVE-2026-31814 and CVE-2026-32314, panic by one frame",
    ),
];

/// The only release of bincode that may be used: 3.0.0 is a compile error on purpose, and ours is wrapped and limited.
const BINCODE: [u64; 3] = [2, 0, 1];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read_toml(path: &str) -> Table {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    text.parse().unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn members() -> Vec<String> {
    let manifest = read_toml("Cargo.toml");
    let members = manifest["workspace"]["members"].as_array().unwrap();
    members
        .iter()
        .map(|member| member.as_str().unwrap().to_owned())
        .collect()
}

/// `major.minor.patch` as numbers; a pre-release counts as lower than any release, so it is refused.
fn version(text: &str) -> [u64; 3] {
    let text = text.split('+').next().unwrap();
    let parts: Vec<u64> = text
        .split('.')
        .map(|part| part.parse().unwrap_or(0))
        .collect();
    parts.try_into().unwrap_or([0, 0, 0])
}

/// One line for each package of a lock file that has a known hole.
fn below_floor(lock: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for package in lock["package"].as_array().unwrap() {
        let (name, have) = (
            package["name"].as_str().unwrap(),
            package["version"].as_str().unwrap(),
        );
        for (_, floor, why) in FLOORS.iter().filter(|(floored, ..)| *floored == name) {
            if version(have) < *floor {
                found.push(format!("{name} {have} is below {floor:?}: {why}"));
            }
        }
        if name == "bincode" && version(have) != BINCODE {
            found.push(format!(
                "bincode {have}: only {BINCODE:?} is allowed (RUSTSEC-2025-0141)"
            ));
        }
    }
    found
}

/// The main workspace's, and those of workspaces beside it that CI builds.
const LOCKS: [&str; 2] = ["Cargo.lock", "sim/libp2p-det/Cargo.lock"];

#[test]
fn no_dependency_has_a_known_hole() {
    for lock in LOCKS {
        assert_eq!(
            below_floor(&read_toml(lock)),
            Vec::<String>::new(),
            "{lock}"
        );
    }
}

/// A workspace beside the main one simulates the product only if it has the product's dependencies.
#[test]
fn the_simulated_nodes_have_the_products_dependencies() {
    let versions = |path: &str| -> std::collections::BTreeSet<(String, String)> {
        let lock = read_toml(path);
        let packages = lock["package"].as_array().unwrap().iter();
        let text = |package: &Value, key: &str| package[key].as_str().unwrap().to_owned();
        packages
            .map(|package| (text(package, "name"), text(package, "version")))
            .collect()
    };
    let own = versions("sim/libp2p-det/Cargo.lock");
    let product = versions("Cargo.lock");
    let foreign: Vec<_> = own
        .difference(&product)
        .filter(|(name, _)| name != "belfry-libp2p-det")
        .collect();
    assert_eq!(foreign, Vec::<&(String, String)>::new());
}

#[test]
fn an_old_dependency_is_found_in_every_copy() {
    let lock = |versions: &[(&str, &str)]| -> Table {
        let package = |(name, version): &(&str, &str)| {
            format!("[[package]]\nname = '{name}'\nversion = '{version}'\n")
        };
        versions
            .iter()
            .map(package)
            .collect::<String>()
            .parse()
            .unwrap()
    };
    assert_eq!(
        below_floor(&lock(&[
            ("ring", "0.17.12"),
            ("yamux", "0.14.1"),
            ("bincode", "2.0.1")
        ])),
        Vec::<String>::new()
    );
    let old = [
        ("ring", "0.17.9"),
        ("yamux", "0.13.10"),
        ("yamux", "0.12.1"),
        ("bincode", "3.0.0"),
        ("quinn-proto", "0.11.9"),
    ];
    assert_eq!(below_floor(&lock(&old)).len(), 4);
}

#[test]
fn every_dependency_comes_from_the_one_registry() {
    let locks = LOCKS.map(read_toml);
    let packages = locks
        .iter()
        .flat_map(|lock| lock["package"].as_array().unwrap());
    let mut sources: Vec<&str> = packages
        .filter_map(|package| package.get("source")?.as_str())
        .collect();
    sources.sort_unstable();
    sources.dedup();
    assert!(
        matches!(sources[..], [one] if one.starts_with("registry+")),
        "{sources:?}"
    );
}

/// Whether `own` has everything of `base`: each key, and each element where the value is a list.
fn missing_from(own: &Table, base: &Table) -> Vec<String> {
    let lacks = |key: &String, value: &Value| match (own.get(key), value) {
        (Some(Value::Array(own)), Value::Array(base)) => {
            base.iter().any(|item| !own.contains(item))
        }
        (own, value) => own != Some(value),
    };
    base.iter()
        .filter(|(key, value)| lacks(key, value))
        .map(|(key, _)| key.clone())
        .collect()
}

#[test]
fn a_crates_clippy_toml_repeats_the_roots() {
    let base = read_toml("clippy.toml");
    assert!(
        root().join("protocol/clippy.toml").exists(),
        "protocol has bans of its own"
    );
    for member in members() {
        let path = format!("{member}/clippy.toml");
        if root().join(&path).exists() {
            // It replaces the root's file, so a line left out is a ban lifted.
            assert_eq!(
                missing_from(&read_toml(&path), &base),
                Vec::<String>::new(),
                "{path} lacks these of the root"
            );
        }
    }
}

#[test]
fn a_lifted_ban_is_found() {
    let base = "a = 1\nbans = [{ path = 'x' }, { path = 'y' }]"
        .parse()
        .unwrap();
    let own = "a = 1\nmore = 2\nbans = [{ path = 'y' }]".parse().unwrap();
    assert_eq!(missing_from(&own, &base), ["bans"]);
    assert_eq!(missing_from(&base, &base), Vec::<String>::new());
}

#[test]
fn cargo_run_starts_the_node() {
    let manifest = read_toml("Cargo.toml");
    assert_eq!(
        manifest["workspace"]["default-members"],
        Value::from(vec!["node"])
    );
}

#[test]
fn every_crate_takes_the_workspaces_lints() {
    let expected = Value::Table("workspace = true".parse().unwrap());
    let workspace = read_toml("Cargo.toml");
    for member in members() {
        let manifest = read_toml(&format!("{member}/Cargo.toml"));
        if member == UNSAFE_CRATE {
            for tool in ["rust", "clippy"] {
                let base = workspace["workspace"]["lints"][tool].as_table().unwrap();
                let own = manifest["lints"][tool].as_table().unwrap();
                let mut missing = missing_from(own, base);
                missing.retain(|lint| lint != "unsafe_code");
                assert_eq!(missing, Vec::<String>::new(), "{member}: [lints.{tool}]");
            }
            let deny = Value::from("deny");
            let own = &manifest["lints"];
            assert_eq!(own["rust"]["unsafe_op_in_unsafe_fn"], deny);
            assert_eq!(own["clippy"]["undocumented_unsafe_blocks"], deny);
            continue;
        }
        assert_eq!(
            manifest.get("lints"),
            Some(&expected),
            "{member}/Cargo.toml: [lints] workspace = true"
        );
    }
}

/// Every source file below `dir`, without what builds leave behind and without foreign data.
fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() {
            if !matches!(
                &*name,
                "target" | ".git" | ".build" | "vendor" | "node_modules"
            ) {
                sources(&path, found);
            }
        } else if ["rs", "py", "sh", "js", "mjs", "css"]
            .iter()
            .any(|end| path.extension().is_some_and(|e| e == *end))
        {
            found.push(path);
        }
    }
}

#[test]
fn no_source_file_is_too_long() {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    assert!(
        files
            .iter()
            .any(|file| file.ends_with("tests/tests/house.rs")),
        "the walk misses files"
    );
    let lines = |file: &PathBuf| fs::read_to_string(file).unwrap().lines().count();
    let long: Vec<_> = files
        .iter()
        .filter(|file| lines(file) > SOURCE_LINES_MAX)
        .collect();
    assert!(
        long.is_empty(),
        "over {SOURCE_LINES_MAX} lines, split by meaning: {long:?}"
    );
}
