//! Files of windows: what is read prints to exactly the same bytes, and has roots.
#![no_main]

use belfry_protocol::window::Attachment;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(attachment) = Attachment::parse(data) {
        assert_eq!(attachment.encode(), data);
        assert!(attachment.roots().is_ok());
    }
});
