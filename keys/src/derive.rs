//! Purpose keys out of seeds: HKDF-SHA256 with a label that no two uses share (R6).
//! May not read files or keep a seed.

use belfry_protocol::note::{Algorithm, MIRROR_SUFFIX, NoteError, SigningKey};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Domain of every derivation; frozen.
const DOMAIN: &[u8] = b"belfry/key/v1";

/// Algorithm byte of secrets that are no signature keys.
const RAW: u8 = 0x00;

/// 32 secret bytes, wiped on drop.
pub(crate) type Seed = Zeroizing<[u8; 32]>;

/// What a signing key of a node is for. Each has a key of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Purpose {
    /// Signs the ledger's digests (note type 0x01).
    Log,
    /// Signs witness cosignatures (0x04).
    Ack,
    /// Signs what is durably held (0x04), named `<name>/mirror`.
    Mirror,
    /// Signs message envelopes (Ed25519).
    Envelope,
    /// Signs subtrees, and what the ack key signs once more (ML-DSA-44, 0x06): never alone, and in no certificate, whose
    /// form is frozen.
    Subtree,
}

impl Purpose {
    /// All purposes.
    pub const ALL: [Self; 5] = [
        Self::Log,
        Self::Ack,
        Self::Mirror,
        Self::Envelope,
        Self::Subtree,
    ];

    /// The purposes whose keys a certificate names.
    pub const CERTIFIED: [Self; 4] = [Self::Log, Self::Ack, Self::Mirror, Self::Envelope];

    /// The word in the derivation label and on certificate lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Ack => "ack",
            Self::Mirror => "mirror",
            Self::Envelope => "envelope",
            Self::Subtree => "subtree",
        }
    }

    /// The note type of the key.
    #[must_use]
    pub fn algorithm(self) -> Algorithm {
        match self {
            Self::Log | Self::Envelope => Algorithm::Ed25519,
            Self::Ack | Self::Mirror => Algorithm::CosignatureV1,
            Self::Subtree => Algorithm::MlDsa44,
        }
    }

    /// Derives the key of this purpose from the operational seed of a serial.
    pub(crate) fn derive(
        self,
        seed: &Seed,
        node: &str,
        serial: u64,
    ) -> Result<SigningKey, NoteError> {
        let algorithm = self.algorithm();
        let serial = serial.to_be_bytes();
        let fields = [
            self.as_str().as_bytes(),
            &[algorithm.byte()],
            node.as_bytes(),
            &serial,
        ];
        let derived = expand(seed, &fields);
        match self {
            Self::Mirror => SigningKey::new(&format!("{node}{MIRROR_SUFFIX}"), algorithm, *derived),
            Self::Log | Self::Ack | Self::Envelope | Self::Subtree => {
                SigningKey::new(node, algorithm, *derived)
            }
        }
    }
}

/// Derives a raw secret for HMAC from the node secret. `more` separates the secrets of one purpose.
pub(crate) fn raw(secret: &Seed, purpose: &str, node: &str, more: &[&[u8]]) -> Seed {
    let zero = 0u64.to_be_bytes();
    let fields = [
        &[purpose.as_bytes(), &[RAW], node.as_bytes(), &zero][..],
        more,
    ]
    .concat();
    expand(secret, &fields)
}

/// HKDF-SHA256 without salt. Each field is preceded by its length as u64 big-endian, so no two lists look alike.
fn expand(seed: &Seed, fields: &[&[u8]]) -> Seed {
    let mut info = Vec::new();
    for field in [DOMAIN].iter().chain(fields) {
        // A slice is never longer than u64 can count.
        info.extend_from_slice(&u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
        info.extend_from_slice(field);
    }
    let mut output = Zeroizing::new([0u8; 32]);
    let expanded = Hkdf::<Sha256>::new(None, &seed[..]).expand(&info, &mut output[..]);
    // HKDF fails for more than 255 blocks only; this is one.
    debug_assert!(expanded.is_ok());
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = "acme.example/line-4";

    fn seed() -> Seed {
        Zeroizing::new([7; 32])
    }

    /// Golden values, made by an independent HKDF (hmac and hashlib of Python): a change would orphan every node's keys.
    #[test]
    fn derived_keys_are_frozen() {
        let hex = |seed: Seed| belfry_protocol::hex::encode(&seed[..]);
        let expected = [
            "534937905cbb7bc03f7de6d5bf81f287d0a31134bfd717193394daf7eee29645",
            "177369aefd99561ad0ce162c1a5938cfca6ea5e58d5b6dc17f7a2cdb8bb16c6e",
            "14d53d882d36c6613418e7730d2a58f212f48076146251b9253257845461a0de",
            "0b98ae75eda88052666310b9f39ae761a878e9d86ca1738eb880d615b4132e01",
            "dc368f80cda65f07f7cdc937099ea25086031c7c4456d4620cb5e7ac87ae003c",
        ];
        let keys =
            Purpose::ALL.map(|purpose| hex(purpose.derive(&seed(), NODE, 1).unwrap().seed()));
        assert_eq!(keys, expected);
        let expected = [
            "52a6abf92b8031641741f4d032debd703b7b94aec56a54f36d2139a895437246",
            "d8718858f32ff6ac520b5360b1ec9a5b888009a2ca1f1a580e422f495be6e247",
            "c9130d51ea9ba7858e35cedfeddf29db154a04eb17c838966d11b4723dc757f5",
        ];
        let scrub: [&[u8]; 2] = [b"tenant", &3u64.to_be_bytes()];
        let raws = [
            ("idem", &[][..]),
            ("payload-pseudonym", &[]),
            ("scrub", &scrub),
        ]
        .map(|(p, more)| hex(raw(&seed(), p, NODE, more)));
        assert_eq!(raws, expected);
    }

    #[test]
    fn no_two_uses_share_a_key() {
        let mut seen = std::collections::BTreeSet::new();
        for purpose in Purpose::ALL {
            for (node, serial) in [(NODE, 1), (NODE, 2), ("acme.example/line-5", 1)] {
                let key = purpose.derive(&seed(), node, serial).unwrap();
                assert!(seen.insert(key.verifier().public_key().to_vec()));
            }
        }
        let fields: [&[&[u8]]; 4] = [&[], &[b"ab", b"c"], &[b"a", b"bc"], &[b"abc"]];
        for more in fields {
            assert!(seen.insert(raw(&seed(), "scrub", NODE, more).to_vec()));
        }
    }
}
