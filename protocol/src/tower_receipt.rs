//! `tower_receipt_v1.json`: a receipt as JSON, for programs that read no C2SP text. It carries the tlog-proof file and
//! what follows from it, and is refused unless every field is exactly that: nothing in it can be asserted.

use crate::checkpoint::Checkpoint;
use crate::cosignature;
use crate::entry::json::Json;
use crate::note::MIRROR_SUFFIX;
use crate::proof_file::{MAX_PROOF_FILE_BYTES, ProofFileError, TlogProof};
use crate::tlog::hash::{leaf_hash, sha256};
use thiserror::Error;

/// Value of the member `format`.
pub const TOWER_RECEIPT_FORMAT: &str = "belfry-tower-receipt/v1";

/// Most bytes of the file: the proof file, its entry once more as JSON, and what follows from the note's lines.
pub const MAX_TOWER_RECEIPT_BYTES: usize = 3 * MAX_PROOF_FILE_BYTES;

/// Why a file was refused.
#[derive(Debug, Error)]
pub enum TowerReceiptError {
    /// It is no such file.
    #[error("malformed tower receipt: {0}")]
    Malformed(&'static str),
    /// The proof file in it was refused.
    #[error(transparent)]
    Proof(#[from] ProofFileError),
    /// A field does not follow from the proof file.
    #[error("the fields of the tower receipt do not follow from the proof in it; it was changed")]
    Fields,
}

/// The receipt as canonical JSON (RFC 8785).
///
/// # Errors
/// [`TowerReceiptError::Malformed`] if the proof's note is no checkpoint.
pub fn to_json(proof: &TlogProof) -> Result<String, TowerReceiptError> {
    let file = proof.to_string();
    let malformed = TowerReceiptError::Malformed;
    let checkpoint = Checkpoint::parse(proof.checkpoint().text())
        .map_err(|_| malformed("its note is no checkpoint"))?;
    let acks = proof
        .checkpoint()
        .signatures()
        .iter()
        .filter(|line| line.name() != checkpoint.origin)
        .filter_map(|line| {
            let kind = match line.name().ends_with(MIRROR_SUFFIX) {
                true => "mirror",
                false => "ack",
            };
            let seconds = cosignature::timestamp(line).filter(|time| *time <= MAX_WHOLE)?;
            Some(Json::object([
                ("kind", Json::text(kind)),
                ("name", Json::text(line.name())),
                ("time_seconds", Json::whole(seconds)),
            ]))
        })
        .collect();
    let mut fields = vec![
        ("acks", Json::Array(acks)),
        ("format", Json::text(TOWER_RECEIPT_FORMAT)),
        ("index", Json::text(proof.index().to_string())),
        ("origin", Json::text(&checkpoint.origin)),
        ("receipt_id", Json::text(sha256(file.as_bytes()).to_hex())),
        ("root", Json::text(checkpoint.root.to_hex())),
        ("size", Json::text(checkpoint.size.to_string())),
        ("tlog_proof", Json::text(file)),
    ];
    if let Some(entry) = proof.unauthenticated_extra() {
        fields.push(("leaf_hash", Json::text(leaf_hash(entry).to_hex())));
        // Entries of Belfry ledgers are JSON; what is not is in the proof file all the same.
        if let Ok(entry) = Json::parse(entry) {
            fields.push(("entry", entry));
        }
    }
    String::from_utf8(Json::object(fields).to_canonical()).map_err(|_| malformed("it is not UTF-8"))
}

/// Largest whole number that every JSON reader keeps.
const MAX_WHOLE: u64 = (1 << 53) - 1;

/// Reads a file; its proof says everything that it says.
///
/// # Errors
/// [`TowerReceiptError`].
pub fn parse(bytes: &[u8]) -> Result<TlogProof, TowerReceiptError> {
    if bytes.len() > MAX_TOWER_RECEIPT_BYTES {
        return Err(TowerReceiptError::Malformed("it is too large"));
    }
    let value = Json::parse(bytes).map_err(|_| TowerReceiptError::Malformed("it is not JSON"))?;
    let text = |key: &str| value.get(key).and_then(Json::as_str);
    if text("format") != Some(TOWER_RECEIPT_FORMAT) {
        return Err(TowerReceiptError::Malformed(
            "the format is not belfry-tower-receipt/v1",
        ));
    }
    let file = text("tlog_proof").ok_or(TowerReceiptError::Malformed("it has no tlog_proof"))?;
    let proof = TlogProof::parse(file.as_bytes())?;
    if to_json(&proof)?.as_bytes() != bytes {
        return Err(TowerReceiptError::Fields);
    }
    Ok(proof)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::{SignedNote, SigningKey};
    use crate::tlog::hash::Hash;

    fn receipt() -> TlogProof {
        let log = SigningKey::ed25519("a.example", [1; 32]).unwrap();
        let tower = SigningKey::cosigner("t.example", [2; 32]).unwrap();
        let mirror = SigningKey::cosigner("t.example/mirror", [3; 32]).unwrap();
        let entry = br#"{"body":{"x":1},"kind":"log.line","v":1}"#.to_vec();
        let checkpoint = Checkpoint {
            origin: "a.example".to_owned(),
            size: 1,
            root: leaf_hash(&entry),
        };
        let note: SignedNote = checkpoint.sign(&log).unwrap();
        let text = checkpoint.to_text();
        let note = note
            .with_signature(tower.cosign(&text, 1_700_000_000).unwrap())
            .and_then(|note| note.with_signature(mirror.cosign(&text, 1_700_000_001).unwrap()))
            .unwrap();
        TlogProof::new(0, Vec::<Hash>::new(), note, Some(entry)).unwrap()
    }

    #[test]
    fn a_receipt_reads_back_and_says_who_vouched() {
        let json = to_json(&receipt()).unwrap();
        assert_eq!(parse(json.as_bytes()).unwrap(), receipt());
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["acks"][0]["name"], "t.example");
        assert_eq!(value["acks"][1]["kind"], "mirror");
        assert_eq!(value["acks"][1]["time_seconds"], 1_700_000_001);
        assert_eq!(value["entry"]["body"]["x"], 1);
        assert_eq!(
            (&value["index"], &value["size"]),
            (&"0".into(), &"1".into())
        );
    }

    #[test]
    fn no_field_can_be_asserted() {
        let json = to_json(&receipt()).unwrap();
        for (true_word, lie) in [
            ("\"index\":\"0\"", "\"index\":\"1\""),
            ("\"size\":\"1\"", "\"size\":\"2\""),
            ("1700000001", "1700000002"),
            ("\"kind\":\"mirror\"", "\"kind\":\"ack\""),
            ("{\"x\":1}", "{\"x\":2}"),
            ("{\"acks\"", "{\"a\":1,\"acks\""),
        ] {
            let changed = json.replacen(true_word, lie, 1);
            assert_ne!(changed, json);
            assert!(parse(changed.as_bytes()).is_err(), "{lie}");
        }
        assert!(parse(b"{}").is_err());
        assert!(parse(b"not json").is_err());
        assert!(parse(format!("{json}\n").as_bytes()).is_err());
    }
}
