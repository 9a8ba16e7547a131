//! The queue before the writer: a channel, and a bell for a writer that is a task, which no channel of threads wakes.

use super::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SendError, SyncSender, TrySendError, sync_channel};
use tokio::sync::Notify;

/// Commands that wait at most; senders block beyond it.
pub(super) const QUEUE: usize = 1_024;

/// The sending end.
#[derive(Clone)]
pub(super) struct Queue {
    commands: SyncSender<Command>,
    /// Only where the writer is a task.
    bell: Option<Arc<Notify>>,
}

/// A queue for a writer with a thread of its own, or with a bell.
pub(super) fn queue(bell: Option<Arc<Notify>>) -> (Queue, Receiver<Command>) {
    let (commands, waiting) = sync_channel(QUEUE);
    (Queue { commands, bell }, waiting)
}

#[allow(
    clippy::result_large_err,
    reason = "the command comes back, as from the channel itself"
)]
impl Queue {
    /// Blocks while the queue is full.
    #[allow(
        clippy::result_large_err,
        reason = "what could not be sent comes back, so that its caller can be answered"
    )]
    pub(super) fn send(&self, command: Command) -> Result<(), SendError<Command>> {
        let sent = self.commands.send(command);
        self.ring();
        sent
    }

    #[allow(
        clippy::result_large_err,
        reason = "what could not be sent comes back, so that its caller can be answered"
    )]
    pub(super) fn try_send(&self, command: Command) -> Result<(), TrySendError<Command>> {
        let sent = self.commands.try_send(command);
        self.ring();
        sent
    }

    fn ring(&self) {
        if let Some(bell) = &self.bell {
            bell.notify_one();
        }
    }
}
