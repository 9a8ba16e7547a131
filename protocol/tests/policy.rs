//! Policies: the rules of C2SP `tlog-policy`, and quorums over distinct keys.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::note::{SignedNote, SigningKey};
use belfry_protocol::policy::{Policy, PolicyError, PolicyProblem};
use belfry_protocol::tlog::hash::sha256;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn log() -> SigningKey {
    SigningKey::ed25519("a.example/log", [100; 32]).unwrap()
}

fn tower(number: u8) -> SigningKey {
    SigningKey::cosigner(&format!("t{number}.example"), [number; 32]).unwrap()
}

/// Five towers; `two` needs t1 and t2 or t3, `one` t4 or t5, `both` is the quorum.
fn text() -> String {
    let mut text = format!("log {} https://a.example/\n", log().verifier());
    for number in 1..=5 {
        text += &format!("witness t{number} {}\n", tower(number).verifier());
    }
    text + "group two 2 t1 t2 t3\ngroup one any t4 t5\ngroup both all two one\nquorum both\n"
}

fn note(towers: &[u8]) -> SignedNote {
    let checkpoint = Checkpoint {
        origin: "a.example/log".to_owned(),
        size: 3,
        root: sha256(b"root"),
    };
    let mut note = checkpoint.sign(&log()).unwrap();
    for number in towers {
        note = note
            .with_signature(tower(*number).cosign(&checkpoint.to_text(), 1_000).unwrap())
            .unwrap();
    }
    note
}

#[test]
fn quorums_of_groups_are_counted() {
    let policy = Policy::parse(text().as_bytes()).unwrap();
    assert_eq!(policy.to_string(), text());
    for (towers, enough) in [
        (&[1, 2, 4][..], true),
        (&[3, 1, 5], true),
        (&[1, 2, 3, 4, 5], true),
        (&[1, 2], false),
        (&[1, 4, 5], false),
        (&[4], false),
        (&[], false),
    ] {
        let opened = policy.open(&note(towers));
        assert_eq!(opened.is_ok(), enough, "{towers:?}");
        if let Ok((_, standing)) = opened {
            assert_eq!(standing.counted.len(), towers.len());
        }
    }
    let refused = policy.open(&note(&[4, 1])).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the quorum both is not reached; counted: t1, t4"
    );
}

#[test]
fn one_key_counts_once_whatever_it_signs() {
    let policy = Policy::parse(text().as_bytes()).unwrap();
    let text = note(&[]).text().to_owned();
    let mut often = note(&[1, 4]);
    for time in 1..20 {
        often = often
            .with_signature(tower(1).cosign(&text, time).unwrap())
            .unwrap();
    }
    assert!(matches!(
        policy.open(&often),
        Err(PolicyError::NoQuorum { .. })
    ));
    let (_, standing) = policy
        .open(
            &often
                .with_signature(tower(2).cosign(&text, 5).unwrap())
                .unwrap(),
        )
        .unwrap();
    assert_eq!(standing.counted[0].timestamp_seconds, 1_000);
}

#[test]
fn the_log_must_be_known_and_must_sign() {
    let policy = Policy::parse(text().as_bytes()).unwrap();
    let text = note(&[]).text().to_owned();
    let unsigned = SignedNote::new(&text, vec![tower(1).cosign(&text, 1).unwrap()]).unwrap();
    assert!(matches!(
        policy.open(&unsigned),
        Err(PolicyError::NoLogSignature(_))
    ));
    let other = SigningKey::ed25519("b.example", [9; 32]).unwrap();
    let foreign = Checkpoint {
        origin: "b.example".to_owned(),
        size: 1,
        root: sha256(b"x"),
    }
    .sign(&other)
    .unwrap();
    assert!(matches!(
        policy.open(&foreign),
        Err(PolicyError::UnknownLog(_))
    ));
    let none =
        Policy::parse(format!("log {}\nquorum none\n", log().verifier()).as_bytes()).unwrap();
    assert!(none.open(&note(&[])).is_ok());
}

#[test]
fn a_wrong_line_of_a_known_tower_refuses_the_note() {
    let policy = Policy::parse(text().as_bytes()).unwrap();
    let elsewhere = tower(3)
        .cosign(
            "a.example/log\n9\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
            1,
        )
        .unwrap();
    let refused = policy.open(&note(&[1, 2, 4]).with_signature(elsewhere).unwrap());
    assert!(matches!(refused, Err(PolicyError::Note(_))));
}

#[test]
fn comments_spaces_and_foreign_names_are_read() {
    let spaced = text()
        .replace(' ', " \t ")
        .replace("quorum", "\n# \u{e9}\n\t#x\n  quorum");
    assert_eq!(
        Policy::parse(spaced.as_bytes()).unwrap().to_string(),
        text()
    );
    let named = format!(
        "witness \u{e9}#+ {}\nquorum \u{e9}#+\n",
        tower(1).verifier()
    );
    assert_eq!(Policy::parse(named.as_bytes()).unwrap().to_string(), named);
}

#[test]
fn broken_rules_are_named_with_their_line() {
    let (key, other) = (
        tower(1).verifier().to_string(),
        tower(2).verifier().to_string(),
    );
    let renamed = SigningKey::cosigner("another.name", [1; 32])
        .unwrap()
        .verifier()
        .to_string();
    let bad = [
        format!("witness a {key}\nwitness a {other}\nquorum a\n"),
        format!("witness a {key}\nwitness b {renamed}\nquorum a\n"),
        format!("witness none {key}\nquorum none\n"),
        format!("witness a {key}\ngroup a any a\nquorum a\n"),
        format!("group g any a\nwitness a {key}\nquorum g\n"),
        format!("quorum a\nwitness a {key}\n"),
        format!("witness a {key}\ngroup g any a a\nquorum g\n"),
        format!("witness a {key}\ngroup g any a\ngroup h any a\nquorum h\n"),
        format!("witness a {key}\ngroup g 0 a\nquorum g\n"),
        format!("witness a {key}\ngroup g 2 a\nquorum g\n"),
        format!("witness a {key}\ngroup g 01 a\nquorum g\n"),
        format!("witness a {key}\ngroup g any\nquorum g\n"),
        format!("witness a {key}\ngroup g any none\nquorum g\n"),
        format!("witness a {key}\ngroup g all g\nquorum g\n"),
        format!("witness a {key}\nquorum a\nquorum a\n"),
        format!("witness a {key}\nquorum a a\n"),
        format!("witness a {key} url more\nquorum a\n"),
        format!("witness a {}\nquorum a\n", log().verifier()),
        format!("log {key}\nquorum none\n"),
        format!("log {0}\nlog {0}\nquorum none\n", log().verifier()),
        "frob\nquorum none\n".to_owned(),
        "quorum none\r\n".to_owned(),
        "quorum\u{0}none\n".to_owned(),
    ];
    for text in &bad {
        assert!(
            matches!(
                Policy::parse(text.as_bytes()),
                Err(PolicyError::Line { .. })
            ),
            "{text}"
        );
    }
    for text in ["", "quorum none", "# nothing\n"] {
        assert!(
            matches!(Policy::parse(text.as_bytes()), Err(PolicyError::Whole(_))),
            "{text}"
        );
    }
    let second = Policy::parse(bad[1].as_bytes()).unwrap_err();
    assert_eq!(
        second,
        PolicyError::Line {
            line: 2,
            problem: PolicyProblem::DuplicateKey("b".to_owned())
        }
    );
}

#[test]
fn thirty_two_of_each_are_supported() {
    let mut policy = Policy::new();
    for number in 1..=32u8 {
        let log = SigningKey::ed25519(&format!("l{number}.example"), [number + 100; 32]).unwrap();
        policy.add_log(log.verifier().clone(), None).unwrap();
        policy
            .add_witness(
                &format!("t{number}"),
                tower(number).verifier().clone(),
                None,
            )
            .unwrap();
        policy
            .add_group(&format!("g{number}"), 1, &[&format!("t{number}")])
            .unwrap();
    }
    policy.set_quorum("g32").unwrap();
    assert_eq!(
        Policy::parse(policy.to_string().as_bytes()).unwrap(),
        policy
    );
    assert!(
        policy.is_satisfied(&BTreeSet::from(["t32"]))
            && !policy.is_satisfied(&BTreeSet::from(["t31", "g32"]))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_read_prints_and_reads_the_same(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = text().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(policy) = Policy::parse(&bytes) {
            prop_assert_eq!(Policy::parse(policy.to_string().as_bytes()).unwrap(), policy);
        }
    }

    /// Groups against a plain recount.
    #[test]
    fn satisfaction_is_what_the_groups_say(chosen in proptest::collection::btree_set(1u8..=5, 0..=5)) {
        let policy = Policy::parse(text().as_bytes()).unwrap();
        let names: Vec<String> = chosen.iter().map(|number| format!("t{number}")).collect();
        let two = chosen.iter().filter(|number| **number <= 3).count() >= 2;
        let one = chosen.iter().any(|number| *number >= 4);
        let names = names.iter().map(String::as_str).collect();
        prop_assert_eq!(policy.is_satisfied(&names), two && one);
    }
}
