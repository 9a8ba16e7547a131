//! Documents on their way: bytes, what they are, and what whoever reads them can hold against their signers. The same bytes
//! are read once for all. May not judge whether anything counts.

use super::people::{People, Who};
use belfry_protocol::genesis::ceremony::Document;
use belfry_protocol::genesis::chain::Link;
use belfry_protocol::genesis::{Saying, Statement};
use belfry_protocol::note::SignedNote;
use belfry_protocol::tlog::hash::{Hash, sha256};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Letters that are remembered as read; beyond it all are forgotten.
const READ_MAX: usize = 8_192;

/// One document.
pub(super) struct Letter {
    pub(super) id: Hash,
    pub(super) json: String,
    pub(super) document: Document,
    /// Every statement in it that is signed by somebody here, with right signatures.
    pub(super) said: Vec<Said>,
}

/// A statement with its signer.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) who: Who,
    pub(super) statement: Statement,
}

impl Letter {
    /// Manifests and certificates before votes, evidence last: in the order in which they can be judged.
    pub(super) fn rank(&self) -> u8 {
        match self.document {
            Document::Link(_) => 0,
            Document::Certificate(_) => 1,
            Document::Proposal(_) => 2,
            Document::Vote(_) => 3,
            Document::Evidence(_) => 4,
        }
    }

    /// The round of a certificate.
    pub(super) fn certified_round(&self) -> Option<u64> {
        match &self.document {
            Document::Certificate(certificate) => Some(certificate.round),
            _ => None,
        }
    }

    /// A word for a log.
    pub(super) fn word(&self) -> &'static str {
        match &self.document {
            Document::Link(link) => match **link {
                Link::Recovered(_) => "recovery",
                _ => "link",
            },
            Document::Certificate(_) => "certificate",
            Document::Proposal(_) => "proposal",
            Document::Evidence(_) => "evidence",
            Document::Vote(vote) => match vote.statement().saying {
                Saying::Approve => "approval",
                Saying::Commit => "commit",
                Saying::Refuse { .. } => "refusal",
                Saying::Withdraw => "withdrawal",
                Saying::Yield { .. } => "yield",
                Saying::Propose { .. } | Saying::Recover => "statement",
            },
        }
    }
}

fn notes(document: &Document) -> Vec<&SignedNote> {
    match document {
        Document::Proposal(proposal) => vec![proposal.note()],
        Document::Vote(vote) => vec![vote.note()],
        Document::Certificate(certificate) => certificate.approvals.iter().collect(),
        Document::Link(link) => match &**link {
            Link::Founded(_) => Vec::new(),
            Link::Voted(made) => {
                let approvals = made.certificate.approvals.iter();
                approvals.chain([&made.commits]).collect()
            }
            Link::Recovered(made) => made.acceptances.iter().chain(&made.yields).collect(),
        },
        Document::Evidence(evidence) => evidence.votes().map(|vote| vote.note()).to_vec(),
    }
}

/// Everything that was ever written.
#[derive(Default)]
pub(super) struct Post {
    read: BTreeMap<Hash, Option<Rc<Letter>>>,
}

impl Post {
    /// Reads bytes; `None` if they are no document.
    pub(super) fn read(&mut self, people: &People, json: &str) -> Option<Rc<Letter>> {
        let id = sha256(json.as_bytes());
        if let Some(known) = self.read.get(&id) {
            return known.clone();
        }
        let document = Document::parse(json.as_bytes()).ok();
        let letter = document.map(|document| letter(people, id, json.to_owned(), document));
        self.keep(id, letter)
    }

    /// Writes a document.
    pub(super) fn write(&mut self, people: &People, document: &Document) -> Rc<Letter> {
        let json = document.to_json();
        let id = sha256(json.as_bytes());
        if let Some(Some(known)) = self.read.get(&id) {
            return Rc::clone(known);
        }
        let letter = letter(people, id, json, document.clone());
        self.keep(id, Some(Rc::clone(&letter)));
        letter
    }

    fn keep(&mut self, id: Hash, letter: Option<Rc<Letter>>) -> Option<Rc<Letter>> {
        if self.read.len() >= READ_MAX {
            self.read.clear();
        }
        self.read.insert(id, letter.clone());
        letter
    }
}

fn letter(people: &People, id: Hash, json: String, document: Document) -> Rc<Letter> {
    let mut said = Vec::new();
    for note in notes(&document) {
        let Ok(statement) = Statement::parse(note.text()) else {
            continue;
        };
        for line in note.signatures() {
            if let Some(who) = people.signer(note.text(), line) {
                let statement = statement.clone();
                said.push(Said { who, statement });
            }
        }
    }
    Rc::new(Letter {
        id,
        json,
        document,
        said,
    })
}
