//! Mirrored ledgers beside the own one: what is flushed, how far, and where it is read from then.

use super::*;
use crate::config;
use crate::disk::FixedSyncDisk;
use crate::fsck::{self, Report};
use crate::node::Node;
use crate::store::Store;
use belfry_keys::{CreateOptions, KeyDir, NodeKeys, Protection};
use belfry_protocol::cert::Scope;
use belfry_protocol::engine::flushed_mirror;
use belfry_protocol::engine::ledger::Head;
use belfry_protocol::engine::store::{Place, Record, Table, Transaction};
use belfry_protocol::tlog::proof::TileSource;
use std::collections::BTreeMap;

const ORIGIN: &str = "other.example/line 4";
const NAME: &str = "test.example/tower";

fn disk() -> Arc<dyn Disk> {
    let sync = Duration::ZERO;
    Arc::new(FixedSyncDisk { sync })
}

fn entry(place: Place, index: u64) -> Vec<u8> {
    format!("entry {index} of {}", place.0).into_bytes()
}

/// Writes `size` entries under `place`, as the engine would, and returns the edge.
fn fill(tx: &mut impl Transaction, place: Place, size: u64) -> CompactRange {
    let mut edge = CompactRange::default();
    let mut upper: BTreeMap<(u8, u64), Vec<Hash>> = BTreeMap::new();
    let mut start = 0;
    while start < size {
        // Two runs per bundle, so that joining them is tested too.
        let border = start - start % TILE_WIDTH + TILE_WIDTH;
        let middle = border - TILE_WIDTH + 100;
        let end = if start < middle { middle } else { border }.min(size);
        let (mut leaves, mut bytes) = (Vec::new(), Vec::new());
        for index in start..end {
            let entry = entry(place, index);
            bundle::push(&mut bytes, &entry).unwrap();
            leaves.push(leaf_hash(&entry));
            edge.push(leaf_hash(&entry), |node| {
                if node.height > 0 && node.height % 8 == 0 {
                    let key = (node.height / 8, node.index / TILE_WIDTH);
                    upper.entry(key).or_default().push(node.hash);
                }
            });
        }
        tx.put_tail(place, start, &leaves, &bytes).unwrap();
        start = end;
    }
    for ((level, tile), hashes) in upper {
        tx.put_edge(place, level, tile, &hashes).unwrap();
    }
    edge
}

fn mirror_row(place: u32, base: u64, flushed: u64) -> Vec<u8> {
    let mut row = place.to_be_bytes().to_vec();
    row.extend(base.to_be_bytes());
    row.extend(flushed.to_be_bytes());
    row.extend(b"what only the engine reads");
    row
}

/// A store with a mirrored ledger of `size` entries, of which `base` are verified.
fn mirroring(layout: &Layout, size: u64, base: u64) -> Store {
    let mut store = Store::open(layout.clone(), disk()).unwrap();
    let mut tx = store.begin().unwrap();
    fill(&mut tx, Place(1), size);
    let row = mirror_row(1, base, 0);
    tx.put_row(Table::Mirror, ORIGIN.as_bytes(), &row).unwrap();
    tx.commit().unwrap();
    store
}

fn head_of(edge: CompactRange) -> Head {
    let today = edge.clone();
    Head {
        edge,
        today,
        ..Head::default()
    }
}

fn read(layout: &Layout) -> Reader {
    Reader::open(layout.clone(), disk()).unwrap()
}

fn mirror(reader: &Reader) -> Placed {
    let mut ledgers = reader.ledgers().unwrap();
    assert_eq!(ledgers[0].place, Place::OWN);
    ledgers.remove(1)
}

/// Every entry below `size` comes back, and tiles hash to what the engine computed.
fn check_view(view: &LedgerView<'_>, size: u64) {
    for index in 0..size {
        assert_eq!(view.entry(index, size).unwrap(), entry(Place(1), index));
    }
    for index in 0..size / TILE_WIDTH {
        let leaves = view.tile(full(0, index)).unwrap();
        let expected = index * TILE_WIDTH..(index + 1) * TILE_WIDTH;
        let expected: Vec<Hash> = expected.map(|at| leaf_hash(&entry(Place(1), at))).collect();
        assert_eq!(leaves, expected);
    }
}

#[test]
fn a_mirrored_ledger_is_flushed_up_to_its_base() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path());
    let mut store = mirroring(&layout, 1_000, 600);
    let flusher = Flusher::new(read(&layout), disk());
    let flushed = flusher.round().unwrap();
    let through = 512;
    let expected = Flush {
        place: Place(1),
        origin: ORIGIN.to_owned(),
        through,
    };
    assert_eq!(flushed, [expected]);
    let root = layout.mirror_root(ORIGIN);
    assert!(
        root.tile(full(0, 1)).exists()
            && root
                .bundle(Bundle {
                    index: 1,
                    width: 256
                })
                .exists()
    );
    assert!(!root.tile(full(0, 2)).exists(), "not beyond the base");
    assert!(!layout.tiles().exists(), "nothing among the own tiles");

    let mut tx = store.begin().unwrap();
    for refused in [300, 768] {
        assert!(!flushed_mirror(&mut tx, ORIGIN, refused).unwrap());
    }
    assert!(!flushed_mirror(&mut tx, "nobody.example", through).unwrap());
    assert!(flushed_mirror(&mut tx, ORIGIN, through).unwrap());
    assert!(!flushed_mirror(&mut tx, ORIGIN, through).unwrap(), "known");
    tx.commit().unwrap();
    assert_eq!(flusher.round().unwrap(), []);

    let reader = read(&layout);
    let placed = mirror(&reader);
    assert_eq!((placed.flushable, placed.flushed), (600, 512));
    let rows = reader.rows(Table::Mirror, b"", 9).unwrap();
    assert_eq!(rows[0].1, mirror_row(1, 600, 512), "the rest is as it was");
    let view = reader.ledger(&placed);
    assert_eq!(view.tail(0, 512).unwrap(), [], "rows are dropped");
    check_view(&view, 1_000);
    assert!(view.entry(600, 600).is_err());
}

#[test]
fn ledgers_share_a_round_and_a_damaged_one_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path());
    let mut store = mirroring(&layout, 300, 300);
    let mut tx = store.begin().unwrap();
    let row = mirror_row(2, 256, 0);
    tx.put_row(Table::Mirror, b"damaged.example", &row).unwrap();
    let head = head_of(fill(&mut tx, Place::OWN, 700));
    head.store(&mut tx).unwrap();
    // A federation's ledger: only what its newest digest covers.
    let signed = head_of(fill(&mut tx, Place(9), 400));
    tx.put_record(Record::SignedHead, &signed.encode()).unwrap();
    tx.commit().unwrap();
    let flusher = Flusher::new(read(&layout), disk());
    let flushed = flusher.round().unwrap();
    let through: Vec<(u32, u64)> = flushed
        .iter()
        .map(|flush| (flush.place.0, flush.through))
        .collect();
    assert_eq!(through, [(0, 256), (1, 256)]);
    assert!(!layout.tile(full(0, 1)).exists(), "not beyond the digest");
    assert_eq!(store.flushable(&head).unwrap(), 400);
}

fn keys(dir: &Path) -> NodeKeys {
    let options = CreateOptions {
        name: NAME.to_owned(),
        protection: Protection::Plain,
        now_seconds: 1_800_000_000,
        scope: Scope::Unfounded,
        import_log_key: None,
    };
    KeyDir::create(dir, options).unwrap()
}

fn check(layout: &Layout, keys: &NodeKeys) -> Report {
    fsck::run(&read(layout), &keys.log_verifiers(), |_| {}).unwrap()
}

/// The place of every problem.
fn places(report: &Report) -> Vec<&str> {
    report
        .problems
        .iter()
        .map(|problem| problem.place.as_str())
        .collect()
}

#[test]
fn a_node_flushes_what_it_mirrors_and_fsck_walks_it() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path());
    // More than a level 1 tile, and more than one round.
    let (size, base) = (66_600, 66_100);
    mirroring(&layout, size, base).close().unwrap();
    let keys = keys(dir.path());
    let text = config::EXAMPLE.replace("{name}", NAME);
    let (none, unset) = (BTreeMap::default(), BTreeMap::default());
    let (config, _) = config::parse("config.toml", &text, &none, &unset).unwrap();
    let node = Node::open_on(layout.clone(), config, &keys, disk()).unwrap();
    let reader = read(&layout);
    let until = Instant::now() + Duration::from_secs(60);
    while mirror(&reader).waiting() > 0 {
        assert!(Instant::now() < until, "the mirror is not flushed");
        std::thread::sleep(Duration::from_millis(5));
    }
    node.close();
    let placed = mirror(&reader);
    assert_eq!(placed.flushed, base - base % TILE_WIDTH);
    let view = reader.ledger(&placed);
    assert!(view.root().tile(full(1, 0)).exists());
    assert_eq!(view.edge(1, 0).unwrap(), None, "flushed with its bundles");
    assert_eq!(view.entry(70, size).unwrap(), entry(Place(1), 70));
    let report = check(&layout, &keys);
    assert_eq!(places(&report), [] as [&str; 0]);
    assert_eq!(report.mirrored, base);

    // One byte of an entry, of a tile above, and of a row above the base; a file that belongs to nothing.
    let flip = |path: &Path, at: usize| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes[at] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    let third = Bundle {
        index: 3,
        width: 256,
    };
    flip(&view.root().bundle(third), 2);
    flip(&view.root().tile(full(1, 0)), 9 * 32);
    std::fs::write(view.root().dir().join("note"), b"x").unwrap();
    let mut store = Store::open(layout.clone(), disk()).unwrap();
    let mut tx = store.begin().unwrap();
    let last = tx.tail(Place(1), base, size).unwrap().pop().unwrap();
    tx.drop_tail_from(Place(1), last.start).unwrap();
    tx.put_tail(Place(1), last.start, &last.leaves, &last.bundle[1..])
        .unwrap();
    tx.put_row(Table::Mirror, b"short.example", b"short")
        .unwrap();
    tx.commit().unwrap();
    let report = check(&layout, &keys);
    let note = view.root().dir().join("note").display().to_string();
    let expected = [
        format!("mirror of {ORIGIN}, entry 768"),
        format!("mirror of {ORIGIN}, tile/1/000"),
        format!("mirror of {ORIGIN}, tile/1/000"),
        format!("mirror of {ORIGIN}, tile/2/000.p/1"),
        format!("mirror of {ORIGIN}, entries from {}", last.start),
        "ledger.db, mirror".to_owned(),
        note,
    ];
    // Hash 9 of the tile was changed, and hash 3 is not the root of the changed entries; the level
    // above is what follows from them.
    assert_eq!(places(&report), expected);
}
