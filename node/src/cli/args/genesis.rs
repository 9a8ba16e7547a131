//! Arguments of `belfry genesis …`, `belfry invite` and `belfry join`. Parses only; does nothing.

use belfry_protocol::manifest::Version;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `genesis …`
#[derive(Subcommand, Debug)]
pub enum GenesisCommand {
    /// Begin a founding on this node: others join it by tickets
    #[command(
        after_help = "Example:\n  belfry genesis draft --federation blue.example\n  belfry run &\n  belfry invite --role tower"
    )]
    Draft(DraftArgs),
    /// Who takes part, and how the vote stands
    #[command(after_help = "Example:\n  belfry genesis status --json")]
    Status,
    /// What a proposed manifest means, its risks, its votes, and its hash
    #[command(after_help = "Example:\n  belfry genesis show 9c1e44b0")]
    Show(WhichArgs),
    /// Put a manifest of everybody who came to the vote, or a known one again in the next round
    #[command(
        after_help = "Whoever proposes has not signed yet: `genesis sign` does.\n\nExamples:\n  belfry genesis propose --title \"the first four\"\n  belfry genesis propose --title \"without the absent one\" --without t3.example\n  belfry genesis propose --title \"once more\" --again 9c1e44b0"
    )]
    Propose(ProposeArgs),
    /// Draft a change of a founded federation, and propose it
    #[command(
        after_help = "Prints what changes and the hash. Whoever proposes has not signed yet: `genesis sign` does.\nWithout --quorum and --threshold they stay as they are, or the smallest that are safe.\n\nExamples:\n  belfry genesis amend --add --title \"t4 joins\"\n  belfry genesis amend --remove t3.example --title \"t3 leaves\" --effective-in 1h\n  belfry genesis amend --role t1.example=factory,tower --address t1.example=/dns4/t1.example/tcp/9471 --dry-run"
    )]
    Amend(AmendArgs),
    /// The epochs of this federation, and what is proposed for the next one
    #[command(after_help = "Example:\n  belfry genesis list")]
    List,
    /// What a proposed manifest changes of the one before it
    #[command(after_help = "Example:\n  belfry genesis diff 9c1e44b0")]
    Diff(WhichArgs),
    /// Review a manifest and sign it; a signature binds for this round
    #[command(
        after_help = "The confirmation is the epoch and the first eight digits of the hash, as `genesis show` prints it.\n\nExample:\n  belfry genesis sign 9c1e44b0 --confirm 0:9c1e44b0"
    )]
    Sign(SignArgs),
    /// Refuse a manifest, with a reason that everybody sees
    #[command(
        after_help = "Example:\n  belfry genesis reject 9c1e44b0 --reason \"wrong port of t2.example\""
    )]
    Reject(RejectArgs),
    /// Take back what this node proposed, while it has no certificate
    #[command(after_help = "Example:\n  belfry genesis withdraw 9c1e44b0")]
    Withdraw(WhichArgs),
    /// Compare with everybody at once, and list who is silent
    #[command(after_help = "Example:\n  belfry genesis remind")]
    Remind,
    /// Verify a manifest, or a chain of them from epoch 0, without trusting anybody
    #[command(
        after_help = "Examples:\n  belfry genesis verify genesis.json\n  belfry genesis verify https://t1.example/public/mcp/genesis.json --federation 8f3a…"
    )]
    Verify(GenesisVerifyArgs),
    /// Write what waits for an identity key that is kept elsewhere; the lock is set before
    #[command(
        after_help = "Example:\n  belfry genesis export > request.json\n  belfry genesis sign-request request.json --data-dir OFFLINE > vote.json\n  belfry genesis import vote.json"
    )]
    Export(GenesisExportArgs),
    /// Sign an exported request where the identity key is; needs no network and no node
    #[command(
        after_help = "Example:\n  belfry genesis sign-request request.json --data-dir OFFLINE > vote.json"
    )]
    SignRequest(SignRequestArgs),
    /// Take a vote that was signed elsewhere
    #[command(after_help = "Example:\n  belfry genesis import vote.json")]
    Import(ImportArgs),
    /// Who was seen to vote for two manifests in one round, as files that anybody verifies
    #[command(
        after_help = "Examples:\n  belfry genesis evidence --out evidence/\n  belfry genesis evidence --verify evidence-17.json --chain genesis.json"
    )]
    Evidence(EvidenceArgs),
    /// Go on with fewer members than the threshold, by recovery keys; every verifier sees for ever that it was one
    #[command(
        after_help = "A survivor drafts, holders of recovery keys sign one after the other, a survivor sends it, and 72 hours after they saw it\nmembers may give way. Not giving way is the veto.\n\nExample:\n  belfry genesis recovery draft --remove t2.example --remove t3.example --key VKEY > request.json\n  belfry genesis recovery sign request.json --key ann.key > signed.json\n  belfry genesis recovery send signed.json\n  belfry genesis recovery yield 9c1e44b0"
    )]
    Recovery {
        #[command(subcommand)]
        command: RecoveryCommand,
    },
}

/// `genesis evidence`
#[derive(Args, Debug)]
pub struct EvidenceArgs {
    /// Write a file for each into this directory
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Verify one that somebody shows
    #[arg(long, value_name = "FILE", conflicts_with = "out")]
    pub verify: Option<PathBuf>,
    /// With the chain of this federation [default: this node's own]
    #[arg(long, value_name = "FILE", requires = "verify")]
    pub chain: Option<PathBuf>,
    /// The id that the federation must have: from somewhere you trust
    #[arg(long, value_name = "HASH", requires = "verify")]
    pub federation: Option<String>,
}

/// `genesis recovery …`
#[derive(Subcommand, Debug)]
pub enum RecoveryCommand {
    /// Draft the next manifest for recovery keys to sign; nothing is proposed
    #[command(
        after_help = "Takes what `genesis amend` takes; the keys that sign are left out of the new epoch, because each works once. Or takes a\nmanifest that is voted on, where members committed it already: they give way to no other.\n\nExample:\n  belfry genesis recovery draft --remove t2.example --remove t3.example --key VKEY > request.json"
    )]
    Draft(Box<RecoveryDraftArgs>),
    /// Review the draft and sign it with a recovery key; needs no network and no node
    #[command(
        after_help = "Example:\n  belfry genesis recovery sign request.json --key ann.key > signed.json"
    )]
    Sign(RecoverySignArgs),
    /// Tell everybody of a draft that enough recovery keys signed
    #[command(after_help = "Example:\n  belfry genesis recovery send signed.json")]
    Send(RecoverySendArgs),
    /// Give way to it, 72 hours after this node saw it or later; who joins signs with `genesis sign` instead
    #[command(
        after_help = "Example:\n  belfry genesis recovery yield 9c1e44b0 --confirm 3:9c1e44b0"
    )]
    Yield(YieldArgs),
}

/// `genesis recovery yield`
#[derive(Args, Debug)]
pub struct YieldArgs {
    /// First 6 or more digits of its hash [default: the only one]
    pub manifest: Option<String>,
    /// EPOCH:HASH, as `genesis show` prints it, for scripts
    #[arg(long, value_name = "EPOCH:HASH")]
    pub confirm: Option<String>,
}

/// `genesis recovery draft`
#[derive(Args, Debug)]
pub struct RecoveryDraftArgs {
    /// A recovery key that will sign, as its holder printed it; more than half of those that the epoch lists must
    #[arg(long = "key", value_name = "VKEY", required = true)]
    pub keys: Vec<String>,
    /// A manifest that is voted on, by the first digits of its hash, instead of changes
    #[arg(long, value_name = "HASH")]
    pub manifest: Option<String>,
    /// What changes.
    #[command(flatten)]
    pub changes: AmendArgs,
    /// As QR codes; what a scanner reads, one code a line, is taken like the file
    #[arg(long)]
    pub qr: bool,
}

/// `genesis recovery sign`
#[derive(Args, Debug)]
pub struct RecoverySignArgs {
    /// What `genesis recovery draft` printed, or what another holder signed
    pub request: PathBuf,
    /// The file that `key recovery` made
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// EPOCH:HASH, for scripts
    #[arg(long, value_name = "EPOCH:HASH")]
    pub confirm: Option<String>,
    /// As QR codes; what a scanner reads, one code a line, is taken like the file
    #[arg(long)]
    pub qr: bool,
}

/// `genesis recovery send`
#[derive(Args, Debug)]
pub struct RecoverySendArgs {
    /// What the last holder's `genesis recovery sign` printed
    pub request: PathBuf,
}

/// Where others reach this node.
#[derive(Args, Debug)]
pub struct ReachArgs {
    /// A multiaddr at which others dial this node [default: net.listen, if it is one address]
    #[arg(long = "address", value_name = "MULTIADDR")]
    pub addresses: Vec<String>,
    /// Where this node serves HTTP to others
    #[arg(long, value_name = "URL")]
    pub http: Option<String>,
}

/// `genesis draft`
#[derive(Args, Debug)]
pub struct DraftArgs {
    /// What the federation is called, for ever
    #[arg(long)]
    pub federation: String,
    /// Where others reach this node.
    #[command(flatten)]
    pub reach: ReachArgs,
}

/// A manifest.
#[derive(Args, Debug)]
pub struct WhichArgs {
    /// First 6 or more digits of its hash [default: the only one]
    pub manifest: Option<String>,
}

/// `genesis propose`
#[derive(Args, Debug)]
pub struct ProposeArgs {
    /// One line for lists
    #[arg(long, default_value = "founding")]
    pub title: String,
    /// Towers that must hold a digest, k [default: the smallest safe number]
    #[arg(long, value_name = "K", conflicts_with = "again")]
    pub quorum: Option<u32>,
    /// Members that change the manifest, t [default: the smallest safe number]
    #[arg(long, value_name = "T", conflicts_with = "again")]
    pub threshold: Option<u32>,
    /// Leave out somebody who came
    #[arg(long, value_name = "NAME", conflicts_with = "again")]
    pub without: Vec<String>,
    /// A verifier key that may recover the federation; `belfry key recovery` makes one
    #[arg(long = "recovery-key", value_name = "VKEY", conflicts_with = "again")]
    pub recovery_keys: Vec<String>,
    /// Propose a known manifest again, by the first digits of its hash
    #[arg(long, value_name = "HASH")]
    pub again: Option<String>,
}

/// `genesis amend`
#[derive(Args, Debug)]
pub struct AmendArgs {
    /// One line for lists
    #[arg(long, default_value = "amendment")]
    pub title: String,
    /// Let in whoever came to this node with a ticket
    #[arg(long)]
    pub add: bool,
    /// With --add: leave out somebody who came
    #[arg(long, value_name = "NAME", requires = "add")]
    pub without: Vec<String>,
    /// Take out a member
    #[arg(long, value_name = "NAME")]
    pub remove: Vec<String>,
    /// Give a member other roles: factory, tower, or factory,tower
    #[arg(long, value_name = "NAME=ROLES", value_parser = pair)]
    pub role: Vec<(String, String)>,
    /// Where others dial a member; all that are given take the place of those before
    #[arg(long, value_name = "NAME=MULTIADDR", value_parser = pair)]
    pub address: Vec<(String, String)>,
    /// Where a member serves HTTP; empty: nowhere
    #[arg(long, value_name = "NAME=URL", value_parser = pair)]
    pub http: Vec<(String, String)>,
    /// Take the identity key, PeerId and certificate of whoever came here in the name of a member
    #[arg(long, value_name = "NAME")]
    pub identity: Vec<String>,
    /// Oldest and newest protocol version that members must speak, like 1.0-1.2
    #[arg(long, value_name = "OLDEST-NEWEST", value_parser = versions)]
    pub protocol: Option<(Version, Version)>,
    /// Towers that must hold a digest, k
    #[arg(long, value_name = "K")]
    pub quorum: Option<u32>,
    /// Members that change the manifest, t
    #[arg(long, value_name = "T")]
    pub threshold: Option<u32>,
    /// For how many days it is valid [default: 365]
    #[arg(long, value_name = "DAYS")]
    pub expires_days: Option<u64>,
    /// When it takes effect from now on: 90m, 24h or 7d [default: at once]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub effective_in: Option<u64>,
    /// A verifier key that may recover the federation, beside those that may already
    #[arg(long = "recovery-key", value_name = "VKEY")]
    pub recovery_keys: Vec<String>,
    /// One that may not any more: a verifier key, or six or more digits of its hash
    #[arg(long = "drop-recovery-key", value_name = "VKEY")]
    pub drop_recovery_keys: Vec<String>,
}

/// `genesis sign`
#[derive(Args, Debug)]
pub struct SignArgs {
    /// First 6 or more digits of its hash [default: the only one]
    pub manifest: Option<String>,
    /// EPOCH:HASH, as `genesis show` prints it, for scripts
    #[arg(long, value_name = "EPOCH:HASH")]
    pub confirm: Option<String>,
    /// In which round that was begun [default: the first that can still be won]
    #[arg(long, value_name = "N")]
    pub round: Option<u64>,
}

/// `genesis reject`
#[derive(Args, Debug)]
pub struct RejectArgs {
    /// First 6 or more digits of its hash [default: the only one]
    pub manifest: Option<String>,
    /// Why, in one line of at most 200 bytes
    #[arg(long)]
    pub reason: String,
}

/// `genesis verify`
#[derive(Args, Debug)]
pub struct GenesisVerifyArgs {
    /// A file, or an http or https address
    pub source: String,
    /// The id that the federation must have: from somewhere you trust
    #[arg(long, value_name = "HASH")]
    pub federation: Option<String>,
}

/// `genesis export`
#[derive(Args, Debug)]
pub struct GenesisExportArgs {
    /// First digits of the hash of the manifest [default: what waits; giving way first, then the newest round]
    #[arg(conflicts_with = "record")]
    pub manifest: Option<String>,
    /// This node's own votes instead, for another directory of the same node, which then must not vote here any more
    #[arg(long)]
    pub record: bool,
    /// As QR codes; what a scanner reads, one code a line, is taken like the file
    #[arg(long)]
    pub qr: bool,
}

/// `genesis sign-request`
#[derive(Args, Debug)]
pub struct SignRequestArgs {
    /// What `genesis export` wrote
    pub request: PathBuf,
    /// EPOCH:HASH, for scripts
    #[arg(long, value_name = "EPOCH:HASH")]
    pub confirm: Option<String>,
    /// As QR codes; what a scanner reads, one code a line, is taken like the file
    #[arg(long)]
    pub qr: bool,
}

/// `genesis import`
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// What `genesis sign-request` printed, or a record of votes
    pub file: PathBuf,
}

/// `invite`
#[derive(Args, Debug)]
pub struct InviteArgs {
    /// factory, tower, or factory,tower
    #[arg(long, default_value = "tower")]
    pub role: String,
    /// For how long: 90m, 24h or 7d
    #[arg(long, default_value = "24h", value_parser = seconds)]
    pub expires: u64,
    /// List the tickets that were given
    #[arg(long, conflicts_with = "revoke")]
    pub list: bool,
    /// Take a ticket back, by the first digits of its id
    #[arg(long, value_name = "ID")]
    pub revoke: Option<String>,
}

/// `join`
#[derive(Args, Debug)]
pub struct JoinArgs {
    /// The whole line that `belfry invite` printed
    pub ticket: String,
    /// Where others reach this node.
    #[command(flatten)]
    pub reach: ReachArgs,
}

/// Two texts like NAME=VALUE.
fn pair(text: &str) -> Result<(String, String), String> {
    let wrong = || format!("{text:?} is not NAME=VALUE");
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Two versions like 1.0-1.2.
fn versions(text: &str) -> Result<(Version, Version), String> {
    let wrong = || format!("{text:?} is not OLDEST-NEWEST, like 1.0-1.2");
    let version = |text: &str| {
        let (major, minor) = text.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    let (oldest, newest) = text.split_once('-').unwrap_or((text, text));
    version(oldest).zip(version(newest)).ok_or_else(wrong)
}

/// A time like 24h.
fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no time like 90m, 24h or 7d");
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number.checked_mul(unit).ok_or_else(wrong)
}
