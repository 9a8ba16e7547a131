//! The section on genesis manifests: its vectors and its table of quorums.

use super::{list, note, page, same, signer, str_of, values, vector};
use belfry_protocol::cert::{Certificate, certificate_hash, verify_chain};
use belfry_protocol::manifest::{
    Federation, Manifest, Quorum, SignedManifest, policy_text, signing_text, smallest_amendment,
};
use belfry_protocol::note::SignedNote;
use belfry_protocol::tlog::hash::sha256;
use serde_json::Value;

#[test]
fn a_manifest_founds_and_gives_policies() {
    let manifest = Manifest::parse(&vector("genesis/manifest.json")).unwrap();
    same("genesis/manifest.json", manifest.to_json());
    assert_eq!(manifest.hash(), sha256(&vector("genesis/manifest.json")));
    let signed = SignedManifest::parse(&vector("genesis/signed.json")).unwrap();
    same("genesis/signed.json", signed.to_json());
    assert_eq!(
        (&signed.manifest, &signed.note),
        (&manifest, &note("genesis/manifest.note"))
    );
    assert_eq!(signing_text(&manifest, None), signed.note.text());
    let chains = values("genesis/certificates.json");
    let notes = |name: &str| -> Vec<SignedNote> {
        let read = |note: &Value| SignedNote::parse(str_of(note).as_bytes()).unwrap();
        list(&chains[name]).iter().map(read).collect()
    };
    let words = [
        ("identity", 0),
        ("tower-identity", 0),
        ("tower-identity", 2),
        ("tower-identity", 1),
    ];
    for (member, (word, number)) in manifest.members.iter().zip(words) {
        let (identity, notes) = (signer(word, number), notes(&member.name));
        assert_eq!(member.identity, *identity.verifier());
        assert_eq!(
            member.certificate_head,
            certificate_hash(notes.last().unwrap())
        );
        for note in &notes {
            let certificate = Certificate::open(note, identity.verifier()).unwrap();
            assert_eq!(certificate.sign(&identity).unwrap(), *note);
        }
        let line = identity.sign_note(signed.note.text()).unwrap();
        assert!(signed.note.signatures().contains(&line), "{}", member.name);
    }
    let founded = signed.verify_founding().unwrap();
    assert_eq!(founded.id, manifest.hash());
    let chain = |name: &str| {
        let (_, member) = manifest.member(name)?;
        verify_chain(&member.identity, &notes(name)).ok()
    };
    let derived = policy_text(&Federation::from(founded), "acme.example/line-4", chain);
    same("genesis/policy.txt", derived.unwrap());
}

#[test]
fn the_page_has_the_table_of_quorums() {
    let span = |from: u32, to: u32| match from == to {
        true => from.to_string(),
        false => format!("{from} to {to}"),
    };
    for n in 1..=10 {
        let (least, allowed) = (Quorum::smallest(n).unwrap(), Quorum::allowed(n).unwrap());
        let (f, r) = (least.faulty, least.recovery);
        let k = span(*allowed.start(), *allowed.end());
        let t = span(smallest_amendment(n).unwrap(), n);
        let row = format!("| {n} | {f} | {k} | {r} | {t} |");
        assert!(page().contains(&row), "{row}");
    }
}

#[test]
fn the_page_has_the_files_of_a_vote() {
    use belfry_protocol::genesis::{
        self, ACTIVE_FORMAT, CERTIFICATE_FORMAT, EVIDENCE_FORMAT, PROPOSAL_FORMAT, RECOVERY_FORMAT,
        VOTE_FORMAT, ceremony::record,
    };
    for (format, limit) in [
        (VOTE_FORMAT, genesis::MAX_VOTE_BYTES),
        (PROPOSAL_FORMAT, genesis::MAX_PROPOSAL_BYTES),
        (CERTIFICATE_FORMAT, genesis::MAX_CERTIFICATE_BYTES),
        (ACTIVE_FORMAT, genesis::MAX_PUBLICATION_BYTES),
        (RECOVERY_FORMAT, genesis::MAX_RECOVERY_BYTES),
        (EVIDENCE_FORMAT, genesis::MAX_EVIDENCE_BYTES),
        (record::RECORD_FORMAT, record::MAX_RECORD_BYTES),
    ] {
        let digits = limit.to_string();
        let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
        let printed = String::from_utf8(groups.join(&b',')).unwrap();
        let (begins, ends) = (format!("| `{format}` |"), format!("| {printed} |"));
        let page = page();
        let mut rows = page.lines().filter(|row| row.starts_with(&begins));
        assert!(
            rows.next().is_some_and(|row| row.ends_with(&ends)),
            "{format}"
        );
    }
}

#[test]
fn the_page_shows_a_statement() {
    use belfry_protocol::genesis::Statement;
    let page = page();
    let (_, from) = page
        .split_once("```text\nbelfry-genesis-approve/v1")
        .unwrap();
    let (lines, _) = from.split_once("```").unwrap();
    let text = format!("belfry-genesis-approve/v1{lines}");
    assert_eq!(Statement::parse(&text).unwrap().to_string(), text);
}
