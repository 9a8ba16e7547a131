//! Arguments of `belfry conformance …`. Parses only; does nothing.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `conformance …`
#[derive(Subcommand, Debug)]
pub enum ConformanceCommand {
    /// Drive a witness (C2SP tlog-witness) through every row of the status table, races and a restart
    #[command(
        after_help = "The witness must know the logs that `belfry conformance logs` prints.\n\nExamples:\n  belfry conformance witness http://127.0.0.1:7380 --seed-file seed --witness-key witness.vkey\n  belfry conformance witness https://witness.example/w1 --seed-file seed --pause-for-restart --output ndjson"
    )]
    Witness(ConformanceWitnessArgs),
    /// Print the verifier keys of the logs that the suite plays, to configure the witness with
    #[command(after_help = "Example:\n  belfry conformance logs --seed-file seed > logs.vkeys")]
    Logs(ConformanceLogsArgs),
}

/// `conformance witness`
#[derive(Args, Debug)]
pub struct ConformanceWitnessArgs {
    /// The witness's submission prefix: `add-checkpoint` is below it
    pub url: String,
    /// The seed that the logs are made from, as `conformance logs` wrote it
    #[arg(long, value_name = "FILE", conflicts_with = "log_key")]
    pub seed_file: Option<PathBuf>,
    /// Instead of a seed: a log's private note key (PRIVATE+KEY+…); may be repeated, one log for each group of rows
    #[arg(long, value_name = "FILE")]
    pub log_key: Vec<PathBuf>,
    /// The witness's verifier key, or a file that holds it; may be repeated. Without it cosignatures are not verified; those of subtrees need one of type 0x06
    #[arg(long, value_name = "VKEY|FILE")]
    pub witness_key: Vec<String>,
    /// The witness's monitoring prefix [default: URL]
    #[arg(long, value_name = "URL")]
    pub monitoring_url: Option<String>,
    /// A shell command that restarts the witness
    #[arg(long, value_name = "COMMAND", conflicts_with = "pause_for_restart")]
    pub restart_command: Option<String>,
    /// Ask for a restart of the witness, and wait for Enter
    #[arg(long)]
    pub pause_for_restart: bool,
    /// Seconds that one answer may take
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub timeout: u64,
    /// Print the logs that the witness must know, and do nothing else
    #[arg(long)]
    pub print_logs: bool,
}

/// `conformance logs`
#[derive(Args, Debug)]
pub struct ConformanceLogsArgs {
    /// The seed that the logs are made from; a fresh one is written if there is no such file
    #[arg(long, value_name = "FILE")]
    pub seed_file: PathBuf,
}
