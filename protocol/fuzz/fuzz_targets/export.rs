//! Bulk export: asks and answers print to the same bytes, no token is printed, and no stream of pieces is taken for the
//! tree of a digest unless every piece is the one that belongs there.
#![no_main]

use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::export::message::Answer;
use belfry_protocol::export::{Ask, Checked, Checker, Held};
use belfry_protocol::tlog::hash::Hash;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(ask) = Ask::parse(data) {
        assert_eq!(ask.to_bytes(), data);
        let token = ask.token.as_str().to_owned();
        // The origin is printed, and may hold the token's letters by itself.
        let hidden = Ask {
            origin: Default::default(),
            ..ask
        };
        assert!(token.len() < 8 || !format!("{hidden:?}").contains(&token));
    }
    match Answer::parse(data) {
        Ok(Answer::Accepted(accepted)) => assert_eq!(accepted.to_bytes(), data),
        Ok(Answer::Refused(refused)) => assert_eq!(refused.to_bytes(), data),
        Err(_) => {}
    }
    // Pieces of a tree of any size whose root is out of the data: nothing but chance of 2^-256 lets them through.
    let Some((size, rest)) = data.split_first_chunk::<8>() else {
        return;
    };
    let Some((root, mut rest)) = rest.split_first_chunk::<32>() else {
        return;
    };
    let checkpoint = Checkpoint {
        origin: "a.example".to_owned(),
        size: u64::from_le_bytes(*size) >> 1,
        root: Hash(*root),
    };
    let one = checkpoint.size == 1;
    let Ok(mut checker) = Checker::new(&checkpoint, Held::default()) else {
        return;
    };
    while let Some(piece) = checker.next_piece() {
        let (bytes, after) = rest.split_at(rest.len().min(piece.max_bytes()));
        rest = after;
        match checker.take(bytes) {
            Err(_) => return,
            // One hash may be the whole edge, and the root, which the data says.
            Ok(Checked::Edge) => {}
            Ok(Checked::Bundle(_, leaves)) if one => assert_eq!(leaves, [checkpoint.root]),
            Ok(checked) => panic!("{checked:?} was taken for a piece of a random root"),
        }
    }
});
