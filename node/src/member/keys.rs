//! A member's keys as the engine takes them, and new ones when the engine asks (R3, R6). The only place where a running
//! node makes keys.

use crate::clock;
use crate::exit::{Code, Failure};
use crate::writer::Writer;
use belfry_keys::{NodeKeys, Purpose, PurposeKeys, RotateOptions};
use belfry_protocol::cert::{LogVerifiers, Scope};
use belfry_protocol::engine::keys::{LogKeys, OwnKeys, Serial};
use belfry_protocol::tlog::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// The keys that the engine signs with.
pub(crate) fn own_keys(keys: &NodeKeys) -> OwnKeys {
    let serial = |keys: &PurposeKeys, not_before_seconds| Serial {
        number: keys.serial(),
        not_before_seconds,
        envelope: keys.key(Purpose::Envelope).clone(),
        ack: keys.key(Purpose::Ack).clone(),
        mirror: keys.key(Purpose::Mirror).clone(),
    };
    let contents = keys.certificate_contents();
    let newest = keys.certificate_content();
    let log = contents.iter().filter_map(|one| {
        let here = keys.keys_of_serial(one.serial)?;
        Some((one.log_from_size, here.key(Purpose::Log).clone()))
    });
    let log: Vec<_> = log.collect();
    let before = contents.iter().rev().nth(1).and_then(|one| {
        let here = keys.keys_of_serial(one.serial)?;
        Some(serial(here, one.not_before_seconds))
    });
    OwnKeys {
        certificates: keys.certificates().to_vec(),
        log: LogKeys::new(log).unwrap_or_else(|| keys.log_key().clone().into()),
        newest: serial(keys.current(), newest.not_before_seconds),
        before,
    }
}

/// Makes new keys for a running node.
#[derive(Clone)]
pub struct Renewer {
    keys: Arc<Mutex<NodeKeys>>,
    federation: Hash,
    writer: Writer,
    /// What everybody in this process verifies the node's digests with.
    verifiers: Arc<RwLock<LogVerifiers>>,
}

impl Renewer {
    /// Over the keys of a node whose writer this is.
    #[must_use]
    pub fn new(
        keys: NodeKeys,
        federation: Hash,
        writer: Writer,
        verifiers: Arc<RwLock<LogVerifiers>>,
    ) -> Self {
        Self {
            keys: Arc::new(Mutex::new(keys)),
            federation,
            writer,
            verifiers,
        }
    }

    /// As [`Renewer::renew`], with the outcome in the log.
    pub(super) fn renew_and_say(&self, log_from_size: u64) {
        match self.renew(log_from_size) {
            Ok(serial) => tracing::warn!(
                serial,
                "caught up after a restore; from now on keys of a new serial sign"
            ),
            Err(error) => tracing::error!(%error, "no new keys, and so no acks"),
        }
    }

    /// Makes the keys of the next serial and hands them to the engine. Blocks: key files are written and synced.
    ///
    /// # Errors
    /// When the identity key is not here, or the files cannot be written.
    pub fn renew(&self, log_from_size: u64) -> Result<u64, Failure> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let now_seconds = u64::try_from(clock::wall().seconds()).unwrap_or(0);
        // Neither goes back in a chain: the ledger may have been longer once, and the clock ahead.
        let last = keys.certificate_content();
        let now_seconds = now_seconds.max(last.not_before_seconds);
        let log_from_size = log_from_size.max(last.log_from_size);
        keys.rotate(&RotateOptions {
            now_seconds,
            scope: Scope::Federation(self.federation),
            log_from_size,
            identity: None,
            import_log_key: None,
        })
        .map_err(|error| {
            Failure::new(Code::KeyUnavailable, error.to_string()).hint(
                "this tower was restored and acks nothing before it has keys of a new serial; put its identity key file into keys/ until then",
            )
        })?;
        *self
            .verifiers
            .write()
            .unwrap_or_else(PoisonError::into_inner) = keys.log_verifiers();
        self.writer.renew(own_keys(&keys));
        Ok(keys.current().serial())
    }
}
