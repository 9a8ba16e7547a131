//! Day digests recomputed while the entries go by (R12).

use super::Report;
use belfry_protocol::day::day_root;
use belfry_protocol::entry::json::Json;
use belfry_protocol::tlog::compact::CompactRange;

/// The day being walked.
#[derive(Default)]
pub(super) struct DayWalk {
    /// Entries since the last day digest, that one included.
    pub(super) range: CompactRange,
}

impl DayWalk {
    /// Compares a `day.digest` entry with what was walked, then begins the next day with it.
    pub(super) fn close(&mut self, index: u64, body: &Json, report: &mut Report) {
        let number = |key: &str| body.get(key).and_then(Json::as_u64);
        let expected = (Some(self.range.start()), Some(self.range.end()));
        let root = day_root(&self.range).to_hex();
        if (number("start"), number("end")) != expected {
            let (start, end) = (self.range.start(), self.range.end());
            report.problem(
                format!("entry {index}"),
                format!("the day digest does not cover entries {start} to {end}"),
            );
        } else if body.get("root").and_then(Json::as_str) != Some(root.as_str()) {
            report.problem(
                format!("entry {index}"),
                format!("the day digest is not {root}"),
            );
        } else {
            report.days += 1;
        }
        self.range = CompactRange::empty_at(index);
    }
}
