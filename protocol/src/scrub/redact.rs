//! From hits to the new text: overlaps become one span of the class with the highest priority, and each span gets
//! its class's action. May not search for anything.

use super::class::Class;
use super::report::Report;
use super::ruleset::{Action, Ruleset};
use super::scan::Hit;
use super::token::TokenKey;
use super::validate::Span;

/// What stands for hidden characters in a mask.
const MASK: &str = "****";

/// Resolves overlaps: the result is sorted and disjoint. Hits of kept classes must be gone already.
pub(super) fn resolve(mut hits: Vec<Hit>) -> Vec<Hit> {
    drop_beside_passwords(&mut hits);
    hits.sort_by(|a, b| {
        (a.span.start, a.span.end, a.class).cmp(&(b.span.start, b.span.end, b.class))
    });
    let mut resolved: Vec<Hit> = Vec::with_capacity(hits.len());
    for hit in hits {
        match resolved.last_mut() {
            Some(last) if hit.span.start < last.span.end => merge(last, hit),
            _ => resolved.push(hit),
        }
    }
    resolved
}

/// In `user:p@db.example.com` the `p` is a password, so `p@db.example.com` is no address: what overlaps a password
/// is dropped, not merged, and the host stays readable.
fn drop_beside_passwords(hits: &mut Vec<Hit>) {
    let mut passwords: Vec<Span> = hits
        .iter()
        .filter(|hit| hit.class == Class::UrlPassword)
        .map(|hit| hit.span.clone())
        .collect();
    if passwords.is_empty() {
        return;
    }
    passwords.sort_by_key(|span| span.start);
    hits.retain(|hit| {
        let before = passwords.partition_point(|span| span.start < hit.span.end);
        // Passwords do not overlap each other, so only the last that begins before the hit's end can reach into it.
        let overlaps = before > 0 && passwords[before - 1].end > hit.span.start;
        hit.class <= Class::UrlPassword || !overlaps
    });
}

/// Widens `last` to hold `hit`. The value is that of the higher class if it covers everything, else of the union.
fn merge(last: &mut Hit, hit: Hit) {
    let union = last.span.start..last.span.end.max(hit.span.end);
    if hit.class < last.class {
        let whole = hit.span == union;
        last.class = hit.class;
        last.value = if whole { hit.value } else { Vec::new() };
    } else if last.span != union {
        last.value = Vec::new();
    }
    last.open |= hit.open;
    last.span = union;
}

/// A text with its values replaced.
pub(super) struct Replaced {
    pub(super) text: String,
    /// Where the replacements stand in it.
    pub(super) spans: Vec<Span>,
}

/// Writes `text` with every hit replaced. Hits are sorted and disjoint.
pub(super) fn replace(
    text: &str,
    hits: &[Hit],
    rules: &Ruleset,
    key: &TokenKey,
    report: &mut Report,
) -> Replaced {
    let mut out = String::with_capacity(text.len() + hits.len() * 32);
    let mut spans = Vec::with_capacity(hits.len());
    let mut copied = 0;
    for hit in hits {
        // Values begin and end at characters; if a decoded one did not, the whole character goes.
        let start = text.floor_char_boundary(hit.span.start).max(copied);
        let end = text.ceil_char_boundary(hit.span.end).max(start);
        out.push_str(&text[copied..start]);
        let written = out.len();
        write_action(
            hit,
            &text[start..end],
            rules.action(hit.class),
            key,
            &mut out,
        );
        spans.push(written..out.len());
        report.add(hit.class);
        copied = end;
    }
    out.push_str(&text[copied..]);
    Replaced { text: out, spans }
}

fn write_action(hit: &Hit, original: &str, action: Action, key: &TokenKey, out: &mut String) {
    match action {
        Action::Keep => out.push_str(original),
        Action::Drop => {
            out.push('<');
            out.push_str(hit.class.name());
            out.push('>');
        }
        Action::Mask(keep) => {
            let count = original.chars().count();
            let hidden = count - usize::from(keep).min(count / 2);
            out.push_str(MASK);
            out.extend(original.chars().skip(hidden));
        }
        Action::Token => {
            let value = if hit.value.is_empty() {
                original.as_bytes()
            } else {
                &hit.value
            };
            key.write_token(hit.class, value, out);
        }
    }
}
