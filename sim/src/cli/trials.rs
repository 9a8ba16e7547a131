//! Crash trials of the store: the product's, on a simulated disk, beside a model of it.

use anyhow::Context;
use belfry_sim_sys::trials::{Settings, Summary, Trials};
use clap::Args;
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Findings that are told word for word.
const TOLD: usize = 20;

#[derive(Args)]
#[command(
    after_help = "Example:\n  belfry-sim trials --count 1000 --jobs 2\n\nWith --lying-syncs losses are what is looked for, and none is the failure."
)]
pub(crate) struct TrialsArgs {
    /// How many
    #[arg(long, default_value_t = 1_000)]
    count: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Trials at once
    #[arg(long, default_value = "1")]
    jobs: NonZero<usize>,
    /// Syncs and reads may fail, and the disk may become full
    #[arg(long)]
    failing: bool,
    /// One in so many syncs says that it is done and does nothing
    #[arg(long, value_name = "N", default_value_t = 0)]
    lying_syncs: u64,
    /// Tell the outcome as JSON
    #[arg(long)]
    json: bool,
}

/// Runs trials; the exit code says whether the store kept what it promised.
pub(crate) fn run(args: &TrialsArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let next = AtomicU64::new(args.from);
    let all: anyhow::Result<Vec<Summary>> = std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..args.jobs.get())
            .map(|job| {
                let next = &next;
                scope.spawn(move || work(args, job, next))
            })
            .collect();
        let done = jobs.into_iter().map(|job| match job.join() {
            Ok(done) => done,
            Err(_) => anyhow::bail!("a trial panicked"),
        });
        done.collect()
    });
    let mut summary = Summary::default();
    for one in all? {
        summary.merge(one);
    }
    summary.findings.sort();
    tell(args, &summary, began.elapsed());
    let found = summary.lost > 0 || !summary.findings.is_empty();
    let lies = args.lying_syncs > 0;
    Ok(ExitCode::from(u8::from(found != lies)))
}

/// One thread's trials, on disks of its own.
fn work(args: &TrialsArgs, job: usize, next: &AtomicU64) -> anyhow::Result<Summary> {
    let settings = Settings {
        lying_syncs_one_in: args.lying_syncs,
        failing_syncs: args.failing,
        failing_reads: args.failing,
        full_disks: args.failing,
        unsynced: None,
    };
    let root = PathBuf::from(format!("/belfry-trials/{job}"));
    let trials = Trials::new(&root, settings)
        .map_err(|error| anyhow::anyhow!("{error}"))
        .context("a fresh store cannot be made")?;
    let mut summary = Summary::default();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= args.from.saturating_add(args.count) {
            return Ok(summary);
        }
        summary.add(&trials.run(seed)?);
    }
}

fn tell(args: &TrialsArgs, summary: &Summary, took: Duration) {
    if args.json {
        let findings: Vec<_> = summary.findings.iter().collect();
        let value = serde_json::json!({
            "trials": summary.trials,
            "committed": summary.acknowledged,
            "lost": summary.lost,
            "trials_with_loss": summary.with_loss,
            "in_flight_kept": summary.in_flight_kept,
            "in_flight_lost": summary.in_flight_lost,
            "starts_that_died": summary.died_starting,
            "full_disks": summary.full,
            "keys_destroyed": summary.destroyed,
            "findings": findings,
        });
        return println!("{value:#}");
    }
    println!(
        "{} trials in {took:.1?}: {} commits, {} of them lost, in {} trials",
        summary.trials, summary.acknowledged, summary.lost, summary.with_loss
    );
    println!(
        "in flight: {} kept, {} lost; {} starts died, {} full disks, {} keys destroyed",
        summary.in_flight_kept,
        summary.in_flight_lost,
        summary.died_starting,
        summary.full,
        summary.destroyed
    );
    for (seed, what) in summary.findings.iter().take(TOLD) {
        println!("seed {seed}: {what}");
    }
    if summary.findings.len() > TOLD {
        println!("and {} more", summary.findings.len() - TOLD);
    }
}
