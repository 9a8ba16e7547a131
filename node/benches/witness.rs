//! A tower as witness: 64 clients that keep their connections ask for cosignatures of 1,000 logs of others, each log growing by
//! one entry a request. The tower is `belfry run` on the real disk, alone of its federation, on the same machine as the
//! clients. Beside the figures stand one sync and one signature check of the same run.
//!
//! `cargo bench -p belfry-node --bench witness`; `BELFRY_BENCH_SECONDS` (10) is how long. With `BELFRY_BENCH_SUBTREES=N` as
//! many clients more ask for subtrees all the time; with `BELFRY_WITNESS_ML_DSA=true` every answer has a line of both kinds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]

use belfry_node::disk::RealDisk;
use belfry_node::founding::{describe, free_port, make, sign};
use belfry_node::member;
use belfry_node::net::Transport;
use belfry_node::store::Layout;
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::engine::federation::witness::Logs;
use belfry_protocol::log_list;
use belfry_protocol::note::{SignedNote, SigningKey};
use belfry_protocol::tlog::hash::{Hash, leaf_hash, sha256};
use belfry_protocol::tlog::memory::MemoryTree;
use belfry_protocol::witness::{AddCheckpoint, SignSubtree};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const CLIENTS: usize = 64;
const LOGS: usize = 1_000;
/// Entries of a log at most; all logs have the same ones.
const MOST: usize = 1_000;
/// Syncs and checks for the references.
const SAMPLES: usize = 200;
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    // Test runners may pass flags; `--test` means: only show that it starts.
    if std::env::args().any(|one| one == "--test" || one == "--list") {
        return;
    }
    let setting = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seconds = setting("BELFRY_BENCH_SECONDS").unwrap_or(10);
    let flood = setting("BELFRY_BENCH_SUBTREES").unwrap_or(0);
    let home = tempfile::tempdir().unwrap();
    let (sync, check) = (sync_time(home.path()), check_time());
    // One more, of which only subtrees are asked for.
    let mut keys: Vec<SigningKey> = (0..=LOGS).map(log_key).collect();
    let tower = Tower::start(home.path(), &keys);
    let trees = Trees::new();
    let part = part(&tower.address, &keys.pop().unwrap(), &trees);
    let before = tower.commits();
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds);
    let (mut latencies, subtrees): (Vec<Duration>, usize) = std::thread::scope(|scope| {
        let floods: Vec<_> = (0..flood)
            .map(|_| scope.spawn(|| ask_parts(&tower.address, &part, until)))
            .collect();
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (address, keys, trees) = (&tower.address, &keys, &trees);
                scope.spawn(move || ask(address, client, keys, trees, until))
            })
            .collect();
        let all = clients.into_iter().map(|client| client.join().unwrap());
        let latencies = all.flatten().collect();
        let floods = floods.into_iter().map(|flood| flood.join().unwrap());
        (latencies, floods.sum())
    });
    let took = began.elapsed().as_secs_f64();
    let commits = tower.commits() - before;
    latencies.sort_unstable();
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize];
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let count = latencies.len() as f64;
    let per_second = count / took;
    println!("witness: {CLIENTS} clients, {LOGS} logs, {count} requests in {took:.1} s");
    println!("  {per_second:.0} requests/s, every answer 200 and durable");
    if flood > 0 {
        let signed = subtrees as f64 / took;
        println!("  beside {signed:.0} subtrees/s for {flood} clients more");
    }
    println!(
        "  latency p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
        ms(at(0.5)),
        ms(at(0.99)),
        ms(at(1.0))
    );
    println!(
        "  {commits} transactions, {:.1} requests each",
        count / commits as f64
    );
    println!(
        "  beside: one sync {:.2} ms (p50 {:.1} syncs, p99 {:.1}; {:.1} requests per sync time), one strict check {:.1} µs ({:.3} of the check rate)",
        ms(sync),
        at(0.5).as_secs_f64() / sync.as_secs_f64(),
        at(0.99).as_secs_f64() / sync.as_secs_f64(),
        per_second * sync.as_secs_f64(),
        check.as_secs_f64() * 1e6,
        per_second * check.as_secs_f64(),
    );
}

fn log_key(number: usize) -> SigningKey {
    let name = format!("example.com/inmemorylog/{number}");
    let Hash(seed) = sha256(name.as_bytes());
    SigningKey::ed25519(&name, seed).unwrap()
}

/// The middle one of some appends with a sync each.
fn sync_time(dir: &Path) -> Duration {
    let mut file = File::create(dir.join("sync")).unwrap();
    let mut times: Vec<Duration> = (0..SAMPLES)
        .map(|_| {
            let began = Instant::now();
            file.write_all(&[7; 4_096]).unwrap();
            file.sync_data().unwrap();
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[SAMPLES / 2]
}

/// The fastest of some strict signature checks.
fn check_time() -> Duration {
    let key = log_key(0);
    let text = "text\n";
    let line = key.sign_note(text).unwrap();
    let times = (0..SAMPLES).map(|_| {
        let began = Instant::now();
        assert!(key.verifier().verify(text, line.signature()));
        began.elapsed()
    });
    times.min().unwrap()
}

/// Roots of every size, and proofs from every size to the next.
struct Trees {
    roots: Vec<Hash>,
    proofs: Vec<Vec<Hash>>,
}

impl Trees {
    fn new() -> Self {
        let leaves = (0..MOST).map(|number| leaf_hash(&number.to_be_bytes()));
        let tree = MemoryTree::new(leaves.collect());
        let sizes = 1..=MOST;
        Self {
            roots: sizes.map(|size| tree.root(size as u64)).collect(),
            proofs: (1..MOST)
                .map(|old| tree.consistency(old as u64, old as u64 + 1).unwrap())
                .collect(),
        }
    }

    /// The request that takes a log from `old` entries to one more.
    fn request(&self, key: &SigningKey, old: usize) -> Vec<u8> {
        let digest = Checkpoint {
            origin: key.name().to_owned(),
            size: old as u64 + 1,
            root: self.roots[old],
        };
        let body = AddCheckpoint {
            old_size: old as u64,
            proof: old
                .checked_sub(1)
                .map_or_else(Vec::new, |before| self.proofs[before].clone()),
            checkpoint: digest.sign(key).unwrap(),
        };
        let body = body.to_string();
        format!(
            "POST /add-checkpoint HTTP/1.1\r\nhost: tower\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

/// One client: its share of the logs in turn, on one connection.
fn ask(
    address: &str,
    client: usize,
    keys: &[SigningKey],
    trees: &Trees,
    until: Instant,
) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mine: Vec<&SigningKey> = keys.iter().skip(client).step_by(CLIENTS).collect();
    let mut latencies = Vec::new();
    for old in 0..MOST - 1 {
        for key in &mine {
            if Instant::now() >= until {
                return latencies;
            }
            let request = trees.request(key, old);
            let began = Instant::now();
            stream.write_all(&request).unwrap();
            let (status, _) = answer(&mut stream);
            latencies.push(began.elapsed());
            assert_eq!(status, 200, "{} after {old}", key.name());
        }
    }
    latencies
}

/// The request for the subtree of one entry of a log that is cosigned with it.
fn part(address: &str, key: &SigningKey, trees: &Trees) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&trees.request(key, 0)).unwrap();
    let (status, lines) = answer(&mut stream);
    assert_eq!(status, 200);
    let root = trees.roots[0];
    let digest = Checkpoint {
        origin: key.name().to_owned(),
        size: 1,
        root,
    };
    let body = SignSubtree {
        start: 0,
        end: 1,
        root,
        proof: Vec::new(),
        checkpoint: SignedNote::parse(format!("{}\n{lines}", digest.to_text()).as_bytes()).unwrap(),
    };
    let body = body.to_string();
    let length = body.len();
    format!("POST /sign-subtree HTTP/1.1\r\nhost: tower\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// One client that asks for the same subtree again and again; how often it was signed.
fn ask_parts(address: &str, request: &[u8], until: Instant) -> usize {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut signed = 0;
    while Instant::now() < until {
        stream.write_all(request).unwrap();
        let (status, _) = answer(&mut stream);
        assert!(matches!(status, 200 | 503), "{status}");
        signed += usize::from(status == 200);
    }
    signed
}

/// Reads one answer and returns its status and body.
fn answer(stream: &mut TcpStream) -> (u16, String) {
    let mut bytes = Vec::new();
    let mut block = [0; 4_096];
    loop {
        let read = stream.read(&mut block).unwrap();
        assert!(read > 0, "the tower closed the connection");
        bytes.extend_from_slice(&block[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.parse::<usize>().ok()).flatten()
        });
        if bytes.len() >= head.len() + 4 + length.unwrap_or(0) {
            let status = head.split(' ').nth(1).unwrap();
            return (status.parse().unwrap(), body.to_owned());
        }
    }
}

/// `belfry run` of a tower whose federation is away.
struct Tower {
    child: Child,
    address: String,
}

impl Tower {
    fn start(home: &Path, logs: &[SigningKey]) -> Self {
        let names = ["bench.example/workshop", "tower.bench.example"];
        let (mut keys, mut members) = (Vec::new(), Vec::new());
        for (number, name) in names.into_iter().enumerate() {
            let port = free_port().unwrap();
            let layout = Layout::new(home.join(format!("node-{number}")));
            let own = make(&layout, name, number == 0, port, Transport::Tcp).unwrap();
            members.push(describe(&own, number == 0, port, Transport::Tcp));
            keys.push(own);
        }
        let manifest = sign("Belfry bench", members, &keys).unwrap().to_json();
        let dir = home.join("node-1");
        member::install(&Layout::new(&dir), Arc::new(RealDisk), manifest.as_bytes()).unwrap();
        let mut list = Logs::default();
        for key in logs {
            list.add(key.name(), key.verifier().clone()).unwrap();
        }
        std::fs::write(
            dir.join("logs.txt"),
            log_list::print(&list, 86_400, "bench"),
        )
        .unwrap();
        let config = OpenOptions::new()
            .append(true)
            .open(dir.join("config.toml"));
        write!(config.unwrap(), "\n[witness]\nlog_list = \"logs.txt\"\n").unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_belfry"))
            .args(["run", "--no-input", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&dir)
            .stdout(Stdio::null())
            .stderr(File::create(home.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut tower = Self {
            child,
            address: String::new(),
        };
        let until = Instant::now() + PATIENCE;
        while tower.address.is_empty() {
            assert!(Instant::now() < until, "the tower does not start");
            std::thread::sleep(Duration::from_millis(20));
            let found = std::fs::read_to_string(dir.join("run/http.addr"));
            tower.address = found.unwrap_or_default().trim().to_owned();
        }
        tower
    }

    /// Transactions since its start, each with one sync.
    fn commits(&self) -> u64 {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = "GET /metrics HTTP/1.1\r\nhost: tower\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("belfry_ledger_commits_total "));
        line.unwrap().trim().parse().unwrap()
    }
}

impl Drop for Tower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
