//! Hostile texts: the scrubber's work stays bounded, and what it leaves is clean.
#![expect(
    clippy::disallowed_methods,
    reason = "a test may measure time; the crate may not"
)]

use belfry_protocol::scrub::{Report, Ruleset, Scrubber, TokenKey};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Release builds are held to the real bound; unoptimised ones, forty times slower, to one that still tells quadratic
/// work from linear.
const TEXT_LEN: usize = if cfg!(debug_assertions) {
    8 * 1024
} else {
    64 * 1024
};
const TIME_MAX: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1000 } else { 100 });

const PIECES: &[&str] = &[
    "1",
    "12.",
    "1-",
    "1 ",
    "4111 1111 ",
    "91234567 ",
    "tel 91234567 ",
    "+1 ",
    "+65 9123 4567",
    "a@",
    "a@a.aa@",
    "a.a@",
    "\"a\"@b.cc ",
    "eyJ",
    "eyJ.",
    "eyJhbGciOiJIUzI1NiJ9.",
    "a://",
    "a://@",
    "a://a:b@",
    "arn:aws:s3:::",
    "-----BEGIN PRIVATE KEY-----",
    "%40a",
    "%",
    "\\u0040a.bb",
    "\\",
    "\\n1",
    "S1234567D",
    "S1234567D ",
    "GB29NWBK",
    "aB3/",
    "am9obkBleGFtcGxlLmNvbQ",
    "am9obkBleGFtcGxlLmNvbQ ",
    "AKIA",
    "AIza",
    "ghp_",
    "RWRTY0Iy",
    "****567D ",
    "0b7e4d6a-9c1f-4a3e-8b52-1234567890ab",
    "aws wJalrXUtnFEMI/K7MDENG/bPxRfiCYzK4v8Qp1Zs ",
];

#[test]
fn hostile_texts_take_bounded_time_and_end_clean() {
    let scrubber = Scrubber::new(Arc::new(Ruleset::standard()));
    let key = TokenKey::new([3; 32]);
    for piece in PIECES {
        let text = piece.repeat(TEXT_LEN / piece.len());
        let run = || {
            let start = Instant::now();
            let clean = scrubber
                .scrub(&text, &key, &mut Report::default())
                .expect(piece);
            (start.elapsed(), clean)
        };
        // The best of three: other work on the machine is not the scrubber's.
        let (time, clean) = (0..3)
            .map(|_| run())
            .min_by_key(|(time, _)| *time)
            .expect("three runs");
        assert!(time < TIME_MAX, "{piece:?} took {time:?}");
        let clean = clean.unwrap_or_else(|| text.clone());
        assert_eq!(scrubber.residue(&clean), [], "{piece:?}");
    }
}
