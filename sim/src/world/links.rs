//! Connections between nodes: who dials, how a dead direction is noticed, what happens to what was on its way, and the
//! probes of clocks over them. The periods are the product's transport's.

use super::{Event, World};
use belfry_protocol::clock::Stamps;
use belfry_protocol::engine::federation::Input;
use belfry_protocol::engine::federation::checks::Checks;

/// First and longest pause before a peer is dialled again, in microseconds.
const REDIAL_US: (u64, u64) = (100_000, 30_000_000);
/// A dead direction is noticed when two pings at 15 s were not answered within 10 s, in microseconds.
const SILENT_US: u64 = 40_000_000;
/// How long a peer may stay that was not admitted, in microseconds.
const LOBBY_US: u64 = 5_000_000;
/// Probes of a peer's clock that follow each other at first.
const BURST: u64 = 4;
/// Pause between the probes of a burst, in microseconds.
const BURST_US: u64 = 100_000;

impl World {
    /// Two nodes dial each other, one of them first.
    pub(super) fn dial(&mut self, from: usize, to: usize, pause_us: u64) {
        let both = self.nodes[from].is_up() && self.nodes[to].is_up();
        if !both || self.net.connection(from, to).is_some() {
            return;
        }
        let awake = |at: usize| self.nodes[at].asleep_us.is_none();
        if awake(from) && awake(to) && self.net.connect(from, to) {
            return self.connected(from, to);
        }
        let pause_us = pause_us.clamp(REDIAL_US.0, REDIAL_US.1);
        let jitter_us = self.mischief.below(pause_us / 4 + 1);
        let next = Event::Dial {
            from,
            to,
            pause_us: pause_us * 2,
        };
        self.after(pause_us + jitter_us, next);
    }

    fn connected(&mut self, from: usize, to: usize) {
        for (at, other, dialed) in [(from, to, true), (to, from, false)] {
            let peer = self.nodes[other].peer.clone();
            let boot = self.nodes[at].boot;
            // Whoever is dialled knows the connection before anything comes over it.
            let delay_us = if dialed {
                self.net.latency_us(other, at)
            } else {
                0
            };
            let input = Input::PeerUp { peer, dialed };
            self.after(
                delay_us,
                Event::Input {
                    to: at,
                    boot,
                    input,
                },
            );
        }
        if let Some(connection) = self.net.connection(from, to) {
            let lobby = Event::Lobby {
                a: from,
                b: to,
                connection,
            };
            self.after(LOBBY_US, lobby);
            for (a, b) in [(from, to), (to, from)] {
                for number in 0..BURST {
                    let probe = Event::Probe {
                        from: a,
                        to: b,
                        connection,
                        again: number + 1 == BURST,
                    };
                    self.after(500_000 + number * BURST_US, probe);
                }
            }
        }
    }

    /// A node lets a peer speak.
    pub(super) fn admit(&mut self, at: usize, peer: &str) {
        let Some(other) = self.founded.by_peer(peer) else {
            return;
        };
        if let Some(connection) = self.net.connection(at, other) {
            self.admitted.insert((at, other), connection);
        }
    }

    /// The transport closes a connection that one of both ends did not admit in time.
    pub(super) fn overstayed(&mut self, a: usize, b: usize, connection: u64) {
        let good = self.was_good(a, b, connection);
        if !good && self.net.connection(a, b) == Some(connection) {
            self.watch.reached("a connection was closed in the lobby");
            self.break_link(a, b);
        }
    }

    /// Whether both ends of a connection admitted each other.
    fn was_good(&self, a: usize, b: usize, connection: u64) -> bool {
        let admitted = |at, other| self.admitted.get(&(at, other)) == Some(&connection);
        admitted(a, b) && admitted(b, a)
    }

    /// Ends a connection; both ends notice, and dial again.
    pub(crate) fn break_link(&mut self, a: usize, b: usize) {
        let connection = self.net.connection(a, b);
        if !self.net.disconnect(a, b) {
            return;
        }
        // As the product does: a good session makes the pause short, everything else makes it longer.
        let pair = (a.min(b), a.max(b));
        if connection.is_some_and(|connection| self.was_good(a, b, connection)) {
            self.pauses.remove(&pair);
        } else {
            let pause_us = self.pauses.entry(pair).or_insert(REDIAL_US.0);
            *pause_us = (*pause_us * 2).min(REDIAL_US.1);
        }
        self.stalled.remove(&(a, b));
        self.stalled.remove(&(b, a));
        for (at, other) in [(a, b), (b, a)] {
            if !self.nodes[at].is_up() {
                continue;
            }
            let peer = self.nodes[other].peer.clone();
            let boot = self.nodes[at].boot;
            let input = Input::PeerDown { peer };
            self.after(
                1_000,
                Event::Input {
                    to: at,
                    boot,
                    input,
                },
            );
        }
        self.dial_later(a, b);
    }

    /// A process goes on that was unheard: its connections are gone, and nobody answers what it had asked under this boot.
    pub(crate) fn was_unheard(&mut self, at: usize, boot: u64) {
        let asked: Vec<(usize, u64, u64)> = self
            .waiting
            .iter()
            .filter(|(asker, under, _)| (*asker, *under) == (at, boot))
            .copied()
            .collect();
        let mut missed: Vec<Input> = Vec::new();
        for one in asked {
            self.waiting.remove(&one);
            missed.push(Input::Response {
                id: one.2,
                bytes: None,
                checks: Checks::default(),
            });
        }
        let others = self.nodes.iter().filter(|other| other.at != at);
        missed.extend(others.map(|other| Input::PeerDown {
            peer: other.peer.clone(),
        }));
        self.nodes[at].inbox.extend(missed);
    }

    pub(crate) fn dial_later(&mut self, a: usize, b: usize) {
        if !self.are_linked(a, b) {
            return;
        }
        let jitter_us = self.mischief.below(REDIAL_US.0);
        let (from, to) = if jitter_us.is_multiple_of(2) {
            (a, b)
        } else {
            (b, a)
        };
        let pause_us = self.pauses.get(&(a.min(b), a.max(b))).copied();
        let pause_us = pause_us.unwrap_or(REDIAL_US.0);
        let event = Event::Dial { from, to, pause_us };
        self.after(pause_us + jitter_us, event);
    }

    /// A direction is dead from now on.
    pub(crate) fn block(&mut self, from: usize, to: usize) {
        self.net.block((from, to));
        if let Some(connection) = self.net.connection(from, to) {
            let jitter_us = self.mischief.below(SILENT_US / 4);
            let event = Event::Silent {
                way: (from, to),
                connection,
            };
            self.after(SILENT_US - jitter_us, event);
        }
    }

    /// It is open again.
    pub(crate) fn unblock(&mut self, from: usize, to: usize) {
        if self.net.unblock((from, to)) {
            self.unstall((from, to));
        }
    }

    pub(super) fn silent(&mut self, way: (usize, usize), connection: u64) {
        let same = self.net.connection(way.0, way.1) == Some(connection);
        if same && self.net.is_blocked(way.0, way.1) {
            self.watch.reached("a dead direction was noticed");
            self.break_link(way.0, way.1);
        }
    }

    /// Keeps what was sent into a dead direction.
    pub(super) fn stall(&mut self, way: (usize, usize), _connection: u64, event: Event) {
        self.stalled.entry(way).or_default().push(event);
    }

    /// Lets go what waited for a direction, in its order.
    pub(super) fn unstall(&mut self, way: (usize, usize)) {
        for event in self.stalled.remove(&way).unwrap_or_default() {
            let delay_us = self.net.latency_us(way.0, way.1);
            self.after(delay_us, event);
        }
    }

    /// A node measures a peer's clock: the four timestamps are read where they would be.
    pub(super) fn probe(&mut self, from: usize, to: usize, connection: u64, again: bool) {
        if self.net.connection(from, to) != Some(connection) {
            return;
        }
        if again {
            // Half of it more or less.
            let probe_us = self.plan.pace.probe_ms * 1_000;
            let jitter_us = self.mischief.below(probe_us);
            let next = Event::Probe {
                from,
                to,
                connection,
                again,
            };
            self.after(probe_us / 2 + jitter_us, next);
        }
        let reachable = !self.net.is_blocked(from, to) && !self.net.is_blocked(to, from);
        let awake = |at: usize| self.nodes[at].asleep_us.is_none();
        if !reachable || !awake(from) || !awake(to) || self.nodes[to].mute > 0 {
            return;
        }
        let there_us = self.net.latency_us(from, to);
        let inside_us = self.mischief.below(300);
        let back_us = self.net.latency_us(to, from);
        let sent_us = self.now_us;
        let came_us = sent_us + there_us + inside_us + back_us;
        let clock = &self.nodes[from].clock;
        let peer = &self.nodes[to].clock;
        let stamps = Stamps {
            sent: clock.reading(sent_us),
            received_us: peer.wall_us(sent_us + there_us),
            answered_us: peer.wall_us(sent_us + there_us + inside_us),
            came: clock.reading(came_us),
        };
        let input = Input::ClockSample {
            peer: self.nodes[to].peer.clone(),
            stamps,
        };
        let boot = self.nodes[from].boot;
        self.at(
            came_us,
            Event::Input {
                to: from,
                boot,
                input,
            },
        );
    }
}
