//! Proof verifiers: any numbers and hashes are judged without a panic, and no accepted proof stands when one of its
//! hashes changes. The input is three numbers (big-endian), then two hashes, then the proof; the rest is ignored.
#![no_main]

use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::tlog::verify::{ProofError, consistency, inclusion, subtree};

type Verdict = Result<(), ProofError>;

fn judge(proof: &[Hash], verdict: impl Fn(&[Hash]) -> Verdict) {
    if verdict(proof).is_err() {
        return;
    }
    assert!(proof.len() <= 64, "longer than any tree is high");
    for at in 0..proof.len() {
        let mut forged = proof.to_vec();
        forged[at].0[at % 32] ^= 1;
        assert!(verdict(&forged).is_err(), "hash {at} does not matter");
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((numbers, rest)) = data.split_at_checked(24) else {
        return;
    };
    let (numbers, _) = numbers.as_chunks::<8>();
    let (hashes, _) = rest.as_chunks::<32>();
    let hashes: Vec<Hash> = hashes.iter().map(|hash| Hash(*hash)).collect();
    let (&[a, b, c], [first, second, proof @ ..]) = (numbers, hashes.as_slice()) else {
        return;
    };
    let [a, b, c] = [a, b, c].map(u64::from_be_bytes);
    judge(proof, |proof| inclusion(first, a, b, proof, second));
    judge(proof, |proof| consistency(a, b, first, second, proof));
    judge(proof, |proof| subtree(a, b, c, first, second, proof));
});
