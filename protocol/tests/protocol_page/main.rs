//! The page `docs/protocol.md` and the files in `docs/vectors/` against the implementation.
//! Every vector is parsed, verified and printed again, and every signature is made again from the seeds in `keys.json`.
//! Formulas whose code is in other crates, or keyed, are written out here as the page has them.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_protocol::cert::{
    Certificate, Revocation, certificate_hash, key_for_size, verify_chain,
};
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::day::{day_root, subtree_value};
use belfry_protocol::entry::batch::SealedPayload;
use belfry_protocol::entry::commit::{self, EntrySecrets};
use belfry_protocol::entry::draft::Idempotency;
use belfry_protocol::entry::json::Json;
use belfry_protocol::entry::leaf::Content;
use belfry_protocol::entry::press::Sealer;
use belfry_protocol::entry::{Batch, Draft, Leaf, Press, Rulebook};
use belfry_protocol::fork::{ForkError, ForkProof, smaller_root};
use belfry_protocol::manifest::{Manifest, SignedManifest};
use belfry_protocol::note::{SignedNote, SigningKey, VerifierKey, verify_note};
use belfry_protocol::policy::Policy;
use belfry_protocol::proof_file::TlogProof;
use belfry_protocol::tlog::bundle;
use belfry_protocol::tlog::compact::CompactRange;
use belfry_protocol::tlog::hash::{Hash, leaf_hash, sha256, sha256_parts};
use belfry_protocol::tlog::tile::{Resource, parse_path};
use belfry_protocol::tlog::verify;
use belfry_protocol::witness::{self, AddCheckpoint, SignSubtree};
use belfry_protocol::{base64, cosignature, hex};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod genesis;
mod limits;
#[cfg(feature = "ml-dsa")]
mod ml_dsa;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn page() -> String {
    std::fs::read_to_string(docs().join("protocol.md")).unwrap()
}

fn vector(name: &str) -> Vec<u8> {
    std::fs::read(docs().join("vectors").join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn text(name: &str) -> String {
    String::from_utf8(vector(name)).unwrap()
}

/// That something prints exactly as the file.
fn same(name: &str, printed: impl ToString) {
    assert_eq!(printed.to_string(), text(name), "{name}");
}

fn note(name: &str) -> SignedNote {
    let note = SignedNote::parse(&vector(name)).unwrap();
    same(name, &note);
    note
}

fn values(name: &str) -> Value {
    serde_json::from_slice(&vector(name)).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn str_of(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn bytes32(value: &Value) -> [u8; 32] {
    hex::decode(str_of(value)).unwrap().try_into().unwrap()
}

fn hash_list(value: &Value) -> Vec<Hash> {
    let read = |value: &Value| Hash(base64::decode(str_of(value)).unwrap().try_into().unwrap());
    list(value).iter().map(read).collect()
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// `field(x)` of the page, for each part.
fn fields(parts: &[&[u8]]) -> Vec<u8> {
    let field = |part: &&[u8]| [&(part.len() as u64).to_be_bytes()[..], part].concat();
    parts.iter().flat_map(field).collect()
}

/// `keyed(key, label, parts…)` of the page.
fn keyed(key: &[u8; 32], label: &str, parts: &[&[u8]]) -> [u8; 32] {
    mac(key, &[label.as_bytes(), b"\0", &fields(parts)])
}

/// The key of `keys.json` with this purpose (or `identity`, `tower`) and serial.
fn signer(word: &str, serial: u64) -> SigningKey {
    let rows = values("keys.json");
    let is_it = |row: &&Value| row["purpose"] == word && row["serial"] == serial;
    let row = list(&rows["keys"]).iter().find(is_it).unwrap();
    let key = VerifierKey::parse(str_of(&row["vkey"])).unwrap();
    let signer = SigningKey::new(key.name(), key.algorithm(), bytes32(&row["seed"])).unwrap();
    assert_eq!(*signer.verifier(), key);
    signer
}

fn vkey(word: &str, serial: u64) -> VerifierKey {
    signer(word, serial).verifier().clone()
}

fn secret(word: &str) -> [u8; 32] {
    let rows = values("keys.json");
    let is_it = |row: &&Value| row["purpose"] == word;
    bytes32(&list(&rows["secrets"]).iter().find(is_it).unwrap()["secret"])
}

fn tile_leaves() -> Vec<Hash> {
    let bytes = vector("ledger/tile/0/000.p/7");
    let hash = |bytes: &[u8]| Hash(bytes.try_into().unwrap());
    bytes.chunks(32).map(hash).collect()
}

fn entries() -> Vec<Vec<u8>> {
    let bytes = vector("ledger/tile/entries/000.p/7");
    let list = bundle::exactly(&bytes, 7).unwrap();
    list.into_iter().map(<[u8]>::to_vec).collect()
}

fn range(start: u64, leaves: &[Hash]) -> CompactRange {
    let mut range = CompactRange::empty_at(start);
    for leaf in leaves {
        range.push(*leaf, |_| {});
    }
    range
}

fn root(leaves: &[Hash]) -> Hash {
    range(0, leaves).root()
}

#[test]
fn keys_are_derived_as_the_page_says() {
    let keys = values("keys.json");
    let (node, scrub) = (str_of(&keys["node"]), [0; 8]);
    let elsewhere = std::fs::read_to_string(docs().join("../keys/src/derive.rs")).unwrap();
    let rows = list(&keys["keys"]).iter().chain(list(&keys["secrets"]));
    for row in rows.filter(|row| !row["info"].is_null()) {
        let (word, serial) = (str_of(&row["purpose"]), row["serial"].as_u64().unwrap());
        let kind = match word {
            "log" | "envelope" => 1,
            "ack" | "mirror" => 4,
            _ => 0,
        };
        let (serial_bytes, kinds) = (serial.to_be_bytes(), [kind]);
        let mut parts = vec![b"belfry/key/v1", word.as_bytes(), &kinds, node.as_bytes()];
        parts.push(&serial_bytes);
        if word == "scrub" {
            parts.extend([&b""[..], &scrub]);
        }
        let info = fields(&parts);
        assert_eq!(hex::encode(&info), str_of(&row["info"]));
        // HKDF-SHA256 (RFC 5869) without salt, one block.
        let prk = mac(&[0; 32], &[&bytes32(&row["from"])]);
        let derived = hex::encode(&mac(&prk, &[&info, &[1]]));
        assert_eq!(
            derived,
            str_of(&row[["seed", "secret"][usize::from(kind == 0)]])
        );
        // This crate may not depend on `keys`, which asserts the same values where it has vectors of its own.
        assert!(serial == 2 || word == "scrub" || elsewhere.contains(&derived));
    }
    let log = vkey("log", 1);
    let exported = signer("log", 1).export();
    assert_eq!(exported.as_str(), str_of(&keys["private_form"]));
    assert_eq!(*SigningKey::import(&exported).unwrap().verifier(), log);
    let id = sha256_parts(&[node.as_bytes(), b"\n", &[1], log.public_key()]);
    assert_eq!(log.key_id_hex(), id.to_hex()[..8]);
    assert_eq!(vkey("mirror", 1).name(), format!("{node}/mirror"));
    assert_eq!(
        fingerprint(&vkey("identity", 0)),
        str_of(&keys["fingerprint"])
    );
}

fn fingerprint(key: &VerifierKey) -> String {
    let hash = sha256_parts(&[b"belfry/fingerprint/v1\0", key.to_string().as_bytes()]).to_hex();
    let digit = |c: char| c.to_digit(16).unwrap();
    let digits: Vec<u32> = hash[..16].chars().map(digit).collect();
    let weighted = |(at, digit): (usize, &u32)| {
        let value = if at % 2 == 0 { digit * 2 } else { *digit };
        value / 16 + value % 16
    };
    let sum: u32 = digits.iter().rev().enumerate().map(weighted).sum();
    let groups: Vec<&str> = (0..4).map(|at| &hash[at * 4..at * 4 + 4]).collect();
    format!("{}-{:x}", groups.join("-"), (16 - sum % 16) % 16)
}

#[test]
fn certificates_make_a_chain() {
    let notes = [note("certificate-1.note"), note("certificate-2.note")];
    let chain = verify_chain(&vkey("identity", 0), &notes).unwrap();
    for (certificate, note) in chain.iter().zip(&notes) {
        assert_eq!(certificate.to_text(), note.text());
        assert_eq!(certificate.sign(&signer("identity", 0)).unwrap(), *note);
        let known = |(word, key): &(&str, &VerifierKey)| **key == vkey(word, certificate.serial);
        assert!(certificate.keys().iter().all(known));
    }
    let first = sha256(text("certificate-1.note").as_bytes());
    assert_eq!(chain[1].previous, Some(first));
    assert_eq!(key_for_size(&chain, 4).unwrap().serial, 1);
    assert_eq!(key_for_size(&chain, 5).unwrap().serial, 2);
    let revocation = Revocation::open(&note("revocation.note"), &vkey("identity", 0)).unwrap();
    assert_eq!(revocation.certificate, certificate_hash(&notes[0]));
    same(
        "revocation.note",
        revocation.sign(&signer("identity", 0)).unwrap(),
    );
}

#[test]
fn json_is_canonical() {
    let values = values("canonical.json");
    for row in list(&values["canonical"]) {
        let (input, want) = (str_of(&row["input"]), str_of(&row["canonical"]));
        for text in [input, want] {
            let canonical = Json::parse(text.as_bytes()).unwrap().to_canonical();
            assert_eq!(canonical, want.as_bytes(), "{text}");
        }
    }
    let is_refused = |text: &Value| Json::parse(str_of(text).as_bytes()).is_err();
    assert!(list(&values["refused"]).iter().all(is_refused));
}

/// The salt of the vectors, and no sealing.
struct Known([u8; 32]);

impl Sealer for Known {
    fn salt(&mut self) -> Result<[u8; 32], String> {
        Ok(self.0)
    }
    fn seal(&mut self, id: &[u8; 32], plain: &[u8]) -> Result<SealedPayload, String> {
        let (id, key, sealed) = (*id, [0; 32], plain.to_vec());
        Ok(SealedPayload { id, key, sealed })
    }
}

/// Presses `raw` to a leaf like `like`, with the rule set of the vectors: the real one may change.
fn press(like: &Leaf, names: (&str, Option<&str>), idem: Idempotency, raw: &str, salt: [u8; 32]) {
    let draft = Draft {
        kind: like.kind.clone(),
        time: like.time,
        source: names.0.to_owned(),
        tenant: names.1.map(str::to_owned),
        body: Json::Null,
        visibility: None,
        idempotency: Some(idem),
    };
    let [idempotency, pseudonym, scrub] = ["idem", "payload-pseudonym", "scrub"].map(secret);
    let secrets = EntrySecrets {
        idempotency,
        pseudonym,
        scrub,
    };
    let (rules, mut batch) = (Arc::new(Rulebook::standard()), Batch::default());
    let mut press = Press::new(rules, Arc::new(secrets));
    press
        .add_raw(raw.as_bytes(), &draft, &mut Known(salt), &mut batch)
        .unwrap();
    let mut leaf = Leaf::parse(bundle::exactly(batch.bundle(0, 1), 1).unwrap()[0]).unwrap();
    leaf.scrub.as_mut().unwrap().set = str_of_json(&body_of(2), "rules")[..16].to_owned();
    assert_eq!(leaf, *like);
}

fn str_of_json(body: &Json, key: &str) -> String {
    body.get(key).and_then(Json::as_str).unwrap().to_owned()
}

fn body_of(index: usize) -> Json {
    match Leaf::parse(&entries()[index]).unwrap().content {
        Content::Body(body) => body,
        Content::Commit { .. } => panic!("entry {index} is private"),
    }
}

#[test]
fn entries_are_made_as_the_page_says() {
    let (rows, entries) = (values("entries.json"), entries());
    assert_eq!(list(&rows).len(), entries.len());
    for ((row, entry), leaf) in list(&rows).iter().zip(&entries).zip(tile_leaves()) {
        assert_eq!(str_of(&row["entry"]).as_bytes(), entry);
        assert_eq!(Leaf::parse(entry).unwrap().to_bytes(), *entry);
        assert_eq!(leaf_hash(entry), leaf);
        assert_eq!(leaf.to_hex(), str_of(&row["leaf_hash"]));
    }
    public_entry(&rows[3], &Leaf::parse(&entries[3]).unwrap());
    private_entry(&rows[4], &Leaf::parse(&entries[4]).unwrap());
    assert_eq!(str_of_json(&body_of(1), "note"), text("certificate-1.note"));
    let day = day_root(&range(0, &tile_leaves()[..6])).to_hex();
    assert_eq!(str_of_json(&body_of(6), "root"), day);
}

fn public_entry(row: &Value, leaf: &Leaf) {
    let (line, idem) = (str_of(&row["line"]), leaf.idem.unwrap());
    let (digest, occurrence) = (sha256(line.as_bytes()).0, 0);
    let how = Idempotency::Line { digest, occurrence };
    press(leaf, (&leaf.source, None), how, line, [0; 32]);
    let (source, body) = (leaf.source.as_bytes(), body_of(3));
    let id: [&[u8]; 5] = [b"", leaf.kind.as_bytes(), source, &digest, &[0; 8]];
    let id = keyed(&secret("idem"), "belfry/idem/line/v1", &id);
    let said = body.to_canonical();
    let content: [&[u8]; 5] = [&id, leaf.kind.as_bytes(), source, b"", &said];
    let content = keyed(&secret("idem"), "belfry/idem/content/v1", &content);
    assert_eq!(
        (&idem.id[..], &idem.content[..]),
        (&id[..16], &content[..16])
    );
    let token_key = keyed(&secret("scrub"), "belfry/scrub-tenant/v1", &[b""]);
    let letters = |bytes: &[u8]| -> String {
        let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        halves.map(|half| char::from(b'a' + half)).collect()
    };
    let key_id = letters(&mac(&token_key, &[b"belfry/scrub-key-id/v1"])[..3]);
    let tag = letters(&mac(&token_key, &[b"email\0ana@acme.example"])[..10]);
    assert!(str_of_json(&body, "msg").ends_with(&format!("<email.{key_id}.{tag}>")));
}

fn private_entry(row: &Value, leaf: &Leaf) {
    let (private, salt) = (&row["private"], bytes32(&row["private"]["salt"]));
    let [source, tenant, payload, client_key] =
        ["source", "tenant", "payload", "client_key"].map(|name| str_of(&private[name]));
    let (kind, content) = commit::decode_payload(payload.as_bytes()).unwrap();
    let how = Idempotency::ClientKey(client_key.to_owned());
    let raw = std::str::from_utf8(content).unwrap();
    press(leaf, (source, Some(tenant)), how, raw, salt);
    assert_eq!(commit::encode_payload(kind, content), payload.as_bytes());
    let hmac = mac(&salt, &[b"belfry/commit/v1\0", payload.as_bytes()]);
    let len = commit::told_length(payload.len());
    assert_eq!(leaf.content, Content::Commit { hmac, len });
    let pseudonym = |field: &str, value: &str| {
        let parts = [field.as_bytes(), value.as_bytes()];
        let mac = keyed(&secret("payload-pseudonym"), "belfry/pseudonym/v1", &parts);
        format!("p:{}", hex::encode(&mac[..16]))
    };
    assert_eq!(leaf.source, pseudonym("source", source));
    assert_eq!(leaf.tenant, Some(pseudonym("tenant", tenant)));
    let parts = [tenant.as_bytes(), client_key.as_bytes()];
    let id = keyed(&secret("idem"), "belfry/idem/key/v1", &parts);
    assert_eq!(leaf.idem.unwrap().id, id[..16]);
    assert_eq!(str_of_json(&body_of(5), "hmac"), hex::encode(&hmac));
}

#[test]
fn trees_paths_and_days() {
    let tree = values("tree.json");
    let leaf = |data: &Value| leaf_hash(&hex::decode(str_of(data)).unwrap());
    let leaves: Vec<Hash> = list(&tree["leaf_data"]).iter().map(leaf).collect();
    let roots = hash_list(&tree["roots"]);
    for (size, want) in roots.iter().enumerate() {
        assert_eq!(root(&leaves[..size]), *want);
    }
    for ((index, row), leaf) in (0u64..).zip(list(&tree["inclusion_7"])).zip(&leaves) {
        verify::inclusion(leaf, index, 7, &hash_list(&row["path"]), &roots[7]).unwrap();
    }
    for ((old, row), root) in (1..).zip(list(&tree["consistency_7"])).zip(&roots[1..]) {
        assert_eq!(row["old"], old);
        verify::consistency(old, 7, root, &roots[7], &hash_list(&row["proof"])).unwrap();
        let nodes = hash_list(&row["with_start"]);
        assert_eq!(smaller_root(old, 7, &nodes, &roots[7]), Some(*root));
    }
    for path in list(&tree["paths"]) {
        let printed = match parse_path(str_of(path)).unwrap() {
            Resource::Tile(tile) => tile.path(),
            Resource::Entries(bundle) => bundle.path(),
        };
        assert_eq!(printed, str_of(path));
    }
    for path in list(&tree["refused_paths"]) {
        assert_eq!(parse_path(str_of(path)), None, "{path}");
    }
    for day in list(&values("days.json")) {
        let (start, end) = (day["start"].as_u64().unwrap(), day["end"].as_u64().unwrap());
        let leaves: Vec<Hash> = (start..end).map(|i| leaf_hash(&i.to_be_bytes())).collect();
        let range = range(start, &leaves);
        let mut values = Vec::new();
        for (row, node) in list(&day["subtrees"]).iter().zip(range.nodes()) {
            let [from, to] = ["start", "end"].map(|name| row[name].as_u64().unwrap());
            let (from_bytes, to_bytes) = (from.to_be_bytes(), to.to_be_bytes());
            let hash = bytes32(&row["root"]);
            let value = sha256_parts(&[b"belfry/day/v1\0", &from_bytes, &to_bytes, &hash]);
            assert_eq!((node.start(), node.end(), node.hash.0), (from, to, hash));
            assert_eq!(value, subtree_value(node));
            assert_eq!(value.to_hex(), str_of(&row["value"]));
            values.push(leaf_hash(value.as_bytes()));
        }
        assert_eq!(day_root(&range), root(&values));
        assert_eq!(day_root(&range).to_hex(), str_of(&day["day_root"]));
    }
}

#[test]
fn the_ledger_its_receipt_and_its_cosignatures() {
    let (leaves, log) = (tile_leaves(), vkey("log", 1));
    assert_eq!(text("ledger/log.vkey"), format!("{log}\n"));
    let checkpoint = Checkpoint::open(&note("ledger/checkpoint"), &log).unwrap();
    assert_eq!((checkpoint.size, checkpoint.root), (7, root(&leaves)));
    same(
        "ledger/checkpoint",
        checkpoint.sign(&signer("log", 1)).unwrap(),
    );
    let policy = Policy::parse(&vector("policy.txt")).unwrap();
    same("policy.txt", &policy);
    let cosigned = note("cosigned.note");
    let (_, standing) = policy.open(&cosigned).unwrap();
    assert_eq!(standing.counted.len(), 2);
    for (number, line) in (0..).zip(&cosigned.signatures()[1..]) {
        let key = vkey("tower", number);
        let time = cosignature::verify(cosigned.text(), line, &key).unwrap();
        let again = cosignature::build(&checkpoint, &signer("tower", number), time).unwrap();
        assert_eq!(again, *line);
        let message = format!("cosignature/v1\ntime {time}\n{}", cosigned.text());
        assert_eq!(line.signature()[..8], time.to_be_bytes());
        assert!(key.verify_bytes(message.as_bytes(), &line.signature()[8..]));
    }
    assert!(policy.open(&note("ledger/checkpoint")).is_err());
    let receipt = TlogProof::parse(&vector("receipt.tlog-proof")).unwrap();
    same("receipt.tlog-proof", &receipt);
    let entry = receipt.unauthenticated_extra().unwrap();
    assert_eq!(entry, entries()[3]);
    let proved = receipt.verify(&leaf_hash(entry), &policy).unwrap();
    assert_eq!((proved.index, proved.checkpoint), (3, checkpoint));
    assert!(receipt.verify(&leaves[2], &policy).is_err());
}

#[test]
fn witness_bodies_read_back() {
    let (leaves, cosignatures) = (tile_leaves(), vector("witness/cosignatures.txt"));
    let request = AddCheckpoint::parse(&vector("witness/add-checkpoint.txt")).unwrap();
    same("witness/add-checkpoint.txt", &request);
    let (old, new) = (root(&leaves[..3]), root(&leaves));
    assert_eq!(
        (request.old_size, &request.checkpoint),
        (3, &note("ledger/checkpoint"))
    );
    verify::consistency(3, 7, &old, &new, &request.proof).unwrap();
    let lines = witness::parse_cosignatures(&cosignatures).unwrap();
    same(
        "witness/cosignatures.txt",
        witness::print_cosignatures(&lines),
    );
    cosignature::verify(request.checkpoint.text(), &lines[0], &vkey("tower", 0)).unwrap();
    assert_eq!(
        witness::parse_conflict(&vector("witness/conflict.txt")),
        Ok(3)
    );
    same("witness/conflict.txt", witness::print_conflict(3));
    let asked = SignSubtree::parse(&vector("witness/sign-subtree.txt")).unwrap();
    same("witness/sign-subtree.txt", &asked);
    let (start, end) = (asked.start, asked.end);
    verify::subtree(start, end, 7, &asked.root, &new, &asked.proof).unwrap();
}

#[test]
fn forks_are_proved_and_a_consistent_pair_is_not() {
    let read = |name: &str| {
        let proof = ForkProof::parse(&vector(&format!("fork/{name}.json"))).unwrap();
        assert_eq!(proof.to_json(), text(&format!("fork/{name}.json")));
        proof
    };
    let cases = [
        ("sizes", vkey("log", 1), (3, 7)),
        ("same-size", vkey("log", 1), (7, 7)),
        ("empty", vkey("log", 1), (0, 7)),
        ("certificates", vkey("identity", 0), (4, 7)),
        ("tower", vkey("tower", 0), (4, 7)),
    ];
    for (name, key, sizes) in cases {
        let found = read(name).verify(&[key]).unwrap();
        assert_eq!((found.smaller_size, found.larger_size), sizes, "{name}");
        assert!(read(name).verify(&[vkey("tower", 2)]).is_err(), "{name}");
        verify_note(read(name).smaller(), &[found.smaller_key]).unwrap();
        verify_note(read(name).larger(), &[found.larger_key]).unwrap();
    }
    let none = read("none").verify(&[vkey("log", 1)]);
    assert_eq!(none, Err(ForkError::Consistent));
}

#[test]
fn malformed_texts_are_refused() {
    for row in list(&values("refused.json")) {
        let (format, text) = (str_of(&row["format"]), str_of(&row["text"]));
        let bytes = text.as_bytes();
        let accepted = match format {
            "vkey" => VerifierKey::parse(text).is_ok(),
            "note" => SignedNote::parse(bytes).is_ok(),
            "checkpoint" => Checkpoint::parse(text).is_ok(),
            "certificate" => Certificate::parse(text).is_ok(),
            "revocation" => Revocation::parse(text).is_ok(),
            "entry" => Leaf::parse(bytes).is_ok(),
            "proof" => TlogProof::parse(bytes).is_ok(),
            "policy" => Policy::parse(bytes).is_ok(),
            "add-checkpoint" => AddCheckpoint::parse(bytes).is_ok(),
            "sign-subtree" => SignSubtree::parse(bytes).is_ok(),
            "fork" => ForkProof::parse(bytes).is_ok(),
            "manifest" => Manifest::parse(bytes).is_ok(),
            "signed-manifest" => SignedManifest::parse(bytes).is_ok(),
            other => panic!("unknown format {other}"),
        };
        assert!(!accepted, "{format}: {}", row["why"]);
    }
}

/// Files below `dir`, as paths relative to `docs/`.
fn files(dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            let name = path.strip_prefix(docs()).unwrap().to_str().unwrap();
            found.push(name.replace('\\', "/"));
        }
    }
}

#[test]
fn the_page_names_every_vector_and_shows_what_they_hold() {
    let (page, mut found) = (page(), Vec::new());
    files(&docs().join("vectors"), &mut found);
    let words = page.split(|c: char| c.is_whitespace() || "`()[]|,;".contains(c));
    let is_file = |word: &&str| word.starts_with("vectors/") && !word.ends_with('/');
    let mut named: Vec<&str> = words.filter(is_file).collect();
    named.sort_unstable();
    named.dedup();
    found.sort_unstable();
    assert_eq!(found, named, "files, and names on the page");
    // ```text vectors/NAME
    for block in page.split("\n```text vectors/").skip(1) {
        let (name, rest) = block.split_once('\n').unwrap();
        same(name, rest.split_once("```").unwrap().0);
    }
}
