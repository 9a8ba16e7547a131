//! The writer as a task of a runtime: for a simulation that has one thread and a clock of its own. The work is the thread's.

use super::Command;
use super::taken::Taken;
use super::work::Work;
use std::sync::mpsc::TryRecvError;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

impl Work {
    /// As [`Work::run`], waiting as tasks do.
    pub(super) async fn run_as_task(mut self, bell: std::sync::Arc<Notify>) {
        loop {
            let mut taken = Taken::default();
            self.unpark(&mut taken);
            let until = Instant::now() + self.pause(&taken);
            match self.next(&bell, until).await {
                Ok(Some(command)) => self.take(&mut taken, command),
                Ok(None) => {}
                Err(Ended) => break,
            }
            if !self.turn(taken) {
                break;
            }
        }
        self.end();
    }

    /// The next command, or none before `until`.
    async fn next(&mut self, bell: &Notify, until: Instant) -> Result<Option<Command>, Ended> {
        loop {
            match self.commands.try_recv() {
                Ok(command) => return Ok(Some(command)),
                Err(TryRecvError::Disconnected) => return Err(Ended),
                // A bell that rang for what is taken already rings once more: then there is nothing.
                Err(TryRecvError::Empty) => {
                    if timeout_at(until, bell.notified()).await.is_err() {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

/// Nobody can send any more.
struct Ended;
