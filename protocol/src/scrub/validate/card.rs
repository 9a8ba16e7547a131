//! Payment card numbers: the Luhn check and the issuers' prefixes with their lengths.
//! Judges digits only; grouping and context are the caller's.

/// Fewest digits of a card number.
pub(super) const DIGITS_MIN: usize = 13;

/// Most digits of a card number.
pub(super) const DIGITS_MAX: usize = 19;

/// Whether `digits` pass Luhn and begin like a card of this length.
///
/// Luhn alone passes a tenth of all numbers; the prefixes exclude every clock reading of this century.
pub(in crate::scrub) fn is_valid(digits: &[u8]) -> bool {
    (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) && is_issued(digits) && luhn(digits)
}

/// Prefixes as four digits, first and last, with the lengths their schemes issue.
const ISSUED: &[(u32, u32, std::ops::RangeInclusive<usize>)] = &[
    (2200, 2204, 16..=19), // Mir
    (2221, 2720, 16..=16), // Mastercard
    (3000, 3059, 14..=19), // Diners
    (3095, 3095, 14..=19), // Diners
    (3400, 3499, 15..=15), // American Express
    (3528, 3589, 16..=19), // JCB
    (3600, 3699, 14..=19), // Diners
    (3700, 3799, 15..=15), // American Express
    (3800, 3999, 14..=19), // Diners
    (4000, 4999, 13..=13), // Visa
    (4000, 4999, 16..=16), // Visa
    (4000, 4999, 19..=19), // Visa
    (5018, 5018, 13..=19), // Maestro
    (5020, 5020, 13..=19), // Maestro
    (5038, 5038, 13..=19), // Maestro
    (5080, 5089, 16..=16), // RuPay
    (5100, 5599, 16..=16), // Mastercard
    (5893, 5893, 13..=19), // Maestro
    (6011, 6011, 16..=19), // Discover
    (6200, 6299, 16..=19), // UnionPay
    (6304, 6304, 13..=19), // Maestro
    (6440, 6599, 16..=19), // Discover
    (6759, 6763, 13..=19), // Maestro
    (8100, 8199, 16..=19), // UnionPay
    (9792, 9792, 16..=16), // Troy
];

fn is_issued(digits: &[u8]) -> bool {
    let prefix = digits
        .iter()
        .take(4)
        .fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    ISSUED.iter().any(|(first, last, lengths)| {
        (*first..=*last).contains(&prefix) && lengths.contains(&digits.len())
    })
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(position, digit)| {
            let digit = u32::from(digit - b'0');
            if position % 2 == 0 {
                digit
            } else {
                digit * 2 / 10 + digit * 2 % 10
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_numbers_of_the_schemes() {
        for good in [
            "4111111111111111",
            "4222222222222",
            "5555555555554444",
            "2223003122003222",
            "378282246310005",
            "6011111111111117",
            "30569309025904",
            "3530111333300000",
            "6200000000000005",
        ] {
            assert!(is_valid(good.as_bytes()), "{good}");
        }
        for bad in [
            "4111111111111112",
            "0000000000000000",
            "411111111111111",
            "1234567812345670",
        ] {
            assert!(!is_valid(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn clock_readings_are_no_cards_even_when_they_pass_luhn() {
        let nanoseconds: Vec<String> = (0..10_000u64)
            .map(|n| (1_762_000_000_000_000_000 + n * 7).to_string())
            .collect();
        assert!(
            nanoseconds
                .iter()
                .filter(|text| luhn(text.as_bytes()))
                .count()
                > 900
        );
        assert!(!nanoseconds.iter().any(|text| is_valid(text.as_bytes())));
    }
}
