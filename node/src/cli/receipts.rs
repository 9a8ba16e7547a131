//! Receipts of what was just appended, one file each. May not wait: the stage was reached before.

use super::context::Context;
use crate::audit::receipt;
use crate::exit::{Code, Failure};
use crate::ingest::Runs;
use crate::ingest::places::MOST_RUNS;
use std::path::Path;

/// Name of the receipt of entry `index`.
fn file_name(index: u64) -> String {
    format!("entry-{index}.tlog-proof")
}

/// Writes the receipt of every entry of `places` into `dir`, which is made if it is not there, and returns how many.
///
/// # Errors
/// When an entry cannot be proved, or a file cannot be written; the entries stay what they are.
pub(super) fn write(context: &Context, dir: &Path, places: &Runs) -> Result<u64, Failure> {
    let runs = places.all().ok_or_else(|| {
        Failure::new(
            Code::Failed,
            format!("the entries lie in more than {MOST_RUNS} separate places; no receipt was written"),
        )
        .hint("they are appended: write single ones with `belfry ledger prove INDEX`, or append smaller inputs")
    })?;
    let failed = |path: &Path, error: std::io::Error| {
        Failure::new(
            Code::Io,
            format!("cannot write {}: {error}", path.display()),
        )
        .hint("the entries are appended; `belfry ledger prove INDEX` writes a receipt at any time")
    };
    std::fs::create_dir_all(dir).map_err(|error| failed(dir, error))?;
    let reader = context.reader()?;
    let keys = context.log_verifiers()?;
    let mut count = 0;
    for index in runs.iter().cloned().flatten() {
        let proof = receipt::make(&reader, index, &keys)?;
        let path = dir.join(file_name(index));
        std::fs::write(&path, proof.to_string()).map_err(|error| failed(&path, error))?;
        count += 1;
    }
    Ok(count)
}

/// How to verify the first of them, for a human.
pub(super) fn next(context: &Context, dir: &Path, places: &Runs) -> String {
    let first = places.all().and_then(|runs| runs.first());
    how_to_verify(
        context,
        &dir.join(file_name(first.map_or(0, |run| run.start))),
    )
}

/// Whether there is a line for more than epoch 0.
fn has_epochs(chain: &[u8]) -> bool {
    let mut lines = chain.split(|byte| *byte == b'\n');
    lines.next().is_some() && lines.any(|line| !line.is_empty())
}

/// The commands that verify the receipt at `path`: against the towers of the federation, or the log's key alone.
pub(super) fn how_to_verify(context: &Context, path: &Path) -> String {
    let (make, option) = match std::fs::read(context.layout.genesis()) {
        // A policy is that of one epoch.
        Ok(chain) if has_epochs(&chain) => (
            "belfry audit history --out ledger.history",
            "--history ledger.history",
        ),
        Ok(_) => (
            "belfry audit policy --out quorum.policy",
            "--policy quorum.policy",
        ),
        Err(_) => ("belfry key export > log.vkey", "--key log.vkey"),
    };
    format!(
        "next: {make}; belfry audit verify {} {option}",
        path.display()
    )
}
