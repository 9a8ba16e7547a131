//! What the demo plays. On a thread of its own: the main one waits for signals, and cleans up.

use super::children::Children;
use super::cluster::{Cluster, NAMES};
use super::entries::{append, list, mirrored, number, one_by_one, prove, text};
use super::fork::Caught;
use super::proof::{Found, shortened, tampered};
use crate::cli::args::{DemoArgs, TransportArg};
use crate::cli::output::Output;
use crate::exit::{Code, Failure};
use crate::net::Transport;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The tower that is killed.
const VICTIM: usize = 3;
/// Pause between two looks at the processes while the demo serves.
const LOOK: Duration = Duration::from_millis(100);

/// What the acts work with.
pub(super) struct Play {
    pub(super) out: Output,
    pub(super) args: DemoArgs,
    pub(super) home: PathBuf,
    pub(super) children: Arc<Children>,
    /// Everything was shown; whoever stops it now stops nothing half done.
    pub(super) serving: AtomicBool,
}

/// A receipt as a file, and the policy that it is verified with as another.
struct Files {
    index: u64,
    receipt: PathBuf,
    policy: PathBuf,
}

impl Files {
    fn verify(&self) -> Result<Found, Failure> {
        let (receipt, policy) = (std::fs::read(&self.receipt)?, std::fs::read(&self.policy)?);
        Found::by(&receipt, &policy)
    }
}

impl Play {
    pub(super) fn acts(&self) -> Result<(), Failure> {
        // Before any process is started.
        let list = list(&self.args.dir)?;
        let mut cluster = self.found()?;
        let dir = &self.args.dir;
        let last = append(&cluster, dir, &list)?;
        let acked = cluster.wait(0, "has its entries acknowledged", |status| {
            number(status, "acked_size") > last
        })?;
        self.say(format!(
            "3. {} files of {} are in its ledger, on a quorum of towers and acknowledged, {} ms after they were durable",
            list.len(),
            dir.display(),
            acked.as_millis()
        ));
        let files = self.hand_out(&cluster, last)?;
        let refusal = self.prove(&files)?;
        let latencies = self.outage(&mut cluster)?;
        let caught = match self.args.without_thief {
            true => None,
            false => Some(self.catch(&cluster)?),
        };

        let found = files.verify()?;
        let proved = &found.receipt.proved;
        let origin = &proved.checkpoint.origin;
        let text = format!(
            "proved: entry {} of {origin}, acknowledged by {} of {} towers ({} needed), verified offline",
            proved.index,
            found.towers.len(),
            found.of,
            found.needed
        );
        let json = json!({
            "name": origin, "files": list.len(), "index": proved.index, "federation": cluster.id,
            "acknowledged_by": found.towers, "towers": found.of, "quorum": found.needed,
            "tampered_refused": refusal.code == Code::VerificationFailed, "ack_ms": latencies,
            "receipt": std::fs::read_to_string(&files.receipt)?, "policy": std::fs::read_to_string(&files.policy)?,
            "fork": caught.as_ref().map(Caught::to_json), "manifest": cluster.manifest,
        });
        let text = match &caught {
            Some(caught) => format!("{text}\ncaught: {}", caught.sentence()),
            None => text,
        };
        self.out.try_result(&text, &json)?;
        self.farewell(&cluster, &files, caught.as_ref());
        Ok(())
    }

    pub(super) fn say(&self, text: impl AsRef<str>) {
        self.out.say(text);
    }

    fn found(&self) -> Result<Cluster, Failure> {
        let began = Instant::now();
        let transport = match self.args.transport {
            TransportArg::Tcp => Transport::Tcp,
            TransportArg::Quic => Transport::Quic,
            TransportArg::Both => Transport::Both,
        };
        let with_thief = !self.args.without_thief;
        let cluster = Cluster::found(&self.home, transport, &self.children, with_thief)?;
        self.say(format!(
            "1. A federation was founded: {} members signed its manifest, and {} of them run here\n   id {}",
            cluster.nodes.len() + usize::from(with_thief),
            cluster.nodes.len(),
            cluster.id
        ));
        for node in &cluster.nodes {
            self.say(format!(
                "   {}, {}\n      directory {}\n      http      {}",
                node.name,
                node.role(),
                node.layout.dir().display(),
                node.address
            ));
            for address in &node.peer_addresses {
                self.say(format!("      peer      {address}"));
            }
        }
        let quorum = cluster.quorum;
        self.say(format!(
            "   {} of {} towers make a quorum",
            quorum.needed, quorum.towers
        ));
        cluster.wait(0, "is active", |status| text(status, "phase") == "active")?;
        self.say(format!(
            "2. The factory asked its towers what they know of it, and may sign: {} ms after the start",
            began.elapsed().as_millis()
        ));
        Ok(cluster)
    }

    /// Writes the receipt of an entry, and the policy.
    fn hand_out(&self, cluster: &Cluster, index: u64) -> Result<Files, Failure> {
        let files = Files {
            index,
            receipt: self.home.join(format!("entry-{index}.tlog-proof")),
            policy: self.home.join("demo.policy"),
        };
        let proof = prove(cluster, index)?;
        std::fs::write(&files.receipt, &proof)?;
        std::fs::write(&files.policy, &cluster.policy)?;
        self.say(format!(
            "4. The receipt of entry {index}, one file of {} bytes:\n",
            proof.len()
        ));
        for line in proof.lines() {
            self.say(format!("   {}", shortened(line)));
        }
        Ok(files)
    }

    /// Verifies the files, and returns why an altered receipt is refused.
    fn prove(&self, files: &Files) -> Result<Failure, Failure> {
        let found = files.verify()?;
        let proved = &found.receipt.proved;
        if proved.index != files.index {
            return Err(Failure::new(
                Code::VerificationFailed,
                format!("the receipt proves entry {}", proved.index),
            ));
        }
        self.say(format!(
            "\n5. The file alone, with the policy that follows from the manifest, proves:\n   entry {} of {} is {}\n   It carries {}; {} are needed",
            proved.index,
            proved.checkpoint.origin,
            shortened(&String::from_utf8_lossy(&found.receipt.entry)),
            found.towers.join(", "),
            found.needed
        ));
        let (receipt, policy) = (
            std::fs::read_to_string(&files.receipt)?,
            std::fs::read(&files.policy)?,
        );
        let Err(refusal) = Found::by(tampered(&receipt).as_bytes(), &policy) else {
            return Err(Failure::new(
                Code::VerificationFailed,
                "an altered receipt was accepted",
            ));
        };
        self.say(format!("   With one changed byte it is refused: {refusal}"));
        Ok(refusal)
    }

    /// Kills a tower, goes on without it, and starts it again; the milliseconds that each ack took meanwhile, sorted.
    fn outage(&self, cluster: &mut Cluster) -> Result<Vec<u64>, Failure> {
        self.children.kill(VICTIM);
        let latencies = one_by_one(cluster, 20)?;
        self.say(format!(
            "6. {} was killed, and acks go on: {} entries, each acknowledged after {} ms (median), {} ms (worst)",
            NAMES[VICTIM],
            latencies.len(),
            latencies[latencies.len() / 2],
            latencies.last().copied().unwrap_or(0)
        ));
        let size = cluster
            .status(0)
            .map_or(0, |status| number(&status, "acked_size"));
        cluster.start(VICTIM)?;
        // It acks again once the others told it what they saw (R3).
        let caught_up = cluster.wait(VICTIM, "has caught up", |status| {
            mirrored(status) >= size && text(status, "phase") == "tower"
        })?;
        self.say(format!(
            "7. {} was started again, now on {}, and has caught up with {size} entries after {} ms",
            NAMES[VICTIM],
            cluster.nodes[VICTIM].address,
            caught_up.as_millis()
        ));
        Ok(latencies)
    }

    /// Says how to verify and where to look around, and serves for that unless asked not to.
    fn farewell(&self, cluster: &Cluster, files: &Files, caught: Option<&Caught>) {
        if self.args.exit_after_proof {
            self.say("\nWithout --exit-after-proof the receipt and its policy stay, and the federation serves, until Ctrl-C.");
            return;
        }
        self.say(format!(
            "\nVerify the receipt yourself:\n   belfry audit verify {} --policy {}",
            files.receipt.display(),
            files.policy.display()
        ));
        if let Some(caught) = caught {
            self.say(format!(
                "and the proof against whoever holds the workshop's key:\n   belfry audit verify {} --genesis {}\nThis ledger never goes on; `belfry demo --without-thief` leaves one that does.",
                caught.file.display(),
                cluster.nodes[0].layout.genesis().display()
            ));
        }
        self.say(format!(
            "The federation keeps running until Ctrl-C. Look around, e.g.:\n   belfry status --watch --data-dir {}",
            cluster.nodes[0].layout.dir().display()
        ));
        self.serve(cluster);
    }

    /// Serves until a signal ends the processes, and says when one ends by itself.
    fn serve(&self, cluster: &Cluster) {
        self.serving.store(true, Ordering::Relaxed);
        while self.children.check_open().is_ok() {
            for (number, node) in cluster.nodes.iter().enumerate() {
                if let Some(status) = self.children.ended(number) {
                    self.say(format!(
                        "{} died ({status}); start it again with `belfry run --data-dir {}`",
                        node.name,
                        node.layout.dir().display()
                    ));
                }
            }
            std::thread::sleep(LOOK);
        }
    }
}
