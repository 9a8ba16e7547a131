//! The policy that an auditor verifies a member's receipts with: derived from the manifest that all members signed and from
//! the certificates that this node knows. May not ask anybody.

use crate::exit::{Code, Failure};
use crate::member;
use crate::store::Reader;
use belfry_keys::KeyDir;
use belfry_protocol::cert::{Certificate, verify_chain};
use belfry_protocol::engine::federation::certificates::stored_chain;
use belfry_protocol::engine::store::Table;
use belfry_protocol::manifest::policy_text;
use std::collections::BTreeMap;

/// The tlog-policy text for `origin`, with comments that say until when it is valid.
///
/// # Errors
/// When this node belongs to no federation, or does not know a certificate yet.
pub fn derive(reader: &Reader, own: &str, origin: &str) -> Result<String, Failure> {
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
    policy_text(&federation, origin, |name| chains.get(name).cloned()).map_err(|error| {
        Failure::new(Code::Failed, error.to_string())
            .hint("a member's certificates are known once this node has been connected to any member that knows them")
    })
}
