//! Chains of manifests: verified offline from epoch 0, in every order that must be refused, and fast enough.

use crate::fixture::{LINEAGE, amendment, founding, member, name, person, vote};
use belfry_protocol::genesis::chain::{
    Chain, Link, parse_chain, print_chain, verify_ahead, verify_links,
};
use belfry_protocol::genesis::{
    Election, GenesisError, Publication, Saying, Strict, Verifier, VoteCertificate,
};
use belfry_protocol::manifest::{Manifest, SignedManifest, signing_text};
use belfry_protocol::note::{SignedNote, SigningKey};

/// Approvals and commits of these people in round 1.
pub(crate) fn publish(
    election: &Election<'_>,
    manifest: &Manifest,
    people: &[usize],
    commits: &[usize],
) -> Publication {
    let merged = |saying: Saying, people: &[usize]| {
        let votes: Vec<_> = people
            .iter()
            .map(|at| vote(*at, election, manifest, 1, saying.clone()))
            .collect();
        let mut lines: Vec<_> = votes.iter().map(|vote| vote.line().clone()).collect();
        lines.sort();
        let certificates: Vec<SignedNote> = votes
            .iter()
            .filter_map(|vote| vote.certificate().cloned())
            .collect();
        let note = SignedNote::new(votes[0].note().text(), lines).unwrap();
        (note, certificates)
    };
    let (commits, key_certificates) = merged(Saying::Commit, commits);
    Publication {
        certificate: VoteCertificate {
            manifest: manifest.clone(),
            round: 1,
            approvals: vec![merged(Saying::Approve, people).0],
        },
        commits,
        key_certificates,
    }
}

fn signed_at_once(manifest: &Manifest, people: &[usize]) -> Link {
    let text = signing_text(manifest, None);
    let lines = people
        .iter()
        .map(|at| person(*at).identity.sign_note(&text).unwrap());
    let signed = SignedManifest::assemble(manifest.clone(), None, lines.collect()).unwrap();
    Link::Founded(signed)
}

/// Epochs 0 to `epochs` of these people, everybody signing where `all`, else only as many as it takes.
fn chain(people: &[usize], epochs: u64, all: bool) -> Vec<Link> {
    let mut manifest = founding(people, 0);
    let id = manifest.hash();
    let t = manifest.amendment_threshold as usize;
    let few = if all { people } else { &people[..t] };
    let election = Election::founding(LINEAGE);
    let mut links = vec![Link::Voted(publish(&election, &manifest, people, few))];
    for epoch in 1..epochs {
        let next = amendment(&manifest, people, epoch);
        let election = Election::amending(id, &manifest);
        links.push(Link::Voted(publish(&election, &next, few, few)));
        manifest = next;
    }
    links
}

fn strict(links: &[Link]) -> Result<Chain, GenesisError> {
    verify_links(links, &mut Verifier::new(Strict))
}

#[test]
fn a_chain_verifies_from_epoch_0_and_reads_back() {
    let links = chain(&[0, 1, 2, 3], 4, true);
    let verified = strict(&links).unwrap();
    assert_eq!(verified.id(), founding(&[0, 1, 2, 3], 0).hash());
    assert_eq!(verified.manifest().epoch, 3);
    assert_eq!(verified.recovered(), Vec::<u64>::new());
    let file = print_chain(&links);
    assert_eq!(parse_chain(file.as_bytes()).unwrap(), links);
    // Epoch 0 may have been signed at once instead.
    let mut at_once = links.clone();
    at_once[0] = signed_at_once(&founding(&[0, 1, 2, 3], 0), &[0, 1, 2, 3]);
    assert_eq!(strict(&at_once), Ok(verified.clone()));
    let file = print_chain(&at_once);
    assert_eq!(parse_chain(file.as_bytes()).unwrap(), at_once);
    // Whoever has several cores gets the signatures.
    let claimed = verify_ahead(&links).unwrap();
    let jobs = claimed.jobs().len();
    assert_eq!(jobs, 4 * (4 + 4) + 4, "each key certificate once");
    let right = claimed.settle(|jobs| jobs.iter().all(belfry_protocol::genesis::Job::is_right));
    assert_eq!(right, Some(verified));
}

#[test]
fn epochs_are_neither_skipped_nor_swapped_nor_cut_at_the_front() {
    let links = chain(&[0, 1, 2, 3], 4, true);
    let refused = |order: &[usize]| {
        let links: Vec<Link> = order.iter().map(|at| links[*at].clone()).collect();
        assert!(strict(&links).is_err(), "{order:?}");
    };
    for order in [
        &[][..],
        &[1],
        &[1, 2],
        &[0, 2],
        &[0, 1, 3],
        &[0, 2, 1],
        &[0, 1, 1],
        &[0, 0],
    ] {
        refused(order);
    }
    // Another federation's next epoch.
    let other = chain(&[0, 1, 2, 3, 4], 2, true);
    assert!(strict(&[links[0].clone(), other[1].clone()]).is_err());
}

#[test]
fn too_few_approvals_or_commits_and_wrong_ones_are_refused() {
    let base = founding(&[0, 1, 2, 3], 0);
    let next = amendment(&base, &[0, 1, 2, 3, 4], 1);
    let election = Election::amending(base.hash(), &base);
    let try_with = |approvals: &[usize], commits: &[usize]| {
        let made = publish(&election, &next, approvals, commits);
        made.verify(&election, &mut Verifier::new(Strict))
    };
    assert_eq!(try_with(&[0, 1, 2, 4], &[0, 1, 2]), Ok(()));
    let said = |result: Result<(), GenesisError>| result.unwrap_err().to_string();
    let few = said(try_with(&[0, 1, 4], &[0, 1, 2]));
    assert_eq!(
        few,
        "approvals of one round by the members that vote: 2 of the 3 that are needed; missing is m02.example, m03.example"
    );
    let no_joiner = said(try_with(&[0, 1, 2, 3], &[0, 1, 2]));
    assert!(no_joiner.contains("missing is m04.example"), "{no_joiner}");
    let few = said(try_with(&[0, 1, 2, 4], &[0, 1]));
    assert!(few.starts_with("commits of one round: 2 of the 3"), "{few}");
    // The joiner is no member yet, so its commit is a stranger's.
    let stranger = said(try_with(&[0, 1, 2, 4], &[0, 1, 2, 4]));
    assert!(stranger.contains("m04.example") && stranger.contains("no say"));
    // A commit under a key that nobody vouches for.
    let mut forged = publish(&election, &next, &[0, 1, 2, 4], &[0, 1, 2]);
    forged.key_certificates.swap(0, 1);
    let result = forged.verify(&election, &mut Verifier::new(Strict));
    assert!(result.is_err());
    // Commits of another round than the certificate's.
    let mut moved = publish(&election, &next, &[0, 1, 2, 4], &[0, 1, 2]);
    moved.certificate.round = 2;
    let result = moved.verify(&election, &mut Verifier::new(Strict));
    assert!(result.is_err());
}

#[test]
fn a_name_never_goes_to_somebody_else() {
    let people = [0, 1, 2, 3, 4];
    let base = founding(&people, 0);
    let id = base.hash();
    let without = amendment(&base, &people[..4], 1);
    let mut chain = strict(&[signed_at_once(&base, &people)]).unwrap();
    let election = Election::amending(id, &base);
    let link = Link::Voted(publish(&election, &without, &people[..4], &people[..4]));
    let mut verifier = Verifier::new(Strict);
    chain.extend(&link, &mut verifier).unwrap();
    // Back with its own key: fine. With another one: refused, whoever approves.
    let back = amendment(&without, &people, 2);
    assert_eq!(chain.check_names(&back), Ok(()));
    let mut other = back.clone();
    let key = SigningKey::ed25519(&name(4), [3; 32]).unwrap();
    other.members[4].identity = key.verifier().clone();
    let said = chain.check_names(&other).unwrap_err();
    assert!(said.to_string().contains("choose another name"), "{said}");
    // A member that stays may get a new key, by its own acceptance.
    let mut replaced = without.clone();
    replaced.members[3].identity = SigningKey::ed25519(&name(3), [4; 32])
        .unwrap()
        .verifier()
        .clone();
    assert_eq!(chain.check_names(&replaced), Ok(()));
    assert_eq!(member(4).name, name(4));
}

/// Issue: a chain of 100 epochs of 25 members in under 100 ms, optimized, on two cores. Prints what it took:
/// `cargo test --release -p belfry-protocol --test genesis hundred -- --nocapture`.
#[test]
#[allow(clippy::disallowed_methods)] // the test times itself; nothing depends on the clock
fn a_hundred_epochs_of_twenty_five_members() {
    use std::time::Instant;
    let epochs = if cfg!(debug_assertions) { 5 } else { 100 };
    let people: Vec<usize> = (0..25).collect();
    let file = print_chain(&chain(&people, epochs, false));
    let (mut best_parse, mut best_walk, mut best_all) = (u128::MAX, u128::MAX, u128::MAX);
    let mut jobs = 0;
    for _ in 0..3 {
        let start = Instant::now();
        let links = parse_chain(file.as_bytes()).unwrap();
        let parsed = start.elapsed();
        let claimed = verify_ahead(&links).unwrap();
        let walked = start.elapsed();
        jobs = claimed.jobs().len();
        let verified = claimed.settle(|jobs| {
            let (left, right) = jobs.split_at(jobs.len() / 2);
            let all = |jobs: &[belfry_protocol::genesis::Job]| {
                jobs.iter().all(belfry_protocol::genesis::Job::is_right)
            };
            std::thread::scope(|scope| {
                let other = scope.spawn(|| all(right));
                all(left) && other.join().unwrap()
            })
        });
        let done = start.elapsed();
        assert_eq!(verified.unwrap().manifest().epoch, epochs - 1);
        best_parse = best_parse.min(parsed.as_micros());
        best_walk = best_walk.min((walked - parsed).as_micros());
        best_all = best_all.min(done.as_micros());
    }
    println!(
        "{epochs} epochs, {} bytes, {jobs} signatures: read in {best_parse} us, walked in {best_walk} us, all with signatures on \
         two threads {best_all} us",
        file.len()
    );
}
