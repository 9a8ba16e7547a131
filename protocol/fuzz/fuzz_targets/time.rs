//! Times: the printed form of what is read reads as the same time, and prints the same.
#![no_main]

use belfry_protocol::entry::time::{TimeUs, date_of_day};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Some(time) = TimeUs::parse(text) {
        let printed = time.to_string();
        assert_eq!(printed.len(), "2026-11-20T10:00:00.000000Z".len());
        assert_eq!(TimeUs::parse(&printed), Some(time));
        assert_eq!(TimeUs::from_micros(time.micros()), Some(time));
        assert_eq!(date_of_day(time.day()), printed[..10]);
    }
});
