//! Programs that are not ours and judge what we do: `aics-tlog` verifies logs, `aics-witness` cosigns them.
//! May not read anything that an operator of those programs could not.

#![allow(
    clippy::unwrap_used,
    reason = "what a test needs and does not get ends the test"
)]

use crate::ports::free_port;
use crate::{Answer, Ended, foreign, request, root};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a Python program may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Python with the foreign programs, as `.ci/install` sets it up.
#[must_use]
pub fn python() -> Option<PathBuf> {
    let named = std::env::var_os("BELFRY_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| root().join(".build/py/bin/python"));
    let works = Command::new(&python)
        .args(["-c", "import aics_tlog, aics_witness"])
        .output();
    foreign(
        "aics-tlog 0.2.1 or aics-witness 0.1.0",
        works
            .is_ok_and(|output| output.status.success())
            .then_some(python),
    )
}

/// Lets `aics-tlog` verify a log: `tiles` is a directory or any URL prefix with a `checkpoint` and tiles below it.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn judge(python: &Path, tiles: &str, key: &str, more: &[&str]) -> Ended {
    let driver = root().join("tests/foreign/verify_aics.py");
    let output = Command::new(python)
        .arg(driver)
        .args(["--tiles", tiles, "--vkey-file", key])
        .args(more)
        .output();
    output.unwrap().into()
}

/// A running `aics-witness`, ended when dropped, also if somebody else restarted it.
pub struct AicsWitness {
    /// Its address, which is its submission and monitoring prefix.
    pub url: String,
    /// Its verifier key.
    pub vkey: String,
    python: PathBuf,
    home: TempDir,
}

impl AicsWitness {
    /// Starts a witness that knows these logs.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(python: &Path, logs: &[&str]) -> Self {
        let home = TempDir::new().unwrap();
        let port = free_port();
        let mut witness = Self {
            url: format!("http://127.0.0.1:{port}"),
            vkey: String::new(),
            python: python.to_owned(),
            home,
        };
        let listen = format!("127.0.0.1:{port}");
        let made = witness.run(&["init", "--name", "foreign.example/w1", "--listen", &listen]);
        witness.vkey = made.trim().to_owned();
        for log in logs {
            let origin = log.split('+').next().unwrap_or_default();
            let _ = witness.run(&["add-log", "--origin", origin, "--vkey", log]);
        }
        let script = witness.script();
        std::fs::write(witness.path("restart.sh"), script).unwrap();
        witness.restart();
        witness
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// One of its own commands; what it printed.
    fn run(&self, args: &[&str]) -> String {
        let output = Command::new(&self.python)
            .args(["-m", "aics_witness"])
            .args(args)
            .arg("--config")
            .arg(self.path("witness.json"))
            .output();
        let ended = Ended::from(output.unwrap()).expect(0);
        ended.stdout
    }

    /// Stops what runs and starts it again, leaving its process id in a file.
    fn script(&self) -> String {
        let (pid, log) = (self.path("pid"), self.path("log"));
        format!(
            "if [ -f {pid} ]; then kill $(cat {pid}); while kill -0 $(cat {pid}) 2>/dev/null; do sleep 0.05; done; fi\n\
             {python} -m aics_witness serve --config {config} >>{log} 2>&1 </dev/null &\n\
             echo $! > {pid}\n",
            pid = pid.display(),
            log = log.display(),
            python = self.python.display(),
            config = self.path("witness.json").display(),
        )
    }

    /// A shell command that restarts it.
    #[must_use]
    pub fn restart_command(&self) -> String {
        format!("sh {}", self.path("restart.sh").display())
    }

    /// Restarts it, and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    pub fn restart(&self) {
        let status = Command::new("sh")
            .arg(self.path("restart.sh"))
            .stdin(Stdio::null())
            .status();
        assert!(status.unwrap().success());
        let until = Instant::now() + PATIENCE;
        let address = self.url.trim_start_matches("http://");
        while std::net::TcpStream::connect(address).is_err() {
            let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(Instant::now() < until, "aics-witness did not start: {log}");
            std::thread::sleep(LOOK);
        }
    }

    /// Sends it a request as it is.
    #[must_use]
    pub fn add_checkpoint(&self, body: &[u8]) -> Answer {
        request(&self.url, "POST", "/add-checkpoint", &[], body)
    }

    /// The misbehaviour it kept, as it prints it.
    #[must_use]
    pub fn evidence(&self) -> String {
        self.run(&["evidence"])
    }
}

impl Drop for AicsWitness {
    fn drop(&mut self) {
        let pid = std::fs::read_to_string(self.path("pid")).unwrap_or_default();
        if !pid.trim().is_empty() {
            let _ = Command::new("kill").args(["-9", pid.trim()]).status();
        }
    }
}
