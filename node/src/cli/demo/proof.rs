//! What verification of the demo's receipt finds. Nothing that is shown of it comes from anywhere else.

use crate::audit::receipt::{self, VerifiedReceipt};
use crate::exit::{Code, Failure};
use belfry_protocol::policy::Policy;

/// A receipt that verified, and what its policy asks for.
pub(super) struct Found {
    pub(super) receipt: VerifiedReceipt,
    /// Names of the towers' keys whose lines verified.
    pub(super) towers: Vec<String>,
    /// How many it takes.
    pub(super) needed: usize,
    /// Out of how many.
    pub(super) of: usize,
}

impl Found {
    /// Verifies a receipt under the text of a policy, as an auditor would.
    ///
    /// # Errors
    /// When it does not verify, or too few towers of a quorum vouch for it.
    pub(super) fn by(receipt: &[u8], policy: &[u8]) -> Result<Self, Failure> {
        let wrong = |why: String| Failure::new(Code::VerificationFailed, why);
        let policy = Policy::parse(policy).map_err(|error| wrong(format!("policy: {error}")))?;
        let receipt = receipt::verify(receipt, &policy, None)?;
        let quorum = policy
            .groups()
            .iter()
            .find(|group| Some(group.name.as_str()) == policy.quorum())
            .ok_or_else(|| wrong("the policy asks for no quorum of towers".to_owned()))?;
        let towers: Vec<String> = receipt
            .proved
            .standing
            .counted
            .iter()
            .map(|one| one.name.clone())
            .filter(|name| quorum.members.contains(name))
            .collect();
        if towers.len() < quorum.threshold {
            return Err(wrong(format!(
                "{} towers vouch for the receipt, and the policy asks for {}",
                towers.len(),
                quorum.threshold
            )));
        }
        Ok(Self {
            receipt,
            towers,
            needed: quorum.threshold,
            of: quorum.members.len(),
        })
    }
}

/// The receipt with one character of its entry changed.
pub(super) fn tampered(proof: &str) -> String {
    let at = proof.find("extra ").map_or(0, |at| at + 40);
    let mut altered = proof.to_owned();
    let other = if proof[at..].starts_with('A') {
        "B"
    } else {
        "A"
    };
    altered.replace_range(at..=at, other);
    altered
}

pub(super) fn shortened(line: &str) -> String {
    let mut short: String = line.chars().take(96).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}
