//! Commitments to private payloads, idempotency ids and pseudonyms: everything of an entry that is keyed.
//! Draws no randomness: salts come in as values, fresh from the operating system (R10).

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Largest private payload in bytes, the content type included.
pub const MAX_PAYLOAD_LEN: usize = 1 << 20;

/// Smallest length that a commitment tells: shorter payloads look alike.
const SMALLEST_TOLD_LEN: u64 = 256;

/// The node's long-lived secrets for entries. Never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct EntrySecrets {
    /// Key of idempotency ids (R11).
    pub idempotency: [u8; 32],
    /// Key of pseudonyms for tenant and source of private entries (R10).
    pub pseudonym: [u8; 32],
    /// Master of the scrubber's token keys, one per tenant.
    pub scrub: [u8; 32],
}

impl std::fmt::Debug for EntrySecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EntrySecrets(…)")
    }
}

/// HMAC-SHA256 over length-prefixed parts, so that no two lists of parts look alike.
#[must_use]
pub fn keyed(key: &[u8; 32], label: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = new_mac(key);
    mac.update(label.as_bytes());
    mac.update(b"\0");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[allow(clippy::expect_used)] // HMAC takes keys of any length
fn new_mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// A private payload as it is committed to: content type and exact length go inside.
#[must_use]
pub fn encode_payload(content_type: &str, content: &[u8]) -> Vec<u8> {
    let mut payload = format!("{content_type}\n{}\n", content.len()).into_bytes();
    payload.extend_from_slice(content);
    payload
}

/// Content type and content of an encoded payload; `None` if it is not one.
#[must_use]
pub fn decode_payload(payload: &[u8]) -> Option<(&str, &[u8])> {
    let type_end = memchr::memchr(b'\n', payload)?;
    let (content_type, rest) = (&payload[..type_end], &payload[type_end + 1..]);
    let length_end = memchr::memchr(b'\n', rest)?;
    let (length, content) = (&rest[..length_end], &rest[length_end + 1..]);
    let exact = content.len().to_string().as_bytes() == length;
    exact.then_some((std::str::from_utf8(content_type).ok()?, content))
}

/// The commitment `HMAC-SHA256(salt, "belfry/commit/v1\0" ‖ payload)` of R10.
#[must_use]
pub fn commitment(salt: &[u8; 32], payload: &[u8]) -> [u8; 32] {
    let mut mac = new_mac(salt);
    mac.update(b"belfry/commit/v1\0");
    mac.update(payload);
    mac.finalize().into_bytes().into()
}

/// The length a leaf tells of a payload: rounded up to a power of two, at least 256.
#[must_use]
pub fn told_length(payload_len: usize) -> u64 {
    (payload_len as u64)
        .next_power_of_two()
        .max(SMALLEST_TOLD_LEN)
}

/// A keyed pseudonym for `value` in the role `field`: 32 hexadecimal digits behind `p:`.
#[must_use]
pub fn pseudonym(secrets: &EntrySecrets, field: &str, value: &str) -> String {
    let mac = keyed(
        &secrets.pseudonym,
        "belfry/pseudonym/v1",
        &[field.as_bytes(), value.as_bytes()],
    );
    format!("p:{}", crate::hex::encode(&mac[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_encoding_is_exact() {
        let payload = encode_payload("application/json", b"{\"a\":\"\n\"}");
        assert_eq!(
            decode_payload(&payload),
            Some(("application/json", b"{\"a\":\"\n\"}".as_slice()))
        );
        assert_eq!(decode_payload(&payload[..payload.len() - 1]), None);
        assert_eq!(decode_payload(b"x"), None);
    }

    #[test]
    fn golden_commitment() {
        let hmac = commitment(&[7; 32], b"text/plain\n2\nhi");
        assert_eq!(crate::hex::encode(&hmac), GOLDEN);
        assert_ne!(hmac, commitment(&[8; 32], b"text/plain\n2\nhi"));
        assert_eq!(
            (told_length(0), told_length(256), told_length(257)),
            (256, 256, 512)
        );
    }

    // Computed with Python's hmac module.
    const GOLDEN: &str = "478b8aed45536eb28b088a6741dd6d827a71e2910433f284c1c8e52eb7fbe935";
}
