//! Ways to spoil a good request, one fault in each: every one must be answered 400.

use super::logs::Log;
use super::tree::{Request, line};
use belfry_protocol::tlog::MAX_PROOF_HASHES;

/// A way to spoil a request.
pub(super) struct Case {
    pub(super) id: &'static str,
    pub(super) about: &'static str,
    spoil: Spoil,
}

/// Which part is spoilt, and how.
enum Spoil {
    /// The whole body.
    Whole(fn(Request, &Log) -> Vec<u8>),
    /// The old size.
    Old(fn(&str) -> String),
    /// The first proof line.
    Proof(fn(&str) -> String),
    /// The checkpoint, of origin, size and root; the log signs it as it is.
    Text(fn(&str, &str, &str) -> String),
    /// The signature line.
    Line(fn(&str) -> String),
}

impl Case {
    /// The spoilt body, of a good request that grows the log by one.
    pub(super) fn body(&self, mut good: Request, log: &Log) -> Vec<u8> {
        match self.spoil {
            Spoil::Whole(spoil) => return spoil(good, log),
            Spoil::Old(spoil) => good.old = spoil(&good.old),
            Spoil::Proof(spoil) => {
                if let Some(first) = good.proof.first_mut() {
                    *first = spoil(first);
                }
            }
            Spoil::Text(spoil) => {
                let lines: Vec<&str> = good.text.lines().collect();
                let text = match lines[..] {
                    [origin, size, root] => spoil(origin, size, root),
                    _ => String::new(),
                };
                return good.with_text(log, text).body();
            }
            Spoil::Line(spoil) => good.lines = good.lines.iter().map(|line| spoil(line)).collect(),
        }
        good.body()
    }
}

const fn case(id: &'static str, about: &'static str, spoil: fn(Request, &Log) -> Vec<u8>) -> Case {
    let spoil = Spoil::Whole(spoil);
    Case { id, about, spoil }
}

const fn old(id: &'static str, about: &'static str, spoil: fn(&str) -> String) -> Case {
    let spoil = Spoil::Old(spoil);
    Case { id, about, spoil }
}

const fn proof(id: &'static str, about: &'static str, spoil: fn(&str) -> String) -> Case {
    let spoil = Spoil::Proof(spoil);
    Case { id, about, spoil }
}

const fn text(
    id: &'static str,
    about: &'static str,
    spoil: fn(&str, &str, &str) -> String,
) -> Case {
    let spoil = Spoil::Text(spoil);
    Case { id, about, spoil }
}

const fn signature(id: &'static str, about: &'static str, spoil: fn(&str) -> String) -> Case {
    let spoil = Spoil::Line(spoil);
    Case { id, about, spoil }
}

/// Every way.
pub(super) const CASES: &[Case] = &[
    case("400-empty", "a body of one empty line", |_, _| {
        b"\n".to_vec()
    }),
    case("400-not-utf8", "a byte that is not UTF-8", |good, _| {
        let mut body = good.body();
        if let Some(last) = body.last_mut() {
            *last = 0xff;
        }
        body
    }),
    case("400-no-old-line", "no `old` line", |good, _| {
        let body = good.body();
        let first = body.iter().position(|byte| *byte == b'\n');
        body[first.map_or(0, |at| at + 1)..].to_vec()
    }),
    old("400-old-empty", "`old` without a number", |_| String::new()),
    old(
        "400-old-leading-zero",
        "the old size with a leading zero",
        |old| format!("0{old}"),
    ),
    old("400-old-plus", "the old size with a plus sign", |old| {
        format!("+{old}")
    }),
    old("400-old-minus", "a negative old size", |old| {
        format!("-{old}")
    }),
    old("400-old-hex", "the old size in hexadecimal", |old| {
        format!("0x{old}")
    }),
    old("400-old-space", "two spaces before the old size", |old| {
        format!(" {old}")
    }),
    old("400-old-trailing", "a space after the old size", |old| {
        format!("{old} ")
    }),
    old("400-old-too-large", "an old size of 2^64", |_| {
        "18446744073709551616".to_owned()
    }),
    case("400-64-proof-lines", "64 proof lines", |mut good, _| {
        let hash = super::tree::print(&belfry_protocol::tlog::hash::empty_root());
        good.proof.resize(MAX_PROOF_HASHES + 1, hash);
        good.body()
    }),
    proof("400-proof-31-bytes", "a proof line of 31 bytes", |_| {
        belfry_protocol::base64::encode(&[1; 31])
    }),
    proof("400-proof-33-bytes", "a proof line of 33 bytes", |_| {
        belfry_protocol::base64::encode(&[1; 33])
    }),
    proof(
        "400-proof-not-canonical",
        "a proof line with set trailing bits",
        loosened,
    ),
    proof(
        "400-proof-no-padding",
        "a proof line without padding",
        |hash| hash.trim_end_matches('=').to_owned(),
    ),
    proof(
        "400-proof-space",
        "a proof line that begins with a space",
        |hash| format!(" {hash}"),
    ),
    proof(
        "400-proof-not-base64",
        "a proof line that is not base64",
        |_| "*".repeat(44),
    ),
    case(
        "400-no-empty-line",
        "no empty line before the note",
        |mut good, _| {
            let proof = std::mem::take(&mut good.proof);
            let body = good.body();
            let rest = body
                .iter()
                .position(|byte| *byte == b'\n')
                .map_or(0, |at| at + 2);
            [
                format!("old {}\n", good.old).as_bytes(),
                proof.join("\n").as_bytes(),
                b"\n",
                &body[rest..],
            ]
            .concat()
        },
    ),
    case(
        "400-carriage-returns",
        "lines that end in CR LF",
        |good, _| {
            String::from_utf8_lossy(&good.body())
                .replace('\n', "\r\n")
                .into_bytes()
        },
    ),
    text(
        "400-two-line-checkpoint",
        "a checkpoint of two lines, signed",
        |origin, size, _| format!("{origin}\n{size}\n"),
    ),
    text(
        "400-no-origin",
        "an empty origin line, signed",
        |_, size, root| format!("\n{size}\n{root}\n"),
    ),
    text(
        "400-size-leading-zero",
        "a size with a leading zero, signed",
        |origin, size, root| format!("{origin}\n0{size}\n{root}\n"),
    ),
    text(
        "400-size-plus",
        "a size with a plus sign, signed",
        |origin, size, root| format!("{origin}\n+{size}\n{root}\n"),
    ),
    text(
        "400-size-word",
        "a size that is no number, signed",
        |origin, _, root| format!("{origin}\nmany\n{root}\n"),
    ),
    text(
        "400-root-31-bytes",
        "a root of 31 bytes, signed",
        |origin, size, _| {
            format!(
                "{origin}\n{size}\n{}\n",
                belfry_protocol::base64::encode(&[1; 31])
            )
        },
    ),
    text(
        "400-root-not-canonical",
        "a root with set trailing bits, signed",
        |origin, size, root| format!("{origin}\n{size}\n{}\n", loosened(root)),
    ),
    text(
        "400-control-byte",
        "a tab in an extension line, signed",
        |origin, size, root| format!("{origin}\n{size}\n{root}\na\tb\n"),
    ),
    case("400-no-note", "no note", |good, _| {
        let body = good.body();
        let end = body.len()
            - good.text.len()
            - good.lines.iter().map(|line| line.len() + 1).sum::<usize>()
            - 1;
        body[..end].to_vec()
    }),
    case(
        "400-no-signature-line",
        "a note without any signature line",
        |mut good, _| {
            good.lines.clear();
            good.body()
        },
    ),
    case(
        "400-no-blank-before-signatures",
        "no empty line before the signatures",
        |good, _| {
            let (head, lines) = (good.text.clone(), good.lines.join("\n"));
            let proof: String = good.proof.iter().map(|line| format!("{line}\n")).collect();
            format!("old {}\n{proof}\n{head}{lines}\n", good.old).into_bytes()
        },
    ),
    case(
        "400-no-last-line-feed",
        "no line feed at the end",
        |good, _| {
            let mut body = good.body();
            body.pop();
            body
        },
    ),
    case(
        "400-trailing-line",
        "an empty line after the signatures",
        |good, _| {
            let mut body = good.body();
            body.push(b'\n');
            body
        },
    ),
    signature(
        "400-hyphen",
        "a signature line with a hyphen for its dash",
        |good| good.replace('\u{2014}', "-"),
    ),
    signature(
        "400-signature-not-canonical",
        "a signature with set trailing bits",
        loosened,
    ),
    signature(
        "400-signature-not-base64",
        "a signature that is not base64",
        |good| {
            let name = good.rsplit_once(' ').map_or("", |(name, _)| name);
            format!("{name} {}", "*".repeat(92))
        },
    ),
    case(
        "400-signature-short",
        "a signature line shorter than a key id",
        |mut good, log| {
            let full = line(log.origin(), 0, &[]);
            let name = full.rsplit_once(' ').map_or("", |(name, _)| name);
            good.lines = vec![format!("{name} AAA=")];
            good.body()
        },
    ),
];

/// Base64 with the unused bits of its last character set: lenient readers take it for the same bytes.
fn loosened(text: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bare = text.trim_end_matches('=');
    let mut chars: Vec<char> = bare.chars().collect();
    if let Some(last) = chars.last_mut()
        && let Some(next) = ALPHABET
            .find(*last)
            .and_then(|at| ALPHABET.chars().nth(at + 1))
    {
        *last = next;
    }
    chars.into_iter().collect::<String>() + &text[bare.len()..]
}
