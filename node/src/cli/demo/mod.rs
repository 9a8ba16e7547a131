//! `belfry demo`: a whole federation on this machine. One factory and three towers as processes of their own, a manifest
//! that all four signed, a directory in the ledger, a receipt that is verified offline, and a tower that dies and comes
//! back. Ends by telling where to look around.

mod children;
mod cluster;
mod founding;
mod home;
mod stop;

use super::args::{DemoArgs, TransportArg};
use super::context::Context;
use super::control::Control;
use super::output::Output;
use crate::audit::receipt;
use crate::disk::RealDisk;
use crate::exit::{Code, Failure};
use crate::ingest::files::{self, Options};
use crate::net::Transport;
use crate::store::Reader;
use belfry_keys::KeyDir;
use children::Children;
use cluster::{Cluster, NAMES};
use home::Home;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use stop::{First, Stop};
use tokio::sync::oneshot;

/// Files that the demo observes at most.
const FILES: usize = 2_000;
/// The tower that is killed.
const VICTIM: usize = 3;

/// How long the play may take to notice that it was stopped; its processes are gone by then.
const CURTAIN: Duration = Duration::from_secs(2);
/// Pause between two looks at the processes while the demo serves.
const LOOK: Duration = Duration::from_millis(100);

/// What the acts work with. They play on a thread of their own: the main one waits for signals.
struct Play {
    out: Output,
    args: DemoArgs,
    home: PathBuf,
    children: Arc<Children>,
    /// Everything was shown; whoever stops it now stops nothing half done.
    serving: AtomicBool,
}

pub(super) fn run(context: &Context, args: &DemoArgs) -> Result<(), Failure> {
    let mut stop = Stop::listen()?;
    let home = Home::make()?;
    let children = Arc::new(Children::default());
    let play = Arc::new(Play {
        out: context.out,
        args: args.clone(),
        home: home.path().to_owned(),
        children: Arc::clone(&children),
        serving: AtomicBool::new(false),
    });
    let (done, mut ended) = oneshot::channel();
    let player = Arc::clone(&play);
    std::thread::Builder::new()
        .name("demo".to_owned())
        .spawn(move || drop(done.send(player.acts())))?;
    let first = stop.or(&mut ended);
    children.close();
    let result = match first {
        First::Done(Ok(result)) => result,
        First::Done(Err(_)) => Err(Failure::new(Code::Failed, "the demo ended by a panic")),
        First::Stopped => {
            let serving = play.serving.load(Ordering::Relaxed);
            // It writes into the directory that goes now.
            let _ = stop.within(CURTAIN, ended);
            match serving {
                true => Ok(()),
                false => Err(Failure::new(
                    Code::Interrupted,
                    "interrupted; every process was ended and the directory removed",
                )),
            }
        }
    };
    drop(home);
    if result.is_ok() {
        context.out.say("next: belfry init --name YOUR.DOMAIN/LINE");
    }
    result
}

impl Play {
    fn acts(&self) -> Result<(), Failure> {
        let Self { args, home, .. } = self;
        let say = |text: String| self.out.say(text);
        let began = Instant::now();
        let transport = match args.transport {
            TransportArg::Tcp => Transport::Tcp,
            TransportArg::Quic => Transport::Quic,
            TransportArg::Both => Transport::Both,
        };
        let mut cluster = Cluster::found(home, transport, Arc::clone(&self.children))?;
        say(format!(
            "1. A federation was founded: {} members signed its manifest\n   id {}",
            cluster.nodes.len(),
            cluster.id
        ));
        for node in &cluster.nodes {
            say(format!("   {:<24} {}", node.name, node.address));
        }
        let quorum = cluster.quorum;
        say(format!(
            "   {} of {} towers make a quorum",
            quorum.needed, quorum.towers
        ));
        cluster.wait(0, "is active", |status| text(status, "phase") == "active")?;
        say(format!(
            "2. The factory asked its towers what they know of it, and may sign: {} ms after the start",
            began.elapsed().as_millis()
        ));

        let (count, last) = ingest(&cluster, &args.dir)?;
        let acked = cluster.wait(0, "has its entries acknowledged", |status| {
            number(status, "acked_size") > last
        })?;
        say(format!(
            "3. {count} files of {} are in its ledger, on a quorum of towers and acknowledged, {} ms after they were durable",
            args.dir.display(),
            acked.as_millis()
        ));

        let proof = prove(&cluster, last)?;
        let file = home.join(format!("entry-{last}.tlog-proof"));
        std::fs::write(&file, &proof)?;
        say(format!(
            "4. The receipt of entry {last}, one file of {} bytes:\n",
            proof.len()
        ));
        for line in proof.lines() {
            say(format!("   {}", shortened(line)));
        }
        let verified = receipt::verify(proof.as_bytes(), &cluster.policy, None)?;
        say(format!(
            "\n5. The file alone, with the policy that follows from the manifest, proves:\n   entry {} of {} is {}",
            verified.proved.index,
            verified.proved.checkpoint.origin,
            shortened(&String::from_utf8_lossy(&verified.entry))
        ));
        let altered = tampered(&proof);
        let Err(refusal) = receipt::verify(altered.as_bytes(), &cluster.policy, None) else {
            return Err(Failure::new(
                Code::VerificationFailed,
                "an altered receipt was accepted",
            ));
        };
        say(format!("   With one changed byte it is refused: {refusal}"));

        self.children.kill(VICTIM);
        let latencies = one_by_one(&cluster, 20)?;
        say(format!(
            "6. {} was killed, and acks go on: 20 entries, each acknowledged after {} ms (median), {} ms (worst)",
            NAMES[VICTIM],
            latencies[latencies.len() / 2],
            latencies.last().copied().unwrap_or(0)
        ));
        let size = cluster
            .status(0)
            .map_or(0, |status| number(&status, "acked_size"));
        cluster.start(VICTIM)?;
        // It acks again once the others told it what they saw (R3).
        let caught_up = cluster.wait(VICTIM, "has caught up", |status| {
            mirrored(status) >= size && text(status, "phase") == "tower"
        })?;
        say(format!(
            "7. {} was started again and has caught up with {size} entries after {} ms",
            NAMES[VICTIM],
            caught_up.as_millis()
        ));
        receipt::verify(proof.as_bytes(), &cluster.policy, None)?;
        self.out.try_result(
        &format!(
            "proved: entry {last} of {}, acknowledged by {} of {} towers, verified offline",
            NAMES[0], quorum.needed, quorum.towers
        ),
        &json!({
            "name": NAMES[0], "files": count, "index": last, "federation": cluster.id, "towers": quorum.towers,
            "quorum": quorum.needed, "verified": true, "tampered_refused": true, "ack_ms": latencies,
        }),
    )?;
        if !args.exit_after_proof {
            say(format!(
                "\nThe federation keeps running until Ctrl-C. Look around, e.g.:\n   belfry status --watch --data-dir {}",
                cluster.nodes[0].layout.dir().display()
            ));
            self.serve();
        }
        Ok(())
    }

    /// Serves until a signal ends the processes.
    fn serve(&self) {
        self.serving.store(true, Ordering::Relaxed);
        while self.children.check_open().is_ok() {
            std::thread::sleep(LOOK);
        }
    }
}

/// Appends the files of a directory through the running factory; returns how many, and the last entry's index.
fn ingest(cluster: &Cluster, dir: &Path) -> Result<(usize, u64), Failure> {
    let cannot = |error: std::io::Error| {
        Failure::new(
            Code::Failed,
            format!("cannot read {}: {error}", dir.display()),
        )
    };
    std::fs::metadata(dir).map_err(cannot)?;
    let options = Options {
        limit: Some(FILES),
        ..Options::default()
    };
    let (list, _) = files::list(dir, &options);
    let mut lines = Vec::new();
    files::write_lines(dir, &list, &options, &mut lines)?;
    let answer = post(cluster, "file.observed", lines)?;
    let last = answer.get("last").and_then(Value::as_u64).ok_or_else(|| {
        Failure::new(
            Code::Failed,
            format!("{} holds no file to append", dir.display()),
        )
    })?;
    Ok((list.len(), last))
}

fn post(cluster: &Cluster, kind: &str, lines: Vec<u8>) -> Result<Value, Failure> {
    let control = Control::find(&cluster.nodes[0].layout)
        .ok_or_else(|| Failure::new(Code::Unreachable, "the demo's factory does not answer"))?;
    let path = format!("/api/v1/entries?kind={kind}&source=demo&on_error=continue");
    control.post(&path, std::io::Cursor::new(lines))
}

/// Appends entries one after the other, each when the one before is acknowledged; the milliseconds that took, sorted.
fn one_by_one(cluster: &Cluster, count: usize) -> Result<Vec<u64>, Failure> {
    let mut all = Vec::new();
    for position in 0..count {
        let began = Instant::now();
        let line = format!("{{\"msg\":\"heartbeat {position}\"}}\n");
        let answer = post(cluster, "log.line", line.into_bytes())?;
        let last = answer.get("last").and_then(Value::as_u64).unwrap_or(0);
        cluster.wait(0, "has an entry acknowledged", |status| {
            number(status, "acked_size") > last
        })?;
        all.push(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
    }
    all.sort_unstable();
    Ok(all)
}

/// The receipt of an entry, read from the factory's directory beside the running process.
fn prove(cluster: &Cluster, index: u64) -> Result<String, Failure> {
    let layout = cluster.nodes[0].layout.clone();
    let keys =
        KeyDir::public_log_keys(layout.dir(), NAMES[0]).map_err(super::context::key_failure)?;
    let reader = Reader::open(layout, Arc::new(RealDisk))?;
    Ok(receipt::make(&reader, index, &keys)?.to_string())
}

fn text<'v>(status: &'v Value, key: &str) -> &'v str {
    status.get(key).and_then(Value::as_str).unwrap_or("")
}

fn number(status: &Value, key: &str) -> u64 {
    status.get(key).and_then(Value::as_u64).unwrap_or(0)
}

/// Entries of the factory's ledger that a tower holds under a digest.
fn mirrored(status: &Value) -> u64 {
    let mirrors = status.get("mirrors").and_then(Value::as_array);
    mirrors
        .into_iter()
        .flatten()
        .filter(|mirror| text(mirror, "origin") == NAMES[0])
        .map(|mirror| number(mirror, "held"))
        .max()
        .unwrap_or(0)
}

/// The receipt with one character of its entry changed.
fn tampered(proof: &str) -> String {
    let at = proof.find("extra ").map_or(0, |at| at + 40);
    let mut altered = proof.to_owned();
    let other = if proof[at..].starts_with('A') {
        "B"
    } else {
        "A"
    };
    altered.replace_range(at..=at, other);
    altered
}

fn shortened(line: &str) -> String {
    let mut short: String = line.chars().take(96).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}
