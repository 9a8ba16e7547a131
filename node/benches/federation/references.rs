//! What every figure is compared with, measured in the same run: one sync of the slow disk, one strict signature check
//! of 300 bytes, and how fast two bare transports echo gossip.

use crate::SYNC;
use crate::gossip;
use belfry_node::disk::{Disk, FixedSyncDisk};
use belfry_protocol::note::SigningKey;
use std::time::Instant;

const SYNCS: usize = 51;
const VERIFIES: usize = 5_001;
/// About the length of a signed digest.
pub(crate) const MESSAGE_BYTES: usize = 300;

pub(crate) struct References {
    /// One sync, in seconds.
    sync: f64,
    /// One signature check, in seconds.
    verify: f64,
    /// Gossip echoes per second.
    echo: f64,
}

impl References {
    pub(crate) fn measure() -> Self {
        let disk = FixedSyncDisk { sync: SYNC };
        let sync = median(SYNCS, || disk.database_synced());

        let key = SigningKey::ed25519("bench.example/reference", [7; 32]).unwrap();
        let message = [b'm'; MESSAGE_BYTES];
        let signature = key.sign_bytes(&message).unwrap();
        let verify = median(VERIFIES, || {
            assert!(key.verifier().verify_bytes(&message, &signature));
        });

        let echo = gossip::echo_rate();
        println!(
            "references: a sync takes {:.2} ms; a strict Ed25519 check of {MESSAGE_BYTES} bytes {:.1} µs ({:.0}/s); two bare transports echo {echo:.0} gossip messages/s of {MESSAGE_BYTES} bytes",
            sync * 1e3,
            verify * 1e6,
            1.0 / verify
        );
        Self { sync, verify, echo }
    }

    /// A rate beside the references.
    pub(crate) fn rate(&self, per_second: f64) -> String {
        format!(
            "{:.1} per sync, {:.3} of the check rate, {:.3} of the echo rate",
            per_second * self.sync,
            per_second * self.verify,
            per_second / self.echo
        )
    }

    /// A time beside the references.
    pub(crate) fn time(&self, seconds: f64) -> String {
        format!(
            "{:.1} ms = {:.1} syncs, {:.0} checks, {:.0} echoes",
            seconds * 1e3,
            seconds / self.sync,
            seconds / self.verify,
            seconds * self.echo
        )
    }

    /// One signature check, in seconds.
    pub(crate) fn check_seconds(&self) -> f64 {
        self.verify
    }
}

/// Seconds that `work` takes: the median, because other processes come in between.
fn median(count: usize, work: impl Fn()) -> f64 {
    let mut times: Vec<f64> = (0..count)
        .map(|_| {
            let began = Instant::now();
            work();
            began.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[count / 2]
}
