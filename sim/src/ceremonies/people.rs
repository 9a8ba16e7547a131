//! Who takes part, with keys that are made from names, and the manifests they vote on. The keys are nobody's: never use them
//! outside a simulation. May not know what anybody wants.

use crate::clock::START_SECONDS;
use crate::founding::{FoundingError, peer_id, seed};
use belfry_protocol::cert::{Certificate, Scope, certificate_hash};
use belfry_protocol::genesis::chain::Link;
use belfry_protocol::genesis::{
    Election, GenesisError, Proposal, Recovery, Saying, Statement, Vote, recovery_key_hash,
};
use belfry_protocol::manifest::{
    Limits, Manifest, Member, SignedManifest, signing_text, smallest_amendment,
};
use belfry_protocol::note::{NoteError, SignatureLine, SignedNote, SigningKey, VerifierKey};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A person, by number.
pub(super) type Who = usize;

/// Who has a number this much higher holds the same name with another identity key.
pub(super) const REPLACES: Who = 16;

/// Keys that can recover a federation.
pub(super) const RECOVERY_KEYS: usize = 3;

/// The lineage of every simulated federation.
pub(super) const LINEAGE: [u8; 16] = [7; 16];

/// Someone with an identity key, and the node with its envelope key.
pub(super) struct Person {
    pub(super) who: Who,
    pub(super) identity: SigningKey,
    envelope: SigningKey,
    certificate: SignedNote,
    member: Member,
}

thread_local! {
    static PEOPLE: RefCell<BTreeMap<Who, Rc<Person>>> = const { RefCell::new(BTreeMap::new()) };
}

/// The person of this number.
pub(super) fn person(who: Who) -> Result<Rc<Person>, FoundingError> {
    if let Some(known) = PEOPLE.with_borrow(|people| people.get(&who).cloned()) {
        return Ok(known);
    }
    let made = Rc::new(Person::new(who)?);
    PEOPLE.with_borrow_mut(|people| people.insert(who, Rc::clone(&made)));
    Ok(made)
}

/// What people call somebody.
pub(super) fn name(who: Who) -> String {
    format!("m{:02}.example", who % REPLACES)
}

impl Person {
    fn new(who: Who) -> Result<Self, FoundingError> {
        let name = name(who);
        let key = |what: &str| seed(&name, &format!("ceremony/{}/{what}", who / REPLACES));
        let identity = SigningKey::ed25519(&name, key("identity"))?;
        let envelope = SigningKey::ed25519(&name, key("envelope"))?;
        let mirror = SigningKey::cosigner(&format!("{name}/mirror"), key("mirror"))?;
        let certificate = Certificate {
            scope: Scope::Unfounded,
            node: name.clone(),
            serial: 1,
            previous: None,
            not_before_seconds: START_SECONDS - 86_400,
            not_after_seconds: START_SECONDS + 89 * 86_400,
            log: SigningKey::ed25519(&name, key("log"))?.verifier().clone(),
            log_from_size: 0,
            ack: SigningKey::cosigner(&name, key("ack"))?.verifier().clone(),
            mirror: mirror.verifier().clone(),
            envelope: envelope.verifier().clone(),
        };
        let certificate = certificate
            .sign(&identity)
            .map_err(|error| FoundingError::Keys(error.to_string()))?;
        let member = Member {
            factory: false,
            tower: true,
            identity: identity.verifier().clone(),
            peer: peer_id(&format!("{name}/{}", who / REPLACES)),
            addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned()],
            http: None,
            certificate_head: certificate_hash(&certificate),
            name,
        };
        Ok(Self {
            who,
            identity,
            envelope,
            certificate,
            member,
        })
    }

    /// Their signature under a statement, by the key that it needs.
    pub(super) fn sign(&self, statement: &Statement) -> Result<Vote, GenesisError> {
        let text = statement.to_string();
        if statement.saying == Saying::Commit {
            let note = self.envelope.signed_note(&text)?;
            return Vote::new(note, Some(self.certificate.clone()));
        }
        Vote::new(self.identity.signed_note(&text)?, None)
    }

    /// Their signature under a statement about a manifest.
    pub(super) fn say(
        &self,
        election: &Election<'_>,
        manifest: &Manifest,
        round: u64,
        saying: Saying,
    ) -> Result<Vote, GenesisError> {
        self.sign(&Statement {
            subject: election.subject(manifest.hash(), round),
            saying,
        })
    }

    /// Their proposal of a manifest.
    pub(super) fn propose(
        &self,
        election: &Election<'_>,
        manifest: &Manifest,
        round: u64,
        opened_seconds: u64,
    ) -> Result<Proposal, GenesisError> {
        let title = format!("Round {round}, says {}", self.member.name);
        let saying = Saying::Propose {
            opened_seconds,
            title,
        };
        let vote = self.say(election, manifest, round, saying)?;
        Proposal::new(manifest.clone(), vote.note().clone())
    }
}

/// Everybody of a run, found by what they sign.
#[derive(Default)]
pub(super) struct People {
    by_key: BTreeMap<(String, u32), (Who, VerifierKey)>,
}

impl People {
    pub(super) fn add(&mut self, person: &Person) {
        for key in [&person.identity, &person.envelope] {
            let place = (key.name().to_owned(), key.verifier().key_id());
            self.by_key
                .insert(place, (person.who, key.verifier().clone()));
        }
    }

    /// Who signed a text, if the signature is right.
    pub(super) fn signer(&self, text: &str, line: &SignatureLine) -> Option<Who> {
        let place = (line.name().to_owned(), line.key_id());
        let (who, key) = self.by_key.get(&place)?;
        key.verify(text, line.signature()).then_some(*who)
    }

    /// Whose identity key it is.
    pub(super) fn holder(&self, identity: &VerifierKey) -> Option<Who> {
        let place = (identity.name().to_owned(), identity.key_id());
        self.by_key.get(&place).map(|(who, _)| *who)
    }
}

/// What a manifest is to say.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Draft {
    /// Who belongs, and which of them are factories; the others are towers.
    pub(super) seats: BTreeMap<Who, bool>,
    /// How far above the smallest amendment threshold.
    pub(super) raise: u32,
    /// Tells manifests of the same content apart.
    pub(super) variant: u64,
    /// Numbers of the recovery keys.
    pub(super) recovery: Vec<usize>,
}

impl Draft {
    /// The manifest, if it keeps the rules.
    pub(super) fn manifest(&self, base: Option<&Manifest>) -> Option<Manifest> {
        let mut members = Vec::new();
        for (who, factory) in &self.seats {
            let mut member = person(*who).ok()?.member.clone();
            (member.factory, member.tower) = (*factory, !factory);
            members.push(member);
        }
        members.sort_by(|a, b| a.name.cmp(&b.name));
        let count = u32::try_from(members.len()).ok()?;
        let mut recovery_keys = Vec::new();
        for number in &self.recovery {
            recovery_keys.push(recovery_key_hash(recovery_key(*number).ok()?.verifier()));
        }
        recovery_keys.sort();
        let mut manifest = Manifest {
            federation: "Simulated".to_owned(),
            epoch: base.map_or(0, |base| base.epoch + 1),
            previous: base.map(Manifest::hash),
            lineage: LINEAGE,
            created_seconds: START_SECONDS,
            expires_seconds: START_SECONDS + 365 * 86_400 + self.variant,
            resign_from_seconds: START_SECONDS + 335 * 86_400,
            protocol: ((1, 0), (1, 0)),
            members,
            tower_quorum: 0,
            amendment_threshold: (smallest_amendment(count)? + self.raise).min(count),
            limits: Limits::default(),
            mirroring: true,
            effective_seconds: None,
            recovery_keys,
        };
        manifest.tower_quorum = *manifest.allowed_quorums()?.start();
        manifest.check().ok()?;
        Some(manifest)
    }
}

fn recovery_key(number: usize) -> Result<SigningKey, NoteError> {
    SigningKey::ed25519(
        "recovery.example",
        seed("recovery", &format!("ceremony/{number}")),
    )
}

/// A manifest that recovery keys signed.
pub(super) fn recovery(
    election: &Election<'_>,
    manifest: &Manifest,
    keys: &[usize],
) -> Result<Link, FoundingError> {
    let mut signers = Vec::new();
    for number in keys {
        signers.push(recovery_key(*number)?);
    }
    signers.sort_by_key(|key| key.verifier().to_string());
    let text = Recovery::statement(election, manifest).to_string();
    let lines: Result<Vec<_>, NoteError> = signers.iter().map(|key| key.sign_note(&text)).collect();
    Ok(Link::Recovered(Recovery {
        manifest: manifest.clone(),
        keys: signers.iter().map(|key| key.verifier().clone()).collect(),
        note: SignedNote::new(&text, lines?)?,
        acceptances: Vec::new(),
        yields: Vec::new(),
    }))
}

/// Epoch 0 as everybody signed it at once, without rounds.
pub(super) fn founded(draft: &Draft) -> Result<Link, FoundingError> {
    let refuse = |what: &str| FoundingError::Manifest(what.to_owned());
    let manifest = draft
        .manifest(None)
        .ok_or_else(|| refuse("it breaks a rule"))?;
    let text = signing_text(&manifest, None);
    let mut lines = Vec::new();
    for who in draft.seats.keys() {
        lines.push(person(*who)?.identity.sign_note(&text)?);
    }
    let signed = SignedManifest::assemble(manifest, None, lines);
    let signed = signed.map_err(|error| refuse(&error.to_string()))?;
    Ok(Link::Founded(signed))
}
