//! Frames: what delimits a message and says its version and kind, so that an unknown one is refused as such.
//! May not look into a payload.

pub use super::version::Version;

use super::bytes::Fields;
use thiserror::Error;

/// How every frame begins.
pub const MAGIC: [u8; 4] = *b"BLFR";

/// Bytes before the payload.
pub const FRAME_HEAD_BYTES: usize = 12;

/// Why bytes are not one frame.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Something else speaks.
    #[error("this is not a Belfry frame: it does not begin with BLFR")]
    Magic,
    /// The bytes end inside the frame.
    #[error("the frame is cut off: {have} of {need} bytes are there")]
    Truncated {
        /// Bytes that are there.
        have: usize,
        /// Bytes that there should be, as far as is known.
        need: usize,
    },
    /// Bytes follow the frame.
    #[error("the frame says its payload has {claimed} bytes, but {found} follow")]
    Length {
        /// Length in the head.
        claimed: usize,
        /// Bytes behind the head.
        found: usize,
    },
    /// The payload is larger than the reader takes.
    #[error("the frame says its payload has {claimed} bytes; at most {max} are taken here")]
    TooLong {
        /// Length in the head.
        claimed: usize,
        /// What the reader takes.
        max: usize,
    },
}

/// What a reader of a stream learns before it makes room for the payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHead {
    /// Version of the protocol that the payload follows.
    pub version: Version,
    /// What the payload is.
    pub kind: u16,
    /// Bytes of the payload.
    pub length: usize,
}

impl FrameHead {
    /// Reads the first bytes of a frame; what follows them is not looked at.
    ///
    /// # Errors
    /// [`FrameError`], never [`FrameError::Length`].
    pub fn parse(bytes: &[u8], max_payload: usize) -> Result<Self, FrameError> {
        let start = bytes.len().min(MAGIC.len());
        if bytes[..start] != MAGIC[..start] {
            return Err(FrameError::Magic);
        }
        let (version, kind, length) = fields(bytes).ok_or(FrameError::Truncated {
            have: bytes.len(),
            need: FRAME_HEAD_BYTES,
        })?;
        // A length that does not fit the address space is above every limit.
        let claimed = usize::try_from(length).unwrap_or(usize::MAX);
        if claimed > max_payload {
            return Err(FrameError::TooLong {
                claimed,
                max: max_payload,
            });
        }
        Ok(Self {
            version: Version::from_u16(version),
            kind,
            length: claimed,
        })
    }
}

fn fields(bytes: &[u8]) -> Option<(u16, u16, u32)> {
    let mut fields = Fields::new(bytes.get(MAGIC.len()..)?);
    Some((fields.u16()?, fields.u16()?, fields.u32()?))
}

/// One message with what says how to read it. Whether version and kind are known is for the caller to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// Version of the protocol that the payload follows.
    pub version: Version,
    /// What the payload is.
    pub kind: u16,
    /// The bytes of the message.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Puts a frame around `payload`. One of 4 GiB or more cannot be framed: every reader refuses the result.
    #[must_use]
    pub fn encode(version: Version, kind: u16, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(FRAME_HEAD_BYTES + payload.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&version.to_u16().to_le_bytes());
        bytes.extend_from_slice(&kind.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    /// Reads bytes that are exactly one frame, of at most `max_payload` bytes behind the head.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn parse(bytes: &'a [u8], max_payload: usize) -> Result<Self, FrameError> {
        let head = FrameHead::parse(bytes, max_payload)?;
        let payload = bytes.get(FRAME_HEAD_BYTES..).unwrap_or_default();
        if payload.len() < head.length {
            return Err(FrameError::Truncated {
                have: bytes.len(),
                need: FRAME_HEAD_BYTES.saturating_add(head.length),
            });
        }
        if payload.len() > head.length {
            return Err(FrameError::Length {
                claimed: head.length,
                found: payload.len(),
            });
        }
        Ok(Self {
            version: head.version,
            kind: head.kind,
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 64;

    #[test]
    fn the_layout_is_frozen() {
        let version = Version { major: 1, minor: 2 };
        let bytes = Frame::encode(version, 0x0304, b"ring");
        assert_eq!(
            crate::hex::encode(&bytes),
            "424c46520201040304000000".to_owned() + "72696e67"
        );
        let frame = Frame::parse(&bytes, 4).unwrap();
        assert_eq!(
            (frame.version, frame.kind, frame.payload),
            (version, 0x0304, &b"ring"[..])
        );
    }

    #[test]
    fn every_fault_has_its_own_error() {
        let bytes = Frame::encode(Version::V1_0, 7, b"ring");
        for cut in 0..bytes.len() {
            let need = if cut < FRAME_HEAD_BYTES {
                FRAME_HEAD_BYTES
            } else {
                bytes.len()
            };
            let refused = FrameError::Truncated { have: cut, need };
            assert_eq!(Frame::parse(&bytes[..cut], MAX), Err(refused), "{cut}");
        }
        let longer = [&bytes[..], b"!"].concat();
        let refused = FrameError::Length {
            claimed: 4,
            found: 5,
        };
        assert_eq!(Frame::parse(&longer, MAX), Err(refused));
        let refused = FrameError::TooLong { claimed: 4, max: 3 };
        assert_eq!(Frame::parse(&bytes, 3), Err(refused.clone()));
        assert_eq!(
            FrameHead::parse(&bytes[..FRAME_HEAD_BYTES], 3),
            Err(refused)
        );
        for other in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"G",
            b"BLFS",
            b"\x16\x03\x01\x00",
        ] {
            assert_eq!(Frame::parse(other, MAX), Err(FrameError::Magic));
        }
    }

    #[test]
    fn an_oversized_claim_is_refused_by_the_head_alone() {
        let mut head = Frame::encode(Version::V1_0, 7, b"");
        head[8..].fill(0xff);
        let claimed = usize::try_from(u32::MAX).unwrap();
        let refused = FrameError::TooLong { claimed, max: MAX };
        assert_eq!(Frame::parse(&head, MAX), Err(refused));
    }

    proptest! {
        #[test]
        fn round_trip(version: u16, kind: u16, payload in proptest::collection::vec(any::<u8>(), 0..=MAX)) {
            let version = Version::from_u16(version);
            let bytes = Frame::encode(version, kind, &payload);
            let frame = Frame { version, kind, payload: &payload };
            prop_assert_eq!(Frame::parse(&bytes, MAX), Ok(frame));
            let head = FrameHead { version, kind, length: payload.len() };
            prop_assert_eq!(FrameHead::parse(&bytes, MAX), Ok(head));
        }

        #[test]
        fn what_is_read_prints_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..32), genuine: bool) {
            let bytes = if genuine { [&MAGIC[..], &bytes].concat() } else { bytes };
            if let Ok(frame) = Frame::parse(&bytes, MAX) {
                prop_assert_eq!(Frame::encode(frame.version, frame.kind, frame.payload), bytes);
            }
        }
    }
}
