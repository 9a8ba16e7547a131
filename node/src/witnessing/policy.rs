//! The file that `witness.submit_policy` names: C2SP `tlog-policy`, with this node's ledger and witnesses that have an
//! address. May not accept a policy for another ledger.

use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::store::Layout;
use belfry_protocol::cert::LogVerifiers;
use belfry_protocol::note::VerifierKey;
use belfry_protocol::policy::{MAX_POLICY_BYTES, Policy};

/// Reads the policy, if the configuration names one. A relative path begins at the data directory.
///
/// # Errors
/// When it cannot be read, is malformed, or does not name this ledger under a key of this node.
pub(super) fn load(
    layout: &Layout,
    config: &Config,
    keys: &LogVerifiers,
) -> Result<Option<Policy>, Failure> {
    let Some(file) = &config.submit_policy else {
        return Ok(None);
    };
    let path = layout.dir().join(file);
    let refuse = |why: String| {
        Failure::new(
            Code::ConfigInvalid,
            format!("witness.submit_policy: {}: {why}", path.display()),
        )
    };
    let length = std::fs::metadata(&path).map_err(|error| refuse(error.to_string()))?;
    if length.len() > MAX_POLICY_BYTES as u64 {
        return Err(refuse("it is larger than any policy".to_owned()));
    }
    let bytes = std::fs::read(&path).map_err(|error| refuse(error.to_string()))?;
    let policy = Policy::parse(&bytes).map_err(|error| refuse(error.to_string()))?;
    let named = |key: &VerifierKey| policy.logs().iter().any(|log| log.key == *key);
    if let Some(newest) = keys.newest().filter(|newest| !named(newest)) {
        // Its older key still stands for older digests.
        tracing::warn!(policy = %path.display(), "the policy lacks the line of the newest log key: log {newest}");
    }
    if !keys.all().any(named) {
        let newest = keys.newest().map(ToString::to_string).unwrap_or_default();
        return Err(refuse("it does not name this node's ledger".to_owned())
            .hint(format!("it needs the line: log {newest}")));
    }
    Ok(Some(policy))
}
