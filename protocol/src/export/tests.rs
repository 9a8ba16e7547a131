//! Every tree comes through from every place, and no changed byte does. Trees of 65,536 and more entries have a full tile
//! of level 1; what is below 256 entries is left out of most of them, for speed.

use super::message::{Answer, MessageError};
use super::*;
use crate::checkpoint::Checkpoint;
use crate::tlog::bundle;
use crate::tlog::compact::CompactRange;
use crate::tlog::hash::{Hash, leaf_hash};
use crate::tlog::tile::{Bundle, Tile, hashes_at};
use crate::wire::Frame;
use crate::wire::codec::{Bytes, List, Text};
use proptest::prelude::*;
use std::sync::OnceLock;

const LARGEST: u64 = 3 * 65_536;

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

/// All hashes of a large tree by tile level.
fn levels() -> &'static [Vec<Hash>] {
    static LEVELS: OnceLock<Vec<Vec<Hash>>> = OnceLock::new();
    LEVELS.get_or_init(|| {
        let mut levels = vec![Vec::new(); 3];
        let mut range = CompactRange::default();
        for index in 0..LARGEST {
            let leaf = leaf_hash(&entry(index));
            levels[0].push(leaf);
            range.push(leaf, |node| match node.height {
                8 => levels[1].push(node.hash),
                16 => levels[2].push(node.hash),
                _ => {}
            });
        }
        levels
    })
}

fn at(index: u64) -> usize {
    usize::try_from(index).unwrap()
}

fn root(size: u64) -> Hash {
    let mut range = CompactRange::default();
    for leaf in &levels()[0][..at(size)] {
        range.push(*leaf, |_| {});
    }
    range.root()
}

fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint {
        origin: "a.example".to_owned(),
        size,
        root: root(size),
    }
}

fn tile_bytes(tile: Tile) -> Vec<u8> {
    let first = at(tile.index) * 256;
    let hashes = &levels()[usize::from(tile.level)][first..first + usize::from(tile.width)];
    hashes.iter().flat_map(|hash| hash.0).collect()
}

fn bundle_bytes(wanted: Bundle) -> Vec<u8> {
    let mut bytes = Vec::new();
    for index in 0..u64::from(wanted.width) {
        bundle::push(&mut bytes, &entry(wanted.index * 256 + index)).unwrap();
    }
    bytes
}

fn bytes_of(piece: Piece) -> Vec<u8> {
    match piece {
        Piece::Edge(tile) | Piece::Tile(tile) => tile_bytes(tile),
        Piece::Bundle(wanted) => bundle_bytes(wanted),
    }
}

fn held(bundles: u64) -> Held {
    let mut held = Held::default();
    for leaves in levels()[0].chunks(256).take(at(bundles)) {
        assert!(held.push(leaves, |tile, hashes| {
            let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
            assert_eq!(bytes, tile_bytes(tile));
        }));
    }
    assert_eq!(held.size(), bundles * 256);
    held
}

/// Reads everything, with one byte of one piece changed if so wanted; says where it stopped.
fn read(size: u64, from: u64, lie: Option<(usize, usize)>) -> Result<u64, (usize, Wrong)> {
    let mut checker = Checker::new(&checkpoint(size), held(from)).map_err(|wrong| (0, wrong))?;
    let (mut place, mut entries) = (0, from * 256);
    while let Some(piece) = checker.next_piece() {
        let mut bytes = bytes_of(piece);
        assert!(bytes.len() <= piece.max_bytes());
        if let Some((_, byte)) = lie.filter(|(one, _)| *one == place) {
            let byte = byte % bytes.len();
            bytes[byte] ^= 1;
        }
        let checked = checker.take(&bytes).map_err(|wrong| (place, wrong))?;
        if let Checked::Bundle(wanted, leaves) = checked {
            assert_eq!(wanted.index * 256, entries);
            entries += leaves.len() as u64;
        }
        place += 1;
    }
    assert_eq!(checker.take(b""), Err(Wrong::TooMuch));
    let edge: Vec<Tile> = checker.edge().map(|(tile, _)| tile).collect();
    let wanted =
        (0..3).filter_map(|level| Tile::of_tree(level, hashes_at(level, size) / 256, size));
    assert_eq!(edge, wanted.collect::<Vec<_>>());
    Ok(entries)
}

#[test]
fn trees_come_through_from_every_kind_of_place() {
    for size in [
        0, 1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 131_072, 131_329, LARGEST,
    ] {
        let bundles = size / 256;
        for from in [
            0,
            1,
            255,
            256,
            257,
            bundles / 2,
            bundles.saturating_sub(1),
            bundles,
        ] {
            if from <= bundles {
                assert_eq!(read(size, from, None), Ok(size), "{size} from {from}");
            }
        }
    }
}

#[test]
fn a_reader_with_more_or_with_other_entries_is_told() {
    let wrong = Checker::new(&checkpoint(300), held(2)).unwrap_err();
    assert_eq!(wrong, Wrong::Held { size: 512 });
    for (size, bundles) in [(70_000, 3), (70_000, 258), (131_072, 300), (512, 2)] {
        let mut other = held(bundles - 1);
        assert!(other.push(&[Hash([7; 32]); 256], |_, _| {}));
        let mut checker = Checker::new(&checkpoint(size), other).unwrap();
        let refused = loop {
            let piece = checker.next_piece().unwrap();
            assert!(
                !matches!(piece, Piece::Bundle(_)),
                "nothing may come before it is told"
            );
            if let Err(wrong) = checker.take(&bytes_of(piece)) {
                break wrong;
            }
        };
        assert_eq!(
            refused,
            Wrong::Held {
                size: bundles * 256
            }
        );
    }
}

#[test]
fn the_order_needs_no_piece_before_what_proves_it() {
    let mut plan = Plan::new(0, 65_536 + 256 + 3);
    let edge = |level, width| {
        Piece::Edge(Tile {
            level,
            index: u64::from(level < 2),
            width,
        })
    };
    assert_eq!(plan.next(), Some(edge(2, 1)));
    assert_eq!(plan.next(), Some(edge(1, 1)));
    assert_eq!(
        plan.next(),
        Some(Piece::Edge(Tile {
            level: 0,
            index: 257,
            width: 3
        }))
    );
    assert_eq!(
        plan.next(),
        Some(Piece::Tile(Tile {
            level: 1,
            index: 0,
            width: 256
        }))
    );
    let bundles: Vec<Piece> = plan.collect();
    assert_eq!(bundles.len(), 258);
    assert_eq!(
        bundles[257],
        Piece::Bundle(Bundle {
            index: 257,
            width: 3
        })
    );
}

#[test]
fn a_token_is_never_printed() {
    let ask = Ask {
        origin: Text::new("a.example").unwrap(),
        from: 0,
        token: Text::new("belfry_secret").unwrap(),
    };
    assert!(!format!("{ask:?}").contains("secret"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A changed byte is told at its piece; at the edge, once the edge is whole.
    #[test]
    fn no_lie_comes_through(size in 1u64..1_500, from in 0u64..6, place in 0usize..12, byte in 0usize..10_000) {
        let from = from.min(size / 256);
        let pieces: Vec<Piece> = Plan::new(from * 256, size).collect();
        let place = place % pieces.len();
        let edges = pieces.iter().filter(|piece| matches!(piece, Piece::Edge(_))).count();
        let (told, _) = read(size, from, Some((place, byte))).unwrap_err();
        prop_assert_eq!(told, place.max(edges - 1));
    }

    #[test]
    fn asks_come_back(origin in "[a-z./-]{0,200}", from: u64, token in "[a-z0-9_]{0,128}") {
        let ask = Ask { origin: Text::new(origin).unwrap(), from, token: Text::new(token).unwrap() };
        let bytes = ask.to_bytes();
        prop_assert!(bytes.len() <= crate::wire::frame::FRAME_HEAD_BYTES + MAX_ASK_BYTES);
        prop_assert_eq!(Ask::parse(&bytes), Ok(ask));
        prop_assert!(Ask::parse(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn answers_come_back(note in prop::collection::vec(any::<u8>(), 0..300), count in 0usize..4, why: u16, reason in "[a-z ]{0,256}") {
        let chain = List::new(vec![Bytes::new(note.clone()).unwrap(); count]).unwrap();
        let accepted = Accepted { note: Bytes::new(note).unwrap(), chain };
        prop_assert_eq!(Answer::parse(&accepted.to_bytes()), Ok(Answer::Accepted(accepted)));
        let refused = Refused { why, reason: Text::new(reason).unwrap() };
        prop_assert_eq!(Answer::parse(&refused.to_bytes()), Ok(Answer::Refused(refused.clone())));
        prop_assert_eq!(refused.why().map(|why| why as u16), Some(why).filter(|why| (1..=8).contains(why)));
    }

    /// Whatever comes, what is read prints to the same bytes.
    #[test]
    fn what_is_read_prints_the_same(kind in 0u16..6, payload in prop::collection::vec(any::<u8>(), 0..64)) {
        let bytes = Frame::encode(VERSION, kind, &payload);
        if let Ok(ask) = Ask::parse(&bytes) {
            prop_assert_eq!(ask.to_bytes(), bytes.clone());
        }
        match Answer::parse(&bytes) {
            Ok(Answer::Accepted(accepted)) => prop_assert_eq!(accepted.to_bytes(), bytes),
            Ok(Answer::Refused(refused)) => prop_assert_eq!(refused.to_bytes(), bytes),
            Err(MessageError::Kind { kind: other, .. }) => prop_assert_eq!(other, kind),
            Err(_) => {}
        }
    }
}
