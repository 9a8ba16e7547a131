//! The witness's `sign-subtree`: as specified, or with its fault.

use super::witness::{Fault, Refusal, Witness, refuse};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use belfry_protocol::checkpoint::{Checkpoint, ForeignCheckpoint};
use belfry_protocol::cosignature::subtree_message;
use belfry_protocol::note::{Algorithm, SignatureLine, SignedNote, SigningKey, verify_note};
use belfry_protocol::tlog::verify;
use belfry_protocol::witness::SignSubtree;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The route, where it is offered.
pub(crate) fn route(fault: Fault) -> Router<Arc<Witness>> {
    match fault {
        Fault::SubtreeNotOffered => Router::new(),
        Fault::GetIs200 => {
            Router::new().route("/sign-subtree", post(sign).get(|| async { "hello" }))
        }
        _ => Router::new().route("/sign-subtree", post(sign)),
    }
}

async fn sign(State(witness): State<Arc<Witness>>, body: Bytes) -> Response {
    if witness.is(Fault::SubtreeBesideGrowth) {
        // Whoever came together with it is at work by then.
        tokio::time::sleep(Duration::from_millis(100)).await;
        if witness.growing.load(Ordering::SeqCst) {
            return (StatusCode::INTERNAL_SERVER_ERROR, "busy\n").into_response();
        }
    }
    match judge(&witness, &body) {
        Ok(line) => format!("{line}\n").into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// What a lenient witness makes of a body before it reads it.
fn loosened(witness: &Witness, body: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(body).into_owned();
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    match witness.fault {
        Fault::SubtreeLooseRange => {
            let numbers = first.split(' ').skip(1).filter_map(|one| one.parse().ok());
            let numbers: Vec<String> = numbers.map(|one: u64| one.to_string()).collect();
            format!("subtree {}\n{rest}", numbers.join(" ")).into_bytes()
        }
        Fault::SubtreeManyProofLines => {
            let (head, note) = text.split_once("\n\n").unwrap_or((&text, ""));
            let lines: Vec<&str> = head.lines().take(65).collect();
            format!("{}\n\n{note}", lines.join("\n")).into_bytes()
        }
        _ => body.to_vec(),
    }
}

/// Whether it is only the range that cannot be.
fn has_wrong_range(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let numbers: Vec<u64> = first
        .split(' ')
        .filter_map(|one| one.parse().ok())
        .collect();
    let whole = format!("subtree 0 1\n{rest}");
    numbers.len() == 2 && SignSubtree::parse(whole.as_bytes()).is_ok()
}

fn judge(witness: &Witness, body: &[u8]) -> Result<SignatureLine, Refusal> {
    let malformed = match witness.fault {
        Fault::MalformedIs500 => 500,
        Fault::SubtreeRangeIs422 if has_wrong_range(body) => 422,
        _ => 400,
    };
    let bad = |error: &dyn std::fmt::Display| refuse(malformed, &error.to_string());
    let request = SignSubtree::parse(&loosened(witness, body)).map_err(|error| bad(&error))?;
    let checkpoint =
        Checkpoint::parse_foreign(request.checkpoint.text()).map_err(|error| bad(&error))?;
    let unknown = match witness.fault {
        Fault::SubtreeUnknownIs403 => 403,
        Fault::SubtreeUnknownIs500 => 500,
        _ => 404,
    };
    if !witness.logs.contains_key(&checkpoint.origin) {
        return Err(refuse(unknown, "unknown log"));
    }
    signed(witness, &request.checkpoint)?;
    let (newest, _) = witness.stored(&checkpoint.origin);
    let stale = witness.is(Fault::SubtreeNewestOnly) && checkpoint.size < newest;
    if checkpoint.size > newest && !witness.is(Fault::SubtreeUnsigned) || stale {
        return Err(refuse(403, "not cosigned"));
    }
    let narrow = request.start > 0 && request.end - request.start > 1;
    if witness.is(Fault::SubtreeNarrow) && !narrow {
        return Err(refuse(422, "not worth it"));
    }
    let proved = verify::subtree(
        request.start,
        request.end,
        checkpoint.size,
        &request.root,
        &checkpoint.root,
        &request.proof,
    );
    let ignored = matches!(
        witness.fault,
        Fault::SubtreeProofIgnored | Fault::SubtreeManyProofLines
    );
    if proved.is_err() && !ignored {
        return Err(refuse(422, "not proved"));
    }
    Ok(line(witness, &request, &checkpoint))
}

fn signed(witness: &Witness, note: &SignedNote) -> Result<(), Refusal> {
    let keys = witness.keys();
    let own = |line: &&SignatureLine| {
        let mut keys = keys.iter();
        keys.any(|key| (key.name(), key.key_id()) == (line.name(), line.key_id()))
    };
    let lines = note.signatures();
    match witness.fault {
        Fault::SubtreeUnsigned => return Ok(()),
        Fault::SubtreeOnlyOwnLines if !lines.iter().all(|line| own(&line)) => {
            return Err(refuse(403, "unknown signer"));
        }
        Fault::SubtreeAnyGoodLine => {
            let good = |line: &SignatureLine| {
                let one = SignedNote::new(note.text(), vec![line.clone()]).unwrap();
                verify_note(&one, &keys).is_ok()
            };
            return match lines.iter().any(good) {
                true => Ok(()),
                false => Err(refuse(403, "not signed")),
            };
        }
        _ => {}
    }
    verify_note(note, &keys)
        .map(drop)
        .map_err(|error| refuse(403, &error.to_string()))
}

fn line(witness: &Witness, request: &SignSubtree, tree: &ForeignCheckpoint) -> SignatureLine {
    let key = match witness.fault {
        Fault::SubtreeOtherKey => {
            SigningKey::new("other.example", Algorithm::MlDsa44, [3; 32]).unwrap()
        }
        _ => witness.subtree_key.clone(),
    };
    let time = u64::from(witness.is(Fault::SubtreeTimed));
    let origin = match witness.fault {
        Fault::SubtreeWrongSignature => "another.example",
        _ => &tree.origin,
    };
    let (start, end) = (request.start, request.end);
    let message = subtree_message(key.name(), time, origin, start, end, &request.root).unwrap();
    let signature = key.sign_bytes(&message).unwrap();
    let blob = [&time.to_be_bytes()[..], &signature].concat();
    SignatureLine::new(key.name(), key.verifier().key_id(), blob).unwrap()
}
