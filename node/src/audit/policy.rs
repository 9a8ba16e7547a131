//! The policy that an auditor verifies a member's receipts with: derived from the manifest that all members signed and from
//! the certificates that this node knows. May not ask anybody.

use crate::clock;
use crate::exit::{Code, Failure};
use crate::member;
use crate::store::Reader;
use belfry_keys::KeyDir;
use belfry_protocol::cert::{Certificate, verify_chain};
use belfry_protocol::engine::federation::certificates::stored_chain;
use belfry_protocol::engine::federation::revocations::RevocationRow;
use belfry_protocol::engine::keys::OVERLAP_SECONDS;
use belfry_protocol::engine::store::Table;
use belfry_protocol::manifest::{PolicySpan, policy_text_for};
use std::collections::BTreeMap;

/// The tlog-policy text for `origin`, with comments that say until when it is valid: at most for one overlap, because a tower that
/// renews its keys tomorrow signs with those of today for so long. `every_serial` is for receipts of any age.
///
/// # Errors
/// When this node belongs to no federation, or does not know a certificate yet.
pub fn derive(
    reader: &Reader,
    own: &str,
    origin: &str,
    every_serial: bool,
) -> Result<String, Failure> {
    let layout = reader.layout();
    let federation = member::federation(layout)?.ok_or_else(|| {
        Failure::new(Code::NotInitialised, "this node belongs to no federation")
            .hint("receipts of a node on its own are verified with its key: `belfry key export`")
    })?;
    let mut chains: BTreeMap<String, Vec<Certificate>> = BTreeMap::new();
    for (name, row) in reader.rows(Table::Certificates, &[], usize::from(u16::MAX))? {
        let name = String::from_utf8_lossy(&name).into_owned();
        let Some((_, listed)) = federation.member(&name) else {
            continue;
        };
        let notes = stored_chain(&name, &row)?;
        if let Ok(chain) = verify_chain(&listed.identity, &notes) {
            chains.insert(name, chain);
        }
    }
    let mine = KeyDir::public_chain(layout.dir(), own)
        .map_err(|error| Failure::new(Code::KeyUnavailable, error.to_string()))?;
    chains.insert(own.to_owned(), mine);
    // A revoked key does not count for a ledger for which that acts; its own log keys say only which digests are its (R6).
    for (_, row) in reader.rows(Table::Revocations, &[], usize::from(u16::MAX))? {
        let row = RevocationRow::decode(&row).filter(|row| row.acts_for(origin));
        let Some(said) = row.and_then(|row| row.revocation()) else {
            continue;
        };
        if let Some(chain) = chains.get_mut(&said.node).filter(|_| said.node != origin) {
            chain.retain(|one| one.serial != said.serial);
        }
    }
    let span = PolicySpan {
        until_seconds: clock::now().wall_seconds().saturating_add(OVERLAP_SECONDS),
        every_serial,
    };
    let chain_of = |name: &str| chains.get(name).cloned();
    policy_text_for(&federation, origin, chain_of, span).map_err(|error| {
        Failure::new(Code::Failed, error.to_string())
            .hint("a member's certificates are known once this node has been connected to any member that knows them")
    })
}
