//! From drafts to leaves through the public surface: scrubbed, canonical, committed.

#![allow(clippy::unwrap_used, reason = "a test's helpers may fail the test")]

use belfry_protocol::entry::batch::SealedPayload;
use belfry_protocol::entry::commit::{self, EntrySecrets};
use belfry_protocol::entry::draft::Idempotency;
use belfry_protocol::entry::json::Json;
use belfry_protocol::entry::leaf::Content;
use belfry_protocol::entry::press::Sealer;
use belfry_protocol::entry::time::TimeUs;
use belfry_protocol::entry::{Batch, Draft, EntryError, Leaf, Press, Rulebook, Visibility};
use belfry_protocol::scrub::RulesetConfig;
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::hash::leaf_hash;
use proptest::prelude::*;
use std::sync::Arc;

/// Counts instead of drawing randomness, and keeps what it was given to seal.
#[derive(Default)]
struct TestSealer {
    salts: u8,
    plain: Vec<Vec<u8>>,
}

impl Sealer for TestSealer {
    fn salt(&mut self) -> Result<[u8; 32], String> {
        self.salts += 1;
        Ok([self.salts; 32])
    }

    fn seal(&mut self, id: &[u8; 32], plain: &[u8]) -> Result<SealedPayload, String> {
        self.plain.push(plain.to_vec());
        Ok(SealedPayload {
            id: *id,
            key: [1; 32],
            sealed: vec![2],
        })
    }
}

fn press() -> Press {
    let secrets = EntrySecrets {
        idempotency: [1; 32],
        pseudonym: [2; 32],
        scrub: [3; 32],
    };
    Press::new(Arc::new(Rulebook::standard()), Arc::new(secrets))
}

fn draft(kind: &str) -> Draft {
    Draft {
        kind: kind.to_owned(),
        time: TimeUs::parse("2026-11-20T10:00:00Z").unwrap(),
        source: "ci/build-7".to_owned(),
        tenant: None,
        body: Json::Null,
        visibility: None,
        idempotency: None,
    }
}

fn entries(batch: &Batch) -> Vec<Vec<u8>> {
    bundle::entries(batch.bundle(0, batch.len()))
        .map(|entry| entry.unwrap().to_vec())
        .collect()
}

fn public(raw: &str) -> Result<Leaf, EntryError> {
    let mut batch = Batch::default();
    press().add_raw(
        raw.as_bytes(),
        &draft("log.line"),
        &mut TestSealer::default(),
        &mut batch,
    )?;
    let bytes = entries(&batch).remove(0);
    assert_eq!(batch.leaves(), [leaf_hash(&bytes)]);
    Ok(Leaf::parse(&bytes).unwrap())
}

#[test]
fn a_public_entry_is_canonical_and_reads_back() {
    let leaf = public(r#"{ "b": 1.0, "a": "x" }"#).unwrap();
    let text = String::from_utf8(leaf.to_bytes()).unwrap();
    assert!(
        text.starts_with(r#"{"body":{"a":"x","b":1},"kind":"log.line","scrub":{"set":""#),
        "{text}"
    );
    assert!(
        text.ends_with(r#""source":"ci/build-7","time":"2026-11-20T10:00:00.000000Z","v":1}"#),
        "{text}"
    );
}

#[test]
fn what_is_scrubbed_is_recorded_and_never_in_the_leaf() {
    let leaf = public(r#"{"msg":"mail from jane.doe@acme.example","key":"AKIAIOSFODNN7ABCDEFG"}"#)
        .unwrap();
    let text = String::from_utf8(leaf.to_bytes()).unwrap();
    assert!(!text.contains("jane.doe"), "{text}");
    assert_eq!(leaf.scrub.unwrap().replaced.get("email"), Some(&1));
}

#[test]
fn keys_numbers_escapes_and_the_source_are_scrubbed_too() {
    for raw in [
        r#"{"jane.doe@acme.example":1}"#,
        r#"{"a":"jane.doe\u0040acme.example"}"#,
        r#"{"a":["x",{"b":"jane.doe@acme.example"}]}"#,
        r#"{"a":"jane.doe%40acme.example"}"#,
    ] {
        let leaf = public(raw).unwrap();
        assert!(
            !String::from_utf8(leaf.to_bytes())
                .unwrap()
                .contains("jane.doe"),
            "{raw}"
        );
    }
    let mut batch = Batch::default();
    let from = Draft {
        source: "jane.doe@acme.example".to_owned(),
        ..draft("log.line")
    };
    press()
        .add_raw(b"1", &from, &mut TestSealer::default(), &mut batch)
        .unwrap();
    assert!(
        !String::from_utf8(entries(&batch).remove(0))
            .unwrap()
            .contains("jane.doe")
    );
}

#[test]
fn the_key_of_a_value_is_context_for_its_detectors() {
    for raw in [
        r#"{"phone":"91234567"}"#,
        r#"{"phone":91234567}"#,
        r#"{"phone":["x","91234567"]}"#,
    ] {
        let text = String::from_utf8(public(raw).unwrap().to_bytes()).unwrap();
        assert!(!text.contains("91234567"), "{text}");
    }
    let text = String::from_utf8(public(r#"{"size":91234567}"#).unwrap().to_bytes()).unwrap();
    assert!(text.contains("91234567"), "{text}");
    let card = String::from_utf8(public(r#"{"n":4111111111111111}"#).unwrap().to_bytes()).unwrap();
    assert!(!card.contains("4111111111111111"), "{card}");
}

#[test]
fn a_private_entry_shows_a_commitment_and_pseudonyms() {
    let mut sealer = TestSealer::default();
    let mut batch = Batch::default();
    let private = Draft {
        tenant: Some("acme".to_owned()),
        ..draft("audit.event")
    };
    press()
        .add_raw(br#"{"secret":"plans"}"#, &private, &mut sealer, &mut batch)
        .unwrap();
    let bytes = entries(&batch).remove(0);
    let text = String::from_utf8(bytes.clone()).unwrap();
    for word in ["plans", "acme", "ci/build-7"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    let Content::Commit { hmac, len } = Leaf::parse(&bytes).unwrap().content else {
        panic!("{text}")
    };
    assert_eq!(len, 256, "the exact length is inside");
    let plain = &sealer.plain[0];
    let salt: [u8; 32] = plain[..32].try_into().unwrap();
    assert_eq!(commit::commitment(&salt, &plain[32..]), hmac);
    assert_eq!(
        commit::decode_payload(&plain[32..]).unwrap().1,
        br#"{"secret":"plans"}"#
    );
    assert_eq!(batch.payloads()[0].1.id, hmac);
}

#[test]
fn a_kind_may_have_rules_of_its_own() {
    let config = |text: &str| serde_json::from_str::<RulesetConfig>(text).unwrap();
    let kinds = [(
        "log.line".to_owned(),
        config(r#"{"actions":{"email":"keep"}}"#),
    )]
    .into();
    let book = Rulebook::from_config(&config(r#"{"actions":{"uuid":"keep"}}"#), &kinds).unwrap();
    let secrets = EntrySecrets {
        idempotency: [1; 32],
        pseudonym: [2; 32],
        scrub: [3; 32],
    };
    let mut press = Press::new(Arc::new(book), Arc::new(secrets));
    let mut batch = Batch::default();
    let raw = br#"{"a":"jane.doe@acme.example"}"#;
    for kind in ["log.line", "file.observed"] {
        press
            .add_raw(raw, &draft(kind), &mut TestSealer::default(), &mut batch)
            .unwrap();
    }
    let leaves: Vec<Leaf> = entries(&batch)
        .iter()
        .map(|bytes| Leaf::parse(bytes).unwrap())
        .collect();
    let text = |at: usize| String::from_utf8(leaves[at].to_bytes()).unwrap();
    assert!(text(0).contains("jane.doe") && !text(1).contains("jane.doe"));
    assert_ne!(
        leaves[0].scrub.as_ref().unwrap().set,
        leaves[1].scrub.as_ref().unwrap().set
    );
}

#[test]
fn what_is_accepted_can_be_read_again() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(public(&nested(63)).is_ok());
    assert!(
        public(&nested(64)).is_err(),
        "in the leaf it would be one level too deep"
    );
    let tenant = Draft {
        tenant: Some("S1234567D".to_owned()),
        ..draft("log.line")
    };
    let refused = press().add_raw(
        b"1",
        &tenant,
        &mut TestSealer::default(),
        &mut Batch::default(),
    );
    assert!(refused.unwrap_err().to_string().contains("personal data"));
}

#[test]
fn fractions_do_not_hide_numbers_from_the_prefilter() {
    for raw in [
        r#"{"phone":91234567.0}"#,
        r#"{"phone":91234567.00}"#,
        r#"{"phone":91234566.9999999999}"#,
        r#"{"n":4111111111111110.9}"#,
        r#"{"n":4111111111111111.0}"#,
        r#"{"phone":9123.45670}"#,
        r#"{"phone":9123.45669999999999999}"#,
    ] {
        let text = String::from_utf8(public(raw).unwrap().to_bytes()).unwrap();
        assert!(
            !text.contains("91234567")
                && !text.contains("9123.4567")
                && !text.contains("4111111111111111"),
            "{raw}: {text}"
        );
    }
}

#[test]
fn visibility_follows_the_kind_unless_chosen() {
    let make = |kind: &str, visibility| {
        let mut batch = Batch::default();
        let draft = Draft {
            visibility,
            ..draft(kind)
        };
        press()
            .add_raw(b"{}", &draft, &mut TestSealer::default(), &mut batch)
            .unwrap();
        !batch.payloads().is_empty()
    };
    assert!(make("audit.event", None) && make("never.registered", None) && !make("log.line", None));
    assert!(
        make("log.line", Some(Visibility::Private))
            && !make("audit.event", Some(Visibility::Public))
    );
}

#[test]
fn refusals_change_nothing_and_say_why() {
    let mut batch = Batch::default();
    let mut press = press();
    let long = format!("\"{}\"", "x ".repeat(40_000));
    let cases: [(&str, &[u8], &str); 5] = [
        ("solo", b"{}", "reserved"),
        ("Upper", b"{}", "lower-case"),
        ("log.line", b"{\"a\":1,\"a\":2}", "duplicate key"),
        ("log.line", long.as_bytes(), "65,535"),
        ("log.line", b"{\"a\":\"\xff\"}", "JSON"),
    ];
    for (kind, raw, word) in cases {
        let error = press
            .add_raw(raw, &draft(kind), &mut TestSealer::default(), &mut batch)
            .unwrap_err();
        assert!(error.to_string().contains(word), "{kind}: {error}");
    }
    assert!(batch.is_empty());
    press
        .add_raw(
            long.as_bytes(),
            &draft("audit.event"),
            &mut TestSealer::default(),
            &mut batch,
        )
        .unwrap();
    assert_eq!(
        batch.len(),
        1,
        "what is too long for a leaf fits a private payload"
    );
}

#[test]
fn idempotency_ids_tell_lines_sources_and_content_apart() {
    let tag = |source: &str, raw: &[u8], idempotency: Idempotency| {
        let mut batch = Batch::default();
        let draft = Draft {
            source: source.to_owned(),
            idempotency: Some(idempotency),
            ..draft("log.line")
        };
        press()
            .add_raw(raw, &draft, &mut TestSealer::default(), &mut batch)
            .unwrap();
        batch.idem()[0].1
    };
    let line = |occurrence| Idempotency::Line {
        digest: [9; 32],
        occurrence,
    };
    let key = || Idempotency::ClientKey("k1".to_owned());
    assert_eq!(tag("s", b"1", line(0)), tag("s", b"1", line(0)));
    assert_ne!(tag("s", b"1", line(0)).id, tag("s", b"1", line(1)).id);
    assert_ne!(tag("s", b"1", line(0)).id, tag("t", b"1", line(0)).id);
    assert_eq!(tag("s", b"1", key()).id, tag("s", b"2", key()).id);
    assert_ne!(tag("s", b"1", key()).content, tag("s", b"2", key()).content);
    assert!(tag("s", b"1", line(0)).for_ever && !tag("s", b"1", key()).for_ever);
}

proptest! {
    #[test]
    fn leaves_have_one_spelling(text in "\\PC{0,60}", number in any::<i32>(), flip in any::<(usize, u8)>()) {
        let body = Json::object([("t", Json::text(text)), ("n", Json::Number(f64::from(number)))]);
        let mut batch = Batch::default();
        let draft = Draft { body, ..draft("log.line") };
        press().add(&draft, &mut TestSealer::default(), &mut batch).unwrap();
        let bytes = entries(&batch).remove(0);
        let leaf = Leaf::parse(&bytes).unwrap();
        prop_assert_eq!(leaf.to_bytes(), bytes.clone());
        let mut other = bytes.clone();
        other[flip.0 % bytes.len()] ^= flip.1 | 1;
        if let Ok(parsed) = Leaf::parse(&other) {
            prop_assert_eq!(parsed.to_bytes(), other);
            prop_assert_ne!(parsed, leaf);
        }
    }

    #[test]
    fn the_prefilter_never_hides_what_the_full_path_finds(raw in r#"\{"a":"[ -~]{0,80}"\}"#) {
        let Ok(body) = Json::parse(raw.as_bytes()) else { return Ok(()) };
        let (mut fast, mut full) = (Batch::default(), Batch::default());
        press().add_raw(raw.as_bytes(), &draft("log.line"), &mut TestSealer::default(), &mut fast).unwrap();
        let whole = Draft { body, ..draft("log.line") };
        press().add(&whole, &mut TestSealer::default(), &mut full).unwrap();
        prop_assert_eq!(entries(&fast), entries(&full));
    }
}
