//! How far entries are, and how far those of a node can ever get: known from manifest and configuration, before anything is
//! appended. May not look at what is connected now, which is a matter of waiting.

use crate::exit::{Code, Failure};
use crate::member;
use belfry_protocol::manifest::Federation;

/// How far entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// On disk.
    Durable,
    /// Covered by a signed digest.
    Signed,
    /// Covered by a digest that a quorum of towers acknowledged.
    Acked,
}

impl Stage {
    /// How far everything below `end` is, by the sizes of the newest signed and the newest acknowledged digest.
    pub(crate) fn of(end: u64, signed: u64, acked: u64) -> Self {
        if acked >= end {
            Self::Acked
        } else if signed >= end {
            Self::Signed
        } else {
            Self::Durable
        }
    }

    /// Its name in answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::Signed => "signed",
            Self::Acked => "acked",
        }
    }
}

/// The furthest stage, and what sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Durable: the node belongs to no federation and may not sign on its own.
    Unfounded,
    /// Durable: the ledger of a member that is no factory is never signed.
    Tower,
    /// Signed: nobody else sees the ledger.
    Solo,
    /// Acknowledged by a quorum.
    Quorum,
}

impl Reach {
    /// For the node `name` of a federation, or one outside of any, which is `solo` or not.
    pub(crate) fn of(federation: Option<&Federation>, name: &str, solo: bool) -> Self {
        match federation {
            Some(federation) if member::is_watched(federation, name) => Self::Quorum,
            Some(_) => Self::Tower,
            None if solo => Self::Solo,
            None => Self::Unfounded,
        }
    }

    /// # Errors
    /// When no digest will ever cover an entry.
    pub(crate) fn check_signed(self) -> Result<(), Failure> {
        match self {
            Self::Solo | Self::Quorum => Ok(()),
            Self::Tower => Err(never(
                "this member is no factory: its own ledger is never signed, and nothing was appended",
                "append at a factory, or wait for durable",
            )),
            Self::Unfounded => Err(never(
                "this node signs nothing and belongs to no federation; nothing was appended",
                "wait for durable, or set ledger.allow_solo to sign on its own",
            )),
        }
    }

    /// # Errors
    /// When no quorum will ever acknowledge an entry.
    pub(crate) fn check_acked(self) -> Result<(), Failure> {
        self.check_signed()?;
        match self {
            Self::Solo => Err(never(
                "this node belongs to no federation: nobody acknowledges its entries, and nothing was appended",
                "wait for durable or signed",
            )),
            _ => Ok(()),
        }
    }
}

fn never(message: &str, hint: &str) -> Failure {
    Failure::new(Code::QuorumNotMet, message).hint(hint)
}
