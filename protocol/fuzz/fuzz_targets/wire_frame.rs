//! Frames: what is read prints to the same bytes, and the head says the same by itself.
#![no_main]

use belfry_protocol::wire::{Frame, FrameHead};

const MAX_PAYLOAD: usize = 1024;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let head = FrameHead::parse(data, MAX_PAYLOAD);
    if let Ok(frame) = Frame::parse(data, MAX_PAYLOAD) {
        assert_eq!(
            Frame::encode(frame.version, frame.kind, frame.payload),
            data
        );
        let head = head.expect("the head of a frame must read");
        assert_eq!(
            (head.version, head.kind, head.length),
            (frame.version, frame.kind, frame.payload.len())
        );
    }
});
