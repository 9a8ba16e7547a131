//! One step of a member, as the product's writer takes it: one transaction, what is free, and what waited for the commit.
//! A process may die in it, after it, or while its promises leave.

use super::directory::{End, Stepped};
use super::letters::Letter;
use super::life::{BOOTS_OF_A_DISK, DOWN_US};
use super::people::Who;
use super::talk::COMPARE_US;
use super::watch::rule;
use super::world::{Event, HOUR_US, SECOND_US, World};
use belfry_protocol::genesis::ceremony::{Document, Free, Input, Promise, Refused, Signer, VoteId};
use belfry_protocol::genesis::{GenesisError, Statement};
use std::rc::Rc;

/// How a step ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Lives,
    /// It dies in the commit.
    InCommit,
    /// Its step is durable, and nothing of it leaves.
    AfterCommit,
    /// Some of its promises are kept.
    Halfway,
}

impl World {
    fn fate(&mut self) -> Fate {
        if self.healed || !self.mischief.one_in(self.plan.crash_one_in) {
            return Fate::Lives;
        }
        match self.mischief.below(3) {
            0 => Fate::InCommit,
            1 => Fate::AfterCommit,
            _ => Fate::Halfway,
        }
    }

    /// Tells a member something.
    pub(super) fn tell(&mut self, who: Who, inputs: Vec<Input>) {
        let fate = self.fate();
        self.step(who, inputs, &[], None, fate);
    }

    /// Hands a member letters from somebody.
    pub(super) fn hand(&mut self, who: Who, letters: &[Rc<Letter>], from: Option<Who>) {
        let document = |letter: &Rc<Letter>| Input::Document(Box::new(letter.document.clone()));
        let inputs = letters.iter().map(document).collect();
        let fate = self.fate();
        self.step(who, inputs, letters, from, fate);
    }

    /// One step. The first inputs are `letters`.
    pub(super) fn step(
        &mut self,
        who: Who,
        inputs: Vec<Input>,
        letters: &[Rc<Letter>],
        from: Option<Who>,
        fate: Fate,
    ) {
        let now_us = self.now_us;
        let Some(member) = self.members.get_mut(&who) else {
            return;
        };
        let wall_seconds = member.wall_seconds(now_us);
        let Some(mut ceremony) = member.ceremony.take() else {
            return;
        };
        self.steps += 1;
        for letter in letters {
            self.watch.shown(who, letter, wall_seconds);
        }
        let dies = fate == Fate::InCommit;
        let end = member
            .directory
            .step(&mut ceremony, wall_seconds, inputs, dies);
        member.ceremony = Some(ceremony);
        let (free, promises) = match end {
            End::Committed(Stepped { free, promises }) => (free, promises),
            End::Died(Stepped { free, promises }) => {
                self.watch.reached("a step died before its commit");
                self.release(who, free, letters, from);
                self.promise_too_early(who, promises);
                return self.dies(who);
            }
            End::Failed(error) => {
                let what = format!("its store failed: {error}");
                return self.watch.fail(rule::RUNS, Some(who), what);
            }
        };
        // A lock that is durable is a vote, whether its signature is ever made or not.
        for promise in &promises {
            if let Promise::Sign { statement, .. } = promise {
                self.watch.locks(who, statement, wall_seconds);
            }
        }
        let signs = promises.iter().any(|p| matches!(p, Promise::Sign { .. }));
        let sends = promises.iter().any(|p| matches!(p, Promise::Send(_)));
        let moved = self.moves_on(who);
        self.release(who, free, letters, from);
        let kept = match fate {
            Fate::AfterCommit => 0,
            Fate::Halfway => promises.len() / 2,
            _ => promises.len(),
        };
        if kept == 0 && signs {
            self.watch
                .reached("a lock was set and its signature was lost");
        }
        if kept == 0 && sends {
            self.watch.reached("a signature was made and never sent");
        }
        for promise in promises.into_iter().take(kept) {
            self.keep(who, promise);
        }
        if moved {
            self.is_active(who);
        }
        if fate != Fate::Lives {
            self.dies(who);
        }
    }

    fn dies(&mut self, who: Who) {
        let down_us = SECOND_US + self.mischief.below(DOWN_US);
        self.kill(who, down_us);
    }

    /// Whether another vote is on for a member than before the step.
    fn moves_on(&mut self, who: Who) -> bool {
        let Some(member) = self.members.get_mut(&who) else {
            return false;
        };
        let election = member.ceremony.as_ref().and_then(|c| c.election());
        let moved = election.is_some_and(|election| election.epoch() != member.epoch);
        if moved {
            member.forget();
            self.arm_all(who);
        }
        moved
    }

    fn release(&mut self, who: Who, free: Vec<Free>, letters: &[Rc<Letter>], from: Option<Who>) {
        let (mut again, mut ahead) = (vec![false; letters.len()], vec![false; letters.len()]);
        for one in free {
            match one {
                Free::Pass(document) => {
                    let letter = self.post.write(&self.people, &document);
                    self.has(who, &letter);
                    self.push(who, &letter, from);
                    #[cfg(feature = "sabotage")]
                    self.commit_always(who, &letter);
                }
                Free::Refused { input, why } => {
                    // What may be taken later must be shown again.
                    if let Some(again) = again.get_mut(input) {
                        *again = matches!(why, Refused::Unknown(_) | Refused::TooMany { .. });
                    }
                    if let Some(ahead) = ahead.get_mut(input) {
                        *ahead = matches!(why, Refused::TooFar { .. });
                    }
                    self.refused(who, &why, letters.get(input));
                }
                Free::Accused(evidence) => {
                    self.note(who, format_args!("accuses {}", evidence.accused()));
                    self.watch.accuses(who, evidence.accused());
                }
                Free::Behind { .. } => self.arm_all(who),
            }
        }
        if let Some(member) = self.members.get_mut(&who) {
            for (at, letter) in letters.iter().enumerate() {
                if again[at] || letter.epoch() != member.epoch {
                    continue;
                }
                if ahead[at] {
                    member.postpone(letter.id);
                } else {
                    member.judge(letter.id);
                }
            }
            if member.catch_up() {
                self.arm_all(who);
            }
        }
    }

    /// A member has a letter now, if it is about the vote that is on.
    fn has(&mut self, who: Who, letter: &Rc<Letter>) {
        if let Some(member) = self.members.get_mut(&who)
            && letter.epoch() == member.epoch
        {
            member.hold(letter);
            self.arm_all(who);
        }
    }

    fn refused(&mut self, who: Who, why: &Refused, letter: Option<&Rc<Letter>>) {
        self.note(who, format_args!("refuses: {why}"));
        let rare = match why {
            Refused::Confirmation { .. } => "a wrong confirmation was refused",
            Refused::Locked { .. } => "a member was held by its lock",
            Refused::RoundBack { .. } => "a member would have gone back to an earlier round",
            Refused::Voted { .. } => "a second approval in one round was refused",
            Refused::TooSoon { .. } => "a member asked for too early a yield",
            Refused::TooFar { .. } if letter.is_some() => "a vote too far ahead was refused",
            Refused::CannotRebuild => "a restored founder was not let vote",
            Refused::Over(_) => "a vote of an earlier epoch was replayed and refused",
            Refused::Document(GenesisError::OtherVote { .. }) => {
                "a vote for another lineage was refused"
            }
            Refused::Document(GenesisError::Signature { .. }) => "a tampered document was refused",
            _ => return,
        };
        self.watch.reached(rare);
    }

    fn keep(&mut self, who: Who, promise: Promise) {
        let boot = self.members.get(&who).map_or(0, |member| member.boot);
        match promise {
            Promise::Sign {
                id,
                statement,
                signer,
            } => {
                // An identity key may be on another machine, and somebody carries a stick.
                let elsewhere = signer == Signer::Identity && self.minds.one_in(8) && !self.healed;
                let us = if elsewhere { 2 * HOUR_US } else { SECOND_US };
                let us = 1_000 + self.minds.below(us);
                let event = Event::Sign {
                    who,
                    boot,
                    id,
                    statement,
                };
                self.after(us, event);
            }
            Promise::Append { vote, kind, body } => {
                let us = 2_000 + self.mischief.below(50_000);
                let event = Event::Append {
                    who,
                    boot,
                    vote,
                    kind,
                    body,
                };
                self.after(us, event);
            }
            Promise::Send(document) => {
                let letter = self.post.write(&self.people, &document);
                self.has(who, &letter);
                self.push(who, &letter, None);
            }
            Promise::Activated(_) => {} // seen by its chain
        }
    }

    /// The key signs what a durable lock allows.
    pub(super) fn sign(&mut self, who: Who, boot: u64, _id: VoteId, statement: &Statement) {
        let Some(member) = self.members.get(&who).filter(|member| member.is_up()) else {
            return;
        };
        // What was carried away before a crash may come back after it.
        let same_disk = member.boot / BOOTS_OF_A_DISK == boot / BOOTS_OF_A_DISK;
        let carried = member.boot == boot || (same_disk && self.minds.one_in(2));
        if !carried {
            return;
        }
        let person = Rc::clone(&member.person);
        self.watch.signs(who, statement);
        let subject = statement.subject;
        self.note(
            who,
            format_args!(
                "signs {:?} of {} in round {}",
                statement.saying, subject.manifest, subject.round
            ),
        );
        match person.sign(statement) {
            Ok(vote) => self.tell(who, vec![Input::Signed(Box::new(vote))]),
            Err(error) => self.watch.fail(rule::RUNS, Some(who), error.to_string()),
        }
    }

    /// Everybody who has something new compares with the others soon.
    pub(super) fn arm_all(&mut self, who: Who) {
        let others: Vec<Who> = self.members.keys().copied().collect();
        for other in others.into_iter().filter(|other| *other != who) {
            self.arm(who.min(other), who.max(other));
        }
    }

    /// Two compare what they have at the next beat of the one with the lower number.
    pub(super) fn arm(&mut self, from: Who, to: Who) {
        let pair = self.pairs.entry((from, to)).or_default();
        if pair.armed {
            return;
        }
        pair.armed = true;
        let beat_us = COMPARE_US * (from as u64 + 1) / 8;
        let us = COMPARE_US - (self.now_us + beat_us) % COMPARE_US;
        self.after(us, Event::Compare { from, to });
    }

    /// A node whose key signs, and that sends, before its step is durable.
    #[cfg(feature = "sabotage")]
    fn promise_too_early(&mut self, who: Who, promises: Vec<Promise>) {
        if !self.plan.is(super::plan::Sabotage::PromisesBeforeCommit) {
            return;
        }
        for promise in promises {
            let Promise::Sign { statement, .. } = promise else {
                continue;
            };
            if let Some(Ok(vote)) = self
                .members
                .get(&who)
                .map(|one| one.person.sign(&statement))
            {
                let letter = self
                    .post
                    .write(&self.people, &Document::Vote(Box::new(vote)));
                self.push(who, &letter, None);
            }
        }
    }

    #[cfg(not(feature = "sabotage"))]
    fn promise_too_early(&mut self, _who: Who, _promises: Vec<Promise>) {}

    /// A node that commits to every certificate it meets, whatever its lock says.
    #[cfg(feature = "sabotage")]
    fn commit_always(&mut self, who: Who, letter: &Rc<Letter>) {
        use belfry_protocol::genesis::Saying;
        let Document::Certificate(certificate) = &letter.document else {
            return;
        };
        if !self.plan.is(super::plan::Sabotage::CommitAlways) {
            return;
        }
        let election = self.phase.election();
        let subject = election.subject(certificate.manifest.hash(), certificate.round);
        let statement = Statement {
            subject,
            saying: Saying::Commit,
        };
        let wall_seconds = self.members[&who].wall_seconds(self.now_us);
        self.watch.locks(who, &statement, wall_seconds);
    }
}

impl Letter {
    /// The epoch it is about.
    pub(super) fn epoch(&self) -> u64 {
        match &self.document {
            Document::Proposal(proposal) => proposal.manifest().epoch,
            Document::Vote(vote) => vote.statement().subject.epoch,
            Document::Certificate(certificate) => certificate.manifest.epoch,
            Document::Link(link) => link.manifest().epoch,
            Document::Evidence(evidence) => evidence.votes()[0].statement().subject.epoch,
        }
    }
}
