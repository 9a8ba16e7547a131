//! Foundings and amendments by vote: many seeds, or one that is told line by line.

use belfry_sim::ceremonies::{Ceremonies, How, Outcome, Summary, play};
use clap::Args;
use std::io::{IsTerminal, Write};
use std::num::NonZero;
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(Args)]
#[command(
    after_help = "Example:\n  belfry-sim ceremonies --seeds 500 --jobs 2 --coverage\n  belfry-sim ceremonies --seed 42 -v"
)]
pub(crate) struct CeremoniesArgs {
    /// How many seeds
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    /// The first one
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Seeds at once
    #[arg(long, default_value = "1")]
    jobs: NonZero<usize>,
    /// Play this seed alone
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "from", "jobs", "coverage"])]
    seed: Option<u64>,
    /// Tell what happens, line by line: microseconds, who, what
    #[arg(short, long, requires = "seed")]
    verbose: bool,
    /// Fail also if a rare state was never reached
    #[arg(long)]
    coverage: bool,
    /// Tell the outcome of one seed as JSON
    #[arg(long, requires = "seed")]
    json: bool,
}

/// Plays ceremonies; the exit code says whether all rules were kept.
pub(crate) fn run(args: &CeremoniesArgs) -> anyhow::Result<ExitCode> {
    // What panics is told with its seed, once.
    std::panic::set_hook(Box::new(|_| {}));
    match args.seed {
        Some(seed) => one(seed, args),
        None => many(args),
    }
}

fn one(seed: u64, args: &CeremoniesArgs) -> anyhow::Result<ExitCode> {
    let outcome = play(seed, How::telling(args.verbose))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        for line in &outcome.lines {
            println!("{line}");
        }
        println!("seed {seed}: {}", outcome.about);
        println!(
            "simulated {} h: {} epochs, {} steps, {} messages",
            outcome.simulated_us / 3_600_000_000,
            outcome.epochs,
            outcome.steps,
            outcome.messages
        );
        println!("trace {}", outcome.trace);
        match &outcome.violation {
            Some(_) => failed(&outcome),
            None => println!("all rules were kept"),
        }
    }
    Ok(ExitCode::from(u8::from(outcome.violation.is_some())))
}

fn many(args: &CeremoniesArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let ceremonies = Ceremonies {
        from: args.from,
        seeds: args.seeds,
        jobs: args.jobs,
    };
    let shows = std::io::stderr().is_terminal();
    let summary = ceremonies.play(|outcome| {
        if shows && outcome.seed.is_multiple_of(10) {
            eprint!("\rseed {}", outcome.seed);
            let _ = std::io::stderr().flush();
        }
    })?;
    if shows {
        eprintln!();
    }
    tell(&summary, began.elapsed());
    summary.failed.values().for_each(failed);
    let missed = summary.never_reached();
    if args.coverage {
        for what in &missed {
            println!("never reached: {what}");
        }
    }
    let well = summary.failed.is_empty() && (!args.coverage || missed.is_empty());
    Ok(ExitCode::from(u8::from(!well)))
}

fn tell(summary: &Summary, took: Duration) {
    println!(
        "{} seeds in {took:.1?}: {} simulated hours, {} epochs, {} steps, {} messages",
        summary.seeds,
        summary.simulated_us / 3_600_000_000,
        summary.epochs,
        summary.steps,
        summary.messages
    );
    if let Some((us, seed)) = summary.slowest {
        let minutes = us / 60_000_000;
        println!("slowest end after the faults: {minutes} min (seed {seed})");
    }
    println!("rare states:");
    for (what, count) in &summary.reached {
        println!("{count:>8}  {what}");
    }
    println!("{} broke a rule", summary.failed.len());
}

fn failed(outcome: &Outcome) {
    let Some(broken) = &outcome.violation else {
        return;
    };
    println!(
        "FAIL invariant={} seed={} version={} t={} h member={} trace={}\n     {}\n     {}\n     replay: belfry-sim ceremonies --seed {} -v",
        broken.invariant,
        outcome.seed,
        env!("CARGO_PKG_VERSION"),
        broken.at_us / 3_600_000_000,
        broken.node.map_or("-".to_owned(), |who| who.to_string()),
        outcome.trace,
        broken.what,
        outcome.about,
        outcome.seed,
    );
}
