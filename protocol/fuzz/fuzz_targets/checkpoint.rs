//! Checkpoints, our own and foreign ones: what is read prints to exactly the same text.
#![no_main]

use belfry_protocol::checkpoint::Checkpoint;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let foreign = Checkpoint::parse_foreign(text);
    if let Ok(checkpoint) = &foreign {
        assert_eq!(checkpoint.to_text(), text);
    }
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.to_text(), text);
        assert!(foreign.is_ok_and(|foreign| foreign.extensions.is_empty()));
    }
});
