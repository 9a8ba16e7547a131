//! The demo's last act: a thief shows one tower another tree, and everybody has the proof. What is shown of it comes from the
//! towers' own directories.

use super::acts::Play;
use super::cluster::{Cluster, NAMES, THIEF};
use super::entries::text;
use crate::disk::RealDisk;
use crate::exit::{Code, Failure};
use crate::forks::{self, KeptFork};
use crate::store::Reader;
use belfry_protocol::fork::ForkProof;
use belfry_protocol::manifest::{Federation, SignedManifest};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The tower that is lied to.
const VICTIM: usize = 1;
/// The tower whose copy of the proof is verified: it never met the thief.
const WITNESS: usize = 2;

/// A liar caught.
pub(super) struct Caught {
    fork: KeptFork,
    found_after: Duration,
    /// The proof as a file.
    pub(super) file: PathBuf,
}

impl Caught {
    pub(super) fn to_json(&self) -> Value {
        let mut json = self.fork.to_json();
        if let Value::Object(fields) = &mut json {
            let millis = u64::try_from(self.found_after.as_millis()).unwrap_or(u64::MAX);
            fields.insert("found_by".to_owned(), json!(NAMES[VICTIM]));
            fields.insert("found_after_ms".to_owned(), json!(millis));
            fields.insert("file".to_owned(), json!(self.fork.file));
        }
        json
    }

    pub(super) fn sentence(&self) -> String {
        format!(
            "{}; every node has the proof, verified offline",
            self.fork.sentence()
        )
    }
}

fn knows_a_fork(status: &Value) -> bool {
    status
        .get("forks")
        .and_then(Value::as_array)
        .is_some_and(|forks| !forks.is_empty())
}

impl Play {
    /// A member that holds the factory's log key lies to one tower, and is caught.
    pub(super) fn catch(&self, cluster: &Cluster) -> Result<Caught, Failure> {
        self.say(format!(
            "8. {THIEF}, a member too, got hold of the log key of {}. It rewrote an entry,\n   signed that, and shows it to {} alone",
            NAMES[0], NAMES[VICTIM]
        ));
        cluster.let_steal(VICTIM)?;
        let found_after = cluster
            .wait(VICTIM, "has found a fork", knows_a_fork)
            .map_err(|failure| failure.hint(cluster.thief_said()))?;
        self.say(format!(
            "9. {} held entries that the new tree does not begin with, asked for the proof, and recomputed\n   both roots: a fork, {} ms after the thief was started. Everybody was told:",
            NAMES[VICTIM],
            found_after.as_millis()
        ));
        for (number, name) in NAMES.iter().enumerate() {
            let told = cluster.wait(number, "was told of the fork", knows_a_fork)?;
            let status = cluster.status(number).unwrap_or_default();
            let now = match number {
                0 => format!(
                    "signs nothing any more ({})",
                    shorter(text(&status, "phase"))
                ),
                _ => "acknowledges nothing of it any more".to_owned(),
            };
            self.say(format!(
                "   {name} has the proof {}, and {now}",
                after(told)
            ));
        }
        self.children.kill(NAMES.len());
        let layout = cluster.nodes[WITNESS].layout.clone();
        let fork = forks::find(&Reader::open(layout, Arc::new(RealDisk))?, None)?;
        let file = self.home.join("fork.json");
        std::fs::write(&file, &fork.file)?;
        verify(&fork.file, &cluster.manifest)?;
        self.say(format!(
            "10. The proof out of {}'s ledger, {} bytes, verifies offline with nothing but the manifest:\n   {}",
            NAMES[WITNESS],
            fork.file.len(),
            fork.sentence()
        ));
        Ok(Caught {
            fork,
            found_after,
            file,
        })
    }
}

fn after(told: Duration) -> String {
    match told.as_millis() {
        0..50 => "already".to_owned(),
        more => format!("after {more} ms"),
    }
}

fn shorter(phase: &str) -> &str {
    phase.split(',').next().unwrap_or(phase)
}

/// As an auditor would: the manifest names the identity key, the proof carries the certificates up to it.
fn verify(file: &str, manifest: &str) -> Result<(), Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::new(Code::VerificationFailed, format!("the fork proof: {error}"))
    };
    let founded = SignedManifest::parse(manifest.as_bytes())
        .map_err(|error| wrong(&error))?
        .verify_founding()
        .map_err(|error| wrong(&error))?;
    let federation = Federation::from(founded);
    let accused = federation.member(NAMES[0]).map(|(_, member)| member);
    let accused = accused.ok_or_else(|| wrong(&"it accuses a stranger"))?;
    ForkProof::parse(file.as_bytes())
        .map_err(|error| wrong(&error))?
        .verify(std::slice::from_ref(&accused.identity))
        .map_err(|error| wrong(&error))?;
    Ok(())
}
