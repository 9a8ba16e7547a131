//! AWS access key ids and secret access keys. Judges the characters found; context is the caller's.

use super::super::encoded;
use super::{Span, ends_clean, entropy};

/// Characters of a secret access key: 30 bytes in base64.
pub(in crate::scrub) const SECRET_LEN: usize = 40;

/// Whether `span` is an access key id: clean borders and not a placeholder.
pub(in crate::scrub) fn is_key_id(bytes: &[u8], span: &Span) -> bool {
    let id = &bytes[span.clone()];
    ends_clean(bytes, span.end) && !id.ends_with(b"EXAMPLE") && entropy::at_least(id, 30)
}

/// Visits what has the look of a secret in `range`: runs of exactly [`SECRET_LEN`] characters.
pub(in crate::scrub) fn secret_shapes(bytes: &[u8], range: Span, mut visit: impl FnMut(Span)) {
    let mut at = range.start;
    while at < range.end {
        let length = bytes[at..range.end]
            .iter()
            .take_while(|byte| is_secret_byte(**byte))
            .count();
        if length == SECRET_LEN && is_secret(&bytes[at..at + length]) {
            visit(at..at + length);
        }
        at += length + 1;
    }
}

fn is_secret_byte(byte: u8) -> bool {
    // Through the table: branches on random letters and digits are mispredicted.
    encoded::is_base64(byte) && byte != b'-' && byte != b'_'
}

/// Whether `text` has the look of a secret: mixed case and digits, which hexadecimal and paths lack.
fn is_secret(text: &[u8]) -> bool {
    text.len() == SECRET_LEN
        && text.iter().any(u8::is_ascii_uppercase)
        && text.iter().any(u8::is_ascii_lowercase)
        && text.iter().any(|byte| !byte.is_ascii_alphabetic())
        && entropy::at_least(text, 42)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_ids() {
        let check = |text: &str| is_key_id(text.as_bytes(), &(0..20));
        assert!(check("AKIAQ3EGRNXA7PLW2BMK"));
        assert!(!check("AKIAIOSFODNN7EXAMPLE"));
        assert!(!check("AKIAAAAAAAAAAAAAAAAA"));
        assert!(!check("AKIAQ3EGRNXA7PLW2BMKX"));
    }

    #[test]
    fn secrets() {
        assert!(is_secret(b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYzK4v8Qp1Zs"));
        assert!(!is_secret(b"da39a3ee5e6b4b0d3255bfef95601890afd80709"));
        assert!(!is_secret(b"DA39A3EE5E6B4B0D3255BFEF95601890AFD80709"));
        assert!(!is_secret(b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYzK4v8Qp1Z"));
    }
}
