//! The ledger's state machine over the store in memory: what a caller may rely on.

use super::{Config, Free, Head, Input, Ledger, Promise, Refusal, start};
use crate::checkpoint::Checkpoint;
use crate::engine::mem::MemStore;
use crate::engine::store::Transaction;
use crate::engine::{Now, RequestId};
use crate::entry::batch::{Batch, IdemTag, SealedPayload};
use crate::entry::json::Json;
use crate::entry::leaf::{Content, Leaf};
use crate::entry::time::{DAY_US, TimeUs};
use crate::note::{SignedNote, SigningKey};
use crate::tlog::hash::leaf_hash;
use crate::tlog::proof::TreeReader;
use crate::tlog::verify;
use proptest::prelude::*;

const ORIGIN: &str = "test.example/ledger";

fn key() -> SigningKey {
    SigningKey::ed25519(ORIGIN, [5; 32]).unwrap()
}

struct Rig {
    ledger: Ledger,
    store: MemStore,
    now_us: i64,
}

impl Rig {
    fn new(solo: bool) -> Self {
        let config = Config {
            origin: ORIGIN.to_owned(),
            solo,
            backup_retention_us: DAY_US,
        };
        Self {
            ledger: Ledger::new(config, key()),
            store: MemStore::default(),
            now_us: 20_000 * DAY_US,
        }
    }

    fn step(&mut self, inputs: Vec<Input>) -> (Vec<Promise>, Vec<Free>, Head) {
        let now = Now {
            mono_us: 0,
            wall: TimeUs::from_micros(self.now_us).unwrap(),
        };
        let mut tx = self.store.begin();
        let (mut out, head) = self.ledger.step(now, &mut tx, inputs).unwrap();
        let free = out.take_free();
        (out.release(&tx.commit().unwrap()), free, head)
    }

    fn entry(&self, index: usize) -> Leaf {
        Leaf::parse(&self.store.entries().unwrap()[index]).unwrap()
    }
}

fn append(request: u64, batch: Batch) -> Input {
    Input::Append {
        request: RequestId(request),
        batch,
    }
}

fn batch(texts: &[&str]) -> Batch {
    let mut batch = Batch::default();
    for text in texts {
        batch.push(text.as_bytes(), None, None);
    }
    batch
}

fn tagged(text: &str, id: u8, content: u8, for_ever: bool) -> Batch {
    let mut batch = Batch::default();
    batch.push(
        text.as_bytes(),
        Some(IdemTag {
            id: [id; 16],
            content: [content; 16],
            for_ever,
        }),
        None,
    );
    batch
}

fn first_index(promises: &[Promise], wanted: u64) -> Option<(u64, bool)> {
    promises.iter().find_map(|promise| match promise {
        Promise::Appended { request, places } if request.0 == wanted => places.indices().next(),
        _ => None,
    })
}

fn digest(promises: &[Promise]) -> Option<Checkpoint> {
    promises.iter().find_map(|promise| match promise {
        Promise::Digest { note, .. } => {
            let note = SignedNote::parse(note.as_bytes()).unwrap();
            Some(Checkpoint::open(&note, key().verifier()).unwrap())
        }
        _ => None,
    })
}

#[test]
fn a_solo_ledger_signs_every_step_and_proves_every_entry() {
    let mut rig = Rig::new(true);
    let (promises, free, _) = rig.step(vec![
        append(1, batch(&["a", "b"])),
        append(2, batch(&["c"])),
    ]);
    assert!(free.is_empty());
    assert_eq!(
        (first_index(&promises, 1), first_index(&promises, 2)),
        (Some((0, true)), Some((2, true)))
    );
    let checkpoint = digest(&promises).unwrap();
    assert_eq!(checkpoint.size, 3);
    for (index, text) in (0..).zip(["a", "b", "c"]) {
        let proof = TreeReader::new(&rig.store, 3).inclusion(index).unwrap();
        verify::inclusion(
            &leaf_hash(text.as_bytes()),
            index,
            3,
            &proof,
            &checkpoint.root,
        )
        .unwrap();
    }
    let (promises, ..) = rig.step(vec![Input::Tick]);
    assert!(digest(&promises).is_none(), "nothing new, nothing signed");
}

#[test]
fn an_unfounded_ledger_appends_and_signs_nothing() {
    let mut rig = Rig::new(false);
    let (promises, _, head) = rig.step(vec![append(1, batch(&["a"]))]);
    assert_eq!(first_index(&promises, 1), Some((0, true)));
    assert!(digest(&promises).is_none() && head.signed.is_none());
}

#[test]
fn the_same_key_again_is_known_and_other_content_is_refused() {
    let mut rig = Rig::new(true);
    rig.step(vec![append(1, tagged("x", 1, 1, false))]);
    let (promises, ..) = rig.step(vec![append(2, tagged("x", 1, 1, false))]);
    assert_eq!(first_index(&promises, 2), Some((0, false)));
    let inputs = vec![
        append(3, tagged("y", 1, 2, false)),
        append(4, batch(&["z"])),
    ];
    let (promises, free, head) = rig.step(inputs);
    let refusal = Refusal::OtherContent { index: 0 };
    assert_eq!(
        free,
        [Free::Refused {
            request: RequestId(3),
            refusal
        }]
    );
    assert_eq!(
        first_index(&promises, 4),
        Some((1, true)),
        "one bad input does not stop the others"
    );
    assert_eq!(head.size(), 2);
    rig.now_us += 8 * DAY_US;
    let (promises, ..) = rig.step(vec![Input::Tick, append(5, tagged("y", 1, 2, false))]);
    assert!(
        first_index(&promises, 5).is_some_and(|(_, new)| new),
        "a client's key is forgotten after seven days"
    );
}

#[test]
fn a_refused_batch_leaves_no_trace_in_its_step() {
    let mut rig = Rig::new(true);
    rig.step(vec![append(1, tagged("x", 1, 1, false))]);
    let mut mixed = batch(&["fresh"]);
    mixed.push(
        b"new tag",
        Some(IdemTag {
            id: [9; 16],
            content: [9; 16],
            for_ever: true,
        }),
        None,
    );
    mixed.push(
        b"conflict",
        Some(IdemTag {
            id: [1; 16],
            content: [7; 16],
            for_ever: false,
        }),
        None,
    );
    let (_, free, head) = rig.step(vec![append(2, mixed)]);
    assert_eq!((free.len(), head.size()), (1, 1));
    let (promises, ..) = rig.step(vec![append(3, tagged("new tag", 9, 9, true))]);
    assert_eq!(
        first_index(&promises, 3),
        Some((1, true)),
        "the refused batch remembered no id"
    );
}

#[test]
fn days_are_closed_in_order_also_those_on_which_the_node_was_off() {
    let mut rig = Rig::new(true);
    rig.step(vec![append(1, batch(&["one", "two"]))]);
    rig.now_us += 3 * DAY_US;
    let (_, _, head) = rig.step(vec![Input::Tick]);
    assert_eq!((head.size(), head.day), (5, Some(20_003)));
    for (index, (start, end)) in (2usize..).zip([(0u64, 2u64), (2, 3), (3, 4)]) {
        let leaf = rig.entry(index);
        let Content::Body(body) = &leaf.content else {
            panic!("a day digest is public")
        };
        assert_eq!(leaf.kind, "day.digest");
        let number = |key: &str| body.get(key).and_then(Json::as_u64);
        assert_eq!((number("start"), number("end")), (Some(start), Some(end)));
    }
    rig.now_us -= 2 * DAY_US;
    let (_, _, head) = rig.step(vec![append(2, batch(&["late"]))]);
    assert_eq!(
        (head.size(), head.day),
        (6, Some(20_003)),
        "a clock that runs backwards opens no old day"
    );
}

#[test]
fn erasing_needs_an_entry_and_happens_once() {
    let mut rig = Rig::new(true);
    let mut private = Batch::default();
    private.push(
        b"leaf",
        None,
        Some(SealedPayload {
            id: [3; 32],
            key: [0; 32],
            sealed: vec![1],
        }),
    );
    rig.step(vec![append(1, private)]);
    assert!(rig.store.has_payload(&[3; 32]));
    let erase = |request, index| Input::Erase {
        request: RequestId(request),
        index,
        payload: [3; 32],
    };
    let (promises, free, _) = rig.step(vec![erase(2, 7), erase(3, 0)]);
    assert_eq!(
        free,
        [Free::Refused {
            request: RequestId(2),
            refusal: Refusal::NoSuchEntry { index: 7, size: 1 }
        }]
    );
    assert!(promises.contains(&Promise::Erased {
        request: RequestId(3),
        index: 1
    }));
    assert!(!rig.store.has_payload(&[3; 32]));
    let (_, free, _) = rig.step(vec![erase(4, 0)]);
    assert_eq!(
        free,
        [Free::Refused {
            request: RequestId(4),
            refusal: Refusal::AlreadyErased { index: 1 }
        }]
    );
}

#[test]
fn start_up_takes_rising_incarnations_and_checks_the_edge() {
    let mut rig = Rig::new(true);
    rig.step(vec![append(1, batch(&["a", "b", "c"]))]);
    for expected in 1..4 {
        let mut tx = rig.store.begin();
        assert_eq!(
            start::take_incarnation(&mut tx, [1; 16], TimeUs::from_micros(1).unwrap())
                .unwrap()
                .number,
            expected
        );
        tx.commit().unwrap();
    }
    let tiles = rig.store.clone();
    let tx = rig.store.begin();
    assert_eq!(
        start::check_edge(&tx, &tiles, &key().into())
            .unwrap()
            .size(),
        3
    );
    let other = SigningKey::ed25519(ORIGIN, [6; 32]).unwrap();
    assert!(matches!(
        start::check_edge(&tx, &tiles, &other.into()),
        Err(start::EdgeError::Digest(_))
    ));
}

#[test]
fn start_up_refuses_an_edge_that_is_older_than_its_digest() {
    let mut rig = Rig::new(true);
    rig.step(vec![append(1, batch(&["a"]))]);
    let old_head = Head::load(&rig.store.begin()).unwrap();
    rig.step(vec![append(2, batch(&["b"]))]);
    let tiles = rig.store.clone();
    let mut tx = rig.store.begin();
    old_head.store(&mut tx).unwrap();
    assert!(matches!(
        start::check_edge(&tx, &tiles, &key().into()),
        Err(start::EdgeError::Signed { .. })
    ));
}

#[test]
fn flushing_drops_rows_only_up_to_full_bundles() {
    let mut rig = Rig::new(true);
    let texts: Vec<String> = (0..600).map(|i| i.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    rig.step(vec![append(1, batch(&texts))]);
    let (_, _, head) = rig.step(vec![
        Input::Flushed { through: 300 },
        Input::Flushed { through: 768 },
    ]);
    assert_eq!(head.flushed, 0, "only whole bundles within the ledger");
    let (_, _, head) = rig.step(vec![Input::Flushed { through: 512 }]);
    assert_eq!(
        (head.flushed, rig.store.entries().unwrap().len()),
        (512, 88)
    );
}

#[test]
fn head_records_come_back_and_damaged_ones_do_not() {
    let mut rig = Rig::new(true);
    let (_, _, head) = rig.step(vec![append(1, batch(&["a", "b", "c", "d", "e"]))]);
    let bytes = head.encode();
    assert_eq!(Head::decode(&bytes), Some(head));
    for cut in 0..bytes.len() {
        assert_eq!(Head::decode(&bytes[..cut]), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_split_into_steps_gives_one_ledger(sizes in prop::collection::vec(1usize..300, 1..6)) {
        let mut rig = Rig::new(true);
        let mut whole = Rig::new(true);
        let mut all = Batch::default();
        let mut number = 0u64;
        let mut last = None;
        for size in sizes {
            let mut part = Batch::default();
            for _ in 0..size {
                part.push(&number.to_be_bytes(), None, None);
                all.push(&number.to_be_bytes(), None, None);
                number += 1;
            }
            last = digest(&rig.step(vec![append(1, part)]).0);
        }
        let (promises, _, head) = whole.step(vec![append(1, all)]);
        prop_assert_eq!(digest(&promises), last);
        prop_assert_eq!(head.root(), TreeReader::new(&rig.store, number).root().unwrap());
        prop_assert_eq!(rig.store.entries().unwrap(), whole.store.entries().unwrap());
    }

    #[test]
    fn the_same_inputs_give_the_same_bytes(texts in prop::collection::vec("[a-z]{0,9}", 1..40)) {
        let run = || {
            let mut rig = Rig::new(true);
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let out = rig.step(vec![append(1, batch(&texts)), Input::Tick]);
            (out.0, out.2.encode())
        };
        prop_assert_eq!(run(), run());
    }
}
