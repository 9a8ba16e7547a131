//! Properties that hold for every text: scrubbing is idempotent, leaves no residue, and the quick look never misses.

use super::*;
use proptest::prelude::*;

/// Values, traps and the glue between them.
fn fragment() -> impl Strategy<Value = String> {
    let values = prop::sample::select(vec![
        "john@example.com",
        "a@b.co",
        "+65 9123 4567",
        "+6591234567",
        "9123 4567",
        "91234567",
        "tel",
        "phone:",
        "S1234567D",
        "t1234567j",
        "M1235467X",
        "****567D",
        "Sxxxx567D",
        "900101-14-1234",
        "900101141234",
        "mykad",
        "0b7e4d6a-9c1f-4a3e-8b52-1234567890ab",
        "arn:aws:iam::123456789012:user/bob",
        "AKIAQ3EGRNXA7PLW2BMK",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzK4v8Qp1Zs",
        "aws",
        "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        JWT,
        "4111 1111 1111 1111",
        "4111111111111111",
        "378282246310005",
        "GB29 NWBK 6016 1331 9268 19",
        "DE89370400440532013000",
        "postgres://u:p@db.example.com",
        "https://",
        "u:p@ss@h",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        "am9obkBleGFtcGxlLmNvbQ==",
        "foo%40bar.com",
        r"x\u0040y.com",
        "git@github.com",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "2025-11-02",
        "10:11:12",
        "1762000000000000003",
        "\"j d\"@example.com",
        "jörg@münchen.example",
        "<email.abcdef.aaaabbbbccccddddeeee>",
    ]);
    let glue = prop::sample::select(vec![
        " ", "", "\n", "-", ".", ",", ":", "/", "\"", "=", "@", "+", "*", "****", "\\", "\\n",
        "\\t", "\\r", "\\\\", "<", ">", "(", ") ", "_", "é", "谢", "%2B", "%", "1", "a", "S", "\t",
        "|", "&", "..", "e5", "0",
    ]);
    prop_oneof![4 => values.prop_map(str::to_owned), 4 => glue.prop_map(str::to_owned), 1 => "[ -~]{0,12}", 1 => "[0-9 +-]{0,24}"]
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(fragment(), 0..12).prop_map(|parts| parts.concat())
}

fn scrubbers() -> &'static [Scrubber] {
    static ALL: LazyLock<Vec<Scrubber>> = LazyLock::new(|| {
        vec![
            SCRUBBER.clone(),
            every("\"drop\"", "\"drop\""),
            every("\"token\"", "\"token\""),
            every("{\"mask\":8}", "\"token\""),
            every("{\"mask\":0}", "\"keep\""),
            with(r#"{"email":"keep","private_key":"keep","url_password":"keep","card":"drop"}"#),
        ]
    });
    &ALL
}

fn every(action: &str, masked: &str) -> Scrubber {
    let actions: Vec<String> = Class::ALL
        .iter()
        .map(|class| {
            format!(
                "\"{class}\":{}",
                if *class == Class::SgNricMasked {
                    masked
                } else {
                    action
                }
            )
        })
        .collect();
    with(&format!("{{{}}}", actions.join(",")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn scrubbing_twice_changes_nothing_more(text in text()) {
        for scrubber in scrubbers() {
            let (once, _) = scrub_with(scrubber, &text);
            prop_assert_eq!(&scrub_with(scrubber, &once).0, &once);
            prop_assert_eq!(scrubber.residue(&once), []);
        }
    }

    #[test]
    fn the_quick_look_never_misses(text in text()) {
        let every = every("\"drop\"", "\"drop\"");
        let scan = Scan { rules: &every.rules, name: "" };
        for line in text.split('\n') {
            let mut hits = Vec::new();
            scan.line(line.as_bytes(), 0..line.len(), &mut hits);
            prop_assert!(hits.is_empty() || every.may_change(line.as_bytes()), "{:?} {:?}", line, hits);
            let json = serde_json::to_string(line).unwrap();
            prop_assert!(hits.is_empty() || every.may_change(json.as_bytes()), "{} {:?}", json, hits);
        }
    }

    #[test]
    fn any_text_is_scrubbed_without_a_panic(text in "\\PC{0,200}") {
        let (once, _) = scrub_with(&SCRUBBER, &text);
        prop_assert_eq!(scrub(&once), once);
    }

    #[test]
    fn any_bytes_are_looked_at_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = SCRUBBER.may_change(&bytes);
    }
}
