//! Short fingerprints of public keys for people to read aloud, with a check digit against slips.
//! May not stand in for the key where a program compares.

use belfry_protocol::note::VerifierKey;
use belfry_protocol::tlog::hash::sha256_parts;

const DOMAIN: &[u8] = b"belfry/fingerprint/v1\0";

/// Digits before the check digit: 64 bits, beyond what somebody could search for a look-alike.
const DIGITS: usize = 16;

/// The fingerprint of a public key and its name, like `ab3f-19c2-77d0-55e1-4`: 16 digits of a hash, then a Luhn
/// check digit to base 16, which finds any one wrong digit and nearly any two neighbours swapped.
#[must_use]
pub fn fingerprint(key: &VerifierKey) -> String {
    let digits = &sha256_parts(&[DOMAIN, key.to_string().as_bytes()]).to_hex()[..DIGITS];
    let mut text = String::with_capacity(DIGITS + 6);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && position % 4 == 0 {
            text.push('-');
        }
        text.push(digit);
    }
    text.push('-');
    text.extend(char::from_digit(luhn(digits), 16));
    text
}

/// Whether a text has the form of a fingerprint and its check digit is right.
#[must_use]
pub fn is_fingerprint(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').take(DIGITS).collect();
    let digits = groups.concat();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let is_lower_hex = digits
        .bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if lengths != [4, 4, 4, 4, 1] || !is_lower_hex {
        return false;
    }
    let (payload, check) = digits.split_at(DIGITS);
    char::from_digit(luhn(payload), 16).is_some_and(|digit| check.starts_with(digit))
}

/// The Luhn check digit to base 16.
fn luhn(digits: &str) -> u32 {
    let values = digits.chars().rev().filter_map(|digit| digit.to_digit(16));
    let sum: u32 = values
        .enumerate()
        .map(|(position, value)| {
            let weighted = if position % 2 == 0 { value * 2 } else { value };
            weighted / 16 + weighted % 16
        })
        .sum();
    (16 - sum % 16) % 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_digit_is_found() {
        let vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let good = fingerprint(&VerifierKey::parse(vkey).unwrap());
        assert_eq!(good.len(), 21);
        assert!(is_fingerprint(&good), "{good}");
        for (at, old) in good.char_indices().filter(|(_, c)| *c != '-') {
            for new in "0123456789abcdefg-".chars().filter(|new| *new != old) {
                let mut bad = good.clone();
                bad.replace_range(at..=at, &new.to_string());
                assert!(!is_fingerprint(&bad), "{bad}");
            }
        }
        for bad in [
            "",
            "-",
            "----",
            "0000-0000-0000-0000",
            "0000-0000-0000-000-00",
        ] {
            assert!(!is_fingerprint(bad));
        }
        assert!(is_fingerprint("0000-0000-0000-0000-0"));
    }
}
