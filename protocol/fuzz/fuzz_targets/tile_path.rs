//! Paths of tiles and bundles: what is read prints to exactly the same text and is within bounds.
#![no_main]

use belfry_protocol::tlog::MAX_SIZE;
use belfry_protocol::tlog::tile::{Bundle, Resource, Tile, parse_path};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (path, index, width) = match parse_path(text) {
        None => return,
        Some(Resource::Tile(tile)) => {
            assert!(tile.level < 64);
            if let Some(largest) = Tile::of_tree(tile.level, tile.index, MAX_SIZE) {
                assert!((1..=256).contains(&largest.width));
            }
            (tile.path(), tile.index, tile.width)
        }
        Some(Resource::Entries(bundle)) => {
            if let Some(largest) = Bundle::of_tree(bundle.index, MAX_SIZE) {
                assert!((1..=256).contains(&largest.width));
            }
            (bundle.path(), bundle.index, bundle.width)
        }
    };
    assert_eq!(path, text);
    assert!(index <= MAX_SIZE && (1..=256).contains(&width));
});
