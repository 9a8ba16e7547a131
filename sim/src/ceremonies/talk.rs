//! Letters on their way: what is new is pushed to everybody, and whoever has something new compares with each other a few
//! seconds later, so that nothing is lost for good. A pair with nothing new does not compare: it would change nothing.

use super::letters::Letter;
use super::member::Fingerprint;
use super::people::Who;
use super::world::{Event, World};
use crate::net::Fate;
use belfry_protocol::tlog::hash::Hash;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Pause between two comparisons of a pair in microseconds, while one of both has something new.
pub(super) const COMPARE_US: u64 = 5_000_000;
/// How often the same letters are offered to a peer that does not take them, before one of both has something new.
const OFFERS_MAX: u32 = 3;
/// Letters that liars remember.
const RECORDED_MAX: usize = 2_000;

/// Two that compare what they have.
#[derive(Default)]
pub(super) struct Pair {
    pub(super) armed: bool,
    /// What the newest offer was, and how often it was made.
    offered: (Fingerprint, u32),
}

/// What somebody has.
pub(super) enum Digest {
    Short {
        epoch: u64,
        known: Fingerprint,
    },
    Full {
        epoch: u64,
        known: Rc<BTreeSet<Hash>>,
        /// The other one's is wanted, too.
        asks: bool,
    },
}

impl World {
    /// Tells everybody but whoever it came from.
    pub(super) fn push(&mut self, from: Who, letter: &Rc<Letter>, except: Option<Who>) {
        self.leaves(from, letter);
        let around: Vec<Who> = self.around.iter().copied().collect();
        for to in around {
            if to != from && Some(to) != except {
                self.transmit(from, to, vec![Rc::clone(letter)]);
            }
        }
    }

    /// What leaves an honest member is looked at.
    fn leaves(&mut self, from: Who, letter: &Rc<Letter>) {
        if !self.plan.is_honest(from) {
            return letter.said.iter().for_each(|said| self.watch.heard(said));
        }
        let own: Vec<_> = self.watch.own_words(from, letter);
        let own: Vec<_> = own.into_iter().cloned().collect();
        for said in own {
            let text = said.statement.to_string();
            let subject = said.statement.subject;
            // Before epoch 0 there are no towers, and those of N do not watch who is no member.
            let rule = self.watch.rule(&subject.manifest);
            let unwatched =
                subject.epoch == 0 || rule.is_some_and(|rule| rule.joiners.contains(&from));
            let Some(member) = self.members.get_mut(&from) else {
                return;
            };
            let kept = member.is_kept(&text).unwrap_or(false);
            let acked = unwatched || member.is_acked(&text);
            self.watch.leaves(from, &said, kept, acked);
        }
    }

    /// Sends letters as one message; says whether they arrive.
    pub(super) fn transmit(&mut self, from: Who, to: Who, letters: Vec<Rc<Letter>>) -> bool {
        if !self.plan.is_honest(to) {
            self.record(&letters);
            return true;
        }
        self.messages += 1;
        match self.net.fate(self.now_us, from, to) {
            Fate::Lost | Fate::Stalls => false,
            Fate::Arrives { corrupt: true, .. } => {
                self.damage(&letters);
                false
            }
            Fate::Arrives {
                at_us, again_us, ..
            } => {
                for at_us in [Some(at_us), again_us].into_iter().flatten() {
                    let letters = letters.clone();
                    let event = Event::Arrive { to, from, letters };
                    self.after(at_us.saturating_sub(self.now_us), event);
                }
                true
            }
        }
    }

    /// A bit flips on the way: the transport would have noticed, and the reader does.
    fn damage(&mut self, letters: &[Rc<Letter>]) {
        for letter in letters {
            let mut bytes = letter.json.clone().into_bytes();
            self.net.corrupt(&mut bytes);
            let read = std::str::from_utf8(&bytes).ok();
            let read = read.and_then(|json| self.post.read(&self.people, json));
            if read.is_none() {
                self.watch.reached("a damaged document was refused");
            }
        }
    }

    fn record(&mut self, letters: &[Rc<Letter>]) {
        for letter in letters {
            let known = self.recording.iter().any(|one| one.id == letter.id);
            if !known && self.recording.len() < RECORDED_MAX {
                self.recording.push(Rc::clone(letter));
            }
        }
    }

    pub(super) fn arrive(&mut self, to: Who, from: Who, letters: Vec<Rc<Letter>>) {
        let Some(member) = self.members.get(&to).filter(|member| member.is_up()) else {
            return;
        };
        let liar = !self.plan.is_honest(from);
        let epoch = member.epoch;
        // Copies come from everybody, and most of what is over is known to be: what liars replay is looked at.
        let new =
            |letter: &Rc<Letter>| !member.knows(&letter.id) && (liar || letter.epoch() >= epoch);
        let letters: Vec<Rc<Letter>> = letters.into_iter().filter(new).collect();
        if letters.is_empty() {
            return;
        }
        for letter in &letters {
            let id = letter.id.to_hex();
            self.note(
                to,
                format_args!("gets {} {} from {from}", letter.word(), &id[..8]),
            );
        }
        self.hand(to, &letters, Some(from));
        let epoch_now = self.members.get(&to).map_or(0, |member| member.epoch);
        if epoch_now > epoch {
            let own = |letter: &Rc<Letter>| letter.rank() == 0;
            if letters.iter().filter(|letter| own(letter)).count() > 0 {
                self.watch
                    .reached("a member that was away walked the chain");
            }
        }
        self.notices(to);
    }

    fn reaches(&self, a: Who, b: Who) -> bool {
        !self.net.is_blocked(a, b) && !self.net.is_blocked(b, a)
    }

    /// Whether two can talk to each other now.
    pub(super) fn hears(&self, a: Who, b: Who) -> bool {
        let up = |who: Who| match self.members.get(&who) {
            Some(member) => member.is_up(),
            None => self.around.contains(&who),
        };
        up(a) && up(b) && self.reaches(a, b)
    }

    pub(super) fn compare(&mut self, from: Who, to: Who) {
        if let Some(pair) = self.pairs.get_mut(&(from, to)) {
            pair.armed = false;
        }
        // Whoever comes up or is reached again compares then.
        if !self.hears(from, to) {
            return;
        }
        let member = &self.members[&from];
        let digest = Digest::Short {
            epoch: member.epoch,
            known: member.known(),
        };
        self.ask(from, to, digest);
    }

    /// A question between two; one that is lost is asked again.
    fn ask(&mut self, from: Who, to: Who, digest: Digest) {
        self.messages += 1;
        match self.net.fate(self.now_us, from, to) {
            Fate::Arrives {
                at_us,
                corrupt: false,
                ..
            } => {
                let us = at_us.saturating_sub(self.now_us);
                self.after(us, Event::Digest { from, to, digest });
            }
            _ => self.arm(from.min(to), from.max(to)),
        }
    }

    pub(super) fn digest(&mut self, from: Who, to: Who, digest: Digest) {
        let Some(member) = self.members.get(&to).filter(|member| member.is_up()) else {
            return;
        };
        let own = |asks: bool| Digest::Full {
            epoch: member.epoch,
            known: Rc::new(member.all_known()),
            asks,
        };
        match digest {
            Digest::Short { epoch, known } => {
                if (epoch, known) != (member.epoch, member.known()) {
                    let answer = own(true);
                    self.ask(to, from, answer);
                }
            }
            Digest::Full { epoch, known, asks } => {
                let answer = asks.then(|| own(false));
                if let Some(answer) = answer {
                    self.ask(to, from, answer);
                }
                self.offer(to, from, epoch, &known);
            }
        }
    }

    /// Sends what another one lacks.
    fn offer(&mut self, from: Who, to: Who, epoch: u64, known: &BTreeSet<Hash>) {
        let Some(member) = self.members.get_mut(&from) else {
            return;
        };
        let mut lacking: Vec<Rc<Letter>> = Vec::new();
        if epoch == member.epoch {
            let held = member.held.values();
            lacking.extend(held.filter(|one| !known.contains(&one.id)).cloned());
            lacking.sort_by_key(|letter| letter.rank());
        } else if epoch < member.epoch {
            for json in member.links() {
                let json = String::from_utf8(json).unwrap_or_default();
                lacking.extend(self.post.read(&self.people, &json));
            }
            lacking.retain(|link| link.epoch() >= epoch);
        }
        if lacking.is_empty() {
            return;
        }
        let mut print: Fingerprint = 0;
        for letter in &lacking {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&letter.id.0[..16]);
            print ^= Fingerprint::from_be_bytes(bytes);
            self.leaves(from, letter);
        }
        let pair = self.pairs.entry((from.min(to), from.max(to))).or_default();
        let times = if pair.offered.0 == print {
            pair.offered.1 + 1
        } else {
            0
        };
        pair.offered = (print, times);
        let arrives = self.transmit(from, to, lacking);
        if !arrives || times < OFFERS_MAX {
            self.arm(from.min(to), from.max(to));
        }
    }

    /// The network is cut in two for a while.
    pub(super) fn cut(&mut self) {
        if self.healed {
            return;
        }
        let around: Vec<Who> = self.around.iter().copied().collect();
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for who in around {
            if self.mischief.one_in(2) {
                here.push(who);
            } else {
                there.push(who);
            }
        }
        let mut ways = Vec::new();
        let one_way = self.mischief.one_in(5);
        for a in &here {
            for b in &there {
                ways.push((*a, *b));
                if !one_way {
                    ways.push((*b, *a));
                }
            }
        }
        for way in &ways {
            self.net.block(*way);
        }
        self.note(
            0,
            format_args!("the network is cut: {here:?} and {there:?}"),
        );
        let us = 60_000_000 + self.mischief.below(12 * 3_600_000_000);
        self.after(us, Event::Mend { ways });
        self.plan_cut();
    }

    pub(super) fn mend(&mut self, ways: &[(Who, Who)]) {
        for way in ways {
            self.net.unblock(*way);
        }
        self.note(0, format_args!("the network is whole again"));
        self.all_compare();
    }

    pub(super) fn all_compare(&mut self) {
        let all: Vec<Who> = self.members.keys().copied().collect();
        for (at, from) in all.iter().enumerate() {
            for to in &all[at + 1..] {
                self.arm(*from, *to);
            }
        }
    }

    /// The next cut.
    pub(super) fn plan_cut(&mut self) {
        if let Some(pause) = (200 * 3_600_000_000_u64).checked_div(self.plan.cuts) {
            let us = self.mischief.below(pause);
            self.after(us, Event::Cut);
        }
    }
}
