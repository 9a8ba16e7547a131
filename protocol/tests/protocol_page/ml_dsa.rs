//! What ML-DSA-44 keys sign, as the page says: whole trees and subtrees.

use super::{bytes32, fields, mac, same, str_of, values, vector};
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::cosignature::subtree::{self, Subtree};
use belfry_protocol::note::{Algorithm, SigningKey, VerifierKey};
use belfry_protocol::witness::{self, SignSubtree};
use belfry_protocol::{cosignature, hex};

#[test]
fn ml_dsa_signs_the_subtree_message() {
    let row = values("ml-dsa.json");
    let key = VerifierKey::parse(str_of(&row["vkey"])).unwrap();
    let signer = SigningKey::new(key.name(), Algorithm::MlDsa44, bytes32(&row["seed"])).unwrap();
    let checkpoint = Checkpoint::parse(str_of(&row["text"])).unwrap();
    let time = row["time"].as_u64().unwrap();
    let line = cosignature::build(&checkpoint, &signer, time).unwrap();
    assert_eq!(line.to_string(), str_of(&row["line"]));
    let message = hex::decode(str_of(&row["message"])).unwrap();
    assert!(key.verify_bytes(&message, &line.signature()[8..]));
}

#[test]
fn subtree_keys_are_derived_and_sign_as_the_page_says() {
    let rows = values("subtree.json");
    let derived = &rows["derived"];
    let (node, serial) = (str_of(&derived["node"]), 1_u64.to_be_bytes());
    let parts: [&[u8]; 5] = [b"belfry/key/v1", b"subtree", &[6], node.as_bytes(), &serial];
    let info = fields(&parts);
    assert_eq!(hex::encode(&info), str_of(&derived["info"]));
    let prk = mac(&[0; 32], &[&bytes32(&derived["from"])]);
    let seed = mac(&prk, &[&info, &[1]]);
    assert_eq!(hex::encode(&seed), str_of(&derived["seed"]));
    let key = |name: &str, seed| SigningKey::new(name, Algorithm::MlDsa44, seed).unwrap();
    let own = key(node, seed);
    assert_eq!(own.verifier().to_string(), str_of(&derived["vkey"]));

    let tower = VerifierKey::parse(str_of(&rows["tower"]["vkey"])).unwrap();
    let signer = key(tower.name(), bytes32(&rows["tower"]["seed"]));
    let asked = SignSubtree::parse(&vector("witness/sign-subtree.txt")).unwrap();
    let digest = Checkpoint::parse(asked.checkpoint.text());
    let tree = Subtree {
        origin: &digest.unwrap().origin,
        start: asked.start,
        end: asked.end,
        root: asked.root,
    };
    let line = subtree::build(&tree, &signer).unwrap();
    same(
        "witness/subtree-cosignature.txt",
        witness::print_cosignatures(std::slice::from_ref(&line)),
    );
    let answer = witness::parse_cosignatures(&vector("witness/subtree-cosignature.txt")).unwrap();
    subtree::verify(&tree, &answer[0], &tower).unwrap();
    let message = hex::decode(str_of(&rows["message"])).unwrap();
    assert!(tower.verify_bytes(&message, &answer[0].signature()[8..]));
}
