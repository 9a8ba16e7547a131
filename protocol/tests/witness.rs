//! Witness messages against the public add-checkpoint script, and their strictness.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::note::{Algorithm, SigningKey, VerifierKey};
use belfry_protocol::tlog::hash::{Hash, leaf_hash};
use belfry_protocol::tlog::memory::MemoryTree;
use belfry_protocol::tlog::verify::{consistency, is_subtree, subtree};
use belfry_protocol::witness::{
    AddCheckpoint, SignSubtree, parse_conflict, parse_cosignatures, print_conflict,
    print_cosignatures,
};
use proptest::prelude::*;

/// Data of the add-checkpoint script of litewitness (FiloSottile/torchwood), log key and origin.
const ORIGIN: &str =
    "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562";
const LOG_KEY: &str = "ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f";
const SIZE_1: (&str, &str) = (
    "KgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "UgIom7fPZTqpxWWhyjWduBvTvGVqsokMbqTArsQilegKoFBJQjUFAmQ0+YeSPM3wfUQMFSzVnnNuWRTYrajXpNUbIQY=",
);
const SIZE_3: (&str, &str) = (
    "RcCI1Nk56ZcSmIEfIn0SleqtV7uvrlXNccFx595Iwl0=",
    "UgIom2VbtIcdFbwFAy1n7s6IkAxIY6J/GQOTuZF2ORV39d75cbAj2aQYwyJre36kezNobZs4SUUdrcawfAB8WVrx6go=",
);
const SIZE_5: (&str, &str) = (
    "QrtXrQZCCvpIgsSmOsah7HdICzMLLyDfxToMql9WTjY=",
    "UgIomw/EOJmWi0i1FQsOj+etB7F8IccFam/jgd6wzRns4QPVmyEZtdvl1U2KEmLOZ/ASRcWJi0tW90dJWAShei7sDww=",
);
const PROOF_1_3: &str =
    "KgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nKgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
const PROOF_3_5: &str = "KgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nKgMAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nwgiIFdZfYNv6WU1OllBKsWnLYIS/DBMqt8Uh/S4OukE=\nKgQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

fn request(old: u64, proof: &str, size: u64, (root, signature): (&str, &str)) -> String {
    format!("old {old}\n{proof}\n{ORIGIN}\n{size}\n{root}\n\n\u{2014} {ORIGIN} {signature}\n")
}

fn log_key() -> VerifierKey {
    VerifierKey::new(
        ORIGIN,
        Algorithm::Ed25519,
        &belfry_protocol::hex::decode(LOG_KEY).unwrap(),
    )
    .unwrap()
}

#[test]
fn the_public_script_parses_verifies_and_grows() {
    let mut last: Option<Checkpoint> = None;
    let script = [
        request(0, "", 1, SIZE_1),
        request(1, PROOF_1_3, 3, SIZE_3),
        request(3, PROOF_3_5, 5, SIZE_5),
    ];
    for body in script {
        let parsed = AddCheckpoint::parse(body.as_bytes()).unwrap();
        assert_eq!(parsed.to_string(), body);
        let checkpoint = Checkpoint::open(&parsed.checkpoint, &log_key()).unwrap();
        if let Some(old) = last {
            assert_eq!(parsed.old_size, old.size);
            consistency(
                old.size,
                checkpoint.size,
                &old.root,
                &checkpoint.root,
                &parsed.proof,
            )
            .unwrap();
        }
        last = Some(checkpoint);
    }
    let forged = request(
        1,
        PROOF_1_3,
        3,
        (SIZE_3.0, &SIZE_3.1.replace("6go=", "6gw=")),
    );
    let parsed = AddCheckpoint::parse(forged.as_bytes()).unwrap();
    assert!(Checkpoint::open(&parsed.checkpoint, &log_key()).is_err());
}

#[test]
fn the_specification_example_parses() {
    let body = "old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\njrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\nexample.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\u{2014} example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n";
    let parsed = AddCheckpoint::parse(body.as_bytes()).unwrap();
    assert_eq!(
        (
            parsed.old_size,
            parsed.proof.len(),
            parsed.checkpoint.signatures().len()
        ),
        (20_852_014, 4, 2)
    );
    assert_eq!(parsed.to_string(), body);
}

#[test]
fn malformed_requests_are_refused() {
    let good = request(3, PROOF_3_5, 5, SIZE_5);
    let bad = [
        good.replace("old 3", "old 03"),
        good.replace("old 3", "old  3"),
        good.replace("old 3", "size 3"),
        good.replace("old 3\n", ""),
        good.replacen("\n\n", "\n", 1),
        good.replace("KgQAAAA", "KgQAAA"),
        good.replace("old 3\n", &format!("old 3\n{}", PROOF_1_3.repeat(30))),
        good.replace("\n5\n", "\nfive\n"),
        good.replace('\n', "\r\n"),
        good[..good.len() - 1].to_owned(),
        format!("{good}\n"),
    ];
    for body in bad {
        assert!(AddCheckpoint::parse(body.as_bytes()).is_err(), "{body}");
    }
    assert!(AddCheckpoint::parse(&vec![b'o'; 200_000]).is_err());
}

#[test]
fn answers_round_trip() {
    let key = SigningKey::cosigner("w.example", [1; 32]).unwrap();
    let text = format!("{ORIGIN}\n1\n{}\n", SIZE_1.0);
    let lines = vec![key.cosign(&text, 1).unwrap(), key.cosign(&text, 2).unwrap()];
    let body = print_cosignatures(&lines);
    assert_eq!(parse_cosignatures(body.as_bytes()).unwrap(), lines);
    for bad in [
        "",
        "\n",
        &body[..body.len() - 1],
        &format!("{body}\n"),
        &body.repeat(9),
        &body.replace('\n', "\r\n"),
    ] {
        assert!(parse_cosignatures(bad.as_bytes()).is_err(), "{bad}");
    }
    assert_eq!(parse_conflict(print_conflict(42).as_bytes()), Ok(42));
    for bad in [
        "",
        "42",
        "042\n",
        "42\n\n",
        "42\r\n",
        "-1\n",
        "9223372036854775808\n",
    ] {
        assert!(parse_conflict(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn subtree_requests_round_trip_and_keep_to_the_tree() {
    let note = request(0, "", 5, SIZE_5)
        .split_once("\n\n")
        .unwrap()
        .1
        .to_owned();
    let body = |range: &str| format!("subtree {range}\n{}\n{PROOF_1_3}\n{note}", SIZE_1.0);
    let good = SignSubtree::parse(body("2 4").as_bytes()).unwrap();
    assert_eq!(
        (good.start, good.end, good.proof.len(), good.to_string()),
        (2, 4, 2, body("2 4"))
    );
    for bad in ["2 2", "4 2", "1 3", "4 6", "2 04", "2", "2 4 6", "-2 4"] {
        assert!(SignSubtree::parse(body(bad).as_bytes()).is_err(), "{bad}");
    }
}

proptest! {
    /// Every subtree of every small tree: the request reads back, and its proof is right for it and for nothing near it.
    #[test]
    fn requests_for_any_subtree_read_back(
        size in 1u64..300, from in 0u64..300, length in 1u64..300, wrong in 0usize..8,
    ) {
        let length = length.min(size);
        let unit = length.next_power_of_two();
        let start = from % size / unit * unit;
        let end = (start + length).min(size);
        prop_assume!(is_subtree(start, end));
        let leaves: Vec<Hash> = (0..size).map(|at| leaf_hash(&at.to_be_bytes())).collect();
        let tree = MemoryTree::new(leaves.clone());
        let range = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
        let request = SignSubtree {
            start,
            end,
            root: MemoryTree::new(leaves[range].to_vec()).root(end - start),
            proof: tree.subtree_proof(start, end, size).unwrap(),
            checkpoint: {
                let key = SigningKey::ed25519(ORIGIN, [1; 32]).unwrap();
                let text = Checkpoint { origin: ORIGIN.to_owned(), size, root: tree.root(size) }.to_text();
                key.signed_note(&text).unwrap()
            },
        };
        let read = SignSubtree::parse(request.to_string().as_bytes());
        prop_assert_eq!(read.as_ref(), Ok(&request));
        let root = tree.root(size);
        let judge = |root_of: &Hash, proof: &[Hash]| subtree(start, end, size, root_of, &root, proof);
        prop_assert_eq!(judge(&request.root, &request.proof), Ok(()));
        prop_assert!(judge(&Hash([7; 32]), &request.proof).is_err());
        let mut proof = request.proof.clone();
        match proof.get_mut(wrong) {
            Some(hash) => *hash = Hash([7; 32]),
            None => proof.push(Hash([7; 32])),
        }
        prop_assert!(judge(&request.root, &proof).is_err());
    }

    /// Whatever is changed in a request: it is refused, or it reads back exactly as it is.
    #[test]
    fn a_changed_request_is_refused_or_reads_back(at in 0usize..600, byte in any::<u8>(), cut in 0usize..600) {
        let note = request(0, "", 5, SIZE_5).split_once("\n\n").unwrap().1.to_owned();
        let good = format!("subtree 2 4\n{}\n{PROOF_1_3}\n{note}", SIZE_1.0).into_bytes();
        let mut changed = good.clone();
        if let Some(one) = changed.get_mut(at) {
            *one = byte;
        }
        changed.truncate(good.len().saturating_sub(cut / 300 * (cut % 300)));
        if let Ok(read) = SignSubtree::parse(&changed) {
            prop_assert_eq!(read.to_string().into_bytes(), changed);
            prop_assert!(is_subtree(read.start, read.end));
        }
    }
}
