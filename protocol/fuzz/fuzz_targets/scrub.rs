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
    assert_eq!(
        report.is_empty(),
        clean.is_none(),
        "the report says what was done"
    );
    Ok(clean)
}

/// Asserts that scrubbing changes nothing in a value whose raw text was cleared. As the press does: numbers as their
/// canonical text, and values in the context of the key they stand under.
fn unchanged(name: &str, value: &Json) {
    let field = |text: &str| SCRUBBER.scrub_field(name, text, &KEY, &mut Report::default());
    match value {
        Json::Null | Json::Bool(_) => {}
        Json::Number(_) => {
            let digits = String::from_utf8(value.to_canonical()).expect("digits are ASCII");
            assert_eq!(
                field(&digits),
                Ok(None),
                "cleared, but the number {digits} changes"
            );
        }
        Json::String(text) => assert_eq!(field(text), Ok(None), "cleared, but {text:?} changes"),
        Json::Array(items) => items.iter().for_each(|item| unchanged(name, item)),
        Json::Object(members) => {
            for (key, value) in members {
                assert_eq!(scrub(key), Ok(None), "cleared, but the key {key:?} changes");
                unchanged(key, value);
            }
        }
    }
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    let may_change = SCRUBBER.may_change(text.as_bytes());
    if let Ok(clean) = scrub(text) {
        assert!(
            may_change || clean.is_none(),
            "cleared, but the text changes"
        );
        let clean = clean.as_deref().unwrap_or(text);
        assert_eq!(SCRUBBER.residue(clean), [], "residue in {clean:?}");
        assert_eq!(scrub(clean), Ok(None), "not idempotent on {clean:?}");
    } else {
        assert!(may_change, "cleared, but refused");
    }
    if !may_change && let Ok(value) = Json::parse(text.as_bytes()) {
        unchanged("", &value);
    }
});
