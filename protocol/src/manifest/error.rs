//! The one error type of manifests. Its messages say what is wrong, with which member, and what to do.

use super::QuorumError;
use crate::entry::json::JsonError;
use crate::note::NoteError;
use std::ops::RangeInclusive;
use thiserror::Error;

/// Why a manifest or a signed manifest was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// There are more bytes than any manifest has.
    #[error("the {what} is larger than {limit} bytes; it lists too much")]
    TooLarge {
        /// `manifest` or `signed manifest`.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The bytes are not strict JSON.
    #[error("not a manifest: {0}")]
    Json(#[from] JsonError),
    /// A member of the JSON is missing, unknown or of another form.
    #[error("{place}: {field:?} {problem}")]
    Form {
        /// `manifest`, `limits`, or which entry of the member list.
        place: String,
        /// The JSON member.
        field: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The values are readable, but the bytes are not their one spelling.
    #[error("the {0} is not in canonical form (RFC 8785); use the bytes as they were signed")]
    NotCanonical(&'static str),
    /// A value breaks a rule.
    #[error("`{field}` {problem}")]
    Value {
        /// The field.
        field: &'static str,
        /// What is wrong and what would be right.
        problem: &'static str,
    },
    /// A value of a member breaks a rule.
    #[error("member {member:?}: {problem}")]
    Member {
        /// Name of the member.
        member: String,
        /// What is wrong and what would be right.
        problem: &'static str,
    },
    /// Two members share what must be one's own.
    #[error("members {first:?} and {second:?} have the same {what}; each needs its own")]
    Shared {
        /// The earlier member.
        first: String,
        /// The later member.
        second: String,
        /// What they share.
        what: &'static str,
    },
    /// Nobody keeps a ledger.
    #[error("no member is a factory; a federation needs at least one")]
    NoFactory,
    /// The tower quorum does not fit a factory.
    #[error("tower quorum for the factory {factory:?}: {problem}; {}", common_advice(.common.as_ref()))]
    Quorum {
        /// Name of the factory.
        factory: String,
        /// The arithmetic.
        problem: QuorumError,
        /// Every k that fits all factories, if there is one.
        common: Option<RangeInclusive<u32>>,
    },
    /// The amendment threshold does not fit the members.
    #[error(transparent)]
    Amendment(QuorumError),
    /// The note, or a signature on it, was refused.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text that was signed is not the one of this manifest.
    #[error(
        "the signed text is not that of this manifest (expected {expected:?}); fetch both again from one place"
    )]
    Text {
        /// What must have been signed.
        expected: String,
    },
    /// The signature lines are not in their one order.
    #[error(
        "the signature lines must be sorted by name and key, one for each signer; {0:?} is not"
    )]
    Order(String),
    /// The manifest is of a later epoch, which no founding makes.
    #[error("epoch {0} is no founding; verify it along the chain of manifests from epoch 0")]
    NotFounding(u64),
    /// A listed member did not sign.
    #[error(
        "the signature of {member:?} is missing; every listed member signs epoch 0, or is left out in a new round"
    )]
    MissingSignature {
        /// Name of the member.
        member: String,
    },
    /// Somebody signed who is not listed, or with another key than the listed one.
    #[error(
        "{name:?} (key {key_id}) signed, but no member is listed with that identity key; remove the line"
    )]
    UnknownSigner {
        /// Name on the line.
        name: String,
        /// Key id on the line, eight hexadecimal digits.
        key_id: String,
    },
    /// A manifest of epoch 0 was given for a federation with another id.
    #[error(
        "the hash of this epoch-0 manifest is {hash}, not the federation id {id}; it founds another federation"
    )]
    OtherFederation {
        /// The id that was expected.
        id: String,
        /// The hash of the manifest.
        hash: String,
    },
}

fn common_advice(common: Option<&RangeInclusive<u32>>) -> String {
    match common {
        Some(range) => format!(
            "k from {} to {} fits every factory",
            range.start(),
            range.end()
        ),
        None => "no k fits every factory: one that is a tower itself counts one tower fewer, so make all factories towers, \
                 or none, or change the number of towers"
            .to_owned(),
    }
}

/// A stranger's name as an error may carry it: bounded, since it may be as long as a whole file.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(crate::note::MAX_NAME_BYTES).collect()
}
