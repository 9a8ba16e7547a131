//! The life of a federation (R6, R14), with real nodes under load: founded by four, a fifth joins by ticket, all keys are renewed, one
//! member leaves, one is lost and replaced; in the end every receipt of every epoch verifies for a stranger who knows an id.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_tests::founders::Founders;
use belfry_tests::run;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const ALL: [(&str, &str); 6] = [
    ("t1.example", "tower"),
    ("t2.example", "tower"),
    ("t3.example", "tower"),
    ("shop.example/line", "factory"),
    ("t4.example", "tower"),
    ("t5.example", "tower"),
];

const SHOP: usize = 3;

struct Life {
    founders: Founders,
    /// Receipts by the epoch in force when they were asked for.
    receipts: BTreeMap<u64, PathBuf>,
}

impl Life {
    /// Somebody comes with a ticket of the first node that is asked.
    fn invite(&self, host: usize, guest: usize) {
        let ticket = self.founders.ticket_of(host, &["--role", "tower"]);
        let _ = self.founders.on(guest, &["join", &ticket]).expect(0);
        self.founders.launch(guest);
        let _ = self
            .founders
            .wait(guest, "is let in", |status| status["welcome"].is_string());
    }

    /// Some entries with receipts.
    fn receipts(&mut self, epoch: u64) {
        let file = self.founders.beside("some.ndjson");
        let lines = (0..3).map(|number| format!("{{\"epoch\":{epoch},\"n\":{number}}}\n"));
        fs::write(&file, lines.collect::<String>()).unwrap();
        let out = self.founders.beside(&format!("receipts-{epoch}"));
        let (file, to) = (file.to_string_lossy(), out.to_string_lossy().into_owned());
        let args = [
            "append",
            &file,
            "--wait",
            "acked",
            "--receipts",
            &to,
            "--json",
        ];
        let _ = self.founders.until(SHOP, &args);
        self.receipts.insert(epoch, out);
    }

    fn judged_by(&self, epoch: u64) {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let status = self
                .founders
                .on(SHOP, &["status", "--json"])
                .expect(0)
                .json();
            if status["judged_by_epoch"] == epoch {
                return;
            }
            assert!(
                Instant::now() < until,
                "never came into epoch {epoch}: {status}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn receipts_of_every_epoch_verify_for_a_stranger() {
    let founders = Founders::gather_first(&ALL, 4);
    let id = founders.propose(&["--title", "the first four"]);
    for number in 0..4 {
        let _ = founders.sign(number, &id).expect(0);
    }
    for number in 0..4 {
        assert_eq!(founders.founded(number), id);
    }
    let mut life = Life {
        founders,
        receipts: BTreeMap::new(),
    };
    life.receipts(0);
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let nodes: Vec<_> = life
            .founders
            .nodes
            .iter()
            .map(|node| node.dir.clone())
            .collect();
        let home = life.founders.beside("load.ndjson");
        let busy = Busy {
            dir: nodes[SHOP].clone(),
            file: home,
        };
        let (stop, count) = (&stop, &count);
        scope.spawn(move || busy.run(stop, count));
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lives(&mut life)));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    });
    assert!(count.load(Ordering::Relaxed) > 3, "{count:?}");
    stranger(&life, &id);
    lost_factory(&life);
}

fn lives(life: &mut Life) {
    // A fifth, by ticket.
    life.invite(1, 4);
    life.founders
        .amend(1, 1, &["--add"], &[0, 1, 2, 3, 4], &[0, 1, 2, 3, 4]);
    life.judged_by(1);
    life.receipts(1);
    // New keys for everybody, and nobody stops.
    for number in 0..5 {
        let _ = life.founders.on(number, &["key", "rotate"]).expect(0);
    }
    life.receipts(11);
    // One leaves.
    life.founders.amend(
        2,
        2,
        &["--remove", "t1.example"],
        &[1, 2, 3, 4],
        &[1, 2, 3, 4],
    );
    life.judged_by(2);
    life.founders.nodes[0].kill();
    life.receipts(2);
    // One is lost, with its disk, and replaced.
    life.founders.nodes[1].kill();
    fs::remove_dir_all(&life.founders.nodes[1].dir).unwrap();
    life.receipts(22);
    life.invite(2, 5);
    let options = ["--add", "--remove", "t2.example"];
    life.founders
        .amend(2, 3, &options, &[2, 3, 4, 5], &[2, 3, 4, 5]);
    life.judged_by(3);
    life.receipts(3);
}

/// Another caller, who appends one entry after the other; each is acknowledged, or known not to be yet.
struct Busy {
    dir: PathBuf,
    file: PathBuf,
}

impl Busy {
    fn run(&self, stop: &AtomicBool, count: &AtomicU64) {
        fs::write(&self.file, "{\"said\":\"load\"}\n").unwrap();
        let (file, dir) = (self.file.to_string_lossy(), self.dir.to_string_lossy());
        while !stop.load(Ordering::Relaxed) {
            let args = [
                "append",
                &file,
                "--wait",
                "acked",
                "--json",
                "--no-input",
                "-d",
                &dir,
            ];
            let ended = run(&args);
            assert!([0, 31].contains(&ended.code), "{ended:?}");
            count.fetch_add(u64::from(ended.code == 0), Ordering::Relaxed);
        }
    }
}

/// Nothing but files and the federation's id.
fn stranger(life: &Life, id: &str) {
    let founders = &life.founders;
    let copy = founders.beside("copy").to_string_lossy().into_owned();
    let export = ["ledger", "export", "--format", "tiles", &copy];
    let _ = founders.on(SHOP, &export).expect(0);
    // A tower that came last may have been shown nothing of the epochs before, and then says so.
    let file = founders
        .beside("late.history")
        .to_string_lossy()
        .into_owned();
    let late = ["audit", "history", "shop.example/line", "--out", &file];
    let late = founders.on(5, &late);
    assert!(
        late.code == 0 || (late.code == 1 && late.stderr.contains("joined later")),
        "{late:?}"
    );
    // From the factory, and from a tower of the first hour.
    for (number, options) in [(SHOP, &[][..]), (2, &["shop.example/line"][..])] {
        let history = founders.beside(&format!("{number}.history"));
        let history = history.to_string_lossy().into_owned();
        let args = [
            &["audit", "history"],
            options,
            &["--out", &history, "--json"],
        ]
        .concat();
        let made = founders.until(number, &args);
        assert_eq!(made["epoch"], 3, "{made}");
        for (epoch, dir) in &life.receipts {
            let mut seen = 0;
            for file in fs::read_dir(dir).unwrap() {
                let path = file.unwrap().path();
                let path = path.to_string_lossy();
                let verify = |id: &str| {
                    let args = [
                        "audit",
                        "verify",
                        &path,
                        "--history",
                        &history,
                        "--federation",
                        id,
                    ];
                    run(&[&args[..], &["--ledger", &copy, "--json"]].concat())
                };
                let verified = verify(&id[..16]).expect(0).json();
                let by = verified["epoch"].as_u64().unwrap();
                // 11 and 22 are later in epochs 1 and 2.
                assert_eq!(by, epoch % 10, "{verified}");
                if seen == 0 {
                    let _ = verify("0123456789abcdef").expect(20);
                }
                seen += 1;
            }
            assert_eq!(seen, 3, "epoch {epoch}");
        }
    }
    let chain = founders.nodes[SHOP].dir.join("genesis.json");
    let chain = chain.to_string_lossy();
    let args = ["genesis", "verify", "--json", "--federation", id, &chain];
    let verified = run(&args).expect(0).json();
    assert_eq!(verified["epoch"], 3, "{verified}");
    let _ = run(&["audit", "verify", &copy, "--key", &key(founders)]).expect(0);
}

/// The factory loses its disk, and most towers of the first epochs are gone: what a tower can show of its history stands in for them.
fn lost_factory(life: &Life) {
    let (founders, shop) = (&life.founders, &life.founders.nodes[SHOP]);
    let before = founders.on(SHOP, &["ledger", "head", "--json"]).expect(0);
    let before = before.json()["signed_size"].as_u64().unwrap();
    shop.kill();
    let kept = ["config.toml", "keys", "genesis.json"];
    for entry in fs::read_dir(&shop.dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match (kept.contains(&name.as_str()), path.is_dir()) {
            (true, _) => {}
            (false, true) => fs::remove_dir_all(path).unwrap(),
            (false, false) => fs::remove_file(path).unwrap(),
        }
    }
    founders.launch(SHOP);
    let waited = ["wait", "--for", "ready", "--timeout", "6"];
    let waits = founders.on(SHOP, &waited).expect(31);
    assert!(waits.stderr.contains("recovering"), "{waits:?}");
    shop.kill();
    let history = founders.beside("2.history").to_string_lossy().into_owned();
    let adopt = ["ledger", "adopt-history", &history];
    let other = founders.on(2, &adopt);
    assert_eq!(other.code, 2, "{other:?}");
    assert!(other.stderr.contains("not of t3.example"), "{other:?}");
    let adopted = founders.on(SHOP, &adopt).expect(0);
    assert!(adopted.stdout.contains("epoch 3"), "{adopted:?}");
    founders.launch(SHOP);
    let _ = founders.until(SHOP, &["wait", "--for", "ready", "--json"]);
    let head = founders.on(SHOP, &["ledger", "head", "--json"]).expect(0);
    let head = head.json()["signed_size"].as_u64().unwrap();
    assert!(head >= before, "{head} of {before} entries came back");
    let file = founders
        .beside("load.ndjson")
        .to_string_lossy()
        .into_owned();
    let _ = founders.until(SHOP, &["append", &file, "--wait", "acked", "--json"]);
}

fn key(founders: &Founders) -> String {
    let file = founders.beside("log.vkey");
    let keys = founders
        .on(SHOP, &["key", "export", "--every-serial"])
        .expect(0);
    fs::write(&file, keys.stdout).unwrap();
    file.to_string_lossy().into_owned()
}
