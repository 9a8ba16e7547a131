//! The one error type of founding and amending. Its messages say what was wrong, with whom, and what to do.

use crate::cert::CertError;
use crate::entry::json::JsonError;
use crate::manifest::{AmendmentError, ManifestError};
use crate::note::NoteError;
use thiserror::Error;

/// Why a document or a vote was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GenesisError {
    /// There are more bytes than such a document has.
    #[error("the {what} is larger than {limit} bytes")]
    TooLarge {
        /// What was read.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A text or file does not have its form.
    #[error("malformed {what}: {problem}")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// The bytes are not strict JSON.
    #[error("not a genesis document: {0}")]
    Json(#[from] JsonError),
    /// A note in it was refused.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The manifest was refused.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The manifest cannot follow the one before.
    #[error(transparent)]
    Amendment(#[from] AmendmentError),
    /// A key certificate in it was refused.
    #[error(transparent)]
    Cert(#[from] CertError),
    /// It is about another federation, lineage or epoch than the one that votes now.
    #[error("it is about {theirs}, and the vote here is about {ours}")]
    OtherVote {
        /// What it names.
        theirs: String,
        /// What is voted on here.
        ours: String,
    },
    /// The signer has no say.
    #[error("{name:?} (key {key_id}) signed, but has no say in this; remove the line")]
    Stranger {
        /// Name on the line.
        name: String,
        /// Key id on the line, eight hexadecimal digits.
        key_id: String,
    },
    /// A signature is wrong.
    #[error("the signature of {name:?} is wrong: it was changed or forged")]
    Signature {
        /// Name on the line.
        name: String,
    },
    /// Signatures are missing.
    #[error("{what}: {have} of the {needed} that are needed; missing is {missing}")]
    Missing {
        /// What is not enough.
        what: &'static str,
        /// How many there are.
        have: usize,
        /// How many are needed.
        needed: usize,
        /// Who has not signed, by name, bounded.
        missing: String,
    },
    /// A chain of manifests does not hold together.
    #[error("the chain of manifests breaks at epoch {epoch}: {problem}")]
    Chain {
        /// The epoch that does not fit.
        epoch: u64,
        /// What is wrong.
        problem: &'static str,
    },
}

impl GenesisError {
    pub(super) fn malformed(what: &'static str, problem: &'static str) -> Self {
        Self::Malformed { what, problem }
    }

    /// A line by somebody without a say; names of strangers are bounded.
    pub(super) fn stranger(line: &crate::note::SignatureLine) -> Self {
        Self::Stranger {
            name: line
                .name()
                .chars()
                .take(crate::note::MAX_NAME_BYTES)
                .collect(),
            key_id: format!("{:08x}", line.key_id()),
        }
    }
}

/// Names in a message: the first few, and how many more.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 5;
    let names: Vec<&str> = names.into_iter().collect();
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>();
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}
