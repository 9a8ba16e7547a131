//! Private keys in text: where a PEM block ends, and the one line of a minisign or signify secret.
//! An unterminated block reaches to the end of the text, because its rest may be key material.

use super::{Span, run};
use memchr::memmem;

/// Longest label before `PRIVATE KEY` in an end line.
const LABEL_MAX: usize = 64;

/// Longest age identity looked at: post-quantum ones are longer than the first kind.
const AGE_MAX: usize = 4096;

/// Fewest characters of a minisign or signify secret; public keys have 56.
const MINISIGN_MIN: usize = 64;

/// Most characters of such a secret; real ones have 140 or 212.
const MINISIGN_MAX: usize = 1024;

/// The end of the block whose first line ends at `body`: behind the end line, or the end of the text.
pub(in crate::scrub) fn block_end(bytes: &[u8], body: usize) -> Option<usize> {
    const END: &[u8] = b"-----END ";
    let mut from = body;
    while let Some(found) = memmem::find(&bytes[from..], END) {
        let label = from + found + END.len();
        let length = run(bytes, label, LABEL_MAX, |byte| {
            byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' '
        });
        let end = label + length;
        if memmem::find(&bytes[label..end], b"PRIVATE KEY").is_some() {
            return Some(end + run(bytes, end, 5, |byte| byte == b'-'));
        }
        from = label;
    }
    None
}

/// The age identity that begins at `start`: a run of letters and digits behind its dashes.
pub(in crate::scrub) fn age(bytes: &[u8], start: usize) -> Span {
    start
        ..start
            + run(bytes, start, AGE_MAX, |byte| {
                byte.is_ascii_alphanumeric() || byte == b'-'
            })
}

/// The secret that begins at `start`: a run of base64.
pub(in crate::scrub) fn minisign(bytes: &[u8], start: usize) -> Option<Span> {
    let length = run(bytes, start, MINISIGN_MAX, |byte| {
        byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)
    });
    (length >= MINISIGN_MIN).then_some(start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_blocks() {
        let text = b"AAAA\n-----END RSA PRIVATE KEY-----\nafter";
        assert_eq!(block_end(text, 0), Some(text.len() - 6));
        let two = b"AA\n-----END CERTIFICATE-----\nBB\\n-----END PRIVATE KEY-----";
        assert_eq!(block_end(two, 0), Some(two.len()));
        assert_eq!(block_end(b"AAAA\n-----END CERTIFICATE-----", 0), None);
        assert_eq!(block_end(b"AAAA", 4), None);
    }

    #[test]
    fn minisign_public_keys_survive() {
        assert_eq!(
            minisign(
                b"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3",
                0
            ),
            None
        );
        let secret = format!("RWRTY0Iy{}", "A".repeat(204));
        assert_eq!(minisign(secret.as_bytes(), 0), Some(0..212));
    }
}
