//! The logs that the suite plays: one for each group of rows, because a log that was forked, or raced, may be treated
//! differently for ever. All are made from one seed, so a run can be repeated and the witness configured beforehand.

use super::tree::Tree;
use belfry_protocol::note::{NoteError, SigningKey};
use belfry_protocol::tlog::hash::{sha256, sha256_parts};
use zeroize::Zeroizing;

/// What a log is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Malformed requests, signatures, every answer, growth.
    Main,
    /// What only a log shows that the witness has never cosigned.
    First,
    /// A wrong root for size 0.
    Zero,
    /// A fork of equal size.
    ForkSame,
    /// A fork of a larger size.
    ForkLarger,
    /// Concurrent growth to different sizes.
    RaceSizes,
    /// The same request at once.
    RaceSame,
    /// Two contradictory trees at once.
    RaceFork,
    /// A restart of the witness.
    Restart,
    /// Subtrees, where the witness signs them.
    Subtree,
}

impl Group {
    /// All groups, in the order in which they run and in which keys are given to them.
    pub const ALL: [Self; 10] = [
        Self::Main,
        Self::First,
        Self::Zero,
        Self::ForkSame,
        Self::ForkLarger,
        Self::RaceSizes,
        Self::RaceSame,
        Self::RaceFork,
        Self::Restart,
        Self::Subtree,
    ];

    /// The last part of its log's origin.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::First => "first",
            Self::Zero => "zero",
            Self::ForkSame => "fork-same",
            Self::ForkLarger => "fork-larger",
            Self::RaceSizes => "race-sizes",
            Self::RaceSame => "race-same",
            Self::RaceFork => "race-fork",
            Self::Restart => "restart",
            Self::Subtree => "subtree",
        }
    }
}

/// A log of the suite.
#[derive(Clone, Debug)]
pub struct Log {
    key: SigningKey,
}

impl Log {
    /// The key that it signs with.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Its origin, which is the key's name.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.key.name()
    }

    /// Its tree: the same at every run, so that a log which the witness knows can be continued.
    pub(super) fn tree(&self) -> Tree {
        Tree::new(sha256_parts(&[
            b"belfry/conformance/leaves/v1\0",
            &self.key.seed()[..],
        ]))
    }
}

/// The logs of one run.
#[derive(Clone, Debug)]
pub struct Logs {
    logs: Vec<(Group, Log)>,
    strange: Log,
}

impl Logs {
    /// A log for each group, from a seed.
    ///
    /// # Errors
    /// Never in practice: the names are allowed ones.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, NoteError> {
        let id = sha256_parts(&[b"belfry/conformance/id/v1\0", seed]).to_hex();
        let log = |name: &str| -> Result<Log, NoteError> {
            let origin = format!("{}.conformance.example/{name}", &id[..8]);
            let own = sha256_parts(&[b"belfry/conformance/key/v1\0", seed, name.as_bytes()]);
            Ok(Log {
                key: SigningKey::ed25519(&origin, own.0)?,
            })
        };
        let logs = Group::ALL
            .into_iter()
            .map(|group| Ok((group, log(group.as_str())?)))
            .collect::<Result<_, NoteError>>()?;
        Ok(Self {
            logs,
            strange: log("unknown")?,
        })
    }

    /// The logs of these keys, given to the groups in their order; groups without one are skipped.
    ///
    /// # Errors
    /// When there is no key.
    pub fn from_keys(keys: Vec<SigningKey>) -> Result<Self, NoteError> {
        let first = keys.first().ok_or(NoteError::Key("no log key was given"))?;
        let seed = Zeroizing::new(sha256(&first.seed()[..]).0);
        let strange = Self::from_seed(&seed)?.strange;
        let logs = keys.into_iter().map(|key| Log { key });
        Ok(Self {
            logs: Group::ALL.into_iter().zip(logs).collect(),
            strange,
        })
    }

    /// The log of a group.
    #[must_use]
    pub fn get(&self, group: Group) -> Option<&Log> {
        let mut all = self.logs.iter();
        all.find(|(of, _)| *of == group).map(|(_, log)| log)
    }

    /// All logs that the witness must know.
    pub fn all(&self) -> impl Iterator<Item = &(Group, Log)> {
        self.logs.iter()
    }

    /// A log that no witness knows.
    #[must_use]
    pub fn strange(&self) -> &Log {
        &self.strange
    }
}
