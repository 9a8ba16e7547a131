//! What comes in, from anybody and in any order: verified against the vote that is on, kept once, passed on once.
//! May not vote.

use super::io::{Refused, short};
use super::rules::horizon;
use super::seen::{
    self, MAX_PROPOSALS_EACH, Proposed, ROW_CERTIFICATE, ROW_MANIFEST, ROW_VOTE, Sort, who,
};
use super::votes::{Taken, Voter};
use super::{Document, Free, Promise, Step, Stop, election};
use crate::engine::store::Transaction;
use crate::genesis::chain::Link;
use crate::genesis::{
    Check, Election, Evidence, GenesisError, Proposal, Recovery, Saying, Subject, Vote,
    VoteCertificate,
};
use crate::manifest::Manifest;
use crate::note::{SignedNote, VerifierKey};

impl<C: Check, T: Transaction> Step<'_, C, T> {
    pub(super) fn document(&mut self, document: Document) -> Result<(), Stop> {
        match document {
            Document::Proposal(proposal) => self.proposal(*proposal),
            Document::Vote(vote) => self.vote(*vote),
            Document::Certificate(certificate) => self.certificate(*certificate),
            Document::Link(link) => self.link(*link),
            Document::Evidence(evidence) => self.evidence(*evidence),
        }
    }

    /// Keeps a document, so that a start need not ask for it again.
    pub(super) fn keep(&mut self, sort: u8, json: &str) -> Result<(), Stop> {
        self.c.unsettled = true;
        let epoch = election(self.c.chain.as_ref(), &self.c.settings).map_or(0, |e| e.epoch());
        Ok(seen::put(self.tx, epoch, sort, self.now_seconds, json)?)
    }

    pub(super) fn keep_vote(&mut self, vote: &Vote) -> Result<(), Stop> {
        self.keep(ROW_VOTE, &vote.to_json())
    }

    fn pass(&mut self, document: Document) {
        self.out.free(Free::Pass(Box::new(document)));
    }

    /// Whether a subject is about the vote that is on. Of later epochs the chain is asked for.
    fn is_now(&mut self, subject: &Subject) -> Result<(), Stop> {
        let election = election(self.c.chain.as_ref(), &self.c.settings);
        let election = election.ok_or(Refused::NoElection)?;
        let (now, lineage) = (election.epoch(), election.lineage);
        if subject.lineage == lineage && subject.epoch > now {
            self.out.free(Free::Behind { epoch: now });
        }
        if subject.lineage == lineage && subject.epoch < now {
            return Err(Refused::Over(subject.epoch).into());
        }
        Ok(election.check_subject(subject)?)
    }

    fn proposal(&mut self, proposal: Proposal) -> Result<(), Stop> {
        let subject = proposal.statement().subject;
        self.is_now(&subject)?;
        let c = &mut *self.c;
        let election = election(c.chain.as_ref(), &c.settings).ok_or(Refused::NoElection)?;
        // Copies come from everybody: a known one costs nothing.
        let known = c.seen.candidates.get(&subject.manifest);
        if known.is_some_and(|one| one.proposals.values().any(|held| held.proposal == proposal)) {
            return Ok(());
        }
        let key = proposal.verify(&election, &mut c.verifier)?;
        check_names(c.chain.as_ref(), proposal.manifest())?;
        check_round(&subject, horizon(&c.own, &c.seen))?;
        let by = who(&key);
        let place = (subject.round, by.clone());
        let known = c.seen.candidates.get(&subject.manifest);
        if known.is_some_and(|candidate| candidate.proposals.contains_key(&place)) {
            return Ok(());
        }
        if c.seen.proposals_by(&by) >= MAX_PROPOSALS_EACH {
            return Err(Refused::TooMany {
                what: "proposals by one member for one epoch",
                limit: MAX_PROPOSALS_EACH,
                advice: "let another member propose",
            }
            .into());
        }
        let candidate = c.seen.candidate(subject.manifest, proposal.manifest())?;
        let proposed = Proposed {
            proposal: proposal.clone(),
            seen_seconds: self.now_seconds,
        };
        candidate.proposals.insert(place, proposed);
        let mine = key == c.settings.identity;
        let json = proposal.to_json();
        self.keep(ROW_MANIFEST, &json)?;
        if mine {
            // The manifest itself may be larger than an entry: the proposer's note names it by its hash.
            let line = SignedNote::clone(proposal.note());
            self.note_entry("genesis.proposed", &line);
        }
        self.pass(Document::Proposal(Box::new(proposal)));
        Ok(())
    }

    /// An entry about a statement of this member's own that does not bind.
    fn note_entry(&mut self, kind: &'static str, note: &SignedNote) {
        let body = crate::genesis::fields::print([(
            "note",
            crate::entry::json::Json::text(note.to_string()),
        )]);
        self.out.promise(Promise::Append {
            vote: None,
            kind,
            body,
        });
    }

    fn vote(&mut self, vote: Vote) -> Result<(), Stop> {
        let subject = vote.statement().subject;
        self.is_now(&subject)?;
        let c = &mut *self.c;
        let election = election(c.chain.as_ref(), &c.settings).ok_or(Refused::NoElection)?;
        if c.seen.votes.has(&vote) {
            return Ok(());
        }
        if c.is_revoked(&vote) {
            return Err(Refused::Revoked(vote.line().name().to_owned()).into());
        }
        let candidate = c.seen.candidates.get(&subject.manifest);
        let candidate = candidate.ok_or_else(|| Refused::Unknown(short(&subject.manifest)))?;
        let key = voter(&election, &candidate.manifest, &vote)?;
        check_round(&subject, horizon(&c.own, &c.seen))?;
        vote.verify(&key, &mut c.verifier)?;
        let mine = key == c.settings.identity;
        let voter = Voter::of(&election, &key);
        match c.seen.votes.take(&who(&key), voter, vote.clone()) {
            Taken::Known => return Ok(()),
            Taken::Contradicts(evidence) => return self.accuse(&key, *evidence),
            Taken::TooMany => return Err(too_many()),
            Taken::New => {}
        }
        if mine {
            self.own_vote_came(&vote)?;
            match Sort::of(&vote.statement().saying) {
                Some(Sort::Refuse) => self.note_entry("genesis.refused", vote.note()),
                Some(Sort::Withdraw) => self.note_entry("genesis.withdrawn", vote.note()),
                _ => {}
            }
        }
        self.keep_vote(&vote)?;
        self.pass(Document::Vote(Box::new(vote)));
        Ok(())
    }

    fn certificate(&mut self, certificate: VoteCertificate) -> Result<(), Stop> {
        let hash = certificate.manifest.hash();
        let epoch = certificate.manifest.epoch;
        let c = &mut *self.c;
        let election = election(c.chain.as_ref(), &c.settings).ok_or(Refused::NoElection)?;
        if epoch != election.epoch() {
            return self.other_epoch(epoch);
        }
        if c.seen.certificates.contains_key(&(certificate.round, hash)) {
            return Ok(());
        }
        certificate.verify(&election, &mut c.verifier)?;
        check_names(c.chain.as_ref(), &certificate.manifest)?;
        c.seen.listed(hash, &certificate.manifest);
        self.take_certificate(certificate)
    }

    /// Takes a certificate that holds, with the votes in it: they are what evidence is made of.
    pub(super) fn take_certificate(&mut self, certificate: VoteCertificate) -> Result<(), Stop> {
        let hash = certificate.manifest.hash();
        let c = &mut *self.c;
        let election = election(c.chain.as_ref(), &c.settings).ok_or(Refused::NoElection)?;
        let roll = election.roll(&certificate.manifest);
        let mut votes = Vec::new();
        for (_, seat, note, line) in certificate.lines(&roll) {
            let note =
                SignedNote::new(note.text(), vec![line.clone()]).map_err(GenesisError::from)?;
            votes.push((roll.key(seat).clone(), Vote::new(note, None)?));
        }
        if !c.seen.take_certificate(hash, certificate.clone()) {
            return Ok(());
        }
        self.keep(ROW_CERTIFICATE, &certificate.to_json())?;
        self.pass(Document::Certificate(Box::new(certificate)));
        votes
            .into_iter()
            .try_for_each(|(key, vote)| self.harvest(&key, vote))
    }

    /// Counts a vote that was verified as a part of something else.
    fn harvest(&mut self, key: &VerifierKey, vote: Vote) -> Result<(), Stop> {
        let c = &mut *self.c;
        let election = election(c.chain.as_ref(), &c.settings).ok_or(Refused::NoElection)?;
        let voter = Voter::of(&election, key);
        match c.seen.votes.take(&who(key), voter, vote.clone()) {
            Taken::Known => return Ok(()),
            Taken::Contradicts(evidence) => return self.accuse(key, *evidence),
            Taken::TooMany => return Err(too_many()),
            Taken::New => {}
        }
        if *key == self.c.settings.identity {
            self.own_vote_came(&vote)?;
        }
        self.keep_vote(&vote)
    }

    fn link(&mut self, link: Link) -> Result<(), Stop> {
        let epoch = link.manifest().epoch;
        let c = &mut *self.c;
        let election = election(c.chain.as_ref(), &c.settings).ok_or(Refused::NoElection)?;
        if epoch != election.epoch() {
            return self.other_epoch(epoch);
        }
        let mut next = c.chain.clone();
        let extended = match &mut next {
            Some(chain) => chain.extend(&link, &mut c.verifier),
            None => crate::genesis::chain::Chain::found(&link, &mut c.verifier).and_then(|chain| {
                election.follows(chain.manifest())?;
                next = Some(chain);
                Ok(())
            }),
        };
        match (extended, link) {
            (Ok(()), link) => self.activate(link),
            (Err(GenesisError::Missing { .. }), Link::Recovered(recovery)) => {
                self.recovery(recovery)
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    /// A manifest that recovery keys signed, and that has not enough yields yet.
    fn recovery(&mut self, recovery: Recovery) -> Result<(), Stop> {
        let now_seconds = self.now_seconds;
        let c = &mut *self.c;
        let election = election(c.chain.as_ref(), &c.settings).ok_or(Refused::NoElection)?;
        recovery.verify_keys(&election, &mut c.verifier)?;
        if let Some(chain) = &c.chain {
            chain.check_unused(&recovery)?;
        }
        check_names(c.chain.as_ref(), &recovery.manifest)?;
        let hash = recovery.manifest.hash();
        // Yields and acceptances are taken as votes, one by one.
        let bare = Recovery {
            acceptances: Vec::new(),
            yields: Vec::new(),
            ..recovery.clone()
        };
        let candidate = c.seen.recovered(hash, &recovery.manifest)?;
        let new = candidate.recovery.is_none();
        if new {
            candidate.recovery = Some((bare.clone(), now_seconds));
            let link = Link::Recovered(bare);
            self.keep(ROW_MANIFEST, &link.to_json())?;
            self.pass(Document::Link(Box::new(link)));
        }
        let notes = recovery.acceptances.iter().chain(&recovery.yields);
        for note in notes {
            for line in note.signatures() {
                let note =
                    SignedNote::new(note.text(), vec![line.clone()]).map_err(GenesisError::from)?;
                self.vote(Vote::new(note, None)?)?;
            }
        }
        Ok(())
    }

    fn other_epoch(&mut self, epoch: u64) -> Result<(), Stop> {
        let now = election(self.c.chain.as_ref(), &self.c.settings).map_or(0, |e| e.epoch());
        if epoch < now {
            return Err(Refused::Over(epoch).into());
        }
        self.out.free(Free::Behind { epoch: now });
        Ok(())
    }

    fn evidence(&mut self, evidence: Evidence) -> Result<(), Stop> {
        let [first, _] = evidence.votes();
        self.is_now(&first.statement().subject)?;
        let c = &mut *self.c;
        if evidence.votes().iter().any(|vote| c.is_revoked(vote)) {
            return Err(Refused::Revoked(evidence.accused().to_owned()).into());
        }
        let election = election(c.chain.as_ref(), &c.settings).ok_or(Refused::NoElection)?;
        // The accused has a say in one of the two manifests, whichever of them is known here.
        let [first, second] = evidence.votes();
        let key = [first, second].into_iter().find_map(|vote| {
            let hash = vote.statement().subject.manifest;
            let candidate = c.seen.candidates.get(&hash)?;
            voter(&election, &candidate.manifest, vote).ok()
        });
        let unknown = || Refused::Unknown(short(&first.statement().subject.manifest));
        let key = key.ok_or_else(unknown)?;
        evidence.verify(&key, &mut c.verifier)?;
        self.accuse(&key, evidence)
    }
}

/// The identity key of whoever a vote claims to be by, if that member may make such a statement.
pub(super) fn voter(
    election: &Election<'_>,
    manifest: &Manifest,
    vote: &Vote,
) -> Result<VerifierKey, GenesisError> {
    let roll = election.roll(manifest);
    let line = vote.line();
    let key = match vote.statement().saying {
        Saying::Approve | Saying::Refuse { .. } => {
            roll.seat_of(line).map(|seat| roll.key(seat).clone())
        }
        Saying::Yield { .. } => roll
            .seat_of(line)
            .filter(|seat| roll.votes(*seat))
            .map(|seat| roll.key(seat).clone()),
        Saying::Commit | Saying::Withdraw => roll
            .committer(line.name())
            .map(|member| member.identity.clone()),
        Saying::Propose { .. } | Saying::Recover => None,
    };
    key.ok_or_else(|| GenesisError::stranger(line))
}

fn too_many() -> Stop {
    Stop::Refused(Refused::TooMany {
        what: "votes on a founding",
        limit: super::MAX_FOUNDING_VOTES,
        advice: "somebody floods; begin a new draft without them",
    })
}

fn check_round(subject: &Subject, highest: u64) -> Result<(), Refused> {
    let round = subject.round;
    if round > highest {
        return Err(Refused::TooFar { round, highest });
    }
    Ok(())
}

fn check_names(
    chain: Option<&crate::genesis::chain::Chain>,
    next: &Manifest,
) -> Result<(), GenesisError> {
    chain.map_or(Ok(()), |chain| chain.check_names(next))
}
