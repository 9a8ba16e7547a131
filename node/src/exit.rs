//! Exit codes: one enum, from which help and docs are made. May not decide when something failed.

use std::fmt;

/// Every way a command can end. Unknown codes are failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Done.
    Ok,
    /// Failed, see the message.
    Failed,
    /// The command line is wrong.
    Usage,
    /// Some items failed, the others are done.
    Partial,
    /// The directory holds no node.
    NotInitialised,
    /// Another process holds the data directory.
    Locked,
    /// Wrong passphrase, or a key that cannot be used.
    KeyUnavailable,
    /// The configuration is not valid.
    ConfigInvalid,
    /// The data was written by a newer program.
    NewerData,
    /// A proof or signature does not verify.
    VerificationFailed,
    /// Too few acknowledgements.
    QuorumNotMet,
    /// Two statements that cannot both be true.
    Fork,
    /// The node must not sign: it is older than what it signed, or recovering.
    Recovering,
    /// Stored data is damaged.
    Damaged,
    /// A peer or server cannot be reached.
    Unreachable,
    /// Waited too long.
    TimedOut,
    /// Doctor found warnings.
    DoctorWarnings,
    /// Doctor found failures.
    DoctorFailures,
    /// I/O error or disk full.
    Io,
    /// Please start again.
    Restart,
    /// Interrupted.
    Interrupted,
}

/// All codes with number, machine-readable kind and meaning.
pub const TABLE: &[(Code, u8, &str, &str)] = &[
    (Code::Ok, 0, "ok", "ok"),
    (Code::Failed, 1, "failed", "failed, see message"),
    (Code::Usage, 2, "usage", "usage"),
    (Code::Partial, 3, "partial", "some items failed"),
    (
        Code::NotInitialised,
        10,
        "not-initialised",
        "not initialised",
    ),
    (Code::Locked, 11, "locked", "locked by another process"),
    (
        Code::KeyUnavailable,
        12,
        "key-unavailable",
        "wrong passphrase, key unavailable, authority refused",
    ),
    (Code::ConfigInvalid, 13, "config-invalid", "config invalid"),
    (
        Code::NewerData,
        14,
        "newer-data",
        "data newer than this binary",
    ),
    (
        Code::VerificationFailed,
        20,
        "verification-failed",
        "verification failed",
    ),
    (Code::QuorumNotMet, 21, "quorum-not-met", "quorum not met"),
    (Code::Fork, 22, "fork", "fork or equivocation found"),
    (
        Code::Recovering,
        23,
        "recovering",
        "rollback refused, node is recovering",
    ),
    (
        Code::Damaged,
        24,
        "damaged",
        "data damaged (fsck, right edge)",
    ),
    (Code::Unreachable, 30, "unreachable", "peer unreachable"),
    (Code::TimedOut, 31, "timed-out", "timed out waiting"),
    (
        Code::DoctorWarnings,
        40,
        "doctor-warnings",
        "doctor: warnings",
    ),
    (
        Code::DoctorFailures,
        41,
        "doctor-failures",
        "doctor: failures",
    ),
    (Code::Io, 74, "io", "I/O error or disk full"),
    (Code::Restart, 75, "restart", "restart requested"),
    (Code::Interrupted, 130, "interrupted", "interrupted"),
];

impl Code {
    /// The process exit status.
    #[must_use]
    pub fn number(self) -> i32 {
        TABLE
            .iter()
            .find(|row| row.0 == self)
            .map_or(1, |row| i32::from(row.1))
    }

    /// The machine-readable kind in JSON errors.
    #[must_use]
    pub fn kind(self) -> &'static str {
        TABLE
            .iter()
            .find(|row| row.0 == self)
            .map_or("failed", |row| row.2)
    }
}

/// An error that knows its exit code and what to do about it.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub code: Code,
    /// What went wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<crate::store::OpenError> for Failure {
    fn from(error: crate::store::OpenError) -> Self {
        use crate::store::OpenError::{Access, Damaged, Newer};
        let code = match error {
            Newer { .. } => Code::NewerData,
            Damaged { .. } => Code::Damaged,
            Access { .. } => Code::Io,
        };
        Self::new(code, error.to_string())
    }
}

impl From<belfry_protocol::engine::store::StoreError> for Failure {
    fn from(error: belfry_protocol::engine::store::StoreError) -> Self {
        use belfry_protocol::engine::store::StoreError::{Damaged, Full, Io};
        let (code, hint) = match error {
            Damaged(_) => (
                Code::Damaged,
                Some("run `belfry ledger fsck` to see everything that is damaged"),
            ),
            Full(_) => (
                Code::Io,
                Some("make room on the disk and run the command again"),
            ),
            Io(_) => (Code::Io, None),
        };
        Self {
            code,
            message: error.to_string(),
            hint: hint.map(str::to_owned),
        }
    }
}

impl From<crate::writer::Failure> for Failure {
    fn from(error: crate::writer::Failure) -> Self {
        use crate::writer::Failure::{Busy, Full, NotDestroyed, Refused, Stopped};
        use belfry_protocol::engine::ledger::Refusal;
        let code = match error {
            Full(_) | Stopped(_) => Code::Io,
            Refused(Refusal::NotReady { .. }) => Code::Recovering,
            Refused(Refusal::Forked) => Code::Fork,
            Refused(_) => Code::Failed,
            NotDestroyed { .. } => Code::Partial,
            Busy => Code::TimedOut,
        };
        Self::new(code, error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Code::Io, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_page_lists_every_code() {
        let page = include_str!("../../docs/operating.md");
        for (_, number, kind, meaning) in TABLE {
            let row = format!("| {number} | `{kind}` | {meaning} |");
            assert!(page.contains(&row), "docs/operating.md lacks {row}");
        }
    }
}
