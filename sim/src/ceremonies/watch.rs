//! Whether the rules of founding and amending are kept: sees every signature, everything that leaves a member and
//! everything that reaches it. Knows who lies, and counts for itself. May not change anything.

use super::count::{Rule, Tally, Word};
use super::letters::{Letter, Said};
use super::people::{LINEAGE, Who, name};
use super::sometimes::RARE;
use crate::watch::Violation;
use belfry_protocol::genesis::{Saying, Statement};
use belfry_protocol::tlog::hash::Hash;
use std::collections::{BTreeMap, BTreeSet};

/// What honest members may not do, by number, as `docs/simulator.md` lists them.
pub(super) mod rule {
    pub(in crate::ceremonies) const ONE_ACTIVE: &str = "G1";
    pub(in crate::ceremonies) const VOTES: &str = "G2";
    pub(in crate::ceremonies) const DURABLE: &str = "G3";
    pub(in crate::ceremonies) const ACCUSED: &str = "G4";
    pub(in crate::ceremonies) const CHAIN: &str = "G5";
    pub(in crate::ceremonies) const HUMANS: &str = "G6";
    pub(in crate::ceremonies) const ENDS: &str = "G7";
    pub(in crate::ceremonies) const RUNS: &str = "G8";
}

/// 72 hours.
const YIELD_AFTER_SECONDS: u64 = 72 * 3_600;

/// What one key signed in a round: for which manifest, and whether it left the member.
#[derive(Clone, Copy, Debug)]
struct Signed {
    manifest: Hash,
    left: bool,
}

/// What one honest member did and was shown in an epoch.
#[derive(Default)]
struct Conduct {
    signed: BTreeMap<(Word, u64), Signed>,
    /// What its human confirmed: with a yield, when by its own clock the earliest is.
    wishes: BTreeSet<(Word, Hash, u64)>,
    shown: Tally,
    /// When a recovery was shown first, by its own clock.
    saw_seconds: BTreeMap<Hash, u64>,
}

/// Everything that was seen.
#[derive(Default)]
pub(super) struct Watch {
    liars: BTreeSet<Who>,
    pub(super) now_us: u64,
    violation: Option<Violation>,
    reached: BTreeMap<&'static str, u64>,
    rules: BTreeMap<Hash, Rule>,
    /// Everything that ever left anybody, by epoch.
    sent: BTreeMap<u64, Tally>,
    conduct: BTreeMap<(Who, u64), Conduct>,
    /// What could be shown active.
    active: BTreeMap<u64, Hash>,
    /// Manifests with a certificate, with its rounds.
    certified: BTreeMap<Hash, BTreeSet<u64>>,
    /// Statements that left, whose rows and entries were looked at.
    left: BTreeSet<(Who, String)>,
}

fn word(saying: &Saying) -> Option<Word> {
    match saying {
        Saying::Approve => Some(Word::Approve),
        Saying::Commit => Some(Word::Commit),
        Saying::Yield { .. } => Some(Word::Yield),
        _ => None,
    }
}

fn short(hash: &Hash) -> String {
    hash.to_hex()[..8].to_owned()
}

impl Watch {
    pub(super) fn new(liars: BTreeSet<Who>) -> Self {
        Self {
            liars,
            ..Self::default()
        }
    }

    /// A rule was broken; the first one counts.
    pub(super) fn fail(&mut self, invariant: &'static str, who: Option<Who>, what: String) {
        let at_us = self.now_us;
        self.violation.get_or_insert(Violation {
            invariant,
            at_us,
            node: who,
            what,
        });
    }

    pub(super) fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// A rare state was reached.
    pub(super) fn reached(&mut self, what: &'static str) {
        debug_assert!(RARE.contains(&what), "{what} is not listed");
        *self.reached.entry(what).or_default() += 1;
    }

    pub(super) fn reached_all(&self) -> &BTreeMap<&'static str, u64> {
        &self.reached
    }

    /// Somebody wrote a manifest.
    pub(super) fn written(&mut self, manifest: Hash, rule: Rule) {
        self.rules.entry(manifest).or_insert(rule);
    }

    pub(super) fn rule(&self, manifest: &Hash) -> Option<&Rule> {
        self.rules.get(manifest)
    }

    /// A federation is there before anybody votes.
    pub(super) fn founded(&mut self, manifest: Hash) {
        self.active.insert(0, manifest);
    }

    fn conduct(&mut self, who: Who, epoch: u64) -> &mut Conduct {
        self.conduct.entry((who, epoch)).or_default()
    }

    /// A human confirms with the right words.
    pub(super) fn wished(&mut self, who: Who, epoch: u64, word: Word, manifest: Hash, round: u64) {
        let wishes = &mut self.conduct(who, epoch).wishes;
        wishes.insert((word, manifest, round));
    }

    /// A key signs: only what a durable lock is for.
    pub(super) fn signs(&mut self, who: Who, statement: &Statement) {
        let subject = statement.subject;
        let Some(word) = word(&statement.saying) else {
            return;
        };
        let signed = &self.conduct(who, subject.epoch).signed;
        let locked = signed.get(&(word, subject.round));
        if locked.is_none_or(|locked| locked.manifest != subject.manifest) {
            let what = format!(
                "it signs {word:?} in round {} without a lock",
                subject.round
            );
            self.fail(rule::VOTES, Some(who), what);
        }
    }

    /// A lock is durable: the member voted, whether the key signs or not. All rules hold here.
    pub(super) fn locks(&mut self, who: Who, statement: &Statement, wall_seconds: u64) {
        let subject = statement.subject;
        let Some(word) = word(&statement.saying) else {
            return;
        };
        if subject.lineage != LINEAGE {
            return;
        }
        let (round, manifest) = (subject.round, subject.manifest);
        let rules = &self.rules;
        let conduct = self.conduct.entry((who, subject.epoch)).or_default();
        let told = format!("{word:?} of {} in round {round}", short(&manifest));
        let wrong = judge(rules, conduct, word, manifest, round, wall_seconds);
        let locked = conduct
            .signed
            .iter()
            .filter(|((w, _), _)| *w == Word::Commit);
        let locked = locked.max_by_key(|((_, round), _)| *round);
        let opened = locked.is_some_and(|(_, locked)| locked.manifest != manifest);
        let place = (word, round);
        let before = conduct.signed.get(&place).copied();
        let left = before.is_some_and(|before| before.left && before.manifest == manifest);
        conduct.signed.insert(place, Signed { manifest, left });
        if word == Word::Approve {
            conduct.shown.add(word, manifest, round, who);
        }
        if let Some((rule, why)) = wrong {
            self.fail(rule, Some(who), format!("{told}: {why}"));
        } else if opened {
            self.reached("a lock was opened by a later certificate");
        }
    }

    /// A letter reaches an honest member.
    pub(super) fn shown(&mut self, who: Who, letter: &Letter, wall_seconds: u64) {
        for said in &letter.said {
            if let Some(word) = word(&said.statement.saying)
                && said.statement.subject.lineage == LINEAGE
            {
                let subject = said.statement.subject;
                let shown = &mut self.conduct(who, subject.epoch).shown;
                shown.add(word, subject.manifest, subject.round, said.who);
            }
        }
        if let belfry_protocol::genesis::ceremony::Document::Link(link) = &letter.document {
            let manifest = link.manifest();
            let saw = &mut self.conduct(who, manifest.epoch).saw_seconds;
            // A clock may be set back, and the sight of it be lost with a directory.
            let first = saw.entry(manifest.hash()).or_insert(wall_seconds);
            *first = wall_seconds.min(*first);
        }
    }

    /// Its own words among those in a letter that leaves a member, which nobody looked at yet.
    pub(super) fn own_words<'l>(&self, who: Who, letter: &'l Letter) -> Vec<&'l Said> {
        let own = letter.said.iter().filter(|said| said.who == who);
        own.filter(|said| word(&said.statement.saying).is_some())
            .filter(|said| said.statement.subject.lineage == LINEAGE)
            .filter(|said| !self.left.contains(&(who, said.statement.to_string())))
            .collect()
    }

    /// A member's own word leaves it. `kept`: its row is durable; `acked`: its entry is covered, or need not be.
    pub(super) fn leaves(&mut self, who: Who, said: &Said, kept: bool, acked: bool) {
        let subject = said.statement.subject;
        let Some(word) = word(&said.statement.saying) else {
            return;
        };
        let told = format!(
            "{word:?} of {} in round {}",
            short(&subject.manifest),
            subject.round
        );
        if !kept {
            self.fail(
                rule::DURABLE,
                Some(who),
                format!("{told} left, and no row has it"),
            );
        }
        if !acked {
            let what = format!("{told} left before its entry was acked");
            self.fail(rule::DURABLE, Some(who), what);
        }
        self.left.insert((who, said.statement.to_string()));
        let conduct = self.conduct(who, subject.epoch);
        if let Some(signed) = conduct.signed.get_mut(&(word, subject.round))
            && signed.manifest == subject.manifest
        {
            signed.left = true;
        }
        self.heard(said);
    }

    /// Anybody's word is under way: from here on strangers may have it.
    pub(super) fn heard(&mut self, said: &Said) {
        let subject = said.statement.subject;
        let Some(word) = word(&said.statement.saying).filter(|_| subject.lineage == LINEAGE) else {
            return;
        };
        let (epoch, manifest, round) = (subject.epoch, subject.manifest, subject.round);
        let sent = self.sent.entry(epoch).or_default();
        if !sent.add(word, manifest, round, said.who) {
            return;
        }
        let late = word == Word::Commit && self.active.contains_key(&epoch);
        let Some(rule) = self.rules.get(&manifest).filter(|rule| rule.epoch == epoch) else {
            return;
        };
        let certificates = sent.certificates(rule, manifest, &BTreeSet::new());
        let active = sent.is_active(rule, manifest, &self.liars);
        if late {
            self.reached("a commit came after the epoch was active");
        }
        if !certificates.is_empty() {
            self.certified
                .entry(manifest)
                .or_default()
                .extend(certificates);
            self.look_at_certificates(epoch);
        }
        if active {
            match self.active.insert(epoch, manifest) {
                Some(other) if other != manifest => {
                    let what = format!(
                        "{} and {} could both be shown active in epoch {epoch}",
                        short(&other),
                        short(&manifest)
                    );
                    self.fail(rule::ONE_ACTIVE, None, what);
                }
                _ => {}
            }
        }
    }

    fn look_at_certificates(&mut self, epoch: u64) {
        let of = |hash: &&Hash| self.rules.get(hash).is_some_and(|rule| rule.epoch == epoch);
        let hashes: Vec<&Hash> = self.certified.keys().filter(of).collect();
        let rivals = hashes.len() > 1;
        let twice = hashes.iter().any(|hash| self.certified[hash].len() > 1);
        if rivals {
            self.reached("rivals had certificates");
        }
        if twice {
            self.reached("a manifest had certificates of two rounds");
        }
    }

    /// A vote was read back from the ledger, also one that never left: it binds again.
    pub(super) fn reads_back(&mut self, who: Who, statement: &Statement) {
        if let Some(word) = word(&statement.saying) {
            let subject = statement.subject;
            let signed = &mut self.conduct(who, subject.epoch).signed;
            signed.entry((word, subject.round)).or_insert(Signed {
                manifest: subject.manifest,
                left: false,
            });
        }
    }

    /// A disk is gone: what was signed and never left nobody will ever see.
    pub(super) fn lost_disk(&mut self, who: Who) {
        let mut lost = false;
        for ((of, _), conduct) in &mut self.conduct {
            if *of == who {
                let before = conduct.signed.len();
                conduct.signed.retain(|_, signed| signed.left);
                lost |= conduct.signed.len() < before;
                conduct.saw_seconds.clear();
            }
        }
        if lost {
            self.reached("a vote was lost with its disk before it left");
        }
    }

    /// A member says that an epoch is active.
    pub(super) fn activates(&mut self, who: Who, epoch: u64, manifest: Hash) {
        if self.active.get(&epoch) != Some(&manifest) {
            let what = format!(
                "it took {} for active in epoch {epoch}; by what was sent that is {}",
                short(&manifest),
                self.active.get(&epoch).map_or("nothing".to_owned(), short)
            );
            self.fail(rule::ONE_ACTIVE, Some(who), what);
        }
    }

    /// A member holds evidence against somebody.
    pub(super) fn accuses(&mut self, who: Who, accused: &str) {
        if self.liars.iter().any(|liar| name(*liar) == accused) {
            self.reached("evidence against a liar was found");
        } else {
            let what = format!("{accused} is honest and accused");
            self.fail(rule::ACCUSED, Some(who), what);
        }
    }
}

/// What is wrong with one more signature of a member, if anything is.
fn judge(
    rules: &BTreeMap<Hash, Rule>,
    conduct: &Conduct,
    word: Word,
    manifest: Hash,
    round: u64,
    wall_seconds: u64,
) -> Option<(&'static str, String)> {
    let votes = |why: String| Some((rule::VOTES, why));
    if let Some(before) = conduct.signed.get(&(word, round)) {
        // Asked again after a crash: the same words, the same signature.
        if before.manifest == manifest {
            return None;
        }
        let other = short(&before.manifest);
        return votes(format!("the same key said it of {other} in that round"));
    }
    let nobody = BTreeSet::new();
    let certificates = |hash: &Hash| {
        let of = rules.get(hash);
        of.map_or(Vec::new(), |rule| {
            conduct.shown.certificates(rule, *hash, &nobody)
        })
    };
    let commits = conduct
        .signed
        .iter()
        .filter(|((w, _), _)| *w == Word::Commit);
    let lock = commits.max_by_key(|((_, round), _)| *round);
    if word == Word::Yield {
        if lock.is_some_and(|(_, locked)| locked.manifest != manifest) {
            return votes("it committed another one".to_owned());
        }
        if !conduct.wishes.contains(&(Word::Yield, manifest, 0)) {
            return Some((rule::HUMANS, "no human gave way".to_owned()));
        }
        let saw = conduct.saw_seconds.get(&manifest).copied();
        if saw.is_none_or(|saw| wall_seconds < saw.saturating_add(YIELD_AFTER_SECONDS)) {
            return Some((rule::HUMANS, "72 hours have not passed".to_owned()));
        }
        return None;
    }
    let highest = conduct.signed.keys().map(|(_, round)| *round).max();
    if highest.is_some_and(|highest| round < highest) {
        return votes("it goes back to an earlier round".to_owned());
    }
    if let Some(((_, since), locked)) = lock
        && locked.manifest != manifest
    {
        let others = rules.keys().filter(|hash| **hash != locked.manifest);
        let opened = others
            .filter(|hash| certificates(hash).iter().any(|round| round > since))
            .count();
        if opened == 0 {
            let locked = short(&locked.manifest);
            return votes(format!("its lock is {locked} since round {since}"));
        }
    }
    match word {
        Word::Commit => {
            let yielded = conduct.signed.get(&(Word::Yield, 0));
            if yielded.is_some_and(|yielded| yielded.manifest != manifest) {
                return votes("it gave way to another one".to_owned());
            }
            if !certificates(&manifest).contains(&round) {
                return votes("it was shown no certificate".to_owned());
            }
            None
        }
        _ if !conduct.wishes.contains(&(Word::Approve, manifest, round)) => {
            Some((rule::HUMANS, "no human confirmed it".to_owned()))
        }
        _ => None,
    }
}
