//! What people do at their screens while things go wrong: they come when they come, confirm, mistype, refuse, take back,
//! give way, and begin the next round when by their own clock 72 hours are over. May not look into a node.

use super::count::Word;
use super::people::Who;
use super::plan::Kind;
use super::watch::rule;
use super::world::{Event, HOUR_US, MINUTE_US, World};
use belfry_protocol::genesis::ceremony::status::{ManifestStatus, State};
use belfry_protocol::genesis::ceremony::{Document, Input, Status, confirmation};
use belfry_protocol::genesis::{GenesisError, Saying, Vote};
use belfry_protocol::tlog::hash::Hash;
use std::collections::BTreeSet;
use std::rc::Rc;

impl World {
    /// Something new is on a screen, or may be: somebody looks some time later.
    pub(super) fn notices(&mut self, who: Who) {
        let us = 5 * MINUTE_US + self.minds.below(3 * HOUR_US);
        self.plan_look(who, us);
    }

    fn plan_look(&mut self, who: Who, us: u64) {
        if self.healed || self.plan.silent.contains(&who) {
            return;
        }
        if let Some(member) = self.members.get_mut(&who)
            && !member.human.looks
        {
            member.human.looks = true;
            self.after(us, Event::Look { who });
        }
    }

    pub(super) fn look(&mut self, who: Who) {
        let now_us = self.now_us;
        let Some(member) = self.members.get_mut(&who) else {
            return;
        };
        member.human.looks = false;
        let status = member.status(now_us);
        let us = 2 * HOUR_US + self.minds.below(8 * HOUR_US);
        self.plan_look(who, us);
        // Once people talk to each other, they do what they agreed on. Some try although the screen says that they cannot.
        let stubborn = self.minds.one_in(4);
        if let Some(status) = status.filter(|one| !self.healed && (!one.rebuilding || stubborn)) {
            self.act(who, &status);
        }
    }

    fn act(&mut self, who: Who, status: &Status) {
        self.may_give_way(who, status);
        let proposed = status.manifests.iter().filter(|one| !one.title.is_empty());
        let Some(round) = proposed.clone().map(|one| one.round).max() else {
            return;
        };
        let on = proposed.filter(|one| one.round == round);
        let is_open = |one: &&ManifestStatus| matches!(one.state, State::Open | State::Ready);
        let open: Vec<Hash> = on.clone().filter(is_open).map(|one| one.manifest).collect();
        let expired: Vec<Hash> = on
            .filter(|one| one.state == State::Expired)
            .map(|one| one.manifest)
            .collect();
        let voted = self.members[&who].ceremony.as_ref();
        let voted = voted.and_then(|ceremony| ceremony.voted(round).0);
        if voted.is_none() && status.voted_round <= round && !open.is_empty() {
            return self.choose(who, status, &open, round);
        }
        if voted.is_some() && self.minds.one_in(12) {
            return self.try_again(who, &open, round);
        }
        let impatient = self.minds.one_in(if self.plan.quarrel { 12 } else { 40 });
        // Somebody does it, and most often only one.
        if (open.is_empty() && self.minds.one_in(2)) || impatient {
            if !expired.is_empty() {
                self.watch.reached("a new round was begun after 72 hours");
                self.is_told_apart(&expired);
            }
            return self.convene(who, status, round + 1);
        }
        if self.minds.one_in(60) {
            self.withdraw(who, status);
        }
    }

    /// Whether what is over by one clock is open by another.
    fn is_told_apart(&mut self, expired: &[Hash]) {
        let now_us = self.now_us;
        let is_open = |status: Status| {
            let mut all = status.manifests.into_iter();
            all.any(|one| one.state == State::Open && expired.contains(&one.manifest))
        };
        let mut all = self.members.values();
        if all.any(|member| member.status(now_us).is_some_and(is_open)) {
            self.watch
                .reached("one proposal was expired for one and open for another");
        }
    }

    fn choose(&mut self, who: Who, status: &Status, open: &[Hash], round: u64) {
        let human = &self.members[&who].human;
        let favourite = self.phase.candidates.get(human.favourite).copied();
        let favourite = favourite.filter(|hash| open.contains(hash));
        let refuses = human.refuses.clone();
        let any = self.minds.pick(open).copied();
        let waits = favourite.is_none() && self.plan.quarrel && self.minds.one_in(2);
        let Some(chosen) = favourite.or(any).filter(|_| !waits) else {
            return;
        };
        let name = self.members[&who].person.identity.name().to_owned();
        if refuses.contains(&chosen) {
            let mut all = status.manifests.iter();
            let said = all
                .any(|one| one.manifest == chosen && one.refused.iter().any(|(by, _)| *by == name));
            if !said {
                self.refuse(who, &chosen, round);
            }
            return;
        }
        self.confirm(who, &chosen, round);
    }

    /// Somebody thinks better of it: votes for another one, or in a round that is over.
    fn try_again(&mut self, who: Who, open: &[Hash], round: u64) {
        let Some(manifest) = self.minds.pick(open).copied() else {
            return;
        };
        let earlier = round > 1 && self.minds.one_in(2);
        self.confirm(who, &manifest, if earlier { round - 1 } else { round });
    }

    /// A human types what the screen asks for, or something else.
    pub(super) fn confirm(&mut self, who: Who, manifest: &Hash, round: u64) {
        let Some(member) = self.members.get(&who).filter(|member| member.is_up()) else {
            return;
        };
        let epoch = member.epoch;
        let mut confirm = confirmation(epoch, manifest);
        let mistyped = !self.healed && self.minds.one_in(10);
        if mistyped {
            #[cfg(feature = "sabotage")]
            let takes_anything = self.plan.is(super::plan::Sabotage::AnyConfirmation);
            #[cfg(not(feature = "sabotage"))]
            let takes_anything = false;
            if !takes_anything {
                confirm = confirmation(epoch + 1, manifest);
            }
        } else {
            self.watch
                .wished(who, epoch, Word::Approve, *manifest, round);
        }
        self.note(who, format_args!("types {confirm} in round {round}"));
        let input = Input::Approve {
            manifest: *manifest,
            round,
            confirm,
        };
        self.tell(who, vec![input]);
    }

    /// Those who wish to give way to a recovery do, when they may, and now and then before.
    pub(super) fn may_give_way(&mut self, who: Who, status: &Status) {
        let yields = self.members[&who].human.yields && status.yielded.is_none();
        let on = status.manifests.iter().find(|one| one.recovery.is_some());
        let Some(on) = on.filter(|_| yields) else {
            return;
        };
        let (manifest, epoch) = (on.manifest, status.epoch);
        self.watch.wished(who, epoch, Word::Yield, manifest, 0);
        let confirm = confirmation(epoch, &manifest);
        self.tell(who, vec![Input::Yield { manifest, confirm }]);
    }

    /// The next round: for what is certified or locked, else without those who are silent, else for what somebody likes.
    fn convene(&mut self, who: Who, status: &Status, round: u64) {
        let ready = status.manifests.iter().any(|one| one.state == State::Ready);
        let bound = (ready || status.lock.is_some()) && !self.minds.one_in(6);
        let (suggested, next) = status.suggested.unwrap_or((Hash::default(), round));
        let likes = self.minds.pick(&self.phase.candidates).copied();
        let mut wanted = if bound { Some(suggested) } else { likes };
        if !bound && self.phase.kind() == Some(Kind::Found) {
            wanted = self.without_the_silent(status).or(wanted);
        }
        if let Some(wanted) = wanted {
            self.propose(who, &wanted, next.max(round));
        }
    }

    /// The newest list of founders without those who did not accept it.
    pub(super) fn without_the_silent(&mut self, status: &Status) -> Option<Hash> {
        let fullest = status
            .manifests
            .iter()
            .max_by_key(|one| (one.approved.len(), one.round))?;
        let draft = self.phase.drafts.get(&fullest.manifest)?.clone();
        let silent: BTreeSet<Who> = draft
            .seats
            .keys()
            .copied()
            .filter(|who| fullest.silent.contains(&super::people::name(*who)))
            .collect();
        if silent.is_empty() {
            return None;
        }
        let mut shorter = draft;
        shorter.seats.retain(|who, _| !silent.contains(who));
        self.phase.needs_factory(&mut shorter);
        self.offer_draft(&shorter, true)
    }

    /// Somebody proposes a manifest for a round.
    pub(super) fn propose(&mut self, who: Who, manifest: &Hash, round: u64) {
        let opened = self
            .members
            .get(&who)
            .map(|member| member.wall_seconds(self.now_us));
        let (Some(opened), Some(text)) = (opened, self.manifests.get(manifest)) else {
            return;
        };
        let Some(member) = self.members.get(&who).filter(|member| member.is_up()) else {
            return;
        };
        let votes = self
            .watch
            .rule(manifest)
            .is_some_and(|rule| rule.old.contains(&who));
        if !votes {
            return; // only those may who vote
        }
        let made = member
            .person
            .propose(&self.phase.election(), text, round, opened);
        self.note(who, format_args!("proposes {manifest} in round {round}"));
        self.brings(who, made.map(|made| Document::Proposal(Box::new(made))));
    }

    fn refuse(&mut self, who: Who, manifest: &Hash, round: u64) {
        let reason = "It is too early, I would say".to_owned();
        let Some(vote) = self.says(who, manifest, round, Saying::Refuse { reason }) else {
            return;
        };
        let joins = self.watch.rule(manifest);
        let joins = joins.is_some_and(|rule| rule.epoch > 0 && rule.joiners.contains(&who));
        self.watch.reached(if joins {
            "a joiner refused"
        } else {
            "a member refused and said why"
        });
        self.brings(who, vote);
    }

    fn withdraw(&mut self, who: Who, status: &Status) {
        let name = self.members[&who].person.identity.name().to_owned();
        let own = status.manifests.iter();
        let own = own.filter(|one| one.proposer == name && one.state == State::Open);
        let Some((manifest, round)) = own.map(|one| (one.manifest, one.round)).next() else {
            return;
        };
        if let Some(vote) = self.says(who, &manifest, round, Saying::Withdraw) {
            self.watch.reached("a proposal was withdrawn");
            self.brings(who, vote);
        }
    }

    fn says(
        &self,
        who: Who,
        manifest: &Hash,
        round: u64,
        saying: Saying,
    ) -> Option<Result<Document, GenesisError>> {
        let text = self.manifests.get(manifest)?;
        let person = &self.members.get(&who)?.person;
        let vote: Result<Vote, _> = person.say(&self.phase.election(), text, round, saying);
        Some(vote.map(|vote| Document::Vote(Box::new(vote))))
    }

    /// An operator hands their own node a document.
    fn brings(&mut self, who: Who, document: Result<Document, GenesisError>) {
        match document {
            Ok(document) => {
                let letter = self.post.write(&self.people, &document);
                self.hand(who, &[Rc::clone(&letter)], None);
            }
            Err(error) => self.watch.fail(rule::RUNS, Some(who), error.to_string()),
        }
    }
}
