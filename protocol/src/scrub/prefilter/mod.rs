//! The quick look: could scrubbing change anything in these bytes? Runs on every line of every batch, before JSON is
//! parsed, so escapes count as what they might hide. May say yes too often, never no wrongly.
//!
//! Bytes go in blocks of 64 into bit masks; arithmetic on masks leaves the few places where a value could begin, and
//! those get a closer look with the validators' own code.

mod blocks;
mod look;

use blocks::{BLOCK_LEN, Masks, Window};

/// Shortest word that can be a value by itself: `eyJ` and ten characters.
const WORD_MIN: u32 = 13;

/// Digits of an NRIC.
const NRIC_DIGITS: u32 = 7;

/// The first place at or after `from` where a value could begin, or a byte of the line it is on. `from` and the end of
/// `raw` have to be borders of lines, or of the text.
pub(super) fn first_suspect(raw: &[u8], from: usize) -> Option<usize> {
    let mut base = from;
    let (mut before, mut block) = (Masks::default(), Masks::at(raw, base));
    while base < raw.len() {
        let next = Masks::at(raw, base + BLOCK_LEN);
        if let Some(found) = suspect_in(
            raw,
            base,
            &Window {
                before,
                block,
                next,
            },
        ) {
            return Some(found);
        }
        (before, block) = (block, next);
        base += BLOCK_LEN;
    }
    None
}

/// The first suspect of one block.
fn suspect_in(raw: &[u8], base: usize, window: &Window) -> Option<usize> {
    let (digit, letter, upper) = (
        window.run(|m| m.digit),
        window.run(|m| m.letter),
        window.run(|m| m.upper),
    );
    let (word, colon) = (window.run(|m| m.word), window.block.colon);
    let after_letter = letter.prev(1);
    let first_digit = digit.block & !digit.prev(1);
    let bound = first_digit & after_letter;

    let nric = bound & digit.runs(NRIC_DIGITS);
    let iban = bound & upper.prev(1) & upper.prev(2) & digit.next(1);
    let three = first_digit & digit.next(1) & digit.next(2) & !digit.next(3);
    let words = word.block & !word.prev(1) & word.runs(WORD_MIN);
    let begin = upper.block & !upper.prev(1) & upper.runs(5);
    let arn = colon & after_letter & letter.next(1);

    let found = [
        first(window.block.mark, |at| look::mark(raw, base + at)),
        first(first_digit & !after_letter, |at| {
            look::free_digits(raw, base + at, digit.length(at))
        }),
        first(nric, |at| look::nric(raw, base + at)),
        first(iban, |at| look::iban(raw, base + at)),
        first(three, |at| look::masked(raw, base + at)),
        first(words, |at| look::word(raw, base + at)),
        first(begin, |at| look::pem(raw, base + at)),
        first(arn, |at| look::arn(raw, base + at)),
    ];
    found.into_iter().flatten().min().map(|at| base + at)
}

/// The lowest bit of `mask` whose place is suspect.
fn first(mut mask: u64, is_suspect: impl Fn(usize) -> bool) -> Option<usize> {
    while mask != 0 {
        let at = mask.trailing_zeros() as usize;
        if is_suspect(at) {
            return Some(at);
        }
        mask &= mask - 1;
    }
    None
}
