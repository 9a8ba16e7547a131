//! Spans of time as people write them on a command line: `30m`, `24h`, `90d`.

use crate::exit::{Code, Failure};

/// The span in seconds.
pub(super) fn seconds(text: &str) -> Result<i64, Failure> {
    let bad = || {
        Failure::new(
            Code::Usage,
            format!("{text:?} is no time span like 30m, 24h or 90d"),
        )
    };
    let unit = text.chars().next_back().ok_or_else(bad)?;
    let each: i64 = match unit {
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(bad()),
    };
    let count: i64 = text[..text.len() - 1]
        .parse()
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(bad)?;
    count.checked_mul(each).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_positive_numbers_with_a_unit() {
        for (text, expected) in [("30m", 1_800), ("24h", 86_400), ("90d", 7_776_000)] {
            assert_eq!(seconds(text).unwrap(), expected);
        }
        for bad in [
            "",
            "h",
            "0h",
            "-1h",
            "24",
            "24w",
            "1.5h",
            "99999999999999999d",
            "1é",
        ] {
            assert_eq!(seconds(bad).unwrap_err().code, Code::Usage, "{bad:?}");
        }
    }
}
