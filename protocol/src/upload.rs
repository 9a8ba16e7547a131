//! Bodies of `add-entries` (C2SP `tlog-mirror`): a head, then packages of at most 256 entries, each with a proof of its own.
//! Read piece by piece, because a body may be as long as its sender likes. May not verify or store anything.

use crate::checkpoint::MAX_ORIGIN_BYTES;
use crate::tlog::MAX_SIZE;
use crate::tlog::bundle::MAX_ENTRY_LEN;
use crate::tlog::hash::Hash;
use crate::tlog::tile::TILE_WIDTH;
use thiserror::Error;

/// Content type of a request body.
pub const UPLOAD_CONTENT_TYPE: &str = "application/octet-stream";

/// Content type of the answers 202 and 409.
pub const INFO_CONTENT_TYPE: &str = "text/x.tlog.mirror-info";

/// Most hashes of a package's proof.
pub const MAX_PACKAGE_HASHES: usize = 63;

/// Most bytes of a head: origin and ticket have lengths of 16 bits.
pub const MAX_HEAD_BYTES: usize = 2 + MAX_ORIGIN_BYTES + 8 + 8 + 2 + 65_535;

/// Most bytes of a package.
pub const MAX_PACKAGE_BYTES: usize = 256 * (2 + MAX_ENTRY_LEN) + 1 + MAX_PACKAGE_HASHES * 32;

/// Why a body was refused; a mirror answers 400 if nothing came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("malformed upload: {0}")]
pub struct UploadError(pub &'static str);

/// The head of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadHead {
    /// The log.
    pub origin: String,
    /// First entry.
    pub start: u64,
    /// After the last entry; the size of a checkpoint.
    pub end: u64,
    /// What the mirror gave with an earlier answer.
    pub ticket: Vec<u8>,
}

/// Some entries of the canonical sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// First entry.
    pub start: u64,
    /// After the last entry.
    pub end: u64,
    /// The entries in bundle form.
    pub entries: Vec<u8>,
    /// Proof that the subtree from `start`, rounded down to a bundle's border, to `end` is one of the checkpoint's tree.
    pub proof: Vec<Hash>,
}

/// What was read and the bytes that it took; `None` while more are needed.
type Read<T> = Result<Option<(T, usize)>, UploadError>;

impl UploadHead {
    /// Reads the head at the start of a body.
    ///
    /// # Errors
    /// [`UploadError`].
    pub fn parse(bytes: &[u8]) -> Read<Self> {
        let mut rest = bytes;
        let Some(origin) = sized(&mut rest) else {
            return Ok(None);
        };
        if origin.is_empty() || origin.len() > MAX_ORIGIN_BYTES {
            return Err(UploadError("the origin has not 1 to 255 bytes"));
        }
        let origin =
            std::str::from_utf8(origin).map_err(|_| UploadError("the origin is not UTF-8"))?;
        let (Some(start), Some(end), Some(ticket)) =
            (number(&mut rest), number(&mut rest), sized(&mut rest))
        else {
            return Ok(None);
        };
        if start > end || end > MAX_SIZE {
            return Err(UploadError("the range is reversed or beyond 2^63"));
        }
        let head = Self {
            origin: origin.to_owned(),
            start,
            end,
            ticket: ticket.to_vec(),
        };
        Ok(Some((head, bytes.len() - rest.len())))
    }

    /// The head as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (at, text) in [self.origin.as_bytes(), &self.ticket]
            .into_iter()
            .enumerate()
        {
            let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(&text[..usize::from(length)]);
            if at == 0 {
                out.extend_from_slice(&self.start.to_be_bytes());
                out.extend_from_slice(&self.end.to_be_bytes());
            }
        }
        out
    }

    /// The range of the package that begins at or after `from`; `None` when there is none.
    #[must_use]
    pub fn range_from(&self, from: u64) -> Option<(u64, u64)> {
        let start = from.max(self.start);
        let border = (start - start % TILE_WIDTH).saturating_add(TILE_WIDTH);
        (start < self.end).then_some((start, border.min(self.end)))
    }
}

impl Package {
    /// Reads the package of the entries `[start, end)` at the start of `bytes`.
    ///
    /// # Errors
    /// [`UploadError`].
    pub fn parse(bytes: &[u8], (start, end): (u64, u64)) -> Read<Self> {
        let mut rest = bytes;
        for _ in start..end {
            if sized(&mut rest).is_none() {
                return Ok(None);
            }
        }
        let entries = &bytes[..bytes.len() - rest.len()];
        let Some((count, after)) = rest.split_first() else {
            return Ok(None);
        };
        let count = usize::from(*count);
        if count > MAX_PACKAGE_HASHES {
            return Err(UploadError("a package has more than 63 hashes"));
        }
        let Some((hashes, after)) = after.split_at_checked(count * 32) else {
            return Ok(None);
        };
        let (hashes, _) = hashes.as_chunks::<32>();
        let package = Self {
            start,
            end,
            entries: entries.to_vec(),
            proof: hashes.iter().map(|hash| Hash(*hash)).collect(),
        };
        Ok(Some((package, bytes.len() - after.len())))
    }

    /// The package as bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.entries.clone();
        out.push(u8::try_from(self.proof.len()).unwrap_or(u8::MAX));
        for hash in &self.proof {
            out.extend_from_slice(hash.as_bytes());
        }
        out
    }
}

/// Prints the body of the answers 202 and 409: a checkpoint's size, the next entry, and a ticket.
#[must_use]
pub fn print_info(size: u64, next: u64, ticket: &[u8]) -> String {
    format!("{size}\n{next}\n{}\n", crate::base64::encode(ticket))
}

/// Reads what [`print_info`] prints.
#[must_use]
pub fn parse_info(body: &[u8]) -> Option<(u64, u64, Vec<u8>)> {
    let text = std::str::from_utf8(body).ok()?.strip_suffix('\n')?;
    let mut lines = text.split('\n');
    let size = crate::note::text::decimal(lines.next()?)?;
    let next = crate::note::text::decimal(lines.next()?)?;
    let ticket = crate::base64::decode(lines.next()?)?;
    lines.next().is_none().then_some((size, next, ticket))
}

/// A length of 16 bits and so many bytes.
fn sized<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let (bytes, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *rest = after;
    Some(bytes)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (bytes, after) = rest.split_first_chunk::<8>()?;
    *rest = after;
    Some(u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries(count: u64) -> Vec<u8> {
        let mut out = Vec::new();
        for number in 0..count {
            let _ = crate::tlog::bundle::push(&mut out, &number.to_be_bytes());
        }
        out
    }

    #[test]
    fn packages_are_cut_at_the_borders_of_bundles() {
        let head = |start, end| UploadHead {
            origin: "log.example".to_owned(),
            start,
            end,
            ticket: vec![1, 2],
        };
        let all = |start, end| {
            let head = head(start, end);
            let mut ranges = Vec::new();
            let mut from = start;
            while let Some(range) = head.range_from(from) {
                from = range.1;
                ranges.push(range);
            }
            ranges
        };
        assert_eq!(all(0, 0), []);
        assert_eq!(all(0, 256), [(0, 256)]);
        assert_eq!(all(10, 600), [(10, 256), (256, 512), (512, 600)]);
        assert_eq!(all(300, 310), [(300, 310)]);
    }

    #[test]
    fn an_answer_says_size_next_and_ticket() {
        let body = print_info(600, 256, b"ticket");
        assert_eq!(body, "600\n256\ndGlja2V0\n");
        assert_eq!(
            parse_info(body.as_bytes()),
            Some((600, 256, b"ticket".to_vec()))
        );
        assert_eq!(parse_info(b"1\n2\n\n"), Some((1, 2, Vec::new())));
        for bad in ["", "1\n2\n", "01\n2\n\n", "1\n2\n\n\n", "1\n2\nx\n"] {
            assert_eq!(parse_info(bad.as_bytes()), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_prints_to_the_same_bytes(
            start in 0u64..600, count in 0u64..600, ticket in prop::collection::vec(any::<u8>(), 0..40), cut in any::<prop::sample::Index>(),
        ) {
            let head = UploadHead { origin: "log.example".to_owned(), start, end: start + count, ticket };
            let mut body = head.to_bytes();
            let mut packages = Vec::new();
            let mut from = start;
            while let Some((start, end)) = head.range_from(from) {
                let package = Package { start, end, entries: entries(end - start), proof: vec![Hash([7; 32]); 3] };
                body.extend(package.to_bytes());
                packages.push(package);
                from = end;
            }
            let (read, mut at) = UploadHead::parse(&body).unwrap().unwrap();
            prop_assert_eq!(&read, &head);
            for package in &packages {
                let (read, length) = Package::parse(&body[at..], (package.start, package.end)).unwrap().unwrap();
                prop_assert_eq!(&read, package);
                // A package that is cut anywhere is not there yet.
                let short = &body[at..at + cut.index(length)];
                prop_assert_eq!(Package::parse(short, (package.start, package.end)), Ok(None));
                at += length;
            }
            prop_assert_eq!(at, body.len());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), count in 0u64..256) {
            if let Ok(Some((head, length))) = UploadHead::parse(&bytes) {
                prop_assert_eq!(head.to_bytes(), &bytes[..length]);
            }
            if let Ok(Some((package, length))) = Package::parse(&bytes, (0, count)) {
                prop_assert_eq!(package.to_bytes(), &bytes[..length]);
            }
        }
    }
}
