//! What nodes say while a federation is founded, before anybody has a federation id: `/belfry/found/1`, and the same frames among
//! members. Everything in it speaks for itself: cards, proposals, votes. May not verify any of it.
//!
//! | kind | says | answer |
//! |---|---|---|
//! | 0x0201 | lineage [16] · I have: `u16` count, SHA-256 each · documents | 0x0281: those of yours that I want: `u16` count, SHA-256 each · documents that you lack |
//! | 0x0202 | lineage [16] · secret of a ticket [16], or zeroes · `u16` length · a signed card | 0x0282: UTF-8 for people |
//!
//! Documents: `u16` count, then `u32` length and bytes of each. A refusal, 0x0280: `u16` reason · UTF-8 for people.

use super::bytes::Fields;
use super::frame::Frame;
use super::version::Version;
use crate::tlog::hash::Hash;

/// Most bytes of a payload: one document of the largest with a list of digests, or many of ordinary size.
pub const MAX_FOUND_BYTES: usize = 2 << 20;

/// Most digests in one frame; whoever has more names the first of them.
pub const MAX_DIGESTS: usize = 1_024;

/// Most documents in one frame.
pub const MAX_DOCUMENTS: usize = 64;

/// Most bytes of the documents in one frame, unless one alone has more.
pub const DOCUMENTS_BYTES: usize = 1 << 20;

/// Most bytes of a text for people.
pub const MAX_TEXT_BYTES: usize = 512;

/// Most bytes of a signed card: the text, and a line of the longest name.
pub const MAX_CARD_NOTE_BYTES: usize = 8_192;

const EXCHANGE: u16 = 0x0201;
const CARD: u16 = 0x0202;
const REFUSED: u16 = 0x0280;
const EXCHANGED: u16 = 0x0281;
const TAKEN: u16 = 0x0282;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundRequest {
    /// "This is what I have, and this is new."
    Exchange {
        /// Which drafts it is about.
        lineage: [u8; 16],
        /// Digests of the documents that the asker has.
        have: Vec<Hash>,
        /// Documents.
        documents: Vec<Vec<u8>>,
    },
    /// "List me."
    Card {
        /// Of which drafts.
        lineage: [u8; 16],
        /// The secret of a ticket; zeroes from whoever was let in before.
        secret: [u8; 16],
        /// The signed card.
        note: Vec<u8>,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundAnswer {
    /// To an exchange.
    Exchanged {
        /// Of the digests that came, those whose documents are unknown here.
        wanted: Vec<Hash>,
        /// Documents whose digests did not come.
        documents: Vec<Vec<u8>>,
    },
    /// The card was taken; where its proposal stands.
    Taken {
        /// For people.
        text: String,
    },
    /// No.
    Refused {
        /// Why.
        reason: FoundReason,
        /// For people.
        text: String,
    },
}

/// Why there is no answer. The numbers are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundReason {
    /// 1: another lineage is founded here.
    Lineage,
    /// 2: the question cannot be read.
    Malformed,
    /// 3: it is of another major version.
    Version,
    /// 4: nobody with this ticket is awaited: used, expired, revoked, or never given.
    Ticket,
    /// 5: the card does not fit the ticket or the connection, or is not signed by the key it names.
    Card,
    /// 6: who asks is not in the draft and has shown no ticket.
    Stranger,
    /// A number that this version does not know.
    Unknown(u16),
}

const REASONS: [(u16, FoundReason); 6] = [
    (1, FoundReason::Lineage),
    (2, FoundReason::Malformed),
    (3, FoundReason::Version),
    (4, FoundReason::Ticket),
    (5, FoundReason::Card),
    (6, FoundReason::Stranger),
];

impl FoundReason {
    /// Its number on the wire.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Unknown(code) => code,
            known => REASONS
                .iter()
                .find(|row| row.1 == known)
                .map_or(0, |row| row.0),
        }
    }

    /// The reason with this number.
    #[must_use]
    pub fn from_code(code: u16) -> Self {
        let known = REASONS.iter().find(|row| row.0 == code);
        known.map_or(Self::Unknown(code), |row| row.1)
    }
}

/// As many of `documents` as fit one frame, and at least the first.
#[must_use]
pub fn fitting(documents: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let mut bytes = 0;
    let fits = |document: &Vec<u8>| {
        bytes += document.len();
        bytes == document.len() || bytes <= DOCUMENTS_BYTES
    };
    documents
        .into_iter()
        .take(MAX_DOCUMENTS)
        .take_while(fits)
        .collect()
}

impl FoundRequest {
    /// The frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        let kind = match self {
            Self::Exchange {
                lineage,
                have,
                documents,
            } => {
                payload.extend(lineage);
                put_digests(&mut payload, have);
                put_documents(&mut payload, documents);
                EXCHANGE
            }
            Self::Card {
                lineage,
                secret,
                note,
            } => {
                payload.extend(lineage);
                payload.extend(secret);
                payload.extend(u16::try_from(note.len()).unwrap_or(0).to_le_bytes());
                payload.extend(note);
                CARD
            }
        };
        Frame::encode(Version::V1_0, kind, &payload)
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// The reason for which it is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, FoundReason> {
        let frame = Frame::parse(bytes, MAX_FOUND_BYTES).map_err(|_| FoundReason::Malformed)?;
        if frame.version.major != Version::V1_0.major {
            return Err(FoundReason::Version);
        }
        let mut fields = Fields::new(frame.payload);
        let read = match frame.kind {
            EXCHANGE => exchange(&mut fields),
            CARD => card(&mut fields),
            _ => return Err(FoundReason::Version),
        };
        read.filter(|_| fields.rest().is_empty())
            .ok_or(FoundReason::Malformed)
    }
}

fn exchange(fields: &mut Fields<'_>) -> Option<FoundRequest> {
    Some(FoundRequest::Exchange {
        lineage: fields.array()?,
        have: digests(fields)?,
        documents: documents(fields)?,
    })
}

fn card(fields: &mut Fields<'_>) -> Option<FoundRequest> {
    let (lineage, secret) = (fields.array()?, fields.array()?);
    let length = usize::from(fields.u16()?);
    if length > MAX_CARD_NOTE_BYTES {
        return None;
    }
    let note = fields.take(length)?.to_vec();
    Some(FoundRequest::Card {
        lineage,
        secret,
        note,
    })
}

impl FoundAnswer {
    /// The frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        let kind = match self {
            Self::Exchanged { wanted, documents } => {
                put_digests(&mut payload, wanted);
                put_documents(&mut payload, documents);
                EXCHANGED
            }
            Self::Taken { text } => {
                payload.extend(text.as_bytes());
                TAKEN
            }
            Self::Refused { reason, text } => {
                payload.extend(reason.code().to_le_bytes());
                payload.extend(text.as_bytes());
                REFUSED
            }
        };
        Frame::encode(Version::V1_0, kind, &payload)
    }

    /// Reads a frame; `None` if it is no answer that this version knows.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let frame = Frame::parse(bytes, MAX_FOUND_BYTES).ok()?;
        if frame.version.major != Version::V1_0.major {
            return None;
        }
        let mut fields = Fields::new(frame.payload);
        match frame.kind {
            EXCHANGED => {
                let answer = Self::Exchanged {
                    wanted: digests(&mut fields)?,
                    documents: documents(&mut fields)?,
                };
                fields.rest().is_empty().then_some(answer)
            }
            TAKEN => Some(Self::Taken {
                text: text(fields.rest())?,
            }),
            REFUSED => {
                let reason = FoundReason::from_code(fields.u16()?);
                let text = text(fields.rest())?;
                Some(Self::Refused { reason, text })
            }
            _ => None,
        }
    }
}

fn put_digests(payload: &mut Vec<u8>, digests: &[Hash]) {
    let digests = &digests[..digests.len().min(MAX_DIGESTS)];
    payload.extend(u16::try_from(digests.len()).unwrap_or(0).to_le_bytes());
    for digest in digests {
        payload.extend(digest.as_bytes());
    }
}

fn digests(fields: &mut Fields<'_>) -> Option<Vec<Hash>> {
    let count = usize::from(fields.u16()?);
    if count > MAX_DIGESTS {
        return None;
    }
    // Bounded by what is there before room is made.
    let bytes = fields.take(count * 32)?;
    let digests = bytes.chunks_exact(32);
    Some(
        digests
            .filter_map(|one| one.try_into().ok().map(Hash))
            .collect(),
    )
}

fn put_documents(payload: &mut Vec<u8>, documents: &[Vec<u8>]) {
    let documents = &documents[..documents.len().min(MAX_DOCUMENTS)];
    payload.extend(u16::try_from(documents.len()).unwrap_or(0).to_le_bytes());
    for document in documents {
        payload.extend(u32::try_from(document.len()).unwrap_or(0).to_le_bytes());
        payload.extend(document);
    }
}

fn documents(fields: &mut Fields<'_>) -> Option<Vec<Vec<u8>>> {
    let count = usize::from(fields.u16()?);
    if count > MAX_DOCUMENTS {
        return None;
    }
    let mut documents = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(fields.u32()?).ok()?;
        documents.push(fields.take(length)?.to_vec());
    }
    Some(documents)
}

/// Text without control characters, so that it is fit for a terminal.
fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let fit = text.len() <= MAX_TEXT_BYTES && !text.chars().any(char::is_control);
    fit.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn document() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(any::<u8>(), 0..200)
    }

    fn hashes() -> impl Strategy<Value = Vec<Hash>> {
        proptest::collection::vec(any::<[u8; 32]>().prop_map(Hash), 0..9)
    }

    proptest! {
        #[test]
        fn questions_come_back(lineage: [u8; 16], have in hashes(), documents in proptest::collection::vec(document(), 0..9)) {
            let asked = FoundRequest::Exchange { lineage, have, documents };
            prop_assert_eq!(FoundRequest::decode(&asked.encode()), Ok(asked));
        }

        #[test]
        fn cards_come_back(lineage: [u8; 16], secret: [u8; 16], note in document()) {
            let asked = FoundRequest::Card { lineage, secret, note };
            prop_assert_eq!(FoundRequest::decode(&asked.encode()), Ok(asked));
        }

        #[test]
        fn answers_come_back(wanted in hashes(), documents in proptest::collection::vec(document(), 0..9), reason: u16, text in "[ -~]{0,99}") {
            let answers = [
                FoundAnswer::Exchanged { wanted, documents },
                FoundAnswer::Taken { text: text.clone() },
                FoundAnswer::Refused { reason: FoundReason::from_code(reason), text },
            ];
            for answer in answers {
                prop_assert_eq!(FoundAnswer::decode(&answer.encode()), Some(answer));
            }
        }

        #[test]
        fn no_bytes_are_trouble(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut: usize) {
            let _any = FoundRequest::decode(&bytes);
            let _any = FoundAnswer::decode(&bytes);
            let whole = FoundRequest::Exchange { lineage: [1; 16], have: vec![Hash([2; 32])], documents: vec![bytes] }.encode();
            let cut = cut % whole.len();
            prop_assert!(FoundRequest::decode(&whole[..cut]).is_err());
        }
    }

    #[test]
    fn the_layout_is_frozen() {
        let asked = FoundRequest::Exchange {
            lineage: *b"0123456789abcdef",
            have: Vec::new(),
            documents: vec![b"x".to_vec()],
        };
        let hex = "424c4652000101021900000030313233343536373839616263646566000001000100000078";
        assert_eq!(crate::hex::encode(&asked.encode()), hex);
    }

    #[test]
    fn a_count_makes_no_room_by_itself() {
        let mut payload = vec![0; 16];
        payload.extend(1_024u16.to_le_bytes());
        let frame = Frame::encode(Version::V1_0, EXCHANGE, &payload);
        assert_eq!(FoundRequest::decode(&frame), Err(FoundReason::Malformed));
        payload.truncate(16);
        payload.extend([0, 0, 1, 0, 255, 255, 255, 255]);
        let frame = Frame::encode(Version::V1_0, EXCHANGE, &payload);
        assert_eq!(FoundRequest::decode(&frame), Err(FoundReason::Malformed));
    }

    #[test]
    fn documents_fit_a_frame_and_a_large_one_goes_alone() {
        let large = vec![0; DOCUMENTS_BYTES + 1];
        assert_eq!(fitting([large.clone(), vec![1]]).len(), 1);
        assert_eq!(fitting([vec![1], large]).len(), 1);
        assert_eq!(fitting(vec![vec![1]; 99]).len(), MAX_DOCUMENTS);
    }
}
