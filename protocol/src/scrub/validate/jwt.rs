//! JSON Web Tokens, signed (three parts) or encrypted (five): the first part must decode to a header with `alg`.
//! Reads at most [`HEADER_MAX`] bytes for the header.

use super::{Span, before, run};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Longest header looked at: room for a certificate chain.
const HEADER_MAX: usize = 16 * 1024;

/// Longest header in the middle of a run of letters, where each `eyJ` is tried: keeps hostile runs cheap.
const INNER_HEADER_MAX: usize = 512;

/// Parts after the header: payload and signature, or the four of an encrypted token.
const PARTS_MAX: usize = 4;

/// The token that begins at `start` with `eyJ`.
pub(in crate::scrub) fn find(bytes: &[u8], start: usize) -> Option<Span> {
    let inner = before(bytes, start).is_some_and(is_base64url);
    let most = if inner { INNER_HEADER_MAX } else { HEADER_MAX };
    let mut end = start + run(bytes, start, most, is_base64url);
    if bytes.get(end) != Some(&b'.') || !is_header(&bytes[start..end]) {
        return None;
    }
    for part in 0..PARTS_MAX {
        if bytes.get(end) != Some(&b'.') {
            break;
        }
        let length = run(bytes, end + 1, usize::MAX, is_base64url);
        match (part, length) {
            (0, 0..2) => return None,
            // A dot that ends a sentence is not of the token; the one before an empty signature is.
            (2.., 0) => break,
            _ => end += 1 + length,
        }
    }
    (bytes[start..end]
        .iter()
        .filter(|byte| **byte == b'.')
        .count()
        >= 2)
        .then_some(start..end)
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

fn is_header(text: &[u8]) -> bool {
    let Ok(json) = URL_SAFE_NO_PAD.decode(text) else {
        return false;
    };
    serde_json::from_slice::<serde_json::Value>(&json)
        .is_ok_and(|header| header.get("alg").is_some_and(|alg| alg.is_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

    #[test]
    fn signed_unsigned_and_encrypted() {
        let signed = format!(
            "{HEADER}.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
        );
        assert_eq!(find(signed.as_bytes(), 0), Some(0..signed.len()));
        assert_eq!(
            find(format!("{signed}. Next").as_bytes(), 0),
            Some(0..signed.len())
        );
        let unsigned = format!("{HEADER}.eyJzdWIi.");
        assert_eq!(find(unsigned.as_bytes(), 0), Some(0..unsigned.len()));
        let encrypted = format!("{HEADER}.aa.bb.cc.dd");
        assert_eq!(find(encrypted.as_bytes(), 0), Some(0..encrypted.len()));
    }

    #[test]
    fn other_base64_of_json_is_no_token() {
        for text in [
            "eyJhIjoxfQ.eyJzdWIi.x",
            HEADER,
            "eyJhbGciOiJIUzI1NiI.aaaa.bbbb",
            &format!("{HEADER}.aaaa"),
        ] {
            assert_eq!(find(text.as_bytes(), 0), None, "{text}");
        }
    }
}
