//! E-mail addresses: walks both ways from the `@`, at most [`LOCAL_MAX`] and [`DOMAIN_MAX`] bytes.
//! May not decode anything: percent and JSON escapes are decoded before.

use super::{Span, before};

/// RFC 5321 §4.5.3.1.1.
const LOCAL_MAX: usize = 64;

/// RFC 5321 §4.5.3.1.3 allows 255 bytes; with a local part and `@` the whole is at most 254.
const DOMAIN_MAX: usize = 252;

/// Longest address (RFC 5321 with erratum 1690).
const ADDRESS_MAX: usize = 254;

/// Longest label of a domain (RFC 1035).
const LABEL_MAX: usize = 63;

/// Last labels that are file types and systemd units, not domains: `logo@2x.png`, `user@1000.service`.
const NOT_DOMAINS: &[&str] = &[
    "png", "jpg", "jpeg", "gif", "svg", "webp", "service", "socket", "timer", "mount", "slice",
    "scope", "target", "path", "tgz", "js", "ts", "rs", "go", "py", "json", "yml", "yaml", "md",
    "txt", "log", "lock",
];

/// Accounts of version control servers, as in `git@github.com`: a transport, not a person.
const NOT_PEOPLE: &[&str] = &["git", "hg", "svn"];

/// The address around the `@` at `at`.
pub(in crate::scrub) fn find(bytes: &[u8], at: usize) -> Option<Span> {
    let start = local_start(bytes, at)?;
    let end = domain_end(bytes, at + 1)?;
    let local = &bytes[start..at];
    let refused = end - start > ADDRESS_MAX
        || NOT_PEOPLE
            .iter()
            .any(|name| local.eq_ignore_ascii_case(name.as_bytes()));
    (!refused).then_some(start..end)
}

/// Whether an address can end behind the `@` at `at`: looks at the domain only.
pub(in crate::scrub) fn has_domain(bytes: &[u8], at: usize) -> bool {
    domain_end(bytes, at + 1).is_some()
}

fn local_start(bytes: &[u8], at: usize) -> Option<usize> {
    match before(bytes, at)? {
        b'"' => return quoted_start(bytes, at - 1),
        b'.' => return None,
        _ => {}
    }
    let mut start = at;
    while start > 0 && at - start < LOCAL_MAX {
        let byte = bytes[start - 1];
        match byte {
            // What stands before two dots is not of this address.
            b'.' if bytes[start] == b'.' => break,
            _ if byte.is_ascii_alphanumeric()
                || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-') =>
            {
                start -= 1
            }
            0x80..=0xbf if start >= 2 && matches!(bytes[start - 2], 0xc3..=0xc9) => start -= 2,
            _ => break,
        }
    }
    start += bytes[start..at]
        .iter()
        .take_while(|byte| **byte == b'.')
        .count();
    (start < at).then_some(start)
}

/// The start of a quoted local part whose closing quote is at `close`: `"john doe"@example.com`.
fn quoted_start(bytes: &[u8], close: usize) -> Option<usize> {
    let from = close.saturating_sub(LOCAL_MAX);
    let open = from + bytes[from..close].iter().rposition(|byte| *byte == b'"')?;
    let inner = &bytes[open + 1..close];
    // Else this is punctuation between two JSON strings.
    let is_name = inner
        .first()
        .is_some_and(|first| !b":,[]{} ".contains(first))
        && inner.iter().any(u8::is_ascii_alphanumeric)
        && !inner.contains(&b'\n')
        && before(bytes, open).is_none_or(|byte| b" <(,;:\t\r\n".contains(&byte));
    is_name.then_some(open)
}

/// The end of the longest domain from `start` whose last label is a top-level domain.
fn domain_end(bytes: &[u8], start: usize) -> Option<usize> {
    let limit = bytes.len().min(start + DOMAIN_MAX);
    let (mut at, mut labels, mut end) = (start, 0, None);
    loop {
        let length = bytes[at..limit]
            .iter()
            .take_while(|byte| is_label(**byte))
            .count();
        let label = &bytes[at..at + length];
        if at + length == limit && bytes.get(limit).is_some_and(|byte| is_label(*byte)) {
            return None;
        }
        if label.is_empty() || length > LABEL_MAX || label.starts_with(b"-") {
            break;
        }
        if labels > 0 && is_top_level(label) {
            end = Some((at, at + length));
        }
        if label.ends_with(b"-") {
            break;
        }
        labels += 1;
        at += length;
        if bytes.get(at) != Some(&b'.') || at + 1 >= limit {
            break;
        }
        at += 1;
    }
    let (label, end) = end?;
    let label = &bytes[label..end];
    (!NOT_DOMAINS
        .iter()
        .any(|other| label.eq_ignore_ascii_case(other.as_bytes())))
    .then_some(end)
}

fn is_label(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || !byte.is_ascii()
}

fn is_top_level(label: &[u8]) -> bool {
    let alphabetic = (2..=24).contains(&label.len()) && label.iter().all(u8::is_ascii_alphabetic);
    let punycode = label.len() > 4 && label[..4].eq_ignore_ascii_case(b"xn--") && label.is_ascii();
    alphabetic || punycode
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_sign(text: &str) -> Option<&str> {
        find(text.as_bytes(), text.rfind('@')?).map(|span| &text[span])
    }

    #[test]
    fn addresses_are_found_whole() {
        for (text, address) in [
            (
                "mail john.doe+ci@mail.example.com.",
                "john.doe+ci@mail.example.com",
            ),
            ("<a@b.co>", "a@b.co"),
            ("see ...foo@bar.com", "foo@bar.com"),
            ("a..b@c.com", "b@c.com"),
            ("x foo@bar.com.1", "foo@bar.com"),
            ("to \"john doe\"@example.com", "\"john doe\"@example.com"),
            ("jörg@münchen.example", "jörg@münchen.example"),
            ("a@b.xn--p1ai", "a@b.xn--p1ai"),
            (
                "1+a@users.noreply.github.com",
                "1+a@users.noreply.github.com",
            ),
        ] {
            assert_eq!(at_sign(text), Some(address), "{text}");
        }
    }

    #[test]
    fn traps() {
        for text in [
            "git@github.com:o/r.git",
            "user@1000.service",
            "getty@tty1.service",
            "logo@2x.png",
            "x@1.0.0.tgz",
            "react@18.2.0",
            "checkout@v4",
            "img@sha256:0123",
            "@scope/pkg",
            "foo.@bar.com",
            "{\"to\":\"@example.com\"}",
            "a@-b.com",
            "a@localhost",
        ] {
            assert_eq!(at_sign(text), None, "{text}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        let local = "a".repeat(100);
        assert_eq!(
            at_sign(&format!("{local}@b.co")).map(str::len),
            Some(LOCAL_MAX + 5)
        );
        assert_eq!(at_sign(&format!("a@{}.com", "b".repeat(64))), None);
        assert_eq!(at_sign(&format!("a@{}com", "bbbbbbb.".repeat(40))), None);
    }
}
