//! Groups of digits: decides between MyKad, card and local telephone number by shape, check and context.
//! The scan and the prefilter share it; the prefilter assumes every context, so it can only say yes more often.

use super::super::class::Class;
use super::{Span, before, card, ends_clean, mykad, run};

/// Most groups looked at: a card has five at most, and the bound keeps a scan of digits linear.
const GROUPS_MAX: usize = 8;

/// Digits in groups, with what stands before each.
struct Groups {
    spans: [(usize, usize); GROUPS_MAX],
    count: usize,
    digits: [u8; card::DIGITS_MAX],
}

/// What kind of number begins at `start`, the first digit of a run, and where it ends.
pub(in crate::scrub) fn detect(
    bytes: &[u8],
    start: usize,
    context: impl Fn(Class, &Span) -> bool,
) -> Option<(Class, Span)> {
    let prev = before(bytes, start);
    // `*` stands before what a mask kept.
    if prev == Some(b'*') || is_fraction(bytes, start) {
        return None;
    }
    let groups = Groups::read(bytes, start);
    let inside = matches!(prev, Some(b'-' | b'.'))
        && before(bytes, start - 1).is_some_and(|b| b.is_ascii_digit());
    if !inside && let Some(span) = groups.mykad(bytes, &context) {
        return Some((Class::MyNric, span));
    }
    if let Some(span) = groups.card(bytes, &context) {
        return Some((Class::Card, span));
    }
    if inside {
        return None;
    }
    groups
        .local_phone(bytes, &context)
        .map(|span| (Class::Phone, span))
}

/// Whether `start` follows a decimal point, as in `0.41`.
fn is_fraction(bytes: &[u8], start: usize) -> bool {
    before(bytes, start) == Some(b'.')
        && before(bytes, start - 1).is_some_and(|byte| byte.is_ascii_digit())
}

impl Groups {
    /// Reads groups with one separator between; stops where a card could not go on.
    fn read(bytes: &[u8], start: usize) -> Self {
        let mut groups = Self {
            spans: [(0, 0); GROUPS_MAX],
            count: 0,
            digits: [0; card::DIGITS_MAX],
        };
        let (mut at, mut total) = (start, 0);
        while groups.count < GROUPS_MAX {
            let length = run(bytes, at, card::DIGITS_MAX + 1, |byte| {
                byte.is_ascii_digit()
            });
            if length == 0 || total + length > card::DIGITS_MAX {
                break;
            }
            groups.digits[total..total + length].copy_from_slice(&bytes[at..at + length]);
            groups.spans[groups.count] = (at, at + length);
            groups.count += 1;
            total += length;
            at += length;
            match bytes.get(at..).unwrap_or_default() {
                [b')', b' ' | b'-', ..] => at += 2,
                [b' ' | b'-' | b'.' | b')', ..] => at += 1,
                _ => break,
            }
        }
        groups
    }

    fn spans(&self) -> &[(usize, usize)] {
        &self.spans[..self.count]
    }

    fn lengths(&self) -> [usize; GROUPS_MAX] {
        self.spans.map(|(start, end)| end - start)
    }

    /// Start and end of the first `count` groups.
    fn span(&self, count: usize) -> Span {
        self.spans[0].0..self.spans[count - 1].1
    }

    /// Whether `wanted` stands between each two of the first `count` groups.
    fn separated(&self, bytes: &[u8], count: usize, wanted: &[&[u8]]) -> bool {
        let mut between = self.spans()[..count]
            .windows(2)
            .map(|pair| &bytes[pair[0].1..pair[1].0]);
        let Some(first) = between.next() else {
            return true;
        };
        wanted.contains(&first) && between.all(|other| other == first)
    }

    fn mykad(&self, bytes: &[u8], context: impl Fn(Class, &Span) -> bool) -> Option<Span> {
        let count = match self.lengths() {
            [6, 2, 4, ..] if self.separated(bytes, 3, &[b"-"]) => 3,
            [12, ..] => 1,
            _ => return None,
        };
        let span = self.span(count);
        let follows =
            matches!(bytes.get(span.end..), Some([b'-', digit, ..]) if digit.is_ascii_digit());
        (ends_clean(bytes, span.end)
            && !follows
            && mykad::is_valid(&self.digits[..12])
            && (count == 3 || context(Class::MyNric, &span)))
        .then_some(span)
    }

    /// The longest card number that ends with a group.
    fn card(&self, bytes: &[u8], context: impl Fn(Class, &Span) -> bool) -> Option<Span> {
        let lengths = self.lengths();
        (1..=self.count).rev().find_map(|count| {
            let digits = self.digits.get(..lengths[..count].iter().sum())?;
            let span = self.span(count);
            let plausible = ends_clean(bytes, span.end)
                && self.separated(bytes, count, &[b" ", b"-"])
                && card::is_valid(digits);
            if !plausible {
                return None;
            }
            let usual = match lengths[..count] {
                // Alone, the lengths that nearly all cards have; others are too often identifiers.
                [length] => matches!(length, 15 | 16) || span == (0..bytes.len()),
                [4, 6, 4 | 5] => true,
                [4, 4, 4, 1..=4] | [4, 4, 4, 4, 1..=3] => true,
                _ => false,
            };
            (usual || context(Class::Card, &span)).then_some(span)
        })
    }

    /// Local forms of Singapore, of trunk prefix 0 (Malaysia and others) and of North America; never without context.
    fn local_phone(&self, bytes: &[u8], context: impl Fn(Class, &Span) -> bool) -> Option<Span> {
        let lengths = self.lengths();
        let digits = &self.digits;
        let singapore = matches!(digits[0], b'3' | b'6' | b'8' | b'9');
        let count = match lengths {
            [8, ..] if singapore => 1,
            [4, 4, ..] if singapore => 2,
            [2, 8, ..] if digits.starts_with(b"65") => 2,
            [2, 4, 4, ..] if digits.starts_with(b"65") => 3,
            [10, ..] if digits.starts_with(b"65") => 1,
            [9..=11, ..] if digits[0] == b'0' => 1,
            [11 | 12, ..] if digits.starts_with(b"60") => 1,
            [2..=4, 6..=8, ..] if digits[0] == b'0' => 2,
            [2..=4, 3 | 4, 3 | 4, ..] if digits[0] == b'0' => 3,
            [3, 3, 4, ..] if digits[0] >= b'2' => 3,
            _ => return None,
        };
        let span = self.span(count);
        let follows = matches!(bytes.get(span.end..), Some([b'-' | b'.', digit, ..]) if digit.is_ascii_digit());
        (ends_clean(bytes, span.end) && !follows && context(Class::Phone, &span)).then_some(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str, context: bool) -> Option<(Class, &str)> {
        let start = text.find(|c: char| c.is_ascii_digit())?;
        detect(text.as_bytes(), start, |_, _| context).map(|(class, span)| (class, &text[span]))
    }

    #[test]
    fn cards_in_usual_groups_need_no_context() {
        for text in [
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "3782 822463 10005",
            "pay 4111111111111111 now",
        ] {
            assert_eq!(
                with(text, false).map(|hit| hit.0),
                Some(Class::Card),
                "{text}"
            );
        }
        assert_eq!(
            with("4111 1111 1111 1111 12", false),
            Some((Class::Card, "4111 1111 1111 1111"))
        );
        assert_eq!(with("v 41 1111 1111 1111 11", false), None);
        assert_eq!(
            with("v 41 1111 1111 1111 11", true).map(|hit| hit.0),
            Some(Class::Card)
        );
        assert_eq!(with("x 0.4111111111111111", true), None);
    }

    #[test]
    fn mykad_with_dashes_needs_no_context() {
        assert_eq!(
            with("900101-14-1234", false),
            Some((Class::MyNric, "900101-14-1234"))
        );
        assert_eq!(with("900101141234", false), None);
        assert_eq!(
            with("900101141234", true),
            Some((Class::MyNric, "900101141234"))
        );
        assert_eq!(with("901301-14-1234", false), None);
        assert_eq!(with("900101-14-1234-5", false), None);
    }

    #[test]
    fn local_numbers_only_with_context() {
        for text in [
            "9123 4567",
            "91234567",
            "65 9123 4567",
            "012-345 6789",
            "012-3456789",
            "(202) 555-0123",
        ] {
            assert_eq!(with(text, false), None, "{text}");
            assert_eq!(
                with(text, true).map(|hit| hit.0),
                Some(Class::Phone),
                "{text}"
            );
        }
        for text in [
            "2025-11-02 10:11:12",
            "20251102",
            "1762000000000000000",
            "192.168.100.12",
            "1234567890",
        ] {
            assert_eq!(with(text, true), None, "{text}");
        }
    }
}
