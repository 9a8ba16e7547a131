//! The demo's processes. Each holds one end of a pipe of ours as its standard input and ends with it, so that none
//! outlives the demo, however that ends. Once closed, nothing is started any more.

use crate::exit::{Code, Failure};
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// All processes of the demo, by the number of their node.
#[derive(Default)]
pub(super) struct Children(Mutex<Held>);

#[derive(Default)]
struct Held {
    running: BTreeMap<usize, Child>,
    closed: bool,
}

impl Children {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a node's process, in a process group of its own: Ctrl-C is for the demo, which ends the others in order.
    ///
    /// # Errors
    /// When it cannot be started, or the demo ends.
    pub(super) fn start(&self, number: usize, command: &mut Command) -> Result<(), Failure> {
        let mut held = self.held();
        if held.closed {
            return Err(interrupted());
        }
        let child = command.stdin(Stdio::piped()).process_group(0).spawn()?;
        held.running.insert(number, child);
        Ok(())
    }

    /// How a node's process ended, if it did by itself; told once.
    pub(super) fn ended(&self, number: usize) -> Option<ExitStatus> {
        let mut held = self.held();
        let status = held.running.get_mut(&number)?.try_wait().ok()??;
        held.running.remove(&number);
        Some(status)
    }

    /// Ends a node's process as a power cut would.
    pub(super) fn kill(&self, number: usize) {
        if let Some(child) = self.held().running.remove(&number) {
            end(child);
        }
    }

    /// Ends all of them, for good.
    pub(super) fn close(&self) {
        let mut held = self.held();
        held.closed = true;
        std::mem::take(&mut held.running)
            .into_values()
            .for_each(end);
    }

    /// # Errors
    /// Once closed.
    pub(super) fn check_open(&self) -> Result<(), Failure> {
        match self.held().closed {
            true => Err(interrupted()),
            false => Ok(()),
        }
    }
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn interrupted() -> Failure {
    Failure::new(Code::Interrupted, "the demo was interrupted")
}
