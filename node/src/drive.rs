//! Who does a node's work beside its network: threads of its own, or tasks of the runtime it was opened in. May not decide
//! what is done.

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Who does the work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drive {
    /// Threads, as in production: what blocks holds up nobody else.
    #[default]
    Threads,
    /// Tasks of the runtime around, for a simulation that has one thread and a clock of its own: everything happens in an
    /// order that a seed gives, and whatever blocks takes no time. A node that is driven so may be asked for nothing that
    /// waits on its thread: [`Writer::send`](crate::writer::Writer::send), `call`, `status` and `Node::close` would wait
    /// for ever.
    Tasks,
}

/// Does work that blocks, beside network and engine.
#[derive(Clone)]
pub(crate) struct Beside {
    runtime: Handle,
    drive: Drive,
}

impl Beside {
    /// In the runtime around.
    pub(crate) fn new(drive: Drive) -> Self {
        let runtime = Handle::current();
        Self { runtime, drive }
    }

    /// Begins soon; nobody waits for it.
    pub(crate) fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        match self.drive {
            Drive::Threads => drop(self.runtime.spawn_blocking(work)),
            Drive::Tasks => drop(self.runtime.spawn(async move { work() })),
        }
    }
}

/// What runs for an open node.
pub(crate) enum Running {
    /// In the order in which they are joined.
    Threads(Vec<std::thread::JoinHandle<()>>),
    /// They end with what they work for, or when they are told to.
    Tasks(Vec<JoinHandle<()>>),
}

impl Running {
    /// Waits for the threads; says how many panicked.
    pub(crate) fn join(&mut self) -> usize {
        match self {
            Self::Threads(threads) => {
                let ended = threads.drain(..).map(std::thread::JoinHandle::join);
                ended.filter(Result::is_err).count()
            }
            Self::Tasks(_) => 0,
        }
    }

    /// Ends tasks where they are; threads are left alone.
    pub(crate) fn abort(&mut self) {
        if let Self::Tasks(tasks) = self {
            tasks.drain(..).for_each(|task| task.abort());
        }
    }
}
