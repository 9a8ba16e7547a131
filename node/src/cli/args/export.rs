//! Arguments of `belfry ledger export`.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// `ledger export`
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Where to; a directory for tiles, a file for ndjson
    pub to: PathBuf,
    /// The form
    #[arg(long, value_enum, default_value = "tiles")]
    pub format: ExportFormat,
    /// Fetch it from another node's export.listen; run again, it goes on where it was [default: this node's own ledger]
    #[arg(long, value_name = "quic://HOST:PORT")]
    pub from: Option<String>,
    /// With --from: the ledger [default: the name of --key]
    #[arg(long, value_name = "NAME", requires = "from")]
    pub origin: Option<String>,
    /// With --from: a verifier key of the log, or a file that holds it; may be given several times
    #[arg(long, value_name = "VKEY|FILE", requires = "from")]
    pub key: Vec<String>,
    /// With --from: the manifest that all members signed, instead of --key [default: this member's own]
    #[arg(long, value_name = "FILE", requires = "from", conflicts_with = "key")]
    pub manifest: Option<PathBuf>,
    /// With --from: the server's transport id; what comes proves itself without, but a token needs it
    #[arg(long, value_name = "PEERID", requires = "from")]
    pub peer: Option<String>,
    /// With --from: a file that holds a token with scope read-all [default: this member's own transport key]
    #[arg(long, value_name = "FILE", requires = "from")]
    pub token_file: Option<PathBuf>,
}

/// Forms of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// C2SP tlog-tiles, servable by any web server.
    Tiles,
    /// One entry per line, to read; proves nothing by itself.
    Ndjson,
}
