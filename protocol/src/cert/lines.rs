//! Reads `keyword value` lines in a fixed order. May not skip or reorder lines.

use super::CertError;
use crate::note::text::{decimal, next_line};
use crate::tlog::hash::Hash;

/// Most bytes of a certificate or revocation text: six short lines and four keys with 207-byte names.
const MAX_TEXT_BYTES: usize = 4_096;

/// The rest of a text that is read line by line.
pub(super) struct Lines<'a> {
    what: &'static str,
    rest: &'a str,
}

impl<'a> Lines<'a> {
    /// Starts after the header line, which must be `header`.
    pub(super) fn new(what: &'static str, header: &str, text: &'a str) -> Result<Self, CertError> {
        let mut lines = Self { what, rest: text };
        if text.len() > MAX_TEXT_BYTES {
            return Err(lines.bad("it is longer than 4,096 bytes"));
        }
        if next_line(&mut lines.rest) != Some(header) {
            return Err(lines.bad("the first line is not its header"));
        }
        Ok(lines)
    }

    pub(super) fn line(&mut self) -> Result<&'a str, CertError> {
        next_line(&mut self.rest).ok_or_else(|| self.bad("a line is missing"))
    }

    /// The value of the next line, which must start with `keyword` and a space.
    pub(super) fn value(&mut self, keyword: &str) -> Result<&'a str, CertError> {
        self.line()?
            .strip_prefix(keyword)
            .and_then(|rest| rest.strip_prefix(' '))
            .ok_or_else(|| self.bad("a line is missing or out of order"))
    }

    pub(super) fn number(&mut self, keyword: &str) -> Result<u64, CertError> {
        let value = self.value(keyword)?;
        decimal(value).ok_or_else(|| self.bad("a number is not a canonical decimal below 2^63"))
    }

    pub(super) fn hash(&self, value: &str) -> Result<Hash, CertError> {
        Hash::from_hex(value)
            .ok_or_else(|| self.bad("a hash is not 64 lower-case hexadecimal digits"))
    }

    pub(super) fn end(self) -> Result<(), CertError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.bad("there are lines after the last one"))
        }
    }

    pub(super) fn bad(&self, problem: &'static str) -> CertError {
        CertError::Malformed {
            what: self.what,
            problem,
        }
    }
}
