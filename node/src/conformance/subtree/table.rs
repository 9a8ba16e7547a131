//! Every row about subtrees: what is done and what must come of it.

use super::part::Part;
use crate::conformance::logs::Group;
use crate::conformance::table::Definition;
use crate::conformance::tree::print;
use belfry_protocol::base64;
use belfry_protocol::tlog::hash::empty_root;

/// What a subtree that must be signed gets.
const SIGNED: &str = "200, subtree cosignatures that verify";

/// A way to spoil a good request, by its size.
pub(super) type Spoil = fn(&mut Part, u64);

/// Malformed requests.
pub(super) const CASES: &[(&str, &str, Spoil)] = &[
    ("subtree-400-no-range", "no `subtree` line", |part, _| {
        part.range.clear();
    }),
    (
        "subtree-400-one-number",
        "a range of one number",
        |part, _| part.range = "subtree 8\n".to_owned(),
    ),
    (
        "subtree-400-leading-zero",
        "a start with a leading zero",
        |part, _| part.range = "subtree 08 13\n".to_owned(),
    ),
    (
        "subtree-400-two-spaces",
        "two spaces before the end",
        |part, _| part.range = "subtree 8  13\n".to_owned(),
    ),
    (
        "subtree-400-empty-range",
        "an end that is the start",
        |part, _| part.range = "subtree 8 8\n".to_owned(),
    ),
    (
        "subtree-400-reversed",
        "an end below the start",
        |part, _| part.range = "subtree 13 8\n".to_owned(),
    ),
    (
        "subtree-400-not-aligned",
        "a start that is no multiple of the range's power of two",
        |part, _| part.range = "subtree 9 13\n".to_owned(),
    ),
    (
        "subtree-400-end-above-size",
        "an end above the checkpoint's size",
        |part, size| part.range = format!("subtree 0 {}\n", size + 1),
    ),
    (
        "subtree-400-hash-31-bytes",
        "a subtree hash of 31 bytes",
        |part, _| part.hash = base64::encode(&[7; 31]),
    ),
    ("subtree-400-64-proof-lines", "64 proof lines", |part, _| {
        part.proof = vec![print(&empty_root()); 64]
    }),
    (
        "subtree-400-no-empty-line",
        "no empty line before the checkpoint",
        |part, _| part.gap = "",
    ),
    ("subtree-400-no-note", "no checkpoint", |part, _| {
        part.text.clear();
        part.lines.clear();
    }),
];

/// The rows beside the malformed requests.
const ROWS: &[(&str, &str, &str)] = &[
    ("subtree-200", "a subtree in the middle", SIGNED),
    (
        "subtree-200-whole",
        "the whole tree, without a proof",
        SIGNED,
    ),
    ("subtree-200-beginning", "a beginning of the tree", SIGNED),
    ("subtree-200-one-entry", "the last entry alone", SIGNED),
    (
        "subtree-200-log-line",
        "the log's own signature line before the witness's",
        SIGNED,
    ),
    (
        "subtree-same-key",
        "whether a key that cosigned the checkpoint signs",
        "yes",
    ),
    (
        "subtree-404-unknown-origin",
        "a log that the witness does not know",
        "404",
    ),
    (
        "subtree-403-no-cosignature",
        "only the log's own signature line",
        "403",
    ),
    (
        "subtree-403-bad-cosignature",
        "the witness's line with one bit flipped",
        "403",
    ),
    (
        "subtree-403-bad-beside-good",
        "the same beside the right line",
        "403",
    ),
    (
        "subtree-403-other-tree",
        "the witness's line on a larger tree that it did not cosign",
        "403",
    ),
    ("subtree-422-wrong-hash", "another subtree hash", "422"),
    (
        "subtree-422-wrong-proof",
        "a proof with one bit flipped",
        "422",
    ),
    (
        "subtree-422-missing-proof",
        "no proof where one is needed",
        "422",
    ),
    (
        "subtree-422-long-proof",
        "a proof with one hash too many",
        "422",
    ),
    (
        "subtree-200-older",
        "a checkpoint that is not the newest any more",
        SIGNED,
    ),
    (
        "subtree-race",
        "four subtrees and growth by one at once, five times",
        "200 for each",
    ),
    ("subtree-method", "GET sign-subtree", "405"),
];

/// Every row of this group, in the order of the printed table.
pub(in crate::conformance) fn rows() -> impl Iterator<Item = Definition> {
    let malformed = CASES.iter().map(|(id, about, _)| (*id, *about, "400"));
    let all = malformed.chain(ROWS.iter().copied());
    all.map(|(id, about, expected)| Definition {
        id,
        group: Group::Subtree,
        about,
        expected,
    })
}
