//! A log of at most three entries in one byte. An entry is the number of the life that appended it, so two lives
//! never write the same entry and comparing contents stands for comparing roots.

/// Two bits per entry, the first entry lowest; 0 ends the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Log(u8);

impl Log {
    pub(crate) const EMPTY: Self = Self(0);

    pub(crate) fn len(self) -> u8 {
        match self.0 {
            0 => 0,
            1..=3 => 1,
            4..=15 => 2,
            _ => 3,
        }
    }

    pub(crate) fn push(self, life: u8) -> Self {
        Self(self.0 | (life << (2 * self.len())))
    }

    pub(crate) fn prefix(self, len: u8) -> Self {
        Self(self.0 & ((1 << (2 * len)) - 1))
    }

    pub(crate) fn starts_with(self, other: Self) -> bool {
        self.prefix(other.len()) == other
    }

    pub(crate) fn consistent_with(self, other: Self) -> bool {
        self.starts_with(other) || other.starts_with(self)
    }

    pub(crate) fn bits(self) -> u64 {
        u64::from(self.0)
    }
}

#[test]
fn a_log_is_its_entries() {
    let log = Log::EMPTY.push(1).push(3).push(2);
    assert_eq!(log.len(), 3);
    assert_eq!(log.prefix(2), Log::EMPTY.push(1).push(3));
    assert!(log.starts_with(log.prefix(1)));
    assert!(log.prefix(1).consistent_with(log));
    assert!(!log.consistent_with(Log::EMPTY.push(2)));
}
