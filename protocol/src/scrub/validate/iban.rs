//! International bank account numbers: the country's length and the check modulo 97 (ISO 13616).
//! Reads at most the country's length plus single spaces.

use super::{Span, ends_clean, starts_clean};

/// Longest IBAN of any country.
const LENGTH_MAX: usize = 34;

/// Countries and lengths, from the IBAN registry.
const LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// The IBAN that begins at `start`.
pub(in crate::scrub) fn find(bytes: &[u8], start: usize) -> Option<Span> {
    let country = bytes.get(start..start + 2)?;
    let (_, length) = LENGTHS.iter().find(|(code, _)| *code == country)?;
    if !starts_clean(bytes, start) {
        return None;
    }
    let mut digits = [0u8; LENGTH_MAX];
    let mut at = start;
    for (position, digit) in digits[..*length].iter_mut().enumerate() {
        if position > 0 && bytes.get(at) == Some(&b' ') {
            at += 1;
        }
        *digit = *bytes
            .get(at)
            .filter(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())?;
        at += 1;
    }
    (ends_clean(bytes, at) && remainder(&digits[..*length]) == 1).then_some(start..at)
}

/// The number modulo 97 with the first four characters moved to the end and letters as 10 to 35.
fn remainder(text: &[u8]) -> u32 {
    let (head, tail) = text.split_at(4);
    tail.iter().chain(head).fold(0, |sum, byte| {
        if byte.is_ascii_digit() {
            (sum * 10 + u32::from(byte - b'0')) % 97
        } else {
            (sum * 100 + u32::from(byte - b'A') + 10) % 97
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_the_registry() {
        for good in [
            "GB29NWBK60161331926819",
            "GB29 NWBK 6016 1331 9268 19",
            "DE89370400440532013000",
            "NO9386011117947",
            "MT84MALT011000012345MTLCAST001S",
            "FR14 2004 1010 0505 0001 3M02 606",
        ] {
            assert_eq!(find(good.as_bytes(), 0), Some(0..good.len()), "{good}");
        }
        for bad in [
            "GB29NWBK60161331926818",
            "GB29NWBK6016133192681",
            "XX29NWBK60161331926819",
            "GB29NWBK60161331926819A",
        ] {
            assert_eq!(find(bad.as_bytes(), 0), None, "{bad}");
        }
        assert_eq!(find(b"AGB29NWBK60161331926819", 1), None);
    }
}
