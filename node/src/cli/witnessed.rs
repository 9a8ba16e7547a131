//! What foreign witnesses cosigned of this ledger, from the directory: `ledger head --witnessed`, `ledger prove --witnessed`.
//! Asks no witness: the running node does.

use super::context::Context;
use crate::audit::receipt;
use crate::exit::{Code, Failure};
use crate::store::Reader;
use crate::witnessing::Kept;
use belfry_protocol::cert::LogVerifiers;
use belfry_protocol::proof_file::TlogProof;
use serde_json::json;
use std::collections::BTreeMap;

pub(super) fn head(context: &Context) -> Result<(), Failure> {
    let (size, note) = newest(context, &context.log_verifiers()?)?;
    let json = json!({ "size": size, "note": note });
    context.out.result(note.trim_end(), &json)?;
    context
        .out
        .say("Verify an entry under it: belfry ledger prove INDEX --witnessed --out FILE");
    Ok(())
}

/// The receipt of an entry under the newest cosigned digest.
pub(super) fn receipt(
    context: &Context,
    reader: &Reader,
    index: u64,
    keys: &LogVerifiers,
) -> Result<TlogProof, Failure> {
    let (size, note) = newest(context, keys)?;
    if index >= size {
        return Err(Failure::new(
            Code::QuorumNotMet,
            format!(
                "the foreign witnesses cosigned {size} entries, which do not cover entry {index}"
            ),
        )
        .hint("`belfry status` shows where each witness stands"));
    }
    receipt::make_on(reader, index, keys, size, &note)
}

/// Size and note of the newest digest that satisfies the policy's quorum.
fn newest(context: &Context, keys: &LogVerifiers) -> Result<(u64, String), Failure> {
    let (config, _) = context.config(&BTreeMap::new())?;
    let kept = Kept::load(&context.layout, &config, keys)?.ok_or_else(|| {
        Failure::new(Code::Failed, "this node asks no foreign witnesses")
            .hint("name a policy with witness.submit_policy in config.toml, see docs/witnesses.md")
    })?;
    let (size, note) = kept.witnessed().ok_or_else(|| {
        Failure::new(
            Code::QuorumNotMet,
            "no digest has the quorum of foreign witnesses yet",
        )
        .hint("`belfry status` shows where each witness stands; they are asked while `belfry run` runs")
    })?;
    Ok((size, note.to_string()))
}
