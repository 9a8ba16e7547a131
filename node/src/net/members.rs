//! Whom to stay connected to, and when to dial them: for ever, with growing pauses.
//! Plain state: it does no I/O, and time is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};

use super::api::DialStatus;
use super::params;

/// Someone to stay connected to.
#[derive(Debug)]
struct Member {
    addresses: Vec<Multiaddr>,
    /// Where it says on the local network that it is, at most [`params::ADDRESSES_FOUND`].
    found: Vec<Multiaddr>,
    failures: u32,
    last_dial: Option<Instant>,
    /// None while connected or being dialled.
    next_dial: Option<Instant>,
    /// Until then it is dialled often: it was there a moment ago, or this node has just begun to look for it.
    soon_until: Instant,
    /// Why the last dial failed.
    error: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Members(HashMap<PeerId, Member>);

impl Members {
    /// Puts a new list in place of the old one. Who stays keeps its pause, unless its addresses changed.
    pub(super) fn set(
        &mut self,
        list: Vec<(PeerId, Vec<Multiaddr>)>,
        now: Instant,
        connected: impl Fn(&PeerId) -> bool,
    ) {
        let mut old = std::mem::take(&mut self.0);
        for (peer, mut addresses) in list {
            addresses.truncate(params::ADDRESSES_PER_MEMBER);
            let next_dial = (!connected(&peer)).then_some(now);
            let fresh = Member {
                addresses: Vec::new(),
                found: Vec::new(),
                failures: 0,
                last_dial: None,
                next_dial,
                soon_until: now + params::REDIAL_SOON_FOR,
                error: None,
            };
            let mut member = old.remove(&peer).unwrap_or(fresh);
            if member.addresses != addresses {
                member.addresses = addresses;
                member.next_dial = next_dial;
                member.soon_until = now + params::REDIAL_SOON_FOR;
            }
            self.0.insert(peer, member);
        }
    }

    pub(super) fn contains(&self, peer: &PeerId) -> bool {
        self.0.contains_key(peer)
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = (PeerId, &[Multiaddr])> {
        let each = |(peer, member): (&PeerId, _)| (*peer, addresses_of(member));
        self.0.iter().map(each)
    }

    /// A member was seen on the local network: dial it there, too. Others are not members, and not dialled.
    pub(super) fn found(&mut self, peer: &PeerId, address: Multiaddr, now: Instant) {
        let Some(member) = self.0.get_mut(peer) else {
            return;
        };
        if member.found.len() < params::ADDRESSES_FOUND && !member.found.contains(&address) {
            member.found.push(address);
            self.hurry(peer, now);
        }
    }

    pub(super) fn lost(&mut self, peer: &PeerId, address: &Multiaddr) {
        if let Some(member) = self.0.get_mut(peer) {
            member.found.retain(|known| known != address);
        }
    }

    /// Remembers why a dial failed, for people.
    pub(super) fn note_error(&mut self, peer: &PeerId, error: &str) {
        if let Some(member) = self.0.get_mut(peer) {
            member.error = Some(error.chars().take(params::ERROR_CHARS).collect());
        }
    }

    pub(super) fn status(&self, now: Instant) -> Vec<DialStatus> {
        let report = |(peer, member): (&PeerId, &Member)| DialStatus {
            peer: *peer,
            addresses: [&member.addresses[..], &member.found].concat(),
            failures: member.failures,
            next: member
                .next_dial
                .map(|next| next.saturating_duration_since(now)),
            error: member.error.clone(),
        };
        self.0.iter().map(report).collect()
    }

    pub(super) fn connected(&mut self, peer: &PeerId) {
        if let Some(member) = self.0.get_mut(peer) {
            member.next_dial = None;
        }
    }

    /// The next dial, after a session or a failure. A good session makes the pause short; everything else makes it
    /// longer.
    pub(super) fn plan(&mut self, peer: &PeerId, went_well: bool, now: Instant) {
        if let Some(member) = self.0.get_mut(peer) {
            member.failures = if went_well {
                member.error = None;
                member.soon_until = now + params::REDIAL_SOON_FOR;
                0
            } else {
                member.failures.saturating_add(1)
            };
            let longest = if now < member.soon_until {
                params::REDIAL_SOON
            } else {
                params::REDIAL_MAX
            };
            member.next_dial = Some(now + jittered(pause(member.failures).min(longest)));
        }
    }

    /// Someone wants to reach this member now: shorten the pause, but never below the shortest.
    pub(super) fn hurry(&mut self, peer: &PeerId, now: Instant) {
        if let Some(Member {
            last_dial,
            next_dial: Some(next),
            ..
        }) = self.0.get_mut(peer)
        {
            let soonest = last_dial.map_or(now, |last| now.max(last + params::REDIAL_MIN));
            *next = soonest.min(*next);
        }
    }

    /// Members whose pause is over. Each counts as being dialled until [`Self::connected`] or [`Self::plan`].
    pub(super) fn due(
        &mut self,
        now: Instant,
        skip: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut due = Vec::new();
        for (peer, member) in &mut self.0 {
            let is_due = member.next_dial.is_some_and(|next| next <= now);
            let somewhere = !member.addresses.is_empty() || !member.found.is_empty();
            if is_due && somewhere && !skip(peer) {
                member.next_dial = None;
                member.last_dial = Some(now);
                due.push((*peer, [&member.addresses[..], &member.found].concat()));
            }
        }
        due
    }
}

fn addresses_of(member: &Member) -> &[Multiaddr] {
    &member.addresses
}

fn pause(failures: u32) -> Duration {
    params::REDIAL_MIN
        .saturating_mul(1 << failures.min(16))
        .min(params::REDIAL_MAX)
}

/// Between a half and the whole, so that two nodes that failed together do not retry together. A machine without
/// randomness retries on time.
fn jittered(pause: Duration) -> Duration {
    let share = getrandom::u32().map_or(1.0, |random| {
        0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX)
    });
    pause.mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_member(now: Instant) -> (PeerId, Members) {
        let (peer, mut members) = (PeerId::random(), Members::default());
        members.set(vec![(peer, vec![Multiaddr::empty()])], now, |_| false);
        (peer, members)
    }

    #[test]
    fn pauses_grow_to_the_limit_and_a_good_session_resets_them() {
        let mut now = Instant::now();
        let (peer, mut members) = one_member(now);
        // Long after it was first wanted.
        now += params::REDIAL_SOON_FOR;
        for round in 0..12 {
            assert_eq!(members.due(now, |_| false).len(), 1, "round {round}");
            assert!(
                members.due(now + params::REDIAL_MAX, |_| false).is_empty(),
                "one dial at a time"
            );
            members.plan(&peer, false, now);
            let too_early = now + pause(round + 1) / 2 - Duration::from_millis(1);
            assert!(
                members.due(too_early, |_| false).is_empty(),
                "round {round}"
            );
            now += params::REDIAL_MAX;
        }
        members.connected(&peer);
        assert!(
            members.due(now + params::REDIAL_MAX, |_| false).is_empty(),
            "never dial a connected peer"
        );
        members.plan(&peer, true, now);
        assert!(
            members.due(now + params::REDIAL_MIN, |_| true).is_empty(),
            "skipped"
        );
        assert_eq!(members.due(now + params::REDIAL_MIN, |_| false).len(), 1);
    }

    #[test]
    fn a_member_that_was_there_a_moment_ago_is_dialled_often() {
        let start = Instant::now();
        let (peer, mut members) = one_member(start);
        let mut now = start + params::REDIAL_SOON_FOR * 4;
        assert_eq!(members.due(now, |_| false).len(), 1);
        members.connected(&peer);
        // It restarts: whenever it comes back within the moment, the next dial is not far.
        members.plan(&peer, true, now);
        let missed = now;
        let mut dials = 0;
        while now < missed + params::REDIAL_SOON_FOR {
            now += params::REDIAL_SOON;
            assert_eq!(members.due(now, |_| false).len(), 1);
            members.plan(&peer, false, now);
            dials += 1;
        }
        assert!(dials <= 40, "{dials}");
        // Later it is a dead one.
        for _ in 0..10 {
            now += params::REDIAL_MAX;
            assert_eq!(members.due(now, |_| false).len(), 1);
            members.plan(&peer, false, now);
        }
        assert!(
            members
                .due(now + params::REDIAL_MAX / 3, |_| false)
                .is_empty()
        );
    }

    #[test]
    fn only_members_are_dialled_where_the_local_network_says_they_are() {
        let now = Instant::now();
        let (peer, mut members) = (PeerId::random(), Members::default());
        members.set(vec![(peer, Vec::new())], now, |_| false);
        assert!(members.due(now, |_| false).is_empty(), "nobody knows where");
        let here: Multiaddr = "/ip4/192.0.2.9/tcp/9471".parse().unwrap();
        members.found(&PeerId::random(), here.clone(), now);
        assert!(members.due(now, |_| false).is_empty());
        for _ in 0..2 {
            members.found(&peer, here.clone(), now);
        }
        assert_eq!(members.due(now, |_| false), [(peer, vec![here.clone()])]);
        members.lost(&peer, &here);
        members.plan(&peer, false, now);
        assert!(members.due(now + params::REDIAL_MAX, |_| false).is_empty());
    }

    #[test]
    fn hurrying_never_dials_faster_than_the_shortest_pause() {
        let mut now = Instant::now();
        let (peer, mut members) = one_member(now);
        for _ in 0..10 {
            now += params::REDIAL_MAX;
            assert_eq!(members.due(now, |_| false).len(), 1);
            members.plan(&peer, false, now);
        }
        members.hurry(&peer, now);
        assert!(members.due(now, |_| false).is_empty());
        assert_eq!(members.due(now + params::REDIAL_MIN, |_| false).len(), 1);
    }
}
