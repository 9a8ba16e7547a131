//! Canonical base64 (RFC 4648 §4, with padding): one spelling for each value, as the C2SP formats demand.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Encodes with the standard alphabet and padding.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes canonical base64; `None` for missing padding, set trailing bits or foreign characters.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
