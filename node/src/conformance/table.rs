//! Every row of the suite: what is done and what must come of it. The numbers in front are HTTP statuses, in the order in
//! which a witness checks (C2SP `tlog-witness`).

use super::logs::Group;
use super::{malformed, subtree};

/// A row that can be run.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Its name, for ever.
    pub id: &'static str,
    /// The log that it runs on.
    pub group: Group,
    /// What is done.
    pub about: &'static str,
    /// What must come of it.
    pub expected: &'static str,
}

/// What a malformed request must get.
const BAD_REQUEST: &str = "400";
const CONFLICT: &str = "409, text/x.tlog.size, the size";
const COSIGNED: &str = "200, cosignatures that verify";
const REFUSED: &str = "422";

use Group::{First, ForkLarger, ForkSame, Main, RaceFork, RaceSame, RaceSizes, Restart, Zero};

/// The rows beside the malformed requests.
const ROWS: &[(&str, Group, &str, &str)] = &[
    (
        "409-never-cosigned",
        First,
        "old 1 for a log that was never cosigned",
        CONFLICT,
    ),
    (
        "monitoring-never-cosigned",
        First,
        "GET <origin hash>/checkpoint of that log",
        "404",
    ),
    (
        "200-empty-tree",
        First,
        "size 0 with the empty root",
        COSIGNED,
    ),
    (
        "422-old-zero-with-proof",
        First,
        "old 0 with a proof line",
        REFUSED,
    ),
    ("200-first", First, "old 0, no proof, size 1", COSIGNED),
    ("409-old-zero", First, "old 0 again, size 2", CONFLICT),
    ("422-zero-root", Zero, "size 0 with another root", REFUSED),
    (
        "400-size-too-large",
        Main,
        "a size of 2^63, signed",
        BAD_REQUEST,
    ),
    (
        "404-unknown-origin",
        Main,
        "a log that the witness does not know",
        "404",
    ),
    (
        "404-unknown-origin-known-key",
        Main,
        "an unknown origin signed by a known log's key",
        "404",
    ),
    (
        "403-no-trusted-signature",
        Main,
        "only a stranger's signature line",
        "403",
    ),
    (
        "403-other-key",
        Main,
        "the log's name with another key",
        "403",
    ),
    (
        "403-bad-signature",
        Main,
        "the log's name and key id with a wrong signature",
        "403",
    ),
    (
        "403-bad-beside-good",
        Main,
        "a wrong signature line of the log's key beside the right one",
        "403",
    ),
    (
        "403-before-400",
        Main,
        "a wrong signature, and old above the size",
        "403",
    ),
    (
        "400-old-above-size",
        Main,
        "old above the checkpoint's size",
        BAD_REQUEST,
    ),
    (
        "409-stale",
        Main,
        "an older old size with its right proof",
        CONFLICT,
    ),
    (
        "409-ahead",
        Main,
        "an old size above the witness's",
        CONFLICT,
    ),
    (
        "409-before-422",
        Main,
        "an older old size with a wrong proof",
        CONFLICT,
    ),
    (
        "422-wrong-proof",
        Main,
        "a proof with one bit flipped",
        REFUSED,
    ),
    (
        "422-missing-proof",
        Main,
        "no proof where one is needed",
        REFUSED,
    ),
    (
        "422-long-proof",
        Main,
        "a proof with one hash too many",
        REFUSED,
    ),
    (
        "422-proof-for-equal-size",
        Main,
        "equal size and root, with a proof line",
        REFUSED,
    ),
    (
        "200-after-refusals",
        Main,
        "equal size: nothing refused left a trace",
        COSIGNED,
    ),
    (
        "200-equal-size",
        Main,
        "equal size and root again, a second later",
        "200, a newer time",
    ),
    (
        "200-unknown-keys",
        Main,
        "15 strangers' lines before the right one",
        COSIGNED,
    ),
    ("200-16-kib", Main, "a request of 16 KiB", COSIGNED),
    ("200-grow-by-one", Main, "one entry more", COSIGNED),
    (
        "200-below-power",
        Main,
        "growth to one below a power of two",
        COSIGNED,
    ),
    ("200-to-power", Main, "growth to a power of two", COSIGNED),
    (
        "200-from-power",
        Main,
        "growth from a power of two by one",
        COSIGNED,
    ),
    (
        "200-across-power",
        Main,
        "growth across the next power of two",
        COSIGNED,
    ),
    (
        "extension-lines",
        Main,
        "a checkpoint with an extension line",
        "200 or 400",
    ),
    (
        "monitoring",
        Main,
        "GET <origin hash>/checkpoint",
        "200, the log's and the witness's lines",
    ),
    (
        "monitoring-unverified",
        Main,
        "whether it shows lines that nobody verified",
        "no such line",
    ),
    (
        "monitoring-unknown",
        Main,
        "GET <origin hash>/checkpoint of an unknown log",
        "404",
    ),
    ("http-method", Main, "GET add-checkpoint", "405"),
    (
        "http-body-limit",
        Main,
        "a body of 1 MiB",
        "413 or 400, and it still answers",
    ),
    (
        "times",
        Main,
        "times of all cosignatures",
        "not 0, never decreasing",
    ),
    ("speed", Main, "the slowest answer so far", "below 1 s"),
    (
        "422-fork-equal-size",
        ForkSame,
        "equal size with another root",
        REFUSED,
    ),
    (
        "422-fork-larger",
        ForkLarger,
        "a larger tree that contradicts the cosigned one",
        REFUSED,
    ),
    (
        "422-fork-larger-no-proof",
        ForkLarger,
        "the same without a proof",
        REFUSED,
    ),
    (
        "race-sizes",
        RaceSizes,
        "one old size, four consistent new sizes at once, ten times",
        "one 200, else 409",
    ),
    (
        "race-same",
        RaceSame,
        "the same request four times at once, ten times",
        "one 200, else 409",
    ),
    (
        "race-equal",
        RaceSame,
        "an equal-size request four times at once",
        COSIGNED,
    ),
    (
        "race-contradiction",
        RaceFork,
        "two contradictory trees, four requests each, at once",
        "one tree cosigned",
    ),
    ("restart-size", Restart, "old 0 after a restart", CONFLICT),
    (
        "restart-equal",
        Restart,
        "equal size after a restart",
        COSIGNED,
    ),
    (
        "restart-fork",
        Restart,
        "another root of equal size after a restart",
        REFUSED,
    ),
    (
        "restart-subtree",
        Restart,
        "a subtree of what was cosigned before the restart",
        "200, subtree cosignatures that verify",
    ),
];

/// Every row, in the order of the printed table.
#[must_use]
pub fn rows() -> Vec<Definition> {
    let malformed = malformed::CASES.iter().map(|case| Definition {
        id: case.id,
        group: Main,
        about: case.about,
        expected: BAD_REQUEST,
    });
    let others = ROWS.iter().map(|(id, group, about, expected)| Definition {
        id,
        group: *group,
        about,
        expected,
    });
    let subtrees = subtree::rows();
    malformed.chain(others).chain(subtrees).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own_and_is_on_the_page() {
        let page = include_str!("../../../docs/conformance.md");
        let rows = rows();
        for (at, row) in rows.iter().enumerate() {
            assert!(
                rows[..at].iter().all(|other| other.id != row.id),
                "{}",
                row.id
            );
            assert!(
                page.contains(&format!("`{}`", row.id)),
                "docs/conformance.md lacks {}",
                row.id
            );
        }
    }
}
