//! Key files: who may read them, whether the certificates hold, and how long they last. Unlocks nothing.

use super::{Check, Patient, State};
use crate::clock;
use belfry_keys::{KeyDir, RotationLevel, RotationState};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Bits of a mode that let anybody but the owner in.
const OTHERS: u32 = 0o077;

pub(super) fn checks(patient: &Patient<'_>) -> Vec<Check> {
    vec![modes(&patient.layout.keys()), lasting(patient)]
}

/// Neither the directory nor a secret in it may be open to others.
fn modes(keys: &Path) -> Check {
    const NAME: &str = "keys.modes";
    let mode = |path: &Path| fs::metadata(path).map(|found| found.permissions().mode() & 0o7777);
    let listed = mode(keys).and_then(|mode| Ok((mode, fs::read_dir(keys)?)));
    let (dir_mode, listed) = match listed {
        Ok(found) => found,
        Err(error) => {
            return Check::fail(NAME, format!("cannot read {}: {error}", keys.display()))
                .remedy("run as the user that owns the data directory; without keys/ the node cannot start: put its backup back");
        }
    };
    let (mut open, mut secrets, mut worst) = (Vec::new(), 0, State::Pass);
    let mut tell = |path: &Path, mode: u32, state: State| {
        open.push(format!("{} has mode {mode:04o}", path.display()));
        worst = worst.max(state);
    };
    if dir_mode & OTHERS != 0 {
        tell(keys, dir_mode, State::Fail);
    }
    for path in listed.flatten().map(|entry| entry.path()) {
        let kind = path
            .extension()
            .and_then(|kind| kind.to_str())
            .unwrap_or("");
        if matches!(kind, "pub" | "note") {
            continue;
        }
        secrets += 1;
        match mode(&path) {
            // An encrypted key is worth its passphrase to whoever has a copy.
            Ok(mode) if mode & OTHERS != 0 && kind == "age" => tell(&path, mode, State::Warn),
            Ok(mode) if mode & OTHERS != 0 => tell(&path, mode, State::Fail),
            Ok(_) => {}
            Err(error) => {
                let seen = format!("cannot look at {}: {error}", path.display());
                return Check::fail(NAME, seen)
                    .remedy("run as the user that owns the data directory");
            }
        }
    }
    if open.is_empty() {
        let seen = format!("keys/ and its {secrets} secret files are for their owner only");
        return Check::pass(NAME, seen);
    }
    Check::new(NAME, worst, open.join("; ")).remedy(format!(
        "chmod -R go= {}; if others had access to this machine, take the keys as known and rotate them",
        keys.display()
    ))
}

fn lasting(patient: &Patient<'_>) -> Check {
    const NAME: &str = "keys.certificates";
    let Some(config) = patient.config else {
        return Check::unknown(NAME, "the name is not known without a valid config.toml");
    };
    let chain = match KeyDir::public_chain(patient.layout.dir(), &config.name) {
        Ok(chain) => chain,
        Err(error) => {
            return Check::fail(NAME, error.to_string())
                .remedy("put the newest backup of keys/ back; `belfry key list` says more");
        }
    };
    let Some(newest) = chain.last() else {
        return Check::fail(NAME, "there is no certificate")
            .remedy("put the newest backup of keys/ back");
    };
    let now_seconds = u64::try_from(clock::wall().seconds()).unwrap_or(0);
    let RotationState { days_left, level } =
        RotationState::at(newest.not_after_seconds, now_seconds);
    let age = now_seconds.saturating_sub(newest.not_before_seconds) / 86_400;
    let seen = format!(
        "serial {} is {age} days old and valid for {days_left} more days",
        newest.serial
    );
    let remedy = "belfry key rotate: keys are valid for 90 days, and sign nothing after that";
    match level {
        RotationLevel::Ok => Check::pass(NAME, seen),
        RotationLevel::Warning | RotationLevel::Critical => Check::warn(NAME, seen).remedy(remedy),
        RotationLevel::Expired => {
            Check::fail(NAME, format!("serial {} has expired", newest.serial)).remedy(remedy)
        }
    }
}
