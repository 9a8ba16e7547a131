//! Arguments about what foreign witnesses cosigned. Parses only; does nothing.

use clap::Args;

/// `ledger head`
#[derive(Args, Debug)]
pub struct HeadArgs {
    /// The newest digest that the foreign witnesses of witness.submit_policy cosigned, with their lines
    #[arg(long)]
    pub witnessed: bool,
}
