//! International bank account numbers: the country's length and the check modulo 97 (ISO 13616).
//! Reads at most the country's length plus single spaces.

use super::{Span, ends_clean};

/// Longest IBAN of any country.
const LENGTH_MAX: usize = 34;

/// Countries and lengths, from the IBAN registry, in entries of five bytes.
const LENGTHS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 \
    DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 \
    GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 \
    LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 \
    PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 \
    SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30";

/// The IBAN that begins at `start`.
pub(in crate::scrub) fn find(bytes: &[u8], start: usize) -> Option<Span> {
    let length = length_in(bytes.get(start..start + 2)?)?;
    let mut digits = [0u8; LENGTH_MAX];
    let mut at = start;
    for (position, digit) in digits[..length].iter_mut().enumerate() {
        if position > 0 && bytes.get(at) == Some(&b' ') {
            at += 1;
        }
        *digit = *bytes
            .get(at)
            .filter(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())?;
        at += 1;
    }
    (ends_clean(bytes, at) && remainder(&digits[..length]) == 1).then_some(start..at)
}

fn length_in(country: &[u8]) -> Option<usize> {
    let entry = LENGTHS
        .as_bytes()
        .chunks(5)
        .find(|entry| entry.starts_with(country))?;
    Some(usize::from(entry[2] - b'0') * 10 + usize::from(entry[3] - b'0'))
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
    }
}
