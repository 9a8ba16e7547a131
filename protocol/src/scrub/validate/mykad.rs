//! Malaysian MyKad numbers: a date of birth and a place code. There is no check digit, so undashed ones need context.
//! Judges twelve digits; may not look around them.

/// Whether twelve digits begin with a date and go on with an assigned place code.
pub(in crate::scrub) fn is_valid(digits: &[u8]) -> bool {
    if digits.len() != 12 || !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let pair = |at: usize| (digits[at] - b'0') * 10 + (digits[at + 1] - b'0');
    is_date(pair(0), pair(2), pair(4)) && is_place(pair(6))
}

/// The century is unknown, so 29 February passes in each year that can be a leap year: 1900 is not one, 2000 is.
fn is_date(year: u8, month: u8, day: u8) -> bool {
    let days = match month {
        2 if year.is_multiple_of(4) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

fn is_place(code: u8) -> bool {
    matches!(code, 1..=16 | 21..=59 | 60..=68 | 71 | 72 | 74..=79 | 82..=93 | 98 | 99)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_places() {
        for good in [
            "900101141234",
            "000229015678",
            "991231995555",
            "850731105123",
        ] {
            assert!(is_valid(good.as_bytes()), "{good}");
        }
        for bad in [
            "901301141234",
            "900230141234",
            "010229015678",
            "900101001234",
            "900101171234",
            "900101701234",
        ] {
            assert!(!is_valid(bad.as_bytes()), "{bad}");
        }
        assert!(!is_valid(b"90010114123"));
    }
}
