//! From a member's network to its ceremony: who is there, and what they ask of it. Members are dialled and admitted by the engine,
//! which goes on without a ceremony. Never waits.

use crate::net::{NetEvent, PeerId, Protocol};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Numbers of the ceremony's own requests begin here: the engine's count from 1 and never come so far.
pub(crate) const OWN_REQUESTS: u64 = 1 << 63;

/// The way, open while a ceremony listens.
#[derive(Default)]
pub(crate) struct Way {
    up: Mutex<BTreeSet<PeerId>>,
    events: Mutex<Option<mpsc::Sender<NetEvent>>>,
}

/// A lock; what it guards is whole whenever it is free.
fn locked<T>(cell: &Mutex<T>) -> MutexGuard<'_, T> {
    cell.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Way {
    /// A ceremony listens from now on.
    #[cfg(feature = "http")]
    pub(crate) fn open(&self, events: mpsc::Sender<NetEvent>) {
        *locked(&self.events) = Some(events);
    }

    /// It ends.
    #[cfg(feature = "http")]
    pub(crate) fn close(&self) {
        *locked(&self.events) = None;
    }

    /// Who is connected, strangers too.
    #[cfg(feature = "http")]
    pub(crate) fn up(&self) -> BTreeSet<PeerId> {
        locked(&self.up).clone()
    }

    /// Takes what is the ceremony's; what is not, or finds nobody there, comes back.
    pub(crate) fn take(&self, event: NetEvent) -> Option<NetEvent> {
        match &event {
            NetEvent::Up { peer, .. } => {
                locked(&self.up).insert(*peer);
            }
            NetEvent::Down { peer, .. } => {
                locked(&self.up).remove(peer);
            }
            NetEvent::Request {
                protocol: Protocol::Found,
                ..
            } => return self.hand(event),
            // Whoever asked may have gone; nobody else knows the number.
            NetEvent::Response { id, .. } if *id >= OWN_REQUESTS => {
                let _nobody = self.hand(event);
                return None;
            }
            _ => {}
        }
        Some(event)
    }

    fn hand(&self, event: NetEvent) -> Option<NetEvent> {
        match &*locked(&self.events) {
            None => Some(event),
            Some(events) => match events.try_send(event) {
                Ok(()) => None,
                Err(refused) => Some(refused.into_inner()),
            },
        }
    }
}
