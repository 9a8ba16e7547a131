//! The check letter of Singapore NRIC and FIN numbers. Judges nine characters; may not look around them.

const WEIGHTS: [u32; 7] = [2, 7, 6, 5, 4, 3, 2];

/// Whether nine bytes are an NRIC (`S`, `T`) or FIN (`F`, `G`, `M`) with the right check letter.
///
/// For `M` both published tables are accepted: they differ in one letter, and redacting too much is the safe side.
pub(in crate::scrub) fn is_valid(text: &[u8]) -> bool {
    let [first, digits @ .., last] = text else {
        return false;
    };
    if digits.len() != WEIGHTS.len() || !digits.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let sum: u32 = digits
        .iter()
        .zip(WEIGHTS)
        .map(|(digit, weight)| u32::from(digit - b'0') * weight)
        .sum();
    let (offset, tables): (u32, &[&[u8; 11]]) = match first.to_ascii_uppercase() {
        b'S' => (0, &[b"JZIHGFEDCBA"]),
        b'T' => (4, &[b"JZIHGFEDCBA"]),
        b'F' => (0, &[b"XWUTRQPNMLK"]),
        b'G' => (4, &[b"XWUTRQPNMLK"]),
        b'M' => (3, &[b"XWUTRQPNJLK", b"XWUTRQPNMLK"]),
        _ => return false,
    };
    let remainder = ((sum + offset) % 11) as usize;
    tables
        .iter()
        .any(|table| table[remainder] == last.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        for good in [
            "S1234567D",
            "T1234567J",
            "F1234567N",
            "G1234567X",
            "M1234567K",
            "M1235467X",
            "s1234567d",
        ] {
            assert!(is_valid(good.as_bytes()), "{good}");
        }
        for bad in [
            "S1234567A",
            "T1234567D",
            "A1234567D",
            "S123456D",
            "S12345678",
            "M1234567A",
            "",
        ] {
            assert!(!is_valid(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn each_number_has_one_letter_but_some_of_m_have_two() {
        for first in *b"STFGM" {
            for number in 0..2000u32 {
                let letters = (b'A'..=b'Z')
                    .filter(|last| {
                        is_valid(
                            format!("{}{number:07}{}", char::from(first), char::from(*last))
                                .as_bytes(),
                        )
                    })
                    .count();
                assert!(letters == 1 || (first == b'M' && letters == 2));
            }
        }
    }
}
