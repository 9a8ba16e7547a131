//! `belfry audit …`. Data only.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `audit …`
#[derive(Subcommand, Debug)]
pub enum AuditCommand {
    /// Verify a receipt, an export or a served ledger
    #[command(
        after_help = "Examples:\n  belfry audit verify entry-7.tlog-proof --key log.vkey\n  belfry audit verify ./export --key log.vkey\n  belfry audit verify http://127.0.0.1:9470 --key log.vkey"
    )]
    Verify(VerifyArgs),
    /// The quorum policy of a member's ledger, to verify its receipts with
    #[command(
        after_help = "Example:\n  belfry audit policy acme.example/line-4 --out acme.policy\n  belfry audit verify entry-7.tlog-proof --policy acme.policy"
    )]
    Policy(PolicyArgs),
    /// A ledger's history through all epochs, to verify its receipts of any age with
    #[command(
        after_help = "Example:\n  belfry audit history acme.example/line-4 --out acme.history\n  belfry audit verify entry-7.tlog-proof --history acme.history --federation 3f9a1c04"
    )]
    History(HistoryArgs),
}

/// `audit history`
#[derive(Args, Debug)]
pub struct HistoryArgs {
    /// The ledger [default: this node's own]
    pub origin: Option<String>,
    /// Where to write it
    #[arg(long, short, value_name = "FILE")]
    pub out: PathBuf,
}

/// `audit policy`
#[derive(Args, Debug)]
pub struct PolicyArgs {
    /// The ledger [default: this node's own]
    pub origin: Option<String>,
    /// All serials of each tower, for receipts of any age [default: those that sign, and sign until the policy ends]
    #[arg(long)]
    pub every_serial: bool,
    /// Where to write the policy [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `audit verify`
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// A receipt, a fork proof, a directory of tiles, or a web address
    pub target: String,
    /// The log's verifier key, or a file that holds it, or those of all its serials, one a line
    #[arg(long, value_name = "VKEY|FILE")]
    pub key: Option<String>,
    /// A tlog-policy file: the log and the quorum of witnesses
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    pub policy: Option<PathBuf>,
    /// With a fork proof: the federation's manifest, which names the identity keys of its members
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "policy"])]
    pub genesis: Option<PathBuf>,
    /// With a receipt of any age: the ledger's history, from `belfry audit history`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "policy", "genesis"])]
    pub history: Option<PathBuf>,
    /// With a history: the federation's id, or its first 8 digits or more, from somewhere you trust
    #[arg(long, value_name = "HASH", requires = "history")]
    pub federation: Option<String>,
    /// With a history: any copy of the ledger, a directory of tiles or a web address
    #[arg(long, value_name = "DIR|URL", requires = "history")]
    pub ledger: Option<String>,
    /// With a receipt that does not carry its entry: a file that holds it
    #[arg(long, value_name = "FILE")]
    pub entry: Option<PathBuf>,
    /// With tiles: every entry must also be a canonical Belfry entry
    #[arg(long)]
    pub strict: bool,
}
