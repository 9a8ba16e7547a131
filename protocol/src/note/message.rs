//! The bytes that cosignatures sign (C2SP `tlog-cosignature`). Only these functions lay them out.
//! May not sign or verify.

use super::NoteError;
use crate::tlog::MAX_SIZE;
use crate::tlog::hash::Hash;

/// Largest cosignature time, in seconds since 1970: signed 64-bit readers must be able to hold it.
pub const MAX_TIMESTAMP_SECONDS: u64 = MAX_SIZE;

/// Domain of an ML-DSA-44 (sub)tree cosignature, 12 bytes.
const SUBTREE_DOMAIN: &[u8; 12] = b"subtree/v1\n\0";

/// What an Ed25519 cosignature (type 0x04) signs: the time and the whole checkpoint text.
///
/// It does not bind the cosigner's name, so each cosigner needs a key of its own.
#[must_use]
pub fn cosignature_message(checkpoint_text: &str, timestamp_seconds: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {timestamp_seconds}\n{checkpoint_text}").into_bytes()
}

/// What an ML-DSA-44 cosignature (type 0x06) signs: the subtree `[start, end)` of `origin` with root `hash`.
///
/// # Errors
/// [`NoteError::Name`] if `cosigner` or `origin` is not 1 to 255 bytes long.
pub fn subtree_message(
    cosigner: &str,
    timestamp_seconds: u64,
    origin: &str,
    start: u64,
    end: u64,
    hash: &Hash,
) -> Result<Vec<u8>, NoteError> {
    let mut message = SUBTREE_DOMAIN.to_vec();
    push_name(&mut message, cosigner)?;
    message.extend_from_slice(&timestamp_seconds.to_be_bytes());
    push_name(&mut message, origin)?;
    message.extend_from_slice(&start.to_be_bytes());
    message.extend_from_slice(&end.to_be_bytes());
    message.extend_from_slice(hash.as_bytes());
    Ok(message)
}

fn push_name(message: &mut Vec<u8>, name: &str) -> Result<(), NoteError> {
    let length = u8::try_from(name.len()).ok().filter(|length| *length > 0);
    let length = length.ok_or(NoteError::Name(
        "a name in a subtree cosignature has 1 to 255 bytes",
    ))?;
    message.push(length);
    message.extend_from_slice(name.as_bytes());
    Ok(())
}

/// Checks a time for a checkpoint cosignature: 1 to 2^63 - 1 seconds.
pub(crate) fn check_timestamp(timestamp_seconds: u64) -> Result<(), NoteError> {
    if timestamp_seconds == 0 || timestamp_seconds > MAX_TIMESTAMP_SECONDS {
        return Err(NoteError::Timestamp(timestamp_seconds));
    }
    Ok(())
}
