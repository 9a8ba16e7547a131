//! When the faults of a vote end, people talk to each other, and there must be an end: liveness is judged here. May not judge
//! what members sign.

use super::people::Who;
use super::plan::Kind;
use super::watch::rule;
use super::world::{Event, MINUTE_US, SECOND_US, World};
use crate::net::Weather;
use belfry_protocol::genesis::ceremony::status::State;
use belfry_protocol::genesis::ceremony::{Document, ROUNDS_AHEAD_MAX, Status};
use belfry_protocol::tlog::hash::Hash;
use std::collections::BTreeMap;

/// Pause between two talks, in microseconds: time for everybody to go to their desk.
const TALK_US: u64 = 30 * MINUTE_US;
/// Talks after the faults, at most: six hours.
const TALKS_MAX: u64 = 12;
/// The same where somebody may have to wait 72 hours by a clock that was set back.
const TALKS_MAX_OF_RECOVERY: u64 = 2 * 160;

impl World {
    /// The faults of this vote are over: everybody is reached, and people talk.
    pub(super) fn heal(&mut self, phase: usize) {
        if phase != self.phase.number || self.healed {
            return;
        }
        self.healed = true;
        self.phase.healed_us = self.now_us;
        self.note(0, format_args!("the faults are over"));
        self.net.heal();
        self.net.weather = Weather::default();
        for who in self.members.keys().copied().collect::<Vec<_>>() {
            self.start(who);
        }
        self.all_compare();
        self.after(2 * MINUTE_US, Event::Talk { phase });
    }

    fn statuses(&self) -> BTreeMap<Who, Status> {
        let present = self.present();
        let all = self.members.iter().filter(|(who, _)| present.contains(who));
        all.filter_map(|(who, one)| Some((*who, one.status(self.now_us)?)))
            .collect()
    }

    /// People talk: somebody proposes what locks and certificates allow, in a round that nobody used, and all confirm it.
    pub(super) fn talk(&mut self, phase: usize) {
        if phase != self.phase.number || !self.healed {
            return;
        }
        self.phase.talks += 1;
        let recovers = self.phase.kind() == Some(Kind::Recover);
        let most = if recovers {
            TALKS_MAX_OF_RECOVERY
        } else {
            TALKS_MAX
        };
        let statuses = self.statuses();
        if self.phase.talks > most {
            let told = self.tell_statuses(&statuses);
            let what =
                format!("enough people are connected and agree, and there is no end: {told}");
            return self.watch.fail(rule::ENDS, None, what);
        }
        self.after(TALK_US, Event::Talk { phase });
        for (who, status) in &statuses {
            self.may_give_way(*who, status);
        }
        let epoch = self.phase.election().epoch();
        let on: BTreeMap<Who, Status> = statuses
            .into_iter()
            .filter(|(_, status)| status.epoch == epoch && !status.rebuilding)
            .collect();
        let round = on
            .values()
            .map(|status| status.voted_round)
            .max()
            .unwrap_or(0)
            + 1;
        if let Some(hash) = self.phase.recovery.filter(|_| recovers) {
            // Who joins by it has to accept it.
            for who in on
                .keys()
                .filter(|who| self.is_joiner(**who, &hash))
                .copied()
                .collect::<Vec<_>>()
            {
                self.confirm(who, &hash, round);
            }
            return;
        }
        let Some(manifest) = self.agree(&on) else {
            return;
        };
        let voters: Vec<Who> = on
            .keys()
            .copied()
            .filter(|who| {
                self.watch
                    .rule(&manifest)
                    .is_some_and(|rule| rule.old.contains(who))
            })
            .collect();
        // Another one each time: nobody may propose without end.
        let at = usize::try_from(self.phase.talks).unwrap_or(0) % voters.len().max(1);
        if let Some(proposer) = voters.get(at).copied() {
            self.propose(proposer, &manifest, round);
        }
        for who in on.into_keys() {
            let us = MINUTE_US + self.minds.below(10 * MINUTE_US);
            self.catch_up(who, manifest, round, us);
            self.after(
                us,
                Event::Approve {
                    who,
                    manifest,
                    round,
                },
            );
        }
    }

    /// A node follows so many rounds beyond those that it knows, and no more: whoever was away while others began many
    /// approves in some of those between, as the screen allows.
    fn catch_up(&mut self, who: Who, manifest: Hash, round: u64, until_us: u64) {
        let mut follows = self.members.get(&who).map_or(0, |one| one.follows());
        let mut us = until_us / 2;
        // A proposal of a round that it does not follow is none to it: somebody repeats it in one that it does.
        let knows = self
            .members
            .get(&who)
            .and_then(|one| one.status(self.now_us));
        let knows = knows.is_some_and(|one| one.manifests.iter().any(|m| m.manifest == manifest));
        if follows < round && !knows {
            let rule = self.watch.rule(&manifest);
            let by = rule.and_then(|rule| {
                let mut old = rule.old.iter().copied();
                old.find(|by| *by != who && self.members.get(by).is_some_and(|one| one.is_up()))
            });
            if let Some(by) = by {
                self.propose(by, &manifest, follows);
            }
        }
        while follows < round {
            self.watch
                .reached("a member caught up with rounds far ahead");
            self.after(
                us,
                Event::Approve {
                    who,
                    manifest,
                    round: follows,
                },
            );
            follows += ROUNDS_AHEAD_MAX;
            us += SECOND_US;
        }
    }

    fn is_joiner(&self, who: Who, manifest: &Hash) -> bool {
        let rule = self.watch.rule(manifest);
        rule.is_some_and(|rule| rule.joiners.contains(&who))
    }

    /// What the newest lock or certificate is for; else what can come about with those who are there.
    fn agree(&mut self, on: &BTreeMap<Who, Status>) -> Option<Hash> {
        let locks = on.values().filter_map(|status| status.lock);
        let ready = on.iter().flat_map(|(who, status)| {
            let ready = status
                .manifests
                .iter()
                .filter(|one| one.state == State::Ready);
            ready.filter_map(|one| Some((one.manifest, self.certified_in(*who, &one.manifest)?)))
        });
        let bound = locks.chain(ready).max_by_key(|(_, round)| *round);
        if let Some((hash, _)) = bound {
            return Some(hash);
        }
        let found = self.phase.kind() == Some(Kind::Found);
        let possible = |hash: &&Hash| {
            let Some(rule) = self.watch.rule(hash) else {
                return false;
            };
            let needed = if found { &rule.new } else { &rule.joiners };
            let accepted =
                |who: &Who| on.contains_key(who) || self.plan.liars.contains(who) && !found;
            needed.iter().all(accepted)
        };
        if let Some(hash) = self.phase.candidates.iter().find(possible) {
            return Some(*hash);
        }
        // A founding without those who did not come.
        let first = self.phase.candidates.first()?;
        let mut shorter = self.phase.drafts.get(first)?.clone();
        shorter.seats.retain(|who, _| on.contains_key(who));
        self.phase.needs_factory(&mut shorter);
        self.offer_draft(&shorter, true)
    }

    /// The newest round of a certificate that somebody holds for a manifest.
    fn certified_in(&self, who: Who, manifest: &Hash) -> Option<u64> {
        let held = self.members.get(&who)?.held.values();
        held.filter_map(|letter| match &letter.document {
            Document::Certificate(one) if one.manifest.hash() == *manifest => Some(one.round),
            _ => None,
        })
        .max()
    }

    fn tell_statuses(&self, statuses: &BTreeMap<Who, Status>) -> String {
        let of = statuses.iter().map(|(who, status)| {
            let lock = status
                .lock
                .map(|(hash, round)| (hash.to_hex()[..8].to_owned(), round));
            format!(
                "{who}: epoch {}, round {}, lock {lock:?}, rebuilding {}, waiting {}",
                status.epoch, status.voted_round, status.rebuilding, status.waiting
            )
        });
        of.collect::<Vec<_>>().join("; ")
    }
}
