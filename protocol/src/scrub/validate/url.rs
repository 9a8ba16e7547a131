//! Passwords in URLs: `scheme://user:password@host`. Only the password is the value; user and host stay.
//! Reads at most [`AUTHORITY_MAX`] bytes behind `://`.

use super::{Span, before, run};

/// Longest authority looked at: tokens used as passwords can be long.
pub(in crate::scrub) const AUTHORITY_MAX: usize = 1024;

/// The password of the URL whose `://` is at `at`.
pub(in crate::scrub) fn find(bytes: &[u8], at: usize) -> Option<Span> {
    if !before(bytes, at).is_some_and(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let start = at + 3;
    let word = &bytes[start..start + run(bytes, start, AUTHORITY_MAX, |byte| !is_end(byte))];
    let authority = word
        .iter()
        .position(|byte| b"/?#".contains(byte))
        .unwrap_or(word.len());
    let colon = word[..authority].iter().position(|byte| *byte == b':')?;
    let close = match word[..authority].iter().rposition(|byte| *byte == b'@') {
        Some(close) => close,
        // A password with a raw `/`, `?` or `#`; but digits before it are a port.
        None if word[colon + 1..authority].iter().all(u8::is_ascii_digit) => return None,
        None => authority + word[authority..].iter().position(|byte| *byte == b'@')?,
    };
    let password = word.get(colon + 1..close)?;
    (!password.is_empty() && !is_placeholder(password)).then_some(start + colon + 1..start + close)
}

fn is_end(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte.is_ascii_control() || b"\"'<>`".contains(&byte)
}

/// What stands for a password: a mask, a variable or a format.
fn is_placeholder(password: &[u8]) -> bool {
    password.starts_with(b"****")
        || password.iter().all(|byte| b"*xX.".contains(byte))
        || (password.starts_with(b"${") && password.ends_with(b"}"))
        || (password.starts_with(b"{") && password.ends_with(b"}"))
        || (password.len() > 1
            && password[0] == b'$'
            && password[1..]
                .iter()
                .all(|b| b.is_ascii_uppercase() || *b == b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Option<&str> {
        find(text.as_bytes(), text.find("://")?).map(|span| &text[span])
    }

    #[test]
    fn passwords() {
        for (text, wanted) in [
            ("postgres://user:p@db.example.com/x", "p"),
            ("redis://:secret@host:6379", "secret"),
            ("https://u:p@ss@host/path", "p@ss"),
            ("amqp://u:pa/ss@host", "pa/ss"),
            ("smtp://john@example.com:pw@mail", "pw"),
        ] {
            assert_eq!(password(text), Some(wanted), "{text}");
        }
    }

    #[test]
    fn no_passwords() {
        for text in [
            "https://host:8080/@scope/pkg",
            "https://host/a:b@c",
            "https://user@host/",
            "ssh://git@github.com:22/x",
            "https://u:<url_password>@h",
            "https://u:****abcd@h",
            "https://u:${PASS}@h",
            "https://u:$PASS@h",
            "https://u:@h",
        ] {
            assert_eq!(password(text), None, "{text}");
        }
    }
}
