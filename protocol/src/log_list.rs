//! Lists of logs that ask for witnesses, in the format `logs/v0` of the witness network. May not fetch one or decide what
//! becomes of it: a list is additive, see [`Logs::add_list`].

use crate::engine::federation::witness::{Logs, LogsError};
use crate::note::{Algorithm, NoteError, VerifierKey};
use thiserror::Error;

/// Most bytes of a list: the largest of today has 40,000 logs in about 10 MB.
pub const MAX_LIST_BYTES: usize = 32 << 20;

/// The first line of a list.
const HEADER: &str = "logs/v0";

/// Why a list was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
pub struct ListError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: ListProblem,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ListProblem {
    /// The list is too long.
    #[error("the list is longer than {MAX_LIST_BYTES} bytes")]
    TooLarge,
    /// It is no text.
    #[error("the list is not valid UTF-8")]
    NotText,
    /// Another line is due.
    #[error("expected {0}")]
    Expected(&'static str),
    /// The key cannot be read.
    #[error(transparent)]
    Key(#[from] NoteError),
    /// The log was not taken.
    #[error(transparent)]
    Log(#[from] LogsError),
    /// The number is out of range.
    #[error("qpd is a decimal number from 1 to 2147483647")]
    Qpd,
    /// The origin has another log already.
    #[error("{0} is listed twice")]
    Twice(String),
}

/// Which line is due.
enum Due {
    Header,
    Key,
    OriginOrQpd(Box<VerifierKey>),
    /// Of the log with this origin.
    Qpd(String),
    Contact,
}

/// Reads a list.
///
/// # Errors
/// [`ListError`], with the line.
pub fn parse(bytes: &[u8]) -> Result<Logs, ListError> {
    let at = |line, problem| ListError { line, problem };
    if bytes.len() > MAX_LIST_BYTES {
        return Err(at(1, ListProblem::TooLarge));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        at(line, ListProblem::NotText)
    })?;
    let mut logs = Logs::default();
    let mut due = Due::Header;
    let mut last = 1;
    for (number, line) in (1..).zip(text.lines()) {
        last = number;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        due = take(&mut logs, due, line).map_err(|problem| at(number, problem))?;
    }
    match due {
        Due::Key => Ok(logs),
        Due::Header => Err(at(last, ListProblem::Expected("`logs/v0`"))),
        Due::OriginOrQpd(_) | Due::Qpd(_) => Err(at(last, ListProblem::Expected("a `qpd` line"))),
        Due::Contact => Err(at(last, ListProblem::Expected("a `contact` line"))),
    }
}

fn take(logs: &mut Logs, due: Due, line: &str) -> Result<Due, ListProblem> {
    let value = |key: &str| {
        let rest = line.strip_prefix(key)?.strip_prefix(' ')?.trim();
        (!rest.is_empty()).then_some(rest)
    };
    match due {
        Due::Header if line == HEADER => Ok(Due::Key),
        Due::Header => Err(ListProblem::Expected("`logs/v0`")),
        Due::Key => {
            let key = value("vkey").ok_or(ListProblem::Expected("a `vkey` line"))?;
            let key = VerifierKey::parse(key)?;
            if key.algorithm() != Algorithm::Ed25519 {
                return Err(LogsError::KeyType(key.algorithm().byte()).into());
            }
            Ok(Due::OriginOrQpd(Box::new(key)))
        }
        Due::OriginOrQpd(key) => {
            let origin = value("origin");
            let name = origin.unwrap_or_else(|| key.name()).to_owned();
            if logs.get(&name).is_some() {
                return Err(ListProblem::Twice(name));
            }
            logs.add(&name, *key)?;
            match origin {
                Some(_) => Ok(Due::Qpd(name)),
                None => take(logs, Due::Qpd(name), line),
            }
        }
        Due::Qpd(name) => {
            let number = value("qpd").ok_or(ListProblem::Expected("a `qpd` line"))?;
            let is_decimal =
                number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
            match number.parse::<u32>() {
                Ok(queries) if is_decimal && (1..1 << 31).contains(&queries) => {
                    logs.limit(&name, queries);
                    Ok(Due::Contact)
                }
                _ => Err(ListProblem::Qpd),
            }
        }
        Due::Contact => {
            value("contact").ok_or(ListProblem::Expected("a `contact` line"))?;
            Ok(Due::Key)
        }
    }
}

/// Prints a list that reads as the same logs; only the first key of each is listed. `queries_per_day`: of those that no list
/// limits.
#[must_use]
pub fn print(logs: &Logs, queries_per_day: u32, contact: &str) -> String {
    let mut text = format!("{HEADER}\n");
    for (origin, log) in logs.iter() {
        let Some(key) = log.keys.first() else {
            continue;
        };
        text.push_str(&format!("\nvkey {key}\n"));
        if origin != key.name() {
            text.push_str(&format!("origin {origin}\n"));
        }
        let queries = log.queries_per_day.unwrap_or(queries_per_day);
        text.push_str(&format!("qpd {queries}\ncontact {contact}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::SigningKey;
    use proptest::prelude::*;

    fn key(name: &str) -> VerifierKey {
        let key = SigningKey::ed25519(name, [7; 32]).unwrap();
        key.verifier().clone()
    }

    fn list() -> String {
        let (foo, bar) = (key("tlog.foo.example"), key("bar.example/tlog"));
        format!(
            "#\n# Revision: 1\nlogs/v0\n\nvkey {foo}\nqpd 86400\ncontact https://foo.example\n\n  vkey {bar}  \norigin go.sum database tree\nqpd 24\ncontact sysadmin (at) bar.example\n"
        )
    }

    #[test]
    fn a_list_names_origins_and_keys() {
        let logs = parse(list().as_bytes()).unwrap();
        let all: Vec<(&str, &[VerifierKey])> = logs
            .iter()
            .map(|(origin, log)| (origin, log.keys.as_slice()))
            .collect();
        assert_eq!(
            all,
            [
                ("go.sum database tree", &[key("bar.example/tlog")][..]),
                ("tlog.foo.example", &[key("tlog.foo.example")][..])
            ]
        );
        let limit = |origin| logs.get(origin).unwrap().queries_per_day;
        assert_eq!(limit("tlog.foo.example"), Some(86_400));
        assert_eq!(limit("go.sum database tree"), Some(24));
        assert_eq!(parse(print(&logs, 1, "x").as_bytes()), Ok(logs));
        assert!(parse(b"logs/v0\n").unwrap().is_empty());
    }

    #[test]
    fn an_error_says_which_line() {
        let list = list();
        let broken = |from: &str, to: &str| parse(list.replace(from, to).as_bytes()).unwrap_err();
        assert_eq!(broken("logs/v0", "logs/v1").line, 3);
        assert_eq!(broken("qpd 86400", "qpd 086400").line, 6);
        assert_eq!(broken("qpd 86400", "qpd 2147483648").line, 6);
        assert_eq!(broken("qpd 86400\n", "").line, 6);
        assert_eq!(broken("contact sys", "kontact sys").line, 12);
        assert_eq!(broken("contact sysadmin (at) bar.example\n", "").line, 11);
        assert_eq!(broken("vkey tlog", "vkey ttlog").line, 5);
        assert_eq!(
            broken("origin go.sum database tree", "origin tlog.foo.example").line,
            10
        );
        let cosigner = SigningKey::cosigner("tower.example", [1; 32]).unwrap();
        let other = format!("logs/v0\nvkey {}\nqpd 1\ncontact x\n", cosigner.verifier());
        assert_eq!(parse(other.as_bytes()).unwrap_err().line, 2);
        assert_eq!(parse(b"").unwrap_err().line, 1);
        assert_eq!(parse(b"logs/v0\n\xff").unwrap_err().line, 2);
    }

    #[test]
    fn a_list_adds_and_never_replaces() {
        let mut logs = Logs::default();
        logs.add("tlog.foo.example", key("other.example")).unwrap();
        assert_eq!(logs.add_list(parse(list().as_bytes()).unwrap()), 0);
        assert_eq!(logs.len(), 2);
        let configured = logs.get("tlog.foo.example").unwrap();
        assert_eq!(configured.keys, [key("other.example")]);
        assert_eq!(configured.queries_per_day, None);
    }

    proptest! {
        #[test]
        fn what_is_read_prints_to_the_same_logs(lines in prop::collection::vec(0usize..9, 0..24)) {
            let pieces = [
                "logs/v0".to_owned(), format!("vkey {}", key("a.example")), format!("vkey {}", key("b.example")),
                "origin c".to_owned(), "qpd 5".to_owned(), "contact x".to_owned(), String::new(), "# x".to_owned(), "vkey x".to_owned(),
            ];
            let text: String = std::iter::once("logs/v0\n".to_owned())
                .chain(lines.into_iter().map(|one| format!("{}\n", pieces[one])))
                .collect();
            if let Ok(logs) = parse(text.as_bytes()) {
                prop_assert_eq!(parse(print(&logs, 7, "y").as_bytes()), Ok(logs));
            }
        }
    }
}
