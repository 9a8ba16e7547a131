//! Steps, ends and starts of nodes whose store is the product's, on a simulated disk. What the disk does wrong comes back
//! as the store's error, and the process ends as the product's does; damage that a fault did is an operator's to mend.

use super::life::SUPERVISOR_US;
use super::step::{STEP_INPUTS, is_tick};
use super::{Event, World};
use crate::directory::Backup;
use crate::drive::{Drive, Stepped};
use crate::founding::FoundingError;
use crate::node::{Node, Syncing};
use crate::plan::{Plan, Store};
use crate::streams::Stream;
use belfry_protocol::engine::store::StoreError;

/// How long an operator takes to put an empty disk in the place of a damaged one, in microseconds.
const NEW_DISK_US: u64 = 5_000_000;

/// Gives nodes their disks, if the plan says so.
pub(super) fn mount(plan: &Plan, nodes: &mut [Node]) -> Result<(), FoundingError> {
    if plan.store != Store::Sqlite {
        return Ok(());
    }
    for node in nodes {
        let seed = Stream::new(plan.seed, "drive", node.at as u64).next();
        let drive = Drive::new(seed).map_err(|error| FoundingError::Disk(error.to_string()))?;
        node.drive = Some(Box::new(drive));
    }
    Ok(())
}

impl World {
    /// One step, as the product's writer takes it.
    pub(super) fn step_on_disk(&mut self, at: usize) {
        let now_us = self.now_us;
        let node = &mut self.nodes[at];
        let seed = node.step_seed(now_us);
        let Some(drive) = &mut node.drive else { return };
        node.stepped_us = now_us;
        if let Some(down_us) = node.doomed_us.take() {
            drive.doom(down_us);
        }
        let rest = node.inbox.split_off(node.inbox.len().min(STEP_INPUTS));
        let arrived = std::mem::replace(&mut node.inbox, rest);
        let callers = arrived.iter().filter(|one| !is_tick(one)).count() as u64;
        let mut inputs = drive.flush(now_us);
        if !inputs.is_empty() {
            self.watch.reached("tiles were written to files");
        }
        inputs.extend(arrived);
        let now = node.clock.now(now_us);
        let Stepped { free, result } = drive.step(now, seed, inputs);
        let committed = match result {
            Ok(committed) => committed,
            Err(error) => {
                if matches!(error, StoreError::Full(_)) {
                    self.watch.reached("a step found the disk full");
                }
                // What promises nothing has left before the commit that failed.
                self.release_free(at, free);
                return self.store_failed(at, &error);
            }
        };
        self.counted.refused += committed.refused;
        let told = committed.federation.len() + committed.ledger.len();
        let moved = committed.synced || callers > 0 || !free.is_empty() || told > 0;
        node.moves += u64::from(moved);
        let done_us = if committed.synced {
            now_us + node.sync_us()
        } else {
            now_us
        };
        node.syncing = Some(Syncing {
            done_us,
            in_doubt: None,
            federation: committed.federation,
            ledger: committed.ledger,
        });
        let boot = node.boot;
        #[cfg(feature = "sabotage")]
        self.promise_too_early(at);
        if moved {
            self.note("step", at, &callers.to_be_bytes());
        }
        self.release_free(at, free);
        if let Some(error) = committed.then {
            // The step is durable, and some of what it promises may have left.
            return self.store_failed(at, &error);
        }
        if committed.synced {
            self.after(done_us - now_us, Event::Synced { node: at, boot });
        } else {
            self.synced(at, boot);
        }
    }

    /// The product's writer got an error of its store.
    pub(super) fn store_failed(&mut self, at: usize, error: &StoreError) {
        let Some(drive) = &mut self.nodes[at].drive else {
            return;
        };
        if matches!(error, StoreError::Full(_)) && !drive.is_dead() {
            return;
        }
        let down_us = drive.down_us.take().unwrap_or(SUPERVISOR_US);
        if drive.is_dead() {
            self.watch
                .reached("the power failed in the middle of a write");
            self.kill(at);
            return self.after(down_us, Event::Start { node: at });
        }
        if drive.has_failed() {
            self.watch.reached("a sync failed and the process stopped");
            self.note("die", at, b"");
            self.kill(at);
            return self.after(down_us, Event::Start { node: at });
        }
        if drive.is_damaged() {
            self.watch.reached("damage on a disk was noticed");
            return self.replace(at, Backup::Empty, true, NEW_DISK_US);
        }
        let what = format!("its store failed, and its disk did nothing wrong: {error}");
        self.watch.time(self.now_us);
        self.watch.fail("S10", Some(at), what);
    }

    /// Whether something that a fault did explains that a process did not start; then it is tried again.
    pub(super) fn is_excused(&mut self, at: usize) -> bool {
        let full = self.nodes[at].full > 0;
        let Some(drive) = &mut self.nodes[at].drive else {
            return false;
        };
        let (dead, failed) = (drive.is_dead(), drive.has_failed());
        if dead || failed || full {
            if dead {
                self.watch.reached("a machine lost power while it started");
            }
            self.end_on_disk(at);
            self.after(SUPERVISOR_US, Event::Start { node: at });
            return true;
        }
        if !drive.is_damaged() {
            return false;
        }
        self.watch.reached("damage on a disk was noticed");
        self.replace(at, Backup::Empty, true, NEW_DISK_US);
        true
    }

    /// A process that runs on a disk ends, and with it the machine's power as likely as not.
    pub(super) fn end_on_disk(&mut self, at: usize) {
        let Some(drive) = &mut self.nodes[at].drive else {
            return;
        };
        let power_fails = drive.draws.one_in(2);
        if drive.end(power_fails) {
            // Nothing on the machine can prevent that, and its peers have to tell it.
            self.watch
                .reached("a disk took back what it had said to be durable");
            crate::watch::replaced(self, at);
        }
    }

    /// After the last fault: an operator looks through a disk that may be damaged, and replaces it if it is.
    pub(super) fn look_through(&mut self, at: usize) {
        let Some(drive) = &mut self.nodes[at].drive else {
            return;
        };
        drive.end_faults();
        if !drive.is_damaged() {
            return;
        }
        let keys = belfry_protocol::cert::LogVerifiers::of_chain(
            drive
                .engine()
                .map(|engine| engine.members().chain(at))
                .unwrap_or_default(),
        );
        let Some(keys) = keys else { return };
        if drive.fsck(&keys).is_empty() {
            self.watch.reached("a flipped bit did no harm");
        } else {
            self.watch.reached("damage on a disk was noticed");
            self.replace(at, Backup::Empty, true, NEW_DISK_US);
        }
    }
}

impl Node {
    /// There is no room on its disk.
    pub(crate) fn fill(&mut self) {
        self.full += 1;
        if let Some(drive) = &mut self.drive {
            drive.fill();
        }
    }

    /// A fault that left no room is over.
    pub(crate) fn make_room(&mut self) {
        self.full = self.full.saturating_sub(1);
        if let Some(drive) = self.drive.as_mut().filter(|_| self.full == 0) {
            drive.make_room();
        }
    }

    /// Whether a fault damaged its disk: what it shows may be wrong, and what it holds may be less.
    pub(crate) fn is_damaged(&self) -> bool {
        self.drive.as_ref().is_some_and(|drive| drive.is_damaged())
    }
}
