//! Envelopes of drafts: every field is taken as it stands, and what is absent comes from the defaults.
#![no_main]

use belfry_protocol::entry::draft::Draft;
use belfry_protocol::entry::json::Json;
use belfry_protocol::entry::time::TimeUs;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(value) = Json::parse(data) else { return };
    let defaults = Draft {
        kind: "log.line".to_owned(),
        time: TimeUs::default(),
        source: "a/source".to_owned(),
        tenant: None,
        body: Json::Null,
        visibility: None,
        idempotency: None,
    };
    let Ok(draft) = Draft::from_envelope(value.clone(), &defaults) else {
        return;
    };
    let text = |key: &str| value.get(key).and_then(Json::as_str);
    assert_eq!(Some(&draft.body), value.get("body"));
    assert_eq!(draft.kind, text("kind").unwrap_or(&defaults.kind));
    assert_eq!(draft.source, text("source").unwrap_or(&defaults.source));
    assert_eq!(draft.tenant.as_deref(), text("tenant"));
    assert_eq!(
        draft.time,
        text("time").map_or(defaults.time, |time| TimeUs::parse(time)
            .expect("it was read"))
    );
    assert_eq!(draft.visibility.is_some(), text("visibility").is_some());
    assert_eq!(draft.idempotency, None);
    let _ = draft.check();
    assert_eq!(Draft::from_envelope(value, &draft), Ok(draft));
});
