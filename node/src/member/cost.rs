//! How much a request asks for, read from it before anything is verified: the transport charges it to whoever sent it.

use super::MAX_FRAME;
use belfry_protocol::wire::v1::{Get, Kind};
use belfry_protocol::wire::{Envelope, Frame, codec};

/// Longest request that is looked into. A request for entries is far shorter, and this runs in the network's loop.
const LOOKED_INTO_BYTES: usize = 4 << 10;

/// Entries that a request asks for; 0 for every other message, also one that the engine will refuse.
pub(super) fn entries_asked(bytes: &[u8]) -> u64 {
    if bytes.len() > LOOKED_INTO_BYTES {
        return 0;
    }
    let Ok(frame) = Frame::parse(bytes, MAX_FRAME) else {
        return 0;
    };
    if frame.kind != Kind::Get.number() {
        return 0;
    }
    Envelope::split(frame.payload)
        .ok()
        .and_then(|(envelope, _)| codec::decode::<Get>(&envelope.body).ok())
        .map_or(0, |get| u64::from(get.count))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{found, frame};
    use super::*;
    use belfry_protocol::wire::codec::Text;

    #[test]
    fn a_request_for_entries_costs_what_it_asks_for_and_others_nothing() {
        let founded = found(2);
        let get = Get {
            origin: Text::new("a.test.example").unwrap(),
            from: 5,
            count: 16_384,
            tree_size: 100_000,
        };
        let envelope = founded.envelope(1, 0, Kind::Get, &get).to_bytes();
        assert_eq!(entries_asked(&frame(Kind::Get, &envelope)), 16_384);
        assert_eq!(entries_asked(&frame(Kind::Recover, &envelope)), 0);
        assert_eq!(entries_asked(&frame(Kind::Get, &envelope[..100])), 0);
        assert_eq!(entries_asked(b""), 0);
    }
}
