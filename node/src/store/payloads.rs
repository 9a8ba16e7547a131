//! Private payloads on disk: sealed with a key of their own, opened for those who may read, destroyed on request.
//! The ledger only ever sees the commitment.

use super::open::{self, Database};
use super::transaction::{number, size_of, store_error};
use super::{Layout, OpenError};
use crate::disk::Disk;
use belfry_protocol::engine::store::StoreError;
use belfry_protocol::entry::batch::SealedPayload;
use belfry_protocol::entry::commit;
use belfry_protocol::entry::press::Sealer;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rusqlite::{Connection, OptionalExtension};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Length of the salt before the payload, in bytes.
const SALT_LEN: usize = 32;

/// Seals payloads with randomness of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsSealer;

impl Sealer for OsSealer {
    fn salt(&mut self) -> Result<[u8; 32], String> {
        random()
    }

    fn seal(&mut self, id: &[u8; 32], plain: &[u8]) -> Result<SealedPayload, String> {
        let key = random()?;
        // The key is used once, so a fixed nonce is safe.
        let sealed = XChaCha20Poly1305::new(&key.into())
            .encrypt(
                &XNonce::default(),
                Payload {
                    msg: plain,
                    aad: id,
                },
            )
            .map_err(|_| "the payload cannot be encrypted".to_owned())?;
        Ok(SealedPayload {
            id: *id,
            key,
            sealed,
        })
    }
}

fn random() -> Result<[u8; 32], String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// An opened payload.
pub struct OpenedPayload {
    plain: Zeroizing<Vec<u8>>,
}

impl OpenedPayload {
    /// Content type and content.
    #[must_use]
    pub fn content(&self) -> Option<(&str, &[u8])> {
        commit::decode_payload(self.plain.get(SALT_LEN..)?)
    }

    /// The salt, which lets anyone check the commitment.
    #[must_use]
    pub fn salt(&self) -> Option<[u8; 32]> {
        self.plain.first_chunk().copied()
    }

    /// Whether the payload is what the leaf committed to.
    #[must_use]
    pub fn matches(&self, hmac: &[u8; 32]) -> bool {
        let payload = self.plain.get(SALT_LEN..);
        self.salt()
            .zip(payload)
            .is_some_and(|(salt, payload)| commit::commitment(&salt, payload) == *hmac)
    }
}

/// Reads payloads beside the writer.
pub struct PayloadReader {
    connection: Connection,
}

impl PayloadReader {
    /// Opens the payload database for reading.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(layout: &Layout, disk: &dyn Disk) -> Result<Self, OpenError> {
        Ok(Self {
            connection: open::reader(&layout.payloads_db(), Database::Payloads, disk)?,
        })
    }

    /// The payload behind a commitment; `None` if it is not there or does not open.
    ///
    /// # Errors
    /// When the database fails.
    pub fn get(&self, hmac: &[u8; 32]) -> Result<Option<OpenedPayload>, StoreError> {
        let row: Option<(Vec<u8>, Vec<u8>)> = self
            .connection
            .prepare_cached("SELECT key, sealed FROM payload WHERE id = ?1")
            .and_then(|mut statement| {
                statement
                    .query_row([hmac.as_slice()], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .map_err(|error| store_error(&error))?;
        Ok(row.and_then(|(key, sealed)| {
            let key: [u8; 32] = key.try_into().ok()?;
            let cipher = XChaCha20Poly1305::new(&key.into());
            let plain = cipher
                .decrypt(
                    &XNonce::default(),
                    Payload {
                        msg: &sealed,
                        aad: hmac,
                    },
                )
                .ok()?;
            Some(OpenedPayload {
                plain: Zeroizing::new(plain),
            })
        }))
    }

    /// Number of payloads.
    ///
    /// # Errors
    /// When the database fails.
    pub fn count(&self) -> Result<u64, StoreError> {
        let count = self
            .connection
            .query_row("SELECT count(*) FROM payload", [], |row| row.get(0));
        size_of(count.map_err(|error| store_error(&error))?)
    }

    /// What SQLite finds wrong with the file; empty when nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub fn integrity(&self) -> Result<Vec<String>, StoreError> {
        super::reader::integrity(&self.connection)
    }
}

/// Destroys the keys of erased payloads: row deleted with `secure_delete`, write-ahead log truncated, then noted.
/// `false` if a reader held the log: the key may still be in the file then, and it must be tried again.
pub(super) fn destroy_erased(
    ledger: &mut Connection,
    payloads: &mut Connection,
    disk: &dyn Disk,
    log: PathBuf,
) -> Result<bool, StoreError> {
    let open: Vec<Vec<u8>> = ledger
        .prepare_cached("SELECT payload FROM erased WHERE done = 0")
        .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
        .map_err(|error| store_error(&error))?;
    if open.is_empty() {
        return Ok(true);
    }
    for id in &open {
        payloads
            .execute("DELETE FROM payload WHERE id = ?1", [id])
            .map_err(|error| store_error(&error))?;
    }
    // The first column says whether a reader was in the way; that is no error to SQLite.
    let busy: i64 = payloads
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(|error| store_error(&error))?;
    disk.database_synced();
    if busy != 0 {
        return Ok(false);
    }
    // SQLite cuts the log and syncs nothing after it: until then a power failure brings the log back, and with it the key.
    disk.sync_files(&[log])
        .map_err(|error| StoreError::Io(error.to_string()))?;
    for id in &open {
        ledger
            .execute("UPDATE erased SET done = 1 WHERE payload = ?1", [id])
            .map_err(|error| store_error(&error))?;
    }
    disk.database_synced();
    Ok(true)
}

/// Notes the size of the ledger before a step that stores payloads, in the payloads' own transaction.
pub(super) fn note_base(payloads: &Connection, size: u64) -> Result<(), StoreError> {
    payloads
        .prepare_cached("INSERT INTO step (one, base) VALUES (1, ?1) ON CONFLICT (one) DO UPDATE SET base = excluded.base")
        .and_then(|mut statement| statement.execute([number(size).unwrap_or(i64::MAX)]))
        .map(|_| ())
        .map_err(|error| store_error(&error))
}

/// See [`super::Store::payload_base`].
pub(super) fn newest_base(payloads: &Connection) -> Result<u64, StoreError> {
    let base: Option<i64> = payloads
        .query_row("SELECT base FROM step", [], |row| row.get(0))
        .optional()
        .map_err(|error| store_error(&error))?;
    base.map_or(Ok(0), size_of)
}

/// Deletes payloads whose entry never became durable.
pub(super) fn collect_orphans(payloads: &mut Connection, size: u64) -> Result<u64, StoreError> {
    let count = payloads
        .execute("DELETE FROM payload WHERE entry >= ?1", [number(size)?])
        .map_err(|error| store_error(&error))?;
    Ok(count as u64)
}

/// See [`super::Store::orphans`].
pub(super) fn orphans(
    payloads: &Connection,
    size: u64,
) -> Result<Vec<(u64, [u8; 32])>, StoreError> {
    let rows: Vec<(i64, Vec<u8>)> = payloads
        .prepare("SELECT entry, id FROM payload WHERE entry >= ?1")
        .and_then(|mut statement| {
            let rows = statement.query_map([number(size).unwrap_or(i64::MAX)], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
            rows.collect()
        })
        .map_err(|error| store_error(&error))?;
    rows.into_iter()
        .map(|(entry, id)| {
            let id = id
                .try_into()
                .map_err(|_| StoreError::Damaged("the id of a private payload".to_owned()))?;
            Ok((size_of(entry)?, id))
        })
        .collect()
}

/// See [`super::Store::drop_payloads`].
pub(super) fn drop_payloads(payloads: &mut Connection, ids: &[[u8; 32]]) -> Result<(), StoreError> {
    for id in ids {
        payloads
            .execute("DELETE FROM payload WHERE id = ?1", [id.as_slice()])
            .map_err(|error| store_error(&error))?;
    }
    Ok(())
}
