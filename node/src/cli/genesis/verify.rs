//! `genesis verify`: a chain of manifests from epoch 0, from a file or an address, without trusting whoever had it.

use super::super::args::GenesisVerifyArgs;
use super::super::context::Context;
use crate::clock::{self, shown_seconds};
use crate::exit::{Code, Failure};
use crate::member::Epochs;
use crate::web::Web;
use belfry_protocol::genesis::chain::{Chain, MAX_CHAIN_BYTES};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// How long an address may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn run(context: &Context, args: &GenesisVerifyArgs) -> Result<(), Failure> {
    let is_address = ["http://", "https://"]
        .iter()
        .any(|scheme| args.source.starts_with(scheme));
    let bytes = match is_address {
        true => fetch(&args.source)?,
        false => read(Path::new(&args.source))?,
    };
    let chain = verify(&bytes)?;
    if let Some(wanted) = &args.federation
        && (wanted.len() < 8 || !chain.id().to_hex().starts_with(wanted.as_str()))
    {
        return Err(Failure::new(
            Code::VerificationFailed,
            format!(
                "this is the chain of federation {}, not of {wanted}",
                chain.id()
            ),
        ));
    }
    print(context, &chain)?;
    if args.federation.is_none() {
        context.out.say("Everybody can found a federation: compare the id with one from somewhere you trust (--federation HASH).");
    }
    Ok(())
}

/// This node's own.
pub(super) fn own(context: &Context) -> Result<(), Failure> {
    print(context, &verify(&read(&context.layout.genesis())?)?)
}

fn verify(bytes: &[u8]) -> Result<Chain, Failure> {
    let refused = |error: &dyn std::fmt::Display| {
        Failure::new(Code::VerificationFailed, error.to_string())
            .hint("do not trust it; ask another member for the chain")
    };
    let epochs = Epochs::verify(bytes).map_err(|error| refused(&error))?;
    Ok(epochs.chain)
}

fn print(context: &Context, chain: &Chain) -> Result<(), Failure> {
    let manifest = chain.manifest();
    let now = u64::try_from(clock::wall().seconds()).unwrap_or(0);
    let expired = now >= manifest.expires_seconds;
    let recovered: Vec<u64> = chain.recovered().to_vec();
    let names: Vec<&str> = manifest
        .members
        .iter()
        .map(|member| member.name.as_str())
        .collect();
    let mut text = format!(
        "{} is sound from epoch 0 to epoch {}: federation id {}\nmembers: {}\nvalid until {}{}",
        manifest.federation,
        manifest.epoch,
        chain.id(),
        names.join(", "),
        shown_seconds(manifest.expires_seconds),
        if expired { ": EXPIRED" } else { "" },
    );
    for epoch in &recovered {
        text.push_str(&format!("\nRECOVERED: recovery keys made epoch {epoch}"));
    }
    context.out.result(
        &text,
        &json!({
            "ok": true, "federation": manifest.federation, "federation_id": chain.id().to_hex(), "epoch": manifest.epoch,
            "manifest": manifest.hash().to_hex(), "members": names, "expires_seconds": manifest.expires_seconds,
            "expired": expired, "recovered": recovered,
        }),
    )
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    super::super::audit::read_at_most(path, MAX_CHAIN_BYTES as u64, "chain")
}

fn fetch(url: &str) -> Result<Vec<u8>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let web = Web::new(url, PATIENCE)?;
    let lost = |why: String| Failure::new(Code::Unreachable, format!("{url}: {why}"));
    let answer = runtime
        .block_on(web.send_for(reqwest::Method::GET, url, None, MAX_CHAIN_BYTES))
        .map_err(lost)?;
    if answer.status != 200 {
        return Err(Failure::new(
            Code::Unreachable,
            format!("{url} answered {}", answer.status),
        ));
    }
    Ok(answer.body)
}
