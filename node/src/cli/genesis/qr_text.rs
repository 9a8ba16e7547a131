//! Files as QR codes, for machines without a network (R14): packed, cut into parts of capital letters, each a code and a line of text. A
//! scanner's lines, in any order, give the file back. May not judge what is in it.

use crate::exit::{Code, Failure};
use belfry_protocol::tlog::hash::sha256;
use data_encoding::BASE32_NOPAD;
use flate2::Compression;
use flate2::read::{ZlibDecoder, ZlibEncoder};
use qrcode::{EcLevel, QrCode, render::unicode};
use std::collections::BTreeMap;
use std::io::Read as _;

/// How every part begins.
const PREFIX: &str = "BELFRY1:";
/// Characters of a part beside its head: a code of 85 modules, which a terminal of 90 columns shows.
const PART: usize = 600;
/// Most parts: nobody scans more.
const MOST: usize = 64;

/// The parts of a text.
pub(super) fn parts(text: &str) -> Result<Vec<String>, Failure> {
    let mut packed = Vec::new();
    ZlibEncoder::new(text.as_bytes(), Compression::best()).read_to_end(&mut packed)?;
    let letters = BASE32_NOPAD.encode(&packed);
    let id = id_of(text);
    let count = letters.len().div_ceil(PART);
    if count > MOST {
        return Err(Failure::new(
            Code::Failed,
            format!("this would be {count} QR codes, and nobody scans more than {MOST}"),
        )
        .hint("carry the file itself, without --qr"));
    }
    let cut = letters.as_bytes().chunks(PART).enumerate();
    Ok(cut
        .map(|(at, part)| {
            let part = String::from_utf8_lossy(part);
            format!("{PREFIX}{}/{count}:{id}:{part}", at + 1)
        })
        .collect())
}

/// A part as a code of half blocks, and the text in it below.
pub(super) fn code(part: &str) -> String {
    let code = QrCode::with_error_correction_level(part, EcLevel::L);
    let code = code.map(|code| code.render::<unicode::Dense1x2>().build());
    format!("{}\n{part}", code.unwrap_or_default())
}

/// Whether a file holds what was scanned.
pub(super) fn is_scanned(text: &str) -> bool {
    text.trim_start().starts_with(PREFIX)
}

/// The text of which these lines are the parts. It has at most `limit` bytes.
pub(super) fn join(lines: &str, limit: u64) -> Result<String, Failure> {
    let refused = |why: String| {
        Failure::new(Code::Usage, format!("what was scanned is not whole: {why}"))
            .hint("scan every code, one a line; the order does not matter")
    };
    let mut whole: Option<(usize, &str)> = None;
    let mut parts: BTreeMap<usize, &str> = BTreeMap::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let part = Part::read(line).ok_or_else(|| {
            let shown: String = line.chars().take(40).collect();
            refused(format!("{shown:?} is no part"))
        })?;
        let (count, id) = *whole.get_or_insert((part.count, part.id));
        if (count, id) != (part.count, part.id) {
            return Err(refused("its parts are of different files".to_owned()));
        }
        if parts
            .insert(part.number, part.letters)
            .is_some_and(|known| known != part.letters)
        {
            return Err(refused(format!("part {} is there twice", part.number)));
        }
    }
    let (count, id) = whole.ok_or_else(|| refused("there is no part".to_owned()))?;
    if let Some(missing) = (1..=count).find(|number| !parts.contains_key(number)) {
        return Err(refused(format!("part {missing} of {count} is missing")));
    }
    let letters: String = parts.into_values().collect();
    let packed = BASE32_NOPAD
        .decode(letters.as_bytes())
        .map_err(|_| refused("a letter was misread".to_owned()))?;
    let mut text = String::new();
    let unpacked = ZlibDecoder::new(&packed[..])
        .take(limit + 1)
        .read_to_string(&mut text);
    if unpacked.is_err() || text.len() as u64 > limit || id_of(&text) != id {
        return Err(refused("a letter was misread".to_owned()));
    }
    Ok(text)
}

/// By which the parts of one text are known.
fn id_of(text: &str) -> String {
    sha256(text.as_bytes()).to_hex()[..8].to_uppercase()
}

struct Part<'l> {
    number: usize,
    count: usize,
    id: &'l str,
    letters: &'l str,
}

impl<'l> Part<'l> {
    fn read(line: &'l str) -> Option<Self> {
        let rest = line.strip_prefix(PREFIX)?;
        let (place, rest) = rest.split_once(':')?;
        let (id, letters) = rest.split_once(':')?;
        let (number, count) = place.split_once('/')?;
        let (number, count) = (number.parse().ok()?, count.parse().ok()?);
        let fits = (1..=count).contains(&number) && count <= MOST && letters.len() <= PART;
        fits.then_some(Self {
            number,
            count,
            id,
            letters,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: u64 = 1 << 20;

    #[test]
    fn a_file_comes_back_in_any_order_and_twice() {
        let text: String = (0..3_000)
            .map(|n| format!("{{\"n\":{}}}", n * 7_919))
            .collect();
        let mut all = parts(&text).unwrap();
        assert!(all.len() > 2, "{}", all.len());
        assert!(all.iter().all(|part| part.len() < PART + 40));
        all.reverse();
        all.push(all[0].clone());
        let scanned = all.join("\r\n\n");
        assert!(is_scanned(&scanned));
        assert_eq!(join(&scanned, LIMIT).unwrap(), text);
        // Two lines of a terminal for four rows of modules, and the text.
        assert!(code(&all[0]).ends_with(&all[0]));
        assert!(code(&all[0]).lines().count() > 20);
    }

    #[test]
    fn what_is_not_whole_is_refused_with_a_reason() {
        let text: String = (0..3_000).map(|n| format!("{:x}", n * 7_919)).collect();
        let all = parts(&text).unwrap();
        let why = |lines: &[String]| join(&lines.join("\n"), LIMIT).unwrap_err().message;
        assert!(why(&all[1..]).contains("part 1 of"));
        let other = parts("something else").unwrap();
        assert!(why(&[&all[..], &other].concat()).contains("different files"));
        assert!(why(&["BELFRY1:1/0:AB:".to_owned()]).contains("no part"));
        let mut misread = all.clone();
        let letter = misread[0].pop().unwrap();
        misread[0].push(if letter == 'A' { 'B' } else { 'A' });
        assert!(why(&misread).contains("misread"));
        assert!(why(&[misread[0].clone(), all[0].clone()]).contains("there twice"));
        // Bounded before it is unpacked.
        let long = parts(&"a".repeat(1 << 21)).unwrap();
        assert!(join(&long.join("\n"), LIMIT).is_err());
        let random: String = (0..40_000_u32)
            .map(|n| sha256(&n.to_le_bytes()).to_hex())
            .collect();
        assert!(parts(&random).is_err());
    }

    proptest! {
        #[test]
        fn no_text_is_trouble(text in ".{0,300}", lines in "(BELFRY1:[0-9]{1,2}/[0-9]{1,2}:[A-F0-9]{8}:[A-Z2-7]{0,40}\n){0,5}") {
            let all = parts(&text).unwrap();
            prop_assert_eq!(join(&all.join("\n"), LIMIT).unwrap(), text);
            let _refused_or_not = join(&lines, LIMIT);
        }
    }
}
