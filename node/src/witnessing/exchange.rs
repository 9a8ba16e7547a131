//! One submission to one witness: `add-checkpoint` from the size it cosigned last, once more from the size a conflict
//! names, and the check of what it answers. May not use a line before it verified.

use super::evidence::{self, Evidence};
use super::source::{Digest, Source};
use crate::web::{Answer, Web};
use belfry_protocol::cosignature;
use belfry_protocol::note::{SignatureLine, VerifierKey};
use belfry_protocol::witness::{
    AddCheckpoint, MAX_SENT_BYTES, SIZE_CONTENT_TYPE, parse_conflict, parse_cosignatures,
};
use reqwest::Method;

/// Requests of one submission: the size that is remembered, the one a conflict names, and one more if another process
/// of the same operator submits, too.
const ATTEMPTS: usize = 3;
/// Characters of an answer that are shown to people.
const SHOWN: usize = 120;

/// One witness and the way to it.
pub(super) struct Exchange {
    pub(super) web: Web,
    /// Its submission prefix, without a slash at the end.
    pub(super) url: String,
    pub(super) key: VerifierKey,
    pub(super) source: Source,
}

/// What came of a submission.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It cosigned.
    Cosigned {
        /// Its lines, each verified.
        lines: Vec<SignatureLine>,
    },
    /// It cosigned a newer digest of this node already.
    Behind {
        /// The size of that.
        size: u64,
    },
    /// It says that the digest contradicts what it cosigned.
    Refused {
        /// Its words.
        text: String,
    },
    /// It says that it cosigned more than this node ever signed.
    Ahead {
        /// The size it names.
        size: u64,
    },
    /// It does not know the ledger or its key.
    Unknown {
        /// Its words.
        text: String,
    },
    /// It has no time.
    Busy {
        /// Its words.
        text: String,
        /// Seconds it asked to wait.
        retry_after_seconds: Option<u64>,
    },
    /// It did not answer, or made no sense.
    Failed {
        /// Why.
        text: String,
    },
}

impl Outcome {
    /// Seconds that it asked to wait.
    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Busy {
                retry_after_seconds,
                ..
            } => *retry_after_seconds,
            _ => None,
        }
    }
}

impl Exchange {
    /// Submits a digest; `known` is the size that the witness cosigned last, as far as it is known.
    pub(super) async fn submit(&mut self, digest: &Digest, known: &mut Option<u64>) -> Outcome {
        match self.attempts(digest, known).await {
            Ok(outcome) => {
                if matches!(outcome, Outcome::Cosigned { .. }) {
                    *known = Some(digest.size);
                }
                outcome
            }
            Err(text) => Outcome::Failed { text },
        }
    }

    async fn attempts(&self, digest: &Digest, known: &mut Option<u64>) -> Result<Outcome, String> {
        for _ in 0..ATTEMPTS {
            let old = known.unwrap_or(0);
            if old > digest.size {
                return self.larger(old).await;
            }
            let answer = self.ask(digest, old).await?;
            if answer.status != 409 || !answer.is_exactly(SIZE_CONTENT_TYPE) {
                return self.judge(digest, &answer);
            }
            let size = parse_conflict(&answer.body).map_err(|error| error.to_string())?;
            if size == old {
                return Err(format!(
                    "it answered 409 and named the size {size} it was given"
                ));
            }
            *known = Some(size);
        }
        Err("it named another size each time".to_owned())
    }

    async fn ask(&self, digest: &Digest, old: u64) -> Result<Answer, String> {
        let proof = self.source.proof(old, digest.size).await;
        let body = AddCheckpoint {
            old_size: old,
            proof: proof.map_err(|error| error.to_string())?,
            checkpoint: digest.note.clone(),
        };
        let body = body.to_string().into_bytes();
        if body.len() > MAX_SENT_BYTES {
            return Err(format!(
                "a request of {} bytes is more than witnesses take",
                body.len()
            ));
        }
        let url = format!("{}/add-checkpoint", self.url);
        self.web.send(Method::POST, &url, Some(body)).await
    }

    /// The witness cosigned more than what is to be submitted now.
    async fn larger(&self, size: u64) -> Result<Outcome, String> {
        let signed = self.source.signed().await;
        match signed.map_err(|error| error.to_string())? {
            signed if size > signed => Ok(Outcome::Ahead { size }),
            _ => Ok(Outcome::Behind { size }),
        }
    }

    fn judge(&self, digest: &Digest, answer: &Answer) -> Result<Outcome, String> {
        let status = answer.status;
        let text = shown(answer);
        Ok(match status {
            200 => return self.cosigned(digest, &answer.body),
            // 409 without the type of a stale size is how v1.0.0 answers another root of equal size.
            409 | 422 => Outcome::Refused { text },
            400 | 403 | 404 => Outcome::Unknown { text },
            429 | 503 => Outcome::Busy {
                text,
                retry_after_seconds: answer.retry_after_seconds,
            },
            _ => return Err(text),
        })
    }

    /// Takes the lines of the witness's key, and only if each of them verifies.
    fn cosigned(&self, digest: &Digest, body: &[u8]) -> Result<Outcome, String> {
        let nonsense = |error: &dyn std::fmt::Display| format!("its cosignature: {error}");
        let answered = parse_cosignatures(body).map_err(|error| nonsense(&error))?;
        let mut lines = Vec::new();
        for line in answered {
            // C2SP: lines of unknown cosigners are ignored.
            if line.name() != self.key.name() || line.key_id() != self.key.key_id() {
                continue;
            }
            cosignature::verify(digest.note.text(), &line, &self.key)
                .map_err(|error| nonsense(&error))?;
            lines.push(line);
        }
        match lines.is_empty() {
            true => Err(format!(
                "it cosigned, but not with the key {} of the policy",
                self.key
            )),
            false => Ok(Outcome::Cosigned { lines }),
        }
    }

    /// What the witness shows to monitors, held against the ledger.
    pub(super) async fn evidence(&self, digest: &Digest) -> Option<Evidence> {
        evidence::find(&self.web, &self.url, &self.source, digest).await
    }
}

/// An answer as people read it: its status and the first line of its words, without anything unprintable.
fn shown(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let line = text.lines().next().unwrap_or_default();
    let words: String = line
        .chars()
        .filter(|c| !c.is_control())
        .take(SHOWN)
        .collect();
    match words.trim() {
        "" => format!("it answered {}", answer.status),
        words => format!("it answered {}: {words}", answer.status),
    }
}
