//! The command line: what to play, and how the outcome is told. Results on stdout, progress on stderr; 0: all rules were
//! kept, 1: one was broken, 2: it could not be played.

mod args;
mod bench;
mod ceremonies;
mod tell;
mod trials;

use anyhow::Context;
use args::{Cli, Command, RunArgs, ShowArgs, SwarmArgs};
use belfry_sim::plan::{NAMES, Pace, Plan, Wishes, draw};
use belfry_sim::report::html;
use belfry_sim::run::{How, Outcome, run_caught_as};
use belfry_sim::scenario;
use belfry_sim::shrink::{Effort, shrink};
use belfry_sim::swarm::Swarm;
use clap::Parser;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Runs the command.
pub(crate) fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Run(args) => run(&args),
        Command::Swarm(args) => swarm(&args),
        Command::Replay { plan, show } => play(&read(&plan)?, &show),
        Command::Scenario { file, save, show } => {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("{} cannot be read", file.display()))?;
            let plan = scenario::parse(&text)
                .with_context(|| format!("{} is no scenario", file.display()))?;
            if let Some(path) = &save {
                write(path, &plan)?;
            }
            play(&plan, &show)
        }
        Command::Shrink {
            plan,
            out,
            runs,
            jobs,
            seeds,
        } => {
            let effort = Effort { runs, jobs, seeds };
            shrink_file(&plan, out.as_deref(), effort)
        }
        Command::Trials(args) => trials::run(&args),
        Command::Ceremonies(args) => ceremonies::run(&args),
        Command::Bench(args) => bench::bench(&args),
        Command::Faults => {
            for (name, what) in NAMES {
                println!("{name:<14} {what}");
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Plan> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    Plan::parse(&text).with_context(|| format!("{} is no plan", path.display()))
}

fn known_faults(names: &[String]) -> anyhow::Result<()> {
    for name in names {
        anyhow::ensure!(
            NAMES.iter().any(|(known, _)| known == name),
            "there is no fault {name}; `belfry-sim faults` lists them"
        );
    }
    Ok(())
}

fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    known_faults(&args.faults)?;
    let seconds = args
        .seconds
        .or_else(|| args.hours.map(|hours| hours * 3_600));
    let daily = args.daily_digests;
    let quiet = daily.then_some(1);
    let wishes = Wishes {
        nodes: args.nodes,
        seconds,
        faults: args.faults.clone(),
        entries_per_1000_seconds: args.entries_per_1000_seconds.or(quiet),
        store: args.store,
        pace: if daily { Pace::DAILY } else { Pace::default() },
    };
    let mut plan = draw(args.seed, &wishes);
    if args.no_faults {
        plan.faults.clear();
    }
    plan.check()?;
    if let Some(path) = &args.save {
        write(path, &plan)?;
    }
    play(&plan, &args.show)
}

fn write(path: &Path, plan: &Plan) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    std::fs::write(path, plan.to_text())
        .with_context(|| format!("{} cannot be written", path.display()))
}

fn play(plan: &Plan, show: &ShowArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let total = plan.seconds;
    let how = if show.plain { How::PLAIN } else { How::FAST };
    let outcome = run_caught_as(plan, how, tell::progress(total))?;
    let took = began.elapsed();
    if show.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        tell::outcome(plan, &outcome, took);
    }
    if let Some(path) = &show.report {
        std::fs::write(path, html(plan, &outcome))
            .with_context(|| format!("{} cannot be written", path.display()))?;
        eprintln!("the page is {}", path.display());
    }
    if show.doublecheck {
        let again = run_caught_as(plan, How::PLAIN, |_| {})?;
        anyhow::ensure!(
            again.is_like(&outcome),
            "the second run was another one: trace {} and {}",
            outcome.trace,
            again.trace
        );
        eprintln!("the second run was the same");
    }
    Ok(code(&outcome))
}

fn code(outcome: &Outcome) -> ExitCode {
    ExitCode::from(u8::from(outcome.violation.is_some()))
}

fn swarm(args: &SwarmArgs) -> anyhow::Result<ExitCode> {
    known_faults(&args.faults)?;
    let swarm = Swarm {
        from: args.from,
        seeds: args.seeds,
        jobs: args.jobs,
        wishes: Wishes {
            nodes: args.nodes,
            seconds: args.seconds,
            faults: args.faults.clone(),
            entries_per_1000_seconds: None,
            store: args.store,
            pace: Pace::default(),
        },
        doublecheck: args.doublecheck,
    };
    let began = Instant::now();
    // What panics is told with its seed, once.
    std::panic::set_hook(Box::new(|_| {}));
    let summary = swarm.play(tell::seed(args.seeds))?;
    tell::summary(&summary, began.elapsed());
    for (seed, failed) in &summary.failed {
        let path = args.save.join(format!("failed-{seed}.json"));
        write(&path, &failed.plan)?;
        tell::failed(*seed, &failed.outcome, &path);
    }
    let missed = summary.never_reached();
    let covered = !args.coverage || missed.is_empty();
    if args.coverage {
        for what in &missed {
            println!("never reached: {what}");
        }
    }
    for seed in &summary.unlike {
        println!("seed {seed} did not run twice alike");
    }
    let well = summary.failed.is_empty() && summary.unlike.is_empty() && covered;
    Ok(ExitCode::from(u8::from(!well)))
}

fn shrink_file(path: &Path, out: Option<&Path>, effort: Effort) -> anyhow::Result<ExitCode> {
    let plan = read(path)?;
    let began = Instant::now();
    // A plan that panics does so in every run.
    std::panic::set_hook(Box::new(|_| {}));
    // Whoever loses patience has the smallest plan so far.
    let keep = |smaller: &Plan, runs: u64| {
        if let Some(out) = out
            && let Err(error) = write(out, smaller)
        {
            eprintln!("{error:#}");
        }
        eprintln!(
            "{} faults after {runs} runs, {:.0?}",
            smaller.faults.len(),
            began.elapsed()
        );
    };
    let Some(shrunk) = shrink(&plan, effort, keep) else {
        println!("{} breaks no rule", path.display());
        return Ok(ExitCode::SUCCESS);
    };
    eprintln!(
        "{} faults became {} in {} runs, {:.0?}",
        plan.faults.len(),
        shrunk.plan.faults.len(),
        shrunk.runs,
        began.elapsed()
    );
    match out {
        Some(out) => {
            write(out, &shrunk.plan)?;
            tell::failed(plan.seed, &shrunk.outcome, out);
        }
        None => print!("{}", shrunk.plan.to_text()),
    }
    Ok(ExitCode::from(1))
}
