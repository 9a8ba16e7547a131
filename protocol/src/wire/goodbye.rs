//! Why a node hangs up, as a number that every version knows, and what to do about it.
//! May not be relied on: anybody can claim a reason.

use std::fmt;

/// Why a node hangs up. On the wire 0 is no goodbye but a welcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Goodbye {
    /// 1: it stops.
    Shutdown,
    /// 2: it belongs to another federation.
    OtherFederation,
    /// 3: there is no version that both speak.
    NoCommonVersion,
    /// 4: the other is in no manifest it knows.
    NotAMember,
    /// 5: the other misbehaved before.
    Banned,
    /// 6: it has no slot left.
    TooManyConnections,
    /// 7: it met a fault of its own.
    Fault,
    /// 8: it could not read or verify the hello.
    BadHello,
    /// 9: there is a connection already.
    DuplicateConnection,
    /// 10: the two are more than one epoch apart.
    OtherEpoch,
    /// 11: the other asked too often.
    RateLimited,
    /// 12: it takes no new members now.
    JoiningClosed,
    /// A number that this version does not know; never one of those above, and never 0.
    Unknown(u16),
}

/// Number, variant, and the reason with its remedy.
const TABLE: [(u16, Goodbye, &str); 12] = [
    (
        1,
        Goodbye::Shutdown,
        "the node is shutting down; connect again later",
    ),
    (
        2,
        Goodbye::OtherFederation,
        "the node belongs to another federation; compare the federation ids and correct the address",
    ),
    (
        3,
        Goodbye::NoCommonVersion,
        "no protocol version is spoken by both; upgrade the older node",
    ),
    (
        4,
        Goodbye::NotAMember,
        "your identity is in no manifest the node knows; join first, or check that the right key is in use",
    ),
    (
        5,
        Goodbye::Banned,
        "the node banned you for earlier misbehaviour; ask its operator why and to lift the ban",
    ),
    (
        6,
        Goodbye::TooManyConnections,
        "the node has no free connection; try again later or connect to another member",
    ),
    (
        7,
        Goodbye::Fault,
        "the node met a fault of its own; its operator finds the cause in its log",
    ),
    (
        8,
        Goodbye::BadHello,
        "your hello could not be read or verified; check your certificates, your clock and your version",
    ),
    (
        9,
        Goodbye::DuplicateConnection,
        "you are connected already; use that connection, and check that no other node runs with your key",
    ),
    (
        10,
        Goodbye::OtherEpoch,
        "the manifests are more than one epoch apart; fetch the newest manifest and connect again",
    ),
    (
        11,
        Goodbye::RateLimited,
        "you asked for too much in too short a time; wait and ask less often",
    ),
    (
        12,
        Goodbye::JoiningClosed,
        "the federation takes no new members now; ask an operator to open joining",
    ),
];

impl Goodbye {
    /// The goodbye with this number; `None` for 0, a welcome.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        if code == 0 {
            return None;
        }
        let known = TABLE.iter().find(|(number, ..)| *number == code);
        Some(known.map_or(Self::Unknown(code), |(_, goodbye, _)| *goodbye))
    }

    /// Its number.
    #[must_use]
    pub fn code(self) -> u16 {
        if let Self::Unknown(code) = self {
            return code;
        }
        let row = TABLE.iter().find(|(_, goodbye, _)| *goodbye == self);
        row.map_or(0, |(number, ..)| *number)
    }

    /// What it means for the one who reads it, and what to do.
    #[must_use]
    pub fn reason(self) -> &'static str {
        let row = TABLE.iter().find(|(_, goodbye, _)| *goodbye == self);
        row.map_or(
            "the node hung up for a reason that this version does not know; upgrade to read it",
            |(.., reason)| reason,
        )
    }
}

/// The reason and the number.
impl fmt::Display for Goodbye {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (goodbye {})", self.reason(), self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_frozen_and_unknown_ones_are_kept() {
        assert_eq!(Goodbye::from_code(0), None);
        for code in 1..=u16::MAX {
            let goodbye = Goodbye::from_code(code).unwrap();
            assert_eq!(goodbye.code(), code);
            assert_eq!(matches!(goodbye, Goodbye::Unknown(_)), code > 12);
            assert!(goodbye.reason().len() <= 512);
        }
        assert_eq!(Goodbye::OtherFederation.code(), 2);
        assert_eq!(Goodbye::JoiningClosed.code(), 12);
        let printed = Goodbye::Unknown(99).to_string();
        assert!(printed.ends_with("upgrade to read it (goodbye 99)"));
    }

    #[test]
    fn every_reason_names_a_remedy() {
        for (_, goodbye, reason) in TABLE {
            assert!(reason.contains("; "), "{goodbye:?}");
        }
    }
}
