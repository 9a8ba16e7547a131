//! Small strict readers shared by the text formats: decimals, hashes, lines, control bytes.
//! May not accept two spellings of one value.

use crate::tlog::MAX_SIZE;
use crate::tlog::hash::Hash;

/// Reads a canonical decimal of at most 2^63 - 1: digits only, no leading zero.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    if !canonical || text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|value| *value <= MAX_SIZE)
}

/// Reads a hash as canonical base64 of exactly 32 bytes.
pub(crate) fn hash(text: &str) -> Option<Hash> {
    crate::base64::decode(text)?.try_into().ok().map(Hash)
}

/// Prints a hash as [`hash`] reads it.
pub(crate) fn print_hash(hash: &Hash) -> String {
    crate::base64::encode(hash.as_bytes())
}

/// Splits off the first line; `None` if no LF is left. The line comes without its LF.
pub(crate) fn next_line<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let (line, tail) = rest.split_once('\n')?;
    *rest = tail;
    Some(line)
}

/// Whether the text has a control byte other than LF (a C2SP note may have none).
pub(crate) fn has_control(text: &str) -> bool {
    text.bytes().any(|b| b < 0x20 && b != b'\n')
}
