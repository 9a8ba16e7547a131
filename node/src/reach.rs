//! How far entries of a node can ever get: known from manifest and configuration, before anything is appended. May not
//! look at what is connected now, which is a matter of waiting.

use crate::exit::{Code, Failure};
use belfry_protocol::manifest::Federation;

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
            Some(federation) => {
                let factory = federation
                    .member(name)
                    .is_some_and(|(_, member)| member.factory);
                match factory && federation.quorum_of(name).is_some() {
                    true => Self::Quorum,
                    false => Self::Tower,
                }
            }
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
