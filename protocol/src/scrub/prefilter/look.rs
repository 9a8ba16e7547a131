//! The closer looks at single places. Each may say yes too often; what stands left of a place counts as a border when
//! it can be the letter of an escape such as `\n`.

use crate::scrub::encoded;
use crate::scrub::validate::{self, aws, digits, email, ends_clean, iban, nric, phone, url};

/// Values behind or hidden by `@`, `%`, `\` and `+`.
pub(super) fn mark(raw: &[u8], at: usize) -> bool {
    match raw[at] {
        b'@' => email::has_domain(raw, at) || in_url(raw, at),
        b'%' => raw
            .get(at + 1..at + 3)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
        b'+' => phone::find(raw, at).is_some(),
        _ => escape(raw, at),
    }
}

/// Whether a URL's authority could reach to `at`.
fn in_url(raw: &[u8], at: usize) -> bool {
    memchr::memmem::rfind(&raw[at.saturating_sub(url::AUTHORITY_MAX + 3)..at], b"://").is_some()
}

/// Escapes that end a word are passed over; those that could be part of a value are not.
fn escape(raw: &[u8], at: usize) -> bool {
    let rest = &raw[at + 1..];
    match rest.first() {
        Some(b'n' | b'r') => {
            rest.get(1).is_some_and(u8::is_ascii_digit)
                && free_digits(raw, at + 2, count_digits(raw, at + 2))
        }
        // In text that is not JSON, `\t1234567D` may be a directory named by an NRIC.
        Some(b't') => rest.get(1).is_some_and(u8::is_ascii_digit),
        // Of several, the last but one sees what follows.
        Some(b'\\') => rest.get(1).is_some_and(u8::is_ascii_alphanumeric),
        Some(byte) => byte.is_ascii_alphanumeric() || *byte == b'/',
        None => false,
    }
}

fn starts_clean(raw: &[u8], at: usize) -> bool {
    validate::starts_clean(raw, at) || is_escaped(raw, at)
}

/// Whether the byte before `at` can be the letter of an escape.
fn is_escaped(raw: &[u8], at: usize) -> bool {
    at >= 2 && raw[at - 2] == b'\\'
}

/// `length` digits with a border before them.
pub(super) fn free_digits(raw: &[u8], first: usize, length: usize) -> bool {
    let end = first + length;
    let shaped = length >= 8 || (goes_on(raw, end) && may_group(raw, first, length));
    (shaped && digits::detect(raw, first, |_, _| true).is_some()) || is_float(raw, first, end)
}

fn count_digits(raw: &[u8], from: usize) -> usize {
    raw[from..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count()
}

/// Whether a separator and more digits follow.
fn goes_on(raw: &[u8], end: usize) -> bool {
    match raw.get(end..) {
        Some([b' ' | b'-' | b'.', next, ..]) => next.is_ascii_digit(),
        Some([b')', ..]) => true,
        _ => false,
    }
}

/// Whether the lengths of the first groups are of some number; every shape of [`digits::detect`] is here.
fn may_group(raw: &[u8], first: usize, length: usize) -> bool {
    let separator = raw[first + length];
    let second = count_digits(raw, first + length + 1);
    match (length, second) {
        _ if separator == b')' => true,
        (6, 2) | (4, 4 | 6) | (3, 3) => true,
        (2, 4 | 8) => raw[first..].starts_with(b"65"),
        (2..=4, 3..=8) if raw[first] == b'0' => true,
        _ => separator != b'.' && chain(raw, first, separator) >= 13,
    }
}

/// Digits in groups with one separator, counted until there are enough for a card.
fn chain(raw: &[u8], first: usize, separator: u8) -> usize {
    let (mut at, mut total) = (first, 0);
    loop {
        let length = count_digits(raw, at);
        total += length;
        at += length + 1;
        if length == 0 || total >= 13 || raw.get(at - 1) != Some(&separator) {
            return total;
        }
    }
}

/// A JSON number that is written as an integer when it is read: `4.1e15`, `4100000000000000.0`.
fn is_float(raw: &[u8], first: usize, end: usize) -> bool {
    match raw.get(end) {
        Some(b'e' | b'E') => {
            let sign = usize::from(matches!(raw.get(end + 1), Some(b'+' | b'-')));
            let exponent = end + 1 + sign;
            let length = raw
                .get(exponent..)
                .map_or(0, |_| count_digits(raw, exponent));
            length > 0 && ends_clean(raw, exponent + length)
        }
        Some(b'.') => is_rounded(raw, first, end),
        _ => false,
    }
}

/// A fraction that canonical text drops or cuts: `91234567.0`, `9123.45670`, `4651111117111110.7`. A double holds any 15
/// digits, so shorter ones without a last zero stay as they are.
fn is_rounded(raw: &[u8], first: usize, point: usize) -> bool {
    let end = point + 1 + count_digits(raw, point + 1);
    let cut = end - first > 16 || raw[end - 1] == b'0';
    if end == point + 1 || !cut {
        return false;
    }
    let number = std::str::from_utf8(&raw[first..end]).map(str::parse::<f64>);
    let Ok(Ok(number)) = number else { return true };
    let mut buffer = ryu_js::Buffer::new();
    digits::detect(buffer.format(number).as_bytes(), 0, |_, _| true).is_some()
}

/// Seven digits behind a letter.
pub(super) fn nric(raw: &[u8], first: usize) -> bool {
    starts_clean(raw, first - 1)
        && ends_clean(raw, first + 8)
        && raw.get(first - 1..first + 8).is_some_and(nric::is_valid)
}

/// Three digits: the end of a masked NRIC.
pub(super) fn masked(raw: &[u8], first: usize) -> bool {
    let hidden = |byte: &u8| matches!(byte, b'x' | b'X' | b'*');
    first >= 4 && raw[first - 3..first].iter().all(hidden)
}

/// Two digits behind two capitals.
pub(super) fn iban(raw: &[u8], first: usize) -> bool {
    starts_clean(raw, first - 2) && iban::find(raw, first - 2).is_some()
}

/// Five capitals: the first word of a PEM block.
pub(super) fn pem(raw: &[u8], first: usize) -> bool {
    raw[first..].starts_with(b"BEGIN ") && raw[..first].ends_with(b"-----")
}

/// A colon between letters.
pub(super) fn arn(raw: &[u8], at: usize) -> bool {
    raw[..at].ends_with(b"arn") && raw[at + 1..].starts_with(b"aws")
}

/// A long word.
pub(super) fn word(raw: &[u8], start: usize) -> bool {
    let length = raw[start..]
        .iter()
        .take_while(|byte| encoded::is_base64(**byte))
        .count();
    let end = start + length;
    let word = &raw[start..end];
    let (mut capitals, mut joined) = (false, false);
    for byte in word {
        capitals |= byte.is_ascii_uppercase();
        joined |= matches!(byte, b'-' | b'_');
    }
    (capitals && has_prefix(raw, start, end))
        || (joined && length >= 36 && (has_uuid(word) || has_age(word) || has_github(word)))
        || has_hidden(raw, start, end, capitals)
        // In JSON the first letter may be of an escape, in other text it may be of the word.
        || (start > 0 && raw[start - 1] == b'\\' && has_hidden(raw, start + 1, end, capitals))
}

/// Values without marks: base64 of text, AWS secrets (which have capitals).
fn has_hidden(raw: &[u8], start: usize, end: usize, capitals: bool) -> bool {
    if encoded::may_be_text(raw, start..end) {
        return true;
    }
    let mut found = false;
    if capitals && end - start >= aws::SECRET_LEN {
        aws::secret_shapes(raw, start..end, |_| found = true);
    }
    found
}

/// Headers of tokens, AWS key ids, Google API keys, minisign secrets.
fn has_prefix(raw: &[u8], start: usize, end: usize) -> bool {
    raw[start..end]
        .windows(4)
        .enumerate()
        .any(|(at, text)| match text {
            [b'e', b'y', b'J', _] => true,
            b"AKIA"
            | b"ASIA"
            | b"ABIA"
            | b"ACCA"
            | b"AIza"
            | [b'A', b'3', b'T', _]
            | b"RWRT"
            | b"RWQA"
            | b"RWRC" => starts_clean(raw, start + at),
            _ => false,
        })
}

fn has_uuid(word: &[u8]) -> bool {
    let dashes = |text: &[u8]| [8, 13, 18, 23].iter().all(|at| text[*at] == b'-');
    word.windows(36)
        .any(|text| text[14] == b'4' && dashes(text))
}

fn has_age(word: &[u8]) -> bool {
    memchr::memmem::find(word, b"AGE-SECRET-KEY-").is_some()
        || memchr::memmem::find(word, b"age-secret-key-").is_some()
}

fn has_github(word: &[u8]) -> bool {
    memchr::memchr_iter(b'_', word).any(|at| {
        let head = &word[..at];
        head.ends_with(b"github")
            || head
                .last_chunk()
                .is_some_and(|[g, h, _]| [*g, *h] == *b"gh")
    })
}
