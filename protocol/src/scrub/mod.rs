//! The scrubber: finds personal data and credentials in text and replaces them before anything is hashed.
//! Pure: the same text, rule set and key give the same result on every node. May not read keys or settings itself.
//!
//! Reading order: `class` (what), `patterns` and `validate` (where), `encoded` (behind what), `scan` (all of
//! it on one line), `redact` (what then), `prefilter` (how to be quick).

mod class;
mod context;
mod encoded;
mod patterns;
mod prefilter;
mod redact;
mod report;
mod ruleset;
mod scan;
#[cfg(test)]
mod tests;
mod token;
mod validate;

pub use class::Class;
pub use report::Report;
pub use ruleset::{Action, MAX_MASK_KEEP, Ruleset, RulesetConfig, RulesetError};
pub use token::TokenKey;

use crate::tlog::hash::Hash;
use redact::Replaced;
use scan::{Hit, Scan};
use std::sync::Arc;
use validate::Span;

/// Longest text that is scrubbed, four times the largest payload; it bounds the memory that decoding takes.
pub const MAX_TEXT_LEN: usize = 4 << 20;

/// Most passes over a text. A replacement can bring a value nearer to a word that makes it one, so passes repeat
/// until nothing is found; a chain of such values ends within the reach of one word, far below this.
const MAX_PASSES: usize = 16;

/// Why a text was not scrubbed; it must then not be stored either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScrubError {
    /// The text is too long.
    #[error("text of {length} bytes is too long to scrub (limit {MAX_TEXT_LEN}); split it")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// Replacing kept making new values.
    #[error("text still holds values after {MAX_PASSES} passes; quarantine it")]
    Unstable,
}

/// Scrubs texts with one rule set. Shared between threads.
#[derive(Clone, Debug)]
pub struct Scrubber {
    rules: Arc<Ruleset>,
}

impl Scrubber {
    /// A scrubber with these rules.
    #[must_use]
    pub fn new(rules: Arc<Ruleset>) -> Self {
        Self { rules }
    }

    /// The hash of the rules.
    #[must_use]
    pub fn ruleset_hash(&self) -> Hash {
        self.rules.hash()
    }

    /// Replaces what the rules say; `None` when nothing changed. Scrubbing the result again changes nothing.
    ///
    /// # Errors
    /// Texts over [`MAX_TEXT_LEN`], and texts that cannot be made clean.
    pub fn scrub(
        &self,
        text: &str,
        key: &TokenKey,
        report: &mut Report,
    ) -> Result<Option<String>, ScrubError> {
        self.scrub_field("", text, key, report)
    }

    /// The same for the value of a field: its name counts as context, as in `"phone": "91234567"`.
    ///
    /// # Errors
    /// As [`Self::scrub`].
    pub fn scrub_field(
        &self,
        name: &str,
        text: &str,
        key: &TokenKey,
        report: &mut Report,
    ) -> Result<Option<String>, ScrubError> {
        if text.len() > MAX_TEXT_LEN {
            return Err(ScrubError::TooLong { length: text.len() });
        }
        let mut own = Report::default();
        let mut clean: Option<Replaced> = None;
        for pass in 0..MAX_PASSES {
            let current = clean.as_ref().map_or(text, |clean| &clean.text);
            let mut hits = match &clean {
                None => self.hits(name, current),
                Some(clean) => self.hits_beside(name, clean),
            };
            hits.retain(|hit| {
                let keep = self.rules.action(hit.class) == Action::Keep;
                if keep && pass == 0 {
                    own.add_kept(hit.class);
                }
                !keep
            });
            if hits.is_empty() {
                report.merge(&own);
                return Ok(clean.map(|clean| clean.text));
            }
            clean = Some(redact::replace(
                current,
                &redact::resolve(hits),
                &self.rules,
                key,
                &mut own,
            ));
        }
        Err(ScrubError::Unstable)
    }

    /// Whether [`Self::scrub`] could change a string, key or large number in this raw JSON, or this text.
    ///
    /// `false` is certain, `true` is not: use it to pass over most lines quickly.
    #[must_use]
    pub fn may_change(&self, raw: &[u8]) -> bool {
        prefilter::first_suspect(raw, 0).is_some()
    }

    /// Classes, not kept by the rules, that are found in a text: empty for a scrubbed one.
    #[must_use]
    pub fn residue(&self, text: &str) -> Vec<Class> {
        let mut classes: Vec<Class> = self
            .hits("", text)
            .into_iter()
            .map(|hit| hit.class)
            .collect();
        classes.retain(|class| self.rules.action(*class) != Action::Keep);
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    /// Every hit of a text.
    fn hits(&self, name: &str, text: &str) -> Vec<Hit> {
        let mut hits = Vec::new();
        self.hits_in(name, text.as_bytes(), 0..text.len(), &mut hits);
        hits
    }

    /// The hits that replacements can have made: on their lines, and where they brought words and values together.
    /// Everything else was seen in the pass before.
    fn hits_beside(&self, name: &str, replaced: &Replaced) -> Vec<Hit> {
        let bytes = replaced.text.as_bytes();
        let (mut hits, mut seen) = (Vec::new(), 0);
        for span in &replaced.spans {
            let reach = span.start.saturating_sub(context::RADIUS).max(seen)
                ..bytes.len().min(span.end + context::RADIUS);
            if reach.is_empty() {
                continue;
            }
            let start =
                memchr::memrchr(b'\n', &bytes[seen..reach.start]).map_or(seen, |at| seen + at + 1);
            let end =
                memchr::memchr(b'\n', &bytes[reach.end..]).map_or(bytes.len(), |at| reach.end + at);
            seen = self.hits_in(name, bytes, start..end, &mut hits);
        }
        hits
    }

    /// The hits of whole lines, and where the look at them ended. Lines that the prefilter clears are not scanned.
    fn hits_in(&self, name: &str, bytes: &[u8], lines: Span, hits: &mut Vec<Hit>) -> usize {
        let scan = Scan {
            rules: &self.rules,
            name,
        };
        let mut start = lines.start;
        while let Some(suspect) = prefilter::first_suspect(&bytes[..lines.end], start) {
            let line =
                memchr::memrchr(b'\n', &bytes[start..suspect]).map_or(start, |at| start + at + 1);
            let end = memchr::memchr(b'\n', &bytes[suspect..])
                .map_or(bytes.len(), |length| suspect + length);
            let known = hits.len();
            scan.line(bytes, line..end, hits);
            start = bytes.len().min(end + 1);
            for hit in &mut hits[known..] {
                if hit.open {
                    hit.span.end = bytes.len();
                }
                // A private key goes on over lines; what is in them is of it.
                if hit.class == Class::PrivateKey && self.rules.action(hit.class) != Action::Keep {
                    start = start.max(hit.span.end);
                }
            }
        }
        start.max(lines.end)
    }
}
