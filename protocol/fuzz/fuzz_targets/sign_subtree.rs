//! What `sign-subtree` does with a body before any key is asked: it reads back, its range is a subtree of the checkpoint's
//! tree, and a proof that verifies is the only one of its range.
#![no_main]

use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::cosignature::subtree_message;
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::tlog::verify::{is_subtree, subtree};
use belfry_protocol::witness::{MAX_REQUEST_BYTES, SignSubtree};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(asked) = SignSubtree::parse(data) else {
        return;
    };
    assert!(data.len() <= MAX_REQUEST_BYTES && asked.proof.len() <= 63);
    assert_eq!(asked.to_string().as_bytes(), data);
    let digest = Checkpoint::parse_foreign(asked.checkpoint.text()).unwrap();
    let (start, end) = (asked.start, asked.end);
    assert!(is_subtree(start, end) && end <= digest.size);
    let judge = |part: &Hash, proof: &[Hash]| {
        subtree(start, end, digest.size, part, &digest.root, proof).is_ok()
    };
    if judge(&asked.root, &asked.proof) {
        let mut other = asked.root;
        other.0[0] ^= 1;
        assert!(!judge(&other, &asked.proof));
        let longer = [&asked.proof[..], &[other]].concat();
        assert!(!judge(&asked.root, &longer));
    }
    let signed = subtree_message("w", 0, &digest.origin, start, end, &asked.root).unwrap();
    assert!(signed.ends_with(asked.root.as_bytes()));
});
