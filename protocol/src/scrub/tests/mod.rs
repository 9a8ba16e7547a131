//! Tests of the whole scrubber: values and traps of the detectors' table, encodings, actions.

use super::*;
use std::sync::LazyLock;

mod properties;

static SCRUBBER: LazyLock<Scrubber> =
    LazyLock::new(|| Scrubber::new(Arc::new(Ruleset::standard())));

fn key() -> TokenKey {
    TokenKey::new([1; 32])
}

fn with(actions: &str) -> Scrubber {
    let config = serde_json::from_str(&format!("{{\"actions\":{actions}}}")).unwrap();
    Scrubber::new(Arc::new(Ruleset::from_config(&config).unwrap()))
}

fn scrub_with(scrubber: &Scrubber, text: &str) -> (String, Report) {
    let mut report = Report::default();
    let clean = scrubber.scrub(text, &key(), &mut report).unwrap();
    (clean.unwrap_or_else(|| text.to_owned()), report)
}

fn scrub(text: &str) -> String {
    scrub_with(&SCRUBBER, text).0
}

/// The text with every token cut to its class.
fn classes(text: &str) -> String {
    let mut clean = scrub(text);
    let id = key().id();
    while let Some(at) = clean.find(&format!(".{id}.")) {
        clean.replace_range(at..at + id.len() + 22, "");
    }
    clean
}

const JWT: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U";

#[test]
fn one_value_of_each_class() {
    let jwt = format!("bearer {JWT}.");
    for (text, wanted) in [
        ("mail john@example.com now", "mail <email> now"),
        ("+65 9123 4567", "<phone>"),
        ("tel 91234567", "tel <phone>"),
        ("id S1234567D.", "id <sg_nric>."),
        ("900101-14-1234", "<my_nric>"),
        ("mykad 900101141234", "mykad <my_nric>"),
        (
            "run 0b7e4d6a-9c1f-4a3e-8b52-1234567890ab ok",
            "run <uuid> ok",
        ),
        ("arn:aws:iam::123456789012:user/bob.", "<aws_arn>."),
        ("key AKIAQ3EGRNXA7PLW2BMK", "key <aws_key_id>"),
        (
            "aws_secret=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",
            "aws_secret=<aws_secret>",
        ),
        (
            "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
            "<google_api_key>",
        ),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "<github_token>"),
        (&jwt, "bearer <jwt>."),
        ("pay 4111 1111 1111 1111!", "pay <card>!"),
        ("4111111111111111", "<card>"),
        ("GB29 NWBK 6016 1331 9268 19", "<iban>"),
        (
            "postgres://u:p@db.example.com/x",
            "postgres://u:<url_password>@db.example.com/x",
        ),
    ] {
        assert_eq!(classes(text), wanted, "{text}");
    }
}

#[test]
fn traps_stay() {
    for text in [
        "git clone git@github.com:o/r.git",
        "user@1000.service getty@tty1.service logo@2x.png x@1.0.0.tgz",
        "react@18.2.0 actions/checkout@v4 img@sha256:da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "@@ -1,7 +1,9 @@",
        "2025-11-02T10:11:12+0800 2025-11-02 10:11:12.123456789",
        "1762000000000000003 1762000000000000",
        "index 3f2a1b4..9c0d1e2 100644",
        "83886080 bytes",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "S1234567A",
        "****567D",
        "192.168.100.12:8080",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJq2S8qUYD9RyPNfJ6PC7T4bo1fM6Z7yVbJ1xPz2z0Qa",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3",
        "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
    ] {
        assert_eq!(scrub(text), text);
    }
}

#[test]
fn private_keys_go_whole() {
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj";
    for (text, wanted) in [
        (
            format!("a\n-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\nb"),
            "a\n<private_key>\nb",
        ),
        (
            format!(
                "k=\"-----BEGIN RSA PRIVATE KEY-----\\n{body}\\n-----END RSA PRIVATE KEY-----\\n\""
            ),
            "k=\"<private_key>\\n\"",
        ),
        (
            format!(
                "-----BEGIN PGP PRIVATE KEY BLOCK-----\n{body}\n-----END PGP PRIVATE KEY BLOCK-----"
            ),
            "<private_key>",
        ),
        (
            format!("x\n-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\nlog line 2\n"),
            "x\n<private_key>",
        ),
        (
            format!(
                "AGE-SECRET-KEY-1{} x",
                "QPZRY9X8GF".repeat(6).split_at(58).0
            ),
            "<private_key> x",
        ),
        (
            format!("untrusted comment: x\nRWRTY0Iy{}\nafter", "Ab3".repeat(68)),
            "untrusted comment: x\n<private_key>\nafter",
        ),
        (
            format!("-----BEGIN%20PRIVATE%20KEY-----%0A{body}\nlog"),
            "<private_key>",
        ),
    ] {
        assert_eq!(scrub(&text), wanted, "{text}");
    }
}

#[test]
fn encoded_values_are_found() {
    for (text, wanted) in [
        ("?q=john%40example.com&x=1", "?q=<email>&x=1"),
        (r"john\u0040example.com", "<email>"),
        (r"to\n+6591234567\nx", r"to\n<phone>\nx"),
        ("v=am9obkBleGFtcGxlLmNvbQ==", "v=<email>=="),
        ("a/am9obkBleGFtcGxlLmNvbQ b", "a/<email> b"),
    ] {
        assert_eq!(classes(text), wanted, "{text}");
    }
}

#[test]
fn equal_values_have_equal_tokens_however_written() {
    for (one, other) in [
        ("John@Example.com", "john%40example.com"),
        ("john@example.com", "am9obkBleGFtcGxlLmNvbQ"),
        ("+65 9123 4567", "+6591234567"),
        ("s1234567d", "S1234567D"),
        ("4111-1111-1111-1111", "4111111111111111"),
        ("GB29 NWBK 6016 1331 9268 19", "GB29NWBK60161331926819"),
    ] {
        assert_eq!(scrub(one), scrub(other));
    }
}

#[test]
fn overlaps_go_to_the_higher_class() {
    assert_eq!(
        classes("arn:aws:iam::123456789012:user/bob@example.com"),
        "<email>"
    );
    assert_eq!(
        classes("https://x:ghp_16C7e42F292c6912E7710c838347Ae178B4a@github.com"),
        "https://x:<url_password>@github.com"
    );
    assert_eq!(classes("a@b.com@c.com"), "<email>");
    assert_eq!(classes("12 4111 1111 1111 1111"), "12 <card>");
    assert_eq!(classes("+65 9123 4567+65 9123 4567"), "<phone><phone>");
    assert_eq!(classes("x4111111111111111"), "x4111111111111111");
}

#[test]
fn actions_are_obeyed() {
    let text = "john@example.com S1234567D 0b7e4d6a-9c1f-4a3e-8b52-1234567890ab +6591234567";
    let scrubber =
        with(r#"{"email":"drop","sg_nric":{"mask":4},"uuid":"keep","phone":{"mask":8}}"#);
    let (clean, report) = scrub_with(&scrubber, text);
    assert_eq!(
        clean,
        "<email> ****567D 0b7e4d6a-9c1f-4a3e-8b52-1234567890ab ****34567"
    );
    let replaced: Vec<_> = report.iter().collect();
    assert_eq!(
        replaced,
        [(Class::SgNric, 1), (Class::Email, 1), (Class::Phone, 1)]
    );
    assert_eq!(report.kept().collect::<Vec<_>>(), [(Class::Uuid, 1)]);
    assert_eq!(scrub_with(&scrubber, &clean).0, clean);
    assert!(scrubber.residue(&clean).is_empty());
    assert_eq!(
        SCRUBBER.residue(text),
        [Class::SgNric, Class::Email, Class::Phone, Class::Uuid]
    );
}

#[test]
fn a_field_name_is_context() {
    let mut report = Report::default();
    let clean = SCRUBBER
        .scrub_field("homePhone", "91234567", &key(), &mut report)
        .unwrap();
    assert!(clean.unwrap().starts_with("<phone."));
    assert_eq!(
        SCRUBBER.scrub_field("size", "91234567", &key(), &mut report),
        Ok(None)
    );
}

#[test]
fn too_long_is_an_error() {
    let text = " ".repeat(MAX_TEXT_LEN + 1);
    let error = SCRUBBER
        .scrub(&text, &key(), &mut Report::default())
        .unwrap_err();
    assert_eq!(
        error,
        ScrubError::TooLong {
            length: MAX_TEXT_LEN + 1
        }
    );
}

#[test]
fn plain_log_lines_are_passed_over() {
    for line in [
        r#"{"ts":"2025-11-02T10:11:12.123456789Z","level":"info","msg":"cache hit","ms":12,"size":1048576}"#,
        r#"{"commit":"da39a3ee5e6b4b0d3255bfef95601890afd80709","path":"src/main/java/App.java","ok":true}"#,
        r#"{"time":1762000000000000003,"msg":"said \"hello\" twice\n","url":"https://example.com/a/b?c=d"}"#,
        r"2025-11-02 10:11:12 INFO step 3/7: RUN cargo build --release -p tool@1.2.3 # 100%",
    ] {
        assert!(!SCRUBBER.may_change(line.as_bytes()), "{line}");
    }
    for line in [
        r#"{"n":4.111111111111111e15}"#,
        r#"{"n":4111111111111111.0}"#,
        r#"{"s":"a\u0040b.co"}"#,
        "%40",
    ] {
        assert!(SCRUBBER.may_change(line.as_bytes()), "{line}");
    }
}
