//! Texts of fixed lines, each `keyword value`, as statements and cards have them. May not know what the lines mean.

use super::GenesisError;
use crate::note::text::{decimal, next_line};
use crate::tlog::hash::Hash;

/// What is left to read.
pub(super) struct Lines<'a> {
    rest: &'a str,
    what: &'static str,
}

impl<'a> Lines<'a> {
    pub(super) fn new(what: &'static str, text: &'a str) -> Self {
        Self { rest: text, what }
    }

    pub(super) fn bad(&self, problem: &'static str) -> GenesisError {
        GenesisError::malformed(self.what, problem)
    }

    pub(super) fn line(&mut self) -> Result<&'a str, GenesisError> {
        next_line(&mut self.rest).ok_or(self.bad("a line is missing"))
    }

    pub(super) fn value(&mut self, keyword: &str) -> Result<&'a str, GenesisError> {
        let rest = self.line()?.strip_prefix(keyword);
        rest.and_then(|rest| rest.strip_prefix(' '))
            .ok_or(self.bad("a line is missing or out of order"))
    }

    pub(super) fn number(&mut self, keyword: &str) -> Result<u64, GenesisError> {
        decimal(self.value(keyword)?)
            .ok_or(self.bad("a number is not a canonical decimal below 2^63"))
    }

    pub(super) fn hash(&mut self, keyword: &str) -> Result<Hash, GenesisError> {
        let hash = Hash::from_hex(self.value(keyword)?);
        hash.ok_or(self.bad("a hash is not 64 lower-case hexadecimal digits"))
    }

    pub(super) fn lineage(&mut self) -> Result<[u8; 16], GenesisError> {
        crate::hex::decode(self.value("lineage")?)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(self.bad("a lineage is 32 lower-case hexadecimal digits"))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn end(&self) -> Result<(), GenesisError> {
        match self.is_empty() {
            true => Ok(()),
            false => Err(self.bad("there are lines after the last one")),
        }
    }
}
