//! One honest member: its directory, its ledger with what towers acked of it, the process that runs while it is up, and the
//! clock on its wall. May not decide anything.

use super::directory::Directory;
use super::letters::Letter;
use super::people::{LINEAGE, Person, Who, person};
use super::plan::Plan;
use crate::clock::Clock;
use crate::founding::FoundingError;
use crate::streams::Stream;
use belfry_protocol::engine::store::StoreError;
use belfry_protocol::genesis::ceremony::{Ceremony, ROUNDS_AHEAD_MAX, Settings, Status};
use belfry_protocol::genesis::{Strict, Vote};
use belfry_protocol::manifest::Federation;
use belfry_protocol::tlog::hash::Hash;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A number over all letters of a set: equal sets have equal ones.
pub(super) type Fingerprint = u128;

fn print(id: &Hash) -> Fingerprint {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&id.0[..16]);
    Fingerprint::from_be_bytes(bytes)
}

/// An entry of its ledger.
pub(super) struct Entry {
    pub(super) kind: &'static str,
    pub(super) body: String,
}

/// A member.
pub(super) struct Member {
    pub(super) who: Who,
    pub(super) person: Rc<Person>,
    pub(super) directory: Directory,
    /// The process, while it runs.
    pub(super) ceremony: Option<Ceremony<Strict>>,
    /// Counts starts: what was on its way to an earlier one is void.
    pub(super) boot: u64,
    pub(super) clock: Clock,
    pub(super) ledger: Vec<Entry>,
    /// So many entries are covered by an acked digest.
    pub(super) acked: usize,
    /// The marker `RESTORED` is set.
    pub(super) restored: bool,
    /// Its votes may be missing: it is being rebuilt, or nobody can.
    pub(super) rebuilding: bool,
    /// It runs for the first time again on a directory that has votes.
    pub(super) ack_planned: bool,
    /// The federation that it was told of when it came.
    pub(super) founded: Option<Federation>,
    /// Links of the chain that its operator kept from directories before.
    archive: Vec<Vec<u8>>,
    /// The epoch it votes on.
    pub(super) epoch: u64,
    /// What it has of the vote that is on, and passes on.
    pub(super) held: BTreeMap<Hash, Rc<Letter>>,
    /// What it was shown and needs not be shown again, beside what it holds.
    judged: BTreeSet<Hash>,
    /// Those of them that it may take when it follows higher rounds.
    ahead: BTreeSet<Hash>,
    /// The highest round of its votes and certificates.
    reach: u64,
    known: Fingerprint,
    pub(super) human: Human,
}

/// Whoever looks at its screen.
#[derive(Default)]
pub(super) struct Human {
    /// What they want to come about, if they can choose: a place among the candidates.
    pub(super) favourite: usize,
    /// What they refuse as long as nobody talked to them.
    pub(super) refuses: BTreeSet<Hash>,
    /// They give way to a recovery.
    pub(super) yields: bool,
    /// A look is planned.
    pub(super) looks: bool,
}

impl Member {
    pub(super) fn new(
        who: Who,
        plan: &Plan,
        founded: Option<Federation>,
    ) -> Result<Self, FoundingError> {
        let seed = Stream::new(plan.seed, "ceremony directory", who as u64).next();
        let mut clock = Clock::right();
        let mut draws = Stream::new(plan.seed, "ceremony clock", who as u64);
        if plan.wild_clocks {
            let hours = i64::try_from(draws.below(80)).unwrap_or(0) - 40;
            clock.step(hours * 3_600_000_000);
            clock.drift(0, i64::try_from(draws.below(20_000)).unwrap_or(0) - 10_000);
        }
        Ok(Self {
            who,
            person: person(who)?,
            directory: Directory::new(plan.store, seed)?,
            ceremony: None,
            boot: 0,
            clock,
            ledger: Vec::new(),
            acked: 0,
            restored: false,
            rebuilding: false,
            ack_planned: false,
            epoch: founded.as_ref().map_or(0, |f| f.manifest().epoch + 1),
            founded,
            archive: Vec::new(),
            held: BTreeMap::new(),
            judged: BTreeSet::new(),
            ahead: BTreeSet::new(),
            reach: 0,
            known: 0,
            human: Human::default(),
        })
    }

    pub(super) fn is_up(&self) -> bool {
        self.ceremony.is_some()
    }

    /// What its clock says, in seconds since 1970.
    pub(super) fn wall_seconds(&self, now_us: u64) -> u64 {
        u64::try_from(self.clock.wall_us(now_us) / 1_000_000).unwrap_or(0)
    }

    pub(super) fn status(&self, now_us: u64) -> Option<Status> {
        self.ceremony.as_ref()?.status(self.wall_seconds(now_us))
    }

    /// The federation it belongs to, as far as it knows.
    pub(super) fn chain_epoch(&self) -> Option<u64> {
        let chain = self.ceremony.as_ref()?.chain()?;
        Some(chain.manifest().epoch)
    }

    /// A process comes up on its directory.
    pub(super) fn load(&mut self) -> Result<(), StoreError> {
        let settings = Settings {
            identity: self.person.identity.verifier().clone(),
            lineage: Some(LINEAGE),
            restored: self.restored,
            watched: true,
        };
        self.ceremony = Some(self.directory.load(settings, self.founded.clone())?);
        self.boot += 1;
        self.ack_planned = false;
        self.forget();
        Ok(())
    }

    /// Every link of the chain that it can show.
    pub(super) fn links(&mut self) -> Vec<Vec<u8>> {
        let kept = self.directory.links().unwrap_or_default();
        self.archive.iter().cloned().chain(kept).collect()
    }

    /// Whoever sets up another directory for it brings the newest manifest that it had, and has its chain.
    pub(super) fn told_of_chain(&mut self) {
        self.archive = self.links();
        let chain = self.ceremony.as_ref().and_then(Ceremony::chain);
        let newest = chain.map(|chain| Federation::new(chain.id(), chain.manifest().clone()));
        if let Some(Ok(newest)) = newest {
            self.founded = Some(newest);
        }
    }

    /// The process ends.
    pub(super) fn end(&mut self) {
        self.ceremony = None;
        self.directory.end();
    }

    /// Another vote begins, or another process: nothing is held or judged.
    pub(super) fn forget(&mut self) {
        let election = self.ceremony.as_ref().and_then(Ceremony::election);
        self.epoch = election.map_or(0, |election| election.epoch());
        self.held.clear();
        self.judged.clear();
        self.ahead.clear();
        self.known = 0;
    }

    /// It has a letter, and passes it on.
    pub(super) fn hold(&mut self, letter: &Rc<Letter>) {
        if !self.judged.remove(&letter.id) && !self.held.contains_key(&letter.id) {
            self.known ^= print(&letter.id);
        }
        self.held.insert(letter.id, Rc::clone(letter));
    }

    /// It was shown a letter that it needs not see again.
    pub(super) fn judge(&mut self, id: Hash) {
        if !self.held.contains_key(&id) && self.judged.insert(id) {
            self.known ^= print(&id);
        }
    }

    /// It was shown a letter of a round that it does not follow yet.
    pub(super) fn postpone(&mut self, id: Hash) {
        self.judge(id);
        self.ahead.insert(id);
    }

    /// Where it follows higher rounds than before, what was too far ahead may be shown again. Says whether that is so.
    pub(super) fn catch_up(&mut self) -> bool {
        let voted = self
            .ceremony
            .as_ref()
            .map_or(0, |ceremony| ceremony.voted_round());
        let held = self
            .held
            .values()
            .filter_map(|letter| letter.certified_round());
        let reach = held.max().unwrap_or(0).max(voted);
        if std::mem::replace(&mut self.reach, reach) == reach {
            return false;
        }
        for id in std::mem::take(&mut self.ahead) {
            if self.judged.remove(&id) {
                self.known ^= print(&id);
            }
        }
        true
    }

    /// The highest round that it follows, as its screen says.
    pub(super) fn follows(&self) -> u64 {
        self.reach + ROUNDS_AHEAD_MAX
    }

    pub(super) fn knows(&self, id: &Hash) -> bool {
        self.held.contains_key(id) || self.judged.contains(id)
    }

    /// A number over all that it knows.
    pub(super) fn known(&self) -> Fingerprint {
        self.known
    }

    /// Everything that it knows, by its hash.
    pub(super) fn all_known(&self) -> BTreeSet<Hash> {
        self.held.keys().chain(&self.judged).copied().collect()
    }

    /// Its own votes in its ledger, with their indexes.
    pub(super) fn voted(&self) -> Vec<(u64, Vote)> {
        let entries = (0..).zip(&self.ledger);
        entries
            .filter(|(_, entry)| entry.kind == "genesis.vote")
            .filter_map(|(index, entry)| Some((index, Vote::parse(entry.body.as_bytes()).ok()?)))
            .collect()
    }

    /// Whether an acked digest covers an entry with this text.
    pub(super) fn is_acked(&self, text: &str) -> bool {
        let text = text.replace('\n', "\\n");
        let acked = self.ledger.iter().take(self.acked);
        let mut votes = acked.filter(|entry| entry.kind == "genesis.vote");
        votes.any(|entry| entry.body.contains(&text))
    }

    /// Whether a row of its own votes has this text.
    pub(super) fn is_kept(&mut self, text: &str) -> Result<bool, StoreError> {
        let rows = self.directory.votes()?;
        let has = |row: &Vec<u8>| row.windows(text.len()).any(|part| part == text.as_bytes());
        Ok(rows.iter().any(has))
    }
}
