//! The certificate chains of members as one file: enough for a stranger to verify digests and acks with the manifest.
//! May not verify them: whoever reads it does that from the identity keys in the manifest.

use belfry_protocol::engine::federation::members::Members;

/// Most members with a chain, as in every list of members.
const MAX_MEMBERS: usize = 64;
/// Most certificates of one member.
const MAX_NOTES: usize = 64;
/// Longest certificate note in bytes, as in a hello.
const MAX_NOTE_BYTES: usize = 8 << 10;

/// Certificate notes by the names of members, oldest first.
///
/// On the wire, for each member: `u16` length and name, `u16` count, and for each note `u32` length and text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chains(pub Vec<(String, Vec<String>)>);

impl Chains {
    /// The chains that are known; members whose chain is not known yet are left out.
    pub(super) fn of(members: &Members) -> Self {
        let chain = |member: usize| {
            let notes: Vec<String> = members
                .notes(member)
                .iter()
                .map(ToString::to_string)
                .collect();
            let fits =
                notes.len() <= MAX_NOTES && notes.iter().all(|note| note.len() <= MAX_NOTE_BYTES);
            (fits && !notes.is_empty()).then(|| (members.name(member).to_owned(), notes))
        };
        let known = (0..members.count()).filter_map(chain);
        Self(known.take(MAX_MEMBERS).collect())
    }

    /// The file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // What is longer than its length can say was never taken in, see the limits above.
        let short = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes();
        for (name, notes) in &self.0 {
            bytes.extend_from_slice(&short(name.len()));
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&short(notes.len()));
            for note in notes {
                let length = u32::try_from(note.len()).unwrap_or(u32::MAX);
                bytes.extend_from_slice(&length.to_le_bytes());
                bytes.extend_from_slice(note.as_bytes());
            }
        }
        bytes
    }

    /// Reads the file; `None` for anything but what [`Chains::encode`] writes.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut chains = Vec::new();
        while !rest.is_empty() {
            if chains.len() == MAX_MEMBERS {
                return None;
            }
            let length = short(&mut rest)?;
            let name = text(&mut rest, length)?;
            let count = short(&mut rest)?;
            if count == 0 || count > MAX_NOTES {
                return None;
            }
            let mut notes = Vec::new();
            for _ in 0..count {
                let (length, after) = rest.split_first_chunk()?;
                rest = after;
                let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
                if length > MAX_NOTE_BYTES {
                    return None;
                }
                notes.push(text(&mut rest, length)?);
            }
            chains.push((name, notes));
        }
        Some(Self(chains))
    }
}

fn short(rest: &mut &[u8]) -> Option<usize> {
    let (length, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(usize::from(u16::from_le_bytes(*length)))
}

fn text(rest: &mut &[u8], length: usize) -> Option<String> {
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(std::str::from_utf8(text).ok()?.to_owned())
}
