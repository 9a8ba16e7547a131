//! What a caller wants to append, before it is scrubbed and hashed. A draft is not an entry and has no hash.

use super::json::{Json, JsonError};
use super::kinds;
use super::time::TimeUs;

/// Longest `source` in bytes: it names a place, it is not a payload.
pub const MAX_SOURCE_LEN: usize = 256;
/// Longest `tenant` in bytes.
pub const MAX_TENANT_LEN: usize = 64;
/// Longest idempotency key of a client in bytes.
pub const MAX_CLIENT_KEY_LEN: usize = 256;

/// Whether the body stands in the leaf or only a commitment to it (R10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// The body is part of the leaf and goes to towers.
    Public,
    /// The leaf holds a commitment; body and salt stay on the node and can be erased.
    Private,
}

/// Where an idempotency id comes from (R11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Idempotency {
    /// A client's own key; remembered for seven days.
    ClientKey(String),
    /// One line or file of a source that may be read again; remembered for ever.
    Line {
        /// SHA-256 of the raw line or file.
        digest: [u8; 32],
        /// How many times the same digest came before in this source.
        occurrence: u64,
    },
}

/// An entry to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Kind, see [`kinds`].
    pub kind: String,
    /// Claimed time.
    pub time: TimeUs,
    /// Where it came from, e.g. `ci/build-7`.
    pub source: String,
    /// Whose it is, on nodes that serve several.
    pub tenant: Option<String>,
    /// The content.
    pub body: Json,
    /// Visibility; `None` takes the kind's default.
    pub visibility: Option<Visibility>,
    /// Idempotency, if asked for.
    pub idempotency: Option<Idempotency>,
}

/// Why a draft cannot become an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The text is not strict JSON.
    #[error("not valid JSON: {0}")]
    Json(#[from] JsonError),
    /// A field is missing, unknown or has the wrong form.
    #[error("{0}")]
    Field(String),
    /// Only the node itself appends this kind.
    #[error("kind {0:?} is reserved for the node itself; choose another")]
    Reserved(String),
    /// The finished leaf is too long.
    #[error(
        "the entry would have {length} bytes and the limit is 65,535; append it as private, split it, or append its SHA-256 and keep the content elsewhere"
    )]
    TooLong {
        /// Length of the leaf in bytes.
        length: usize,
    },
    /// The private payload is too long.
    #[error(
        "the private payload has {length} bytes and the limit is 1,048,576; append its SHA-256 instead"
    )]
    PayloadTooLong {
        /// Length of the payload in bytes.
        length: usize,
    },
    /// The scrubber could not process the text, so nothing may be written (fail closed).
    #[error("the scrubber refused the entry: {0}")]
    Scrub(String),
    /// No randomness could be had for a private entry.
    #[error("cannot seal a private payload: {0}")]
    Seal(String),
}

impl Draft {
    /// Checks what can be checked before scrubbing.
    ///
    /// # Errors
    /// A reserved or malformed kind, a field that is too long or has characters it may not have.
    pub fn check(&self) -> Result<(), EntryError> {
        if !kinds::is_valid(&self.kind) {
            return Err(EntryError::Field(format!(
                "kind {:?} must be lower-case letters, digits, '.', '-' or '_', begin with a letter and have at most 64 bytes",
                self.kind
            )));
        }
        if kinds::is_reserved(&self.kind) {
            return Err(EntryError::Reserved(self.kind.clone()));
        }
        if self.source.len() > MAX_SOURCE_LEN {
            return Err(EntryError::Field(format!(
                "source has {} bytes and the limit is 256",
                self.source.len()
            )));
        }
        let fits = |tenant: &String| {
            (1..=MAX_TENANT_LEN).contains(&tenant.len())
                && tenant
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if !self.tenant.as_ref().is_none_or(fits) {
            return Err(EntryError::Field(
                "tenant must have 1 to 64 letters, digits, '.', '-' or '_'".to_owned(),
            ));
        }
        if let Some(Idempotency::ClientKey(key)) = &self.idempotency
            && !(1..=MAX_CLIENT_KEY_LEN).contains(&key.len())
        {
            return Err(EntryError::Field(
                "an idempotency key must have 1 to 256 bytes".to_owned(),
            ));
        }
        Ok(())
    }

    /// Reads the envelope form `{"kind":…,"time":…,"source":…,"tenant":…,"visibility":…,"body":…}`; only `body` is
    /// required, the rest comes from `defaults`.
    ///
    /// # Errors
    /// An unknown or malformed field.
    pub fn from_envelope(value: Json, defaults: &Self) -> Result<Self, EntryError> {
        let Json::Object(members) = value else {
            return Err(EntryError::Field(
                "an entry must be a JSON object with a \"body\"".to_owned(),
            ));
        };
        let mut draft = Self {
            body: Json::Null,
            ..defaults.clone()
        };
        let mut has_body = false;
        for (key, value) in members {
            match (key.as_str(), value) {
                ("body", body) => {
                    has_body = true;
                    draft.body = body;
                }
                ("kind", Json::String(kind)) => draft.kind = kind,
                ("source", Json::String(source)) => draft.source = source,
                ("tenant", Json::String(tenant)) => draft.tenant = Some(tenant),
                ("time", Json::String(text)) => {
                    draft.time = TimeUs::parse(&text).ok_or_else(|| {
                        EntryError::Field(format!(
                            "time {text:?} is not RFC 3339, e.g. 2026-11-20T10:00:00Z"
                        ))
                    })?;
                }
                ("visibility", Json::String(word)) => {
                    draft.visibility = Some(match word.as_str() {
                        "public" => Visibility::Public,
                        "private" => Visibility::Private,
                        _ => {
                            return Err(EntryError::Field(
                                "visibility must be \"public\" or \"private\"".to_owned(),
                            ));
                        }
                    });
                }
                ("kind" | "source" | "tenant" | "time" | "visibility", _) => {
                    return Err(EntryError::Field(format!("{key} must be a string")));
                }
                _ => {
                    return Err(EntryError::Field(format!(
                        "unknown field {key:?}; known are body, kind, source, tenant, time, visibility"
                    )));
                }
            }
        }
        if has_body {
            Ok(draft)
        } else {
            Err(EntryError::Field("the entry has no \"body\"".to_owned()))
        }
    }
}
