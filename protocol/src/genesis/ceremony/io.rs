//! Inputs and outputs of a ceremony: plain data. What binds this member is a [`Promise`] and waits for the commit of the
//! transaction; the rest is [`Free`] (R9).

use super::own::VoteId;
use super::record::VoteRecord;
use crate::genesis::chain::Link;
use crate::genesis::{
    CERTIFICATE_FORMAT, Evidence, GenesisError, PROPOSAL_FORMAT, Proposal, Statement, VOTE_FORMAT,
    Vote, VoteCertificate,
};
use crate::tlog::hash::Hash;
use std::fmt;
use thiserror::Error;

/// What anybody may bring, as often as they like: it speaks for itself, whoever relays it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Document {
    /// A manifest to vote on.
    Proposal(Box<Proposal>),
    /// One signed statement: approval, commit, refusal, withdrawal or yield.
    Vote(Box<Vote>),
    /// The approvals of one round.
    Certificate(Box<VoteCertificate>),
    /// A manifest that is active, or one that recovery keys signed and that is not yet.
    Link(Box<Link>),
    /// Two votes that contradict each other.
    Evidence(Box<Evidence>),
}

impl Document {
    /// Reads any of the files.
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, GenesisError> {
        // The format is found without reading the file twice: each file's own parser reads it whole and bounds it.
        let has = |format: &str| {
            let member = format!("\"format\":\"{format}\"");
            bytes
                .windows(member.len())
                .any(|window| window == member.as_bytes())
        };
        if bytes.len() > crate::genesis::MAX_PUBLICATION_BYTES {
            return Err(GenesisError::TooLarge {
                what: "genesis document",
                limit: crate::genesis::MAX_PUBLICATION_BYTES,
            });
        }
        // No string of the manifest can hold an unescaped quotation mark, so only members look like this.
        if has(PROPOSAL_FORMAT) {
            Ok(Self::Proposal(Box::new(Proposal::parse(bytes)?)))
        } else if has(VOTE_FORMAT) {
            Ok(Self::Vote(Box::new(Vote::parse(bytes)?)))
        } else if has(CERTIFICATE_FORMAT) {
            Ok(Self::Certificate(Box::new(VoteCertificate::parse(bytes)?)))
        } else if has(crate::genesis::EVIDENCE_FORMAT) {
            Ok(Self::Evidence(Box::new(Evidence::parse(bytes)?)))
        } else {
            Ok(Self::Link(Box::new(Link::parse(bytes)?)))
        }
    }

    /// The file.
    #[must_use]
    pub fn to_json(&self) -> String {
        match self {
            Self::Proposal(proposal) => proposal.to_json(),
            Self::Vote(vote) => vote.to_json(),
            Self::Certificate(certificate) => certificate.to_json(),
            Self::Link(link) => link.to_json(),
            Self::Evidence(evidence) => evidence.to_json(),
        }
    }
}

/// What the runtime tells the ceremony.
#[derive(Clone, Debug)]
pub enum Input {
    /// The first input after a start: what was promised and not done is asked for again.
    Resume,
    /// A document came, from anybody, or from this node's operator.
    Document(Box<Document>),
    /// A human reviewed a manifest and wants it.
    Approve {
        /// Its hash.
        manifest: Hash,
        /// The round.
        round: u64,
        /// What the human typed: see [`confirmation`].
        confirm: String,
    },
    /// A human gives way to a recovery manifest.
    Yield {
        /// Its hash.
        manifest: Hash,
        /// What the human typed.
        confirm: String,
    },
    /// What [`Promise::Sign`] asked for.
    Signed(Box<Vote>),
    /// The entry of a vote is in the ledger.
    Appended {
        /// Which vote.
        id: VoteId,
        /// Index of the entry.
        index: u64,
    },
    /// The `genesis.active` entry of an epoch is in the ledger.
    ActiveAppended {
        /// Which epoch.
        epoch: u64,
    },
    /// A digest that covers so many entries is acked by a quorum.
    Acked {
        /// Its size.
        size: u64,
    },
    /// All of this node's own votes that its mirrored ledger holds, with their indexes: the ledger was recovered.
    Rebuilt(Vec<(u64, Vote)>),
    /// The votes that another directory of this member cast.
    Import(Box<VoteRecord>),
}

/// Which key signs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signer {
    /// The identity key, which may be on another machine.
    Identity,
    /// The envelope key of the newest serial.
    Envelope,
}

/// Outputs that wait for the commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Promise {
    /// The lock is durable: sign this and hand it back as [`Input::Signed`].
    Sign {
        /// Which vote.
        id: VoteId,
        /// The text.
        statement: Statement,
        /// By which key.
        signer: Signer,
    },
    /// Append an entry; if it is that of a vote, say where with [`Input::Appended`]; if it is `genesis.active`, say so with
    /// [`Input::ActiveAppended`].
    Append {
        /// The vote, if it is one.
        vote: Option<VoteId>,
        /// Kind of the entry.
        kind: &'static str,
        /// Its body: canonical JSON.
        body: String,
    },
    /// A vote of this member's own may leave: to all members.
    Send(Box<Document>),
    /// An epoch is active.
    Activated(Box<Link>),
}

/// Outputs that may leave at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Free {
    /// Something new that is verified and speaks for itself: pass it on.
    Pass(Box<Document>),
    /// An input was not taken.
    Refused {
        /// Its place among the inputs of the step, from 0.
        input: usize,
        /// Why.
        why: Refused,
    },
    /// A member is shown to have broken its word: tell a human.
    Accused(Box<Evidence>),
    /// A manifest of a later epoch than the next was shown: fetch the chain from this epoch on.
    Behind {
        /// The epoch that is missing.
        epoch: u64,
    },
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// The document does not verify.
    #[error(transparent)]
    Document(#[from] GenesisError),
    /// Nothing is voted on here.
    #[error(
        "this node takes part in no founding and belongs to no federation; join one, or start a draft"
    )]
    NoElection,
    /// It is over.
    #[error("epoch {0} is active already; an amendment of it would be the next one")]
    Over(u64),
    /// Votes may be missing.
    #[error(
        "this directory came out of a backup: it casts no vote in this epoch before its own votes are read back from the towers"
    )]
    Rebuilding,
    /// Nobody could hold them.
    #[error(
        "no tower holds the votes of a node that is no member yet, so a restored directory cannot vote in this founding, or join by \
         this amendment: let the others go on without it, or start again under a new lineage"
    )]
    CannotRebuild,
    /// Nobody holds them.
    #[error(
        "no tower holds the ledger of this member, so the votes of a directory that was lost or restored cannot be read back, and \
         it casts none any more: let the others go on, and replace its identity key by an amendment"
    )]
    Unwatched,
    /// The manifest is not known here.
    #[error("no proposal of manifest {0} is known here; fetch it first")]
    Unknown(String),
    /// This node has no say.
    #[error("{0:?} is neither a member that votes nor joins by this manifest")]
    NoSay(String),
    /// The typed confirmation is another one.
    #[error("type {expected:?} to confirm; you typed {typed:?}")]
    Confirmation {
        /// What would be right.
        expected: String,
        /// What came.
        typed: String,
    },
    /// The round is too high.
    #[error(
        "round {round} is too far ahead: this node follows up to round {highest}; use the next round"
    )]
    TooFar {
        /// The round.
        round: u64,
        /// The highest that is allowed.
        highest: u64,
    },
    /// The round is over for this node.
    #[error(
        "this node voted in round {highest} already, and never goes back to round {round}; use a later round"
    )]
    RoundBack {
        /// The round.
        round: u64,
        /// The highest in which it voted.
        highest: u64,
    },
    /// One approval for each round.
    #[error(
        "this node approved {other} in round {round} already; approve this one in a later round"
    )]
    Voted {
        /// The round.
        round: u64,
        /// What it approved, short.
        other: String,
    },
    /// It refused it.
    #[error(
        "this node refused this manifest in round {0}; approve it in a later round if the reason is gone"
    )]
    RefusedBefore(u64),
    /// The lock.
    #[error(
        "this node committed {manifest} in round {round}: it approves another manifest of this epoch only if shown the \
         certificate of a later round for another one; propose {manifest} again"
    )]
    Locked {
        /// What it committed, short.
        manifest: String,
        /// In which round.
        round: u64,
    },
    /// An absentee is dropped only while the fuller list has no certificate.
    #[error(
        "everybody on the fuller list {manifest} approved it (round {round}), so nobody can be dropped from it; approve that one"
    )]
    Fuller {
        /// The fuller list, short.
        manifest: String,
        /// Round of its certificate.
        round: u64,
    },
    /// A yield binds.
    #[error("this node gave way to {0} already, and to nothing else in this epoch")]
    Yielded(String),
    /// A commit under keys that were revoked.
    #[error(
        "the commit is by keys of {0} that were revoked; if it is missing, propose the manifest again in a later round"
    )]
    Revoked(String),
    /// Its proposers took it back.
    #[error(
        "whoever proposed manifest {0} took it back; propose it again with `belfry genesis propose --again {0}`"
    )]
    TakenBack(String),
    /// Recovery keys signed it.
    #[error(
        "manifest {0} is signed by recovery keys: members give way to it (`belfry genesis recovery yield {0}`) or do not; to vote on it like any other, somebody proposes it"
    )]
    GiveWay(String),
    /// 72 hours to object.
    #[error(
        "this node saw the recovery manifest first at {}, and may give way to it from {} on: 72 hours to ask why",
        date(*.seen_seconds),
        date(*.from_seconds)
    )]
    TooSoon {
        /// When it saw it.
        seen_seconds: u64,
        /// From when on it may yield.
        from_seconds: u64,
    },
    /// Nothing asked for it.
    #[error("no lock was set for this signature; ask for the approval here first")]
    NotAsked,
    /// Another vote is on record.
    #[error(
        "the record has another vote in epoch {epoch}, round {round} than this directory: one of the two is not this member's; nothing was taken"
    )]
    Conflict {
        /// The epoch.
        epoch: u64,
        /// The round.
        round: u64,
    },
    /// The record is of somebody else.
    #[error("the record is of {0:?} or of another lineage; import this member's own")]
    OtherRecord(String),
    /// A bound was reached.
    #[error("{what}: {limit} are kept at most; {advice}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        limit: usize,
        /// What to do.
        advice: &'static str,
    },
}

/// What a human types to confirm a vote: the epoch and the first eight digits of the manifest's hash.
#[must_use]
pub fn confirmation(epoch: u64, manifest: &Hash) -> String {
    format!("{epoch}:{}", short(manifest))
}

/// A time as people read it.
fn date(seconds: u64) -> String {
    let micros = i64::try_from(seconds).ok();
    let micros = micros.and_then(|seconds| seconds.checked_mul(1_000_000));
    let time = micros.and_then(crate::entry::time::TimeUs::from_micros);
    time.map_or_else(|| "the end of time".to_owned(), |time| time.to_string())
}

/// The first eight digits of a hash.
pub(super) fn short(hash: &Hash) -> String {
    crate::hex::encode(&hash.as_bytes()[..4])
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}
