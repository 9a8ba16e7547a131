//! A small witness that does what the specification says, or has exactly one fault. In memory, for tests.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use belfry_protocol::checkpoint::{Checkpoint, ForeignCheckpoint};
use belfry_protocol::cosignature::{cosignature_message, second};
use belfry_protocol::note::{
    Algorithm, SignatureLine, SignedNote, SigningKey, VerifierKey, verify_note,
};
use belfry_protocol::tlog::hash::{Hash, empty_root, sha256};
use belfry_protocol::tlog::verify;
use belfry_protocol::witness::{AddCheckpoint, MAX_REQUEST_BYTES, SIZE_CONTENT_TYPE};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is wrong with a witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    MalformedIs500,
    LooseOldSize,
    LooseProof,
    LooseLines,
    LooseEnd,
    ManyProofLines,
    UnknownIs403,
    Unsigned,
    BadSignatureIs500,
    StrangersRefused,
    AnyGoodLine,
    SizeBeforeSignature,
    OldAboveSizeIs409,
    ConflictCharset,
    ConflictWithoutLineFeed,
    ConflictOtherSize,
    OldIgnored,
    ProofBeforeOld,
    ZeroRootTaken,
    ProofIgnored,
    PowersOfTwo,
    SameSizeForkTaken,
    ForkIs409,
    ForkIsTyped409,
    TimeZero,
    TimeBackwards,
    TimeStands,
    WrongSignature,
    OtherKey,
    WholeNote,
    EqualRefused,
    EmptyTreeRefused,
    NotAtomic,
    Forgets,
    MonitorsNothing,
    MonitorsStrangers,
    MonitorsWithoutLog,
    MonitorsEverything,
    GetIs200,
    SmallBodies,
    SubtreeNotOffered,
    SubtreeLooseRange,
    SubtreeRangeIs422,
    SubtreeManyProofLines,
    SubtreeUnknownIs403,
    SubtreeUnknownIs500,
    SubtreeUnsigned,
    SubtreeAnyGoodLine,
    SubtreeProofIgnored,
    SubtreeNarrow,
    SubtreeTimed,
    SubtreeWrongSignature,
    SubtreeOtherKey,
    SubtreeSecondKey,
    SubtreeNewestOnly,
    SubtreeOnlyOwnLines,
    SubtreeBesideGrowth,
}

impl Fault {
    /// Whether it is one of `sign-subtree`, or none.
    fn is_of_subtrees(self) -> bool {
        self == Self::None || format!("{self:?}").starts_with("Subtree")
    }
}

struct Known {
    size: u64,
    root: Hash,
    note: String,
}

pub(crate) struct Witness {
    pub(super) fault: Fault,
    key: SigningKey,
    pub(super) subtree_key: SigningKey,
    pub(super) logs: BTreeMap<String, VerifierKey>,
    known: Mutex<BTreeMap<String, Known>>,
    /// Something is being cosigned.
    pub(super) growing: AtomicBool,
    clock: Mutex<u64>,
}

pub(super) type Refusal = (StatusCode, String);

pub(super) fn refuse(status: u16, why: &str) -> Refusal {
    (StatusCode::from_u16(status).unwrap(), format!("{why}\n"))
}

impl Witness {
    pub(crate) fn new(fault: Fault, logs: impl Iterator<Item = VerifierKey>) -> Arc<Self> {
        Arc::new(Self {
            fault,
            key: SigningKey::cosigner("witness.example", [9; 32]).unwrap(),
            subtree_key: SigningKey::new("witness.example", Algorithm::MlDsa44, [10; 32]).unwrap(),
            growing: AtomicBool::new(false),
            logs: logs.map(|key| (key.name().to_owned(), key)).collect(),
            known: Mutex::default(),
            clock: Mutex::new(1 << 40),
        })
    }

    pub(crate) fn keys(&self) -> Vec<VerifierKey> {
        let keys = [&self.key, &self.subtree_key];
        keys.map(|key| key.verifier().clone()).to_vec()
    }

    pub(crate) fn restart(&self) {
        if self.fault == Fault::Forgets {
            self.known.lock().unwrap().clear();
        }
    }

    /// Serves on a port of its own; the address.
    pub(crate) async fn serve(self: &Arc<Self>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let submit = match self.fault {
            Fault::GetIs200 => post(add).get(|| async { "hello" }),
            _ => post(add),
        };
        let limit = match self.fault {
            Fault::SmallBodies => 8_192,
            _ => MAX_REQUEST_BYTES,
        };
        let router = Router::new()
            .route("/add-checkpoint", submit)
            .merge(super::subtree::route(self.fault))
            .route("/{hash}/checkpoint", get(monitor))
            .layer(DefaultBodyLimit::max(limit))
            .with_state(Arc::clone(self));
        // Ends with the test's runtime.
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    pub(super) fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// What a lenient witness makes of a body before it reads it.
    fn loosened(&self, body: &[u8]) -> Vec<u8> {
        let text = || String::from_utf8_lossy(body).into_owned();
        match self.fault {
            Fault::LooseOldSize => text()
                .replacen("old 0", "old ", 1)
                .replace("old \n", "old 0\n"),
            Fault::LooseProof => {
                let text = text();
                let (head, note) = text.split_once("\n\n").unwrap_or((&text, ""));
                let lines: Vec<String> = head.lines().map(canonical).collect();
                format!("{}\n\n{note}", lines.join("\n"))
            }
            Fault::LooseLines => text().replace("\r\n", "\n"),
            Fault::LooseEnd => format!("{}\n", text().trim_end_matches('\n')),
            Fault::ManyProofLines => {
                let text = text();
                let (head, note) = text.split_once("\n\n").unwrap_or((&text, ""));
                let lines: Vec<&str> = head.lines().take(64).collect();
                format!("{}\n\n{note}", lines.join("\n"))
            }
            _ => return body.to_vec(),
        }
        .into_bytes()
    }

    fn judge(&self, body: &[u8]) -> Result<(AddCheckpoint, ForeignCheckpoint), Refusal> {
        let malformed = if self.is(Fault::MalformedIs500) {
            500
        } else {
            400
        };
        let bad = |error: &dyn std::fmt::Display| refuse(malformed, &error.to_string());
        let request = AddCheckpoint::parse(&self.loosened(body)).map_err(|error| bad(&error))?;
        let checkpoint =
            Checkpoint::parse_foreign(request.checkpoint.text()).map_err(|error| bad(&error))?;
        let unknown = if self.is(Fault::UnknownIs403) {
            403
        } else {
            404
        };
        let key = self.logs.get(&checkpoint.origin);
        let key = key.ok_or_else(|| refuse(unknown, "unknown log"))?;
        let above = request.old_size > checkpoint.size;
        if self.is(Fault::SizeBeforeSignature) && above {
            return Err(refuse(400, "old is above the size"));
        }
        self.signed(&request.checkpoint, key)?;
        if above {
            let status = if self.is(Fault::OldAboveSizeIs409) {
                409
            } else {
                400
            };
            return Err(refuse(status, "old is above the size"));
        }
        Ok((request, checkpoint))
    }

    fn signed(&self, note: &SignedNote, key: &VerifierKey) -> Result<(), Refusal> {
        let strange = |line: &SignatureLine| line.key_id() != key.key_id();
        if self.is(Fault::StrangersRefused) && note.signatures().iter().any(strange) {
            return Err(refuse(403, "unknown signer"));
        }
        if self.is(Fault::Unsigned) {
            return Ok(());
        }
        if self.is(Fault::AnyGoodLine) {
            let mut lines = note.signatures().iter();
            let good =
                lines.any(|line| !strange(line) && key.verify(note.text(), line.signature()));
            return if good {
                Ok(())
            } else {
                Err(refuse(403, "not signed"))
            };
        }
        let status = if self.is(Fault::BadSignatureIs500) {
            500
        } else {
            403
        };
        let verified = verify_note(note, std::slice::from_ref(key));
        verified
            .map(drop)
            .map_err(|error| refuse(status, &error.to_string()))
    }

    /// Checks 5 to 7 of the specification.
    fn consistent(
        &self,
        request: &AddCheckpoint,
        new: &ForeignCheckpoint,
        (size, root): (u64, Hash),
    ) -> Result<(), Refusal> {
        let stale = request.old_size != size && !self.is(Fault::OldIgnored);
        let proven = || {
            if new.size == 0 && new.root != empty_root() && !self.is(Fault::ZeroRootTaken) {
                return false;
            }
            if self.is(Fault::PowersOfTwo) && size.is_power_of_two() && request.proof.len() == 1 {
                return false;
            }
            let old = request.old_size;
            match self.fault {
                Fault::OldIgnored | Fault::ProofIgnored => true,
                Fault::SameSizeForkTaken if old == new.size => true,
                Fault::ZeroRootTaken if new.size == 0 => true,
                _ => verify::consistency(size, new.size, &root, &new.root, &request.proof).is_ok(),
            }
        };
        let unproven = || {
            let status = match self.fault {
                Fault::ForkIs409 | Fault::ForkIsTyped409
                    if new.size == size && size > 0 && new.root != root =>
                {
                    409
                }
                _ => 422,
            };
            refuse(status, "not consistent")
        };
        if self.is(Fault::ProofBeforeOld) && !proven() {
            return Err(unproven());
        }
        if stale {
            let told = match self.fault {
                Fault::ConflictOtherSize => size + 1,
                _ => size,
            };
            return Err((StatusCode::CONFLICT, format!("={told}")));
        }
        if self.is(Fault::EqualRefused) && new.size == size && size > 0 {
            return Err(refuse(422, "nothing new"));
        }
        if self.is(Fault::EmptyTreeRefused) && new.size == 0 {
            return Err(refuse(422, "nothing to sign"));
        }
        if proven() { Ok(()) } else { Err(unproven()) }
    }

    fn time(&self) -> u64 {
        let mut clock = self.clock.lock().unwrap();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        match self.fault {
            Fault::TimeZero => 0,
            Fault::TimeStands => 1_700_000_000,
            Fault::TimeBackwards => {
                *clock -= 1;
                *clock
            }
            _ => now,
        }
    }

    fn cosign(&self, text: &str) -> SignatureLine {
        let time = self.time();
        let key = match self.fault {
            Fault::OtherKey => SigningKey::cosigner("other.example", [3; 32]).unwrap(),
            _ => self.key.clone(),
        };
        let signed = match self.fault {
            Fault::WrongSignature => b"something else".to_vec(),
            _ => cosignature_message(text, time),
        };
        let signature = key.sign_bytes(&signed).unwrap();
        let blob = [&time.to_be_bytes()[..], &signature].concat();
        SignatureLine::new(key.name(), key.verifier().key_id(), blob).unwrap()
    }

    /// The second line, by the ML-DSA key.
    fn second(&self, text: &str, first: &SignatureLine) -> Option<SignatureLine> {
        let fault = self.fault;
        let twice = fault.is_of_subtrees() && fault != Fault::SubtreeSecondKey;
        twice.then(|| second(text, first, &self.subtree_key).unwrap())
    }

    pub(super) fn stored(&self, origin: &str) -> (u64, Hash) {
        let known = self.known.lock().unwrap();
        known
            .get(origin)
            .map_or((0, empty_root()), |known| (known.size, known.root))
    }

    fn mark(&self, request: &AddCheckpoint, new: &ForeignCheckpoint) -> String {
        let line = self.cosign(request.checkpoint.text());
        let second = self.second(request.checkpoint.text(), &line);
        let own = |line: &&SignatureLine| {
            self.logs
                .get(&new.origin)
                .is_some_and(|key| key.key_id() == line.key_id())
        };
        let lines: Vec<String> = request
            .checkpoint
            .signatures()
            .iter()
            .filter(|line| self.is(Fault::MonitorsStrangers) || own(line))
            .filter(|_| !self.is(Fault::MonitorsWithoutLog))
            .chain([&line])
            .chain(&second)
            .map(ToString::to_string)
            .collect();
        let note = format!("{}\n{}\n", request.checkpoint.text(), lines.join("\n"));
        let (size, root) = (new.size, new.root);
        let answer = match self.fault {
            Fault::WholeNote => note.clone(),
            _ => [Some(line), second]
                .into_iter()
                .flatten()
                .map(|line| format!("{line}\n"))
                .collect(),
        };
        let mut known = self.known.lock().unwrap();
        known.insert(new.origin.clone(), Known { size, root, note });
        answer
    }
}

/// A proof line as a strict reader wants it.
fn canonical(line: &str) -> String {
    let bare = line.trim_end_matches('=');
    let last = bare.chars().last().filter(|_| bare.len() == 43);
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    match last.and_then(|last| ALPHABET.find(last)) {
        Some(at) => format!("{}{}=", &bare[..42], &ALPHABET[at / 4 * 4..at / 4 * 4 + 1]),
        None => line.to_owned(),
    }
}

async fn add(State(witness): State<Arc<Witness>>, body: Bytes) -> Response {
    let (request, new) = match witness.judge(&body) {
        Ok(judged) => judged,
        Err(refusal) => return refusal.into_response(),
    };
    let refused = |(status, why): Refusal| match why.strip_prefix('=') {
        None => (status, why).into_response(),
        Some(size) => {
            let kind = match witness.fault {
                Fault::ConflictCharset => "text/x.tlog.size; charset=utf-8",
                _ => SIZE_CONTENT_TYPE,
            };
            let end = if witness.is(Fault::ConflictWithoutLineFeed) {
                ""
            } else {
                "\n"
            };
            (
                status,
                [(header::CONTENT_TYPE, kind)],
                format!("{size}{end}"),
            )
                .into_response()
        }
    };
    if witness.is(Fault::SubtreeBesideGrowth) {
        witness.growing.store(true, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(200)).await;
        witness.growing.store(false, Ordering::SeqCst);
    }
    if witness.is(Fault::NotAtomic) {
        let stored = witness.stored(&new.origin);
        if let Err(refusal) = witness.consistent(&request, &new, stored) {
            return refused(refusal);
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
        return witness.mark(&request, &new).into_response();
    }
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap();
    let stored = witness.stored(&new.origin);
    match witness.consistent(&request, &new, stored) {
        Ok(()) => witness.mark(&request, &new).into_response(),
        Err((StatusCode::CONFLICT, why))
            if witness.is(Fault::ForkIsTyped409) && !why.starts_with('=') =>
        {
            (
                StatusCode::CONFLICT,
                [(header::CONTENT_TYPE, SIZE_CONTENT_TYPE)],
                format!("{}\n", stored.0),
            )
                .into_response()
        }
        Err(refusal) => refused(refusal),
    }
}

async fn monitor(State(witness): State<Arc<Witness>>, Path(hash): Path<String>) -> Response {
    if witness.is(Fault::MonitorsEverything) {
        return "something\n".into_response();
    }
    let known = witness.known.lock().unwrap();
    let mut all = known.iter();
    let found = all.find(|(origin, _)| sha256(origin.as_bytes()).to_hex() == hash);
    match found.filter(|_| !witness.is(Fault::MonitorsNothing)) {
        Some((_, known)) => known.note.clone().into_response(),
        None => (StatusCode::NOT_FOUND, "nothing\n").into_response(),
    }
}
