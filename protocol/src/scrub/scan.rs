//! The scan of one line: candidates from the automaton, validators, escapes and base64. Produces hits, in no order
//! and perhaps overlapping; may not know about actions beyond "kept" and never changes the text.

use super::class::Class;
use super::context;
use super::encoded;
use super::patterns::{PATTERNS, Rule};
use super::ruleset::{Action, Ruleset};
use super::validate::entropy;
use super::validate::{
    Span, arn, aws, digits, email, ends_clean, github, iban, jwt, nric, pem, phone, run,
    starts_clean, url,
};
use regex_automata::Input;

/// A value that was found.
#[derive(Debug)]
pub(super) struct Hit {
    /// What it is.
    pub(super) class: Class,
    /// Where it stands in the text, encoded or not.
    pub(super) span: Span,
    /// The value itself, decoded and normalised.
    pub(super) value: Vec<u8>,
    /// A private key without an end: all the rest of the text is of it.
    pub(super) open: bool,
}

/// A scan with one rule set and the name of the field that the text comes from.
#[derive(Clone, Copy)]
pub(super) struct Scan<'a> {
    pub(super) rules: &'a Ruleset,
    pub(super) name: &'a str,
}

impl Scan<'_> {
    /// Finds the values that begin in `line` of `text`: as they stand, behind escapes and in base64.
    pub(super) fn line(&self, text: &[u8], line: Span, hits: &mut Vec<Hit>) {
        self.plain_and_base64(text, line.clone(), hits);
        let Some(decoded) = encoded::unescape(&text[line.clone()]) else {
            return;
        };
        let mut inner = Vec::new();
        self.plain_and_base64(&decoded.bytes, 0..decoded.bytes.len(), &mut inner);
        hits.extend(inner.into_iter().map(|hit| Hit {
            span: line.start + decoded.offsets[hit.span.start]
                ..line.start + decoded.offsets[hit.span.end],
            ..hit
        }));
    }

    fn plain_and_base64(&self, bytes: &[u8], range: Span, hits: &mut Vec<Hit>) {
        self.plain(bytes, range.clone(), hits);
        self.aws_secrets(bytes, range.clone(), hits);
        encoded::base64_texts(bytes, range, |run, text| {
            let mut inner = Vec::new();
            self.plain(&text, 0..text.len(), &mut inner);
            inner.retain(|hit| self.rules.action(hit.class) != Action::Keep);
            let open = inner.iter().any(|hit| hit.open);
            if let Some(top) = inner.into_iter().min_by_key(|hit| hit.class) {
                let whole = top.span == (0..text.len());
                let value = if whole { top.value } else { text };
                hits.push(Hit {
                    class: top.class,
                    span: run,
                    value,
                    open,
                });
            }
        });
    }

    /// Candidates of the automaton and their validators, in bytes as they stand.
    fn plain(&self, bytes: &[u8], range: Span, hits: &mut Vec<Hit>) {
        let (mut at, mut border) = (range.start, range.start);
        while at < range.end {
            let Some(found) = self
                .rules
                .regex
                .search(&Input::new(bytes).range(at..range.end))
            else {
                return;
            };
            let (rule, _) = PATTERNS[found.pattern().as_usize()];
            // What ends a hit is a border, so that values side by side are found in one pass.
            let clean = rule.starts_anywhere()
                || found.start() == border
                || starts_clean(bytes, found.start());
            let hit = if clean {
                self.judge(rule, bytes, found.range())
            } else {
                None
            };
            // A rejected candidate must not hide another inside it, nor an accepted one what reaches beyond it; only
            // a secret hides everything inside it, and in a run of digits nothing begins but at its first.
            at = found.start() + 1;
            if rule == Rule::Digits {
                at += run(bytes, at, usize::MAX, |byte| byte.is_ascii_digit());
            }
            if let Some(hit) = hit {
                if hit.class.is_secret() && self.rules.action(hit.class) != Action::Keep {
                    at = at.max(hit.span.end);
                }
                border = border.max(hit.span.end);
                hits.push(hit);
            }
        }
    }

    fn judge(&self, rule: Rule, bytes: &[u8], found: Span) -> Option<Hit> {
        let start = found.start;
        let ends = || ends_clean(bytes, found.end);
        let (class, span) = match rule {
            Rule::Pem => {
                // A kept key needs no end, and looking for one again and again would be slow.
                let keep = self.rules.action(Class::PrivateKey) == Action::Keep;
                let end = if keep {
                    Some(found.end)
                } else {
                    pem::block_end(bytes, found.end)
                };
                let hit = hit(bytes, Class::PrivateKey, start..end.unwrap_or(bytes.len()));
                return Some(Hit {
                    open: end.is_none(),
                    ..hit
                });
            }
            Rule::Age => (Class::PrivateKey, pem::age(bytes, start)),
            Rule::Minisign => (Class::PrivateKey, pem::minisign(bytes, start)?),
            Rule::Url => (Class::UrlPassword, url::find(bytes, start)?),
            Rule::AwsKeyId => (
                Class::AwsKeyId,
                aws::is_key_id(bytes, &found).then_some(found)?,
            ),
            Rule::Github => (Class::GithubToken, github::find(bytes, start)?),
            Rule::Google => (
                Class::GoogleApiKey,
                is_google(bytes, &found).then_some(found)?,
            ),
            Rule::Jwt => (Class::Jwt, jwt::find(bytes, start)?),
            Rule::SgNric => (
                Class::SgNric,
                (ends() && nric::is_valid(&bytes[found.clone()])).then_some(found)?,
            ),
            Rule::SgNricMasked => (Class::SgNricMasked, ends().then_some(found)?),
            Rule::Email => (Class::Email, email::find(bytes, start)?),
            Rule::Phone => (Class::Phone, phone::find(bytes, start)?),
            Rule::Arn => (Class::AwsArn, arn::find(bytes, start)?),
            Rule::Uuid if ends() => (Class::Uuid, found),
            Rule::Iban => (Class::Iban, iban::find(bytes, start)?),
            Rule::Uuid | Rule::Digits => digits::detect(bytes, start, |class, span| {
                self.in_context(class, bytes, span)
            })?,
        };
        Some(hit(bytes, class, span))
    }

    /// Secrets of AWS have no mark of their own: forty characters between others, with a word about them near.
    fn aws_secrets(&self, bytes: &[u8], range: Span, hits: &mut Vec<Hit>) {
        aws::secret_shapes(bytes, range, |span| {
            if self.in_context(Class::AwsSecret, bytes, &span) {
                hits.push(hit(bytes, Class::AwsSecret, span));
            }
        });
    }

    fn in_context(&self, class: Class, bytes: &[u8], span: &Span) -> bool {
        let words = match class {
            Class::Phone => context::PHONE,
            Class::MyNric => context::MYKAD,
            Class::Card => context::CARD,
            Class::AwsSecret => context::AWS,
            _ => return false,
        };
        context::names(self.name, words) || context::near(bytes, span.start, span.end, words)
    }
}

fn hit(bytes: &[u8], class: Class, span: Span) -> Hit {
    Hit {
        class,
        value: normalised(class, &bytes[span.clone()]),
        span,
        open: false,
    }
}

/// One spelling for each value, so that equal values have equal tokens.
fn normalised(class: Class, value: &[u8]) -> Vec<u8> {
    match class {
        Class::Email | Class::Uuid => value.to_ascii_lowercase(),
        Class::SgNric | Class::SgNricMasked => value.to_ascii_uppercase(),
        Class::MyNric | Class::Card | Class::Phone => {
            value.iter().copied().filter(u8::is_ascii_digit).collect()
        }
        Class::Iban => value.iter().copied().filter(|byte| *byte != b' ').collect(),
        _ => value.to_vec(),
    }
}

/// A Google API key has clean borders, of its own alphabet, and looks random.
fn is_google(bytes: &[u8], span: &Span) -> bool {
    let ends = bytes
        .get(span.end)
        .is_none_or(|next| !next.is_ascii_alphanumeric() && !b"_-".contains(next));
    ends && entropy::at_least(&bytes[span.clone()], 40)
}
