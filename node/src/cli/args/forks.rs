//! Arguments of `belfry forks …`. Parses only; does nothing.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `forks …`
#[derive(Subcommand, Debug)]
pub enum ForksCommand {
    /// All fork proofs that this node found or was told of, and digests that no honest member signs; exit 22 if there is a proof
    #[command(after_help = "Example:\n  belfry forks list --json")]
    List,
    /// What one of them proves, and against whom
    #[command(after_help = "Example:\n  belfry forks show 3fa2c9")]
    Show(ForkArgs),
    /// Write the file that anyone can verify offline
    #[command(after_help = "Example:\n  belfry forks export 3fa2c9 --out fork.json")]
    Export(ForkExportArgs),
}

/// `forks show`
#[derive(Args, Debug)]
pub struct ForkArgs {
    /// Id of the proof, or at least 6 characters of its beginning; not needed if there is only one
    pub id: Option<String>,
}

/// `forks export`
#[derive(Args, Debug)]
pub struct ForkExportArgs {
    /// Id of the proof, or at least 6 characters of its beginning; not needed if there is only one
    pub id: Option<String>,
    /// The file to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}
