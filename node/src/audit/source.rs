//! Where an auditor's bytes come from: a directory of tiles or a web server, both in the tlog-tiles layout.

use crate::exit::{Code, Failure};
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::tlog::proof::TileSource;
use belfry_protocol::tlog::tile::{Bundle, Tile};
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

/// Largest answer that is read: a full bundle of largest entries is below 17 MiB.
const LARGEST_FILE: u64 = 17 << 20;
/// Patience with a web server.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A log's files.
pub enum Source {
    /// A directory, as `ledger export --format tiles` makes it.
    Directory(PathBuf),
    /// The prefix of a tlog-tiles server.
    Web {
        /// Prefix without a slash at the end.
        prefix: String,
        /// The client.
        client: reqwest::blocking::Client,
    },
}

impl Source {
    /// A directory or an `http(s)` address.
    ///
    /// # Errors
    /// When it is neither.
    pub fn open(place: &str) -> Result<Self, Failure> {
        if place.starts_with("http://") || place.starts_with("https://") {
            // Only the first call installs it; a second finds it there.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let client = reqwest::blocking::Client::builder()
                .timeout(TIMEOUT)
                .build()
                .map_err(|error| Failure::new(Code::Failed, format!("no HTTP client: {error}")))?;
            return Ok(Self::Web {
                prefix: place.trim_end_matches('/').to_owned(),
                client,
            });
        }
        let path = PathBuf::from(place);
        if path.is_dir() {
            Ok(Self::Directory(path))
        } else {
            Err(Failure::new(
                Code::Failed,
                format!("{place} is neither a directory nor an http address"),
            ))
        }
    }

    /// The file at `path`; `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be read or is too large.
    pub fn get(&self, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        match self {
            Self::Directory(dir) => match std::fs::File::open(dir.join(path)) {
                Ok(file) => bounded(file, path).map(Some),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                // `tile/0/000` where a directory of partial tiles stands.
                Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Ok(None),
                Err(error) => Err(Failure::new(Code::Io, format!("{path}: {error}"))),
            },
            Self::Web { prefix, client } => {
                let unreachable = |error: reqwest::Error| {
                    Failure::new(
                        Code::Unreachable,
                        format!("{prefix}/{path}: {}", error.without_url()),
                    )
                };
                let answer = client
                    .get(format!("{prefix}/{path}"))
                    .send()
                    .map_err(unreachable)?;
                match answer.status().as_u16() {
                    200 => bounded(answer, path).map(Some),
                    404 | 410 => Ok(None),
                    status => Err(Failure::new(
                        Code::Unreachable,
                        format!("{prefix}/{path}: the server answered {status}"),
                    )),
                }
            }
        }
    }

    /// The file at the partial path, or at the full one where the partial was dropped.
    fn get_either(&self, exact: &str, full: &str) -> Result<Vec<u8>, Failure> {
        if let Some(bytes) = self.get(exact)? {
            return Ok(bytes);
        }
        let found = if exact == full { None } else { self.get(full)? };
        found.ok_or_else(|| Failure::new(Code::VerificationFailed, format!("{exact} is missing")))
    }

    /// Entries of a bundle, cut to its width.
    ///
    /// # Errors
    /// When it is missing, truncated or cannot be read.
    pub fn bundle(&self, bundle: Bundle) -> Result<Vec<u8>, Failure> {
        let full = Bundle {
            width: 256,
            ..bundle
        };
        let mut bytes = self.get_either(&bundle.path(), &full.path())?;
        let mut end = 0;
        let width = usize::from(bundle.width);
        let bad = |why: String| {
            Failure::new(
                Code::VerificationFailed,
                format!("{}: {why}", bundle.path()),
            )
        };
        for entry in belfry_protocol::tlog::bundle::entries(&bytes).take(width) {
            end += 2 + entry.map_err(|error| bad(error.to_string()))?.len();
        }
        if belfry_protocol::tlog::bundle::entries(&bytes).count() < width {
            return Err(bad(format!("fewer than {width} entries")));
        }
        bytes.truncate(end);
        Ok(bytes)
    }
}

impl TileSource for Source {
    type Error = Failure;

    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Failure> {
        let bytes = self.get_either(&tile.path(), &Tile { width: 256, ..tile }.path())?;
        let (hashes, odd) = bytes.as_chunks::<32>();
        let wide =
            odd.is_empty() && (hashes.len() == usize::from(tile.width) || hashes.len() == 256);
        match hashes.get(..usize::from(tile.width)).filter(|_| wide) {
            Some(hashes) => Ok(hashes.iter().map(|hash| Hash(*hash)).collect()),
            None => Err(Failure::new(
                Code::VerificationFailed,
                format!("{} has {} bytes", tile.path(), bytes.len()),
            )),
        }
    }
}

fn bounded(source: impl Read, path: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = source.take(LARGEST_FILE + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(Code::Io, format!("{path}: {error}")))?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(Failure::new(
            Code::VerificationFailed,
            format!("{path} is larger than any tile can be"),
        ));
    }
    Ok(bytes)
}
