//! What the command line takes.

use super::bench::BenchArgs;
use super::ceremonies::CeremoniesArgs;
use super::trials::TrialsArgs;
use belfry_sim::plan::Store;
use clap::{Args, Parser, Subcommand};
use std::num::NonZero;
use std::path::PathBuf;

/// Plays federations of Belfry nodes in virtual time: the production engine on a simulated clock, network and disk.
#[derive(Parser)]
#[command(
    name = "belfry-sim",
    version,
    arg_required_else_help = true,
    after_help = "Example:\n  belfry-sim run --nodes 12 --hours 1 --seed 7 --faults partition,clock-step\n  belfry-sim swarm --seeds 200 --jobs 2\n\nExit codes: 0 all rules were kept, 1 a rule was broken, 2 it could not be played"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Draw a plan from a seed and play it
    Run(RunArgs),
    /// Play many seeds, each with faults of its own choice
    Swarm(SwarmArgs),
    /// Play a plan from a file
    #[command(after_help = "Example:\n  belfry-sim replay sim/plans/replaced-disk.json")]
    Replay {
        /// The plan
        plan: PathBuf,
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Play what an operator wrote: nodes by name, regions, times with units
    #[command(
        after_help = "Example:\n  belfry-sim scenario sim/scenarios/tower-dies.toml --report tower-dies.html"
    )]
    Scenario {
        /// The scenario
        file: PathBuf,
        /// Write the plan to this file
        #[arg(long, value_name = "FILE")]
        save: Option<PathBuf>,
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Make a plan that fails smaller, as long as it breaks the same rule
    #[command(after_help = "Example:\n  belfry-sim shrink failed-42.json --out small.json")]
    Shrink {
        /// The plan
        plan: PathBuf,
        /// Where the smaller plan goes; without it, to the terminal
        #[arg(long)]
        out: Option<PathBuf>,
        /// Runs at most
        #[arg(long, default_value_t = 2_000)]
        runs: u64,
        /// Runs at once; the smaller plan is the same
        #[arg(long, default_value = "1")]
        jobs: NonZero<usize>,
        /// Seeds that are tried for each choice of faults
        #[arg(long, default_value_t = 4)]
        seeds: u64,
    },
    /// Let the store's machine die again and again, at any point of its work
    Trials(TrialsArgs),
    /// Play foundings and amendments by vote, with humans who are late or mistaken and members who keep no rule
    Ceremonies(CeremoniesArgs),
    /// Measure what large runs cost: many federations on one clock, and nodes that only follow heads
    Bench(BenchArgs),
    /// List the faults by name
    Faults,
}

#[derive(Args)]
#[command(
    after_help = "Example:\n  belfry-sim run --nodes 12 --hours 1 --seed 7 --faults partition,clock-step"
)]
pub(crate) struct RunArgs {
    /// The seed: the same seed gives the same run
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Nodes in all; drawn from the seed if not given
    #[arg(long)]
    pub(crate) nodes: Option<usize>,
    /// Simulated hours in which faults happen
    #[arg(long, conflicts_with = "seconds")]
    pub(crate) hours: Option<u64>,
    /// Simulated seconds in which faults happen
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
    /// Only these faults, separated by commas; see `belfry-sim faults`
    #[arg(long, value_delimiter = ',')]
    pub(crate) faults: Vec<String>,
    /// No faults at all
    #[arg(long, conflicts_with = "faults")]
    pub(crate) no_faults: bool,
    /// Entries per 1,000 simulated seconds, over all factories
    #[arg(long, value_name = "N")]
    pub(crate) entries_per_1000_seconds: Option<u64>,
    /// A digest a day: ledgers that rest are acknowledged again, and get entries of their nodes' own, once in 24 hours, and
    /// callers append an entry in 1,000 seconds if nothing else is said
    #[arg(long)]
    pub(crate) daily_digests: bool,
    /// What nodes keep their directories in; drawn from the seed if not given
    #[arg(long, value_enum)]
    pub(crate) store: Option<Store>,
    /// Write the plan to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) show: ShowArgs,
}

/// How an outcome is told.
#[derive(Args)]
pub(crate) struct ShowArgs {
    /// Tell the outcome as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Write a page about the run to this file; it needs no network
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
    /// Play it a second time, plainly, and compare
    #[arg(long)]
    pub(crate) doublecheck: bool,
    /// Check every signature, and take every step: the same happens, slowly
    #[arg(long)]
    pub(crate) plain: bool,
}

#[derive(Args)]
#[command(after_help = "Example:\n  belfry-sim swarm --seeds 200 --jobs 2 --coverage")]
pub(crate) struct SwarmArgs {
    /// How many seeds
    #[arg(long, default_value_t = 200)]
    pub(crate) seeds: u64,
    /// The first one
    #[arg(long, default_value_t = 0)]
    pub(crate) from: u64,
    /// Seeds at once
    #[arg(long, default_value = "1")]
    pub(crate) jobs: NonZero<usize>,
    /// Nodes in all; drawn from each seed if not given
    #[arg(long)]
    pub(crate) nodes: Option<usize>,
    /// Simulated seconds in which faults happen; drawn from each seed if not given
    #[arg(long)]
    pub(crate) seconds: Option<u64>,
    /// Only these faults, separated by commas; see `belfry-sim faults`
    #[arg(long, value_delimiter = ',')]
    pub(crate) faults: Vec<String>,
    /// What nodes keep their directories in; drawn from each seed if not given
    #[arg(long, value_enum)]
    pub(crate) store: Option<Store>,
    /// Fail also if a rare state was never reached
    #[arg(long)]
    pub(crate) coverage: bool,
    /// Play every so many seeds a second time, plainly, and compare; 0: none
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) doublecheck: u64,
    /// Where plans that fail are written to
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(crate) save: PathBuf,
}
