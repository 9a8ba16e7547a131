//! Callers' single requests (R8): each has its effect once, however often it is sent. The product's anti-replay tables
//! decide, in the node's own store and by its own clock, which a careless operator confirms whatever it shows.

use super::{Event, World};
use crate::node::Node;
use crate::streams::Stream;
use belfry_protocol::engine::Now;
use belfry_protocol::engine::nonces::{ConfirmedClock, Refused, accept_once, prune};
use belfry_protocol::engine::store::{StoreError, Transaction};
use belfry_protocol::wire::MemberId;
use std::collections::VecDeque;

/// Requests that are kept to be sent again.
const KEPT: usize = 1_000;

/// One request.
#[derive(Clone)]
struct Single {
    to: usize,
    nonce: [u8; 16],
    issued_at_us: i64,
}

/// Whoever makes requests.
pub(super) struct Singles {
    per_1000_seconds: u64,
    draws: Stream,
    sent: VecDeque<Single>,
}

impl Singles {
    pub(super) fn new(seed: u64, per_1000_seconds: u64) -> Self {
        Self {
            per_1000_seconds,
            draws: Stream::new(seed, "singles", 0),
            sent: VecDeque::new(),
        }
    }
}

/// What the handler of a request does in its own transaction: old nonces are forgotten, and this one is taken or not.
fn take(
    tx: &mut impl Transaction,
    sender: MemberId,
    single: &Single,
    now: ConfirmedClock,
) -> Result<Result<(), Refused>, StoreError> {
    prune(tx, now)?;
    accept_once(tx, sender, single.nonce, single.issued_at_us, now)
}

impl Node {
    /// The clock, which an operator confirms if nothing else did.
    fn confirmed(&mut self, now: Now, bound_us: u64) -> Option<ConfirmedClock> {
        if self.gate.now(now).is_err() {
            self.gate.confirm_by_operator(now, bound_us);
        }
        self.gate.now(now).ok()
    }

    fn take_single(
        &mut self,
        sender: MemberId,
        single: &Single,
        now: ConfirmedClock,
    ) -> Result<Result<(), Refused>, StoreError> {
        match &mut self.drive {
            Some(drive) => drive.write(|tx| take(tx, sender, single, now)),
            None => {
                let mut tx = self.store.begin();
                let taken = take(&mut tx, sender, single, now)?;
                tx.commit()?;
                Ok(taken)
            }
        }
    }
}

impl World {
    /// The next request.
    pub(super) fn next_single(&mut self) {
        let Some(mean_us) = 1_000_000_000_u64.checked_div(self.singles.per_1000_seconds) else {
            return;
        };
        let pause_us = self.singles.draws.below(mean_us.saturating_mul(2).max(1));
        self.after(pause_us, Event::Single);
    }

    /// Somebody sends a request for the first time, or again.
    pub(super) fn single(&mut self) {
        self.next_single();
        let true_us = self.true_us();
        let count = self.nodes.len();
        let singles = &mut self.singles;
        let again = singles.draws.one_in(2).then(|| {
            let at = singles.draws.index(singles.sent.len());
            singles.sent.get(at).cloned()
        });
        let single = again.flatten().unwrap_or_else(|| Single {
            to: singles.draws.index(count),
            nonce: singles.draws.bytes(),
            issued_at_us: true_us,
        });
        let to = single.to;
        if !self.nodes[to].is_idle() {
            return;
        }
        if singles.sent.len() >= KEPT {
            singles.sent.pop_front();
        }
        singles.sent.push_back(single.clone());
        let limits = self.founded.federation.manifest().limits;
        let bound_us = u64::from(limits.clock_bound_ms).saturating_mul(1_000);
        let sender = MemberId::of(&self.founded.member(to).identity);
        let node = &mut self.nodes[to];
        let now = node.clock.now(self.now_us);
        let Some(confirmed) = node.confirmed(now, bound_us) else {
            return;
        };
        match node.take_single(sender, &single, confirmed) {
            Ok(taken) => crate::watch::single(self, to, single.nonce, taken),
            Err(error) => self.store_failed(to, &error),
        }
    }
}
