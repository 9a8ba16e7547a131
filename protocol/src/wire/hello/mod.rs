//! The hello: what two nodes tell each other before anything else, in a layout that is frozen for ever.
//! May not depend on what was agreed before, nor use the codec of bodies.

mod layout;

use super::codec::Text;
use super::envelope::{SIGNATURE_BYTES, sign};
use super::goodbye::Goodbye;
use super::version::Range;
use crate::cert::{CertError, Certificate, verify_chain};
use crate::note::{Algorithm, NoteError, SignedNote, SigningKey, VerifierKey};
use crate::tlog::hash::Hash;
use thiserror::Error;

/// Most bytes of a hello with its signature: it has to fit into what a stranger may send (64 KiB).
pub const MAX_HELLO_BYTES: usize = 60 * 1024;

/// Most version ranges of a hello.
pub const MAX_RANGES: usize = 8;

/// Most certificates of a hello: 15 years of 90-day keys.
pub const MAX_HELLO_CERTIFICATES: usize = 64;

/// Most bytes of a note in a hello.
pub const MAX_HELLO_NOTE_BYTES: usize = 8 * 1024;

/// Most bytes of the extensions.
pub const MAX_EXTENSION_BYTES: usize = 4 * 1024;

/// Most bytes of a `PeerId` as text.
pub const MAX_PEER_BYTES: usize = 128;

/// Most bytes of the name of the software.
pub const MAX_AGENT_BYTES: usize = 64;

/// Most bytes of the reason of a goodbye.
pub const MAX_REASON_BYTES: usize = 512;

/// Bit of [`Hello::roles`]: it keeps a ledger of its own.
pub const ROLE_FACTORY: u8 = 1;

/// Bit of [`Hello::roles`]: it watches and cosigns the ledgers of others.
pub const ROLE_TOWER: u8 = 2;

const DOMAIN: &[u8] = b"belfry/hello/v1\0";

/// Why a hello was refused or not made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HelloError {
    /// It is longer than any hello.
    #[error("the hello has {0} bytes; at most 61,440 are allowed")]
    TooLong(usize),
    /// The bytes end inside the hello.
    #[error("the hello is cut off")]
    Truncated,
    /// Bytes follow the signature.
    #[error("{0} bytes follow the signature of the hello")]
    Trailing(usize),
    /// The first byte is another layout's.
    #[error("the hello has layout {0}; only layout 1 is known here")]
    Layout(u8),
    /// A field is not as it must be.
    #[error("the {field} of the hello is not usable: {problem}")]
    Field {
        /// Which one.
        field: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// A note in it was refused.
    #[error("a note in the hello was refused: {0}")]
    Note(#[from] NoteError),
    /// The certificates do not hold.
    #[error(transparent)]
    Chain(#[from] CertError),
    /// The key is not the envelope key of the newest certificate.
    #[error(
        "the hello is to be signed by the envelope key of its newest certificate; this is another key"
    )]
    WrongKey,
    /// The signature is wrong.
    #[error("the signature of the hello is wrong: it was changed or forged")]
    Signature,
}

/// Clock readings in microseconds since 1970; 0 is not known.
///
/// The answer carries three of NTP's four timestamps, `echo`, `received` and `answered`; the fourth is when it arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Times {
    /// When this hello was made, by its sender's clock.
    pub sent_us: i64,
    /// In an answer: `sent_us` of the hello it answers.
    pub echo_us: i64,
    /// In an answer: when that hello came in, by the answering clock.
    pub received_us: i64,
    /// In an answer: when it went out, by the answering clock.
    pub answered_us: i64,
}

/// What a node says first, or says when it hangs up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// Why the sender hangs up; `None` is a welcome.
    pub goodbye: Option<Goodbye>,
    /// More about the goodbye, for people; may be empty.
    pub reason: Text<MAX_REASON_BYTES>,
    /// Hash of the epoch-0 manifest; all zero if the sender has none.
    pub federation: Hash,
    /// Epoch of the sender's newest manifest.
    pub epoch: u64,
    /// Hash of the sender's newest manifest; all zero if it has none.
    pub manifest_head: Hash,
    /// Versions the sender speaks: at most 8 ranges, each within one major number.
    pub versions: Vec<Range>,
    /// The sender's `PeerId`. The receiver compares it with that of the connection.
    pub peer: Text<MAX_PEER_BYTES>,
    /// The `PeerId` for which this hello is. The receiver compares it with its own.
    pub to: Text<MAX_PEER_BYTES>,
    /// What the receiver of this hello has to put into its guarded messages to the sender; all zero for none.
    pub token: [u8; 16],
    /// Random number of the sender's disk: two nodes with one key differ in it.
    pub disk: [u8; 16],
    /// What the sender does: [`ROLE_FACTORY`], [`ROLE_TOWER`]. Unknown bits are kept.
    pub roles: u8,
    /// Clock readings.
    pub times: Times,
    /// The sender's certificates from serial 1 on, at most 64. Only a goodbye may do without.
    pub chain: Vec<SignedNote>,
    /// Newest digest of the sender's own ledger.
    pub digest: Option<SignedNote>,
    /// Name and version of the software, for people.
    pub agent: Text<MAX_AGENT_BYTES>,
    /// Fields of later releases, at most 4 KiB; signed, and skipped by who does not know them.
    pub extensions: Vec<u8>,
}

impl Hello {
    /// The bytes on the wire, signed with the envelope key of the newest certificate.
    ///
    /// # Errors
    /// [`HelloError`] if a field is out of its bounds, the whole is too long (then the chain is: nothing is left out),
    /// or the key is another one.
    pub fn encode(&self, key: &SigningKey) -> Result<Vec<u8>, HelloError> {
        match self.chain.last() {
            Some(newest) if Certificate::parse(newest.text())?.envelope != *key.verifier() => {
                return Err(HelloError::WrongKey);
            }
            None if self.goodbye.is_none() => {
                return Err(field("certificate chain", "only a goodbye may do without"));
            }
            _ => {}
        }
        let mut bytes = layout::write(self)?;
        let length = bytes.len() + SIGNATURE_BYTES;
        if length > MAX_HELLO_BYTES {
            return Err(HelloError::TooLong(length));
        }
        let signature = sign(key, &[DOMAIN, &bytes].concat())?;
        bytes.extend_from_slice(&signature);
        Ok(bytes)
    }

    /// Reads a hello. Nothing in it is true before [`SignedHello::verify`].
    ///
    /// # Errors
    /// [`HelloError`].
    pub fn parse(bytes: &[u8]) -> Result<SignedHello, HelloError> {
        if bytes.len() > MAX_HELLO_BYTES {
            return Err(HelloError::TooLong(bytes.len()));
        }
        let (hello, rest) = layout::read(bytes)?;
        let signature = rest.get(..SIGNATURE_BYTES).ok_or(HelloError::Truncated)?;
        if rest.len() > SIGNATURE_BYTES {
            return Err(HelloError::Trailing(rest.len() - SIGNATURE_BYTES));
        }
        Ok(SignedHello {
            hello,
            signed: bytes[..bytes.len() - SIGNATURE_BYTES].to_vec(),
            signature: signature.to_vec(),
        })
    }

    /// The goodbye and the reason out of any hello, also one that cannot be read further, has another layout or is not
    /// verified. `None` if it is a welcome, or no hello at all.
    ///
    /// Anybody may have written them: show them, do not act on them.
    #[must_use]
    pub fn read_goodbye(bytes: &[u8]) -> Option<(Goodbye, Text<MAX_REASON_BYTES>)> {
        layout::read_goodbye(bytes)
    }
}

/// A hello that was read, with its signature, which may be right or wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedHello {
    hello: Hello,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

impl SignedHello {
    /// What it says.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// What it says, without the signature.
    #[must_use]
    pub fn into_hello(self) -> Hello {
        self.hello
    }

    /// Verifies the chain by the sender's identity key and the signature by the newest envelope key, and returns the
    /// certificates.
    ///
    /// Left to the caller, who knows the time and the other end: validity, scope and revocation of the newest
    /// certificate, `peer`, `to`, and whether `identity` is anybody's.
    ///
    /// # Errors
    /// [`HelloError::Chain`] or [`HelloError::Signature`].
    pub fn verify(&self, identity: &VerifierKey) -> Result<Vec<Certificate>, HelloError> {
        let chain = verify_chain(identity, &self.hello.chain)?;
        let newest = chain.last().ok_or(HelloError::Signature)?;
        let message = [DOMAIN, &self.signed].concat();
        if newest.envelope.algorithm() != Algorithm::Ed25519
            || !newest.envelope.verify_bytes(&message, &self.signature)
        {
            return Err(HelloError::Signature);
        }
        Ok(chain)
    }
}

fn field(field: &'static str, problem: &'static str) -> HelloError {
    HelloError::Field { field, problem }
}

#[cfg(test)]
mod tests;
