//! Context words: digits alone are a telephone number only beside a word that says so.
//! May not look further than [`RADIUS`], so that a scan stays linear.

/// How far from a value a word counts, in bytes.
pub(super) const RADIUS: usize = 40;

/// Words beside local telephone numbers.
pub(super) const PHONE: &[&str] = &[
    "tel",
    "telephone",
    "phone",
    "handphone",
    "mobile",
    "mob",
    "hp",
    "contact",
    "whatsapp",
    "sms",
    "call",
    "fax",
];

/// Words beside MyKad numbers written without dashes.
pub(super) const MYKAD: &[&str] = &["mykad", "nric", "ic", "kad", "identity", "kp", "pengenalan"];

/// Words beside card numbers in unusual groups.
pub(super) const CARD: &[&str] = &[
    "card",
    "visa",
    "mastercard",
    "amex",
    "pan",
    "credit",
    "debit",
    "cc",
    "payment",
    "unionpay",
    "jcb",
    "diners",
];

/// Words beside AWS secrets.
pub(super) const AWS: &[&str] = &[
    "aws",
    "secret",
    "secrets",
    "accesskey",
    "access_key",
    "access-key",
    "access key",
];

/// Every list with its name, for the rule set's hash.
pub(super) const ALL: &[(&str, &[&str])] = &[
    ("phone", PHONE),
    ("mykad", MYKAD),
    ("card", CARD),
    ("aws", AWS),
];

/// Whether one of `words` stands within [`RADIUS`] bytes of `start..end`, as a word of its own or of an identifier.
pub(super) fn near(bytes: &[u8], start: usize, end: usize, words: &[&str]) -> bool {
    let before = start.saturating_sub(RADIUS)..start;
    let after = end..bytes.len().min(end + RADIUS);
    within(bytes, before, words) || within(bytes, after, words)
}

/// Whether `name`, for example a field's, holds one of `words`.
pub(super) fn names(name: &str, words: &[&str]) -> bool {
    within(name.as_bytes(), 0..name.len(), words)
}

fn within(bytes: &[u8], range: std::ops::Range<usize>, words: &[&str]) -> bool {
    range.clone().any(|at| {
        bytes[at].is_ascii_alphabetic()
            && begins_word(bytes, at)
            && words.iter().any(|word| {
                let end = at + word.len();
                end <= range.end
                    && bytes[at..end].eq_ignore_ascii_case(word.as_bytes())
                    && ends_word(bytes, end)
            })
            && !in_token(bytes, at)
    })
}

/// A word begins after a non-letter or at a hump, as in `homePhone` and `AWSSecret`.
fn begins_word(bytes: &[u8], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|before| bytes[before]) else {
        return true;
    };
    !before.is_ascii_alphabetic() || is_hump(before, bytes[at], bytes.get(at + 1))
}

/// A word ends before a non-letter or before a hump, as in `phoneNumber` and `AWSSecret`.
fn ends_word(bytes: &[u8], end: usize) -> bool {
    let Some(next) = bytes.get(end) else {
        return true;
    };
    !next.is_ascii_alphabetic() || is_hump(bytes[end - 1], *next, bytes.get(end + 1))
}

/// Whether the letter between these two begins a word of an identifier.
fn is_hump(before: u8, letter: u8, after: Option<&u8>) -> bool {
    letter.is_ascii_uppercase()
        && (before.is_ascii_lowercase() || after.is_some_and(u8::is_ascii_lowercase))
}

/// The name in a token such as `<phone.…>` says nothing about its neighbours.
fn in_token(bytes: &[u8], at: usize) -> bool {
    let name = bytes[..at]
        .iter()
        .rev()
        .take(RADIUS)
        .take_while(|byte| byte.is_ascii_lowercase() || **byte == b'_')
        .count();
    at > name && bytes[at - name - 1] == b'<'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone(text: &str) -> bool {
        let at = text.find('#').unwrap();
        near(text.as_bytes(), at, at + 1, PHONE)
    }

    #[test]
    fn words_count_on_both_sides_and_inside_identifiers() {
        for text in [
            "Tel: #",
            "phone_number=#",
            "homePhone #",
            "PHONE #",
            "# (mobile)",
            "contactNumber: #",
            "XMLPhone #",
        ] {
            assert!(phone(text), "{text}");
        }
    }

    #[test]
    fn parts_of_words_tokens_and_far_words_do_not_count() {
        let far = format!("tel {} #", "x".repeat(40));
        for text in [
            "telemetry #",
            "callback #",
            "php #",
            "<phone.abc.def> #",
            "recall #",
            &far,
        ] {
            assert!(!phone(text), "{text}");
        }
    }
}
