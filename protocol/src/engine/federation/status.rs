//! How far a node is (R1-R4, R8), for people: read from the store and from what is on its way. May not change anything.

use super::io::{self, Status};
use super::{Engine, marks, mirror};
use crate::engine::store::{Record, StoreError, Transaction};

impl Engine {
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
                origin,
                held: mirror.base.end(),
                tail: mirror.end.end(),
                seen: mirror.seen_size(),
                acked: mirror.acked.as_ref().map_or(0, |ack| ack.size),
            })
            .collect();
        let waits_for = marks::waits_for(&self.settings, v);
        let asking = !waits_for.is_empty();
        let successor = tx.record(Record::Retired)?;
        let successor = successor.map(|name| String::from_utf8_lossy(&name).into_owned());
        let phase = match v.factory.phase_name() {
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
            incarnation: self.settings.incarnation.number,
            peers,
            mirrors,
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
            restoring,
            needs_serial,
        })
    }
}

/// Whether a factory whose ledger was retired does nothing else that is to be shown.
fn is_at_its_end(phase: &str) -> bool {
    phase == "active" || phase.starts_with("stopped: retired")
}
