//! Proof files against a real production log with eight witnesses, and under mutation.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::hex;
use belfry_protocol::note::{Algorithm, SignatureLine, SignedNote, SigningKey, VerifierKey};
use belfry_protocol::policy::{Policy, PolicyError};
use belfry_protocol::proof_file::{ProofFileError, TlogProof};
use belfry_protocol::tlog::hash::{Hash, leaf_hash, node_hash, sha256};
use proptest::prelude::*;

/// Data of a public Sigsum proof, as printed in the documentation of sigsum-rs (mullvad/sigsum-rs).
mod sigsum {
    pub(super) const ORIGIN: &str =
        "sigsum.org/v1/tree/1643169b32bef33a3f54f8a353b87c475d19b6223cbb106390d10a29978e1cba";
    pub(super) const LOG_KEY: &str =
        "47e481606d8acba747a6b053d6c2d191605fb122175d410a1202a91430abce39";
    pub(super) const SIZE: u64 = 381_382;
    pub(super) const ROOT: &str =
        "901fefc6f1d978d2c2bedb82d448755bcdc7e8626e67ac7ee80873771be9b667";
    pub(super) const LOG_SIGNATURE: &str = "8a8bf1fca60d1344fb6e2106e8f8906af833d3d75a21fe8d3af72be459f7a11f2ae6606ec6344a13b851cd454b3d281a2b1ae47732f7a8d6afbcc0134d1a2d00";
    pub(super) const TIME_SECONDS: u64 = 1_770_193_051;
    pub(super) const INDEX: u64 = 381_381;
    pub(super) const MESSAGE: &[u8] = b"Hello, Sigsum!\n";
    pub(super) const LEAF_KEY_HASH: &str =
        "2c8d843ed6237e9ea033207113329fdd1428c75f8fd3c6782ae46c92c7a00c40";
    pub(super) const LEAF_SIGNATURE: &str = "38dd0b42cab5166611a4f8346db1c6ffe81ee2345f3ffe36a466eb8fce1d4b2879fbb5f26291d25e610b2dc7f30eaa603efd97739ae585657d0f7181726eec00";
    /// Name and key of each witness in the policy `sigsum-test-2025-3`, and its cosignature.
    pub(super) const WITNESSES: [(&str, &str, &str); 8] = [
        (
            "poc.sigsum.org/nisse",
            "1c25f8a44c635457e2e391d1efbca7d4c2951a0aef06225a881e46b98962ac6c",
            "a1ee1182b265204499cbef3ae59f3ea228b928b3cbda8817a4ed5a12776823e9ad8ef1ce986b9b98d9954f1798ec4315c1820704600a231c69038ccc9726d202",
        ),
        (
            "rgdd.se/poc-witness",
            "28c92a5a3a054d317c86fc2eeb6a7ab2054d6217100d0be67ded5b74323c5806",
            "f5953f406f5fd97d9c9d1328b00b07bf434a5eb76d8da359aeda98c414de29ca1ced1872971ea0f137508a7bb05c7d322548409425677af96433706319bc0801",
        ),
        (
            "witness1.smartit.nu/witness1",
            "f4855a0f46e8a3e23bb40faf260ee57ab8a18249fa402f2ca2d28a60e1a3130e",
            "6610e5cf4ead2062d9783fbc19d2bae65eded35335495ad0cf0386277ed2d51854ced64efa21a6db0a398fdfb6761aa7d5659e54950a060d167fbdcb7b5ece05",
        ),
        (
            "witness.navigli.sunlight.geomys.org",
            "dcbf728e02d479f5a7e20dc09adf525833ed6e797526517aeb07fc6854849fc6",
            "",
        ),
        (
            "remora.n621.de",
            "ebcdeb78e7fdb2ef9227b2c1ef11e94600b55b4d6d9a57877e31ee89e59adc36",
            "",
        ),
        (
            "witness.stagemole.eu",
            "4a921b7caef58ae670cdc11ef4184f1c058f7b9259a9107a969f69fa54aa496f",
            "",
        ),
        (
            "tillitis.se/test-witness-1",
            "636582aec12f32c18a21733db9e3f718058ee7aaec6dbe4eb81781e0f4300c6e",
            "",
        ),
        (
            "transparency.dev/DEV:witness-little-garden",
            "2b6eb0ec483503544cde4e8fc1ce6d1921db21dffccc186865f808f7625443cc",
            "",
        ),
    ];
    /// The other cosignatures, by SHA-256 of the witness key.
    pub(super) const COSIGNATURES: [(&str, &str); 5] = [
        (
            "49c4cd6124b7c572f3354d854d50b2a4b057a750f786cf03103c09de339c4ea3",
            "aaf642e81a54399777180f238573d74878b68c7b645d8011583621405bb450b4e7887fc76502a8142c493d64e3ed3e556d82dad1706411082e58805f64fa9d02",
        ),
        (
            "86b5414ae57f45c2953a074640bb5bedebad023925d4dc91a31de1350b710089",
            "3434b4646904714f4983c8e7e976a45332711f10012b19fbeb5549b6c0c04fb4ed52feed2da829354623c52b22b90093776034a8d57d660f9ff27a118f5bf801",
        ),
        (
            "c1d2d6935c2fb43bef395792b1f3c1dfe4072d4c6cadd05e0cc90b28d7141ed3",
            "f0dce1bcdda3a2826479d62e6afedbe9ec06e8f990ae59d8cefa84d9a6ee68c12c2820fb00e1dbdc30044b16c7695a9d1047cec4788dc757f698d34ebaec4305",
        ),
        (
            "d960fcff859a34d677343e4789c6843e897c9ff195ea7140a6ef382566df3b65",
            "b44c41f75566850003f7f655a6dc7bb38bb980e8e2c383871e29883805d3adec7782a08388b9386d9718380a4bb6900043e2b46080cff0fa75a500c36ef9df0a",
        ),
        (
            "e4a6a1e4657d8d7a187cc0c20ed51055d88c72f340d29534939aee32d86b4021",
            "70697b4a6b07e79e49d0a8e41fd7450a593ee9df11da6244cebe4b0c15c8e52f28ad3931b95a806fc7f16b4ad90197971ddc087434c7985b8b3a0223c9fa3603",
        ),
    ];
    pub(super) const PATH: [&str; 10] = [
        "d009c5dbeaaa5be1788ea9533f6f398747755a8245012165ac73f753b7917672",
        "fb515551fe18f6e53d7d7f49b80abbb5c702b9662ee74fc7730e4a7685000aa4",
        "e21e73ee8caf0d49cdcd2f334b3f64e85e4a151daf8d09b6034306bb21b88480",
        "f77bc4db00e509149b6e2fc0028d7107dd415929dc9972f32fe758ce39bcc9a0",
        "3acb38f01c633d917b899ed4e522a49a02bf20d358f98ca530e3a3065591e7f2",
        "889de80c543a5ae8e35430988dc120ac7edde74b776f9082f814ea88190a601f",
        "199f812b9f3667dec31f964098e32652477a2f3d458019b6f8f4acc645cf0131",
        "084580f8f6324d4ae42dbcb779502ab9fab77e0c2b92519fe089be72e38d60ed",
        "9ddbece4939d621df53f31e2729d5fa7802fd82f3edfb784483d8b7fa9cf41e2",
        "e1c7a90c09949c263807e5970aef47f9a06164b759995ab814aff94aff9dcd00",
    ];
}

fn hash(text: &str) -> Hash {
    Hash::from_hex(text).unwrap()
}

fn witness_key(name: &str, key: &str) -> VerifierKey {
    VerifierKey::new(name, Algorithm::CosignatureV1, &hex::decode(key).unwrap()).unwrap()
}

/// The Sigsum proof as a C2SP proof file with its policy: 4 of 6, one of the six being a 2-of-3 group.
fn sigsum_proof() -> (TlogProof, Policy) {
    use sigsum::*;
    let log = VerifierKey::new(ORIGIN, Algorithm::Ed25519, &hex::decode(LOG_KEY).unwrap()).unwrap();
    let checkpoint = Checkpoint {
        origin: ORIGIN.to_owned(),
        size: SIZE,
        root: hash(ROOT),
    };
    let mut lines = vec![
        SignatureLine::new(ORIGIN, log.key_id(), hex::decode(LOG_SIGNATURE).unwrap()).unwrap(),
    ];
    let mut policy = Policy::new();
    policy.add_log(log, None).unwrap();
    for (name, key, signature) in WITNESSES {
        let key = witness_key(name, key);
        let key_hash = sha256(key.public_key()).to_hex();
        let found = COSIGNATURES
            .iter()
            .find(|(id, _)| *id == key_hash)
            .map(|(_, signature)| *signature);
        let signature = found.unwrap_or(signature);
        let blob = [
            &TIME_SECONDS.to_be_bytes()[..],
            &hex::decode(signature).unwrap(),
        ]
        .concat();
        lines.push(SignatureLine::new(name, key.key_id(), blob).unwrap());
        policy.add_witness(name, key, None).unwrap();
    }
    let names: Vec<&str> = WITNESSES.iter().map(|(name, _, _)| *name).collect();
    policy.add_group("glasklar", 2, &names[..3]).unwrap();
    policy
        .add_group("quorum-rule", 4, &[&["glasklar"], &names[3..]].concat())
        .unwrap();
    policy.set_quorum("quorum-rule").unwrap();
    let note = SignedNote::new(&checkpoint.to_text(), lines).unwrap();
    let path = PATH.iter().map(|node| hash(node)).collect();
    (TlogProof::new(INDEX, path, note, None).unwrap(), policy)
}

fn sigsum_leaf() -> Hash {
    let checksum = sha256(sha256(sigsum::MESSAGE).as_bytes());
    let signature = hex::decode(sigsum::LEAF_SIGNATURE).unwrap();
    let key_hash = hex::decode(sigsum::LEAF_KEY_HASH).unwrap();
    leaf_hash(&[&checksum.as_bytes()[..], &signature, &key_hash].concat())
}

#[test]
fn a_real_proof_with_eight_witnesses_verifies() {
    let (proof, policy) = sigsum_proof();
    let proof = TlogProof::parse(proof.to_string().as_bytes()).unwrap();
    let proved = proof.verify(&sigsum_leaf(), &policy).unwrap();
    assert_eq!(
        (proved.checkpoint.size, proved.index),
        (sigsum::SIZE, sigsum::INDEX)
    );
    assert_eq!(proved.standing.counted.len(), 8);
    assert!(
        proved
            .standing
            .counted
            .iter()
            .all(|counted| counted.timestamp_seconds == sigsum::TIME_SECONDS)
    );
    assert!(matches!(
        proof.verify(&sha256(b"other"), &policy),
        Err(ProofFileError::Inclusion(_))
    ));
    let mut strangers = Policy::new();
    let other = SigningKey::ed25519(sigsum::ORIGIN, [1; 32]).unwrap();
    strangers.add_log(other.verifier().clone(), None).unwrap();
    let refused = proof.verify(&sigsum_leaf(), &strangers).unwrap_err();
    assert_eq!(
        refused,
        ProofFileError::Policy(PolicyError::NoLogSignature(sigsum::ORIGIN.to_owned()))
    );
}

/// A two-leaf log, its proof for leaf 1 and its policy.
fn small_proof(extra: Option<Vec<u8>>) -> (TlogProof, Policy, Hash) {
    let key = SigningKey::ed25519("a.example/log", [1; 32]).unwrap();
    let tower = SigningKey::cosigner("t.example", [2; 32]).unwrap();
    let (left, right) = (leaf_hash(b"left"), leaf_hash(b"right"));
    let checkpoint = Checkpoint {
        origin: "a.example/log".to_owned(),
        size: 2,
        root: node_hash(&left, &right),
    };
    let cosignature = tower.cosign(&checkpoint.to_text(), 1_000).unwrap();
    let note = checkpoint
        .sign(&key)
        .unwrap()
        .with_signature(cosignature)
        .unwrap();
    let mut policy = Policy::new();
    policy.add_log(key.verifier().clone(), None).unwrap();
    policy
        .add_witness("t", tower.verifier().clone(), None)
        .unwrap();
    policy.set_quorum("t").unwrap();
    (
        TlogProof::new(1, vec![left], note, extra).unwrap(),
        policy,
        right,
    )
}

#[test]
fn malformed_files_are_refused() {
    let good = small_proof(Some(b"extra".to_vec())).0.to_string();
    assert_eq!(
        TlogProof::parse(good.as_bytes())
            .unwrap()
            .unauthenticated_extra(),
        Some(&b"extra"[..])
    );
    let bad = [
        good.replace("@v1", "@v2"),
        good.replace("index 1", "index 01"),
        good.replace("index 1", "index 9223372036854775808"),
        good.replace("index 1\n", ""),
        good.replace("ZXh0cmE=", "ZXh0cmF="),
        good.replace("extra ", "extra  "),
        good.replacen("\n\n", "\n", 1),
        good.replacen(
            "\n\n",
            &format!(
                "\n{}\n",
                "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n".repeat(63)
            ),
            1,
        ),
        good.replace('\n', "\r\n"),
        good.replace("a.example/log\n2\n", "a.example/log\ntwo\n"),
    ];
    for text in bad {
        assert_ne!(text, good);
        assert!(TlogProof::parse(text.as_bytes()).is_err(), "{text}");
    }
    let note = small_proof(None).0.checkpoint().clone();
    assert!(TlogProof::new(0, vec![Hash::default(); 64], note, None).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_changed_byte_is_refused_or_prints_differently(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let (proof, policy, leaf) = small_proof(None);
        prop_assert!(proof.verify(&leaf, &policy).is_ok());
        let mut bytes = proof.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(read) = TlogProof::parse(&bytes) {
            prop_assert_eq!(read.to_string().into_bytes(), bytes);
            prop_assert!(read.verify(&leaf, &policy).is_err());
        }
    }
}
