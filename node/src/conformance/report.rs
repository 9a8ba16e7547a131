//! What came of a run: a row for each thing that was tried, and how many of each verdict.

use serde_json::{Value, json};

/// How a row ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As specified.
    Pass,
    /// Not as specified.
    Fail,
    /// Allowed, or an older version's answer; worth knowing.
    Note,
    /// Not tried.
    Skipped,
}

impl Verdict {
    /// All, in the order of the summary.
    pub const ALL: [Self; 4] = [Self::Pass, Self::Fail, Self::Note, Self::Skipped];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::Note => "note",
            Self::Skipped => "skipped",
        }
    }
}

/// One row of the table as it came out.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name in the table.
    pub id: &'static str,
    /// What was done.
    pub about: &'static str,
    /// What must come of it.
    pub expected: &'static str,
    /// What came of it, or why it was not tried.
    pub got: String,
    /// The verdict.
    pub verdict: Verdict,
}

impl Row {
    /// The row as JSON output has it.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "row": self.id, "about": self.about, "expected": self.expected, "got": self.got,
            "verdict": self.verdict.as_str().to_lowercase(),
        })
    }
}

/// All rows of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order of the table.
    pub rows: Vec<Row>,
}

impl Report {
    /// How many rows ended so.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        let all = self.rows.iter();
        all.filter(|row| row.verdict == verdict).count()
    }

    /// The row of this name.
    #[must_use]
    pub fn row(&self, id: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.id == id)
    }

    /// Names of the rows that ended so.
    #[must_use]
    pub fn ids(&self, verdict: Verdict) -> Vec<&'static str> {
        let all = self.rows.iter().filter(|row| row.verdict == verdict);
        all.map(|row| row.id).collect()
    }

    /// The counts in words.
    #[must_use]
    pub fn summary(&self) -> String {
        let parts = Verdict::ALL.map(|verdict| {
            format!(
                "{} {}",
                self.count(verdict),
                match verdict {
                    Verdict::Pass => "passed",
                    Verdict::Fail => "failed",
                    Verdict::Note => "notes",
                    Verdict::Skipped => "skipped",
                }
            )
        });
        parts.join(", ")
    }
}
