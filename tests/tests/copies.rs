//! A data directory that was copied and runs twice: the two never sign two digests of one size, whoever signs no more
//! says why, and nothing that either of them had acknowledged is lost.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_node::disk::RealDisk;
use belfry_node::store::{Layout, Reader};
use belfry_protocol::note::SignedNote;
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::tile::Bundle;
use belfry_tests::federation::{FACTORY, Federation, PATIENCE};
use belfry_tests::process::{Noded, control, status_of};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A copy that signs nothing for so long while the other does has lost, even if it could not be told so yet.
const STRUGGLE: Duration = Duration::from_secs(10);

fn append(dir: &Path, line: &str) -> Option<u64> {
    let path = "/api/v1/entries?kind=log.line&source=test";
    control(
        dir,
        "POST",
        path,
        format!("{{\"msg\":\"{line}\"}}\n").as_bytes(),
    )?["last"]
        .as_u64()
}

fn phase(dir: &Path) -> String {
    let status = status_of(dir).unwrap_or_default();
    status["phase"].as_str().unwrap_or_default().to_owned()
}

fn signed(dir: &Path) -> u64 {
    status_of(dir).unwrap_or_default()["signed_size"]
        .as_u64()
        .unwrap_or(0)
}

/// Gives work to two copies until only one of them signs.
fn one_signs(dirs: [&PathBuf; 2]) {
    let until = Instant::now() + PATIENCE;
    loop {
        let (began, before) = (Instant::now(), dirs.map(|dir| signed(dir)));
        while began.elapsed() < STRUGGLE {
            for dir in dirs {
                let _ = append(dir, "whose");
            }
            if dirs.iter().any(|dir| phase(dir).starts_with("stopped: ")) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let after = dirs.map(|dir| signed(dir));
        if (after[0] > before[0]) != (after[1] > before[1]) {
            return;
        }
        let statuses = dirs.map(|dir| status_of(dir));
        assert!(Instant::now() < until, "both sign, or none: {statuses:?}");
    }
}

/// A copy that stopped tells a human what to do, in its status and in its log.
fn says_why(phase: &str, log: &Path) {
    let remedy = phase.contains("stop any other copy") || phase.contains("stop one of the two");
    assert!(remedy, "{phase}");
    let log = std::fs::read_to_string(log).unwrap();
    let alarmed = log.contains("second-copy") || log.contains("foreign-statement");
    assert!(log.contains("ALARM") && alarmed, "{log}");
}

fn signal(federation: &Federation, name: &str) {
    let pid = federation.pid(FACTORY).to_string();
    assert!(
        Command::new("kill")
            .args([name, &pid])
            .status()
            .unwrap()
            .success()
    );
}

fn reader(dir: &Path) -> Reader {
    Reader::open(Layout::new(dir), Arc::new(RealDisk)).unwrap()
}

/// The entries that a copy had acknowledged.
fn acknowledged(dir: &Path) -> Vec<Vec<u8>> {
    let reader = reader(dir);
    let acked = reader.acked().unwrap().unwrap_or(0);
    let bundles = (0..acked.div_ceil(256)).filter_map(|at| Bundle::of_tree(at, acked));
    let bytes = bundles.map(|wanted| reader.bundle(wanted).unwrap());
    bytes
        .flat_map(|bytes| {
            let all = bundle::entries(&bytes).map(|one| one.unwrap().to_vec());
            all.collect::<Vec<_>>()
        })
        .collect()
}

/// Both copies have stopped; the original goes on alone with all that either of them had acknowledged.
fn goes_on_alone(federation: &Federation, twin: &Noded) {
    let original = &federation.nodes[FACTORY].dir;
    let mut signed: BTreeMap<u64, String> = BTreeMap::new();
    for dir in [original, &twin.dir] {
        for (size, note) in reader(dir).digests().unwrap() {
            let text = SignedNote::parse(note.as_bytes())
                .unwrap()
                .text()
                .to_owned();
            let other = signed.entry(size).or_insert_with(|| text.clone());
            assert_eq!(*other, text, "two digests of {size} entries");
        }
    }
    let promised = [acknowledged(original), acknowledged(&twin.dir)];
    federation.start(FACTORY);
    federation.ready(FACTORY);
    let receipts = vec![federation.receipt(federation.append(2))];
    let size = federation.settled(federation.towers());
    let entries = federation.entries(size);
    for promised in promised {
        assert!(
            entries.starts_with(&promised),
            "an acknowledged entry is gone"
        );
    }
    federation.check(size, federation.towers());
    federation.verify(&receipts);
}

#[test]
fn of_two_copies_started_at_once_one_signs() {
    let federation = Federation::found(3);
    federation.start_all();
    federation.append(20);
    federation.stop(FACTORY);
    let twin = federation.twin(FACTORY);
    let original = &federation.nodes[FACTORY];
    let dirs = [&original.dir, &twin.dir];
    original.launch();
    twin.launch();
    one_signs(dirs);
    for (dir, log) in dirs.into_iter().zip([&original.log, &twin.log]) {
        if phase(dir).starts_with("stopped: ") {
            says_why(&phase(dir), log);
        }
    }
    twin.kill();
    federation.kill(FACTORY);
    goes_on_alone(&federation, &twin);
}

#[test]
fn a_machine_that_was_paused_meets_the_copy_that_took_its_place() {
    let federation = Federation::found(3);
    federation.start_all();
    federation.append(20);
    federation.stop(FACTORY);
    let twin = federation.twin(FACTORY);
    federation.start(FACTORY);
    federation.ready(FACTORY);
    let before = federation.append(10);
    signal(&federation, "-STOP");
    twin.launch();
    let dir = &twin.dir;
    let until = Instant::now() + PATIENCE;
    let mut last = None;
    // Its first entry that counts; until it has recovered it takes none.
    while last.is_none() || status_of(dir).is_none_or(|now| now["acked_size"].as_u64() <= last) {
        assert!(
            Instant::now() < until,
            "{}",
            std::fs::read_to_string(&twin.log).unwrap()
        );
        last = last.or_else(|| append(dir, "by the copy"));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        last > Some(before),
        "the copy went on from what towers hold"
    );
    signal(&federation, "-CONT");
    let status = federation.wait(FACTORY, "stops", |status| {
        let _ = append(&federation.nodes[FACTORY].dir, "by the paused one");
        status["phase"].as_str().unwrap().starts_with("stopped: ")
    });
    says_why(
        status["phase"].as_str().unwrap(),
        &federation.nodes[FACTORY].log,
    );
    twin.kill();
    federation.kill(FACTORY);
    goes_on_alone(&federation, &twin);
}
