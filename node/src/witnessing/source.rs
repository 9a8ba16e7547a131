//! Where submissions come from: the newest digest that left the node, with the log's own signature only, and consistency
//! proofs. Reads what is durable; may not wait on the writer.

use crate::exit::{Code, Failure};
use crate::node::Node;
use crate::store::Reader;
use crate::writer::Published;
use belfry_protocol::cert::LogVerifiers;
use belfry_protocol::note::{SignedNote, verify_note};
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::tlog::proof::TreeReader;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;

/// A digest as it is submitted.
#[derive(Clone, Debug)]
pub(super) struct Digest {
    /// Number of entries.
    pub(super) size: u64,
    /// The checkpoint with the log's own lines and no others.
    pub(super) note: SignedNote,
}

/// The ledger, to read.
#[derive(Clone)]
pub(super) struct Source {
    open: Arc<dyn Fn() -> Result<Reader, Failure> + Send + Sync>,
    keys: Arc<RwLock<LogVerifiers>>,
    published: watch::Receiver<Published>,
    /// Whether towers hold this ledger: then only what a quorum acknowledged is submitted.
    watched: bool,
}

impl Source {
    pub(super) fn of(node: &Node) -> Self {
        let (layout, disk) = (node.layout.clone(), node.disk());
        let watched = node.membership().is_some_and(|(federation, _)| {
            crate::member::is_watched(&federation, &node.config.name)
        });
        Self {
            open: Arc::new(move || Ok(Reader::open(layout.clone(), Arc::clone(&disk))?)),
            keys: node.log_keys_cell(),
            published: node.writer().published(),
            watched,
        }
    }

    /// Tells when the ledger changed.
    pub(super) fn published(&self) -> watch::Receiver<Published> {
        self.published.clone()
    }

    /// The keys that the ledger's digests verify under.
    pub(super) fn keys(&self) -> LogVerifiers {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.clone()
    }

    /// Reads beside the async threads.
    pub(super) async fn read<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Reader) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, Failure> {
        let open = Arc::clone(&self.open);
        let read = tokio::task::spawn_blocking(move || work(&(open)()?)).await;
        read.unwrap_or_else(|error| Err(Failure::new(Code::Failed, error.to_string())))
    }

    /// The newest digest that may be submitted: durable, and for a watched ledger acknowledged, so that it left the node.
    pub(super) async fn newest(&self) -> Result<Option<Digest>, Failure> {
        let (watched, keys) = (self.watched, self.keys());
        let newest = self
            .read(move |reader| {
                if !watched {
                    return Ok(reader.newest_digest()?);
                }
                let Some(acked) = reader.acked()? else {
                    return Ok(None);
                };
                let found = reader.digest_covering(acked)?;
                Ok(found.filter(|(size, _)| *size == acked))
            })
            .await?;
        newest.map(|(_, note)| own(&note, &keys)).transpose()
    }

    /// Size of the newest digest that was ever signed: no witness can hold more.
    pub(super) async fn signed(&self) -> Result<u64, Failure> {
        let newest = self.read(|reader| Ok(reader.newest_digest()?)).await?;
        Ok(newest.map_or(0, |(size, _)| size))
    }

    /// The consistency proof between two sizes.
    pub(super) async fn proof(&self, old: u64, size: u64) -> Result<Vec<Hash>, Failure> {
        self.read(move |reader| {
            let mut tree = TreeReader::new(reader, size);
            tree.consistency(old)
                .map_err(|error| Failure::new(Code::Damaged, error.to_string()))
        })
        .await
    }
}

/// A digest without what others signed on it: witnesses limit a request to 16 KiB, and judge one signature.
pub(super) fn own(note: &str, keys: &LogVerifiers) -> Result<Digest, Failure> {
    let damaged = |error: &dyn std::fmt::Display| Failure::new(Code::Damaged, error.to_string());
    let note = SignedNote::parse(note.as_bytes()).map_err(|error| damaged(&error))?;
    let checkpoint = keys.open(&note).map_err(|error| damaged(&error))?;
    let keys: Vec<_> = keys.all().cloned().collect();
    let verified = verify_note(&note, &keys).map_err(|error| damaged(&error))?;
    let lines = verified.iter().map(|one| one.line.clone()).collect();
    let note = SignedNote::new(note.text(), lines).map_err(|error| damaged(&error))?;
    Ok(Digest {
        size: checkpoint.size,
        note,
    })
}
