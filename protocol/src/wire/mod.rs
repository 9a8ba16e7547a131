//! What nodes say to each other, byte by byte (R7): frames, signed envelopes, the hello, and the codec of bodies.
//! May not send anything, judge a sender, or know what a body means: that is for the versions of the protocol.
//!
//! From outside in: a [`Frame`] delimits a message and says its version and kind; an [`Envelope`] signs a [`Header`] and
//! a body; [`codec`] reads and writes bodies. These three and the [`Hello`] are laid out by hand, except for bodies, and
//! are frozen: what changes is a new version beside the old one. Verify first, decode afterwards.
//!
//! Numbers are little-endian here, unlike in the rest of the crate.

mod bounded;
pub(crate) mod bytes;
pub mod clock;
pub mod codec;
pub mod envelope;
pub mod found;
pub mod frame;
pub mod goodbye;
pub mod header;
pub mod hello;
pub mod v1;
pub mod version;

pub use envelope::{Envelope, EnvelopeError};
pub use frame::{Frame, FrameError, FrameHead};
pub use goodbye::Goodbye;
pub use header::{Guard, Header, MemberId, to_member, to_topic};
pub use hello::{Hello, HelloError, SignedHello, Times};
pub use version::{Range, Version, common_version};
