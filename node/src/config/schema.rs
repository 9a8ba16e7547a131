//! Every configuration key in one table, and the values they become.

use super::{Shown, witness};
use crate::member::Retention;
use crate::net::{MAX_RELAYS, Multiaddr, Transport};
use belfry_protocol::engine::federation::witness::Logs;
use belfry_protocol::entry::time::DAY_US;
use belfry_protocol::scrub::RulesetConfig;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// One configuration key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Dotted name.
    pub name: &'static str,
    /// Default, as text.
    pub default: &'static str,
    /// What it does.
    pub about: &'static str,
}

impl Key {
    /// The environment variable that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("BELFRY_{}", self.name.replace('.', "_").to_uppercase())
    }
}

/// All keys, except the rules under `[scrub.rules]`.
pub const KEYS: &[Key] = &[
    Key {
        name: "name",
        default: "",
        about: "the node's name, which is its ledger's origin; fixed at init",
    },
    Key {
        name: "role",
        default: "factory",
        about: "factory, tower, or both with a comma",
    },
    Key {
        name: "ledger.allow_solo",
        default: "false",
        about: "sign digests without any tower, as long as this node belongs to no federation",
    },
    Key {
        name: "ledger.public",
        default: "false",
        about: "serve entry bundles to everybody; checkpoint and hash tiles are always public",
    },
    Key {
        name: "ledger.backup_retention_days",
        default: "35",
        about: "how long a backup may still hold an erased payload; stated in every erase entry",
    },
    Key {
        name: "http.listen",
        default: "127.0.0.1:9470",
        about: "address and port of the HTTP listener; port 0: any",
    },
    Key {
        name: "http.body_limit",
        default: "33554432",
        about: "largest request body in bytes; an NDJSON upload may hold many entries",
    },
    Key {
        name: "net.listen",
        default: "0.0.0.0:9471",
        about: "address and port for other members, TCP and UDP; port 0: any",
    },
    Key {
        name: "net.transport",
        default: "both",
        about: "tcp, quic, or both",
    },
    Key {
        name: "net.relay",
        default: "[]",
        about: "relays to listen through when others cannot reach this node: a list of /ip4/…/tcp/…/p2p/ID",
    },
    Key {
        name: "net.mdns",
        default: "false",
        about: "look for members on the local network too, and say there where this node is",
    },
    Key {
        name: "net.verifiers",
        default: "auto",
        about: "threads that check signatures of messages, 1 to 16; auto: one less than processors",
    },
    Key {
        name: "witness.submit_policy",
        default: "",
        about: "a tlog-policy file: its witnesses with a URL are asked to cosign this ledger; relative to the data directory",
    },
    Key {
        name: "witness.logs",
        default: "[]",
        about: "logs that are no members and that this tower cosigns: a list of vkeys, or of { vkey, origin, mirror }",
    },
    Key {
        name: "witness.log_list",
        default: "",
        about: "a file with more such logs in the format logs/v0 of the witness network; it only adds",
    },
    Key {
        name: "witness.ml_dsa",
        default: "false",
        about: "add-checkpoint also answers with an ML-DSA-44 line, which costs half a millisecond of a processor for each",
    },
    Key {
        name: "export.listen",
        default: "off",
        about: "address and UDP port from which members and auditors fetch whole ledgers; port 0: any; off: nobody does",
    },
    Key {
        name: "clock.probe_interval_ms",
        default: "16000",
        about: "how often each member's clock is probed, in milliseconds, give or take a half: 100 to 600000",
    },
    Key {
        name: "window.interval_seconds",
        default: "3600",
        about: "how often a member's ledger gets a `window` entry with what the node saw, in seconds: 1 to 86400",
    },
    Key {
        name: "window.keep_days",
        default: "90",
        about: "how long the acks of a window are kept as a file, in days: 1 to 36500; the entry keeps their hash for ever",
    },
    Key {
        name: "window.keep_mebibytes",
        default: "4096",
        about: "what files of windows may take in all, in MiB: 1 to 1048576; beyond, the oldest go, but none of the last day",
    },
    Key {
        name: "log.filter",
        // Every start applies the schemas of three databases, which is no news.
        default: "info,refinery_core=warn",
        about: "what is logged, e.g. info or belfry=debug",
    },
    Key {
        name: "log.format",
        default: "auto",
        about: "auto, human or json; auto: human on a terminal",
    },
];

/// The file that `init` writes; `{name}` is replaced.
pub const EXAMPLE: &str = r#"# Belfry node. Flags beat BELFRY_* variables beat this file beat defaults.
# `belfry config show --origin` lists every key and where its value comes from.
name = "{name}"
role = "factory"

[ledger]
# Until this node joins a federation it may sign digests on its own ("solo"). Nobody else vouches for them: a receipt
# says so. Set to false to append without signing until the federation is founded.
allow_solo = true
# Serve entry bundles to everybody. Checkpoint and hash tiles are always public, private payloads never.
public = false

[http]
listen = "127.0.0.1:9470"

# For members of a federation; these are the defaults.
# [net]
# listen = "0.0.0.0:9471"
# transport = "both"    # tcp, quic or both
# relay = []            # ["/ip4/192.0.2.7/tcp/9471/p2p/12D3KooW…"]: be reached through a relay
# mdns = false          # look for members on the local network too

# For a tower: logs of others that it cosigns over HTTP (docs/witness.md).
# [witness]
# logs = []             # ["example.com/log+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"]
# log_list = ""         # a file in the format logs/v0
# ml_dsa = false        # an ML-DSA-44 line beside each Ed25519 one, too
# Bulk export over QUIC, read-only: members by their transport key, auditors by a token with scope read-all.
# [export]
# listen = "0.0.0.0:9472"

# What the scrubber does with what it finds: "drop", "token", "keep" or { mask = 4 }. Defaults suit most; for example:
# [scrub.rules]
# uuid = "keep"
# [scrub.kinds."audit.event"]
# email = "drop"
"#;

/// The configuration of a node.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's name.
    pub name: String,
    /// Roles, e.g. `factory` or `factory,tower`.
    pub role: String,
    /// Whether digests may be signed without towers.
    pub allow_solo: bool,
    /// Whether entry bundles are served to everybody.
    pub public: bool,
    /// How long a backup may hold an erased payload, in microseconds.
    pub backup_retention_us: i64,
    /// HTTP listener.
    pub http_listen: SocketAddr,
    /// Largest request body in bytes.
    pub http_body_limit: usize,
    /// Listener for other members.
    pub net_listen: SocketAddr,
    /// Transports for other members.
    pub net_transport: Transport,
    /// Relays to listen through.
    pub net_relay: Vec<Multiaddr>,
    /// Whether members are looked for on the local network.
    pub net_mdns: bool,
    /// Threads that check signatures; `None`: by the machine.
    pub net_verifiers: Option<usize>,
    /// The policy whose witnesses cosign this ledger.
    pub submit_policy: Option<PathBuf>,
    /// Logs that are no members and that this tower cosigns.
    pub witness_logs: Logs,
    /// Whether `add-checkpoint` answers with ML-DSA-44 lines, too.
    pub witness_ml_dsa: bool,
    /// Listener for bulk exports, if there is one.
    pub export_listen: Option<SocketAddr>,
    /// How often each member's clock is probed.
    pub clock_probe_interval: Duration,
    /// How often a `window` entry is appended, in microseconds.
    pub window_us: u64,
    /// How long files of windows are kept.
    pub windows_kept: Retention,
    /// Log filter.
    pub log_filter: String,
    /// Log format.
    pub log_format: String,
    /// What the scrubber does with what it finds.
    pub scrub: RulesetConfig,
    /// The same by kind, on top.
    pub scrub_kinds: BTreeMap<String, RulesetConfig>,
}

impl Config {
    /// Parses the values; an error names the key and what is wrong.
    pub(super) fn from_shown(
        shown: &Shown,
        (scrub, scrub_kinds): (RulesetConfig, BTreeMap<String, RulesetConfig>),
    ) -> Result<Self, (&'static str, String)> {
        let text = |key: &'static str| shown.get(key).map_or("", |(value, _)| value.as_str());
        let flag = |key: &'static str| match text(key) {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err((key, format!("{other:?} is neither true nor false"))),
        };
        let role = text("role").to_owned();
        if role.is_empty()
            || !role
                .split(',')
                .all(|role| matches!(role.trim(), "factory" | "tower"))
        {
            return Err((
                "role",
                format!("{role:?} is not factory, tower, or factory,tower"),
            ));
        }
        let days: i64 = text("ledger.backup_retention_days")
            .parse()
            .ok()
            .filter(|days| (0..=36_500).contains(days))
            .ok_or((
                "ledger.backup_retention_days",
                "must be a number of days from 0 to 36500".to_owned(),
            ))?;
        let body_limit = text("http.body_limit")
            .parse()
            .ok()
            .filter(|bytes| (1_024..=1 << 30).contains(bytes))
            .ok_or((
                "http.body_limit",
                "must be a number of bytes from 1024 to 1073741824".to_owned(),
            ))?;
        let log_format = text("log.format").to_owned();
        if !matches!(log_format.as_str(), "auto" | "human" | "json") {
            return Err((
                "log.format",
                format!("{log_format:?} is not auto, human or json"),
            ));
        }
        Ok(Self {
            name: text("name").to_owned(),
            role,
            allow_solo: flag("ledger.allow_solo")?,
            public: flag("ledger.public")?,
            backup_retention_us: days * DAY_US,
            http_listen: text("http.listen").parse().map_err(|_| {
                (
                    "http.listen",
                    format!(
                        "{:?} is no address like 127.0.0.1:9470",
                        text("http.listen")
                    ),
                )
            })?,
            http_body_limit: body_limit,
            net_listen: text("net.listen").parse().map_err(|_| {
                (
                    "net.listen",
                    format!("{:?} is no address like 0.0.0.0:9471", text("net.listen")),
                )
            })?,
            net_transport: match text("net.transport") {
                "tcp" => Transport::Tcp,
                "quic" => Transport::Quic,
                "both" => Transport::Both,
                other => {
                    return Err((
                        "net.transport",
                        format!("{other:?} is not tcp, quic or both"),
                    ));
                }
            },
            net_relay: list(text("net.relay"))
                .ok_or(
                    "not a list of texts like [\"/ip4/192.0.2.7/tcp/9471/p2p/12D3KooW…\"]"
                        .to_owned(),
                )
                .and_then(|relays| match relays.len() {
                    0..=MAX_RELAYS => relays.iter().map(|relay| relay_address(relay)).collect(),
                    count => Err(format!("{count} relays are more than {MAX_RELAYS}")),
                })
                .map_err(|problem| ("net.relay", problem))?,
            net_mdns: flag("net.mdns")?,
            net_verifiers: match text("net.verifiers") {
                "auto" => None,
                number => Some(
                    number
                        .parse()
                        .ok()
                        .filter(|count| (1..=16).contains(count))
                        .ok_or((
                            "net.verifiers",
                            format!("{number:?} is not auto or a number from 1 to 16"),
                        ))?,
                ),
            },
            submit_policy: Some(text("witness.submit_policy"))
                .filter(|file| !file.is_empty())
                .map(PathBuf::from),
            witness_logs: witness::logs(text("witness.logs"))
                .map_err(|problem| ("witness.logs", problem))?,
            witness_ml_dsa: flag("witness.ml_dsa")?,
            export_listen: match text("export.listen") {
                "off" => None,
                address => Some(address.parse().map_err(|_| {
                    (
                        "export.listen",
                        format!("{address:?} is neither off nor an address like 0.0.0.0:9472"),
                    )
                })?),
            },
            clock_probe_interval: text("clock.probe_interval_ms")
                .parse()
                .ok()
                .filter(|milliseconds| (100..=600_000).contains(milliseconds))
                .map(Duration::from_millis)
                .ok_or((
                    "clock.probe_interval_ms",
                    "must be a number of milliseconds from 100 to 600000".to_owned(),
                ))?,
            window_us: text("window.interval_seconds")
                .parse::<u64>()
                .ok()
                .filter(|seconds| (1..=86_400).contains(seconds))
                .map(|seconds| seconds * 1_000_000)
                .ok_or((
                    "window.interval_seconds",
                    "must be a number of seconds from 1 to 86400".to_owned(),
                ))?,
            windows_kept: windows_kept(text)?,
            log_filter: text("log.filter").to_owned(),
            log_format,
            scrub,
            scrub_kinds,
        })
    }
}

/// How long files of windows are kept, and how many.
fn windows_kept<'t>(
    text: impl Fn(&'static str) -> &'t str,
) -> Result<Retention, (&'static str, String)> {
    let number = |name: &'static str, most: u64| {
        let number = text(name).parse().ok();
        let problem = || (name, format!("must be a number from 1 to {most}"));
        number
            .filter(|one| (1..=most).contains(one))
            .ok_or_else(problem)
    };
    Ok(Retention {
        age: Duration::from_secs(86_400 * number("window.keep_days", 36_500)?),
        bytes: number("window.keep_mebibytes", 1 << 20)? << 20,
    })
}

/// A TOML list of texts, or texts with commas between them as variables have them.
fn list(text: &str) -> Option<Vec<String>> {
    if !text.starts_with('[') {
        let parts = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        return Some(parts.map(str::to_owned).collect());
    }
    let table: toml::Table = format!("list = {text}").parse().ok()?;
    let all = table.get("list")?.as_array()?.iter();
    all.map(|one| one.as_str().map(str::to_owned)).collect()
}

fn relay_address(text: &str) -> Result<Multiaddr, String> {
    text.parse()
        .ok()
        .filter(|_| text.contains("/p2p/") && !text.contains("/p2p-circuit"))
        .ok_or_else(|| {
            format!("{text:?} is no address of a relay like /ip4/192.0.2.7/tcp/9471/p2p/12D3KooW…")
        })
}
