//! `bench`: what large runs cost. Real time and memory are read here and nowhere else in the simulator.

use anyhow::ensure;
use belfry_sim::Violation;
use belfry_sim::large::{Large, Size, Work};
use belfry_sim::plan::Pace;
use clap::Args;
use serde::Serialize;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(Args)]
#[command(
    after_help = "Example:\n  belfry-sim bench --federations 16 --factories 58 --towers 5\n  belfry-sim bench --federations 1 --factories 10 --towers 5 --followers 10000"
)]
pub(crate) struct BenchArgs {
    /// The seed: the same seed gives the same run
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Federations beside each other on one clock; each has at most 64 members
    #[arg(long, default_value_t = 16)]
    federations: usize,
    /// Factories of each federation
    #[arg(long, default_value_t = 58)]
    factories: usize,
    /// Towers of each federation
    #[arg(long, default_value_t = 5)]
    towers: usize,
    /// Nodes that only follow heads
    #[arg(long, default_value_t = 0)]
    followers: usize,
    /// Factories are connected to each other, too
    #[arg(long)]
    full_mesh: bool,
    /// Ledgers that rest are acknowledged again, and get entries of their nodes' own, once in 24 hours
    #[arg(long)]
    daily_digests: bool,
    /// Entries per 1,000 simulated seconds, over all factories
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    entries_per_1000_seconds: u64,
    /// Simulated seconds that are measured
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Simulated seconds before that: starts, recoveries and first exchanges cost more than what follows
    #[arg(long, default_value_t = 30)]
    warm_up_seconds: u64,
    /// Tell the figures as JSON
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Serialize)]
struct Figures {
    size: Size,
    members: usize,
    ledgers: usize,
    work: Work,
    /// Time of the processor, in microseconds.
    cpu_us: u64,
    /// Time that passed, in microseconds.
    wall_us: u64,
    times_real_time: f64,
    steps_per_second: f64,
    /// Steps that were taken, and those that were found to do nothing.
    steps_settled_per_second: f64,
    messages_per_second: f64,
    /// Memory for each node, followers among them, in bytes.
    bytes_per_node: u64,
    violation: Option<Violation>,
    /// What was missing at the end; `None`: everything was acknowledged.
    missing: Option<String>,
}

pub(crate) fn bench(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let size = Size {
        seed: args.seed,
        federations: args.federations,
        factories: args.factories,
        towers: args.towers,
        entries_per_1000_seconds: args.entries_per_1000_seconds,
        full_mesh: args.full_mesh,
        pace: if args.daily_digests {
            Pace::DAILY
        } else {
            Pace::default()
        },
        followers: args.followers,
    };
    ensure!(args.seconds > 0, "--seconds is at least 1");
    let empty_bytes = resident_bytes();
    let mut large = Large::new(&size)?;
    let shows = std::io::stderr().is_terminal();
    for _ in 0..args.warm_up_seconds {
        large.pass_second();
    }
    large.follow(&size);
    let before = large.work();
    let (cpu, began) = (cpu_time(), Instant::now());
    for second in 1..=args.seconds {
        large.pass_second();
        if shows && second.is_multiple_of(10) {
            eprintln!("{second} of {} simulated seconds", args.seconds);
        }
    }
    let wall = began.elapsed();
    let cpu = cpu_time()
        .zip(cpu)
        .map_or(wall, |(after, before)| after - before);
    let work = large.work().since(&before);
    let nodes = (size.members() + size.followers).max(1) as u64;
    let bytes = resident_bytes()
        .unwrap_or(0)
        .saturating_sub(empty_bytes.unwrap_or(0));
    let missing = large.settle().err();
    let each = |count: u64| count as f64 / cpu.as_secs_f64().max(f64::EPSILON);
    let figures = Figures {
        members: size.members(),
        ledgers: size.federations * size.factories,
        times_real_time: each(work.seconds),
        steps_per_second: each(work.steps),
        steps_settled_per_second: each(work.steps + work.rested),
        messages_per_second: each(work.messages),
        bytes_per_node: bytes / nodes,
        cpu_us: micros(cpu),
        wall_us: micros(wall),
        violation: large.violation(),
        missing,
        size,
        work,
    };
    tell(&figures, args.json)?;
    let well = figures.violation.is_none() && figures.missing.is_none();
    Ok(ExitCode::from(u8::from(!well)))
}

fn tell(figures: &Figures, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(figures)?);
        return Ok(());
    }
    let Figures { size, work, .. } = figures;
    println!(
        "{} members in {} federations of {} factories and {} towers, {} ledgers, {} followers",
        figures.members,
        size.federations,
        size.factories,
        size.towers,
        figures.ledgers,
        size.followers
    );
    println!(
        "{} s simulated in {:.1} s of processor time ({:.1} s passed): {:.1} times real time",
        work.seconds,
        figures.cpu_us as f64 / 1e6,
        figures.wall_us as f64 / 1e6,
        figures.times_real_time
    );
    println!(
        "{} steps taken, {:.0}/s; with {} that were found to do nothing {:.0}/s",
        work.steps, figures.steps_per_second, work.rested, figures.steps_settled_per_second
    );
    println!(
        "{} messages, {:.0}/s, {} bytes; {} entries",
        work.messages, figures.messages_per_second, work.bytes, work.entries
    );
    if size.followers > 0 {
        println!(
            "{} heads reached followers, {} were accepted",
            work.heard, work.accepted
        );
    }
    println!("{} bytes of memory for each node", figures.bytes_per_node);
    match (&figures.violation, &figures.missing) {
        (Some(broken), _) => println!("BROKEN {}: {}", broken.invariant, broken.what),
        (None, Some(missing)) => println!("not well at the end: {missing}"),
        (None, None) => println!("all rules were kept; everything was acknowledged"),
    }
    Ok(())
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Time that this thread spent on a processor, where the system tells.
fn cpu_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

/// Memory that this process holds, where the system tells.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1_024)
}
