//! One step of a node's engine as the product's writer takes it: what arrived, one transaction, free outputs at once, and
//! promises when the sync came back (R9).

use super::{Event, World};
use crate::node::Syncing;
use crate::work;
use belfry_protocol::engine::RequestId;
use belfry_protocol::engine::federation::{Free, Input, Promise, Protocol};
use belfry_protocol::engine::ledger;

/// The product's pauses between steps in microseconds: idle, and while a digest is being prepared.
const TICK_US: u64 = 150_000;
const PREPARING_TICK_US: u64 = 50_000;
/// The ledger's own housekeeping, in microseconds.
const LEDGER_TICK_US: u64 = 1_000_000;
/// Inputs of one step, as in production.
pub(super) const STEP_INPUTS: usize = 256;

/// What comes by itself.
pub(super) fn is_tick(input: &Input) -> bool {
    matches!(input, Input::Tick | Input::Ledger(ledger::Input::Tick))
}

impl World {
    pub(super) fn step_if_idle(&mut self, at: usize) {
        if self.nodes[at].is_idle() && !self.nodes[at].inbox.is_empty() {
            self.step(at);
        }
    }

    /// The runtime's pause is over.
    pub(super) fn tick(&mut self, at: usize, boot: u64) {
        let node = &mut self.nodes[at];
        let current = node.boot == boot && node.is_up() && node.tick_us == self.now_us;
        if !current || node.asleep_us.is_some() {
            return;
        }
        // A tick of the ledger forgets idempotency keys, and does nothing where there are none.
        let ticks = self.now_us >= node.ledger_tick_us;
        let calm = node.is_idle() && node.drive.is_none() && !node.store.remembers_appends();
        let rests = self.how.rest && calm && node.rests(self.now_us);
        if ticks {
            node.ledger_tick_us = self.now_us + LEDGER_TICK_US;
            if !rests {
                node.inbox.push(Input::Ledger(ledger::Input::Tick));
            }
        }
        let preparing = node.engine().is_some_and(|one| one.is_preparing());
        let pause_us = if preparing {
            PREPARING_TICK_US
        } else {
            TICK_US
        };
        // Whatever arrives wakes the runtime too, and its pause begins anew.
        let due_us = node.stepped_us + pause_us;
        let due = due_us <= self.now_us || ticks || !node.inbox.is_empty();
        if node.is_idle() && due {
            if rests {
                // As if the step had been taken, which does nothing.
                node.stepped_us = self.now_us;
                self.counted.rested += 1;
            } else {
                self.step(at);
            }
        }
        if self.nodes[at].is_up() {
            self.tick_at(at, due_us.max(self.now_us + pause_us / 2));
        }
    }

    pub(super) fn tick_at(&mut self, at: usize, at_us: u64) {
        let node = &mut self.nodes[at];
        node.tick_us = at_us.max(self.now_us);
        let (boot, tick_us) = (node.boot, node.tick_us);
        self.at(tick_us, Event::Tick { node: at, boot });
    }

    /// One step.
    fn step(&mut self, at: usize) {
        let now_us = self.now_us;
        self.counted.steps += 1;
        if self.nodes[at].drive.is_some() {
            return self.step_on_disk(at);
        }
        let node = &mut self.nodes[at];
        let Some(mut engine) = node.engine.take() else {
            return;
        };
        node.stepped_us = now_us;
        let rest = node.inbox.split_off(node.inbox.len().min(STEP_INPUTS));
        let inputs = std::mem::replace(&mut node.inbox, rest);
        let callers = inputs.iter().filter(|one| !is_tick(one)).count() as u64;
        let now = node.clock.now(now_us);
        let seed = node.step_seed(now_us);
        node.rests_until_us = None;
        let mut tx = node.store.begin();
        let mut outputs = match engine.step(now, seed, &mut tx, inputs) {
            Ok(outputs) => outputs,
            Err(error) => {
                drop(tx);
                node.engine = Some(engine);
                return self.die(at, &error.to_string());
            }
        };
        let free = outputs.federation.take_free();
        let refused = outputs.ledger.take_free();
        self.counted.refused += refused.len() as u64;
        if node.full > 0 {
            // What promises nothing has left before the commit that failed.
            drop(tx);
            engine.forget();
            node.engine = Some(engine);
            self.watch.reached("a step found the disk full");
            return self.release_free(at, free);
        }
        let (committed, in_doubt) = tx.commit_in_doubt();
        let changed = !in_doubt.is_empty();
        let federation = outputs.federation.release(&committed);
        let ledger = outputs.ledger.release(&committed);
        let said = !free.is_empty() || !federation.is_empty() || !ledger.is_empty();
        let moved = changed || said || callers > 0;
        node.moves += u64::from(moved);
        if !changed && !said {
            let until_us = engine.next_due_us();
            node.rests_until_us = until_us.map(|until_us| (until_us, node.clock.changes()));
        }
        node.engine = Some(engine);
        let done_us = if changed {
            now_us + node.sync_us()
        } else {
            now_us
        };
        node.syncing = Some(Syncing {
            done_us,
            in_doubt: Some(in_doubt),
            federation,
            ledger,
        });
        let boot = node.boot;
        #[cfg(feature = "sabotage")]
        self.promise_too_early(at);
        if moved {
            self.note("step", at, &callers.to_be_bytes());
        }
        self.release_free(at, free);
        if changed {
            self.after(done_us - now_us, Event::Synced { node: at, boot });
            self.doom(at, done_us - now_us);
        } else {
            self.synced(at, boot);
        }
    }

    /// A process whose end was planned for its next sync ends in the middle of this one.
    fn doom(&mut self, at: usize, sync_us: u64) {
        let node = &mut self.nodes[at];
        let Some(down_us) = node.doomed_us.take() else {
            return;
        };
        let after_us = node.disk.below(sync_us.max(1));
        let boot = node.boot;
        let kill = crate::inject::Running::KillInSync {
            node: at,
            boot,
            down_us,
        };
        self.after(after_us, Event::Injected(kill));
    }

    /// What no runtime may do: promises leave while their sync is under way.
    #[cfg(feature = "sabotage")]
    pub(super) fn promise_too_early(&mut self, at: usize) {
        let early = crate::plan::Sabotage::PromisesBeforeSync;
        if self.plan.sabotage != Some(early) {
            return;
        }
        let syncing = self.nodes[at].syncing.as_mut();
        let promises = syncing.map(|one| {
            let ledger = std::mem::take(&mut one.ledger);
            (ledger, std::mem::take(&mut one.federation))
        });
        let (ledger, federation) = promises.unwrap_or_default();
        for promise in ledger {
            self.ledger_promise(at, promise);
        }
        for promise in federation {
            self.promise(at, promise);
        }
    }

    pub(super) fn release_free(&mut self, at: usize, free: Vec<Free>) {
        for output in free {
            self.free(at, output);
        }
    }

    /// The sync came back: what the step promises may leave, and the next step may begin.
    pub(super) fn synced(&mut self, at: usize, boot: u64) {
        let node = &mut self.nodes[at];
        let over = node
            .syncing
            .as_ref()
            .is_some_and(|one| one.done_us <= self.now_us);
        if !over || node.boot != boot || node.asleep_us.is_some() {
            return;
        }
        let Some(syncing) = node.syncing.take() else {
            return;
        };
        for promise in syncing.ledger {
            self.ledger_promise(at, promise);
        }
        for promise in syncing.federation {
            self.promise(at, promise);
        }
        self.step_if_idle(at);
    }

    /// A caller appends an entry of the node's own.
    pub(crate) fn append(&mut self, at: usize, filler: u64) {
        self.number += 1;
        let input = ledger::Input::System {
            request: RequestId(self.number),
            kind: work::KIND,
            body: work::body(self.plan.workload.entry_bytes, filler),
        };
        let boot = self.nodes[at].boot;
        if self.nodes[at].is_up() {
            self.arrives(at, boot, Input::Ledger(input));
        } else {
            self.counted.refused += 1;
        }
    }

    fn ledger_promise(&mut self, at: usize, promise: ledger::Promise) {
        if let ledger::Promise::Appended { places, .. } = promise {
            self.counted.appended += places.new;
            self.watch.appended(at, &places);
        }
    }

    /// What promises something: it is durable now.
    pub(super) fn promise(&mut self, at: usize, output: Promise) {
        crate::watch::promised(self, at, &output);
        match output {
            Promise::Reply { id, bytes } => self.answer(at, id, Some(bytes.into_inner())),
            Promise::Request { peer, id, bytes } => {
                self.ask(at, &peer, id, Protocol::Sync, bytes.into_inner());
            }
            Promise::Publish { topic, bytes } => self.publish(at, topic, &bytes.into_inner()),
            Promise::TakeSerial { log_from_size } => {
                self.watch
                    .reached("a restored tower took keys of a new serial");
                if let Err(error) = self.nodes[at].take_serial(log_from_size) {
                    let why = error.to_string();
                    self.watch.start_failed(self.now_us, at, &why);
                }
            }
            Promise::Acked { .. } | Promise::Witnessed { .. } | Promise::Alarm(_) => {}
        }
    }

    /// What promises nothing.
    fn free(&mut self, at: usize, output: Free) {
        match output {
            Free::Request {
                peer,
                id,
                protocol,
                bytes,
            } => self.ask(at, &peer, id, protocol, bytes.into_inner()),
            Free::Reply { id, bytes } => self.answer(at, id, Some(bytes.into_inner())),
            Free::Serve { id, place, get } => {
                let answer = self.nodes[at].serve(place, &get);
                self.answer(at, id, answer);
            }
            Free::Prove { id, place, get } => {
                let answer = self.nodes[at].prove(place, &get);
                self.answer(at, id, answer);
            }
            Free::Compare {
                question,
                place,
                smaller,
                larger,
                origin,
                ..
            } => {
                let sizes = (smaller, larger);
                let nodes = self.nodes[at].tree_nodes(place, &origin, sizes);
                let input = Input::Compared { question, nodes };
                let boot = self.nodes[at].boot;
                self.after(
                    2_000,
                    Event::Input {
                        to: at,
                        boot,
                        input,
                    },
                );
            }
            Free::NoAnswer { id } => self.answer(at, id, None),
            Free::Verdict { id, peer, verdict } => {
                let accept = verdict == belfry_protocol::engine::federation::Verdict::Accept;
                crate::watch::judged(self, at, &peer, id, verdict);
                self.relay(at, &peer, id, accept);
            }
            Free::KeepWindow { hash, .. } => {
                let node = &mut self.nodes[at];
                node.windows.insert(hash);
                let boot = node.boot;
                let input = Input::WindowKept { hash };
                self.after(
                    3_000,
                    Event::Input {
                        to: at,
                        boot,
                        input,
                    },
                );
            }
            Free::MeasureClocks => self.measure_anew(at),
            Free::Refused { peer, why, relayed } => {
                crate::watch::refused(self, at, &peer, why, relayed);
            }
            Free::Disconnect { peer, why } => {
                crate::watch::disconnects(self, at, &peer, &why);
                if let Some(other) = self.founded.by_peer(&peer) {
                    self.break_link(at, other);
                }
            }
            Free::Admit { peer } => self.admit(at, &peer),
        }
    }

    fn measure_anew(&mut self, at: usize) {
        let peers: Vec<usize> = self.net.peers(at).into_iter().collect();
        for to in peers {
            if let Some(connection) = self.net.connection(at, to) {
                let probe = Event::Probe {
                    from: at,
                    to,
                    connection,
                    again: false,
                };
                self.after(1_000, probe);
            }
        }
    }
}
