//! What members say while they found and amend: texts of fixed lines, each signed as a note.
//! May not know who may say it, or verify who did.

use super::GenesisError;
use super::lines::Lines;
use crate::tlog::hash::Hash;
use std::fmt;

/// Largest round: JSON holds it exactly.
pub const MAX_ROUND: u64 = (1 << 53) - 1;

/// Most bytes of a proposal's title: it stands in one line of a list.
pub const MAX_TITLE_BYTES: usize = 100;

/// Most bytes of the reason of a refusal: two lines on a screen.
pub const MAX_REASON_BYTES: usize = 200;

/// Most bytes of a text: seven lines, the longest with a reason.
const MAX_TEXT_BYTES: usize = 1_024;

const WHAT: &str = "statement";

/// What is voted on: one manifest in one round of one epoch of one lineage.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Subject {
    /// The federation; `None` exactly at epoch 0.
    pub federation: Option<Hash>,
    /// The lineage of all its drafts.
    pub lineage: [u8; 16],
    /// The epoch that the manifest would be.
    pub epoch: u64,
    /// The round, from 1; 0 for what belongs to no round: a yield, a recovery.
    pub round: u64,
    /// Hash of the manifest.
    pub manifest: Hash,
}

/// What is said about it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Saying {
    /// "Let us vote on this": by the proposer's identity key.
    Propose {
        /// When, by the proposer's clock, in seconds since 1970. A claim.
        opened_seconds: u64,
        /// One line for a list.
        title: String,
    },
    /// A human reviewed it and wants it: by the identity key.
    Approve,
    /// This node saw the approvals and will approve nothing else in this epoch unless shown a later certificate: by the
    /// envelope key.
    Commit,
    /// A human reviewed it and does not want it: by the identity key.
    Refuse {
        /// Why, in one line.
        reason: String,
    },
    /// The proposer takes it back: by the identity key.
    Withdraw,
    /// A member gives way to a manifest that recovery keys signed: by the identity key.
    Yield {
        /// When it saw that manifest first, in seconds since 1970. A claim.
        seen_seconds: u64,
    },
    /// By a recovery key: this manifest takes over although too few members are left to amend.
    Recover,
}

/// A subject and what is said about it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Statement {
    /// What it is about.
    pub subject: Subject,
    /// What it says.
    pub saying: Saying,
}

impl Saying {
    fn header(&self) -> &'static str {
        match self {
            Self::Propose { .. } => "belfry-genesis-propose/v1",
            Self::Approve => "belfry-genesis-approve/v1",
            Self::Commit => "belfry-genesis-commit/v1",
            Self::Refuse { .. } => "belfry-genesis-refuse/v1",
            Self::Withdraw => "belfry-genesis-withdraw/v1",
            Self::Yield { .. } => "belfry-genesis-yield/v1",
            Self::Recover => "belfry-genesis-recover/v1",
        }
    }

    /// Whether it belongs to a round.
    fn has_round(&self) -> bool {
        !matches!(self, Self::Yield { .. } | Self::Recover)
    }
}

impl Statement {
    /// Reads a text; printing gives exactly this text again.
    ///
    /// # Errors
    /// [`GenesisError::Malformed`] for anything but the lines in their order.
    pub fn parse(text: &str) -> Result<Self, GenesisError> {
        let bad = |problem| GenesisError::malformed(WHAT, problem);
        if text.len() > MAX_TEXT_BYTES {
            return Err(bad("it is longer than 1,024 bytes"));
        }
        let mut lines = Lines::new(WHAT, text);
        let header = lines.line()?;
        let federation = match lines.value("federation")? {
            "-" => None,
            hex => Some(
                Hash::from_hex(hex).ok_or(bad("a hash is not 64 lower-case hexadecimal digits"))?,
            ),
        };
        let subject = Subject {
            federation,
            lineage: lines.lineage()?,
            epoch: lines.number("epoch")?,
            round: lines.number("round")?,
            manifest: lines.hash("manifest")?,
        };
        let saying = match header {
            "belfry-genesis-propose/v1" => Saying::Propose {
                opened_seconds: lines.number("opened")?,
                title: lines.value("title")?.to_owned(),
            },
            "belfry-genesis-approve/v1" => Saying::Approve,
            "belfry-genesis-commit/v1" => Saying::Commit,
            "belfry-genesis-refuse/v1" => Saying::Refuse {
                reason: lines.value("reason")?.to_owned(),
            },
            "belfry-genesis-withdraw/v1" => Saying::Withdraw,
            "belfry-genesis-yield/v1" => Saying::Yield {
                seen_seconds: lines.number("seen")?,
            },
            "belfry-genesis-recover/v1" => Saying::Recover,
            _ => return Err(bad("its first line is not known here; use a newer Belfry")),
        };
        lines.end()?;
        let statement = Self { subject, saying };
        statement.check()?;
        Ok(statement)
    }

    /// The rules that need nothing else. What was parsed has passed; what is to be signed has to.
    ///
    /// # Errors
    /// [`GenesisError::Malformed`].
    pub fn check(&self) -> Result<(), GenesisError> {
        let bad = |problem| Err(GenesisError::malformed(WHAT, problem));
        let Subject {
            federation,
            epoch,
            round,
            ..
        } = self.subject;
        if (epoch == 0) != federation.is_none() {
            return bad("it names a federation exactly after epoch 0");
        }
        if epoch > MAX_ROUND || round > MAX_ROUND {
            return bad("epoch and round are at most 2^53 - 1");
        }
        if (round == 0) == self.saying.has_round() {
            return bad("rounds begin at 1; a yield and a recovery have round 0");
        }
        match &self.saying {
            Saying::Propose { title, .. } if !is_line(title, MAX_TITLE_BYTES) => {
                bad("a title is one line of 1 to 100 bytes, without a space at its ends")
            }
            Saying::Refuse { reason } if !is_line(reason, MAX_REASON_BYTES) => {
                bad("a reason is one line of 1 to 200 bytes, without a space at its ends")
            }
            _ => Ok(()),
        }
    }
}

/// The exact text that is signed.
impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = &self.subject;
        let federation = subject
            .federation
            .map_or_else(|| "-".to_owned(), |id| id.to_hex());
        writeln!(
            f,
            "{}\nfederation {federation}\nlineage {}\nepoch {}\nround {}\nmanifest {}",
            self.saying.header(),
            crate::hex::encode(&subject.lineage),
            subject.epoch,
            subject.round,
            subject.manifest,
        )?;
        match &self.saying {
            Saying::Propose {
                opened_seconds,
                title,
            } => writeln!(f, "opened {opened_seconds}\ntitle {title}"),
            Saying::Refuse { reason } => writeln!(f, "reason {reason}"),
            Saying::Yield { seen_seconds } => writeln!(f, "seen {seen_seconds}"),
            _ => Ok(()),
        }
    }
}

/// One line that a human reads: nothing that moves the cursor, and no look-alike by spaces at the ends.
pub(super) fn is_line(text: &str, most_bytes: usize) -> bool {
    (1..=most_bytes).contains(&text.len())
        && !text.chars().any(char::is_control)
        && text.trim() == text
}
