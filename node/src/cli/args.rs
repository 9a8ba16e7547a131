//! Arguments of every command, with an example in each help text. Parses only; does nothing.

mod audit;
mod clock;
mod conformance;
mod export;
mod forks;
mod genesis;
mod keys;
mod peers;
mod run;
mod witnessed;

pub(super) use audit::{AuditCommand, HistoryArgs, PolicyArgs, VerifyArgs};
pub(super) use clock::{ClockCommand, ClockConfirmArgs};
pub(super) use conformance::{ConformanceCommand, ConformanceLogsArgs, ConformanceWitnessArgs};
pub(super) use export::{ExportArgs, ExportFormat};
pub(super) use forks::{ForkArgs, ForkExportArgs, ForksCommand};
pub(super) use genesis::{
    AmendArgs, DraftArgs, EvidenceArgs, GenesisCommand, GenesisExportArgs, GenesisVerifyArgs,
    ImportArgs, InviteArgs, JoinArgs, ProposeArgs, ReachArgs, RecoveryCommand, RecoveryDraftArgs,
    RecoverySendArgs, RecoverySignArgs, RejectArgs, SignArgs, SignRequestArgs, WhichArgs,
    YieldArgs,
};
pub(super) use keys::{
    KeyCommand, KeyExportArgs, PurposeArg, ReasonArg, RecoveryKeyArgs, RevokeArgs, RotateArgs,
};
pub(super) use peers::{BanArgs, PeersCommand, WhomArgs};
pub(super) use run::{DemoArgs, RunArgs, ThiefArgs, TransportArg};
pub(super) use witnessed::HeadArgs;

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Keeps an append-only ledger that proves itself, and lets anyone check it.
#[derive(Parser, Debug)]
#[command(
    name = "belfry",
    version,
    arg_required_else_help = true,
    after_help = "Example:\n  belfry demo\n\nExit codes: 0 ok, 1 failed, 2 usage, 3 some items failed, 10 not initialised, 11 locked,\n12 key unavailable, 13 config invalid, 14 newer data, 20 verification failed, 21 quorum not met,\n22 fork found, 23 recovering, 24 damaged, 30 unreachable, 31 timed out,\n40 doctor warns, 41 doctor found faults, 74 I/O, 130 interrupted"
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args, Debug, Clone)]
pub struct Global {
    /// The node's data directory [default: the user's data directory]
    #[arg(
        long,
        short = 'd',
        global = true,
        env = "BELFRY_DATA_DIR",
        value_name = "DIR"
    )]
    pub data_dir: Option<PathBuf>,
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value = "human")]
    pub output: Format,
    /// Short for --output json
    #[arg(long, global = true)]
    pub json: bool,
    /// Never ask for anything
    #[arg(long, global = true)]
    pub no_input: bool,
    /// A file that holds the passphrase of the keys
    #[arg(
        long,
        global = true,
        env = "BELFRY_PASSPHRASE_FILE",
        value_name = "FILE"
    )]
    pub passphrase_file: Option<PathBuf>,
    /// Say what would be done, and change nothing
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Say more; twice: even more
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing but results and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

impl Global {
    /// Whether errors are JSON.
    #[must_use]
    pub fn wants_json(&self) -> bool {
        self.json || self.output != Format::Human
    }
}

/// Output formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// One JSON document.
    Json,
    /// One JSON object per line.
    Ndjson,
}

/// All commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make keys, configuration and an empty ledger
    #[command(after_help = "Example:\n  belfry init --name acme.example/line-4 --role factory")]
    Init(InitArgs),
    /// Append entries: NDJSON lines, or files and directories as observations
    #[command(
        after_help = "Examples:\n  belfry append events.ndjson --kind audit.event\n  belfry append ./src --wait signed\n  journalctl -o json | belfry append - --kind log.line --dedupe"
    )]
    Append(AppendArgs),
    /// Destroy a private payload; its entry and all proofs stay
    #[command(after_help = "Example:\n  belfry erase 1234 --confirm 1234")]
    Erase(EraseArgs),
    /// Run the node in the foreground
    #[command(after_help = "Example:\n  belfry run --allow-solo")]
    Run(RunArgs),
    /// Show the state of this node
    #[command(after_help = "Example:\n  belfry status --json")]
    Status(StatusArgs),
    /// Wait until the running node is so far
    #[command(
        after_help = "Examples:\n  belfry wait --for ready\n  belfry wait --for acked=1200 --timeout 10"
    )]
    Wait(WaitArgs),
    /// Look at everything an operator would look at, and say what to do
    #[command(after_help = "Example:\n  belfry doctor --json")]
    Doctor,
    /// Whether every member is connected, how far away it is, and how far clocks are apart; exit 30 if one is not
    #[command(after_help = "Example:\n  belfry netcheck --json")]
    Netcheck,
    /// This node's wall clock
    Clock {
        /// The command.
        #[command(subcommand)]
        command: ClockCommand,
    },
    /// Other members of the federation
    Peers {
        /// The command.
        #[command(subcommand)]
        command: PeersCommand,
    },
    /// Proofs that somebody signed two things that cannot both be true
    Forks {
        /// The command.
        #[command(subcommand)]
        command: ForksCommand,
    },
    /// Show what Belfry does: a federation of four processes, a receipt, and its verification offline
    #[command(after_help = "Example:\n  belfry demo . --exit-after-proof")]
    Demo(DemoArgs),
    /// The demo's liar; the demo starts it
    #[command(hide = true)]
    DemoThief(ThiefArgs),
    /// Read, prove, check and export the ledger
    Ledger {
        /// The command.
        #[command(subcommand)]
        command: LedgerCommand,
    },
    /// Verify without trusting this or any node
    Audit {
        /// The command.
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Check whether a witness, of whatever make, does what the specification says
    Conformance {
        /// The command.
        #[command(subcommand)]
        command: ConformanceCommand,
    },
    /// Found a federation: drafts, votes, manifests
    Genesis {
        /// The command.
        #[command(subcommand)]
        command: GenesisCommand,
    },
    /// Give a ticket to somebody who is to join the federation of this node, founded or being founded
    #[command(
        after_help = "Examples:\n  belfry invite --role tower --expires 24h\n  belfry invite --list\n  belfry invite --revoke 3fa9c1"
    )]
    Invite(InviteArgs),
    /// Join a federation, founded or being founded, with a ticket
    #[command(after_help = "Example:\n  belfry join belfry1aeagm…")]
    Join(JoinArgs),
    /// Keys of this node
    Key {
        /// The command.
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Tokens of the HTTP API
    Token {
        /// The command.
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Configuration
    Config {
        /// The command.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print a shell completion script
    #[command(after_help = "Example:\n  belfry completions bash > /etc/bash_completion.d/belfry")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write manual pages
    #[command(after_help = "Example:\n  belfry man ./man")]
    Man {
        /// Where to.
        dir: PathBuf,
    },
    /// Print the version
    #[command(after_help = "Example:\n  belfry version --json")]
    Version,
}

/// `init`
#[derive(Args, Debug)]
pub struct InitArgs {
    /// The node's name and its ledger's origin, for ever; like acme.example/line-4
    #[arg(long)]
    pub name: String,
    /// factory, tower, or factory,tower
    #[arg(long, default_value = "factory")]
    pub role: String,
    /// Keep the keys unencrypted, readable by this user only
    #[arg(long)]
    pub plain_keys: bool,
    /// Use this Go-style private note key (PRIVATE+KEY+…) as the first log key
    #[arg(long, value_name = "FILE")]
    pub import_log_key: Option<PathBuf>,
    /// Sign nothing until the node belongs to a federation
    #[arg(long)]
    pub federated: bool,
}

/// How long `append` waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Wait {
    /// On this node's disk; the index is provisional until it is signed.
    Durable,
    /// Covered by a signed digest.
    Signed,
    /// Held and acknowledged by a quorum of towers: the receipt survives the loss of this node.
    Acked,
}

/// `wait`
#[derive(Args, Debug)]
pub struct WaitArgs {
    /// ready, quorum (enough towers, nothing unacknowledged), peers=N, signed=N or acked=N
    #[arg(long = "for", value_name = "CONDITION")]
    pub condition: String,
    /// Seconds before it gives up with exit 31
    #[arg(long, default_value = "60")]
    pub timeout: u64,
}

/// `append`
#[derive(Args, Debug)]
pub struct AppendArgs {
    /// A file, a directory, or - for standard input
    #[arg(default_value = "-")]
    pub input: String,
    /// Kind of the entries [default: file.observed for files, log.line for lines]
    #[arg(long)]
    pub kind: Option<String>,
    /// Where the entries come from [default: the name of the input]
    #[arg(long)]
    pub source: Option<String>,
    /// Whose the entries are
    #[arg(long)]
    pub tenant: Option<String>,
    /// The ledger holds commitments, the bodies stay here and can be erased
    #[arg(long, conflicts_with = "public")]
    pub private: bool,
    /// The bodies are part of the ledger
    #[arg(long)]
    pub public: bool,
    /// Read the input as NDJSON [default: files named .ndjson or .jsonl, and standard input]
    #[arg(long, conflicts_with = "whole")]
    pub lines: bool,
    /// Observe a file as a whole even if it is named .ndjson
    #[arg(long)]
    pub whole: bool,
    /// Lines are envelopes: {"kind":…,"time":…,"source":…,"body":…}
    #[arg(long)]
    pub envelope: bool,
    /// Append nothing twice: the same input again appends only what is new
    #[arg(long)]
    pub dedupe: bool,
    /// What a refused line or file does to the rest
    #[arg(long, value_enum, default_value = "stop")]
    pub on_error: OnErrorArg,
    /// When to return
    #[arg(long, value_enum, default_value = "durable")]
    pub wait: Wait,
    /// Write the receipt of every entry into this directory; needs --wait signed or --wait acked
    #[arg(long, value_name = "DIR")]
    pub receipts: Option<PathBuf>,
    /// With files: put the text of UTF-8 files under 32 KiB into the entries
    #[arg(long)]
    pub inline: bool,
    /// With directories: hidden and ignored files too
    #[arg(long)]
    pub all: bool,
}

/// What a refused item does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnErrorArg {
    /// Give up the rest.
    Stop,
    /// Append the rest.
    Continue,
}

/// `erase`
#[derive(Args, Debug)]
pub struct EraseArgs {
    /// Index of the private entry
    pub index: u64,
    /// The index again, for scripts
    #[arg(long, value_name = "INDEX")]
    pub confirm: Option<String>,
}

/// `status`
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Print it again every second
    #[arg(long)]
    pub watch: bool,
}

/// `ledger …`
#[derive(Subcommand, Debug)]
pub enum LedgerCommand {
    /// Size, root and newest digest
    #[command(after_help = "Examples:\n  belfry ledger head\n  belfry ledger head --witnessed")]
    Head(HeadArgs),
    /// One entry
    #[command(after_help = "Example:\n  belfry ledger get 7")]
    Get(GetArgs),
    /// A receipt: the entry, its proof and the digest in one file
    #[command(after_help = "Example:\n  belfry ledger prove 7 --out entry-7.tlog-proof")]
    Prove(ProveArgs),
    /// Proof that a newer state of the ledger extends an older one
    #[command(after_help = "Example:\n  belfry ledger consistency 1000 2000 --json")]
    Consistency(ConsistencyArgs),
    /// The newest entries
    #[command(after_help = "Example:\n  belfry ledger tail -n 3 --follow")]
    Tail(TailArgs),
    /// Derive everything again and say what is damaged
    #[command(after_help = "Example:\n  belfry ledger fsck")]
    Fsck(FsckArgs),
    /// Write the ledger so that others can verify it
    #[command(
        after_help = "Examples:\n  belfry ledger export --format tiles ./export\n  belfry ledger export --from quic://north.example:9472 --origin acme.example/line-4 --format tiles ./acme"
    )]
    Export(ExportArgs),
    /// Make the derived search index again
    #[command(after_help = "Example:\n  belfry ledger reindex")]
    Reindex,
    /// End this ledger for good and name the one that goes on in its place
    #[command(
        after_help = "For a ledger whose entries are lost everywhere, or whose work moves to another node.\n\nExample:\n  belfry ledger retire --successor acme.example/line-5 --confirm acme.example/line-4"
    )]
    Retire(RetireArgs),
    /// Take what a history shows of this node's own ledger, so that towers of earlier epochs need not be asked
    #[command(
        after_help = "For a factory that lost its disk after the towers of earlier epochs had left. The node must not run.\n\nExample, first on any tower of the ledger, then here:\n  belfry audit history acme.example/line-4 --out acme.history\n  belfry ledger adopt-history acme.history"
    )]
    AdoptHistory(AdoptHistoryArgs),
    /// Let a restored directory go on although nobody can tell what it signed
    #[command(
        after_help = "Only when every other tower, and the node's own newer disk, are gone for good.\n\nExample:\n  belfry ledger accept-restored --confirm north.example"
    )]
    AcceptRestored(AcceptRestoredArgs),
}

/// `ledger adopt-history`
#[derive(Args, Debug)]
pub struct AdoptHistoryArgs {
    /// What `audit history` wrote
    pub file: PathBuf,
}

/// `ledger retire`
#[derive(Args, Debug)]
pub struct RetireArgs {
    /// Origin of the ledger that goes on
    #[arg(long, value_name = "NAME")]
    pub successor: String,
    /// The node's name, to confirm
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
}

/// `ledger accept-restored`
#[derive(Args, Debug)]
pub struct AcceptRestoredArgs {
    /// The node's name, to confirm
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
}

/// `ledger get`
#[derive(Args, Debug)]
pub struct GetArgs {
    /// Index of the entry
    pub index: u64,
    /// Show the private payload too
    #[arg(long)]
    pub payload: bool,
}

/// How a receipt is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReceiptFormat {
    /// C2SP tlog-proof text.
    TlogProof,
    /// `tower_receipt_v1.json`: the same, and what follows from it, as JSON.
    TowerReceipt,
}

/// `ledger prove`
#[derive(Args, Debug)]
pub struct ProveArgs {
    /// Index of the entry
    pub index: u64,
    /// Against the newest digest that the foreign witnesses of witness.submit_policy cosigned
    #[arg(long)]
    pub witnessed: bool,
    /// How to write it
    #[arg(long, value_enum, default_value_t = ReceiptFormat::TlogProof)]
    pub format: ReceiptFormat,
    /// Where to write the receipt [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// `ledger consistency`
#[derive(Args, Debug)]
pub struct ConsistencyArgs {
    /// The older size
    pub old: u64,
    /// The newer size [default: that of the newest digest]
    pub new: Option<u64>,
}

/// `ledger tail`
#[derive(Args, Debug)]
pub struct TailArgs {
    /// How many
    #[arg(short, long = "number", default_value_t = 10)]
    pub number: u64,
    /// Go on with new ones
    #[arg(long, short)]
    pub follow: bool,
}

/// `ledger fsck`
#[derive(Args, Debug)]
pub struct FsckArgs {
    /// Refuse to check beside a running node
    #[arg(long)]
    pub offline: bool,
}

/// `token …`
#[derive(Subcommand, Debug)]
pub enum TokenCommand {
    /// Make a token; its text is shown once
    #[command(
        after_help = "Example:\n  belfry token create --scope append --tenant acme --expires 90d"
    )]
    Create(TokenCreateArgs),
    /// All tokens
    #[command(after_help = "Example:\n  belfry token list")]
    List,
    /// End a token
    #[command(after_help = "Example:\n  belfry token revoke 3f9a1c")]
    Revoke(TokenRevokeArgs),
}

/// `token create`
#[derive(Args, Debug)]
pub struct TokenCreateArgs {
    /// append or read-all
    #[arg(long)]
    pub scope: String,
    /// Whose entries it may append or read
    #[arg(long)]
    pub tenant: Option<String>,
    /// How long it is valid, e.g. 24h or 90d [default: until revoked]
    #[arg(long)]
    pub expires: Option<String>,
}

/// `token revoke`
#[derive(Args, Debug)]
pub struct TokenRevokeArgs {
    /// Id of the token, or a unique beginning of at least 6 characters
    pub id: String,
}

/// `config …`
#[derive(Subcommand, Debug)]
pub enum ConfigCommand {
    /// All values
    #[command(after_help = "Example:\n  belfry config show --origin")]
    Show(ConfigShowArgs),
    /// Check the file
    #[command(after_help = "Example:\n  belfry config validate")]
    Validate,
}

/// `config show`
#[derive(Args, Debug)]
pub struct ConfigShowArgs {
    /// Where each value comes from
    #[arg(long)]
    pub origin: bool,
}
