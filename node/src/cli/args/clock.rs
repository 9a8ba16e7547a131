//! Arguments of `belfry clock …`. Parses only; does nothing.

use clap::{Args, Subcommand};

/// `clock …`
#[derive(Subcommand, Debug)]
pub enum ClockCommand {
    /// Vouch for the running node's wall clock where no member can be asked, until it steps or the node restarts
    #[command(
        after_help = "Compare the time that it shows with another clock first.\n\nExample:\n  belfry clock confirm --confirm acme.example/line-4"
    )]
    Confirm(ClockConfirmArgs),
}

/// `clock confirm`
#[derive(Args, Debug)]
pub struct ClockConfirmArgs {
    /// The node's name, to confirm that its clock was compared with another one
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
}
