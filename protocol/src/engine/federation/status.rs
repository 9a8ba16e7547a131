//! How far a node is (R1-R4, R8), for people: read from the store and from what is on its way. May not change anything.

use super::forks::kept::accused_name;
use super::forks::{ForkRow, OddRow, denied};
use super::io::{self, Status};
use super::witness::Witnessed;
use super::{Engine, marks, mirror};
use crate::engine::store::{Record, StoreError, Table, Transaction};

/// What is shown while nothing is signed because the newest certificate ended (R6).
const KEYS_ENDED: &str = "expired: the certificate of this node's keys ended, so nothing is signed; run `belfry key rotate`";

/// Logs that a status lists: more than people read, few enough to be read at every look.
const MAX_LOGS_SHOWN: usize = 256;

impl Engine {
    /// Whether a mirrored ledger is as it should be (R5).
    fn state_of(&self, origin: &str, mirror: &mirror::Mirror) -> &'static str {
        let member = self.settings.members.by_name(origin);
        let denies = |member| {
            let note = mirror.seen.as_ref().map(|(_, note)| note.as_str());
            note.is_some_and(|note| denied(&self.settings.members, member, note).is_some())
        };
        if mirror.conflict {
            "forked"
        } else if member.is_some_and(denies) {
            "key-range"
        } else if member.is_some_and(|member| self.volatile.forks.is_withheld(member)) {
            "withheld"
        } else {
            "ok"
        }
    }

    /// How far this node is, as of the last step.
    ///
    /// # Errors
    /// When the store fails.
    pub fn status(&self, tx: &impl Transaction) -> Result<Status, StoreError> {
        let members = &self.settings.members;
        let v = &self.volatile;
        let connected = |member| {
            v.peers
                .values()
                .any(|peer| peer.admitted && peer.member == Some(member))
        };
        let peers = (0..members.count())
            .filter(|member| *member != self.settings.me)
            .filter(|member| !members.has_departed(self.settings.me, *member))
            .map(|member| io::PeerStatus {
                member,
                name: members.name(member).to_owned(),
                connected: connected(member),
                held: v.factory.held_by(member),
                goodbye: v.goodbyes.get(&member).cloned(),
                refused: v.factory.refused_by(member),
                refusals: v.refused.of(member),
            })
            .collect();
        let all = mirror::Mirror::all(tx)?;
        let restoring: Vec<String> = all
            .iter()
            .filter(|(_, mirror)| mirror.restore != mirror::MirrorRestore::Done)
            .map(|(origin, _)| origin.clone())
            .collect();
        let needs_serial = members.is_tower(self.settings.me)
            && self.settings.keys.newest.number < self.settings.disk.lowest_serial;
        let mirrors = all
            .into_iter()
            .map(|(origin, mirror)| io::MirrorStatus {
                held: mirror.base.end(),
                tail: mirror.end.end(),
                seen: mirror.seen_size(),
                acked: mirror.acked.as_ref().map_or(0, |ack| ack.size),
                state: self.state_of(&origin, &mirror),
                origin,
            })
            .collect();
        let revoked = v
            .revocations
            .shown()
            .filter_map(|((member, serial), note, acts)| {
                let note = crate::note::SignedNote::parse(note.as_bytes()).ok()?;
                let said = crate::cert::Revocation::parse(note.text()).ok()?;
                let acts = acts.into_iter();
                Some(io::RevokedStatus {
                    name: members.name(member).to_owned(),
                    serial,
                    reason: said.reason.as_str(),
                    acts_for: acts.map(|one| members.name(one).to_owned()).collect(),
                })
            });
        let revoked = revoked.collect();
        let logs = self.logs_shown(tx)?;
        let waits_for = marks::waits_for(&self.settings, v);
        let asking = !waits_for.is_empty();
        let successor = tx.record(Record::Retired)?;
        let successor = successor.map(|name| String::from_utf8_lossy(&name).into_owned());
        let ended = v.clock.last().is_some_and(|now| {
            let keys = self.ledger.log_keys();
            keys.has_ended(now.wall_seconds())
        });
        let phase = match v.factory.phase_name() {
            phase if ended && successor.is_none() && !v.factory.is_stopped() => {
                format!("{KEYS_ENDED} (was {phase})")
            }
            phase if successor.is_some() && is_at_its_end(&phase) => {
                let successor = successor.as_deref().unwrap_or_default();
                format!("retired, its successor is {successor}")
            }
            // Until others told it what they saw, it acks nothing.
            tower if tower == "tower" && (needs_serial || !restoring.is_empty()) => {
                "restoring".to_owned()
            }
            tower if tower == "tower" && asking => "asking".to_owned(),
            phase => phase,
        };
        Ok(Status {
            phase,
            appends: v.factory.may_append() && successor.is_none(),
            successor,
            acked: v.acked,
            epoch: members.epoch(),
            resign_from_seconds: members.federation().manifest().resign_from_seconds,
            expires_seconds: members.federation().manifest().expires_seconds,
            judged_by: members
                .judges_of(self.settings.me)
                .next()
                .map(|judge| judge.epoch()),
            incarnation: self.settings.incarnation.number,
            peers,
            mirrors,
            forks: forks_of(tx)?,
            odd_digests: odd_of(tx)?,
            revoked,
            logs,
            logs_total: v.logs.len() as u64,
            refused: v.refused.all(),
            towers_connected: members
                .towers_of(self.settings.me)
                .filter(|tower| connected(*tower))
                .fold(0, |count, _| count + 1),
            quorum: members
                .quorum_of(self.settings.me)
                .filter(|_| members.is_factory(self.settings.me)),
            waits_for: waits_for
                .into_iter()
                .map(|one| members.name(one).to_owned())
                .collect(),
            nonces: v.nonces,
            wall_steps: v.clock.steps,
            clock: v.clock.status(&self.settings),
            restoring,
            needs_serial,
        })
    }
}

/// The fork proofs that are kept.
fn forks_of(tx: &impl Transaction) -> Result<Vec<io::ForkStatus>, StoreError> {
    let rows = tx.rows(Table::Forks, &[], usize::from(u16::MAX))?;
    let mut forks = Vec::new();
    for (key, row) in rows {
        let Some(row) = ForkRow::decode(&row) else {
            continue;
        };
        let proof = row.proof()?;
        let (smaller, larger) = proof.sizes().unwrap_or_default();
        forks.push(io::ForkStatus {
            kind: proof.kind().as_str(),
            accused: accused_name(&proof).unwrap_or_default(),
            origin: proof.origin().unwrap_or_default(),
            smaller,
            larger,
            digest: crate::hex::encode(&key),
        });
    }
    Ok(forks)
}

/// The odd digests that are kept: a few of each member.
fn odd_of(tx: &impl Transaction) -> Result<Vec<io::OddStatus>, StoreError> {
    let rows = tx.rows(Table::Odd, &[], usize::from(u16::MAX))?;
    let rows = rows.iter().filter_map(|(_, row)| OddRow::decode(row));
    let odd = rows.filter_map(|row| {
        let (origin, size) = row.of()?;
        Some(io::OddStatus {
            origin,
            size,
            digest: row.digest().to_hex(),
        })
    });
    Ok(odd.collect())
}

impl Engine {
    fn logs_shown(&self, tx: &impl Transaction) -> Result<Vec<io::LogStatus>, StoreError> {
        let logs = self.volatile.logs.iter().take(MAX_LOGS_SHOWN);
        logs.map(|(origin, _)| {
            let known = Witnessed::load(tx, origin)?;
            Ok(io::LogStatus {
                origin: origin.to_owned(),
                size: known.as_ref().map(|known| known.size),
                time_seconds: known.as_ref().map_or(0, |known| known.time_seconds),
                forked: known.is_some_and(|known| known.forked),
            })
        })
        .collect()
    }
}

/// Whether a factory whose ledger was retired does nothing else that is to be shown.
fn is_at_its_end(phase: &str) -> bool {
    phase == "active" || phase.starts_with("stopped: retired")
}
