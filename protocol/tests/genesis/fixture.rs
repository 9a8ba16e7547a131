//! Members with keys from fixed seeds, and manifests of them.

use belfry_protocol::cert::{Certificate, Scope, certificate_hash};
use belfry_protocol::entry::json::Json;
use belfry_protocol::entry::leaf::{Content, Leaf};
use belfry_protocol::entry::time::TimeUs;
use belfry_protocol::genesis::ceremony::{Settings, Signer};
use belfry_protocol::genesis::{Check, Election, Proposal, Remembering, Saying, Statement, Vote};
use belfry_protocol::manifest::{Federation, Limits, Manifest, Member, Quorum, smallest_amendment};
use belfry_protocol::note::{SignatureLine, SignedNote, SigningKey, VerifierKey};
use belfry_protocol::tlog::hash::sha256;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::OnceLock;

pub(crate) const LINEAGE: [u8; 16] = *b"belfry ceremony!";
pub(crate) const CREATED: u64 = 1_795_168_800;
/// Members with keys; the last ones are joiners.
pub(crate) const PEOPLE: usize = 30;

pub(crate) struct Person {
    pub(crate) identity: SigningKey,
    envelope: SigningKey,
    certificate: SignedNote,
}

pub(crate) fn name(at: usize) -> String {
    format!("m{at:02}.example")
}

fn seed(at: usize, what: &str) -> [u8; 32] {
    sha256(format!("{at}/{what}").as_bytes()).0
}

fn make(at: usize) -> Person {
    let name = name(at);
    let plain = |what| SigningKey::ed25519(&name, seed(at, what)).unwrap();
    let cosigner = |name: &str, what| SigningKey::cosigner(name, seed(at, what)).unwrap();
    let (identity, envelope) = (plain("identity"), plain("envelope"));
    let certificate = Certificate {
        scope: Scope::Lineage(LINEAGE),
        node: name.clone(),
        serial: 1,
        previous: None,
        not_before_seconds: CREATED,
        not_after_seconds: CREATED + 90 * 86_400,
        log: plain("log").verifier().clone(),
        log_from_size: 0,
        ack: cosigner(&name, "ack").verifier().clone(),
        mirror: cosigner(&format!("{name}/mirror"), "mirror")
            .verifier()
            .clone(),
        envelope: envelope.verifier().clone(),
    };
    Person {
        certificate: certificate.sign(&identity).unwrap(),
        identity,
        envelope,
    }
}

pub(crate) fn person(at: usize) -> &'static Person {
    static ALL: OnceLock<Vec<Person>> = OnceLock::new();
    &ALL.get_or_init(|| (0..PEOPLE).map(make).collect())[at]
}

pub(crate) fn certificate(at: usize) -> SignedNote {
    person(at).certificate.clone()
}

/// The key that signs a member's digests.
pub(crate) fn log_key(at: usize) -> SigningKey {
    SigningKey::ed25519(&name(at), seed(at, "log")).unwrap()
}

/// The key that says what a member holds.
pub(crate) fn mirror_key(at: usize) -> SigningKey {
    SigningKey::cosigner(&format!("{}/mirror", name(at)), seed(at, "mirror")).unwrap()
}

/// An entry of a ledger.
pub(crate) fn entry(kind: &str, body: &str) -> Vec<u8> {
    let leaf = Leaf {
        kind: kind.to_owned(),
        time: TimeUs::from_micros(1_795_168_800_000_000).unwrap(),
        source: "node".to_owned(),
        tenant: None,
        content: Content::Body(Json::parse(body.as_bytes()).unwrap()),
        idem: None,
        scrub: None,
    };
    leaf.to_bytes()
}

pub(crate) fn member(at: usize) -> Member {
    const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let hashes = [sha256(&seed(at, "p")), sha256(&seed(at, "q"))];
    let bytes = hashes.iter().flat_map(|hash| hash.0).take(44);
    let peer: String = bytes
        .map(|b| char::from(ALPHABET[usize::from(b) % 58]))
        .collect();
    Member {
        name: name(at),
        factory: at == 0,
        tower: at != 0,
        identity: person(at).identity.verifier().clone(),
        peer: format!("12D3KooW{peer}"),
        addresses: vec![format!("/dns4/m{at}.example/tcp/7420")],
        http: None,
        certificate_head: certificate_hash(&person(at).certificate),
    }
}

/// A manifest of epoch 0; `variant` makes another one of the same members.
pub(crate) fn founding(members: &[usize], variant: u64) -> Manifest {
    let count = u32::try_from(members.len()).unwrap();
    Manifest {
        federation: "Ceremony".to_owned(),
        epoch: 0,
        previous: None,
        lineage: LINEAGE,
        created_seconds: CREATED,
        expires_seconds: CREATED + 365 * 86_400 + variant,
        resign_from_seconds: CREATED + 335 * 86_400,
        protocol: ((1, 0), (1, 0)),
        members: members.iter().map(|at| member(*at)).collect(),
        tower_quorum: Quorum::smallest(count - 1).unwrap().needed,
        amendment_threshold: smallest_amendment(count).unwrap(),
        limits: Limits::default(),
        mirroring: true,
        effective_seconds: None,
        recovery_keys: Vec::new(),
    }
}

/// An amendment of `base` to these members.
pub(crate) fn amendment(base: &Manifest, members: &[usize], variant: u64) -> Manifest {
    Manifest {
        epoch: base.epoch + 1,
        previous: Some(base.hash()),
        ..founding(members, variant)
    }
}

pub(crate) fn federation(members: &[usize]) -> Federation {
    let manifest = founding(members, 0);
    Federation::new(manifest.hash(), manifest).unwrap()
}

/// A statement signed by a member's key.
pub(crate) fn signed(at: usize, statement: &Statement) -> Vote {
    let person = person(at);
    let signer = match statement.saying {
        Saying::Commit => Signer::Envelope,
        _ => Signer::Identity,
    };
    let (key, certificate) = match signer {
        Signer::Identity => (&person.identity, None),
        Signer::Envelope => (&person.envelope, Some(person.certificate.clone())),
    };
    Vote::new(
        key.signed_note(&statement.to_string()).unwrap(),
        certificate,
    )
    .unwrap()
}

pub(crate) fn vote(
    at: usize,
    election: &Election<'_>,
    manifest: &Manifest,
    round: u64,
    saying: Saying,
) -> Vote {
    let subject = election.subject(manifest.hash(), round);
    signed(at, &Statement { subject, saying })
}

pub(crate) fn proposal(
    at: usize,
    election: &Election<'_>,
    manifest: &Manifest,
    round: u64,
) -> Proposal {
    let statement = Statement {
        subject: election.subject(manifest.hash(), round),
        saying: Saying::Propose {
            opened_seconds: CREATED,
            title: "A change".to_owned(),
        },
    };
    let note = person(at)
        .identity
        .signed_note(&statement.to_string())
        .unwrap();
    Proposal::new(manifest.clone(), note).unwrap()
}

pub(crate) fn settings(at: usize) -> Settings {
    Settings {
        identity: person(at).identity.verifier().clone(),
        lineage: Some(LINEAGE),
        restored: false,
        watched: true,
    }
}

/// One memory of right signatures for all nodes and schedules of a thread: the rules are under test, not Ed25519.
#[derive(Clone)]
pub(crate) struct Shared(Rc<RefCell<Remembering>>);

impl Shared {
    pub(crate) fn new() -> Self {
        thread_local!(static ALL: Shared = Shared(Rc::default()));
        ALL.with(Clone::clone)
    }
}

impl Check for Shared {
    fn is_right(&mut self, key: &VerifierKey, text: &str, line: &SignatureLine) -> bool {
        self.0.borrow_mut().is_right(key, text, line)
    }
}
