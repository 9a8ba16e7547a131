//! New keys while the node runs: when an operator asks (R6), and when the engine does after a restore (R3). The only place where
//! a running node makes keys. May not decide which sizes they sign: that is the engine's.

use super::own_keys;
use crate::clock;
use crate::exit::{Code, Failure};
use crate::writer::{Standing, Writer};
use belfry_keys::{KeyError, NodeKeys, RotateOptions};
use belfry_protocol::cert::{LogVerifiers, Reason, Scope};
use belfry_protocol::engine::keys::{OVERLAP_SECONDS, OwnKeys, Serial};
use belfry_protocol::note::{SignedNote, SigningKey};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// The serials that may cosign, for whoever makes lines beside the engine's. Which of them sign now, only the engine says.
#[derive(Clone)]
pub struct Cosigners(Arc<RwLock<Arc<Vec<Serial>>>>);

impl Cosigners {
    /// Of these keys.
    #[must_use]
    pub fn new(own: &OwnKeys) -> Self {
        Self(Arc::new(RwLock::new(Self::of(own))))
    }

    fn of(own: &OwnKeys) -> Arc<Vec<Serial>> {
        Arc::new(own.before.iter().chain([&own.newest]).cloned().collect())
    }

    /// As of now.
    #[must_use]
    pub fn now(&self) -> Arc<Vec<Serial>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, own: &OwnKeys) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Self::of(own);
    }
}

/// What came of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// The new serial.
    pub serial: u64,
    /// First size of a digest that its log key signs.
    pub from_size: u64,
    /// Entries when it was made: the next one is its certificate's.
    pub size: u64,
    /// First second since 1970 in which its certificate is not valid any more.
    pub not_after_seconds: u64,
    /// Until when the serial before signs beside it, in seconds since 1970.
    pub both_until_seconds: u64,
    /// Verifier key of the new log key.
    pub log: String,
}

/// Makes new keys for a running node.
#[derive(Clone)]
pub struct Renewer {
    /// One rotation at a time: whoever has it may read and change the key files.
    turn: Arc<Mutex<()>>,
    keys: Arc<Mutex<Option<NodeKeys>>>,
    scope: Scope,
    writer: Writer,
    /// What everybody in this process verifies the node's digests with.
    verifiers: Arc<RwLock<LogVerifiers>>,
    cosigners: Cosigners,
}

/// A lock; what it guards is whole whenever it is free.
fn locked<T>(cell: &Mutex<T>) -> MutexGuard<'_, T> {
    cell.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Renewer {
    /// For the node whose writer this is.
    #[must_use]
    pub fn new(
        scope: Scope,
        writer: Writer,
        verifiers: Arc<RwLock<LogVerifiers>>,
        cosigners: Cosigners,
    ) -> Self {
        Self {
            turn: Arc::default(),
            keys: Arc::default(),
            scope,
            writer,
            verifiers,
            cosigners,
        }
    }

    /// Keeps the unlocked keys, for when the engine asks and no operator is there.
    pub fn hold(&self, keys: NodeKeys) {
        *locked(&self.keys) = Some(keys);
    }

    /// What signs this node's statements now, and its certificate; `None` while nobody unlocked the keys.
    #[must_use]
    pub fn envelope(&self) -> Option<(SigningKey, SignedNote)> {
        let keys = locked(&self.keys);
        let keys = keys.as_ref()?;
        Some((keys.envelope_key().clone(), keys.certificate().clone()))
    }

    /// After a restore, with the outcome in the log; waits for nothing.
    pub(super) fn renew_and_say(&self) {
        let this = self.clone();
        self.writer.renew(Box::new(move |standing| {
            // While an operator rotates there is nothing to do: the engine asks again if that did not help.
            let Ok(_turn) = this.turn.try_lock() else {
                return None;
            };
            match this.make_now(standing) {
                Ok((own, renewed)) => {
                    let serial = renewed.serial;
                    tracing::warn!(
                        serial,
                        "caught up after a restore; from now on keys of a new serial sign"
                    );
                    Some(own)
                }
                Err(error) => {
                    tracing::error!(
                        %error,
                        "no new keys, and so no acks: this tower was restored and acks nothing before it has keys of a new \
                         serial; put its identity key file into keys/ until then"
                    );
                    None
                }
            }
        }));
    }

    /// Rotates with the keys that `unlock` opens, as an operator asked. A third serial within an overlap silences the first,
    /// on which policies that are still valid rely: that takes `early`. Blocks until the new keys sign.
    ///
    /// # Errors
    /// When the keys cannot be opened, the identity key is not there, or the node may have no new ones now.
    pub fn rotate(
        &self,
        early: bool,
        unlock: impl FnOnce() -> Result<NodeKeys, Failure>,
    ) -> Result<Renewed, Failure> {
        let _turn = locked(&self.turn);
        let keys = unlock()?;
        let newest = keys.certificate_content();
        let now_seconds = clock::now().wall_seconds();
        let overlap = newest.not_before_seconds.saturating_add(OVERLAP_SECONDS);
        if newest.serial > 1 && now_seconds < overlap && !early {
            let serial = newest.serial;
            return Err(Failure::new(
                Code::Failed,
                format!(
                    "serial {serial} is in its overlap: serial {} signs beside it until {}",
                    serial - 1,
                    crate::clock::shown_seconds(overlap)
                ),
            )
            .hint("policies exported before it rely on the older one until then; --early rotates all the same"));
        }
        self.hold(keys);
        self.make()
    }

    /// Withdraws an older serial with the keys that `unlock` opens, as an operator asked. From then on it signs nothing. Returns the
    /// revocation and the note; the ledger's entry is the caller's.
    ///
    /// # Errors
    /// When the keys cannot be opened, the identity key is not there, or the serial is the newest or none.
    pub fn revoke(
        &self,
        serial: u64,
        reason: Reason,
        unlock: impl FnOnce() -> Result<NodeKeys, Failure>,
    ) -> Result<SignedNote, Failure> {
        let _turn = locked(&self.turn);
        let mut keys = unlock()?;
        let note = keys
            .revoke(serial, reason, clock::now().wall_seconds())
            .map_err(|error| key_failure(&error))?;
        let own = own_keys(&keys);
        self.hold(keys);
        let (cosigners, (done, wait)) = (self.cosigners.clone(), sync_channel(1));
        self.writer.renew(Box::new(move |_| {
            cosigners.replace(&own);
            let _ = done.send(());
            Some(own)
        }));
        // What was withdrawn may sign nothing once others hear of it.
        wait.recv()
            .map_err(|_| Failure::new(Code::Failed, "the node is stopping"))?;
        Ok(note)
    }

    /// Makes the keys of the next serial between two steps of the engine, which takes them over.
    fn make(&self) -> Result<Renewed, Failure> {
        let (answer, wait) = sync_channel(1);
        let this = self.clone();
        self.writer.renew(Box::new(move |standing| {
            let made = this.make_now(standing);
            let (own, told) = match made {
                Ok((own, renewed)) => (Some(own), Ok(renewed)),
                Err(failure) => (None, Err(failure)),
            };
            let _ = answer.send(told);
            own
        }));
        let stopping = || Err(Failure::new(Code::Failed, "the node is stopping"));
        wait.recv().unwrap_or_else(|_| stopping())
    }

    /// On the writer thread.
    fn make_now(&self, standing: &Standing) -> Result<(OwnKeys, Renewed), Failure> {
        let from_size = standing.from_size.clone().map_err(|phase| {
            Failure::new(
                Code::Recovering,
                format!("no new keys now, this node is {phase}"),
            )
            .hint("it must know first what its older keys signed; see `belfry status`")
        })?;
        let mut keys = locked(&self.keys);
        let keys = keys
            .as_mut()
            .ok_or_else(|| Failure::new(Code::KeyUnavailable, "the keys are not unlocked"))?;
        // Neither goes back in a chain: the clock may have been ahead.
        let last = keys.certificate_content();
        let now_seconds = clock::now().wall_seconds().max(last.not_before_seconds);
        keys.rotate(&RotateOptions {
            now_seconds,
            scope: self.scope,
            log_from_size: from_size.max(last.log_from_size),
            identity: None,
            import_log_key: None,
        })
        .map_err(|error| key_failure(&error))?;
        let newest = keys.certificate_content();
        let renewed = Renewed {
            serial: newest.serial,
            from_size: newest.log_from_size,
            size: standing.size,
            not_after_seconds: newest.not_after_seconds,
            both_until_seconds: newest.not_before_seconds.saturating_add(OVERLAP_SECONDS),
            log: newest.log.to_string(),
        };
        *self
            .verifiers
            .write()
            .unwrap_or_else(PoisonError::into_inner) = keys.log_verifiers();
        let own = own_keys(keys);
        // First: whoever checks lines ahead of the engine knows at least the keys that it has.
        self.cosigners.replace(&own);
        Ok((own, renewed))
    }
}

/// An error of the key files as a failure, with what to do about an identity key that is kept elsewhere.
fn key_failure(error: &KeyError) -> Failure {
    let failure = Failure::new(Code::KeyUnavailable, error.to_string());
    match error {
        KeyError::IdentityAbsent(_) => failure
            .hint("new keys are certified by the identity key: put its file into keys/, rotate, and take it away again"),
        KeyError::Io { .. } => Failure::new(Code::Io, error.to_string()),
        _ => failure,
    }
}
