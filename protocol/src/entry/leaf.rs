//! A leaf as it stands in the ledger: strict reading and canonical writing.
//! Reading accepts only what writing produces, so a leaf has one spelling.

use super::batch::IdemTag;
use super::json::{Json, JsonError, write_string};
use super::kinds::is_valid;
use super::time::TimeUs;
use std::collections::BTreeMap;

/// Version of the entry format.
pub const VERSION: u64 = 1;

/// What a leaf says: the body itself or a commitment to a private payload.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Public body.
    Body(Json),
    /// Commitment of R10.
    Commit {
        /// HMAC-SHA256 under the payload's salt.
        hmac: [u8; 32],
        /// Payload length, rounded up to a power of two.
        len: u64,
    },
}

/// What the scrubber did: the first 16 hexadecimal digits of the rule set's hash, and replacements by rule.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ScrubRecord {
    /// Prefix of the rule set's hash; the whole is in a `scrub.rules` entry.
    pub set: String,
    /// Number of replacements by rule, only rules that replaced something.
    pub replaced: BTreeMap<String, u64>,
}

/// One entry of a ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// Kind of the entry.
    pub kind: String,
    /// Claimed time.
    pub time: TimeUs,
    /// Where it came from; a pseudonym for private entries.
    pub source: String,
    /// Whose it is; a pseudonym for private entries.
    pub tenant: Option<String>,
    /// Body or commitment.
    pub content: Content,
    /// Idempotency id and content tag.
    pub idem: Option<IdemTag>,
    /// What the scrubber did; `None` only for entries of the node itself.
    pub scrub: Option<ScrubRecord>,
}

/// Why bytes are not a leaf.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// Not strict JSON.
    #[error("not JSON: {0}")]
    Json(#[from] JsonError),
    /// A field is missing, unknown or malformed.
    #[error("not an entry of version 1: {0}")]
    Field(&'static str),
    /// The bytes are not the canonical form.
    #[error("the entry is not in canonical form")]
    NotCanonical,
}

impl Leaf {
    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        match &self.content {
            Content::Body(body) => {
                out.extend_from_slice(b"{\"body\":");
                body.write(&mut out);
            }
            Content::Commit { hmac, len } => {
                out.extend_from_slice(b"{\"commit\":{\"hmac\":\"");
                out.extend_from_slice(crate::hex::encode(hmac).as_bytes());
                out.extend_from_slice(format!("\",\"len\":{len}}}").as_bytes());
            }
        }
        self.write_rest(&mut out);
        out
    }

    /// Everything after body or commitment, in the order of RFC 8785.
    pub(crate) fn write_rest(&self, out: &mut Vec<u8>) {
        if let Some(tag) = &self.idem {
            let form = if tag.for_ever { "" } else { "~" };
            let text = format!(
                "{form}{}.{}",
                crate::hex::encode(&tag.id),
                crate::hex::encode(&tag.content)
            );
            field(out, "idem", &text);
        }
        field(out, "kind", &self.kind);
        if let Some(scrub) = &self.scrub {
            out.extend_from_slice(b",\"scrub\":{");
            if !scrub.replaced.is_empty() {
                out.extend_from_slice(b"\"replaced\":{");
                for (position, (rule, count)) in scrub.replaced.iter().enumerate() {
                    if position > 0 {
                        out.push(b',');
                    }
                    write_string(rule, out);
                    out.extend_from_slice(format!(":{count}").as_bytes());
                }
                out.extend_from_slice(b"},");
            }
            out.extend_from_slice(b"\"set\":");
            write_string(&scrub.set, out);
            out.push(b'}');
        }
        field(out, "source", &self.source);
        if let Some(tenant) = &self.tenant {
            field(out, "tenant", tenant);
        }
        field(out, "time", &self.time.to_string());
        out.extend_from_slice(b",\"v\":1}");
    }

    /// Reads a leaf.
    ///
    /// # Errors
    /// When the bytes are not an entry in canonical form.
    pub fn parse(bytes: &[u8]) -> Result<Self, LeafError> {
        let Json::Object(members) = Json::parse(bytes)? else {
            return Err(LeafError::Field("it is no object"));
        };
        let mut fields: BTreeMap<String, Json> = members.into_iter().collect();
        if fields.remove("v").and_then(|v| v.as_u64()) != Some(VERSION) {
            return Err(LeafError::Field("version"));
        }
        let mut text = |name: &str| match fields.remove(name) {
            None => Ok(None),
            Some(Json::String(value)) => Ok(Some(value)),
            Some(_) => Err(LeafError::Field("a field that must be a string")),
        };
        let kind = text("kind")?
            .filter(|kind| is_valid(kind))
            .ok_or(LeafError::Field("kind"))?;
        let source = text("source")?.ok_or(LeafError::Field("source"))?;
        let tenant = text("tenant")?;
        let time = text("time")?
            .and_then(|time| TimeUs::parse(&time))
            .ok_or(LeafError::Field("time"))?;
        let idem = text("idem")?
            .map(|tag| parse_idem(&tag).ok_or(LeafError::Field("idem")))
            .transpose()?;
        let scrub = fields.remove("scrub").map(parse_scrub).transpose()?;
        let content = match (fields.remove("body"), fields.remove("commit")) {
            (Some(body), None) => Content::Body(body),
            (None, Some(commit)) => parse_commit(&commit).ok_or(LeafError::Field("commit"))?,
            _ => return Err(LeafError::Field("it needs either body or commit")),
        };
        if !fields.is_empty() {
            return Err(LeafError::Field("an unknown field"));
        }
        let leaf = Self {
            kind,
            time,
            source,
            tenant,
            content,
            idem,
            scrub,
        };
        if leaf.to_bytes() == bytes {
            Ok(leaf)
        } else {
            Err(LeafError::NotCanonical)
        }
    }
}

fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    write_string(value, out);
}

fn parse_idem(text: &str) -> Option<IdemTag> {
    let (text, for_ever) = text
        .strip_prefix('~')
        .map_or((text, true), |rest| (rest, false));
    let (id, content) = text.split_once('.')?;
    Some(IdemTag {
        id: crate::hex::decode(id)?.try_into().ok()?,
        content: crate::hex::decode(content)?.try_into().ok()?,
        for_ever,
    })
}

fn parse_commit(value: &Json) -> Option<Content> {
    let hmac = crate::hex::decode(value.get("hmac")?.as_str()?)?
        .try_into()
        .ok()?;
    let told = |len: &u64| len.is_power_of_two() && *len >= 256;
    Some(Content::Commit {
        hmac,
        len: value.get("len")?.as_u64().filter(told)?,
    })
}

fn parse_scrub(value: Json) -> Result<ScrubRecord, LeafError> {
    let hex = |set: &&str| set.len() == 16 && crate::hex::decode(set).is_some();
    let set = value.get("set").and_then(Json::as_str).filter(hex);
    let set = set.ok_or(LeafError::Field("scrub"))?.to_owned();
    let mut record = ScrubRecord {
        set,
        ..ScrubRecord::default()
    };
    if let Some(Json::Object(replaced)) = value.get("replaced") {
        for (rule, count) in replaced {
            if !rule
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            {
                return Err(LeafError::Field("scrub"));
            }
            record.replaced.insert(
                rule.clone(),
                count.as_u64().ok_or(LeafError::Field("scrub"))?,
            );
        }
    }
    Ok(record)
}
