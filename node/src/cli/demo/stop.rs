//! Signals that end the demo. Listened for before there is anything to clean up.

use crate::exit::Failure;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT, SIGTERM and SIGHUP, which do nothing by themselves any more.
pub(super) struct Stop {
    runtime: Runtime,
    signals: [Signal; 3],
}

/// What came first.
pub(super) enum First<T> {
    /// What was waited for.
    Done(T),
    /// A signal.
    Stopped,
}

impl Stop {
    pub(super) fn listen() -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let signals = {
            let _inside = runtime.enter();
            [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            ]
        };
        Ok(Self { runtime, signals })
    }

    /// Waits for `work` or a signal.
    pub(super) fn or<T>(&mut self, work: impl Future<Output = T>) -> First<T> {
        let [interrupt, terminate, hangup] = &mut self.signals;
        self.runtime.block_on(async {
            tokio::select! {
                done = work => First::Done(done),
                _ = interrupt.recv() => First::Stopped,
                _ = terminate.recv() => First::Stopped,
                _ = hangup.recv() => First::Stopped,
            }
        })
    }

    /// Waits for `work`, and no longer than that.
    pub(super) fn within<T>(
        &self,
        patience: std::time::Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let bounded = async { tokio::time::timeout(patience, work).await.ok() };
        self.runtime.block_on(bounded)
    }
}
