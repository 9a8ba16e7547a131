//! One engine step in one transaction: step, commit with one sync, and only then the promises. What the writer thread and
//! the simulator share; knows no thread, reads no clock, and may not decide anything that the engine decides.

use super::{Answer, Failure, Flush, Machine};
use crate::store::Store;
use belfry_protocol::engine::federation;
use belfry_protocol::engine::federation::witness::Answer as WitnessAnswer;
use belfry_protocol::engine::keys::OwnKeys;
use belfry_protocol::engine::ledger::{Free, Head, Input, Promise};
use belfry_protocol::engine::store::{Record, StoreError, Transaction};
use belfry_protocol::engine::{self, Now, RequestId};
use belfry_protocol::entry::json::Json;
use belfry_protocol::manifest::Federation;
use std::time::{Duration, Instant};

/// What a step takes.
#[derive(Default)]
pub struct Inputs {
    /// For the ledger.
    pub inputs: Vec<Input>,
    /// For a member of a federation; nobody else takes them.
    pub messages: Vec<federation::Input>,
    /// Mirrored ledgers of which more is in files.
    pub mirrored: Vec<Flush>,
}

/// What a committed step leaves to be told.
pub struct Done {
    /// To requests; refusals come last.
    pub answers: Vec<(RequestId, Result<Answer, Failure>)>,
    /// Erasures, as (request, index of the `erase` entry): answered when the keys are destroyed.
    pub erased: Vec<(RequestId, u64)>,
    /// Answers to checkpoints.
    pub witnessed: Vec<(u64, WitnessAnswer)>,
    /// The ledger now.
    pub head: Head,
    /// Entries below this index may be in files.
    pub flushable: u64,
    /// Size of the newest digest that a quorum acknowledged; 0 outside a federation.
    pub acked: u64,
    /// Whether entries are taken.
    pub appends: bool,
    /// How long the commit took.
    pub took: Duration,
}

/// A store and the state machine on it.
pub struct Stepper {
    store: Store,
    machine: Machine,
    /// What the outlet was told of members, see [`Members::generation`](federation::members::Members::generation).
    told: Option<usize>,
}

impl Stepper {
    /// Over a store that start-up checked.
    #[must_use]
    pub fn new(store: Store, machine: Machine) -> Self {
        Self {
            store,
            machine,
            told: None,
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The store, for work between steps.
    pub fn store_mut(&mut self) -> &mut Store {
        &mut self.store
    }

    /// The state machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The engine of a member.
    pub fn engine_mut(&mut self) -> Option<&mut federation::Engine> {
        match &mut self.machine {
            Machine::Alone(_) => None,
            Machine::Member(engine, _) => Some(engine),
        }
    }

    /// First size that a log key made now signs (R6); nothing may be stepped before [`Stepper::renew`].
    ///
    /// # Errors
    /// The phase of a member that may have none made now.
    pub fn next_from_size(&self, now: Now, size: u64, signed: Option<u64>) -> Result<u64, String> {
        match &self.machine {
            Machine::Alone(ledger) => {
                let keys = ledger.log_keys();
                Ok(keys.next_from_size(size, signed, now.wall_seconds()))
            }
            Machine::Member(engine, _) => engine.next_from_size(now, size, signed),
        }
    }

    /// From now on these keys sign. Returns what the next step is to take, if the state machine does not itself tell of
    /// their certificate.
    pub fn renew(&mut self, keys: OwnKeys) -> Option<Input> {
        match &mut self.machine {
            Machine::Alone(ledger) => {
                let is_new = ledger.log_keys().newest() != keys.log.newest();
                let newest = keys.certificates.last().filter(|_| is_new);
                let newest = newest.map(ToString::to_string);
                ledger.set_log_keys(keys.log);
                newest.map(|note| Input::System {
                    // Nobody waits for it.
                    request: RequestId(u64::MAX),
                    kind: "key.cert",
                    body: Json::object([("note", Json::text(note))]),
                })
            }
            Machine::Member(engine, _) => {
                engine.renew(keys);
                None
            }
        }
    }

    /// The next epoch is in force; says whether it follows the newest.
    pub fn amend(&mut self, next: Federation) -> bool {
        self.engine_mut().is_some_and(|engine| engine.amend(next))
    }

    /// How far a member is; `None` outside a federation, or when the store fails.
    pub fn status(&mut self) -> Option<federation::Status> {
        // Also on a full disk: then more than ever somebody wants to know.
        match (&self.machine, self.store.begin_reading()) {
            (Machine::Member(engine, _), Ok(tx)) => engine.status(&tx).ok(),
            _ => None,
        }
    }

    /// After a step that left no trace: what the engine keeps in memory is read again.
    pub fn forget(&mut self) {
        if let Some(engine) = self.engine_mut() {
            engine.forget();
        }
    }

    /// Copies the write-ahead logs into the databases and closes them.
    ///
    /// # Errors
    /// As [`Store::close`].
    pub fn close(self) -> Result<(), StoreError> {
        self.store.close()
    }

    /// One transaction: step, free outputs, commit, and only then the promises (R9).
    /// `seed` is fresh randomness.
    ///
    /// # Errors
    /// When the store fails. After [`StoreError::Full`] nothing was changed and [`Stepper::forget`] must be called; after
    /// any other, nobody knows what is on disk, and nothing may go on before a new start (R9).
    pub fn commit(
        &mut self,
        now: Now,
        seed: [u8; 32],
        Inputs {
            inputs,
            messages,
            mirrored,
        }: Inputs,
    ) -> Result<Done, StoreError> {
        let mut tx = self.store.begin()?;
        let mut appends = true;
        let (mut outbox, head, member) = match &mut self.machine {
            Machine::Alone(ledger) => {
                let (outbox, head) = ledger.step(now, &mut tx, inputs)?;
                for flush in &mirrored {
                    engine::flushed_mirror(&mut tx, &flush.origin, flush.through)?;
                }
                appends = tx.record(Record::Forked)?.is_none();
                (outbox, head, None)
            }
            Machine::Member(engine, outlet) => {
                let flushed = mirrored
                    .into_iter()
                    .map(|flush| federation::Input::MirrorFlushed {
                        origin: flush.origin,
                        through: flush.through,
                    });
                let own = inputs.into_iter().map(federation::Input::Ledger);
                let all = flushed.chain(own).chain(messages).collect();
                let mut outputs = engine.step(now, seed, &mut tx, all)?;
                let members = engine.members();
                if self.told != Some(members.generation()) {
                    self.told = Some(members.generation());
                    outlet.members(members);
                }
                // Prepares carry this step's entries: what belongs to them may not be lost once towers hold them (R10).
                tx.commit_payloads()?;
                for output in outputs.federation.take_free() {
                    outlet.free(output);
                }
                let state = (engine.acked(), engine.may_append());
                (
                    outputs.ledger,
                    outputs.head,
                    Some((outputs.federation, state)),
                )
            }
        };
        let refused = outbox.take_free();
        let began = Instant::now();
        let committed = tx.commit()?;
        let mut done = Done {
            answers: Vec::new(),
            erased: Vec::new(),
            witnessed: Vec::new(),
            took: began.elapsed(),
            flushable: self.store.flushable(&head)?,
            acked: 0,
            appends,
            head,
        };
        if let (Some((outbox, state)), Machine::Member(_, outlet)) = (member, &mut self.machine) {
            (done.acked, done.appends) = state;
            for output in outbox.release(&committed) {
                match output {
                    federation::Promise::Witnessed { id, answer } => {
                        done.witnessed.push((id, answer));
                    }
                    other => outlet.promise(other),
                }
            }
        }
        for promise in outbox.release(&committed) {
            match promise {
                Promise::Appended { request, places } => {
                    done.answers.push((request, Ok(Answer::Appended(places))))
                }
                Promise::Retired { request, index } => {
                    done.answers.push((request, Ok(Answer::Retired(index))))
                }
                Promise::Erased { request, index } => done.erased.push((request, index)),
                Promise::Digest { .. } => {}
            }
        }
        for Free::Refused { request, refusal } in refused {
            done.answers.push((request, Err(refusal.into())));
        }
        Ok(done)
    }
}
