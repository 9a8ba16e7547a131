//! What stands behind a refusal: the checkpoint that the witness shows to monitors, if the ledger's own key signed it and
//! it contradicts the ledger. May not call anything a fork that does not verify as one.

use super::source::{Digest, Source, own};
use crate::exit::{Code, Failure};
use crate::web::Web;
use belfry_protocol::fork::{ForkKind, ForkProof};
use belfry_protocol::note::VerifierKey;
use belfry_protocol::tlog::hash::sha256;
use belfry_protocol::tlog::proof::TreeReader;
use reqwest::Method;

/// What was found.
#[derive(Debug)]
pub(super) enum Evidence {
    /// Two checkpoints under the ledger's key that cannot both be true.
    Fork(Box<ForkProof>),
    /// The witness shows a larger one under the ledger's key; only its entries could show whether it contradicts.
    Larger(u64),
    /// The witness shows one that the ledger holds, too: its refusal has no reason that can be seen.
    Same(u64),
}

/// Looks at what the witness shows; `None` if it shows nothing that the ledger's key signed.
pub(super) async fn find(
    web: &Web,
    url: &str,
    source: &Source,
    digest: &Digest,
) -> Option<Evidence> {
    let origin = digest.note.text().lines().next()?;
    let url = format!("{url}/{}/checkpoint", sha256(origin.as_bytes()).to_hex());
    let answer = web.send(Method::GET, &url, None).await.ok()?;
    let text = String::from_utf8(answer.body)
        .ok()
        .filter(|_| answer.status == 200)?;
    let theirs = own(&text, &source.keys()).ok()?;
    if theirs.note.text().lines().next() != Some(origin) {
        return None;
    }
    if theirs.size > digest.size {
        return Some(Evidence::Larger(theirs.size));
    }
    match compare(source, digest.clone(), theirs).await {
        Ok(evidence) => Some(evidence),
        Err(error) => {
            tracing::warn!(%error, "a witness's checkpoint could not be compared with the ledger");
            None
        }
    }
}

async fn compare(source: &Source, ours: Digest, theirs: Digest) -> Result<Evidence, Failure> {
    let keys: Vec<VerifierKey> = source.keys().all().cloned().collect();
    let work = move |reader: &crate::store::Reader| {
        let damaged =
            |error: &dyn std::fmt::Display| Failure::new(Code::Damaged, error.to_string());
        let nodes = match theirs.size {
            0 => Vec::new(),
            size if size == ours.size => Vec::new(),
            size => TreeReader::new(reader, ours.size)
                .consistency_with_start(size)
                .map_err(|error| damaged(&error))?,
        };
        let size = theirs.size;
        let proof = ForkProof::build(ForkKind::Origin, theirs.note, ours.note, nodes, Vec::new())
            .map_err(|error| damaged(&error))?;
        Ok(match proof.verify(&keys) {
            Ok(_) => Evidence::Fork(Box::new(proof)),
            Err(_) => Evidence::Same(size),
        })
    };
    source.read(work).await
}
