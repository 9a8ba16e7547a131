//! Nodes that found a federation by vote, as processes of the real binary: nobody signs for anybody else.

#![allow(
    clippy::unwrap_used,
    reason = "what a test needs and does not get ends the test"
)]

use crate::ports::free_port;
use crate::process::Noded;
use crate::{Ended, run};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long something that must come may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nodes without a federation; the first is where the draft begins.
pub struct Founders {
    /// The nodes.
    pub nodes: Vec<Noded>,
    home: TempDir,
}

/// A new directory.
fn fresh(home: &TempDir, name: &str, role: &str) -> Noded {
    let dir = home.path().join(name);
    let data = dir.to_string_lossy().into_owned();
    let args = ["init", "--name", name, "--role", role, "--federated"];
    let _ = run(&[&args[..], &["--plain-keys", "-d", &data]].concat()).expect(0);
    let node = Noded {
        name: name.to_owned(),
        port: free_port(),
        log: home.path().join(format!("{name}.log")),
        dir,
        inside: None,
        child: Mutex::default(),
    };
    let file = node.dir.join("config.toml");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace("127.0.0.1:9470", "127.0.0.1:0");
    let net = format!("\n[net]\nlisten = \"127.0.0.1:{}\"\n", node.port);
    fs::write(file, text + &net).unwrap();
    node
}

impl Founders {
    /// New directories: name and role of each.
    ///
    /// # Panics
    /// When `init` fails.
    #[must_use]
    pub fn init(people: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let nodes = people.iter();
        let nodes = nodes.map(|(name, role)| fresh(&home, name, role)).collect();
        Self { nodes, home }
    }

    /// A node is lost with its disk and keys; its operator makes another one of the same name.
    ///
    /// # Panics
    /// When `init` fails.
    pub fn lose(&mut self, number: usize, role: &str) {
        let lost = &self.nodes[number];
        lost.kill();
        fs::remove_dir_all(&lost.dir).unwrap();
        let name = lost.name.clone();
        self.nodes[number] = fresh(&self.home, &name, role);
    }

    /// The same, in one draft: the first began it, the others came with a ticket each. All run.
    ///
    /// # Panics
    /// When somebody does not come in.
    #[must_use]
    pub fn gather(people: &[(&str, &str)]) -> Self {
        Self::gather_first(people, people.len())
    }

    /// The same of the first few; the others have directories.
    ///
    /// # Panics
    /// As [`Founders::gather`].
    #[must_use]
    pub fn gather_first(people: &[(&str, &str)], first: usize) -> Self {
        let founders = Self::init(people);
        let draft = ["genesis", "draft", "--federation", "blue.example"];
        let _ = founders.on(0, &draft).expect(0);
        founders.launch(0);
        for (number, (_, role)) in people.iter().enumerate().take(first).skip(1) {
            let ticket = founders.ticket(&["--role", role]);
            let _ = founders.on(number, &["join", &ticket]).expect(0);
            founders.launch(number);
        }
        let _ = founders.wait(0, "has everybody", |status| {
            let people = status["people"].as_array().map_or(0, Vec::len);
            people == first
        });
        founders
    }

    /// A path beside the data directories.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Starts a node and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    pub fn launch(&self, number: usize) {
        self.nodes[number].launch();
        let _ = self.wait(number, "answers", |_| true);
    }

    /// A ticket of the first node.
    ///
    /// # Panics
    /// When it gives none.
    #[must_use]
    pub fn ticket(&self, options: &[&str]) -> String {
        self.ticket_of(0, options)
    }

    /// A ticket of any node.
    ///
    /// # Panics
    /// When it gives none.
    #[must_use]
    pub fn ticket_of(&self, number: usize, options: &[&str]) -> String {
        let args = [&["invite", "--json"], options].concat();
        let given = self.until(number, &args);
        given["ticket"].as_str().unwrap().to_owned()
    }

    /// Runs a command on a node until it works; returns what it says as JSON.
    ///
    /// # Panics
    /// When it never does.
    pub fn until(&self, number: usize, args: &[&str]) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let ended = self.on(number, args);
            if ended.code == 0 {
                return ended.json();
            }
            assert!(Instant::now() < until, "{args:?}: {ended:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs a command on a node.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn on(&self, number: usize, args: &[&str]) -> Ended {
        let dir = self.nodes[number].dir.to_string_lossy();
        run(&[args, &["--no-input", "-d", &dir]].concat())
    }

    /// How the founding stands at a node, if it answers.
    #[must_use]
    pub fn status(&self, number: usize) -> Option<Value> {
        let ended = self.on(number, &["genesis", "status", "--json"]);
        (ended.code == 0).then(|| ended.json())
    }

    /// Waits until a node says what is right.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait(&self, number: usize, what: &str, right: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let status = self.status(number);
            if let Some(status) = status.as_ref().filter(|status| right(status)) {
                return status.clone();
            }
            assert!(
                Instant::now() < until,
                "{} never {what}: {status:?}\n{}",
                self.nodes[number].name,
                fs::read_to_string(&self.nodes[number].log).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The first node proposes; returns the manifest's hash once every node that runs knows it.
    ///
    /// # Panics
    /// When that does not come.
    pub fn propose(&self, options: &[&str]) -> String {
        let args = [&["genesis", "propose", "--json"], options].concat();
        let hash = self.on(0, &args).expect(0).json()["shown"]
            .as_str()
            .unwrap()
            .to_owned();
        for number in 0..self.nodes.len() {
            if self.nodes[number].child().is_some() {
                let _ = self.wait(number, "knows the proposal", |status| knows(status, &hash));
            }
        }
        hash
    }

    /// A node reviews and signs.
    pub fn sign(&self, number: usize, hash: &str) -> Ended {
        let confirm = format!("0:{}", &hash[..8]);
        self.on(
            number,
            &["genesis", "sign", &hash[..12], "--confirm", &confirm],
        )
    }

    /// A member drafts an amendment, those who vote sign it, and it is in force at `everybody`.
    ///
    /// # Panics
    /// When it does not come that far.
    pub fn amend(
        &self,
        at: usize,
        epoch: u64,
        options: &[&str],
        signers: &[usize],
        everybody: &[usize],
    ) {
        let made = self.until(at, &[&["genesis", "amend", "--json"], options].concat());
        let hash = made["drafted"].as_str().unwrap().to_owned();
        for number in signers {
            let _ = self.wait(*number, "knows the amendment", |status| {
                vote(status, &hash).is_some()
            });
            let confirm = format!("{epoch}:{}", &hash[..8]);
            let args = ["genesis", "sign", &hash[..12], "--confirm", &confirm];
            let _ = self.on(*number, &args).expect(0);
        }
        for number in everybody {
            let _ = self.wait(*number, "is in the epoch", |status| {
                status["epoch_in_force"] == epoch
            });
        }
    }

    /// A node's ledger takes an entry, and towers acknowledge it.
    ///
    /// # Panics
    /// When they do not.
    pub fn takes_entries(&self, number: usize) {
        let file = self.beside("line.ndjson");
        fs::write(&file, "{\"said\":\"hello\"}\n").unwrap();
        let file = file.to_string_lossy();
        let _ = self.until(number, &["append", &file, "--wait", "acked", "--json"]);
    }

    /// Waits until a node is a member, with its federation's id.
    ///
    /// # Panics
    /// When it does not become one.
    pub fn founded(&self, number: usize) -> String {
        let status = self.wait(number, "is a member", |status| {
            status["federation_id"].is_string()
        });
        status["federation_id"].as_str().unwrap().to_owned()
    }
}

/// The vote on a manifest, as a status has it.
#[must_use]
pub fn vote<'v>(status: &'v Value, hash: &str) -> Option<&'v Value> {
    let mut all = status["manifests"].as_array()?.iter();
    all.find(|one| one["manifest"] == hash)
}

fn knows(status: &Value, hash: &str) -> bool {
    vote(status, hash).is_some()
}
