//! `belfry ledger export --from quic://…`: whom to read from, as whom, and what to trust. The transfer and its proof are in
//! [`crate::export::fetch`].

use super::{Context, ExportArgs, ExportFormat};
use crate::exit::{Code, Failure};
use crate::export::client::Server;
use crate::export::fetch::{Anchor, fetch};
use crate::member;
use crate::member::chain;
use crate::net::PeerId;
use belfry_protocol::genesis::chain::MAX_CHAIN_BYTES;
use belfry_protocol::manifest::Federation;
use belfry_protocol::note::VerifierKey;
use serde_json::json;
use std::io::Read;
use std::path::Path;
use std::time::Instant;
use zeroize::Zeroizing;

/// Longest key or token file that is read.
const LONGEST_TEXT: u64 = 4 << 10;

pub(super) fn run(context: &Context, args: &ExportArgs, from: &str) -> Result<(), Failure> {
    if args.format != ExportFormat::Tiles {
        return Err(usage(
            "only --format tiles can be fetched: entries alone prove nothing",
        ));
    }
    let place = from
        .strip_prefix("quic://")
        .map(|place| place.trim_end_matches('/'))
        .filter(|place| !place.is_empty())
        .ok_or_else(|| {
            usage(&format!(
                "{from:?} is no address like quic://north.example:9472"
            ))
        })?;
    let anchor = anchor(context, args)?;
    let origin = origin(args, &anchor)?;
    let server = Server {
        place: place.to_owned(),
        key: transport_key(context, args)?,
        peers: peers(args, &anchor)?,
        token: args.token_file.as_deref().map(text).transpose()?,
    };
    if context.global.dry_run {
        let would = format!("would fetch {origin} from {from} to {}", args.to.display());
        let json = json!({ "dry_run": true, "origin": origin, "from": from, "to": args.to });
        return context.out.result(&would, &json);
    }
    let bar = context.out.progress(Some(0), "entries");
    let began = Instant::now();
    let fetched = fetch(&server, (&origin, &anchor), &args.to, |entries, size| {
        bar.set_length(size.unwrap_or(entries));
        bar.set_position(entries);
    });
    bar.finish_and_clear();
    let fetched = fetched?;
    let (size, seconds) = (fetched.checkpoint.size, began.elapsed().as_secs_f64());
    let already = match fetched.from {
        0 => String::new(),
        held => format!("; {held} of them were there already"),
    };
    context.out.result(
        &format!(
            "fetched and verified {size} entries of {origin} to {}{already}",
            args.to.display()
        ),
        &json!({
            "size": size, "to": args.to, "format": "tiles", "origin": origin, "root": fetched.checkpoint.root.to_hex(),
            "resumed_from": fetched.from, "received_bytes": fetched.received_bytes, "seconds": seconds,
        }),
    )?;
    context.out.say(format!(
        "next: belfry audit verify {} --key {}",
        args.to.display(),
        args.to.join("log.vkey").display()
    ));
    Ok(())
}

fn usage(what: &str) -> Failure {
    Failure::new(Code::Usage, what.to_owned())
}

/// Keys or a manifest of the caller's; else the manifest of the member whose data directory this is.
fn anchor(context: &Context, args: &ExportArgs) -> Result<Anchor, Failure> {
    if !args.key.is_empty() {
        let keys = args.key.iter().map(|given| log_key(given));
        return Ok(Anchor::Keys(keys.collect::<Result<_, _>>()?));
    }
    let federation = match &args.manifest {
        Some(file) => Some(manifest(file)?),
        None => member::federation(&context.layout)?,
    };
    match federation {
        Some(federation) => Ok(Anchor::Manifest(Box::new(federation))),
        None => Err(usage("nothing to verify the ledger with").hint(
            "give its key with --key VKEY or --key FILE, or the federation's --manifest; get it from the log's operator, not from the server",
        )),
    }
}

fn log_key(given: &str) -> Result<VerifierKey, Failure> {
    let read;
    let key = if Path::new(given).is_file() {
        read = text(Path::new(given))?;
        read.as_str()
    } else {
        given
    };
    VerifierKey::parse(key).map_err(|error| usage(&format!("--key: {error}")))
}

fn manifest(file: &Path) -> Result<Federation, Failure> {
    let refused = |error: &dyn std::fmt::Display| {
        Failure::new(
            Code::VerificationFailed,
            format!("{}: {error}", file.display()),
        )
    };
    let bytes = read(file, MAX_CHAIN_BYTES as u64)?;
    chain::newest(&bytes).map_err(|error| refused(&error))
}

fn origin(args: &ExportArgs, anchor: &Anchor) -> Result<String, Failure> {
    match (&args.origin, anchor) {
        (Some(origin), _) => Ok(origin.clone()),
        (None, Anchor::Keys(keys)) => keys
            .first()
            .map(|key| key.name().to_owned())
            .ok_or_else(|| usage("no --key")),
        (None, Anchor::Manifest(_)) => {
            Err(usage("which ledger?").hint("name a member with --origin NAME"))
        }
    }
}

/// A member reads as itself; the holder of a token, or who is no member, with a fresh key.
fn transport_key(
    context: &Context,
    args: &ExportArgs,
) -> Result<Option<Zeroizing<[u8; 32]>>, Failure> {
    if args.token_file.is_some() || !context.layout.genesis().exists() {
        return Ok(None);
    }
    Ok(Some(context.keys()?.transport_seed().clone()))
}

/// Who may be at the other end: whoever was named, or any member of the manifest.
fn peers(args: &ExportArgs, anchor: &Anchor) -> Result<Vec<PeerId>, Failure> {
    match (&args.peer, anchor) {
        (Some(peer), _) => {
            let peer = peer.parse().map_err(|_| {
                usage(&format!(
                    "--peer: {peer:?} is no transport id like 12D3KooW…"
                ))
            })?;
            Ok(vec![peer])
        }
        (None, Anchor::Manifest(federation)) => {
            let members = federation.manifest().members.iter();
            Ok(members.filter_map(|one| one.peer.parse().ok()).collect())
        }
        (None, Anchor::Keys(_)) => Ok(Vec::new()),
    }
}

fn text(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let bytes = Zeroizing::new(read(file, LONGEST_TEXT)?);
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| usage(&format!("{} is no text", file.display())))?;
    Ok(Zeroizing::new(
        text.trim_end_matches(['\r', '\n']).to_owned(),
    ))
}

fn read(file: &Path, longest: u64) -> Result<Vec<u8>, Failure> {
    let cannot = |error: std::io::Error| {
        Failure::new(
            Code::Failed,
            format!("cannot read {}: {error}", file.display()),
        )
    };
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(file).map_err(cannot)?;
    opened
        .take(longest + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > longest {
        return Err(usage(&format!(
            "{} is longer than {longest} bytes",
            file.display()
        )));
    }
    Ok(bytes)
}
