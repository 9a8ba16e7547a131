//! One node's append-only ledger as a state machine: appending (R11), pacing and signing (R1), day digests (R12),
//! erasing (R10), flushing.
//! Every step runs in one transaction; nothing is kept between steps that the store does not hold.

mod append;
mod days;
pub(crate) mod digest;
mod erase;
mod forked;
pub mod head;
pub mod io;
pub mod start;

#[cfg(test)]
mod tests;

pub use forked::FORKED;
pub use head::Head;
pub use io::{Free, Input, Places, Promise, Refusal};

use super::open_end::{self, OpenEnd};
use super::outbox::Outbox;
use super::store::{Place, Record, StoreError, Transaction};
use super::{Now, RequestId};
use crate::engine::keys::LogKeys;
use crate::entry::json::Json;

/// How a ledger behaves; fixed for one start.
#[derive(Clone, Debug)]
pub struct Config {
    /// The ledger's origin, which is the node's name.
    pub origin: String,
    /// Whether digests are signed without any tower (R3). If not, and there is no federation, the ledger is
    /// `unfounded`: it appends, and no digest leaves it (R14).
    pub solo: bool,
    /// How long a backup may still hold an erased payload, in microseconds.
    pub backup_retention_us: i64,
}

/// Signed digests that are kept: the newest covers all older ones, the others only help to answer for old sizes.
const KEPT_DIGESTS: u64 = 4_096;

/// The state machine. It holds configuration and a key, no state.
pub struct Ledger {
    config: Config,
    log_keys: LogKeys,
}

/// One step in progress.
pub(crate) struct Step<'a, T> {
    pub(crate) now: Now,
    pub(crate) tx: &'a mut T,
    pub(crate) head: Head,
    open: OpenEnd,
    pub(crate) out: Outbox<Promise, Free>,
    /// The head as it is stored: written again only if it changed.
    stored: Head,
    /// The successor, if the ledger is retired.
    retired: Option<String>,
    /// Whether there is a fork proof against it.
    forked: bool,
}

/// Where a step can be rolled back to.
pub(crate) struct Mark {
    head: Head,
    open: open_end::Mark,
    out: (usize, usize),
    retired: Option<String>,
}

impl Ledger {
    /// A ledger that signs with `log_keys`.
    #[must_use]
    pub fn new(config: Config, log_keys: impl Into<LogKeys>) -> Self {
        Self {
            config,
            log_keys: log_keys.into(),
        }
    }

    /// The ledger's origin.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.config.origin
    }

    /// The keys that sign digests.
    #[must_use]
    pub fn log_keys(&self) -> &LogKeys {
        &self.log_keys
    }

    /// From now on these keys sign.
    pub fn set_log_keys(&mut self, log_keys: LogKeys) {
        self.log_keys = log_keys;
    }

    /// Takes `inputs` in order, each in its own savepoint, then signs if a digest is due.
    /// Returns the outputs and the head after the step.
    ///
    /// # Errors
    /// When the store fails: nothing may be released then, and the transaction must be dropped.
    pub fn step<T: Transaction>(
        &self,
        now: Now,
        tx: &mut T,
        inputs: Vec<Input>,
    ) -> Result<(Outbox<Promise, Free>, Head), StoreError> {
        let mut step = self.begin(now, tx)?;
        if step.retired.is_none() && !step.forked {
            step.close_days(&self.config)?;
        }
        for input in inputs {
            step.take_alone(self, input, false)?;
        }
        step.finish(self)
    }

    /// Begins a step.
    pub(crate) fn begin<'a, T: Transaction>(
        &self,
        now: Now,
        tx: &'a mut T,
    ) -> Result<Step<'a, T>, StoreError> {
        let head = Head::load(tx)?;
        Ok(Step {
            now,
            retired: tx
                .record(Record::Retired)?
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            forked: tx.record(Record::Forked)?.is_some(),
            tx,
            stored: head.clone(),
            head,
            open: OpenEnd::of(Place::OWN),
            out: Outbox::default(),
        })
    }
}

/// Why an input ended early.
enum Stop {
    /// This input is refused; the others go on.
    Refused(RequestId, Refusal),
    /// The store failed; the step ends.
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl<T: Transaction> Step<'_, T> {
    /// Takes one input in a savepoint of its own: a refused one leaves nothing behind but its refusal. A `silent` ledger
    /// is retired without an entry that says so.
    pub(crate) fn take_alone(
        &mut self,
        ledger: &Ledger,
        input: Input,
        silent: bool,
    ) -> Result<(), StoreError> {
        let mark = self.mark()?;
        let taken = match &input {
            Input::OwnFork(proof) => self.own_fork(ledger, proof).map_err(Stop::Store),
            _ => self.take(&ledger.config, input, silent),
        };
        match taken {
            Ok(()) => self.tx.keep_savepoint(),
            Err(Stop::Refused(request, refusal)) => {
                self.undo(mark)?;
                self.out.free(Free::Refused { request, refusal });
                Ok(())
            }
            Err(Stop::Store(error)) => Err(error),
        }
    }

    /// Opens a savepoint. Entries of this step that are not written yet are part of it.
    pub(crate) fn mark(&mut self) -> Result<Mark, StoreError> {
        self.tx.savepoint()?;
        Ok(Mark {
            head: self.head.clone(),
            open: self.open.mark(),
            out: self.out.mark(),
            retired: self.retired.clone(),
        })
    }

    /// Goes back to where the savepoint was opened.
    pub(crate) fn undo(&mut self, mark: Mark) -> Result<(), StoreError> {
        self.tx.undo_savepoint()?;
        self.head = mark.head;
        self.open.roll_back(mark.open);
        self.out.roll_back(mark.out);
        self.retired = mark.retired;
        Ok(())
    }

    /// Whether the ledger takes no entry any more.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.is_some()
    }

    /// Closes ended days with the ledger's own configuration.
    pub(crate) fn close_ended_days(&mut self, ledger: &Ledger) -> Result<(), StoreError> {
        if self.retired.is_some() {
            return Ok(());
        }
        self.close_days(&ledger.config)
    }

    /// Appends an entry of the node's own.
    pub(crate) fn append_own(
        &mut self,
        ledger: &Ledger,
        kind: &'static str,
        body: crate::entry::json::Json,
    ) -> Result<u64, StoreError> {
        self.append_system(&ledger.config, kind, body)
    }

    /// Forgets old digests now and then.
    pub(crate) fn prune_digests(&mut self, size: u64) -> Result<(), StoreError> {
        digest::prune(self.tx, &self.head, size)
    }

    /// Writes what was appended so far, so that rows can be read.
    pub(crate) fn write_entries(&mut self) -> Result<(), StoreError> {
        self.open.write(self.tx)
    }

    /// Writes what the step changed; on its own the ledger signs first.
    pub(crate) fn finish(
        mut self,
        ledger: &Ledger,
    ) -> Result<(Outbox<Promise, Free>, Head), StoreError> {
        self.open.write(self.tx)?;
        if ledger.config.solo && !self.forked {
            self.sign_if_due(&ledger.config, &ledger.log_keys)?;
        }
        // A clock that went on is worth a sync only together with something else.
        self.stored.clock = self.head.clock;
        if self.head != self.stored {
            self.head.store(self.tx)?;
        }
        Ok((self.out, self.head))
    }

    /// Rows below `through` are in files, re-read and re-hashed: drop them (R10).
    fn flushed(&mut self, through: u64) -> Result<(), StoreError> {
        use crate::tlog::tile::TILE_WIDTH;
        if through <= self.head.flushed
            || through > self.head.size()
            || !through.is_multiple_of(TILE_WIDTH)
        {
            return Ok(());
        }
        open_end::drop_flushed(self.tx, Place::OWN, through)?;
        self.head.flushed = through;
        Ok(())
    }

    fn take(&mut self, config: &Config, input: Input, silent: bool) -> Result<(), Stop> {
        let request = match &input {
            Input::Append { request, .. }
            | Input::Erase { request, .. }
            | Input::System { request, .. }
            | Input::Retire { request, .. } => Some(*request),
            Input::OwnFork(_) | Input::Flushed { .. } | Input::Tick => None,
        };
        let grows = !matches!(input, Input::Retire { .. });
        if let (Some(request), true) = (request, self.forked && grows) {
            return Err(Stop::Refused(request, Refusal::Forked));
        }
        if let (Some(request), Some(successor)) = (request, &self.retired) {
            let successor = successor.clone();
            return Err(Stop::Refused(request, Refusal::Retired { successor }));
        }
        match input {
            Input::Retire { request, successor } => {
                let index = match silent {
                    true => None,
                    false => {
                        let body = Json::object([("successor", Json::text(&successor))]);
                        Some(self.append_system(config, "retire", body)?)
                    }
                };
                self.tx.put_record(Record::Retired, successor.as_bytes())?;
                self.retired = Some(successor);
                self.out.promise(Promise::Retired { request, index });
                Ok(())
            }
            Input::Append { request, batch } => self.append(request, batch),
            Input::Erase {
                request,
                index,
                payload,
            } => self.erase(config, request, index, &payload),
            Input::Flushed { through } => Ok(self.flushed(through)?),
            Input::System {
                request,
                kind,
                body,
            } => {
                let index = self.append_system(config, kind, body)?;
                self.out.promise(Promise::Appended {
                    request,
                    places: Places::run(index, 1),
                });
                Ok(())
            }
            // See [`Step::take_alone`].
            Input::OwnFork(_) => Ok(()),
            Input::Tick => Ok(self.tx.prune_idem(self.head.clock.micros())?),
        }
    }

    /// The node's clock, clamped so that it never runs backwards (R12).
    fn clamped_wall(&mut self) -> crate::entry::time::TimeUs {
        self.head.clock = self.head.clock.max(self.now.wall);
        self.head.clock
    }
}
