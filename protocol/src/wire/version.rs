//! Versions of the protocol, the ranges a node speaks, and the one that two nodes agree on.
//! May not know what changed between versions.

use std::fmt;

/// A version of the protocol. Another major number is another protocol; a minor one only adds kinds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version {
    /// Changes when old nodes could misread new messages.
    pub major: u8,
    /// Changes when there are new kinds.
    pub minor: u8,
}

impl Version {
    /// The first one.
    pub const V1_0: Self = Self { major: 1, minor: 0 };

    /// The number on the wire, `major << 8 | minor`.
    #[must_use]
    pub fn to_u16(self) -> u16 {
        u16::from_be_bytes([self.major, self.minor])
    }

    /// The version with this number.
    #[must_use]
    pub fn from_u16(number: u16) -> Self {
        let [major, minor] = number.to_be_bytes();
        Self { major, minor }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// All versions of one major number from `min` to `max`, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// The lowest.
    pub min: Version,
    /// The highest.
    pub max: Version,
}

impl Range {
    /// Whether it is not empty and has one major number.
    #[must_use]
    pub fn is_valid(self) -> bool {
        self.min <= self.max && self.min.major == self.max.major
    }

    /// The highest version in both.
    fn common(self, other: Self) -> Option<Version> {
        let both = Self {
            min: self.min.max(other.min),
            max: self.max.min(other.max),
        };
        (self.is_valid() && other.is_valid() && both.is_valid()).then_some(both.max)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.min, self.max)
    }
}

/// The highest version that both sides speak; ranges that are not valid count as empty.
#[must_use]
pub fn common_version(ours: &[Range], theirs: &[Range]) -> Option<Version> {
    ours.iter()
        .flat_map(|our| theirs.iter().filter_map(|their| our.common(*their)))
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(major: u8, min: u8, max: u8) -> Range {
        let version = |minor| Version { major, minor };
        Range {
            min: version(min),
            max: version(max),
        }
    }

    #[test]
    fn numbers_and_text() {
        let version = Version {
            major: 1,
            minor: 12,
        };
        assert_eq!(
            (version.to_u16(), version.to_string()),
            (0x010c, "1.12".to_owned())
        );
        for number in 0..=u16::MAX {
            assert_eq!(Version::from_u16(number).to_u16(), number);
        }
    }

    #[test]
    fn the_highest_common_one_wins() {
        let ours = [range(1, 0, 4), range(2, 1, 3)];
        let common = |theirs: &[Range]| common_version(&ours, theirs).map(|v| v.to_string());
        assert_eq!(common(&[range(1, 2, 9)]).as_deref(), Some("1.4"));
        assert_eq!(
            common(&[range(1, 0, 4), range(2, 0, 2)]).as_deref(),
            Some("2.2")
        );
        assert_eq!(common(&[range(2, 4, 9)]), None);
        assert_eq!(common(&[range(3, 0, 9)]), None);
        assert_eq!(common(&[]), None);
        let across = Range {
            min: range(1, 0, 0).min,
            max: range(2, 3, 3).max,
        };
        assert!(!across.is_valid() && !range(1, 4, 3).is_valid());
        assert_eq!(common(&[across, range(1, 4, 3)]), None);
    }

    fn ranges() -> impl Strategy<Value = Vec<Range>> {
        let one = (0u8..3, 0u8..6, 0u8..6).prop_map(|(major, min, max)| range(major, min, max));
        proptest::collection::vec(one, 0..4)
    }

    proptest! {
        #[test]
        fn as_a_search_through_all(ours in ranges(), theirs in ranges()) {
            let speaks = |ranges: &[Range], version: Version| {
                ranges.iter().any(|range| range.min <= version && version <= range.max)
            };
            let all = (0..0x0300).map(Version::from_u16);
            let highest = all.filter(|v| speaks(&ours, *v) && speaks(&theirs, *v)).max();
            prop_assert_eq!(common_version(&ours, &theirs), highest);
            prop_assert_eq!(common_version(&theirs, &ours), highest);
        }
    }
}
