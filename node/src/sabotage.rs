//! Broken on purpose: what a negative control switches on to see that the simulator finds it. Only in builds with the
//! feature `sabotage`, which no product has; there every switch is off until somebody turns it.

use std::cell::Cell;

/// In every program that was built with this feature: CI looks for it in the product.
pub const MARKER: &str = "belfry was built with the feature sabotage: it can break its promises";

/// Keeps the marker in programs that never look at it.
#[used]
static KEPT: &str = MARKER;

/// What can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Databases are opened with `synchronous=NORMAL`: a commit returns before its sync.
    SynchronousNormal,
    /// A ledger is opened without a look at its right edge, its newest entries, and the files beside it.
    NoStartUpCheck,
}

thread_local! {
    /// Of this thread alone, so that tests beside each other do not meet: a simulation has one thread.
    static SYNCHRONOUS_NORMAL: Cell<bool> = const { Cell::new(false) };
    static NO_START_UP_CHECK: Cell<bool> = const { Cell::new(false) };
}

impl Sabotage {
    fn switch<R>(self, work: impl FnOnce(&Cell<bool>) -> R) -> R {
        match self {
            Self::SynchronousNormal => SYNCHRONOUS_NORMAL.with(work),
            Self::NoStartUpCheck => NO_START_UP_CHECK.with(work),
        }
    }

    /// Turns it on or off for this thread.
    pub fn turn(self, on: bool) {
        self.switch(|switch| switch.set(on));
    }

    /// Whether it is on for this thread.
    #[must_use]
    pub fn is_on(self) -> bool {
        self.switch(Cell::get)
    }
}
