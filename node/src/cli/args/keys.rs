//! Arguments of `belfry key …`. Parses only; does nothing.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `key …`
#[derive(Subcommand, Debug)]
pub enum KeyCommand {
    /// All keys with fingerprint, age and days left
    #[command(after_help = "Example:\n  belfry key list")]
    List,
    /// Make new operational keys, certified by the identity key; the old ones sign beside them for 14 days
    #[command(
        after_help = "The node goes on meanwhile. Needs the passphrase; without it, or without the identity key, nothing changes (exit 12).\n\nExamples:\n  belfry key rotate --passphrase-file secret.txt\n  belfry key rotate --dry-run"
    )]
    Rotate(RotateArgs),
    /// Withdraw an older serial, for good
    #[command(
        after_help = "For keys that somebody else may have: rotate first, then revoke the serial before. For each ledger it acts once\nits entry there is acknowledged without the revoked keys; nothing that was acknowledged before is taken back.\n\nExample:\n  belfry key revoke --serial 1 --reason compromised --confirm acme.example/line-4"
    )]
    Revoke(RevokeArgs),
    /// Print a key for others to verify with
    #[command(
        after_help = "Examples:\n  belfry key export > log.vkey\n  belfry key export --every-serial > log.vkey\n  belfry key export --purpose subtree > subtree.vkey"
    )]
    Export(KeyExportArgs),
    /// Make a recovery key: a file of its own, for a person to keep offline
    #[command(
        after_help = "It belongs to no node and is used once: to sign a manifest when too few members are left to amend (genesis recovery).\nGive the printed key to whoever proposes a founding or an amendment.\n\nExamples:\n  belfry key recovery ann.key --name ann.recovery > ann.vkey\n  belfry key recovery ann.key --show"
    )]
    Recovery(RecoveryKeyArgs),
}

/// `key recovery`
#[derive(Args, Debug)]
pub struct RecoveryKeyArgs {
    /// The file with the private key; it must not exist yet
    pub file: PathBuf,
    /// What the key is called: lower-case, like ann.recovery
    #[arg(long, required_unless_present = "show")]
    pub name: Option<String>,
    /// Do not encrypt it with a passphrase
    #[arg(long)]
    pub plain_keys: bool,
    /// Print the public half of a key that was made before
    #[arg(long, conflicts_with_all = ["name", "plain_keys"])]
    pub show: bool,
}

/// Which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PurposeArg {
    /// The ledger's digests.
    Log,
    /// Acknowledgements.
    Ack,
    /// Mirror lines.
    Mirror,
    /// Subtrees, by ML-DSA-44.
    Subtree,
    /// The long-lived identity.
    Identity,
}

/// `key export`
#[derive(Args, Debug)]
pub struct KeyExportArgs {
    /// Which key
    #[arg(long, value_enum, default_value = "log")]
    pub purpose: PurposeArg,
    /// The log's keys of all serials, one a line: for receipts and digests of any age
    #[arg(long, conflicts_with = "private")]
    pub every_serial: bool,
    /// The PRIVATE key, in the form other tlog tools read
    #[arg(long, requires = "confirm")]
    pub private: bool,
    /// The node's name, to confirm that a private key is meant
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
}

/// `key rotate`
#[derive(Args, Debug)]
pub struct RotateArgs {
    /// Also within 14 days after the last rotation: policies exported before that one stop verifying new receipts
    #[arg(long)]
    pub early: bool,
}

/// Why a serial is withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReasonArg {
    /// Somebody else may have the keys.
    Compromised,
    /// The keys are gone.
    Lost,
    /// Newer keys took over.
    Superseded,
    /// The node stops.
    Retired,
}

/// `key revoke`
#[derive(Args, Debug)]
pub struct RevokeArgs {
    /// Which serial; `belfry key list` shows them
    #[arg(long, value_name = "N")]
    pub serial: u64,
    /// Why
    #[arg(long, value_enum, default_value = "compromised")]
    pub reason: ReasonArg,
    /// The node's name, to confirm
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
}
