//! One vote after the other: what is on offer, who wants it, and who proposes first. May not judge what members sign.

use super::count::Rule;
use super::people::{self, Draft, RECOVERY_KEYS, REPLACES, Who};
use super::plan::Kind;
use super::world::{Event, HOUR_US, World};
use crate::founding::FoundingError;
use belfry_protocol::genesis::Election;
use belfry_protocol::genesis::ceremony::Document;
use belfry_protocol::manifest::Federation;
use belfry_protocol::tlog::hash::Hash;
use std::collections::{BTreeMap, BTreeSet};

/// Manifests on offer from which on liars write no more.
const OFFERS_MAX: usize = 24;

/// The vote that is on.
#[derive(Default)]
pub(super) struct Phase {
    pub(super) number: usize,
    pub(super) kinds: Vec<Kind>,
    /// The federation so far; none before epoch 0.
    pub(super) base: Option<Federation>,
    /// What people may want, and what each manifest says.
    pub(super) candidates: Vec<Hash>,
    pub(super) drafts: BTreeMap<Hash, Draft>,
    /// What recovery keys signed.
    pub(super) recovery: Option<Hash>,
    /// Times that people talked.
    pub(super) talks: u64,
    next_joiner: Who,
    pub(super) is_over: bool,
    /// When the faults of this vote ended, and how long it took from there at most, in microseconds.
    pub(super) healed_us: u64,
    pub(super) slowest_us: Option<u64>,
    pub(super) epochs: u64,
}

impl Phase {
    pub(super) fn kind(&self) -> Option<Kind> {
        self.kinds.get(self.number).copied()
    }

    /// The vote, as whoever signs names it.
    pub(super) fn election(&self) -> Election<'_> {
        match &self.base {
            Some(base) => Election::amending(base.id(), base.manifest()),
            None => Election::founding(people::LINEAGE),
        }
    }

    /// A list without a factory cannot be founded: the first one becomes it.
    pub(super) fn needs_factory(&self, draft: &mut Draft) {
        if !draft.seats.values().any(|factory| *factory)
            && let Some(first) = draft.seats.values_mut().next()
        {
            *first = true;
        }
    }
}

impl World {
    /// The first vote.
    pub(super) fn begin(&mut self) -> Result<(), FoundingError> {
        let seats = (0..self.plan.members).map(|who| (who, who == 0)).collect();
        let draft = Draft {
            seats,
            raise: 0,
            variant: 0,
            recovery: (0..RECOVERY_KEYS).collect(),
        };
        self.phase.kinds = self.plan.kinds.clone();
        self.phase.next_joiner = self.plan.members;
        let founds = self.phase.kind() == Some(Kind::Found);
        for who in 0..self.plan.members {
            self.people.add(&*people::person(who)?);
        }
        if !founds {
            let link = people::founded(&draft)?;
            let manifest = link.manifest().clone();
            let refuse = |error: &dyn std::fmt::Display| FoundingError::Manifest(error.to_string());
            let hash = manifest.hash();
            self.watch.founded(hash);
            self.links.push(link.to_json());
            self.phase.drafts.insert(hash, draft.clone());
            self.manifests.insert(hash, manifest.clone());
            let base = Federation::new(hash, manifest).map_err(|error| refuse(&error))?;
            self.phase.base = Some(base);
        }
        let base = self.phase.base.clone();
        for who in 0..self.plan.members {
            self.comes(who, base.clone())?;
        }
        self.plan_mischief();
        self.open(draft, true)
    }

    /// People who act and are heard when the faults are over.
    pub(super) fn present(&self) -> BTreeSet<Who> {
        let all = self.around.iter().copied();
        all.filter(|who| {
            let plan = &self.plan;
            plan.is_honest(*who) && !plan.gone.contains(who) && !plan.silent.contains(who)
        })
        .collect()
    }

    /// Writes a manifest, and puts it on offer if honest people may want it: it lets them go on, and keeps liars few.
    pub(super) fn offer_draft(&mut self, draft: &Draft, honest: bool) -> Option<Hash> {
        let base = self.phase.base.as_ref().map(Federation::manifest);
        let manifest = draft.manifest(base)?;
        let hash = manifest.hash();
        if self.manifests.contains_key(&hash) {
            return Some(hash);
        }
        if !honest && self.phase.drafts.len() > OFFERS_MAX {
            return None;
        }
        let rule = Rule::new(base, &manifest, &self.people);
        let liars = |all: &BTreeSet<Who>| all.intersection(&self.plan.liars).count();
        let few = liars(&rule.old) <= rule.faulty() && liars(&rule.new) <= rule.next_faulty();
        let left = rule.is_enough(&self.present());
        if !few || (honest && !left) {
            return None;
        }
        self.watch.written(hash, rule);
        self.manifests.insert(hash, manifest);
        self.phase.drafts.insert(hash, draft.clone());
        if honest {
            self.phase.candidates.push(hash);
        }
        Some(hash)
    }

    /// A vote begins: people have their ideas, and somebody proposes.
    pub(super) fn open(&mut self, before: Draft, fresh_faults: bool) -> Result<(), FoundingError> {
        let Some(kind) = self.phase.kind() else {
            self.phase.is_over = true;
            return Ok(());
        };
        self.note(0, format_args!("a vote begins: {}", kind.word()));
        let mut minds = self.fresh("ceremony wishes", self.phase.number as u64);
        self.phase.candidates.clear();
        let base = self.phase.base.as_ref().map(Federation::hash);
        self.phase.drafts.retain(|hash, _| Some(*hash) == base);
        self.phase.recovery = None;
        self.phase.talks = 0;
        let mut wanted = before.clone();
        let members: Vec<Who> = before.seats.keys().copied().collect();
        let plain: Vec<Who> = members
            .iter()
            .copied()
            .filter(|who| *who < REPLACES && self.plan.is_honest(*who))
            .collect();
        let one = minds.pick(&plain).copied().unwrap_or(0);
        let mut comes = None;
        match kind {
            Kind::Found => {}
            Kind::Add => comes = Some(self.phase.next_joiner),
            Kind::Remove => {
                let unwanted = self.plan.liars.iter().chain(&self.plan.gone);
                let mut unwanted = unwanted.filter(|who| members.contains(who));
                let leaves = unwanted.next().copied().unwrap_or(one);
                wanted.seats.remove(&leaves);
            }
            Kind::Rerole => {
                let towers: Vec<Who> = plain.into_iter().filter(|who| !before.seats[who]).collect();
                let tower = minds.pick(&towers).copied().unwrap_or(0);
                wanted
                    .seats
                    .values_mut()
                    .for_each(|factory| *factory = false);
                wanted.seats.insert(tower, true);
            }
            Kind::Replace => {
                // A ledger is its identity key's: only a tower's is replaced.
                let is_tower = |who: &&Who| before.seats.get(*who) == Some(&false);
                let after = plain.iter().filter(|who| **who >= one).find(is_tower);
                let tower = after.or_else(|| plain.iter().find(is_tower));
                if let Some(tower) = tower.copied() {
                    wanted.seats.remove(&tower);
                    wanted.seats.insert(tower + REPLACES, false);
                    self.comes(tower + REPLACES, self.phase.base.clone())?;
                }
            }
            Kind::Thresholds => wanted.raise = 1 - before.raise.min(1),
            Kind::Recover => wanted.seats.retain(|who, _| !self.plan.gone.contains(who)),
            Kind::Veto => wanted.variant += 7,
        }
        if let Some(joiner) = comes {
            self.phase.next_joiner += 1;
            if minds.one_in(6) {
                self.plan.silent.insert(joiner);
            }
            self.comes(joiner, self.phase.base.clone())?;
            wanted.seats.insert(joiner, false);
        }
        self.phase.needs_factory(&mut wanted);
        wanted.variant += 1;
        let mut rival = before.clone();
        rival.variant = before.variant + 100;
        if matches!(kind, Kind::Recover | Kind::Veto) {
            self.recover(&wanted)?;
        } else {
            self.offer_draft(&wanted, true);
        }
        if kind != Kind::Recover {
            self.offer_draft(&rival, true);
        }
        if self.plan.quarrel && kind != Kind::Recover {
            rival.variant += 1;
            if kind == Kind::Found && rival.seats.len() > 3 {
                // Somebody would rather found without one of them.
                rival.seats.remove(&one);
                self.phase.needs_factory(&mut rival);
            }
            self.offer_draft(&rival, true);
        }
        let none = self.phase.candidates.is_empty() && self.phase.recovery.is_none();
        if none || !self.can_ack() {
            // Nothing that liars could not break, or that those who are left could bring about.
            self.phase.is_over = true;
            return Ok(());
        }
        self.wish(&mut minds);
        self.propose_first(&mut minds);
        if fresh_faults {
            self.healed = false;
            self.net.weather = self.plan.weather.clone();
            self.plan_cut();
            self.plan_accident();
        }
        let phase = self.phase.number;
        self.after(self.plan.chaos_hours * HOUR_US, Event::Heal { phase });
        Ok(())
    }

    /// Recovery keys sign a manifest, and somebody brings it.
    fn recover(&mut self, wanted: &Draft) -> Result<(), FoundingError> {
        let mut wanted = wanted.clone();
        let signers: Vec<usize> = wanted.recovery.iter().copied().take(2).collect();
        wanted.recovery.retain(|key| !signers.contains(key));
        let base = self.phase.base.as_ref().map(Federation::manifest);
        let Some(manifest) = wanted.manifest(base) else {
            return Ok(());
        };
        let link = people::recovery(&self.phase.election(), &manifest, &signers)?;
        let hash = manifest.hash();
        let mut rule = Rule::new(base, &manifest, &self.people);
        rule.recovery = true;
        self.watch.written(hash, rule);
        self.manifests.insert(hash, manifest);
        self.phase.drafts.insert(hash, wanted);
        self.phase.recovery = Some(hash);
        let letter = self
            .post
            .write(&self.people, &Document::Link(Box::new(link)));
        // Somebody carries it around.
        for who in self.around.clone() {
            let event = Event::Arrive {
                to: who,
                from: who,
                letters: vec![letter.clone()],
            };
            let us = HOUR_US + self.minds.below(20 * HOUR_US);
            self.after(us, event);
        }
        Ok(())
    }

    fn wish(&mut self, minds: &mut crate::streams::Stream) {
        let kind = self.phase.kind();
        let (count, quarrel) = (self.phase.candidates.len(), self.plan.quarrel);
        let first = self.phase.candidates.first().copied();
        // One fewer than it takes.
        let few = match &self.phase.base {
            Some(base) => {
                base.manifest().members.len() - base.manifest().amendment_threshold as usize
            }
            None => 0,
        };
        for (at, member) in self.members.values_mut().enumerate() {
            let human = &mut member.human;
            human.favourite = if quarrel { minds.index(count) } else { 0 };
            human.refuses = first.filter(|_| minds.one_in(8)).into_iter().collect();
            human.yields = match kind {
                Some(Kind::Recover) => true,
                Some(Kind::Veto) => at < few,
                _ => false,
            };
        }
    }

    fn propose_first(&mut self, minds: &mut crate::streams::Stream) {
        let voters: Vec<Who> = match self.phase.candidates.first() {
            Some(first) => self
                .watch
                .rule(first)
                .map(|rule| rule.old.iter().copied().collect()),
            None => None,
        }
        .unwrap_or_default();
        let liars: Vec<Who> = voters
            .iter()
            .copied()
            .filter(|who| !self.plan.is_honest(*who))
            .collect();
        if let Some(liar) = minds.pick(&liars).copied()
            && minds.one_in(3)
        {
            self.offer_two(liar, 1);
        }
        let present = self.present();
        let honest: Vec<Who> = voters
            .into_iter()
            .filter(|who| present.contains(who))
            .collect();
        let proposals = if self.plan.quarrel { 2 } else { 1 };
        for at in 0..proposals {
            let manifest = self.phase.candidates.get(at).copied();
            let by = minds.pick(&honest).copied();
            if let (Some(manifest), Some(who)) = (manifest, by) {
                let us = HOUR_US + minds.below(4 * HOUR_US);
                self.after(us, Event::Propose { who, manifest });
            }
        }
    }

    /// The first proposal of a vote; whoever brought it may never be heard of again.
    pub(super) fn coordinate(&mut self, who: Who, manifest: &Hash) {
        let round = self
            .members
            .get(&who)
            .and_then(|one| one.status(self.now_us));
        let round = round.map_or(1, |status| status.voted_round + 1);
        self.propose(who, manifest, round);
        if !self.healed && self.plan.crash_one_in > 0 && self.mischief.one_in(6) {
            self.watch.reached("a coordinator disappeared");
            self.plan.late.insert(who);
            self.kill(who, HOUR_US);
        }
    }
}
