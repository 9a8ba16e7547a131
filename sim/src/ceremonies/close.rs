//! What became of a vote: who is in which epoch, whether every chain verifies offline, and what changed by it.
//! May not let anybody vote.

use super::member::Member;
use super::people::{Draft, REPLACES, Who};
use super::plan::Kind;
use super::watch::rule;
use super::world::{Event, MINUTE_US, World};
use belfry_protocol::genesis::chain::{Link, parse_chain, verify_links};
use belfry_protocol::genesis::{Strict, Verifier};
use belfry_protocol::manifest::Federation;
use belfry_protocol::tlog::hash::Hash;
use std::collections::BTreeSet;

impl World {
    /// A member may be in another epoch than before.
    pub(super) fn is_active(&mut self, who: Who) {
        let Some(chain) = self
            .members
            .get(&who)
            .and_then(|one| one.ceremony.as_ref()?.chain())
        else {
            return;
        };
        let (epoch, hash) = (chain.manifest().epoch, chain.manifest().hash());
        self.watch.activates(who, epoch, hash);
        self.note(who, format_args!("is in epoch {epoch}, {hash}"));
        if let Some(member) = self
            .members
            .get(&who)
            .filter(|one| one.is_up() && one.rebuilding)
        {
            let boot = member.boot;
            self.after(MINUTE_US, Event::Rebuild { who, boot });
        }
        let done = |one: &Member| {
            let away = self.plan.gone.contains(&one.who)
                || (self.plan.late.contains(&one.who) && !self.healed);
            away || one.chain_epoch() >= Some(epoch)
        };
        let next = self.phase.election().epoch();
        if epoch == next && self.members.values().all(done) {
            self.close(who, epoch, hash);
        }
    }

    /// Everybody who is there is in the next epoch.
    fn close(&mut self, who: Who, epoch: u64, hash: Hash) {
        // Whoever set up another directory meanwhile has no link of this epoch, and others do.
        let mut newest = None;
        for member in self.members.values_mut() {
            for json in member.links() {
                let link = Link::parse(&json).ok();
                if newest.is_none() && link.is_some_and(|link| link.manifest().hash() == hash) {
                    newest = String::from_utf8(json).ok();
                }
            }
        }
        self.links.extend(newest);
        let file: String = self.links.iter().map(|link| format!("{link}\n")).collect();
        let chain = parse_chain(file.as_bytes())
            .and_then(|links| verify_links(&links, &mut Verifier::new(Strict)));
        let manifest = match chain {
            Ok(chain) if chain.manifest().epoch == epoch && chain.manifest().hash() == hash => {
                chain.manifest().clone()
            }
            Ok(_) => {
                let what = "its chain ends in another manifest".to_owned();
                return self.watch.fail(rule::CHAIN, Some(who), what);
            }
            Err(error) => {
                let what = format!("its chain does not verify: {error}");
                return self.watch.fail(rule::CHAIN, Some(who), what);
            }
        };
        self.note(0, format_args!("epoch {epoch} is {hash}"));
        self.phase.epochs += 1;
        let draft = self.phase.drafts.get(&hash).cloned();
        let Some(draft) = draft else {
            let what = "nobody wrote this manifest".to_owned();
            return self.watch.fail(rule::CHAIN, Some(who), what);
        };
        self.tell_change(&draft, epoch, hash);
        let before_id = self.phase.base.as_ref().map_or(hash, Federation::id);
        match Federation::new(before_id, manifest) {
            Ok(base) => self.phase.base = Some(base),
            Err(error) => return self.watch.fail(rule::CHAIN, None, error.to_string()),
        }
        // Whoever gives way to a recovery waits 72 hours by rule.
        if self.healed && self.phase.kind() != Some(Kind::Recover) {
            let took_us = self.now_us - self.phase.healed_us;
            self.phase.slowest_us = self.phase.slowest_us.max(Some(took_us));
        }
        self.phase.number += 1;
        let healed = self.healed;
        if let Err(error) = self.open(draft, healed) {
            self.watch.fail(rule::RUNS, None, error.to_string());
        }
    }

    fn tell_change(&mut self, after: &Draft, epoch: u64, hash: Hash) {
        let before = self.phase.base.as_ref();
        let before = before
            .and_then(|base| self.phase.drafts.get(&base.hash()))
            .cloned();
        let mut told = vec![if self.healed {
            "an epoch was active only when people talked"
        } else {
            "an epoch became active in the middle of the faults"
        }];
        if let Some(before) = before {
            let old: BTreeSet<Who> = before.seats.keys().copied().collect();
            let new: BTreeSet<Who> = after.seats.keys().copied().collect();
            let names = |all: &BTreeSet<Who>| -> BTreeSet<Who> {
                all.iter().map(|who| who % REPLACES).collect()
            };
            let (old_names, new_names) = (names(&old), names(&new));
            if new.difference(&old).any(|who| *who >= REPLACES) {
                told.push("an identity was replaced");
            }
            if !new_names.is_subset(&old_names) {
                told.push("a member joined");
            }
            if !old_names.is_subset(&new_names) {
                told.push("a member left");
            }
            let role = |who: &&Who| before.seats.get(who) != after.seats.get(who);
            if old.intersection(&new).any(|who| role(&who)) {
                told.push("roles changed");
            }
            if before.raise != after.raise {
                told.push("a threshold changed");
            }
        } else if epoch == 0 {
            told.push("a federation was founded");
            if after.seats.len() < self.plan.members {
                told.push("a founder was dropped in a new round");
            }
        }
        match (self.phase.kind(), self.phase.recovery == Some(hash)) {
            (_, true) => told.push("a recovery became active"),
            (Some(Kind::Veto), false) => told.push("a recovery was refused"),
            _ => {}
        }
        if self.plan.members == 7 && self.plan.liars.len() == 1 && self.plan.gone.len() == 1 {
            told.push("seven members amended with two absent and a liar");
        }
        let down = self.members.values().any(|one| !one.is_up());
        if down {
            told.push("an absentee was left behind by an epoch");
        }
        told.into_iter().for_each(|what| self.watch.reached(what));
    }

    /// At the end: the chain of everybody is the same, each from its own directory.
    pub(super) fn look_at_chains(&mut self) {
        let expected = self.links.clone();
        let mut wrong = None;
        for (who, member) in &mut self.members {
            for json in member.links() {
                let Ok(link) = Link::parse(&json) else {
                    wrong = Some((*who, "a link of its chain cannot be read".to_owned()));
                    break;
                };
                let at = usize::try_from(link.manifest().epoch).unwrap_or(usize::MAX);
                let hash = |link: &Link| link.manifest().hash();
                let other = expected
                    .get(at)
                    .and_then(|json| Link::parse(json.as_bytes()).ok());
                if other.is_some_and(|other| hash(&other) != hash(&link)) {
                    wrong = Some((*who, format!("epoch {at} of its chain is another one")));
                }
                // With its own link in the place of the one that was checked.
                let mut chain = expected.clone();
                if let Some(place) = chain.get_mut(at) {
                    *place = link.to_json();
                }
                let file: String = chain.iter().map(|link| format!("{link}\n")).collect();
                let verified = parse_chain(file.as_bytes())
                    .and_then(|links| verify_links(&links, &mut Verifier::new(Strict)));
                if let Err(error) = verified {
                    wrong = Some((*who, format!("its chain does not verify: {error}")));
                }
            }
        }
        if let Some((who, what)) = wrong {
            self.watch.fail(rule::CHAIN, Some(who), what);
        }
    }
}
