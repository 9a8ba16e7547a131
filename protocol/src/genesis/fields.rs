//! Reading and printing the JSON files of this module: known members only, one spelling. May not know what they mean.

use super::GenesisError;
use crate::entry::json::Json;
use crate::manifest::{KeyTexts, Manifest};
use crate::note::SignedNote;

/// The members of one JSON object that were not read yet.
pub(super) struct Fields {
    what: &'static str,
    /// Length of the whole file.
    bytes: usize,
    list: Vec<(String, Json)>,
}

impl Fields {
    /// Reads an object of at most `limit` bytes whose member `format` is `format`.
    pub(super) fn parse(
        what: &'static str,
        format: &str,
        limit: usize,
        bytes: &[u8],
    ) -> Result<Self, GenesisError> {
        if bytes.len() > limit {
            return Err(GenesisError::TooLarge { what, limit });
        }
        Self::new(what, format, bytes.len(), Json::parse(bytes)?)
    }

    pub(super) fn new(
        what: &'static str,
        format: &str,
        bytes: usize,
        value: Json,
    ) -> Result<Self, GenesisError> {
        let Json::Object(list) = value else {
            return Err(GenesisError::malformed(what, "it is no JSON object"));
        };
        let mut fields = Self { what, bytes, list };
        if fields.text("format")? != format {
            return Err(fields.bad("its `format` is another one; use a newer Belfry"));
        }
        Ok(fields)
    }

    pub(super) fn bad(&self, problem: &'static str) -> GenesisError {
        GenesisError::malformed(self.what, problem)
    }

    pub(super) fn optional(&mut self, key: &str) -> Option<Json> {
        let at = self.list.iter().position(|(name, _)| name == key)?;
        Some(self.list.remove(at).1)
    }

    fn take(&mut self, key: &str) -> Result<Json, GenesisError> {
        self.optional(key)
            .ok_or_else(|| self.bad("a member is missing"))
    }

    pub(super) fn text(&mut self, key: &str) -> Result<String, GenesisError> {
        match self.take(key)? {
            Json::String(text) => Ok(text),
            _ => Err(self.bad("a member is not a string")),
        }
    }

    pub(super) fn number(&mut self, key: &str) -> Result<u64, GenesisError> {
        let value = self.take(key)?;
        value
            .as_u64()
            .ok_or_else(|| self.bad("a member is not a whole number up to 2^53 - 1"))
    }

    pub(super) fn note(&mut self, key: &str) -> Result<SignedNote, GenesisError> {
        Ok(SignedNote::parse(self.text(key)?.as_bytes())?)
    }

    /// A list of at most `most` strings; the length is looked at before any is read.
    pub(super) fn texts(&mut self, key: &str, most: usize) -> Result<Vec<String>, GenesisError> {
        let Json::Array(items) = self.take(key)? else {
            return Err(self.bad("a member is not a list"));
        };
        if items.len() > most {
            return Err(self.bad("a list is too long"));
        }
        let text = |item| match item {
            Json::String(text) => Some(text),
            _ => None,
        };
        let texts: Option<Vec<String>> = items.into_iter().map(text).collect();
        texts.ok_or_else(|| self.bad("a list holds something else than strings"))
    }

    pub(super) fn notes(
        &mut self,
        key: &str,
        most: usize,
    ) -> Result<Vec<SignedNote>, GenesisError> {
        let texts = self.texts(key, most)?;
        let notes = texts.iter().map(|text| SignedNote::parse(text.as_bytes()));
        Ok(notes.collect::<Result<_, _>>()?)
    }

    /// A manifest that keeps every rule. Its spelling is checked with that of the whole file.
    pub(super) fn manifest(&mut self) -> Result<Manifest, GenesisError> {
        self.manifest_with(&mut KeyTexts::default())
    }

    /// [`Fields::manifest`] with keys that were read before.
    pub(super) fn manifest_with(&mut self, keys: &mut KeyTexts) -> Result<Manifest, GenesisError> {
        let value = self.take("manifest")?;
        let manifest = Manifest::from_value_with(value, keys)?;
        manifest.check_within(self.bytes)?;
        Ok(manifest)
    }

    /// Refuses members that a newer format may have, and bytes that are not the one spelling `printed`.
    pub(super) fn end(self, printed: &str, bytes: &[u8]) -> Result<(), GenesisError> {
        if !self.list.is_empty() {
            return Err(self.bad("a member is not known here"));
        }
        if printed.as_bytes() != bytes {
            return Err(self.bad("it is not in canonical form (RFC 8785)"));
        }
        Ok(())
    }
}

pub(super) fn notes_value<'a>(notes: impl IntoIterator<Item = &'a SignedNote>) -> Json {
    let notes = notes.into_iter();
    Json::Array(notes.map(|note| Json::text(note.to_string())).collect())
}

/// The canonical text of an object.
pub(super) fn print(pairs: impl IntoIterator<Item = (&'static str, Json)>) -> String {
    let bytes = Json::object(pairs).to_canonical();
    String::from_utf8(bytes).unwrap_or_default() // it is UTF-8: it was made from strings
}
