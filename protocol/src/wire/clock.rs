//! Probes of clocks, `clock` 1.0: two frames of fixed size, frozen. They are not signed: the connection names the peer,
//! and what an answer says counts against nobody but the one who asked.

use super::codec::{self, Decode, Encode};
use super::frame::{FRAME_HEAD_BYTES, Frame};
use super::version::Version;

/// Number of a probe's frame.
pub const PROBE_KIND: u16 = 32;
/// Number of an answer's frame.
pub const PROBE_ANSWER_KIND: u16 = 33;
/// Bytes of a probe with its frame.
pub const PROBE_BYTES: usize = FRAME_HEAD_BYTES + 16;
/// Bytes of an answer with its frame.
pub const PROBE_ANSWER_BYTES: usize = FRAME_HEAD_BYTES + 32;

/// "What time is it with you?"
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Probe {
    /// Random; the answer repeats it.
    pub nonce: [u8; 16],
}

/// Answer to a [`Probe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ProbeAnswer {
    /// Repeated.
    pub nonce: [u8; 16],
    /// Wall clock when the last byte of the probe had been read, in microseconds since 1970.
    pub received_us: i64,
    /// Wall clock just before the first byte of the answer was written, in microseconds since 1970.
    pub answered_us: i64,
}

impl Probe {
    /// The whole frame.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        Frame::encode(Version::V1_0, PROBE_KIND, &codec::encode(self))
    }

    /// Reads a whole frame; `None` if it is not exactly one probe of a major version that is spoken here.
    #[must_use]
    pub fn from_frame(bytes: &[u8]) -> Option<Self> {
        payload(bytes, PROBE_KIND, PROBE_BYTES)
    }
}

impl ProbeAnswer {
    /// The whole frame.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        Frame::encode(Version::V1_0, PROBE_ANSWER_KIND, &codec::encode(self))
    }

    /// Reads a whole frame; `None` if it is not exactly one answer of a major version that is spoken here.
    #[must_use]
    pub fn from_frame(bytes: &[u8]) -> Option<Self> {
        payload(bytes, PROBE_ANSWER_KIND, PROBE_ANSWER_BYTES)
    }
}

fn payload<T: Encode + Decode<()>>(bytes: &[u8], kind: u16, length: usize) -> Option<T> {
    let frame = Frame::parse(bytes, length - FRAME_HEAD_BYTES).ok()?;
    let spoken = frame.version.major == Version::V1_0.major && frame.kind == kind;
    spoken.then(|| codec::decode(frame.payload).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_layout_is_frozen() {
        let nonce = *b"0123456789abcdef";
        let probe = Probe { nonce };
        let bytes = probe.to_frame();
        assert_eq!(bytes.len(), PROBE_BYTES);
        assert_eq!(
            crate::hex::encode(&bytes),
            "424c46520001200010000000".to_owned() + "30313233343536373839616263646566"
        );
        assert_eq!(Probe::from_frame(&bytes), Some(probe));
        let answer = ProbeAnswer {
            nonce,
            received_us: 1_800_000_000_000_000,
            answered_us: 1_800_000_000_000_007,
        };
        let bytes = answer.to_frame();
        assert_eq!(bytes.len(), PROBE_ANSWER_BYTES);
        assert_eq!(ProbeAnswer::from_frame(&bytes), Some(answer));
        assert_eq!(Probe::from_frame(&bytes), None);
    }

    #[test]
    fn a_later_minor_version_is_read_and_answered_in_ours() {
        let answer = ProbeAnswer {
            nonce: *b"235041890abcdef!",
            received_us: 1,
            answered_us: 2,
        };
        let mut later = answer.to_frame();
        later[4] = 0xfb;
        assert_eq!(ProbeAnswer::from_frame(&later), Some(answer));
        later[5] = 2;
        assert_eq!(ProbeAnswer::from_frame(&later), None);
    }

    proptest! {
        #[test]
        fn what_is_read_prints_the_same(mut bytes in proptest::collection::vec(any::<u8>(), 0..64), cut in 0..64usize) {
            let (probe, answer) = (Probe::from_frame(&bytes), ProbeAnswer::from_frame(&bytes));
            if let Some(minor) = bytes.get_mut(4) {
                *minor = 0;
            }
            if let Some(probe) = probe {
                prop_assert_eq!(probe.to_frame(), bytes.clone());
            }
            if let Some(answer) = answer {
                prop_assert_eq!(answer.to_frame(), bytes);
            }
            let whole = Probe { nonce: [7; 16] }.to_frame();
            if cut < whole.len() {
                prop_assert_eq!(Probe::from_frame(&whole[..cut]), None);
            }
        }
    }
}
