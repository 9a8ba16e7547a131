//! GitHub tokens: how far they go, and their checksum.
//! A wrong checksum alone does not clear a token: what looks random behind the prefix is redacted.

use super::{Span, entropy, run};

/// Longest token looked at; GitHub says to store up to 255 characters.
const TOKEN_MAX: usize = 255;

/// Characters of the checksum at the end.
const CHECKSUM_LEN: usize = 6;

/// The token that begins at `start`; the pattern has matched its first characters.
pub(in crate::scrub) fn find(bytes: &[u8], start: usize) -> Option<Span> {
    let length = run(bytes, start, TOKEN_MAX, |byte| {
        byte.is_ascii_alphanumeric() || byte == b'_'
    });
    let token = &bytes[start..start + length];
    let prefix = if token.starts_with(b"github_pat_") {
        "github_pat_".len()
    } else {
        "ghp_".len()
    };
    let random = token.get(prefix..)?;
    let real = has_checksum(random) || entropy::at_least(random, 30);
    real.then_some(start..start + length)
}

/// Whether the last characters are the CRC-32 of the others in base 62.
fn has_checksum(random: &[u8]) -> bool {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let Some(border) = random.len().checked_sub(CHECKSUM_LEN) else {
        return false;
    };
    let (body, checksum) = random.split_at(border);
    let mut rest = crc32(body);
    let mut expected = [0; CHECKSUM_LEN];
    for digit in expected.iter_mut().rev() {
        *digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    checksum == expected
}

/// CRC-32 as in zlib, bit by bit: tokens are short and rare.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_and_checksum() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert!(has_checksum(b"1234567893jZRME"));
        assert!(has_checksum(b"0123456789abcdefghijklmnopqrst3j70pI"));
        assert!(!has_checksum(b"1234567893jZRMF"));
    }

    #[test]
    fn random_tokens_are_redacted_and_placeholders_kept() {
        let token = b"ghp_16C7e42F292c6912E7710c838347Ae178B4a";
        assert_eq!(find(token, 0), Some(0..40));
        assert_eq!(find(b"ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 0), None);
    }
}
