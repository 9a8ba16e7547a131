//! The file form: canonical JSON with sorted keys. May not accept a second spelling of one proof.

use super::{ForkError, ForkKind, ForkProof, read};
use crate::note::SignedNote;
use crate::note::text::{hash, print_hash};
use serde::Deserialize;

/// Value of the member `format`.
pub const FORK_FORMAT: &str = "belfry-fork/v1";

/// Most bytes of the file: two notes, 64 nodes and the longest chain of a node with the longest name, so that nobody is out of
/// a proof's reach.
pub const MAX_FORK_BYTES: usize = 786_432;

/// The members as they stand in the file; the bound on the bytes bounds them too.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    #[serde(default)]
    certificates: Vec<String>,
    format: String,
    larger: String,
    #[serde(default)]
    nodes: Vec<String>,
    origin: String,
    smaller: String,
    #[serde(rename = "type")]
    kind: String,
}

impl ForkProof {
    /// Reads a fork proof; [`ForkProof::to_json`] gives exactly these bytes again.
    ///
    /// # Errors
    /// [`ForkError`] for anything but the canonical form.
    pub fn parse(bytes: &[u8]) -> Result<Self, ForkError> {
        if bytes.len() > MAX_FORK_BYTES {
            return Err(ForkError::Malformed("it is larger than 786,432 bytes"));
        }
        let members: Members = serde_json::from_slice(bytes)
            .map_err(|_| ForkError::Malformed("it is not JSON with exactly the known members"))?;
        if members.format != FORK_FORMAT {
            return Err(ForkError::Malformed("the format is not belfry-fork/v1"));
        }
        let kind = [ForkKind::Origin, ForkKind::Tower]
            .into_iter()
            .find(|kind| kind.as_str() == members.kind);
        let kind = kind.ok_or(ForkError::Malformed("the type is not origin or tower"))?;
        let nodes: Option<Vec<_>> = members.nodes.iter().map(|node| hash(node)).collect();
        let nodes = nodes.ok_or(ForkError::Malformed("a node is not base64 of 32 bytes"))?;
        let notes = |note: &String| SignedNote::parse(note.as_bytes());
        let certificates = members
            .certificates
            .iter()
            .map(notes)
            .collect::<Result<_, _>>()?;
        let (smaller, larger) = (notes(&members.smaller)?, notes(&members.larger)?);
        if read(&smaller)?.origin != members.origin {
            return Err(ForkError::Malformed(
                "the origin is not that of the checkpoints",
            ));
        }
        let proof = Self::build(kind, smaller, larger, nodes, certificates)?;
        if proof.to_json().as_bytes() != bytes {
            return Err(ForkError::Malformed("it is not in canonical form"));
        }
        Ok(proof)
    }

    /// The canonical file: sorted keys, no spaces; empty lists are left out.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = String::from("{");
        if !self.certificates.is_empty() {
            let notes = self
                .certificates
                .iter()
                .map(|note| quote(&note.to_string()));
            json.push_str(&format!(
                "\"certificates\":[{}],",
                notes.collect::<Vec<_>>().join(",")
            ));
        }
        json.push_str(&format!(
            "\"format\":\"{FORK_FORMAT}\",\"larger\":{}",
            quote(&self.larger.to_string())
        ));
        if !self.nodes.is_empty() {
            let nodes = self.nodes.iter().map(|node| quote(&print_hash(node)));
            json.push_str(&format!(
                ",\"nodes\":[{}]",
                nodes.collect::<Vec<_>>().join(",")
            ));
        }
        let origin = self.smaller.text().split('\n').next().unwrap_or_default();
        let smaller = quote(&self.smaller.to_string());
        let kind = self.kind.as_str();
        json.push_str(&format!(
            ",\"origin\":{},\"smaller\":{smaller},\"type\":\"{kind}\"}}",
            quote(origin)
        ));
        json
    }
}

/// A JSON string (RFC 8785 §3.2.2.2). LF is the only control byte that a note can hold.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 16);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
