//! How outcomes are told to people.

use belfry_sim::plan::Plan;
use belfry_sim::run::Outcome;
use belfry_sim::swarm::Summary;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Pause between two lines of progress.
const EVERY: Duration = Duration::from_secs(2);

/// Tells now and then how far one run is, on a terminal.
pub(crate) fn progress(total: u64) -> impl FnMut(u64) {
    let shows = std::io::stderr().is_terminal();
    let mut last = Instant::now();
    move |second| {
        if shows && last.elapsed() >= EVERY {
            last = Instant::now();
            eprintln!("{second} of {total} simulated seconds");
        }
    }
}

/// Tells of each seed that is done, on a terminal.
pub(crate) fn seed(total: u64) -> impl Fn(u64, &Outcome) + Sync {
    let shows = std::io::stderr().is_terminal();
    let done = AtomicU64::new(0);
    move |seed, outcome| {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if outcome.violation.is_some() {
            eprintln!("seed {seed} broke a rule");
        }
        if shows && (done.is_multiple_of(10) || done == total) {
            eprint!("\r{done} of {total} seeds");
            let _ = std::io::stderr().flush();
            if done == total {
                eprintln!();
            }
        }
    }
}

fn seconds(us: u64) -> String {
    format!("{}.{:01} s", us / 1_000_000, us % 1_000_000 / 100_000)
}

fn ratio(simulated_us: u64, took: Duration) -> u128 {
    u128::from(simulated_us) / took.as_micros().max(1)
}

/// The outcome of one run.
pub(crate) fn outcome(plan: &Plan, outcome: &Outcome, took: Duration) {
    println!(
        "seed {}: {} nodes ({} factories, {} towers), {} faults",
        plan.seed,
        plan.nodes(),
        plan.topology.factories,
        plan.topology.towers,
        plan.faults.len()
    );
    println!(
        "simulated {} in {:.1?} ({} times real time): {} steps, {} messages, {} entries",
        seconds(outcome.simulated_us),
        took,
        ratio(outcome.simulated_us, took),
        outcome.steps,
        outcome.messages,
        outcome.appended
    );
    let mut latencies: Vec<u64> = outcome.latencies.iter().map(|(_, us)| *us).collect();
    latencies.sort_unstable();
    if let (Some(half), Some(most)) = (latencies.get(latencies.len() / 2), latencies.last()) {
        println!(
            "acknowledged: {} entries, half of them within {} ms, all within {}",
            latencies.len(),
            half / 1_000,
            seconds(*most)
        );
    }
    for (at_us, node, alarm) in outcome.alarms.iter().take(20) {
        println!("{:>12}  node {node} raised {alarm}", seconds(*at_us));
    }
    if outcome.alarms.len() > 20 {
        println!("and {} more alarms", outcome.alarms.len() - 20);
    }
    println!("trace {}", outcome.trace);
    match (&outcome.violation, outcome.converged_us) {
        (Some(broken), _) => println!(
            "BROKEN {} after {}{}: {}",
            broken.invariant,
            seconds(broken.at_us),
            broken
                .node
                .map_or(String::new(), |node| format!(", node {node}")),
            broken.what
        ),
        (None, Some(us)) => println!(
            "all rules were kept; well again {} after the last fault",
            seconds(us)
        ),
        (None, None) => println!("all rules were kept"),
    }
}

/// What a swarm found.
pub(crate) fn summary(summary: &Summary, took: Duration) {
    println!(
        "{} seeds in {took:.1?}: {} simulated ({} times real time), {} steps, {} messages, {} entries",
        summary.seeds,
        seconds(summary.simulated_us),
        ratio(summary.simulated_us, took),
        summary.steps,
        summary.messages,
        summary.appended
    );
    if let Some((us, seed)) = summary.slowest {
        println!("slowest to get well: {} (seed {seed})", seconds(us));
    }
    println!("faults:");
    for (name, count) in &summary.faults {
        println!("{count:>8}  {name}");
    }
    println!("rare states:");
    for (what, count) in &summary.reached {
        println!("{count:>8}  {what}");
    }
    println!("{} broke a rule", summary.failed.len());
}

/// A plan that failed, and how to play it again.
pub(crate) fn failed(seed: u64, outcome: &Outcome, plan: &Path) {
    let Some(broken) = &outcome.violation else {
        return;
    };
    println!(
        "FAIL invariant={} seed={seed} version={} t={} node={} trace={}\n     {}\n     replay: belfry-sim replay {}",
        broken.invariant,
        env!("CARGO_PKG_VERSION"),
        seconds(broken.at_us),
        broken.node.map_or("-".to_owned(), |node| node.to_string()),
        outcome.trace,
        broken.what,
        plan.display()
    );
}
