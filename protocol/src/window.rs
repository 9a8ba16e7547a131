//! Attachments of `window` entries (R13): the acks that a node gave and received in one window, verbatim. The entry has
//! their hash, and the roots of two bounded trees over them. May not judge an ack: that takes keys.
//!
//! One canonical JSON object a line, `{"note":"…","side":"given"}`: first all that were given, then all that were received,
//! each in the order in which they came. The leaves of a side's tree are its notes, as bytes.

use crate::entry::json::Json;
use crate::note::MAX_NOTE_BYTES;
use crate::tlog::bounded::{BoundedTree, MAX_LEAVES};
use crate::tlog::hash::{Hash, sha256};

/// Most acks of one side: the leaves of a bounded tree.
pub const MAX_ACKS: u64 = MAX_LEAVES as u64;
/// Most bytes of the notes of one side: an ack has less than 1 KiB, unless it carries many lines.
pub const MAX_SIDE_BYTES: u64 = 32 << 20;
/// Most bytes of an attachment: both sides, with line feeds that became two letters, and a frame around each note.
pub const MAX_ATTACHMENT_BYTES: usize = 160 << 20;

/// Why bytes are no attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// There is more than an attachment may hold.
    #[error("the attachment holds more than 65,536 acks or 32 MiB of one side")]
    TooMuch,
    /// A line is something else.
    #[error("line {0} of the attachment is no ack in its one spelling")]
    Line(usize),
    /// Acks that were given follow ones that were received, or the last line does not end.
    #[error("line {0} of the attachment is out of order or cut off")]
    Order(usize),
}

/// The acks of one window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attachment {
    /// Those that this node gave.
    pub given: Vec<String>,
    /// Those that others gave for this node's ledger.
    pub received: Vec<String>,
}

const GIVEN: &str = "given";
const RECEIVED: &str = "received";

fn line(note: &str, side: &str) -> Vec<u8> {
    let object = Json::object([("note", Json::text(note)), ("side", Json::text(side))]);
    let mut line = object.to_canonical();
    line.push(b'\n');
    line
}

/// Root of the bounded tree over notes.
fn root(notes: &[String]) -> Result<Hash, WindowError> {
    let tree = BoundedTree::build(notes).map_err(|_| WindowError::TooMuch)?;
    Ok(tree.root())
}

impl Attachment {
    /// Whether there is nothing to attach.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.given.is_empty() && self.received.is_empty()
    }

    /// The file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let given = self.given.iter().map(|note| line(note, GIVEN));
        let received = self.received.iter().map(|note| line(note, RECEIVED));
        given.chain(received).flatten().collect()
    }

    /// The file's name.
    #[must_use]
    pub fn hash(bytes: &[u8]) -> Hash {
        sha256(bytes)
    }

    /// Roots over what was given and what was received.
    ///
    /// # Errors
    /// When there is too much.
    pub fn roots(&self) -> Result<(Hash, Hash), WindowError> {
        Ok((root(&self.given)?, root(&self.received)?))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`WindowError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, WindowError> {
        if bytes.len() > MAX_ATTACHMENT_BYTES {
            return Err(WindowError::TooMuch);
        }
        let mut parsed = Self::default();
        let mut sizes = [0u64; 2];
        for (number, text) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let number = number + 1;
            // Two levels are enough, and a note cannot be longer than its line.
            let value = Json::parse_below(text.trim_ascii_end(), 2);
            let value = value.map_err(|_| WindowError::Line(number))?;
            let field = |key: &str| value.get(key).and_then(Json::as_str);
            let (Some(note), Some(side)) = (field("note"), field("side")) else {
                return Err(WindowError::Line(number));
            };
            if note.len() > MAX_NOTE_BYTES
                || line(note, side).trim_ascii_end() != text.trim_ascii_end()
            {
                return Err(WindowError::Line(number));
            }
            let given = match side {
                GIVEN => true,
                RECEIVED => false,
                _ => return Err(WindowError::Line(number)),
            };
            if !text.ends_with(b"\n")
                || line(note, side) != text
                || given && !parsed.received.is_empty()
            {
                return Err(WindowError::Order(number));
            }
            let (list, size) = match given {
                true => (&mut parsed.given, &mut sizes[0]),
                false => (&mut parsed.received, &mut sizes[1]),
            };
            *size += note.len() as u64;
            if list.len() as u64 >= MAX_ACKS || *size > MAX_SIDE_BYTES {
                return Err(WindowError::TooMuch);
            }
            list.push(note.to_owned());
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::hash::empty_root;
    use proptest::prelude::*;

    #[test]
    fn the_form_is_frozen() {
        let attachment = Attachment {
            given: vec!["a\nb\n".to_owned()],
            received: vec!["c\n".to_owned()],
        };
        let bytes = attachment.encode();
        let text = "{\"note\":\"a\\nb\\n\",\"side\":\"given\"}\n{\"note\":\"c\\n\",\"side\":\"received\"}\n";
        assert_eq!(bytes, text.as_bytes());
        assert_eq!(Attachment::parse(&bytes), Ok(attachment));
        assert_eq!(Attachment::parse(b""), Ok(Attachment::default()));
        let roots = Attachment::default().roots().unwrap();
        assert_eq!(roots, (empty_root(), empty_root()));
    }

    #[test]
    fn other_spellings_are_refused() {
        for (text, refused) in [
            ("{\"note\":\"a\",\"side\":\"given\"}", WindowError::Order(1)),
            (
                "{\"side\":\"given\",\"note\":\"a\"}\n",
                WindowError::Line(1),
            ),
            (
                "{\"note\": \"a\",\"side\":\"given\"}\n",
                WindowError::Line(1),
            ),
            ("{\"note\":\"a\",\"side\":\"both\"}\n", WindowError::Line(1)),
            (
                "{\"note\":\"a\",\"side\":\"given\"}\r\n",
                WindowError::Order(1),
            ),
            ("\n", WindowError::Line(1)),
            (
                "{\"note\":\"a\",\"side\":\"received\"}\n{\"note\":\"a\",\"side\":\"given\"}\n",
                WindowError::Order(2),
            ),
        ] {
            assert_eq!(Attachment::parse(text.as_bytes()), Err(refused), "{text}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(given in proptest::collection::vec(".{0,40}", 0..9), received in proptest::collection::vec(".{0,40}", 0..9)) {
            let attachment = Attachment { given, received };
            prop_assert_eq!(Attachment::parse(&attachment.encode()), Ok(attachment));
        }

        #[test]
        fn what_is_read_prints_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(attachment) = Attachment::parse(&bytes) {
                prop_assert_eq!(attachment.encode(), bytes);
            }
        }
    }
}
