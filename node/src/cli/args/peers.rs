//! Arguments of `belfry peers …`. Parses only; does nothing.

use clap::{Args, Subcommand};

/// `peers …`
#[derive(Subcommand, Debug)]
pub enum PeersCommand {
    /// Members of the federation and whether they are connected
    #[command(after_help = "Example:\n  belfry peers list --json")]
    List,
    /// Everything this node knows of one peer, and what to do when something is wrong with it
    #[command(after_help = "Example:\n  belfry peers show north.example")]
    Show(WhomArgs),
    /// Measure one round trip over the open connection; exit 30 if there is none
    #[command(after_help = "Example:\n  belfry peers ping north.example --json")]
    Ping(WhomArgs),
    /// Disconnect a peer, dial it no more and let it in no more; a member stays one and still counts
    #[command(
        after_help = "Examples:\n  belfry peers ban north.example --for 24h --reason 'sends nonsense'\n  belfry peers ban 12D3KooWAb3 --dry-run"
    )]
    Ban(BanArgs),
    /// Lift a ban
    #[command(after_help = "Example:\n  belfry peers unban north.example")]
    Unban(WhomArgs),
}

/// `peers show`, `peers ping`, `peers unban`
#[derive(Args, Debug)]
pub struct WhomArgs {
    /// A member's name, a transport id, or at least 6 characters of its beginning
    #[arg(value_name = "NAME|ID")]
    pub peer: String,
}

/// `peers ban`
#[derive(Args, Debug)]
pub struct BanArgs {
    /// A member's name, a transport id, or at least 6 characters of its beginning
    #[arg(value_name = "NAME|ID")]
    pub peer: String,
    /// How long, e.g. 30m, 24h or 90d [default: until it is lifted]
    #[arg(long = "for", value_name = "SPAN")]
    pub duration: Option<String>,
    /// Why, for whoever finds the ban later
    #[arg(long)]
    pub reason: Option<String>,
}
