//! Says in the log what an operator waits for: a quorum that is lost or there again, a node that may sign, a tower that
//! caught up. Looks at the engine every few seconds and decides nothing.

use crate::clock;
use crate::net::NetHandle;
use crate::writer::Writer;
use belfry_protocol::clock::Verdict;
use belfry_protocol::engine::federation::Status;
use belfry_protocol::manifest::Validity;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(3);

/// What is worth a line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    QuorumLost {
        connected: u32,
        needed: u32,
    },
    QuorumThere {
        connected: u32,
        needed: u32,
    },
    Phase {
        from: String,
        to: String,
    },
    TowerLacks {
        tower: String,
        why: &'static str,
    },
    TowerCaughtUp {
        tower: String,
        held: u64,
    },
    CaughtUp {
        origin: String,
        held: u64,
    },
    ClockMended {
        verdict: Verdict,
    },
    Manifest {
        validity: Validity,
        expires_seconds: u64,
    },
}

/// What was so at the last look.
#[derive(Default)]
struct Last {
    quorum: bool,
    phase: Option<String>,
    /// Towers that refused what this node sent.
    lacking: BTreeSet<String>,
    /// Mirrored ledgers that were behind.
    behind: BTreeSet<String>,
    /// Whether the end of a wrong clock was not said yet, and how often the clock had been proven wrong.
    clock_violated: bool,
    violations: u64,
    manifest: Option<Validity>,
}

impl Last {
    fn look(&mut self, status: &Status, now_seconds: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        let (resign, expires_seconds) = (status.resign_from_seconds, status.expires_seconds);
        let validity = Validity::at(resign, expires_seconds, now_seconds);
        let before = self.manifest.replace(validity).unwrap_or(Validity::Valid);
        if before != validity {
            changes.push(Change::Manifest {
                validity,
                expires_seconds,
            });
        }
        if let Some(quorum) = &status.quorum {
            let (connected, needed) = (status.towers_connected, quorum.needed);
            let there = connected >= needed;
            match (self.quorum, there) {
                (true, false) => changes.push(Change::QuorumLost { connected, needed }),
                (false, true) => changes.push(Change::QuorumThere { connected, needed }),
                _ => {}
            }
            self.quorum = there;
        }
        if self.phase.as_ref() != Some(&status.phase) {
            let to = status.phase.clone();
            let from = self.phase.replace(to.clone()).unwrap_or_default();
            changes.push(Change::Phase { from, to });
        }
        let mut lacking = BTreeSet::new();
        for peer in status.peers.iter().filter(|peer| peer.connected) {
            let (tower, was) = (peer.name.clone(), self.lacking.contains(&peer.name));
            match peer.refused {
                Some(why) => {
                    lacking.insert(tower.clone());
                    if !was {
                        changes.push(Change::TowerLacks { tower, why });
                    }
                }
                // One that was just dialled did not answer yet.
                None if was && peer.held > 0 => {
                    let held = peer.held;
                    changes.push(Change::TowerCaughtUp { tower, held });
                }
                None => {}
            }
        }
        self.lacking = lacking;
        let mut behind = BTreeSet::new();
        for mirror in &status.mirrors {
            let origin = mirror.origin.clone();
            if mirror.held < mirror.seen || status.restoring.contains(&origin) {
                behind.insert(origin);
            } else if self.behind.contains(&origin) {
                let held = mirror.held;
                changes.push(Change::CaughtUp { origin, held });
            }
        }
        self.behind = behind;
        // Counted, because one may begin and end between two looks.
        let verdict = status.clock.verdict;
        let violated = verdict == Verdict::Violated;
        self.clock_violated |= status.clock.violations > self.violations;
        self.violations = status.clock.violations;
        // Not before it acknowledges again.
        if self.clock_violated && !violated && status.clock.may_ack {
            self.clock_violated = false;
            changes.push(Change::ClockMended { verdict });
        }
        changes
    }
}

/// Looks until the network ends.
pub(super) async fn watch(net: NetHandle, writer: Writer) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Last::default();
    loop {
        tokio::select! {
            () = net.closed() => return,
            _ = look.tick() => {}
        }
        match writer.status_soon().await {
            Some(status) => {
                let changes = last.look(&status, clock::now().wall_seconds());
                changes.into_iter().for_each(say);
            }
            None if writer.is_running() => {}
            None => return,
        }
    }
}

fn say(change: Change) {
    match change {
        Change::QuorumLost { connected, needed } => tracing::warn!(
            connected,
            needed,
            "the quorum of towers is lost: entries are taken, and nothing is signed before enough are connected"
        ),
        Change::QuorumThere { connected, needed } => {
            tracing::info!(connected, needed, "a quorum of towers is connected");
        }
        Change::Phase { from, to } => match (from.as_str(), to.as_str()) {
            (_, "active") => tracing::info!(from, "active: this factory takes entries and signs"),
            // Also where it asked and was told between two looks.
            ("" | "asking" | "restoring", "tower") => tracing::info!(from, "this tower acks again"),
            (_, stopped) if stopped.starts_with("stopped") => {
                tracing::warn!(from, phase = to, "this node signs nothing any more");
            }
            ("", _) => tracing::info!(phase = to, "the phase at this start"),
            _ => tracing::info!(from, phase = to, "the phase changed"),
        },
        Change::TowerLacks { tower, why } => {
            tracing::info!(member = tower, why, "a tower does not ack what it is sent");
        }
        Change::TowerCaughtUp { tower, held } => {
            tracing::info!(member = tower, held, "a tower has caught up");
        }
        Change::CaughtUp { origin, held } => {
            tracing::info!(origin, held, "caught up with a ledger");
        }
        Change::Manifest {
            validity,
            expires_seconds,
        } => {
            let ends = clock::shown_seconds(expires_seconds);
            match validity {
                Validity::Valid => {
                    tracing::info!(ends, "a manifest is in force that is good for long")
                }
                Validity::Resign => tracing::warn!(
                    ends,
                    "the manifest ends soon: draft the next epoch with `belfry genesis amend`, and have it signed"
                ),
                Validity::Expired => tracing::error!(
                    ends,
                    "the manifest has expired: acks go on, and whoever verifies is told; draft the next epoch with `belfry genesis amend`"
                ),
            }
        }
        Change::ClockMended { verdict } => tracing::info!(
            verdict = verdict.name(),
            "the clock of this node is not proven wrong any more: it acknowledges again"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::status;
    use super::*;
    use belfry_protocol::engine::federation::io::{MirrorStatus, PeerStatus};
    use belfry_protocol::manifest::Quorum;

    const NOW: u64 = 1_795_168_800;

    fn tower(refused: Option<&'static str>) -> PeerStatus {
        PeerStatus {
            member: 1,
            name: "north.example".to_owned(),
            connected: true,
            held: 44,
            goodbye: None,
            refused,
            refusals: Vec::new(),
        }
    }

    #[test]
    fn what_changed_is_said_once() {
        let mut last = Last::default();
        let mut now = status("recovering");
        now.quorum = Quorum::smallest(3);
        let phase = |from: &str, to: &str| Change::Phase {
            from: from.to_owned(),
            to: to.to_owned(),
        };
        assert_eq!(last.look(&now, NOW), [phase("", "recovering")], "a start");
        now.towers_connected = 2;
        now.phase = "active".to_owned();
        now.peers = vec![tower(Some("it lacks earlier entries"))];
        let changes = last.look(&now, NOW);
        assert_eq!(changes.len(), 3, "{changes:?}");
        assert_eq!(changes[1], phase("recovering", "active"));
        assert_eq!(last.look(&now, NOW), []);
        now.towers_connected = 1;
        now.peers = vec![tower(None)];
        let changes = last.look(&now, NOW);
        assert!(
            matches!(
                changes[..],
                [
                    Change::QuorumLost {
                        connected: 1,
                        needed: 2
                    },
                    Change::TowerCaughtUp { held: 44, .. }
                ]
            ),
            "{changes:?}"
        );
    }

    #[test]
    fn the_end_of_a_wrong_clock_is_said_once() {
        let mut last = Last::default();
        let mut now = status("tower");
        assert_eq!(last.look(&now, NOW).len(), 1, "the phase");
        now.clock.verdict = Verdict::Violated;
        now.clock.violations = 1;
        assert_eq!(last.look(&now, NOW), []);
        now.clock.verdict = Verdict::Undetermined;
        assert_eq!(last.look(&now, NOW), [], "acks still wait");
        now.clock.may_ack = true;
        let verdict = Verdict::Undetermined;
        assert_eq!(last.look(&now, NOW), [Change::ClockMended { verdict }]);
        assert_eq!(last.look(&now, NOW), []);
        now.clock.violations = 2;
        assert_eq!(
            last.look(&now, NOW),
            [Change::ClockMended { verdict }],
            "between two looks"
        );
    }

    #[test]
    fn a_tower_says_when_it_has_caught_up() {
        let mut last = Last::default();
        let mut now = status("restoring");
        now.restoring = vec!["shop.example".to_owned()];
        now.mirrors = vec![MirrorStatus {
            origin: "shop.example".to_owned(),
            held: 3,
            tail: 3,
            seen: 9,
            acked: 0,
            state: "ok",
        }];
        assert_eq!(last.look(&now, NOW).len(), 1, "the phase");
        now.restoring.clear();
        assert_eq!(last.look(&now, NOW), []);
        now.mirrors[0].held = 9;
        now.phase = "tower".to_owned();
        assert_eq!(last.look(&now, NOW).len(), 2);
    }

    #[test]
    fn a_manifest_that_ends_is_told_in_time_and_once() {
        let mut last = Last::default();
        let mut now = status("tower");
        (now.resign_from_seconds, now.expires_seconds) = (NOW + 10, NOW + 20);
        assert_eq!(last.look(&now, NOW).len(), 1, "the phase");
        for (seconds, told) in [(9, None), (10, Some(Validity::Resign)), (11, None)] {
            let told = told.map(|validity| Change::Manifest {
                validity,
                expires_seconds: NOW + 20,
            });
            let told: Vec<Change> = told.into_iter().collect();
            assert_eq!(last.look(&now, NOW + seconds), told, "{seconds}");
        }
        let ended = last.look(&now, NOW + 20);
        assert!(
            matches!(
                ended[..],
                [Change::Manifest {
                    validity: Validity::Expired,
                    ..
                }]
            ),
            "{ended:?}"
        );
    }
}
