//! NDJSON in chunks of whole lines. Knows line numbers and, for `--dedupe`, how often a line came before; does not look
//! inside a line.

use super::pipeline::{Chunk, Item};
use belfry_protocol::entry::draft::Idempotency;
use belfry_protocol::tlog::hash::sha256;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};

/// Lines per chunk: 1,024 entries of 256 bytes are a good portion for a worker.
const LINES_PER_CHUNK: usize = 1_024;
/// Bytes per chunk beyond which it is closed early.
const BYTES_PER_CHUNK: usize = 1 << 20;
/// Longest line that is read: beyond it a line is skipped and refused, whatever it is.
const LONGEST_LINE: usize = 4 << 20;

/// Counts occurrences of equal lines, 16 bytes of digest each: about 40 bytes of memory per different line.
#[derive(Default)]
pub struct Occurrences(HashMap<[u8; 16], u64>);

impl Occurrences {
    /// The idempotency of the next occurrence of `content`.
    pub fn next(&mut self, content: &[u8]) -> Idempotency {
        let digest = sha256(content).0;
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        let count = self.0.entry(key).or_insert(0);
        *count += 1;
        Idempotency::Line {
            digest,
            occurrence: *count - 1,
        }
    }
}

/// Reads lines and sends them in chunks until the end or until `send` says no.
///
/// # Errors
/// When the source cannot be read.
pub fn read(
    source: impl Read,
    dedupe: bool,
    send: &mut dyn FnMut(Chunk) -> bool,
) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 18, source);
    let mut occurrences = Occurrences::default();
    let mut chunk = Chunk {
        items: Vec::new(),
        text: Vec::new(),
    };
    let mut number = 0;
    loop {
        let start = chunk.text.len();
        let length = read_line(&mut reader, &mut chunk.text)?;
        if length == LineLength::End {
            break;
        }
        number += 1;
        let line = &chunk.text[start..];
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if length == LineLength::TooLong {
            chunk.text.truncate(start);
            let why = format!("the line is longer than {} MiB", LONGEST_LINE >> 20);
            chunk.items.push(Item::Unreadable {
                label: format!("line {number}"),
                why,
            });
        } else if !line.trim_ascii().is_empty() {
            let idempotency = dedupe.then(|| occurrences.next(line));
            chunk.items.push(Item::Line {
                number,
                range: start..start + line.len(),
                idempotency,
            });
        }
        // An input that is followed must not wait until a chunk is full: the next read may block.
        let idle = reader.buffer().is_empty() && !chunk.items.is_empty();
        if idle || chunk.items.len() >= LINES_PER_CHUNK || chunk.text.len() >= BYTES_PER_CHUNK {
            let empty = Chunk {
                items: Vec::with_capacity(LINES_PER_CHUNK),
                text: Vec::with_capacity(BYTES_PER_CHUNK / 2),
            };
            if !send(std::mem::replace(&mut chunk, empty)) {
                return Ok(());
            }
        }
    }
    if !chunk.items.is_empty() {
        send(chunk);
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
enum LineLength {
    End,
    Fits,
    TooLong,
}

/// Appends one line to `text`, its line feed included; of a line over the limit nothing more than the limit is kept.
fn read_line(reader: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<LineLength> {
    let start = text.len();
    let mut read = 0;
    loop {
        let available = reader.fill_buf()?;
        if available.is_empty() {
            break;
        }
        let newline = memchr::memchr(b'\n', available);
        let take = newline.map_or(available.len(), |at| at + 1);
        if text.len() - start <= LONGEST_LINE {
            text.extend_from_slice(&available[..take]);
        }
        read += take;
        reader.consume(take);
        if newline.is_some() {
            break;
        }
    }
    Ok(match read {
        0 => LineLength::End,
        length if length > LONGEST_LINE => LineLength::TooLong,
        _ => LineLength::Fits,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_numbers_and_long_ones_are_refused() {
        let text = format!(
            "{{\"a\":1}}\r\n\n{}\n{{\"a\":1}}",
            "x".repeat(LONGEST_LINE + 1)
        );
        let mut seen = Vec::new();
        read(text.as_bytes(), true, &mut |chunk| {
            for item in chunk.items {
                seen.push(match item {
                    Item::Line {
                        number,
                        range,
                        idempotency: Some(Idempotency::Line { occurrence, .. }),
                    } => {
                        format!(
                            "{number} {} {occurrence}",
                            String::from_utf8_lossy(&chunk.text[range])
                        )
                    }
                    Item::Unreadable { label, why } => format!("{label}: {why}"),
                    _ => "?".to_owned(),
                });
            }
            true
        })
        .unwrap();
        assert_eq!(
            seen,
            [
                "1 {\"a\":1} 0",
                "line 3: the line is longer than 4 MiB",
                "4 {\"a\":1} 1"
            ]
        );
    }
}
