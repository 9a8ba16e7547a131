//! What members do who keep no rule: with their own keys, and with whatever they heard. Nobody can forge: they sign, replay,
//! withhold and damage. May not touch honest members.

use super::letters::Letter;
use super::people::{Who, person};
use super::world::{Event, HOUR_US, MINUTE_US, World};
use belfry_protocol::genesis::ceremony::Document;
use belfry_protocol::genesis::{Election, Saying, Vote};
use belfry_protocol::tlog::hash::Hash;
use std::rc::Rc;

/// A lineage that nobody here founds.
const OTHER_LINEAGE: [u8; 16] = [9; 16];
/// Old letters of one replay.
const REPLAYED: u64 = 12;

impl World {
    /// The next idea.
    pub(super) fn plan_mischief(&mut self) {
        if !self.plan.liars.is_empty() {
            let us = 10 * MINUTE_US + self.lies.below(5 * HOUR_US);
            self.after(us, Event::Mischief);
        }
    }

    pub(super) fn lie(&mut self) {
        self.plan_mischief();
        let liars: Vec<Who> = self.plan.liars.iter().copied().collect();
        let Some(liar) = self.lies.pick(&liars).copied() else {
            return;
        };
        let newest = self.newest_round();
        match self.lies.below(9) {
            0 | 1 => self.vote_for_everything(liar, newest),
            2 => {
                let round = newest + self.lies.below(2);
                self.offer_two(liar, round);
            }
            3 => self.replay(liar),
            4 => self.vote_elsewhere(liar),
            5 => self.tamper(liar),
            6 => self.withhold(liar, newest),
            7 => {
                let far = [newest + 17, newest + 40, 1 << 40][self.lies.index(3)];
                self.vote_for_everything(liar, far);
            }
            _ => self.help(liar, newest),
        }
    }

    /// The newest round that anybody honest voted in.
    pub(super) fn newest_round(&self) -> u64 {
        let ceremonies = self
            .members
            .values()
            .filter_map(|one| one.ceremony.as_ref());
        ceremonies
            .map(|one| one.voted_round())
            .max()
            .unwrap_or(0)
            .max(1)
    }

    fn on_offer(&self) -> Vec<Hash> {
        let epoch = self.phase.election().epoch();
        let all = self.manifests.iter();
        let on = all.filter(|(_, manifest)| manifest.epoch == epoch);
        on.map(|(hash, _)| *hash).collect()
    }

    fn vote(&self, liar: Who, manifest: &Hash, round: u64, saying: Saying) -> Option<Document> {
        let text = self.manifests.get(manifest)?;
        let vote = person(liar)
            .ok()?
            .say(&self.phase.election(), text, round, saying);
        Some(Document::Vote(Box::new(vote.ok()?)))
    }

    /// Some of the others, as a liar likes.
    fn audience(&mut self) -> Vec<Who> {
        let all: Vec<Who> = self.members.keys().copied().collect();
        let all = all.into_iter();
        let one_in = [1, 1, 2, 3][self.lies.index(4)];
        all.filter(|_| self.lies.one_in(one_in)).collect()
    }

    fn show(&mut self, liar: Who, to: &[Who], document: Option<Document>) {
        let Some(document) = document else { return };
        let letter = self.post.write(&self.people, &document);
        self.record_own(&letter);
        letter.said.iter().for_each(|said| self.watch.heard(said));
        for to in to {
            self.transmit(liar, *to, vec![Rc::clone(&letter)]);
        }
    }

    fn record_own(&mut self, letter: &Rc<Letter>) {
        if !self.recording.iter().any(|one| one.id == letter.id) {
            self.recording.push(Rc::clone(letter));
        }
    }

    fn vote_for_everything(&mut self, liar: Who, round: u64) {
        self.watch.reached("a liar voted for everything");
        for manifest in self.on_offer() {
            let to = self.audience();
            let approval = self.vote(liar, &manifest, round, Saying::Approve);
            self.show(liar, &to, approval);
            if self.lies.one_in(2) {
                let commit = self.vote(liar, &manifest, round, Saying::Commit);
                let to = self.audience();
                self.show(liar, &to, commit);
            }
        }
    }

    /// A proposer who offers two manifests in one round, each to others.
    pub(super) fn offer_two(&mut self, liar: Who, round: u64) {
        let Some(draft) = self.phase.candidates.first() else {
            return;
        };
        let Some(mut draft) = self.phase.drafts.get(draft).cloned() else {
            return;
        };
        self.watch.reached("a liar offered two manifests");
        let opened = crate::clock::START_SECONDS + self.now_us / 1_000_000;
        for (side, half) in [self.audience(), self.audience()].into_iter().enumerate() {
            draft.variant = 1_000 + round * 2 + side as u64;
            let Some(hash) = self.offer_draft(&draft, false) else {
                return;
            };
            let text = &self.manifests[&hash];
            let made = person(liar).ok();
            let made = made.and_then(|one| {
                let election = self.phase.election();
                one.propose(&election, text, round, opened).ok()
            });
            self.show(
                liar,
                &half,
                made.map(|made| Document::Proposal(Box::new(made))),
            );
            let approval = self.vote(liar, &hash, round, Saying::Approve);
            self.show(liar, &half, approval);
        }
    }

    fn replay(&mut self, liar: Who) {
        for _ in 0..self.lies.below(REPLAYED) {
            let Some(letter) = self.lies.pick(&self.recording).cloned() else {
                return;
            };
            for to in self.audience() {
                self.transmit(liar, to, vec![Rc::clone(&letter)]);
            }
        }
    }

    /// Votes for another lineage or federation: a liar's own, and an honest one's, who takes part there, too.
    fn vote_elsewhere(&mut self, liar: Who) {
        let honest: Vec<Who> = self.members.keys().copied().collect();
        let honest = self.lies.pick(&honest).copied();
        let offers = self.on_offer();
        let Some(hash) = self.lies.pick(&offers).copied() else {
            return;
        };
        let text = self.manifests[&hash].clone();
        let base = self.phase.base.as_ref().map(|base| base.manifest().clone());
        let other_id = Hash([5; 32]);
        let elsewhere = match (&base, self.lies.one_in(2)) {
            (Some(base), true) => Election::amending(other_id, base),
            _ => Election::founding(OTHER_LINEAGE),
        };
        let foreign = elsewhere.base.is_none();
        let mut votes: Vec<Option<Vote>> = Vec::new();
        for who in [Some(liar), honest.filter(|_| foreign)]
            .into_iter()
            .flatten()
        {
            let one = person(who).ok();
            let made = |one: Rc<super::people::Person>| {
                one.say(&elsewhere, &text, 1, Saying::Approve).ok()
            };
            votes.push(one.and_then(made));
        }
        for vote in votes.into_iter().flatten() {
            let to = self.audience();
            let letter = self
                .post
                .write(&self.people, &Document::Vote(Box::new(vote)));
            for to in to {
                self.transmit(liar, to, vec![Rc::clone(&letter)]);
            }
        }
    }

    /// A document with something changed in it that still reads well.
    fn tamper(&mut self, liar: Who) {
        let Some(letter) = self.lies.pick(&self.recording).cloned() else {
            return;
        };
        let changed = [
            ("\"amendment_threshold\":3", "\"amendment_threshold\":4"),
            ("round 1\\n", "round 2\\n"),
            ("round 2\\n", "round 3\\n"),
            ("epoch 1\\n", "epoch 2\\n"),
            ("-approve/v1", "-refuse/v1"),
            ("Round 1, says", "Round one, says"),
        ];
        for (from, to) in changed {
            let json = letter.json.replace(from, to);
            if json == letter.json {
                continue;
            }
            match self.post.read(&self.people, &json) {
                Some(forged) => {
                    for to in self.audience() {
                        self.transmit(liar, to, vec![Rc::clone(&forged)]);
                    }
                }
                None => self.watch.reached("a damaged document was refused"),
            }
        }
    }

    /// A commit that one alone is shown.
    fn withhold(&mut self, liar: Who, round: u64) {
        let all: Vec<Who> = self.members.keys().copied().collect();
        let Some(to) = self.lies.pick(&all).copied() else {
            return;
        };
        let offers = self.on_offer();
        let Some(hash) = self.lies.pick(&offers).copied() else {
            return;
        };
        self.watch.reached("a withheld commit");
        for saying in [Saying::Approve, Saying::Commit] {
            let vote = self.vote(liar, &hash, round, saying);
            self.show(liar, &[to], vote);
        }
    }

    /// It behaves, for once.
    fn help(&mut self, liar: Who, round: u64) {
        let all: Vec<Who> = self.members.keys().copied().collect();
        let Some(hash) = self.phase.candidates.first().copied() else {
            return;
        };
        for saying in [Saying::Approve, Saying::Commit] {
            let vote = self.vote(liar, &hash, round, saying);
            self.show(liar, &all, vote);
        }
    }
}
