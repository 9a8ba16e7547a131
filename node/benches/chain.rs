//! Verifying a chain of 100 epochs of 25 members from epoch 0, as `genesis verify`, a start and whoever joins do: from the bytes of the
//! file to the newest manifest, every signature checked. Chains as ceremonies leave them (as many signatures as are needed), and with
//! everybody's. Beside the figures stands one signature check of the same run.
//!
//! `cargo bench -p belfry-node --bench chain`; `BELFRY_BENCH_RUNS` (20) is how often.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss
)]

use belfry_node::member::Epochs;
use belfry_protocol::cert::{Certificate, Scope, certificate_hash};
use belfry_protocol::genesis::chain::{Link, parse_chain, print_chain, verify_ahead};
use belfry_protocol::genesis::{Election, Job, Publication, Saying, Statement, VoteCertificate};
use belfry_protocol::manifest::{Limits, Manifest, Member, Quorum, smallest_amendment};
use belfry_protocol::note::{SignedNote, SigningKey};
use belfry_protocol::tlog::hash::sha256;
use std::time::{Duration, Instant};

const MEMBERS: usize = 25;
const EPOCHS: u64 = 100;
const LINEAGE: [u8; 16] = *b"bench of a chain";
const CREATED: u64 = 1_795_168_800;
const DAY: u64 = 86_400;

struct Person {
    identity: SigningKey,
    envelope: SigningKey,
    certificate: SignedNote,
    member: Member,
}

fn person(at: usize) -> Person {
    const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let name = format!("m{at:02}.example");
    let seed = |what: &str| sha256(format!("{at}/{what}").as_bytes()).0;
    let plain = |what| SigningKey::ed25519(&name, seed(what)).unwrap();
    let cosigner = |name: &str, what| SigningKey::cosigner(name, seed(what)).unwrap();
    let (identity, envelope) = (plain("identity"), plain("envelope"));
    let certificate = Certificate {
        scope: Scope::Lineage(LINEAGE),
        node: name.clone(),
        serial: 1,
        previous: None,
        not_before_seconds: CREATED,
        not_after_seconds: CREATED + 90 * DAY,
        log: plain("log").verifier().clone(),
        log_from_size: 0,
        ack: cosigner(&name, "ack").verifier().clone(),
        mirror: cosigner(&format!("{name}/mirror"), "mirror")
            .verifier()
            .clone(),
        envelope: envelope.verifier().clone(),
    };
    let certificate = certificate.sign(&identity).unwrap();
    let bytes = [seed("p"), seed("q")].concat();
    let peer = bytes
        .iter()
        .take(44)
        .map(|b| char::from(ALPHABET[usize::from(*b) % 58]));
    let member = Member {
        name: name.clone(),
        factory: at == 0,
        tower: at != 0,
        identity: identity.verifier().clone(),
        peer: format!("12D3KooW{}", peer.collect::<String>()),
        addresses: vec![format!("/dns4/{name}/tcp/7420")],
        http: None,
        certificate_head: certificate_hash(&certificate),
    };
    Person {
        identity,
        envelope,
        certificate,
        member,
    }
}

fn manifest(people: &[Person], base: Option<&Manifest>) -> Manifest {
    let count = people.len() as u32;
    let epoch = base.map_or(0, |base| base.epoch + 1);
    Manifest {
        federation: "Bench".to_owned(),
        epoch,
        previous: base.map(Manifest::hash),
        lineage: LINEAGE,
        created_seconds: CREATED,
        expires_seconds: CREATED + 365 * DAY + epoch,
        resign_from_seconds: CREATED + 335 * DAY,
        protocol: ((1, 0), (1, 0)),
        members: people.iter().map(|person| person.member.clone()).collect(),
        tower_quorum: Quorum::smallest(count - 1).unwrap().needed,
        amendment_threshold: smallest_amendment(count).unwrap(),
        limits: Limits::default(),
        mirroring: true,
        effective_seconds: None,
        recovery_keys: Vec::new(),
    }
}

fn note(
    election: &Election<'_>,
    manifest: &Manifest,
    saying: Saying,
    keys: impl Iterator<Item = SigningKey>,
) -> SignedNote {
    let subject = election.subject(manifest.hash(), 1);
    let text = Statement { subject, saying }.to_string();
    let mut lines: Vec<_> = keys.map(|key| key.sign_note(&text).unwrap()).collect();
    lines.sort();
    SignedNote::new(&text, lines).unwrap()
}

/// The file of a chain. `sign`: how many sign each epoch; everybody accepts epoch 0.
fn chain(people: &[Person], sign: usize) -> Vec<u8> {
    let (mut links, mut base) = (Vec::new(), None::<Manifest>);
    let mut id = None;
    for epoch in 0..EPOCHS {
        let next = manifest(people, base.as_ref());
        let id = *id.get_or_insert(next.hash());
        let election = match &base {
            None => Election::founding(LINEAGE),
            Some(base) => Election::amending(id, base),
        };
        let approve = if epoch == 0 { people.len() } else { sign };
        let approving = people[..approve].iter().map(|one| one.identity.clone());
        let committing = people[..sign].iter().map(|one| one.envelope.clone());
        let certificates = people[..sign].iter().map(|one| one.certificate.clone());
        let made = Publication {
            certificate: VoteCertificate {
                manifest: next.clone(),
                round: 1,
                approvals: vec![note(&election, &next, Saying::Approve, approving)],
            },
            commits: note(&election, &next, Saying::Commit, committing),
            key_certificates: certificates.collect(),
        };
        links.push(Link::Voted(made));
        base = Some(next);
    }
    print_chain(&links).into_bytes()
}

/// The least of several, and their median: other work on the machine only adds.
fn times(runs: usize, mut work: impl FnMut()) -> (Duration, Duration) {
    let mut all: Vec<Duration> = (0..runs)
        .map(|_| {
            let began = Instant::now();
            work();
            began.elapsed()
        })
        .collect();
    all.sort();
    (all[0], all[runs / 2])
}

fn main() {
    // Test runners may pass flags; `--test` means: only show that it starts.
    if std::env::args().any(|one| one == "--test" || one == "--list") {
        return;
    }
    let runs = std::env::var("BELFRY_BENCH_RUNS").ok();
    let runs = runs.and_then(|runs| runs.parse().ok()).unwrap_or(20);
    let people: Vec<Person> = (0..MEMBERS).map(person).collect();
    let needed = smallest_amendment(MEMBERS as u32).unwrap() as usize;
    for (what, sign) in [("as many as are needed", needed), ("everybody", MEMBERS)] {
        let file = chain(&people, sign);
        let (least, median) = times(runs, || {
            let epochs = Epochs::verify(&file).unwrap();
            assert_eq!(epochs.chain.manifest().epoch, EPOCHS - 1);
        });
        let (reading, _) = times(runs, || drop(parse_chain(&file).unwrap()));
        let links = parse_chain(&file).unwrap();
        let (judging, _) = times(runs, || drop(verify_ahead(&links).unwrap()));
        let claimed = verify_ahead(&links).unwrap();
        let jobs = claimed.jobs();
        let (checking, _) = times(3, || assert!(jobs.iter().all(Job::is_right)));
        println!(
            "{EPOCHS} epochs of {MEMBERS} members, signed by {what} ({sign}): {:.0} KiB, {} signatures",
            file.len() as f64 / 1024.0,
            jobs.len()
        );
        println!(
            "  verified in {:.1} ms at best, {:.1} ms median; reading {:.1} ms, judging {:.1} ms, all signatures on one core {:.1} ms ({:.1} us each)",
            ms(least),
            ms(median),
            ms(reading),
            ms(judging),
            ms(checking),
            1_000.0 * ms(checking) / jobs.len() as f64,
        );
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
