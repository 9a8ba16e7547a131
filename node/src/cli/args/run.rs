//! Arguments of `run` and `demo`, the commands that stay.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// `run`
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Sign digests without any tower; refused once the node belongs to a federation
    #[arg(long)]
    pub allow_solo: bool,
    /// Address and port to listen on; port 0: any
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// End when standard input ends: whoever started this process holds the other end, so it ends with them
    #[arg(long, hide = true)]
    pub end_with_input: bool,
}

/// `demo`
#[derive(Args, Debug, Clone)]
pub struct DemoArgs {
    /// What to append, at most 2,000 files
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// How the nodes talk to each other
    #[arg(long, value_enum, default_value = "both")]
    pub transport: TransportArg,
    /// End when the proof is verified
    #[arg(long)]
    pub exit_after_proof: bool,
    /// Leave out the last act, after which the ledger never goes on: for a federation to play with
    #[arg(long)]
    pub without_thief: bool,
}

/// `demo-thief`
#[derive(Args, Debug, Clone)]
pub struct ThiefArgs {
    /// Directory of the factory whose log key is stolen
    #[arg(long)]
    pub factory_dir: PathBuf,
    /// Its name
    #[arg(long)]
    pub factory: String,
    /// Name of the tower that is shown another tree
    #[arg(long)]
    pub victim: String,
}

/// A transport between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TransportArg {
    /// TCP with noise and yamux.
    Tcp,
    /// QUIC.
    Quic,
    /// Whatever connects.
    Both,
}
