//! Where each foreign witness stands, for `status`, `/api/v1/witnesses`, metrics and alarms. May not ask a witness anything.

use super::evidence::Evidence;
use super::exchange::Outcome;
use super::kept::{self, Kept};
use super::source::Digest;
use crate::clock;
use crate::disk::Disk;
use crate::exit::Failure;
use crate::member::Alarms;
use crate::node::Node;
use crate::store::Layout;
use crate::writer::Writer;
use belfry_protocol::entry::time::TimeUs;
use belfry_protocol::fork::ForkProof;
use belfry_protocol::policy::Witness;
use belfry_protocol::tlog::hash::sha256;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Kind of the alarm about a refusal.
const REFUSED: &str = "foreign-witness-refused";
/// Kind of the alarm about a fork that a witness showed.
const FORK: &str = "foreign-witness-fork";

/// How a witness answered last.
#[derive(Clone, Debug)]
struct Last {
    state: &'static str,
    detail: String,
    at: TimeUs,
}

#[derive(Default)]
struct State {
    kept: Kept,
    last: BTreeMap<String, Last>,
    counts: BTreeMap<(String, &'static str), u64>,
}

/// What is known of all witnesses of the policy.
pub(crate) struct Board {
    layout: Layout,
    disk: Arc<dyn Disk>,
    submits: bool,
    writer: Writer,
    state: Mutex<State>,
    writing: Mutex<()>,
    alarms: Arc<Alarms>,
}

impl Board {
    /// Reads the policy and what was kept.
    ///
    /// # Errors
    /// When the policy is not usable.
    pub(crate) fn open(node: &Node) -> Result<Self, Failure> {
        let kept = Kept::load(&node.layout, &node.config, &node.log_keys())?;
        let alarms = node.membership().map(|(_, link)| link.alarms_cell());
        Ok(Self {
            layout: node.layout.clone(),
            disk: node.disk(),
            submits: kept.is_some(),
            writer: node.writer().clone(),
            state: Mutex::new(State {
                kept: kept.unwrap_or_default(),
                ..State::default()
            }),
            writing: Mutex::default(),
            alarms: alarms.unwrap_or_default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything is submitted.
    pub(crate) fn submits(&self) -> bool {
        self.submits
    }

    /// Its alarms; those of a member are the member's.
    pub(crate) fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// Witnesses with an address, and the address without a slash at its end.
    pub(super) fn reachable(&self) -> Vec<(Witness, String)> {
        let state = self.state();
        let all = state.kept.policy().witnesses().iter();
        all.filter_map(|witness| {
            let url = witness.url.as_ref()?.trim_end_matches('/').to_owned();
            Some((witness.clone(), url))
        })
        .collect()
    }

    /// Size that a witness cosigned last, as far as it is kept.
    pub(super) fn last_size(&self, name: &str) -> Option<u64> {
        let state = self.state();
        let mut all = state.kept.policy().witnesses().iter();
        let witness = all.find(|witness| witness.name == name)?;
        state.kept.newest_of(witness).map(|(size, _)| size)
    }

    /// Notes how a witness answered; blocks on the disk.
    pub(super) fn note(
        &self,
        name: &str,
        digest: &Digest,
        outcome: Outcome,
        evidence: Option<Evidence>,
    ) {
        let (state, detail) = match &outcome {
            Outcome::Cosigned { .. } => ("cosigned", String::new()),
            Outcome::Behind { size } => ("cosigned", format!("it holds {size} entries already")),
            Outcome::Refused { text } => ("refused", text.clone()),
            Outcome::Ahead { size } => (
                "refused",
                format!("it says that it cosigned {size} entries, which were never signed here"),
            ),
            Outcome::Unknown { text } => ("unknown", text.clone()),
            Outcome::Busy { text, .. } => ("busy", text.clone()),
            Outcome::Failed { text } => ("failed", text.clone()),
        };
        let before = self.state().last.get(name).cloned();
        match outcome {
            Outcome::Cosigned { lines } => {
                if before.is_none_or(|before| before.state != "cosigned") {
                    tracing::info!(
                        witness = name,
                        size = digest.size,
                        "a foreign witness cosigned"
                    );
                }
                self.keep(digest, lines);
            }
            Outcome::Behind { .. } => {}
            Outcome::Refused { .. } | Outcome::Ahead { .. } => {
                // Once for each reason, not at every retry.
                if before.is_none_or(|before| (before.state, &before.detail) != (state, &detail)) {
                    self.alarm(name, digest, &detail, evidence);
                }
            }
            Outcome::Unknown { .. } => {
                if before.is_none_or(|before| before.detail != detail) {
                    tracing::warn!(
                        witness = name,
                        %detail,
                        "a foreign witness does not take this ledger; its operator must configure it with `belfry key export`"
                    );
                }
            }
            Outcome::Busy { .. } | Outcome::Failed { .. } => {
                if before.is_none_or(|before| before.detail != detail) {
                    tracing::warn!(witness = name, %detail, "a foreign witness did not cosign; it is tried again");
                }
            }
        }
        self.write_down(name, state, detail);
    }

    /// Notes the newest state of a witness: last of all, so that whoever sees it sees its alarm, too.
    fn write_down(&self, name: &str, state: &'static str, detail: String) {
        let mut all = self.state();
        *all.counts.entry((name.to_owned(), state)).or_default() += 1;
        let at = clock::wall();
        all.last.insert(name.to_owned(), Last { state, detail, at });
    }

    fn keep(&self, digest: &Digest, lines: Vec<belfry_protocol::note::SignatureLine>) {
        // Held while it is written, so that an older text never replaces a newer one; nobody who only reads waits for it.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let text = {
            let mut state = self.state();
            state.kept.merge(digest.size, &digest.note, lines);
            state.kept.text()
        };
        if let Err(error) = kept::write(&self.layout, self.disk.as_ref(), &text) {
            tracing::warn!(%error, "what foreign witnesses cosigned could not be kept; it is asked for again after a restart");
        }
    }

    fn alarm(&self, name: &str, digest: &Digest, detail: &str, evidence: Option<Evidence>) {
        let size = digest.size;
        let shown = match evidence {
            Some(Evidence::Fork(proof)) => return self.fork(name, size, &proof),
            Some(Evidence::Larger(larger)) => {
                format!("It shows a digest of {larger} entries under this ledger's key. ")
            }
            Some(Evidence::Same(same)) => format!(
                "It shows a digest of {same} entries that this ledger holds, too, so nothing speaks for a fork. "
            ),
            None => String::new(),
        };
        self.alarms.raise(
            REFUSED,
            format!(
                "A foreign witness refuses this ledger. It is {name}, a digest of {size} entries was submitted, and {detail}. \
                 {shown}Ask its operator what it holds, and find out whether anybody else signs with this node's key."
            ),
        );
    }

    /// Keeps the proof, calls a human, and hands it to the engine: it stops signing, and a member tells everybody (R3, R5).
    fn fork(&self, name: &str, size: u64, proof: &ForkProof) {
        let json = proof.to_json();
        let file = format!("fork-{}.json", &sha256(json.as_bytes()).to_hex()[..16]);
        let path = self.layout.dir().join("proof").join(file);
        // It verified under this ledger's keys; the engine judges it again, and never signs again (R3).
        self.writer.own_fork(proof.clone());
        let place = match kept::replace(self.disk.as_ref(), &path, json.as_bytes()) {
            Ok(()) => format!("The proof is {}", path.display()),
            Err(error) => format!("The proof could not be kept ({error})"),
        };
        self.alarms.raise(
            FORK,
            format!(
                "Two digests under this ledger's key cannot both be true. One is this ledger's of {size} entries, the other \
                 was cosigned by the foreign witness {name}. {place}. This node signs nothing any more: show the proof to \
                 whoever relies on the ledger, and find out who else signs with this node's key."
            ),
        );
    }

    /// Submissions so far, by witness and how they ended.
    pub(crate) fn counts(&self) -> BTreeMap<(String, &'static str), u64> {
        self.state().counts.clone()
    }

    /// Newest cosigned size of each witness.
    pub(crate) fn sizes(&self) -> Vec<(String, u64)> {
        let state = self.state();
        let all = state.kept.policy().witnesses().iter();
        all.map(|one| {
            let size = state.kept.newest_of(one).map_or(0, |(size, _)| size);
            (one.name.clone(), size)
        })
        .collect()
    }

    /// Everything, as `/api/v1/witnesses` answers it.
    pub(crate) fn json(&self) -> Value {
        let state = self.state();
        let kept = &state.kept;
        let witnesses = kept.policy().witnesses().iter().map(|witness| {
            let last = state.last.get(&witness.name);
            let newest = kept.newest_of(witness);
            json!({
                "name": witness.name, "vkey": witness.key.to_string(), "url": witness.url,
                "state": last.map_or(if witness.url.is_some() { "waiting" } else { "no address" }, |last| last.state),
                "detail": last.map(|last| last.detail.as_str()).filter(|detail| !detail.is_empty()),
                "at": last.map(|last| last.at.to_string()),
                "size": newest.map(|(size, _)| size), "time_seconds": newest.map(|(_, time)| time),
            })
        });
        let witnesses: Vec<Value> = witnesses.collect();
        let witnessed = kept
            .witnessed()
            .map(|(size, note)| json!({ "size": size, "note": note.to_string() }));
        json!({ "witnesses": witnesses, "quorum": kept.policy().quorum(), "witnessed": witnessed })
    }
}
