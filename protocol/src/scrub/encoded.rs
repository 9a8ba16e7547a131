//! Encoded values: percent and JSON escapes are decoded with a map back, and one layer of base64 is opened.
//! May not judge what is inside; the scan does.

use super::validate::Span;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Shortest run of base64 that is opened: 12 bytes, shorter than nearly every value.
pub(super) const BASE64_MIN: usize = 16;

/// Characters of a run that are decoded to see whether it is text at all.
const PROBE_LEN: usize = 12;

/// A decoded text and, for each of its bytes and its end, the offset in the original.
pub(super) struct Decoded {
    /// The decoded bytes; percent escapes can make them invalid UTF-8.
    pub(super) bytes: Vec<u8>,
    /// One offset for each byte and one for the end.
    pub(super) offsets: Vec<usize>,
}

/// Decodes percent and JSON escapes of `line`; `None` when there are none.
pub(super) fn unescape(line: &[u8]) -> Option<Decoded> {
    memchr::memchr2(b'%', b'\\', line)?;
    let mut decoded = Decoded {
        bytes: Vec::with_capacity(line.len()),
        offsets: Vec::with_capacity(line.len() + 1),
    };
    let (mut at, mut found) = (0, false);
    while at < line.len() {
        let (length, character) =
            escape(&line[at..]).map_or((1, None), |(length, c)| (length, Some(c)));
        match character {
            None => decoded.push(&line[at..=at], at),
            Some(Escape::Byte(byte)) => decoded.push(&[byte], at),
            Some(Escape::Char(c)) => decoded.push(c.encode_utf8(&mut [0; 4]).as_bytes(), at),
        }
        found |= character.is_some();
        at += length;
    }
    decoded.offsets.push(line.len());
    found.then_some(decoded)
}

impl Decoded {
    fn push(&mut self, bytes: &[u8], offset: usize) {
        self.bytes.extend_from_slice(bytes);
        self.offsets.extend(bytes.iter().map(|_| offset));
    }
}

#[derive(Clone, Copy)]
enum Escape {
    Byte(u8),
    Char(char),
}

/// The escape at the beginning of `text` and its length.
fn escape(text: &[u8]) -> Option<(usize, Escape)> {
    match *text {
        [b'%', high, low, ..] => {
            let byte = hex(high)? << 4 | hex(low)?;
            u8::try_from(byte).ok().map(|byte| (3, Escape::Byte(byte)))
        }
        [b'\\', b'u', ..] => unicode_escape(text),
        [b'\\', kind, ..] => {
            let byte = match kind {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'b' => 8,
                b'f' => 12,
                b'"' | b'\\' | b'/' => kind,
                _ => return None,
            };
            Some((2, Escape::Byte(byte)))
        }
        _ => None,
    }
}

/// `\u0040`, or two of them for a character beyond the first plane.
fn unicode_escape(text: &[u8]) -> Option<(usize, Escape)> {
    let unit = |at: usize| -> Option<u32> {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits
            .iter()
            .try_fold(0, |sum, digit| Some(sum << 4 | hex(*digit)?))
    };
    let first = unit(0)?;
    if let Some(c) = char::from_u32(first) {
        return Some((6, Escape::Char(c)));
    }
    let second = unit(6).filter(|second| (0xdc00..0xe000).contains(second) && first < 0xdc00)?;
    let c = char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))?;
    Some((12, Escape::Char(c)))
}

fn hex(digit: u8) -> Option<u32> {
    char::from(digit).to_digit(16)
}

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Whether a byte can be of a base64 run, of either alphabet; `=` ends a run.
pub(super) fn is_base64(byte: u8) -> bool {
    SEXTETS[usize::from(byte)] != NO_SEXTET
}

/// The runs of base64 in `range` that decode to text, with the text. A run that does not is tried again in the parts
/// between its `+`, `/`, `-` and `_`, because a path may stand before it.
pub(super) fn base64_texts(bytes: &[u8], range: Span, mut visit: impl FnMut(Span, Vec<u8>)) {
    let mut at = range.start;
    while at < range.end {
        let length = bytes[at..range.end]
            .iter()
            .take_while(|byte| is_base64(**byte))
            .count();
        if length >= BASE64_MIN {
            open(bytes, at..at + length, &mut visit);
        }
        at += length + 1;
    }
}

fn open(bytes: &[u8], run: Span, visit: &mut impl FnMut(Span, Vec<u8>)) {
    if let Some(text) = text_of(&bytes[run.clone()]) {
        visit(run, text);
        return;
    }
    parts(bytes, run, |part| {
        if let Some(text) = text_of(&bytes[part.clone()]) {
            visit(part, text);
        }
        false
    });
}

/// Calls `found` for each part of letters and digits of `run` that is long enough, until it says true.
fn parts(bytes: &[u8], run: Span, mut found: impl FnMut(Span) -> bool) -> bool {
    let mut start = run.start;
    for part in bytes[run].split(|byte| !byte.is_ascii_alphanumeric()) {
        if part.len() >= BASE64_MIN && found(start..start + part.len()) {
            return true;
        }
        start += part.len() + 1;
    }
    false
}

/// Whether the run may decode to text: looks at the first characters of it and of its parts. Never misses one that
/// [`base64_texts`] visits.
pub(super) fn may_be_text(bytes: &[u8], run: Span) -> bool {
    run.len() >= BASE64_MIN
        && (begins_text(&bytes[run.clone()]) || parts(bytes, run, |part| begins_text(&bytes[part])))
}

fn text_of(run: &[u8]) -> Option<Vec<u8>> {
    if !begins_text(run) {
        return None;
    }
    // One character left over encodes nothing.
    let run = &run[..run.len() - usize::from(run.len() % 4 == 1)];
    let text = STANDARD
        .decode(run)
        .or_else(|_| URL_SAFE.decode(run))
        .ok()?;
    is_text(&text).then_some(text)
}

/// Whether the first characters decode to text. Written out because it is asked for every long word.
fn begins_text(run: &[u8]) -> bool {
    let mut probe = [0; PROBE_LEN / 4 * 3];
    for (group, bytes) in run[..PROBE_LEN]
        .chunks_exact(4)
        .zip(probe.chunks_exact_mut(3))
    {
        let bits = group.iter().fold(0, |bits, digit| {
            bits << 6 | u32::from(SEXTETS[usize::from(*digit)])
        });
        bytes.copy_from_slice(&bits.to_be_bytes()[1..]);
        if bytes.iter().any(|byte| is_control(*byte)) {
            return false;
        }
    }
    is_text(&probe)
}

/// What [`SEXTETS`] says of a byte that is no digit.
const NO_SEXTET: u8 = 0xff;

/// The six bits of each digit of both alphabets. A table, because branches on random digits are mispredicted.
static SEXTETS: [u8; 256] = sextets();

const fn sextets() -> [u8; 256] {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut sextets = [NO_SEXTET; 256];
    let mut value = 0u8;
    while value < 64 {
        sextets[DIGITS[value as usize] as usize] = value;
        value += 1;
    }
    sextets[b'-' as usize] = 62;
    sextets[b'_' as usize] = 63;
    sextets
}

fn is_control(byte: u8) -> bool {
    (byte < b' ' && !matches!(byte, b'\t' | b'\r' | b'\n')) || byte == 0x7f
}

/// Whether bytes are UTF-8, perhaps cut in a character, without control characters.
fn is_text(bytes: &[u8]) -> bool {
    !bytes.iter().any(|byte| is_control(*byte))
        && std::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_with_a_map() {
        let decoded = unescape(br"a%40b \u0040\n\ud83d\ude00.").unwrap();
        assert_eq!(decoded.bytes, "a@b @\n😀.".as_bytes());
        assert_eq!(decoded.offsets.len(), decoded.bytes.len() + 1);
        assert_eq!(&decoded.offsets[..6], [0, 1, 4, 5, 6, 12]);
        assert_eq!(decoded.offsets.last(), Some(&27));
        for plain in [r"100% \x \u12 \ud800", "abc", ""] {
            assert!(unescape(plain.as_bytes()).is_none(), "{plain}");
        }
    }

    fn texts(input: &str) -> Vec<String> {
        let mut found = Vec::new();
        base64_texts(input.as_bytes(), 0..input.len(), |_, text| {
            found.push(String::from_utf8_lossy(&text).into_owned())
        });
        found
    }

    #[test]
    fn one_layer_of_base64_is_opened() {
        assert_eq!(texts("v=am9obkBleGFtcGxlLmNvbQ== x"), ["john@example.com"]);
        assert_eq!(texts("path/am9obkBleGFtcGxlLmNvbQ"), ["john@example.com"]);
        assert!(texts("da39a3ee5e6b4b0d3255bfef95601890afd80709").is_empty());
        assert!(texts("am9obkBleG").is_empty());
    }

    #[test]
    fn the_quick_look_agrees() {
        for text in ["am9obkBleGFtcGxlLmNvbQ", "path/am9obkBleGFtcGxlLmNvbQ"] {
            assert!(may_be_text(text.as_bytes(), 0..text.len()));
        }
        assert!(!may_be_text(
            b"da39a3ee5e6b4b0d3255bfef95601890afd80709",
            0..40
        ));
    }
}
