//! How processes start and end, and what an operator does about it: a supervisor starts what was killed, and a person
//! looks at what stopped by itself.

use super::talk::Seen;
use super::{Event, World};
use crate::directory::Backup;
use crate::node::Syncing;

/// First pause of a process that ended by itself, in microseconds.
pub(super) const SUPERVISOR_US: u64 = 1_000_000;

impl World {
    /// Starts a node's process, unless it runs.
    pub(crate) fn start(&mut self, at: usize) {
        if self.nodes[at].is_up() || !self.nodes[at].wanted {
            return;
        }
        if let Some((_, until_us)) = self.nodes[at].asleep_us {
            return self.at(until_us + 1, Event::Start { node: at });
        }
        let now_us = self.now_us;
        #[cfg(feature = "sabotage")]
        crate::sabotage::forget(&mut self.nodes[at], self.plan.sabotage);
        if let Err(error) = self.nodes[at].start(now_us, &self.founded) {
            if !self.is_excused(at) {
                self.watch.start_failed(now_us, at, &error.to_string());
            }
            return;
        }
        let boot = self.nodes[at].boot;
        self.note("start", at, &boot.to_be_bytes());
        crate::watch::started(self, at);
        self.tick_at(at, now_us);
        crate::inject::tell_revoked(self, at);
        self.pauses.retain(|(a, b), _| *a != at && *b != at);
        for other in 0..self.nodes.len() {
            if other != at && self.nodes[other].is_up() {
                self.dial_later(at, other);
            }
        }
    }

    /// Kills a process. A step whose sync is under way may be lost or kept, and what it promised may have left in part.
    pub(crate) fn kill(&mut self, at: usize) {
        if !self.nodes[at].is_up() {
            return;
        }
        self.note("kill", at, &[]);
        if self.nodes[at].syncing.is_some() {
            self.watch
                .reached("a process was killed while a sync was under way");
        }
        let synced = self.nodes[at].disk.happens(500_000);
        if let Some(syncing) = self.nodes[at].kill(synced) {
            self.leave_in_part(at, syncing);
        }
        self.end_on_disk(at);
        for other in 0..self.nodes.len() {
            self.break_link(at, other);
        }
        self.seen[at] = Seen::default();
        self.judged.retain(|(node, _), _| *node != at);
    }

    /// The sync came through, and the process died while it released what it promised.
    fn leave_in_part(&mut self, at: usize, syncing: Syncing) {
        let count = syncing.federation.len();
        let left = self.nodes[at].disk.index(count + 1);
        if left > 0 {
            self.watch
                .reached("a process was killed between two promises");
        }
        for promise in syncing.federation.into_iter().take(left) {
            self.promise(at, promise);
        }
    }

    /// A process that stops by itself is started by its supervisor.
    pub(crate) fn die(&mut self, at: usize, why: &str) {
        // What a disk says names a place of this program's.
        let on_disk = self.nodes[at].drive.is_some();
        self.note("die", at, if on_disk { b"" } else { why.as_bytes() });
        self.kill(at);
        self.after(SUPERVISOR_US, Event::Start { node: at });
    }

    /// A machine falls asleep.
    pub(crate) fn sleep(&mut self, at: usize, for_us: u64) {
        if self.nodes[at].asleep_us.is_some() {
            return;
        }
        self.nodes[at].asleep_us = Some((self.now_us, self.now_us + for_us));
        self.after(for_us, Event::Wake { node: at });
    }

    pub(super) fn wake(&mut self, at: usize) {
        let now_us = self.now_us;
        let node = &mut self.nodes[at];
        let Some((since_us, until_us)) = node.asleep_us.filter(|(_, until_us)| *until_us == now_us)
        else {
            return;
        };
        // Its clock that never steps stood still whether or not the process lived on.
        node.asleep_us = None;
        node.clock.slept(now_us, until_us - since_us);
        self.watch.reached("a machine slept");
        self.go_on(at);
    }

    /// A process that stood still goes on.
    pub(crate) fn go_on(&mut self, at: usize) {
        let node = &self.nodes[at];
        let boot = node.boot;
        if let Some(syncing) = &node.syncing {
            let done_us = syncing.done_us;
            self.at(done_us, Event::Synced { node: at, boot });
        }
        if self.nodes[at].is_up() {
            self.tick_at(at, self.now_us);
        }
    }

    /// Takes the copies of directories that faults of the plan will bring back.
    pub(super) fn plan_backups(&mut self) {
        let faults = self.plan.faults.clone();
        for (number, timed) in faults.iter().enumerate() {
            if let Some((node, back_ms)) = crate::inject::backup_of(&timed.fault) {
                let at_us = timed.at_ms.saturating_sub(back_ms) * 1_000;
                let take = crate::inject::Running::Backup { node, number };
                self.at(at_us, Event::Injected(take));
            }
        }
    }

    /// Puts another directory in a node's place and starts it on that.
    pub(crate) fn replace(&mut self, at: usize, with: Backup, restored: bool, down_us: u64) {
        self.kill(at);
        if let Err(error) = self.nodes[at].put(with) {
            self.watch.start_failed(self.now_us, at, &error.to_string());
        }
        self.nodes[at].restored = restored;
        crate::watch::replaced(self, at);
        self.after(down_us, Event::Start { node: at });
    }

    /// After the last fault: an operator sets clocks right and starts what does not run, or has stopped for good reason.
    pub(super) fn make_well(&mut self, at: usize) {
        let now_us = self.now_us;
        let node = &mut self.nodes[at];
        node.full = 0;
        node.doomed_us = None;
        node.mute = 0;
        node.wanted = true;
        if !node.clock.is_right() {
            self.watch.clock_changed_us[at] = now_us;
        }
        node.clock.set_right(now_us);
        if let Some((since_us, _)) = node.asleep_us.take() {
            node.clock.slept(now_us, now_us - since_us);
        }
        self.look_through(at);
        self.go_on(at);
        if !self.nodes[at].is_up() {
            self.after(SUPERVISOR_US, Event::Start { node: at });
        }
    }

    /// After the last fault: an operator who reads that a node stopped signing, and why, starts it again.
    pub(crate) fn attend(&mut self) {
        for at in 0..self.nodes.len() {
            let stopped = self.status(at).is_some_and(|status| {
                let for_good = status.phase.contains("fork") || status.phase.contains("retired");
                status.phase.starts_with("stopped") && !for_good
            });
            if stopped {
                self.watch
                    .reached("a node that stopped was started again by its operator");
                self.kill(at);
                self.after(SUPERVISOR_US, Event::Start { node: at });
            }
        }
    }
}
