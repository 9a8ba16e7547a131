//! One line of the member list, and the rules that a member keeps by itself.
//! May not look at other members: see `check`.

use super::ManifestError;
use crate::note::{Algorithm, VerifierKey, is_member_name};
use crate::tlog::hash::Hash;

/// Most addresses of a member.
pub const MAX_ADDRESSES: usize = 8;

/// Most bytes of one address: a relayed multiaddr with two PeerIds has about 200.
pub const MAX_ADDRESS_BYTES: usize = 256;

/// Most bytes of an HTTP URL.
pub const MAX_HTTP_BYTES: usize = 256;

/// Length of the text form of an Ed25519 PeerId.
pub const PEER_ID_BYTES: usize = 52;

/// Names that no member may have, because derived policies use these words.
pub const RESERVED_NAMES: [&str; 2] = ["none", "towers"];

const PEER_ID_START: &str = "12D3KooW";

/// A member of a federation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Name of the node, and the origin of its ledger.
    pub name: String,
    /// Whether it keeps a ledger that towers watch.
    pub factory: bool,
    /// Whether it watches and cosigns the ledgers of others.
    pub tower: bool,
    /// Its identity key: type 0x01, named as the member.
    pub identity: VerifierKey,
    /// Its libp2p PeerId in base58; only the shape is checked here.
    pub peer: String,
    /// Multiaddrs at which it can be dialled, best first; none if it only dials out.
    pub addresses: Vec<String>,
    /// Where it serves HTTP.
    pub http: Option<String>,
    /// Hash of the newest note of its certificate chain when the manifest was made.
    pub certificate_head: Hash,
}

impl Member {
    /// The rules that need no other member.
    pub(crate) fn check(&self) -> Result<(), ManifestError> {
        let bad = |problem| {
            Err(ManifestError::Member {
                member: super::error::shown(&self.name),
                problem,
            })
        };
        if !is_member_name(&self.name) {
            return bad(
                "the name must be 1 to 200 lower-case printable ASCII characters without space and +, not end in /mirror \
                 and not begin with belfry-",
            );
        }
        if RESERVED_NAMES.contains(&self.name.as_str()) {
            return bad("policies use this word; choose another name");
        }
        if !self.factory && !self.tower {
            return bad("it has no role; make it a factory, a tower or both");
        }
        if self.identity.algorithm() != Algorithm::Ed25519 {
            return bad("the identity key must be Ed25519 of type 0x01");
        }
        if self.identity.name() != self.name {
            return bad("the identity key bears another name than the member");
        }
        if !is_peer_id(&self.peer) {
            return bad("the PeerId must be 52 characters of base58 that begin with 12D3KooW");
        }
        if self.addresses.len() > MAX_ADDRESSES {
            return bad("it has more than 8 addresses; keep the best ones");
        }
        if !self
            .addresses
            .iter()
            .all(|text| text.starts_with('/') && is_plain(text, MAX_ADDRESS_BYTES))
        {
            return bad(
                "an address must be a multiaddr: begin with /, at most 256 bytes of printable ASCII without space",
            );
        }
        let is_url = |url: &String| {
            ["https://", "http://"]
                .iter()
                .any(|scheme| url.len() > scheme.len() && url.starts_with(scheme))
                && is_plain(url, MAX_HTTP_BYTES)
        };
        if !self.http.as_ref().is_none_or(is_url) {
            return bad(
                "the HTTP URL must begin with https:// or http:// and have at most 256 bytes of printable ASCII",
            );
        }
        Ok(())
    }
}

/// Whether `text` has the shape of an Ed25519 PeerId; that it is one, the transport checks.
#[must_use]
pub fn is_peer_id(text: &str) -> bool {
    // Base58 of Bitcoin: no 0, O, I and l.
    let is_base58 = |b: u8| b.is_ascii_alphanumeric() && !b"0OIl".contains(&b);
    text.len() == PEER_ID_BYTES && text.starts_with(PEER_ID_START) && text.bytes().all(is_base58)
}

fn is_plain(text: &str, most_bytes: usize) -> bool {
    text.len() <= most_bytes && text.bytes().all(|b| b.is_ascii_graphic())
}
