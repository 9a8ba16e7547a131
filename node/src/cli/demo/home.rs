//! The directory that the demo lives in: its own, for this user only, because it holds unencrypted keys. Gone when dropped.

use crate::exit::{Code, Failure};
use belfry_protocol::hex;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Attempts to remove it: what still writes into it can make one fail.
const REMOVALS: usize = 20;
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Home(PathBuf);

impl Home {
    /// Makes it, under a name that nobody can have made before.
    pub(super) fn make() -> Result<Self, Failure> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
        let name = format!("belfry-demo-{}", hex::encode(&random));
        let path = std::path::absolute(std::env::temp_dir())?.join(name);
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| {
            Failure::new(Code::Io, format!("cannot make {}: {error}", path.display()))
                .hint("set TMPDIR to a directory that this user may write to")
        })?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for _ in 0..REMOVALS {
            let _ = fs::remove_dir_all(&self.0);
            if !self.0.exists() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }
}
