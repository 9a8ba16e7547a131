//! The validators: each looks at the place a pattern found and says whether a value is there and how far it goes.
//! They read bytes around that place within stated bounds, and may not know about actions or other classes.

pub(super) mod arn;
pub(super) mod aws;
pub(super) mod card;
pub(super) mod digits;
pub(super) mod email;
pub(super) mod entropy;
pub(super) mod github;
pub(super) mod iban;
pub(super) mod jwt;
pub(super) mod mykad;
pub(super) mod nric;
pub(super) mod pem;
pub(super) mod phone;
pub(super) mod url;

/// Where a value is, as byte offsets.
pub(super) type Span = std::ops::Range<usize>;

/// The byte before `at`, if any.
pub(super) fn before(bytes: &[u8], at: usize) -> Option<u8> {
    at.checked_sub(1).and_then(|at| bytes.get(at).copied())
}

/// Whether `at` is not in the middle of letters and digits, seen from the left.
pub(super) fn starts_clean(bytes: &[u8], at: usize) -> bool {
    before(bytes, at).is_none_or(|byte| !byte.is_ascii_alphanumeric())
}

/// Whether letters or digits do not go on at `end`.
pub(super) fn ends_clean(bytes: &[u8], end: usize) -> bool {
    bytes
        .get(end)
        .is_none_or(|byte| !byte.is_ascii_alphanumeric())
}

/// How many bytes from `at` satisfy `wanted`, at most `most`.
pub(super) fn run(bytes: &[u8], at: usize, most: usize, wanted: impl Fn(u8) -> bool) -> usize {
    bytes
        .get(at..)
        .unwrap_or_default()
        .iter()
        .take(most)
        .take_while(|byte| wanted(**byte))
        .count()
}
