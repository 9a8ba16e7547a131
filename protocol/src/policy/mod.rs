//! Trust policies (C2SP `tlog-policy`): which logs are known, which witnesses, and how many of them are enough.
//! May not fetch anything or follow a URL; a policy judges one checkpoint note.

mod evaluate;
mod parse;
mod print;

pub use evaluate::{Counted, Standing};

use crate::checkpoint::CheckpointError;
use crate::note::{Algorithm, NoteError, VerifierKey};
use thiserror::Error;

/// Most bytes of a policy file.
pub const MAX_POLICY_BYTES: usize = 1_000_000;

/// Most logs, most witnesses, and most groups of a policy; C2SP asks for at least 32 of each.
pub const MAX_POLICY_ITEMS: usize = 256;

/// Most witnesses and groups in one group.
pub const MAX_GROUP_MEMBERS: usize = 512;

/// Name of the quorum that needs no cosignature.
pub const NONE: &str = "none";

/// A log whose checkpoints the policy accepts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// Key of type 0x01 or 0x06; its name is the origin.
    pub key: VerifierKey,
    /// Where to reach the log; its meaning is the application's.
    pub url: Option<String>,
}

/// A witness, under a name that has meaning inside the policy only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Witness {
    /// Name inside the policy.
    pub name: String,
    /// Key of type 0x04 or 0x06.
    pub key: VerifierKey,
    /// Where to reach the witness.
    pub url: Option<String>,
}

/// A group, which witnesses when at least `threshold` of its members do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// Name inside the policy.
    pub name: String,
    /// How many members it takes, from 1 to all.
    pub threshold: usize,
    /// Names of witnesses and earlier groups.
    pub members: Vec<String>,
}

/// A checked policy. Its lines print in canonical order: logs, witnesses, groups, quorum.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    /// Name of a witness or group; `None` for `quorum none`.
    quorum: Option<String>,
}

/// Why a policy was refused, or why a checkpoint does not satisfy it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// A line of a policy file is wrong.
    #[error("policy line {line}: {problem}")]
    Line {
        /// Line number, from 1.
        line: usize,
        /// What is wrong with it.
        problem: PolicyProblem,
    },
    /// The policy as a whole is wrong.
    #[error("policy: {0}")]
    Whole(PolicyProblem),
    /// The checkpoint was refused.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The note was refused.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// No log of the policy has this origin.
    #[error("the policy knows no log named {0}")]
    UnknownLog(String),
    /// The log's signature is missing.
    #[error("the checkpoint of {0} has no signature by a log of the policy")]
    NoLogSignature(String),
    /// Not enough witnesses cosigned.
    #[error("the quorum {quorum} is not reached; counted: {}", if counted.is_empty() { "none".to_owned() } else { counted.join(", ") })]
    NoQuorum {
        /// Name of the quorum.
        quorum: String,
        /// Names of the witnesses that counted.
        counted: Vec<String>,
    },
}

/// A single fault in a policy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyProblem {
    /// The line is not of a known form.
    #[error("{0}")]
    Form(&'static str),
    /// A key does not parse.
    #[error(transparent)]
    Key(#[from] NoteError),
    /// The key's algorithm is not for this use.
    #[error("a key of type 0x{0:02x} is not for this use")]
    KeyUse(u8),
    /// Two lines wrap the same public key.
    #[error("the public key of {0} is there already; each must be another one")]
    DuplicateKey(String),
    /// A name is defined twice, or is `none`.
    #[error("the name {0} is taken")]
    TakenName(String),
    /// A name is used before its line.
    #[error("{0} is not defined on an earlier line")]
    UnknownName(String),
    /// A name is a member of two groups.
    #[error("{0} is already a member of a group; each may be in one only")]
    SecondMembership(String),
    /// The threshold is not a number from 1 to the number of members.
    #[error("the threshold must be `all`, `any` or 1 to the number of members")]
    Threshold,
}

impl Policy {
    /// A policy without logs and witnesses, whose quorum is `none`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The logs.
    #[must_use]
    pub fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// The witnesses.
    #[must_use]
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// The groups; each names only witnesses and earlier groups.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Name of the witness or group that is the quorum; `None` for `quorum none`.
    #[must_use]
    pub fn quorum(&self) -> Option<&str> {
        self.quorum.as_deref()
    }

    /// Adds a log.
    ///
    /// # Errors
    /// [`PolicyProblem`] for a key of another use, a known public key or a bad URL.
    pub fn add_log(&mut self, key: VerifierKey, url: Option<String>) -> Result<(), PolicyProblem> {
        check_room(self.logs.len())?;
        check_url(url.as_deref())?;
        if key.algorithm() == Algorithm::CosignatureV1 {
            return Err(PolicyProblem::KeyUse(key.algorithm().byte()));
        }
        if self
            .logs
            .iter()
            .any(|log| log.key.public_key() == key.public_key())
        {
            return Err(PolicyProblem::DuplicateKey(key.name().to_owned()));
        }
        self.logs.push(Log { key, url });
        Ok(())
    }

    /// Adds a witness.
    ///
    /// # Errors
    /// [`PolicyProblem`] for a taken name, a key of another use, a known public key or a bad URL.
    pub fn add_witness(
        &mut self,
        name: &str,
        key: VerifierKey,
        url: Option<String>,
    ) -> Result<(), PolicyProblem> {
        check_room(self.witnesses.len())?;
        check_url(url.as_deref())?;
        self.check_new_name(name)?;
        if key.algorithm() == Algorithm::Ed25519 {
            return Err(PolicyProblem::KeyUse(key.algorithm().byte()));
        }
        if self
            .witnesses
            .iter()
            .any(|witness| witness.key.public_key() == key.public_key())
        {
            return Err(PolicyProblem::DuplicateKey(name.to_owned()));
        }
        self.witnesses.push(Witness {
            name: name.to_owned(),
            key,
            url,
        });
        Ok(())
    }

    /// Adds a group of witnesses and groups that are there already.
    ///
    /// # Errors
    /// [`PolicyProblem`] for a taken name, an unknown member, a second membership or a bad threshold.
    pub fn add_group(
        &mut self,
        name: &str,
        threshold: usize,
        members: &[&str],
    ) -> Result<(), PolicyProblem> {
        check_room(self.groups.len())?;
        self.check_new_name(name)?;
        if members.len() > MAX_GROUP_MEMBERS {
            return Err(PolicyProblem::Form("a group has more than 512 members"));
        }
        if !(1..=members.len()).contains(&threshold) {
            return Err(PolicyProblem::Threshold);
        }
        for (position, member) in members.iter().enumerate() {
            if !self.is_defined(member) {
                return Err(PolicyProblem::UnknownName((*member).to_owned()));
            }
            let elsewhere = self
                .groups
                .iter()
                .any(|group| group.members.iter().any(|other| other == member));
            if elsewhere || members[..position].contains(member) {
                return Err(PolicyProblem::SecondMembership((*member).to_owned()));
            }
        }
        let members = members.iter().map(|member| (*member).to_owned()).collect();
        self.groups.push(Group {
            name: name.to_owned(),
            threshold,
            members,
        });
        Ok(())
    }

    /// Sets the quorum: the name of a witness or group, or `none`.
    ///
    /// # Errors
    /// [`PolicyProblem::UnknownName`].
    pub fn set_quorum(&mut self, name: &str) -> Result<(), PolicyProblem> {
        if name == NONE {
            self.quorum = None;
            return Ok(());
        }
        if !self.is_defined(name) {
            return Err(PolicyProblem::UnknownName(name.to_owned()));
        }
        self.quorum = Some(name.to_owned());
        Ok(())
    }

    fn is_defined(&self, name: &str) -> bool {
        self.witnesses.iter().any(|witness| witness.name == name)
            || self.groups.iter().any(|group| group.name == name)
    }

    fn check_new_name(&self, name: &str) -> Result<(), PolicyProblem> {
        if !is_item(name) {
            return Err(PolicyProblem::Form(
                "a name is empty or has a space or control byte",
            ));
        }
        if name == NONE || self.is_defined(name) {
            return Err(PolicyProblem::TakenName(name.to_owned()));
        }
        Ok(())
    }
}

fn check_room(used: usize) -> Result<(), PolicyProblem> {
    if used < MAX_POLICY_ITEMS {
        return Ok(());
    }
    Err(PolicyProblem::Form(
        "more than 256 logs, witnesses or groups",
    ))
}

fn check_url(url: Option<&str>) -> Result<(), PolicyProblem> {
    if url.is_none_or(is_item) {
        return Ok(());
    }
    Err(PolicyProblem::Form(
        "a URL is empty or has a space or control byte",
    ))
}

/// Whether the text stands as one item of a line: nothing that splits or ends it.
fn is_item(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b > b' ' && b != 0x7f)
}
