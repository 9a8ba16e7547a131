//! The policy (C2SP `tlog-policy`) of one origin, derived from the manifest and the members' certificates (R2, R4, R6).
//! May not verify chains or look at revocations: the caller hands in what holds.

use super::{Federation, Member};
use crate::cert::Certificate;
use crate::note::VerifierKey;
use crate::policy::{Policy, PolicyProblem};
use thiserror::Error;

/// Name of the group that is the quorum; no member may be called so.
const TOWERS: &str = "towers";

/// Serials of one tower that count at once: the old and the new key of an overlap (R6).
const COUNTED_SERIALS: usize = 2;

/// Why no policy can be derived.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DerivedPolicyError {
    /// The origin is nobody's.
    #[error("no member is called {0:?}; the manifest of this epoch lists all origins")]
    UnknownOrigin(String),
    /// The certificates of a member are not known.
    #[error("there is no certificate of {0:?}; fetch its chain first")]
    NoCertificate(String),
    /// A chain of somebody else was given.
    #[error("the chain given for {member:?} is that of {node:?}")]
    OtherChain {
        /// Whose chain was asked for.
        member: String,
        /// Whose it is.
        node: String,
    },
    /// The towers that count for this ledger do not allow the federation's quorum.
    #[error("the {towers} towers that count for {origin:?} do not allow a quorum of {needed}")]
    NoQuorum {
        /// The origin, a member that is no factory.
        origin: String,
        /// n.
        towers: usize,
        /// k.
        needed: u32,
    },
    /// The policy refused a line.
    #[error("the policy cannot be built: {0}")]
    Policy(#[from] PolicyProblem),
}

/// The policy for the ledger `origin` of a member.
///
/// `chain_of` gives a member's verified certificates, oldest first, without revoked ones. Every log key of the origin is a
/// log, the newest first. A tower counts with its mirror key in a mirroring federation, else with its ack key, under the
/// two newest serials. If no tower counts for the origin, which no factory's manifest allows, the quorum is `none`.
///
/// # Errors
/// [`DerivedPolicyError`].
pub fn policy(
    federation: &Federation,
    origin: &str,
    chain_of: impl Fn(&str) -> Option<Vec<Certificate>>,
) -> Result<Policy, DerivedPolicyError> {
    derive(federation, origin, chain_of, COUNTED_SERIALS).map(|(policy, _)| policy)
}

/// What a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicySpan {
    /// Not valid later than this, in seconds since 1970: keys that are renewed early outdate a policy after their overlap.
    pub until_seconds: u64,
    /// All serials of each tower instead of the two newest, for receipts of any age. They still count as one tower.
    pub every_serial: bool,
}

/// [`policy_text`] for a span of time.
///
/// # Errors
/// [`DerivedPolicyError`].
pub fn policy_text_for(
    federation: &Federation,
    origin: &str,
    chain_of: impl Fn(&str) -> Option<Vec<Certificate>>,
    span: PolicySpan,
) -> Result<String, DerivedPolicyError> {
    let counted = match span.every_serial {
        true => usize::MAX,
        false => COUNTED_SERIALS,
    };
    let (policy, until_seconds) = derive(federation, origin, chain_of, counted)?;
    let until_seconds = until_seconds.min(span.until_seconds);
    Ok(text_of(federation, origin, &policy, until_seconds))
}

/// [`policy`] as a file, with comments that say what it was derived from and until when it is valid (R6).
///
/// It ends with the first newest certificate that ends, and with the manifest.
///
/// # Errors
/// [`DerivedPolicyError`].
pub fn policy_text(
    federation: &Federation,
    origin: &str,
    chain_of: impl Fn(&str) -> Option<Vec<Certificate>>,
) -> Result<String, DerivedPolicyError> {
    let (policy, until_seconds) = derive(federation, origin, chain_of, COUNTED_SERIALS)?;
    Ok(text_of(federation, origin, &policy, until_seconds))
}

fn text_of(federation: &Federation, origin: &str, policy: &Policy, until_seconds: u64) -> String {
    format!(
        "# origin {origin}\n# federation {}\n# epoch {}\n# valid until {until_seconds}\n{policy}",
        federation.id(),
        federation.manifest().epoch,
    )
}

/// The policy, and the second since 1970 from which it is no longer valid.
fn derive(
    federation: &Federation,
    origin: &str,
    chain_of: impl Fn(&str) -> Option<Vec<Certificate>>,
    counted: usize,
) -> Result<(Policy, u64), DerivedPolicyError> {
    if federation.member(origin).is_none() {
        return Err(DerivedPolicyError::UnknownOrigin(origin.to_owned()));
    }
    let mut policy = Policy::new();
    let mut valid_until_seconds = federation.manifest().expires_seconds;
    let mut shorten = |chain: &[Certificate]| {
        let newest = chain.last().map(|newest| newest.not_after_seconds);
        valid_until_seconds = valid_until_seconds.min(newest.unwrap_or(0));
    };
    let chain = known_chain(origin, &chain_of)?;
    shorten(&chain);
    for certificate in chain.iter().rev() {
        policy.add_log(certificate.log.clone(), None)?;
    }
    let mut standing = Vec::new();
    for (_, tower) in federation.towers_of(origin) {
        let chain = known_chain(&tower.name, &chain_of)?;
        shorten(&chain);
        standing.push(add_tower(
            &mut policy,
            tower,
            &chain,
            (federation.manifest().mirroring, counted),
        )?);
    }
    if standing.is_empty() {
        return Ok((policy, valid_until_seconds)); // its quorum is `none`
    }
    let quorum = federation
        .quorum_of(origin)
        .ok_or_else(|| DerivedPolicyError::NoQuorum {
            origin: origin.to_owned(),
            towers: standing.len(),
            needed: federation.manifest().tower_quorum,
        })?;
    let names: Vec<&str> = standing.iter().map(String::as_str).collect();
    let needed = usize::try_from(quorum.needed).unwrap_or(usize::MAX);
    policy.add_group(TOWERS, needed, &names)?;
    policy.set_quorum(TOWERS)?;
    Ok((policy, valid_until_seconds))
}

/// A chain that is not empty and belongs to `member`.
fn known_chain(
    member: &str,
    chain_of: impl Fn(&str) -> Option<Vec<Certificate>>,
) -> Result<Vec<Certificate>, DerivedPolicyError> {
    let chain = chain_of(member)
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| DerivedPolicyError::NoCertificate(member.to_owned()))?;
    match chain.iter().find(|certificate| certificate.node != member) {
        None => Ok(chain),
        Some(other) => Err(DerivedPolicyError::OtherChain {
            member: member.to_owned(),
            node: other.node.clone(),
        }),
    }
}

/// Adds the tower's keys, and returns the name under which it stands in the quorum: that of its one key, or its own as
/// that of the group of its old and new key.
///
/// Names of members have no `+`, so a key name with `+` and a serial is nobody's.
fn add_tower(
    policy: &mut Policy,
    tower: &Member,
    chain: &[Certificate],
    (mirroring, counted): (bool, usize),
) -> Result<String, PolicyProblem> {
    let key_of = |certificate: &Certificate| -> VerifierKey {
        if mirroring {
            certificate.mirror.clone()
        } else {
            certificate.ack.clone()
        }
    };
    let counted = &chain[chain.len().saturating_sub(counted)..];
    if let [only] = counted {
        let key = key_of(only);
        let name = key.name().to_owned();
        policy.add_witness(&name, key, None)?;
        return Ok(name);
    }
    let mut names = Vec::with_capacity(counted.len());
    for certificate in counted {
        let key = key_of(certificate);
        let name = format!("{}+{}", key.name(), certificate.serial);
        policy.add_witness(&name, key, None)?;
        names.push(name);
    }
    let members: Vec<&str> = names.iter().map(String::as_str).collect();
    policy.add_group(&tower.name, 1, &members)?;
    Ok(tower.name.clone())
}
