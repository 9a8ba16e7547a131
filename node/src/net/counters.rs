//! What the transport did since its start, in numbers that others may read at any time. It decides nothing, and a
//! number may be a moment older than another.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use libp2p::PeerId;

use super::api::{Protocol, Verdict};

/// Numbers by a text from a fixed set.
pub type Tally = BTreeMap<&'static str, u64>;

/// Shared with the loop; read with [`Counters::read`].
#[derive(Debug, Default)]
pub struct Counters {
    admitted: AtomicU64,
    dial_failures: AtomicU64,
    outbox_drops: AtomicU64,
    tallies: Mutex<Tallies>,
}

#[derive(Debug, Default)]
struct Tallies {
    refused: Tally,
    /// Of members only, so the manifest bounds it.
    refused_by: BTreeMap<PeerId, Tally>,
    quota: Tally,
    verdicts: Tally,
    received: Tally,
    sent: Tally,
}

/// What [`Counters`] said at one moment.
#[derive(Debug, Default, Clone)]
pub struct Counts {
    /// Peers that are admitted now.
    pub admitted: u64,
    /// Dials that failed.
    pub dial_failures: u64,
    /// Reports that were left out because the caller did not read.
    pub outbox_drops: u64,
    /// What was turned away, by reason.
    pub refused: Tally,
    /// What went over a quota, by what was asked for; ours begins with `own`.
    pub quota: Tally,
    /// Judged gossip, by verdict.
    pub verdicts: Tally,
    /// Payload bytes that arrived, by protocol.
    pub received: Tally,
    /// Payload bytes that were sent, by protocol.
    pub sent: Tally,
}

/// The label of gossip beside the names of request protocols.
pub(super) const GOSSIP: &str = "gossip";

/// The label of a request protocol.
pub(super) fn label(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Hello => "hello",
        Protocol::Join => "join",
        Protocol::Found => "found",
        Protocol::Sync => "sync",
    }
}

impl Counters {
    fn lock(&self) -> MutexGuard<'_, Tallies> {
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All numbers.
    #[must_use]
    pub fn read(&self) -> Counts {
        let tallies = self.lock();
        Counts {
            admitted: self.admitted.load(Ordering::Relaxed),
            dial_failures: self.dial_failures.load(Ordering::Relaxed),
            outbox_drops: self.outbox_drops.load(Ordering::Relaxed),
            refused: tallies.refused.clone(),
            quota: tallies.quota.clone(),
            verdicts: tallies.verdicts.clone(),
            received: tallies.received.clone(),
            sent: tallies.sent.clone(),
        }
    }

    /// What a member was refused, by reason.
    #[must_use]
    pub fn refused_by(&self, peer: &PeerId) -> Tally {
        self.lock()
            .refused_by
            .get(peer)
            .cloned()
            .unwrap_or_default()
    }

    pub(super) fn admitted(&self, now: usize) {
        self.admitted.store(now as u64, Ordering::Relaxed);
    }

    pub(super) fn dial_failed(&self) {
        self.dial_failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn outbox_dropped(&self) {
        self.outbox_drops.fetch_add(1, Ordering::Relaxed);
    }

    /// `member` is who was refused, if it is one.
    pub(super) fn refused(&self, member: Option<PeerId>, why: &'static str) {
        let mut tallies = self.lock();
        *tallies.refused.entry(why).or_default() += 1;
        if let Some(member) = member {
            let by = tallies.refused_by.entry(member).or_default();
            *by.entry(why).or_default() += 1;
        }
    }

    pub(super) fn over_quota(&self, what: &'static str) {
        *self.lock().quota.entry(what).or_default() += 1;
    }

    pub(super) fn judged(&self, verdict: Verdict) {
        let label = match verdict {
            Verdict::Accept => "accept",
            Verdict::Ignore => "ignore",
            Verdict::Reject => "reject",
        };
        *self.lock().verdicts.entry(label).or_default() += 1;
    }

    pub(super) fn received(&self, what: &'static str, bytes: usize) {
        *self.lock().received.entry(what).or_default() += bytes as u64;
    }

    pub(super) fn sent(&self, what: &'static str, bytes: usize) {
        *self.lock().sent.entry(what).or_default() += bytes as u64;
    }
}
