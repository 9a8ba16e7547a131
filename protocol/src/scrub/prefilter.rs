//! The quick look: could scrubbing change anything in these bytes? Runs on every line of every batch, before JSON is
//! parsed, so escapes count as what they might hide. May say yes too often, never no wrongly.

pub(super) fn may_change(_raw: &[u8]) -> bool {
    true
}
