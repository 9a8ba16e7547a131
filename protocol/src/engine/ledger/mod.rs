//! One node's append-only ledger as a state machine: appending, pacing and signing, day digests, erasing, flushing.
//! Every step runs in one transaction; nothing is kept between steps that the store does not hold.

mod append;
mod days;
mod digest;
mod erase;
pub mod head;
pub mod io;
pub mod start;
mod tail;

#[cfg(test)]
mod tests;

pub use head::Head;
pub use io::{Free, Input, Places, Promise, Refusal};

use super::outbox::Outbox;
use super::store::{StoreError, Transaction};
use super::{Now, RequestId};
use crate::note::SigningKey;
use tail::OpenEnd;

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
    log_key: SigningKey,
}

/// One step in progress.
struct Step<'a, T> {
    now: Now,
    tx: &'a mut T,
    head: Head,
    open: OpenEnd,
    out: Outbox<Promise, Free>,
}

impl Ledger {
    /// A ledger that signs with `log_key`.
    #[must_use]
    pub fn new(config: Config, log_key: SigningKey) -> Self {
        Self { config, log_key }
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
        let head = Head::load(tx)?;
        let mut step = Step {
            now,
            tx,
            head,
            open: OpenEnd::default(),
            out: Outbox::default(),
        };
        step.close_days(&self.config)?;
        for input in inputs {
            let mark = (step.head.clone(), step.open.mark(), step.out.mark());
            step.tx.savepoint()?;
            match step.take(&self.config, input) {
                Ok(()) => step.tx.keep_savepoint()?,
                Err(Stop::Refused(request, refusal)) => {
                    step.tx.undo_savepoint()?;
                    step.head = mark.0;
                    step.open.roll_back(mark.1);
                    step.out.roll_back(mark.2);
                    step.out.free(Free::Refused { request, refusal });
                }
                Err(Stop::Store(error)) => return Err(error),
            }
        }
        step.open.write(step.tx)?;
        if self.config.solo {
            step.sign_if_due(&self.config, &self.log_key)?;
        }
        step.head.store(step.tx)?;
        Ok((step.out, step.head))
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
    fn take(&mut self, config: &Config, input: Input) -> Result<(), Stop> {
        match input {
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
            Input::Tick => Ok(self.tx.prune_idem(self.head.clock.micros())?),
        }
    }

    /// The node's clock, clamped so that it never runs backwards (R12).
    fn clamped_wall(&mut self) -> crate::entry::time::TimeUs {
        self.head.clock = self.head.clock.max(self.now.wall);
        self.head.clock
    }
}
