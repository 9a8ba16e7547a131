//! Recovery keys in the drafts of manifests: listed by hash, named by their holders' verifier keys. May not sign.

use crate::exit::{Code, Failure};
use belfry_protocol::genesis::recovery_key_hash;
use belfry_protocol::note::VerifierKey;
use belfry_protocol::tlog::hash::Hash;

fn usage(text: String) -> Failure {
    Failure::new(Code::Usage, text)
}

/// Hashes of recovery keys: those before, and those of these verifier keys.
pub(super) fn with(before: &[Hash], vkeys: &[String]) -> Result<Vec<Hash>, Failure> {
    let mut all = before.to_vec();
    for vkey in vkeys {
        let key = VerifierKey::parse(vkey)
            .map_err(|error| usage(format!("--recovery-key {vkey}: {error}")))?;
        let hash = recovery_key_hash(&key);
        if all.contains(&hash) {
            return Err(usage(format!(
                "--recovery-key {vkey}: it is listed already"
            )));
        }
        all.push(hash);
    }
    all.sort();
    Ok(all)
}

/// Those without the given ones, which are verifier keys or their hashes.
pub(super) fn without(before: &[Hash], given: &[String]) -> Result<Vec<Hash>, Failure> {
    let mut all = before.to_vec();
    for one in given {
        let hash = match VerifierKey::parse(one) {
            Ok(key) => recovery_key_hash(&key).to_hex(),
            Err(_) => one.to_lowercase(),
        };
        let fits = |listed: &Hash| hash.len() >= 6 && listed.to_hex().starts_with(&hash);
        let count = all.len();
        all.retain(|listed| !fits(listed));
        if all.len() + 1 != count {
            return Err(usage(format!("{one:?} is not one recovery key of this epoch"))
                .hint("give a verifier key, or six or more digits of its hash as `belfry genesis list` shows it"));
        }
    }
    Ok(all)
}
