//! Starts, crashes, lost and moved disks, and what towers ack and give back. The ledger is a list here: how towers come to
//! hold it is the business of the other simulation.

use super::directory::Directory;
use super::member::Member;
use super::people::Who;
use super::step::Fate;
use super::watch::rule;
use super::world::{Event, HOUR_US, MINUTE_US, SECOND_US, World};
use crate::streams::Stream;
use belfry_protocol::genesis::ceremony::{Input, VoteId};
use belfry_protocol::manifest::{Manifest, Quorum};
use std::collections::BTreeSet;

/// How long a process is down at most, in microseconds.
pub(super) const DOWN_US: u64 = 30 * MINUTE_US;
/// Starts are counted from another multiple of this on every disk: what was asked of a key before its disk was lost is void.
pub(super) const BOOTS_OF_A_DISK: u64 = 1_000_000;
/// Pause between two tries to reach enough towers, in microseconds.
const RETRY_US: u64 = MINUTE_US;

impl World {
    /// A process comes up.
    pub(super) fn start(&mut self, who: Who) {
        let waits =
            self.plan.gone.contains(&who) || (self.plan.late.contains(&who) && !self.healed);
        if waits || self.members.get(&who).is_none_or(Member::is_up) {
            return;
        }
        #[cfg(feature = "sabotage")]
        if self.plan.is(super::plan::Sabotage::VolatileLock)
            && let Some(member) = self.members.get_mut(&who)
        {
            let _ = member.directory.forget_votes(); // what cannot be forgotten is not, and the control fails
        }
        self.come_up(who, vec![Input::Resume], false);
    }

    /// A process comes up, and is told this first.
    fn come_up(&mut self, who: Who, first: Vec<Input>, calmly: bool) {
        let Some(member) = self.members.get_mut(&who) else {
            return;
        };
        if let Err(error) = member.load() {
            let what = format!("it cannot start: {error}");
            return self.watch.fail(rule::RUNS, Some(who), what);
        }
        let documents = member.ceremony.as_ref().map(|c| c.documents());
        for document in documents.unwrap_or_default() {
            let letter = self.post.write(&self.people, &document);
            if let Some(member) = self.members.get_mut(&who) {
                member.hold(&letter);
            }
        }
        self.note(who, format_args!("starts"));
        if calmly {
            self.step(who, first, &[], None, Fate::Lives);
        } else {
            self.tell(who, first);
        }
        let Some(member) = self.members.get_mut(&who).filter(|one| one.is_up()) else {
            return;
        };
        member.restored = false;
        let (boot, rebuilding) = (member.boot, member.rebuilding);
        if rebuilding {
            self.after(SECOND_US, Event::Rebuild { who, boot });
        }
        self.is_active(who);
        self.plan_ack(who);
        self.arm_all(who);
        self.notices(who);
    }

    /// A process ends as `kill -9` ends it.
    pub(super) fn kill(&mut self, who: Who, down_us: u64) {
        let Some(member) = self.members.get_mut(&who).filter(|one| one.is_up()) else {
            return;
        };
        member.end();
        self.note(who, format_args!("dies"));
        self.after(down_us, Event::Start { who });
    }

    /// Something goes wrong with a machine.
    pub(super) fn accident(&mut self) {
        if self.healed {
            return;
        }
        let up: Vec<Who> = self
            .members
            .values()
            .filter(|one| one.is_up())
            .map(|one| one.who)
            .collect();
        if let Some(who) = self.mischief.pick(&up).copied() {
            match self.mischief.below(6) {
                0 if self.plan.losses && self.can_lose(who) => self.lose_disk(who),
                1 => self.move_house(who),
                2 if self.plan.wild_clocks => {
                    let hours = i64::try_from(self.mischief.below(60)).unwrap_or(0) - 30;
                    if let Some(member) = self.members.get_mut(&who) {
                        member.clock.step(hours * 3_600_000_000);
                    }
                    self.note(who, format_args!("sets its clock by {hours} h"));
                }
                _ => {
                    let down_us = SECOND_US + self.mischief.below(10 * HOUR_US);
                    self.kill(who, down_us);
                }
            }
        }
        self.plan_accident();
    }

    /// The next accident.
    pub(super) fn plan_accident(&mut self) {
        if self.plan.crash_one_in > 0 {
            let us = HOUR_US + self.mischief.below(16 * HOUR_US);
            self.after(us, Event::Accident);
        }
    }

    /// Whether those who are left can still bring the vote to an end, if the votes of somebody are lost for good.
    fn can_lose(&self, who: Who) -> bool {
        if self.is_watched(who) {
            return true;
        }
        let silent = |one: &&Member| one.rebuilding && !self.is_watched(one.who);
        let mut left = self.present();
        left.remove(&who);
        for one in self.members.values().filter(silent) {
            left.remove(&one.who);
        }
        let candidates = self.phase.candidates.iter();
        let mut rules = candidates.filter_map(|hash| self.watch.rule(hash));
        rules.all(|rule| rule.is_enough(&left))
    }

    /// The disk is gone; towers hold what they acked of the ledger, and perhaps more.
    fn lose_disk(&mut self, who: Who) {
        let watched = self.is_watched(who);
        let keep = self.mischief.next();
        let plan = self.plan.store;
        let Some(member) = self.members.get_mut(&who) else {
            return;
        };
        member.told_of_chain();
        member.end();
        let tail = (member.ledger.len() - member.acked) as u64 + 1;
        let held = member.acked + usize::try_from(keep % tail).unwrap_or(0);
        member.ledger.truncate(if watched { held } else { 0 });
        member.acked = member.acked.min(member.ledger.len());
        member.boot = (member.boot / BOOTS_OF_A_DISK + 1) * BOOTS_OF_A_DISK;
        member.rebuilding = true;
        member.restored = true;
        #[cfg(feature = "sabotage")]
        if self.plan.is(super::plan::Sabotage::ForgottenRestore) {
            (member.rebuilding, member.restored) = (false, false);
        }
        match Directory::new(plan, keep) {
            Ok(directory) => member.directory = directory,
            Err(error) => self.watch.fail(rule::RUNS, Some(who), error.to_string()),
        }
        self.watch.lost_disk(who);
        self.note(who, format_args!("loses its disk"));
        let down_us = MINUTE_US + self.mischief.below(6 * HOUR_US);
        self.after(down_us, Event::Start { who });
    }

    /// A member goes on in another directory, with the record of its votes.
    fn move_house(&mut self, who: Who) {
        let (store, seed) = (self.plan.store, self.mischief.next());
        let Some(member) = self.members.get_mut(&who) else {
            return;
        };
        if member.rebuilding {
            return; // its record would not be complete
        }
        let Some(ceremony) = &member.ceremony else {
            return;
        };
        let record = member.directory.export(ceremony);
        let made = Directory::new(store, seed);
        let (Ok(Some(record)), Ok(directory)) = (record, made) else {
            return self
                .watch
                .fail(rule::RUNS, Some(who), "it cannot move".to_owned());
        };
        member.told_of_chain();
        member.end();
        member.directory = directory;
        self.note(who, format_args!("moves with {} votes", record.votes.len()));
        if !record.votes.is_empty() {
            self.watch
                .reached("a votes' record moved to another directory");
        }
        self.come_up(
            who,
            vec![Input::Import(Box::new(record)), Input::Resume],
            true,
        );
    }

    /// The manifest of the epoch that a member is in, if it is a member of it.
    fn own_epoch(&self, who: Who) -> Option<&Manifest> {
        let member = self.members.get(&who)?;
        let known = member.ceremony.as_ref().and_then(|c| c.chain());
        let manifest = match (known, &member.founded) {
            (Some(chain), _) => chain.manifest(),
            (None, Some(founded)) => founded.manifest(),
            (None, None) => return None,
        };
        let identity = member.person.identity.verifier();
        let mut members = manifest.members.iter();
        members
            .any(|one| one.identity == *identity)
            .then_some(manifest)
    }

    /// Whether towers watch the ledger of somebody.
    fn is_watched(&self, who: Who) -> bool {
        self.own_epoch(who).is_some()
    }

    /// Who holds the ledger of a member, and how many of them must: towers hold a factory's. Nobody holds a mere
    /// tower's in the product, which then waits for no ack; here the other members do, so that everybody's votes come back.
    fn holders(&self, who: Who) -> Option<(BTreeSet<Who>, Quorum)> {
        let manifest = self.own_epoch(who)?;
        let own = self.members.get(&who)?.person.identity.verifier();
        let factory = manifest
            .members
            .iter()
            .any(|one| one.factory && one.identity == *own);
        let others = manifest.members.iter().filter(|one| one.identity != *own);
        let holders = others.filter(|one| one.tower || !factory);
        let holders: BTreeSet<Who> = holders
            .filter_map(|one| self.people.holder(&one.identity))
            .collect();
        let count = u32::try_from(holders.len()).ok()?;
        let quorum = if factory {
            Quorum::new(count, manifest.tower_quorum).ok()
        } else {
            Quorum::smallest(count)
        };
        Some((holders, quorum?))
    }

    /// How many of those who hold a member's ledger it reaches now.
    fn towers(&self, who: Who) -> Option<(usize, Quorum)> {
        let (holders, quorum) = self.holders(who)?;
        Some((
            holders.iter().filter(|one| self.hears(who, **one)).count(),
            quorum,
        ))
    }

    /// Whether enough nodes are left for everybody's entries to be acked.
    pub(super) fn can_ack(&self) -> bool {
        self.members
            .keys()
            .filter_map(|who| self.holders(*who))
            .all(|(holders, quorum)| {
                let left = holders.difference(&self.plan.gone).count();
                left >= quorum.needed as usize && left >= quorum.recovery as usize
            })
    }

    pub(super) fn append(
        &mut self,
        who: Who,
        boot: u64,
        vote: Option<VoteId>,
        kind: &'static str,
        body: String,
    ) {
        let alive = |member: &&mut Member| member.is_up() && member.boot == boot;
        let Some(member) = self.members.get_mut(&who).filter(alive) else {
            return;
        };
        let index = member.ledger.len() as u64;
        member.ledger.push(super::member::Entry { kind, body });
        let active = member.chain_epoch();
        self.note(who, format_args!("appends {kind} as {index}"));
        if let Some(id) = vote {
            self.tell(who, vec![Input::Appended { id, index }]);
        } else if let Some(epoch) = active.filter(|_| kind == "genesis.active") {
            self.tell(who, vec![Input::ActiveAppended { epoch }]);
        }
        #[cfg(feature = "sabotage")]
        if self.plan.is(super::plan::Sabotage::ReleaseBeforeAck) {
            self.tell(who, vec![Input::Acked { size: index + 1 }]);
        }
        self.plan_ack(who);
    }

    /// A digest over all entries goes to the towers soon.
    pub(super) fn plan_ack(&mut self, who: Who) {
        let us = SECOND_US + self.mischief.below(4 * SECOND_US);
        if let Some(member) = self.members.get_mut(&who).filter(|one| one.is_up())
            && !member.ack_planned
            && !member.ledger.is_empty()
        {
            member.ack_planned = true;
            let boot = member.boot;
            self.after(us, Event::Ack { who, boot });
        }
    }

    pub(super) fn ack(&mut self, who: Who, boot: u64) {
        let alive = |member: &&mut Member| member.is_up() && member.boot == boot;
        let Some(member) = self.members.get_mut(&who).filter(alive) else {
            return;
        };
        member.ack_planned = false;
        let founding = member.chain_epoch().is_none();
        if founding {
            return; // no digest leaves
        }
        let enough = match self.towers(who) {
            Some((reached, quorum)) => reached >= quorum.needed as usize,
            None => true, // a joiner: nobody watches it yet, and nothing waits for anybody
        };
        let Some(member) = self.members.get_mut(&who) else {
            return;
        };
        if !enough {
            member.ack_planned = true;
            return self.after(RETRY_US, Event::Ack { who, boot });
        }
        member.acked = member.ledger.len();
        let size = member.acked as u64;
        self.tell(who, vec![Input::Acked { size }]);
    }

    /// A restored member asks the towers for its ledger, and reads its votes out of it.
    pub(super) fn rebuild(&mut self, who: Who, boot: u64) {
        let alive = |member: &&Member| member.is_up() && member.boot == boot && member.rebuilding;
        let Some(member) = self.members.get(&who).filter(alive) else {
            return;
        };
        if member.chain_epoch().is_none() {
            return; // nobody holds its votes; after the founding it is asked again
        }
        let Some((reached, quorum)) = self.towers(who) else {
            return self.watch.reached("a restored joiner kept silent");
        };
        if reached < quorum.recovery as usize {
            return self.after(RETRY_US, Event::Rebuild { who, boot });
        }
        let votes = member.voted();
        self.note(who, format_args!("reads {} votes back", votes.len()));
        for (_, vote) in &votes {
            self.watch.reads_back(who, vote.statement());
        }
        self.tell(who, vec![Input::Rebuilt(votes)]);
        let now_us = self.now_us;
        let Some(member) = self.members.get_mut(&who) else {
            return;
        };
        match member.status(now_us) {
            Some(status) if !status.rebuilding => {
                member.rebuilding = false;
                self.watch.reached("a restored member rebuilt its votes");
                self.plan_ack(who);
            }
            Some(_) => {
                let what = "it was not let rebuild its votes".to_owned();
                self.watch.fail(rule::RUNS, Some(who), what);
            }
            None => {} // it died in the step, and tries again
        }
    }

    /// Seeds of what is made later.
    pub(super) fn fresh(&self, purpose: &str, index: u64) -> Stream {
        Stream::new(self.plan.seed, purpose, index)
    }
}
