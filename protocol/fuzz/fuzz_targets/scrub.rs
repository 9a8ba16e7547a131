//! The scrubber: a scrubbed text is clean and stays as it is, and the quick look never clears what scrubbing changes,
//! neither in text nor in raw JSON.
#![no_main]

use belfry_protocol::entry::json::Json;
use belfry_protocol::scrub::{Report, Ruleset, Scrubber, TokenKey};
use std::sync::{Arc, LazyLock};

static SCRUBBER: LazyLock<Scrubber> =
    LazyLock::new(|| Scrubber::new(Arc::new(Ruleset::standard())));
static KEY: LazyLock<TokenKey> = LazyLock::new(|| TokenKey::new([1; 32]));

/// The scrubbed text, `None` if nothing changed. A text that cannot be made clean is refused: that is no fault.
fn scrub(text: &str) -> Result<Option<String>, ()> {
    let mut report = Report::default();
    let clean = SCRUBBER.scrub(text, &KEY, &mut report).map_err(|_| ())?;
    assert_eq!(report.is_empty(), clean.is_none(), "the report says what was done");
    Ok(clean)
}

/// Asserts that scrubbing changes nothing in a value whose raw text was cleared.
fn unchanged(value: &Json) {
    match value {
        Json::Null | Json::Bool(_) => {}
        // As the press does: a number of ten digits or more is scrubbed as its canonical text.
        Json::Number(number) if number.abs() < 1e9 => {}
        Json::Number(_) => {
            let digits = String::from_utf8(value.to_canonical()).expect("digits are ASCII");
            assert_eq!(scrub(&digits), Ok(None), "cleared, but a number changes");
        }
        Json::String(text) => assert_eq!(scrub(text), Ok(None), "cleared, but a string changes"),
        Json::Array(items) => items.iter().for_each(unchanged),
        Json::Object(members) => {
            for (key, value) in members {
                assert_eq!(scrub(key), Ok(None), "cleared, but a key changes");
                if let Json::String(text) = value {
                    let found = SCRUBBER.scrub_field(key, text, &KEY, &mut Report::default());
                    assert_eq!(found, Ok(None), "cleared, but a field changes");
                }
                unchanged(value);
            }
        }
    }
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    let may_change = SCRUBBER.may_change(text.as_bytes());
    if let Ok(clean) = scrub(text) {
        assert!(may_change || clean.is_none(), "cleared, but the text changes");
        let clean = clean.as_deref().unwrap_or(text);
        assert_eq!(SCRUBBER.residue(clean), [], "residue in {clean:?}");
        assert_eq!(scrub(clean), Ok(None), "not idempotent on {clean:?}");
    } else {
        assert!(may_change, "cleared, but refused");
    }
    if !may_change && let Ok(value) = Json::parse(text.as_bytes()) {
        unchanged(&value);
    }
});
