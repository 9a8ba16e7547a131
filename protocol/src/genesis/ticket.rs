//! Invitations: what a joiner must know before it trusts anybody, as text that fits a chat line or a QR code (R14).
//! May not know whether a ticket was used, revoked or is still good: whoever gave it does.

use super::statement::is_line;
use crate::manifest::{MAX_ADDRESS_BYTES, MAX_FEDERATION_NAME_BYTES as MAX_NAME_BYTES, is_peer_id};
use crate::note::VerifierKey;
use crate::tlog::hash::{Hash, sha256_parts};
use crate::wire::bytes::Fields;
use thiserror::Error;

/// How every ticket begins.
pub const TICKET_PREFIX: &str = "belfry1";

/// Most characters of a ticket; a QR code holds it.
pub const MAX_TICKET_CHARS: usize = 2_048;

/// Most addresses in a ticket: each makes the QR code larger.
pub const MAX_TICKET_ADDRESSES: usize = 3;

/// Most bytes of a verifier key: the longest name, and a key of 32 bytes.
const MAX_KEY_BYTES: usize = 512;

const VERSION: u8 = 1;
const KIND_FOUNDING: u8 = 1;
const KIND_MEMBER: u8 = 2;
const CHECK_BYTES: usize = 4;
const DOMAIN: &[u8] = b"belfry-ticket/v1\0";

/// What an invitation to a founded federation pins, and one to a founding cannot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pinned {
    /// The federation's id.
    pub federation: Hash,
    /// Hash of the newest manifest when the ticket was given: the chain that is shown has to go through it.
    pub manifest: Hash,
}

/// An invitation. To a founding it pins the lineage and the proposer: the manifest is not there yet. To a founded federation it
/// pins that, too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ticket {
    /// What the federation is called, or is to be.
    pub federation: String,
    /// The founded federation; `None` while it is being founded.
    pub pinned: Option<Pinned>,
    /// The lineage of its drafts.
    pub lineage: [u8; 16],
    /// Identity key of whoever invites.
    pub proposer: VerifierKey,
    /// Its PeerId in base58.
    pub peer: String,
    /// Multiaddrs at which it is reached, at most [`MAX_TICKET_ADDRESSES`].
    pub addresses: Vec<String>,
    /// What the joiner may become: a factory.
    pub factory: bool,
    /// Or a tower.
    pub tower: bool,
    /// First second since 1970 in which it admits nobody any more.
    pub expires_seconds: u64,
    /// What only the invited knows; the proposer keeps its hash alone.
    pub secret: [u8; 16],
}

/// Why a text is no ticket.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TicketError {
    /// It begins with something else.
    #[error("a ticket begins with belfry1; copy the whole line that `belfry invite` printed")]
    NotATicket,
    /// Letters were lost or changed.
    #[error(
        "the ticket was damaged on its way (its check sum is wrong); copy it again, the whole line"
    )]
    Damaged,
    /// Of another version or kind.
    #[error("the ticket is of a version or kind that is not known here; use a newer Belfry")]
    Unknown,
    /// Undamaged and senseless.
    #[error("the ticket says something that no ticket may: {0}")]
    Malformed(&'static str),
}

impl Ticket {
    /// The text: `belfry1`, then RFC 4648 base32 in lower case without padding over the fields and a check sum of 4 bytes.
    #[must_use]
    pub fn to_text(&self) -> String {
        let kind = match self.pinned {
            None => KIND_FOUNDING,
            Some(_) => KIND_MEMBER,
        };
        let mut bytes = vec![VERSION, kind];
        bytes.push(u8::from(self.factory) | u8::from(self.tower) << 1);
        bytes.extend(self.lineage);
        bytes.extend(self.secret);
        bytes.extend(self.expires_seconds.to_le_bytes());
        if let Some(pinned) = &self.pinned {
            bytes.extend(pinned.federation.as_bytes());
            bytes.extend(pinned.manifest.as_bytes());
        }
        put(&mut bytes, &self.federation);
        put(&mut bytes, &self.proposer.to_string());
        put(&mut bytes, &self.peer);
        bytes.push(u8::try_from(self.addresses.len()).unwrap_or(u8::MAX)); // at most 3
        for address in &self.addresses {
            put(&mut bytes, address);
        }
        let check = check_sum(&bytes);
        bytes.extend(check);
        format!("{TICKET_PREFIX}{}", base32(&bytes))
    }

    /// Reads a ticket; white space around and within it, and capital letters, do not matter.
    ///
    /// # Errors
    /// [`TicketError`].
    pub fn parse(ticket: &str) -> Result<Self, TicketError> {
        if ticket.len() > 2 * MAX_TICKET_CHARS {
            return Err(TicketError::NotATicket);
        }
        let plain: String = ticket
            .chars()
            .filter(|c| !c.is_whitespace())
            .map(|c| c.to_ascii_lowercase())
            .collect();
        let body = plain.strip_prefix(TICKET_PREFIX);
        let body = body.ok_or(TicketError::NotATicket)?;
        let bytes = unbase32(body).ok_or(TicketError::Damaged)?;
        let (bytes, check) = bytes
            .split_last_chunk::<CHECK_BYTES>()
            .ok_or(TicketError::Damaged)?;
        if *check != check_sum(bytes) {
            return Err(TicketError::Damaged);
        }
        let (&[version, kind], rest) = bytes.split_first_chunk().ok_or(TicketError::Unknown)?;
        if version != VERSION || !matches!(kind, KIND_FOUNDING | KIND_MEMBER) {
            return Err(TicketError::Unknown);
        }
        let mut fields = Fields::new(rest);
        let roles = need(fields.u8())?;
        let (lineage, secret) = (need(fields.array())?, need(fields.array())?);
        let expires_seconds = need(fields.u64())?;
        let pinned = match kind {
            KIND_MEMBER => Some(Pinned {
                federation: Hash(need(fields.array())?),
                manifest: Hash(need(fields.array())?),
            }),
            _ => None,
        };
        let federation = text(&mut fields, MAX_NAME_BYTES)?;
        let proposer = text(&mut fields, MAX_KEY_BYTES)?;
        let proposer = VerifierKey::parse(&proposer)
            .map_err(|_| TicketError::Malformed("the proposer's key is no verifier key"))?;
        let peer = text(&mut fields, 64)?;
        let count = need(fields.u8())?;
        if usize::from(count) > MAX_TICKET_ADDRESSES {
            return Err(TicketError::Malformed("it has more than 3 addresses"));
        }
        let addresses = (0..count).map(|_| text(&mut fields, MAX_ADDRESS_BYTES));
        let addresses = addresses.collect::<Result<_, _>>()?;
        if !fields.rest().is_empty() {
            return Err(TicketError::Malformed("bytes follow its last field"));
        }
        if !(1..=3).contains(&roles) || !is_peer_id(&peer) || !is_line(&federation, MAX_NAME_BYTES)
        {
            return Err(TicketError::Malformed("a role, PeerId or name is none"));
        }
        Ok(Self {
            federation,
            pinned,
            lineage,
            proposer,
            peer,
            addresses,
            factory: roles & 1 != 0,
            tower: roles & 2 != 0,
            expires_seconds,
            secret,
        })
    }

    /// The digest by which whoever gave it knows it again.
    #[must_use]
    pub fn secret_hash(&self) -> [u8; 32] {
        secret_hash(&self.secret)
    }
}

/// The digest of a ticket's secret.
#[must_use]
pub fn secret_hash(secret: &[u8; 16]) -> [u8; 32] {
    sha256_parts(&[DOMAIN, b"secret", secret]).0
}

fn check_sum(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let hash = sha256_parts(&[DOMAIN, bytes]).0;
    [hash[0], hash[1], hash[2], hash[3]]
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX); // bounded where they come from, and when they are read
    bytes.extend(length.to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// The next field, which must be there.
fn need<T>(field: Option<T>) -> Result<T, TicketError> {
    field.ok_or(TicketError::Malformed("it is cut short"))
}

fn text(fields: &mut Fields<'_>, most: usize) -> Result<String, TicketError> {
    let length = usize::from(need(fields.u16())?);
    if length > most {
        return Err(TicketError::Malformed("a text is too long"));
    }
    let text = std::str::from_utf8(need(fields.take(length))?).ok();
    text.filter(|text| !text.chars().any(char::is_control))
        .map(str::to_owned)
        .ok_or(TicketError::Malformed("a text is none"))
}

fn base32(bytes: &[u8]) -> String {
    data_encoding::BASE32_NOPAD
        .encode(bytes)
        .to_ascii_lowercase()
}

fn unbase32(text: &str) -> Option<Vec<u8>> {
    data_encoding::BASE32_NOPAD
        .decode(text.to_ascii_uppercase().as_bytes())
        .ok()
}
