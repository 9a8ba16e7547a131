//! How much one peer may ask for (R7): buckets that fill with time, charged by what a message asks for, not by its number
//! alone. Plain state: it does no I/O, and time is an argument. It punishes nobody; it says what does not fit.
//!
//! The same limits, a little lower, hold for what we ask of others, so that a peer with an equal configuration never has
//! a reason to refuse us. The difference has room for what a slow network delivers all at once.

use std::collections::HashMap;
use std::time::Instant;

use libp2p::PeerId;

/// What can be used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// Hellos: one per connection.
    Hellos,
    /// Requests to the lobby.
    Joins,
    /// Sync requests of any kind.
    Requests,
    /// Their bytes: a prepare carries its entries.
    RequestBytes,
    /// Entries that are asked for, whether they are there or not.
    Entries,
    /// Bytes of the answers. They are known only afterwards, so the next request waits for what this one cost.
    AnswerBytes,
    /// Gossip messages, whoever wrote them.
    Gossip,
    /// Their bytes.
    GossipBytes,
    /// Probes of our clock.
    Probes,
    /// Messages over one of the limits above, before the peer is disconnected.
    Strikes,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Hellos,
        Self::Joins,
        Self::Requests,
        Self::RequestBytes,
        Self::Entries,
        Self::AnswerBytes,
        Self::Gossip,
        Self::GossipBytes,
        Self::Probes,
        Self::Strikes,
    ];

    /// Its name in metrics and logs, for what a peer did and for what we refrained from.
    pub(super) fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Hellos => ("hellos", "own_hellos"),
            Self::Joins => ("joins", "own_joins"),
            Self::Requests => ("requests", "own_requests"),
            Self::RequestBytes => ("request_bytes", "own_request_bytes"),
            Self::Entries => ("entries", "own_entries"),
            Self::AnswerBytes => ("answer_bytes", "own_answer_bytes"),
            Self::Gossip => ("gossip", "own_gossip"),
            Self::GossipBytes => ("gossip_bytes", "own_gossip_bytes"),
            Self::Probes => ("probes", "own_probes"),
            Self::Strikes => ("strikes", "own_strikes"),
        }
    }
}

/// A limit: so much per second, and so much at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quota {
    /// What comes back each second.
    pub per_second: f64,
    /// What a peer that was quiet may use at once. A single message above it never fits.
    pub burst: f64,
}

/// The limits of one peer.
#[derive(Debug, Clone)]
pub struct Limits([Quota; Resource::ALL.len()]);

const MIB: f64 = 1_048_576.0;

impl Default for Limits {
    /// A federation at full speed (80,000 entries of 256 bytes a second to each tower, some hundred digests, catching up
    /// at 100 MB/s in pieces of 2 MiB) uses at most half of each.
    fn default() -> Self {
        let quota = |resource| {
            let (per_second, burst) = match resource {
                // One per connection, and a lost connection is dialled again ten times in its first seconds.
                Resource::Hellos => (4.0, 32.0),
                // A manifest and all chains are some ten pieces of 60 KiB: 512 KiB a second for a stranger.
                Resource::Joins => (8.0, 64.0),
                // A prepare and a digest for each cut, at most one cut per round trip and sync, so some hundreds on a
                // fast local network. Each costs a signature check: 2,048 are a sixth of one processor.
                Resource::Requests => (2_048.0, 4_096.0),
                // 32 MB/s of prepares were measured at full speed; at once many of the longest frame, of which a peer has
                // at most eight on their way.
                Resource::RequestBytes => (128.0 * MIB, 512.0 * MIB),
                // 50 MB/s are 25 pieces a second, each asked for as 16,384 entries: 409,600.
                Resource::Entries => (2_097_152.0, 8_388_608.0),
                // Twice what the stack carries over a loopback connection.
                Resource::AnswerBytes => (256.0 * MIB, 512.0 * MIB),
                // 64 members with 80 digests a second, all by way of one peer, are 5,120. Each costs a signature check:
                // 8,192 are a quarter of one processor.
                Resource::Gossip => (8_192.0, 32_768.0),
                // Those are 4 MiB/s, and the heads of 64 towers once a second 4 MiB/s.
                Resource::GossipBytes => (16.0 * MIB, 64.0 * MIB),
                // One each 8 s and four after a step; an operator may set 10 a second. An answer costs no signature.
                Resource::Probes => (32.0, 256.0),
                // A misconfigured peer is refused now and then and stays; one that goes on for seconds is cut off.
                Resource::Strikes => (4.0, 256.0),
            };
            Quota { per_second, burst }
        };
        Self(Resource::ALL.map(quota))
    }
}

impl Limits {
    /// The same with another limit for one resource.
    #[must_use]
    pub fn with(mut self, resource: Resource, quota: Quota) -> Self {
        self.0[resource as usize] = quota;
        self
    }

    /// What we allow ourselves: three quarters. A sender that uses up its quota and a network that holds everything back
    /// for up to a third of `burst / per_second` (0.6 s for requests) still fit the receiver's.
    pub(super) fn for_sender(&self) -> Self {
        Self(self.0.map(|quota| Quota {
            per_second: quota.per_second * 0.75,
            burst: quota.burst * 0.75,
        }))
    }

    fn of(&self, resource: Resource) -> Quota {
        self.0[resource as usize]
    }
}

/// What a peer has left, as of some moment; below zero it owes.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

type Buckets = [Bucket; Resource::ALL.len()];

/// The buckets of all peers, in one direction. Bounded by the members and whoever is connected: the others are forgotten.
#[derive(Debug)]
pub(super) struct Quotas {
    limits: Limits,
    peers: HashMap<PeerId, Buckets>,
}

impl Quotas {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            peers: HashMap::new(),
        }
    }

    /// Takes everything, or nothing and says what there is too little of. Zero asks for not being in debt.
    pub(super) fn take(
        &mut self,
        peer: &PeerId,
        wanted: &[(Resource, u64)],
        now: Instant,
    ) -> Result<(), Resource> {
        let buckets = self.buckets(peer, wanted, now);
        let fits = |(resource, amount): &(Resource, u64)| {
            let left = buckets[*resource as usize].left;
            left > 0.0 && left >= as_float(*amount)
        };
        if let Some((resource, _)) = wanted.iter().find(|one| !fits(one)) {
            return Err(*resource);
        }
        for (resource, amount) in wanted {
            buckets[*resource as usize].left -= as_float(*amount);
        }
        Ok(())
    }

    /// Charges what was used already. The debt ends at one burst, so that it is paid in bounded time.
    pub(super) fn owe(&mut self, peer: &PeerId, resource: Resource, amount: u64, now: Instant) {
        let least = -self.limits.of(resource).burst;
        let buckets = self.buckets(peer, &[(resource, amount)], now);
        let bucket = &mut buckets[resource as usize];
        bucket.left = (bucket.left - as_float(amount)).max(least);
    }

    /// Forgets a peer. Only for strangers, who could come back under another name anyway.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.peers.remove(peer);
    }

    /// The buckets of a peer, those of `used` filled up to `now`.
    fn buckets(&mut self, peer: &PeerId, used: &[(Resource, u64)], now: Instant) -> &mut Buckets {
        let limits = &self.limits;
        let full = || {
            Resource::ALL.map(|resource| Bucket {
                left: limits.of(resource).burst,
                at: now,
            })
        };
        let buckets = self.peers.entry(*peer).or_insert_with(full);
        for (resource, _) in used {
            let (quota, bucket) = (limits.of(*resource), &mut buckets[*resource as usize]);
            let seconds = now.saturating_duration_since(bucket.at).as_secs_f64();
            bucket.left = (bucket.left + seconds * quota.per_second).min(quota.burst);
            bucket.at = bucket.at.max(now);
        }
        buckets
    }
}

/// Amounts are far below 2^53, where every whole number has its float; above, nothing fits anyway.
fn as_float(amount: u64) -> f64 {
    amount as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn peer() -> PeerId {
        PeerId::random()
    }

    fn small() -> Limits {
        let quota = Quota {
            per_second: 10.0,
            burst: 20.0,
        };
        Limits::default()
            .with(Resource::Requests, quota)
            .with(Resource::Entries, quota)
            .with(Resource::AnswerBytes, quota)
    }

    #[test]
    fn a_quota_is_used_up_and_comes_back_with_time() {
        let (peer, now) = (peer(), Instant::now());
        let mut quotas = Quotas::new(small());
        let one = [(Resource::Requests, 1)];
        for _ in 0..20 {
            assert_eq!(quotas.take(&peer, &one, now), Ok(()));
        }
        assert_eq!(quotas.take(&peer, &one, now), Err(Resource::Requests));
        let other = PeerId::random();
        assert_eq!(quotas.take(&other, &one, now), Ok(()), "each has its own");
        let later = now + Duration::from_secs(1);
        for _ in 0..10 {
            assert_eq!(quotas.take(&peer, &one, later), Ok(()));
        }
        assert_eq!(quotas.take(&peer, &one, later), Err(Resource::Requests));
        let much_later = now + Duration::from_secs(1_000);
        assert_eq!(
            quotas.take(&peer, &[(Resource::Requests, 21)], much_later),
            Err(Resource::Requests),
            "never fits"
        );
        assert_eq!(
            quotas.take(&peer, &[(Resource::Requests, 20)], much_later),
            Ok(())
        );
        assert_eq!(
            quotas.take(&peer, &one, now),
            Err(Resource::Requests),
            "time never runs back"
        );
    }

    #[test]
    fn what_does_not_fit_takes_nothing_of_the_rest() {
        let (peer, now) = (peer(), Instant::now());
        let mut quotas = Quotas::new(small());
        let too_much = [(Resource::Requests, 1), (Resource::Entries, 21)];
        for _ in 0..50 {
            assert_eq!(quotas.take(&peer, &too_much, now), Err(Resource::Entries));
        }
        let all = [(Resource::Requests, 20), (Resource::Entries, 20)];
        assert_eq!(quotas.take(&peer, &all, now), Ok(()));
    }

    #[test]
    fn an_answer_is_paid_by_the_next_request() {
        let (peer, now) = (peer(), Instant::now());
        let mut quotas = Quotas::new(small());
        let ask = [(Resource::AnswerBytes, 0)];
        assert_eq!(quotas.take(&peer, &ask, now), Ok(()));
        quotas.owe(&peer, Resource::AnswerBytes, 1_000_000, now);
        assert_eq!(quotas.take(&peer, &ask, now), Err(Resource::AnswerBytes));
        let soon = now + Duration::from_millis(1_900);
        assert_eq!(quotas.take(&peer, &ask, soon), Err(Resource::AnswerBytes));
        let paid = now + Duration::from_millis(2_100);
        assert_eq!(
            quotas.take(&peer, &ask, paid),
            Ok(()),
            "the debt is bounded"
        );
    }

    /// What a factory and a tower ask of each other for a minute, at twice what they can do.
    #[test]
    fn a_federation_at_full_speed_is_never_refused() {
        let (peer, start) = (peer(), Instant::now());
        let mut quotas = Quotas::new(Limits::default().for_sender());
        for step in 0..60_000_u64 {
            let now = start + Duration::from_millis(step);
            // A thousand digests a second, 8 MiB/s of prepares in twenty pieces, 50 pieces of 2 MiB for 100 MB/s.
            let digest = [(Resource::Requests, 1), (Resource::RequestBytes, 400)];
            assert_eq!(quotas.take(&peer, &digest, now), Ok(()), "{step}");
            if step % 50 == 0 {
                let prepare = [(Resource::Requests, 1), (Resource::RequestBytes, 420_000)];
                assert_eq!(quotas.take(&peer, &prepare, now), Ok(()), "{step}");
            }
            if step % 20 == 0 {
                let get = [
                    (Resource::Requests, 1),
                    (Resource::RequestBytes, 600),
                    (Resource::Entries, 16_384),
                    (Resource::AnswerBytes, 0),
                ];
                assert_eq!(quotas.take(&peer, &get, now), Ok(()), "{step}");
                quotas.owe(&peer, Resource::AnswerBytes, 2 << 20, now);
            }
            let gossip = [(Resource::Gossip, 1), (Resource::GossipBytes, 400)];
            assert_eq!(quotas.take(&peer, &gossip, now), Ok(()), "{step}");
        }
    }

    proptest! {
        /// Whatever a sender's own quota lets through, an equal peer takes, also when the network holds it back for a
        /// while and delivers it in a heap.
        #[test]
        fn who_keeps_to_its_own_quota_is_never_over_the_peers(
            asks in proptest::collection::vec((0_u64..40, 1_u64..30, 0_u64..500), 1..200),
        ) {
            let quota = Quota { per_second: 100.0, burst: 200.0 };
            let limits = Limits::default().with(Resource::Entries, quota);
            let (peer, start) = (peer(), Instant::now());
            let mut sender = Quotas::new(limits.for_sender());
            let mut receiver = Quotas::new(limits);
            let (mut sent, mut arrived) = (start, start);
            for (pause, amount, delay) in asks {
                sent += Duration::from_millis(pause);
                let wanted = [(Resource::Entries, amount)];
                if sender.take(&peer, &wanted, sent).is_ok() {
                    // In order: nothing overtakes.
                    arrived = arrived.max(sent + Duration::from_millis(delay));
                    prop_assert_eq!(receiver.take(&peer, &wanted, arrived), Ok(()));
                }
            }
        }
    }
}
