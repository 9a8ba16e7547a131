//! Figures of one node's ledger, each beside a floor measured in the same run. Run with `cargo bench -p belfry-node`.
//!
//! `BELFRY_BENCH=name,…` chooses: hashing, scrub, bulk, bulk-real, private, callers, large, audit.
//! `BELFRY_BENCH_ENTRIES` sets the size of `large` (default 2,000,000; the figure is 10,000,000).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss
)]

use belfry_keys::{CreateOptions, KeyDir, NodeKeys, Protection};
use belfry_node::audit::source::Source;
use belfry_node::audit::tree;
use belfry_node::config;
use belfry_node::disk::{Disk, FixedSyncDisk, RealDisk};
use belfry_node::ingest::pipeline::{self, OnError, Plan};
use belfry_node::node::Node;
use belfry_node::store::Layout;
use belfry_node::writer::Request;
use belfry_protocol::cert::Scope;
use belfry_protocol::entry::json::Json;
use belfry_protocol::entry::time::TimeUs;
use belfry_protocol::entry::{Batch, Draft, Visibility};
use belfry_protocol::scrub::{Report, Ruleset, Scrubber, TokenKey};
use belfry_protocol::tlog::compact::CompactRange;
use belfry_protocol::tlog::hash::leaf_hash;
use belfry_protocol::tlog::proof::TreeReader;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NAME: &str = "bench.example/ledger";
const SYNC: Duration = Duration::from_millis(4);

fn main() {
    let chosen = std::env::var("BELFRY_BENCH")
        .unwrap_or_else(|_| "hashing,scrub,bulk,bulk-real,private,callers,large,audit".to_owned());
    let wants = |name: &str| chosen.split(',').any(|one| one == name);
    // `cargo bench --no-run` and test runners may pass flags; `--test` means: only show that it starts.
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let hashing = hashing();
    if wants("scrub") {
        scrub();
    }
    let entries = 1_000_000;
    if wants("bulk") {
        bulk(
            "bulk, sync of 4 ms",
            Arc::new(FixedSyncDisk { sync: SYNC }),
            entries,
            Visibility::Public,
            hashing,
        );
    }
    if wants("bulk-real") {
        bulk(
            "bulk, real disk",
            Arc::new(RealDisk),
            entries,
            Visibility::Public,
            hashing,
        );
    }
    if wants("private") {
        bulk(
            "bulk private, sync of 4 ms",
            Arc::new(FixedSyncDisk { sync: SYNC }),
            200_000,
            Visibility::Private,
            hashing,
        );
    }
    if wants("callers") {
        callers();
    }
    if wants("large") {
        large(hashing);
    }
    if wants("audit") {
        audit();
    }
}

/// CPU time of this thread in seconds.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|ns| ns.parse::<f64>().ok())
        .unwrap_or(0.0)
        / 1e9
}

/// CPU time of the whole process in seconds, in steps of 10 ms.
fn process_cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|field| field.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}

/// Leaf and node hashing alone, of entries as long as the bench's leaves: entries per second of one core.
fn hashing() -> f64 {
    let entry = vec![b'x'; 400];
    let count = 500_000;
    let began = cpu_seconds();
    let mut range = CompactRange::default();
    for _ in 0..count {
        range.push(leaf_hash(&entry), |_| {});
    }
    let rate = f64::from(count) / (cpu_seconds() - began);
    println!("hashing alone (leaf of 400 bytes and its nodes): {rate:.0} entries per CPU-second");
    rate
}

/// NDJSON lines of exactly 256 bytes that look like a log; one in ten holds something to scrub.
struct Lines {
    left: u64,
    number: u64,
    line: Vec<u8>,
    at: usize,
}

impl Lines {
    fn new(count: u64) -> Self {
        Self {
            left: count,
            number: 0,
            line: Vec::new(),
            at: 0,
        }
    }

    fn make(number: u64) -> Vec<u8> {
        let who = if number.is_multiple_of(10) {
            format!("user{number}@corp.example")
        } else {
            format!("job-{number}")
        };
        let mut line = format!(
            "{{\"level\":\"info\",\"ts\":\"2026-11-20T10:{:02}:{:02}Z\",\"who\":\"{who}\",\"step\":\"compile\",\"msg\":\"unit {} finished without warnings in {} ms\",\"pad\":\"",
            number / 60 % 60,
            number % 60,
            number,
            number % 977
        );
        while line.len() < 253 {
            line.push(char::from(
                b'a' + (line.len() as u64 * 7 + number) as u8 % 26,
            ));
        }
        line.push_str("\"}\n");
        line.into_bytes()
    }
}

impl Read for Lines {
    /// Fills `out` as a file would; a reader that gives one line at a time is appended line by line.
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let mut filled = 0;
        while filled < out.len() {
            if self.at == self.line.len() {
                if self.left == 0 {
                    break;
                }
                self.line = Self::make(self.number);
                (self.left, self.number, self.at) = (self.left - 1, self.number + 1, 0);
            }
            let length = (self.line.len() - self.at).min(out.len() - filled);
            out[filled..filled + length].copy_from_slice(&self.line[self.at..self.at + length]);
            self.at += length;
            filled += length;
        }
        Ok(filled)
    }
}

/// The scrubber alone, over the same lines: prefilter per line, then the full path where it says so.
fn scrub() {
    let lines: Vec<Vec<u8>> = (0..100_000).map(Lines::make).collect();
    let bytes: usize = lines.iter().map(Vec::len).sum();
    let scrubber = Scrubber::new(Arc::new(Ruleset::standard()));
    let key = TokenKey::new([1; 32]);
    let mut report = Report::default();
    let began = cpu_seconds();
    for line in &lines {
        if scrubber.may_change(line) {
            scrubber
                .scrub(std::str::from_utf8(line).unwrap(), &key, &mut report)
                .unwrap();
        }
    }
    let lines_rate = bytes as f64 / 1e6 / (cpu_seconds() - began);
    let text = String::from_utf8(lines.concat()).unwrap();
    let began = cpu_seconds();
    let mut done = 0;
    while done < text.len() {
        let end = (done + 65_536).min(text.len());
        scrubber.scrub(&text[done..end], &key, &mut report).unwrap();
        done = end;
    }
    let blocks_rate = bytes as f64 / 1e6 / (cpu_seconds() - began);
    println!(
        "scrubber alone: {lines_rate:.0} MB per CPU-second in lines of 256 bytes, {blocks_rate:.0} in blocks of 64 KiB"
    );
}

fn keys(dir: &Path) -> NodeKeys {
    if KeyDir::exists(dir).unwrap() {
        return KeyDir::open(dir, || Ok(None)).unwrap();
    }
    let options = CreateOptions {
        name: NAME.to_owned(),
        protection: Protection::Plain,
        now_seconds: 1_800_000_000,
        scope: Scope::Unfounded,
        import_log_key: None,
    };
    KeyDir::create(dir, options).unwrap()
}

fn open(dir: &Path, disk: Arc<dyn Disk>) -> Node {
    std::fs::create_dir_all(dir).unwrap();
    let text = config::EXAMPLE.replace("{name}", NAME);
    let (config, _) = config::parse(
        "config.toml",
        &text,
        &Default::default(),
        &Default::default(),
    )
    .unwrap();
    Node::open_on(Layout::new(dir), config, &keys(dir), disk).unwrap()
}

fn template(visibility: Visibility) -> Draft {
    Draft {
        kind: "log.line".to_owned(),
        time: TimeUs::from_micros(1_800_000_000_000_000).unwrap(),
        source: "bench".to_owned(),
        tenant: None,
        body: Json::Null,
        visibility: Some(visibility),
        idempotency: None,
    }
}

fn ingest(node: &Node, count: u64, visibility: Visibility) -> f64 {
    let plan = Plan {
        template: template(visibility),
        envelope: false,
        on_error: OnError::Stop,
        dedupe: false,
    };
    let began = Instant::now();
    let summary = pipeline::run(node, &plan, Lines::new(count), |_| {}).unwrap();
    assert_eq!(summary.appended, count);
    while node.published().flushed / 256 < node.published().size / 256 {
        std::thread::sleep(Duration::from_millis(1));
    }
    count as f64 / began.elapsed().as_secs_f64()
}

fn bulk(what: &str, disk: Arc<dyn Disk>, count: u64, visibility: Visibility, hashing: f64) {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), disk);
    let began = process_cpu_seconds();
    let rate = ingest(&node, count, visibility);
    let micros = (process_cpu_seconds() - began) * 1e6 / count as f64;
    println!("{what}: {micros:.1} µs of CPU per entry");
    println!(
        "{what}: {rate:.0} entries/s of 256 bytes to durable, scrubbed, tiled and signed; {:.3} of hashing alone",
        rate / hashing
    );
    node.close();
}

/// 64 callers that append one entry each and wait until it is durable.
fn callers() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FixedSyncDisk { sync: SYNC };
    let began = Instant::now();
    for _ in 0..50 {
        disk.database_synced();
    }
    let sync = began.elapsed() / 50;
    let node = open(dir.path(), Arc::new(disk));
    let until = Instant::now() + Duration::from_secs(5);
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..64)
            .map(|caller| {
                let node = &node;
                scope.spawn(move || {
                    let (mut press, mut times) = (node.press(), Vec::new());
                    while Instant::now() < until {
                        let began = Instant::now();
                        let mut batch = Batch::default();
                        let line = Lines::make(caller);
                        press
                            .add_raw(
                                &line,
                                &template(Visibility::Public),
                                &mut belfry_node::store::payloads::OsSealer,
                                &mut batch,
                            )
                            .unwrap();
                        node.writer().call(Request::Append(batch)).unwrap();
                        times.push(began.elapsed());
                    }
                    times
                })
            })
            .collect();
        callers
            .into_iter()
            .flat_map(|caller| caller.join().unwrap())
            .collect()
    });
    times.sort();
    let rate = times.len() as f64 / 5.0;
    let syncs = 1.0 / sync.as_secs_f64();
    let at = |share: usize| times[times.len() * share / 100].as_secs_f64() / sync.as_secs_f64();
    println!(
        "64 callers: {rate:.0} entries/s, {:.1} times the sync rate of {syncs:.0}/s; p50 {:.2} syncs, p99 {:.2} syncs",
        rate / syncs,
        at(50),
        at(99)
    );
    node.close();
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap_or("0 0");
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or(0)
        / 1024
}

fn disk_bytes(path: &Path) -> u64 {
    let mut total = 0;
    for item in std::fs::read_dir(path).unwrap().flatten() {
        let meta = item.metadata().unwrap();
        total += if meta.is_dir() {
            disk_bytes(&item.path())
        } else {
            meta.len()
        };
    }
    total
}

fn entry_bytes(node: &Node) -> u64 {
    let reader = node.reader().unwrap();
    let size = node.published().size;
    let sample: usize = (0..1_000u64)
        .map(|i| reader.entry(i * (size / 1_000), size).unwrap().len())
        .sum();
    (sample as f64 / 1_000.0 * size as f64) as u64
}

/// A large ledger: rate at start and end, memory, proof time, start-up, disk.
fn large(hashing: f64) {
    let total: u64 = std::env::var("BELFRY_BENCH_ENTRIES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2_000_000);
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(FixedSyncDisk { sync: SYNC });
    let node = open(dir.path(), Arc::clone(&disk));
    let part = total / 10;
    let rates: Vec<f64> = (0..10)
        .map(|_| ingest(&node, part, Visibility::Public))
        .collect();
    println!(
        "large, {total} entries: {:.0}/s in the first tenth, {:.0}/s in the last ({:.2}); {:.3} of hashing alone; resident {} MiB",
        rates[0],
        rates[9],
        rates[9] / rates[0],
        rates[9] / hashing,
        resident_mib()
    );
    let reader = node.reader().unwrap();
    let size = node.published().signed;
    let began = Instant::now();
    for i in 0..200u64 {
        TreeReader::new(&reader, size)
            .inclusion(i.wrapping_mul(0x9E37_79B9_7F4A_7C15) % size)
            .unwrap();
    }
    println!(
        "large: an inclusion proof in {:.3} ms",
        began.elapsed().as_secs_f64() * 1e3 / 200.0
    );
    let entries = entry_bytes(&node);
    node.close();
    let overhead = (disk_bytes(dir.path()) as f64 - entries as f64) / size as f64;
    println!("large: {overhead:.1} bytes on disk per entry beyond the entry bytes");
    let began = Instant::now();
    let node = open(dir.path(), disk);
    println!(
        "large: start-up in {:.0} ms",
        began.elapsed().as_secs_f64() * 1e3
    );
    let began = Instant::now();
    node.reader().unwrap().head().unwrap();
    println!(
        "large: head in {:.2} ms",
        began.elapsed().as_secs_f64() * 1e3
    );
    node.close();
}

/// Verification of an export.
fn audit() {
    let dir = tempfile::tempdir().unwrap();
    let node = open(dir.path(), Arc::new(FixedSyncDisk { sync: SYNC }));
    let filler = 1_000_000 - node.published().size % 256;
    ingest(&node, filler, Visibility::Public);
    // Up to a whole number of bundles, so that the tiles directory alone is the export.
    let rest = (256 - node.published().size % 256) % 256;
    ingest(&node, rest, Visibility::Public);
    let reader = node.reader().unwrap();
    let (size, note) = reader.newest_digest().unwrap().unwrap();
    let key = node.log_keys().newest().unwrap().clone();
    let tiles = node.layout.tiles();
    std::fs::write(tiles.join("checkpoint"), note).unwrap();
    for level in 1..=2u8 {
        use belfry_protocol::tlog::proof::TileSource;
        use belfry_protocol::tlog::tile::{Tile, hashes_at};
        if let Some(tile) = Tile::of_tree(level, hashes_at(level, size) / 256, size) {
            let bytes: Vec<u8> = reader
                .tile(tile)
                .unwrap()
                .iter()
                .flat_map(|hash| hash.0)
                .collect();
            let path = tiles.join(tile.path());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
    node.close();
    let source = Source::open(tiles.to_str().unwrap()).unwrap();
    let began = Instant::now();
    let verified = tree::verify(&source, &key, false, |_| {}).unwrap();
    let seconds = began.elapsed().as_secs_f64();
    let cores = std::thread::available_parallelism().unwrap().get() as f64;
    println!(
        "audit verify: {} entries, {:.0} MB, in {seconds:.2} s: {:.0} entries/s per core of {cores}",
        verified.entries,
        verified.bytes as f64 / 1e6,
        verified.entries as f64 / seconds / cores
    );
}
