//! Members around the real state machine and store: crashes at every point, lost disks, cuts, liars with real keys. What
//! was ever sent is in one pool, from which anything reaches anybody, in any order, again or never.

use crate::fixture::{LINEAGE, Shared, name, proposal, settings, signed, vote};
use belfry_protocol::engine::mem::MemStore;
use belfry_protocol::engine::store::Transaction;
use belfry_protocol::genesis::ceremony::{
    Ceremony, Document, Free, Input, Promise, Refused, Settings, confirmation,
};
use belfry_protocol::genesis::chain::{Chain, Link};
use belfry_protocol::genesis::{Election, Saying, Statement, Vote};
use belfry_protocol::manifest::{Federation, Manifest};
use belfry_protocol::note::SignedNote;
use belfry_protocol::tlog::hash::Hash;
use std::collections::{BTreeMap, BTreeSet};

/// A small generator: schedules must replay from their seed.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    pub(crate) fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }
}

/// Where a step dies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    Never,
    BeforeCommit,
    /// The lock is durable, and the key was never asked.
    BeforeRelease,
}

pub(crate) struct Node {
    pub(crate) at: usize,
    store: MemStore,
    pub(crate) ceremony: Option<Ceremony<Shared>>,
    /// Bodies of `genesis.vote` entries; the first `acked` of them are on towers.
    ledger: Vec<String>,
    acked: usize,
    restored: bool,
    founded: Option<Federation>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) active: BTreeMap<u64, Hash>,
    pub(crate) accused: BTreeSet<String>,
}

impl Node {
    pub(crate) fn new(at: usize, founded: Option<Federation>) -> Self {
        let mut node = Self {
            at,
            store: MemStore::default(),
            ceremony: None,
            ledger: Vec::new(),
            acked: 0,
            restored: false,
            founded,
            refused: Vec::new(),
            active: BTreeMap::new(),
            accused: BTreeSet::new(),
        };
        node.start();
        node
    }

    /// A process comes up, with what its store has.
    pub(crate) fn start(&mut self) {
        let mut tx = self.store.begin();
        let settings = Settings {
            restored: self.restored,
            ..settings(self.at)
        };
        let loaded = Ceremony::load(
            &mut tx,
            settings,
            self.founded.clone().map(Chain::from),
            Shared::new(),
        );
        let _ = tx.commit().unwrap();
        let loaded = loaded.unwrap();
        if let Some(chain) = loaded.chain() {
            let epoch = chain.manifest().epoch;
            self.active.insert(epoch, chain.manifest().hash());
        }
        self.ceremony = Some(loaded);
    }

    /// The disk is gone; towers hold the acked part of the ledger.
    pub(crate) fn lose_disk(&mut self) {
        self.store = MemStore::default();
        self.ledger.truncate(self.acked);
        self.restored = true;
        self.start();
    }

    /// The ledger is back: what it has of this node's votes.
    pub(crate) fn rebuild(&mut self, pool: &mut Vec<(usize, Document)>) {
        if self.restored {
            let votes = (0..).zip(&self.ledger);
            let votes = votes.map(|(index, body)| (index, Vote::parse(body.as_bytes()).unwrap()));
            let votes = Input::Rebuilt(votes.collect());
            self.take(vec![Input::Resume, votes], Crash::Never, pool);
            self.restored = false;
        }
    }

    /// All entries so far are covered by an acked digest.
    pub(crate) fn ack(&mut self, crash: Crash, pool: &mut Vec<(usize, Document)>) {
        self.acked = self.ledger.len();
        let size = self.acked as u64;
        self.take(vec![Input::Acked { size }], crash, pool);
    }

    /// One step as the runtime does it, and then what its promises ask for.
    pub(crate) fn take(
        &mut self,
        inputs: Vec<Input>,
        crash: Crash,
        pool: &mut Vec<(usize, Document)>,
    ) {
        let mut ceremony = self.ceremony.take().unwrap();
        let mut tx = self.store.begin();
        let mut out = ceremony.step(0, &mut tx, inputs).unwrap();
        let free = out.take_free();
        if crash == Crash::BeforeCommit {
            drop(tx);
            self.start();
            return self.take(vec![Input::Resume], Crash::Never, pool);
        }
        let proof = tx.commit().unwrap();
        let promises = out.release(&proof);
        self.ceremony = Some(ceremony);
        for one in free {
            match one {
                // What others sent is in the pool already; what this node made of it is not.
                Free::Pass(document) => match *document {
                    Document::Vote(_) | Document::Proposal(_) => {}
                    made => pool.push((self.at, made)),
                },
                Free::Refused { why, .. } => self.refused.push(why),
                Free::Accused(evidence) => {
                    self.accused.insert(evidence.accused().to_owned());
                }
                Free::Behind { .. } => {}
            }
        }
        if crash == Crash::BeforeRelease {
            self.start();
            return self.take(vec![Input::Resume], Crash::Never, pool);
        }
        for promise in promises {
            self.keep(promise, pool);
        }
    }

    fn keep(&mut self, promise: Promise, pool: &mut Vec<(usize, Document)>) {
        match promise {
            Promise::Sign { statement, .. } => {
                let vote = Box::new(signed(self.at, &statement));
                self.take(vec![Input::Signed(vote)], Crash::Never, pool);
            }
            Promise::Append {
                vote: Some(id),
                body,
                ..
            } => {
                let index = self.ledger.len() as u64;
                self.ledger.push(body);
                self.take(vec![Input::Appended { id, index }], Crash::Never, pool);
            }
            Promise::Append {
                kind: "genesis.active",
                ..
            } => {
                let epoch = self.ceremony().chain().unwrap().manifest().epoch;
                self.take(vec![Input::ActiveAppended { epoch }], Crash::Never, pool);
            }
            Promise::Append { vote: None, .. } => {}
            Promise::Send(document) => pool.push((self.at, *document)),
            Promise::Activated(link) => {
                let manifest = link.manifest();
                let before = self.active.insert(manifest.epoch, manifest.hash());
                assert!(before.is_none_or(|hash| hash == manifest.hash()));
            }
        }
    }

    pub(crate) fn deliver(&mut self, document: &Document, pool: &mut Vec<(usize, Document)>) {
        let input = Input::Document(Box::new(document.clone()));
        self.take(vec![input], Crash::Never, pool);
    }

    pub(crate) fn approve(
        &mut self,
        manifest: &Manifest,
        round: u64,
        crash: Crash,
        pool: &mut Vec<(usize, Document)>,
    ) {
        let manifest_hash = manifest.hash();
        let input = Input::Approve {
            manifest: manifest_hash,
            round,
            confirm: confirmation(manifest.epoch, &manifest_hash),
        };
        self.take(vec![input], crash, pool);
    }

    pub(crate) fn ceremony(&self) -> &Ceremony<Shared> {
        self.ceremony.as_ref().unwrap()
    }
}

/// Honest nodes, liars' keys, and the manifests that people think of.
pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    pub(crate) liars: Vec<usize>,
    pub(crate) base: Option<Federation>,
    pub(crate) manifests: Vec<Manifest>,
    pub(crate) pool: Vec<(usize, Document)>,
    /// Which side of a cut each person is on.
    pub(crate) side: BTreeMap<usize, bool>,
    pub(crate) hashes: Vec<Hash>,
    people: BTreeMap<String, usize>,
    /// Whether a commit, round, manifest, by whom: every vote in the pool so far.
    sent: BTreeSet<(bool, u64, Hash, usize)>,
    looked_at: usize,
    active: BTreeSet<Hash>,
}

impl World {
    pub(crate) fn new(
        honest: &[usize],
        liars: &[usize],
        base: Option<Federation>,
        manifests: Vec<Manifest>,
    ) -> Self {
        let node = |at: &usize| Node::new(*at, base.clone());
        Self {
            nodes: honest.iter().map(node).collect(),
            liars: liars.to_vec(),
            base,
            hashes: manifests.iter().map(Manifest::hash).collect(),
            manifests,
            pool: Vec::new(),
            side: BTreeMap::new(),
            people: (0..crate::fixture::PEOPLE)
                .map(|at| (name(at), at))
                .collect(),
            sent: BTreeSet::new(),
            looked_at: 0,
            active: BTreeSet::new(),
        }
    }

    pub(crate) fn election(&self) -> Election<'_> {
        match &self.base {
            Some(federation) => Election::amending(federation.id(), federation.manifest()),
            None => Election::founding(LINEAGE),
        }
    }

    pub(crate) fn node(&mut self, at: usize) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.at == at).unwrap()
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        self.side.get(&from) == self.side.get(&to)
    }

    pub(crate) fn propose(&mut self, by: usize, which: usize, round: u64) {
        let made = proposal(by, &self.election(), &self.manifests[which], round);
        self.pool.push((by, Document::Proposal(Box::new(made))));
    }

    /// A liar votes, in any round, for anything, as often as it likes.
    pub(crate) fn lie(&mut self, by: usize, which: usize, round: u64, commit: bool) {
        let saying = if commit {
            Saying::Commit
        } else {
            Saying::Approve
        };
        let made = vote(by, &self.election(), &self.manifests[which], round, saying);
        self.pool.push((by, Document::Vote(Box::new(made))));
    }

    /// Some message of the pool reaches somebody.
    pub(crate) fn deliver_one(&mut self, rng: &mut Rng) {
        if self.pool.is_empty() {
            return;
        }
        // New messages more often than old ones, or nothing would ever come about.
        let age = rng.below(self.pool.len()).min(rng.below(self.pool.len()));
        let (from, document) = self.pool[self.pool.len() - 1 - age].clone();
        let to = rng.below(self.nodes.len());
        if self.reaches(from, self.nodes[to].at) {
            let mut pool = std::mem::take(&mut self.pool);
            self.nodes[to].deliver(&document, &mut pool);
            self.pool = pool;
        }
    }

    /// Everybody hears of everything, and every ledger is acked, until nothing new comes.
    pub(crate) fn settle(&mut self, among: &[usize]) {
        let mut told = 0;
        for _ in 0..20 {
            let mut known: Vec<Document> = Vec::new();
            for node in self.nodes.iter().filter(|n| among.contains(&n.at)) {
                for document in node.ceremony().documents() {
                    if !known.contains(&document) {
                        known.push(document);
                    }
                }
            }
            let sent = std::mem::take(&mut self.pool);
            let mut fresh = Vec::new();
            for node in self.nodes.iter_mut().filter(|n| among.contains(&n.at)) {
                let sent = sent[told..].iter().filter(|(from, _)| among.contains(from));
                for document in known.iter().chain(sent.map(|(_, document)| document)) {
                    node.deliver(document, &mut fresh);
                }
                node.ack(Crash::Never, &mut fresh);
            }
            let quiet = fresh.iter().all(|(_, made)| known.contains(made));
            told = sent.len();
            self.pool = sent;
            self.pool.extend(fresh);
            if quiet {
                return;
            }
        }
    }

    /// What could be shown active to a stranger who gets hold of everything that was ever sent, with the liars' help.
    pub(crate) fn could_be_active(&mut self) -> &BTreeSet<Hash> {
        let before = self.sent.len();
        for (_, document) in &self.pool[self.looked_at.min(self.pool.len())..] {
            // Who stopped before its vote left finds it in what it made active.
            let notes: Vec<&SignedNote> = match document {
                Document::Vote(vote) => vec![vote.note()],
                Document::Link(link) => match &**link {
                    Link::Voted(made) => {
                        let approvals = made.certificate.approvals.iter();
                        approvals.chain([&made.commits]).collect()
                    }
                    Link::Recovered(_) | Link::Founded(_) => continue,
                },
                _ => continue,
            };
            for note in notes {
                let Ok(statement) = Statement::parse(note.text()) else {
                    continue;
                };
                let subject = statement.subject;
                let commit = match statement.saying {
                    Saying::Approve => false,
                    Saying::Commit => true,
                    _ => continue,
                };
                for line in note.signatures() {
                    let by = self.people[line.name()];
                    self.sent
                        .insert((commit, subject.round, subject.manifest, by));
                }
            }
        }
        self.looked_at = self.pool.len();
        if self.sent.len() > before {
            let rounds: BTreeSet<u64> = self.sent.iter().map(|(_, round, ..)| *round).collect();
            let active = |(manifest, hash): &(&Manifest, &Hash)| {
                rounds
                    .iter()
                    .any(|round| self.is_active(manifest, **hash, *round))
            };
            let all = self.manifests.iter().zip(&self.hashes);
            self.active = all.filter(active).map(|(_, hash)| *hash).collect();
        }
        &self.active
    }

    /// R14, written down once more: by counting, without the code under test.
    fn is_active(&self, manifest: &Manifest, hash: Hash, round: u64) -> bool {
        let voters = self.base.as_ref().map_or(manifest, Federation::manifest);
        let people = |of: &Manifest| -> BTreeSet<usize> {
            of.members.iter().map(|m| self.people[&m.name]).collect()
        };
        let (old, new) = (people(voters), people(manifest));
        let joiners: BTreeSet<usize> = match self.base {
            Some(_) => new.difference(&old).copied().collect(),
            None => new.clone(),
        };
        let said = |commit: bool, round: Option<u64>, by: usize| {
            self.liars.contains(&by)
                || self.sent.iter().any(|(c, r, h, b)| {
                    (*c, *h, *b) == (commit, hash, by) && round.is_none_or(|round| round == *r)
                })
        };
        let t = voters.amendment_threshold as usize;
        let fresh = old
            .iter()
            .filter(|by| said(false, Some(round), **by))
            .count();
        let standing = joiners.iter().all(|by| said(false, None, *by));
        let next = new.iter().filter(|by| {
            said(false, Some(round), **by) || (joiners.contains(by) && said(false, None, **by))
        });
        let commits = old
            .iter()
            .filter(|by| said(true, Some(round), **by))
            .count();
        fresh >= t
            && standing
            && next.count() >= manifest.amendment_threshold as usize
            && commits >= t
    }
}
