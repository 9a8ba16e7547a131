//! International telephone numbers, `+` and the country code first (E.164).
//! Walks from the `+` over at most [`GROUPS_MAX`] groups; local forms are in [`super::digits`].

use super::{Span, before, ends_clean, run};

/// Country code, area code and four groups.
const GROUPS_MAX: usize = 6;

/// Fewest digits: shorter ones are changed line counts (`+1234`) and time zones.
const DIGITS_MIN: usize = 8;

/// Most digits (E.164).
const DIGITS_MAX: usize = 15;

/// The number whose `+` is at `plus`.
pub(in crate::scrub) fn find(bytes: &[u8], plus: usize) -> Option<Span> {
    if before(bytes, plus) == Some(b'+') {
        return None;
    }
    if !matches!(bytes.get(plus + 1), Some(b'1'..=b'9')) {
        return None;
    }
    let mut lengths = [0; GROUPS_MAX];
    let (mut at, mut total, mut end) = (plus + 1, 0, None);
    for group in 0..GROUPS_MAX {
        let length = run(bytes, at, DIGITS_MAX + 1, |byte| byte.is_ascii_digit());
        total += length;
        if length == 0 || total > DIGITS_MAX || (group >= 2 && length == 1) {
            break;
        }
        lengths[group] = length;
        at += length;
        if total >= DIGITS_MIN && ends_clean(bytes, at) && !is_other(bytes, plus, at, &lengths) {
            end = Some(at);
        }
        match next_group(bytes, at) {
            Some(next) => at = next,
            None => break,
        }
    }
    end.map(|end| plus..end)
}

/// Where the next group begins: after one separator, parentheses beside it not counted.
fn next_group(bytes: &[u8], at: usize) -> Option<usize> {
    let separators = run(bytes, at, 3, |byte| {
        matches!(byte, b' ' | b'-' | b'.' | b'(' | b')')
    });
    let plain = bytes[at..at + separators]
        .iter()
        .filter(|byte| matches!(byte, b' ' | b'-' | b'.'))
        .count();
    (separators > 0 && plain <= 1 || matches!(&bytes[at..at + separators], b" (" | b") " | b")-"))
        .then_some(at + separators)
}

/// Numbers with a sign that only look like telephone numbers: added dates and decimal fractions.
fn is_other(bytes: &[u8], plus: usize, end: usize, lengths: &[usize; GROUPS_MAX]) -> bool {
    let first = lengths[0];
    let separator = bytes.get(plus + 1 + first).copied();
    let two = lengths[1] > 0 && plus + 1 + first + 1 + lengths[1] == end;
    match (separator, lengths) {
        (Some(b'-'), [4, 2, 2, ..]) => true,
        // `+1.2025550123` is how registries write numbers; other lengths are fractions.
        (Some(b'.'), _) if two => {
            !((first == 1 && lengths[1] == 10) || ((2..=3).contains(&first) && lengths[1] <= 12))
        }
        // A country code has three digits at most.
        (Some(b' ' | b'-' | b'.' | b'(' | b')'), _) => first > 4 && lengths[1] > 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Option<&str> {
        find(text.as_bytes(), text.rfind('+')?).map(|span| &text[span])
    }

    #[test]
    fn international_numbers() {
        for (text, wanted) in [
            ("+6591234567", "+6591234567"),
            ("call +65 9123 4567.", "+65 9123 4567"),
            ("+1 (202) 555-0123", "+1 (202) 555-0123"),
            ("+1-202-555-0123", "+1-202-555-0123"),
            ("+65.91234567", "+65.91234567"),
            ("+1.2025550123", "+1.2025550123"),
            ("+60 12-345 6789, x", "+60 12-345 6789"),
            ("+44 20 7946 0958", "+44 20 7946 0958"),
            ("+49(30)901820", "+49(30)901820"),
        ] {
            assert_eq!(number(text), Some(wanted), "{text}");
        }
    }

    #[test]
    fn traps() {
        for text in [
            "@@ -1,7 +1,9 @@",
            "12:00:00+0800",
            "+0800",
            "+1234",
            "+1 +1 +1 +1 +1 +1",
            "c++12345678",
            "+2025-11-02 added",
            "+1.23456789",
            "+1234567890123456",
            "+12345678abc",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
