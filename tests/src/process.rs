//! One node as a process of the real binary: its directory, its log, its control socket.

#![allow(
    clippy::unwrap_used,
    reason = "what a test needs and does not get ends the test"
)]

use crate::command;
use crate::federation::PATIENCE;
use crate::ports::free_port;
use serde_json::Value;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One node: a directory, a log beside it, and a process while it runs.
pub struct Noded {
    /// Its name in the manifest.
    pub name: String,
    /// Where it listens for other members.
    pub port: u16,
    /// Its data directory.
    pub dir: PathBuf,
    /// What it logged, over all starts.
    pub log: PathBuf,
    /// The network namespace in which its process runs, if not in that of the test.
    pub(crate) inside: Option<PathBuf>,
    pub(crate) child: Mutex<Option<Child>>,
}

impl Noded {
    /// Starts a process on the directory without waiting for anything.
    ///
    /// # Panics
    /// When it cannot be started, or runs already.
    pub fn launch(&self) {
        let mut child = self.child();
        assert!(child.is_none(), "{} runs", self.name);
        let run = start(&self.dir, &self.log, self.inside.as_deref()).spawn();
        *child = Some(run.unwrap());
    }

    /// The same with a wall clock of its own, which [`Self::step_clock`] moves; `false` where that is not possible.
    ///
    /// # Panics
    /// When it cannot be started for another reason, or runs already.
    pub fn launch_with_clock(&self) -> bool {
        let library = format!(
            "/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1",
            std::env::consts::ARCH
        );
        let library = Some(PathBuf::from(library)).filter(|library| library.exists());
        let Some(library) = crate::foreign("libfaketime", library) else {
            return false;
        };
        self.step_clock(0);
        let mut child = self.child();
        assert!(child.is_none(), "{} runs", self.name);
        let run = start(&self.dir, &self.log, self.inside.as_deref())
            .env("LD_PRELOAD", library)
            .env("FAKETIME_TIMESTAMP_FILE", self.clock_file())
            .env("FAKETIME_CACHE_DURATION", "1")
            // Steps are told apart from time that passes by the clock that never steps.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .spawn();
        *child = Some(run.unwrap());
        true
    }

    /// Puts the wall clock of a node that has its own to so many seconds from the true one.
    ///
    /// # Panics
    /// When that cannot be written.
    pub fn step_clock(&self, seconds: i64) {
        let (file, new) = (self.clock_file(), self.dir.with_extension("clock-new"));
        fs::write(&new, format!("{seconds:+}\n")).unwrap();
        fs::rename(new, file).unwrap();
    }

    fn clock_file(&self) -> PathBuf {
        self.dir.with_extension("clock")
    }

    /// Starts the process on a copy of the directory on a small disk, which then is the node's directory. `false` where
    /// that is not possible.
    ///
    /// # Panics
    /// When it cannot be started for another reason.
    pub fn launch_on_small_disk(&mut self, mebibytes: u32) -> bool {
        let Some((child, dir)) = spawn_on_small_disk(&self.dir, &self.log, mebibytes) else {
            return false;
        };
        *self.child() = Some(child);
        self.dir = dir;
        true
    }

    /// Lets the node listen for other members at this address instead of loopback.
    pub(crate) fn listen_at(&self, address: &str) {
        let file = self.dir.join("config.toml");
        let text = fs::read_to_string(&file).unwrap();
        let (old, new) = (
            format!("127.0.0.1:{}", self.port),
            format!("{address}:{}", self.port),
        );
        assert!(text.contains(&old), "{text}");
        fs::write(file, text.replace(&old, &new)).unwrap();
    }

    /// Ends the process as a power cut would.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&self) {
        let mut child = self.child().take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Takes everything from the directory that is not made by hand: keys, configuration and manifest stay.
    pub(crate) fn lose_disk(&self) {
        let stays = ["keys", "config.toml", "genesis.json"];
        let all = fs::read_dir(&self.dir).unwrap().flatten();
        for entry in all.filter(|entry| !stays.iter().any(|name| entry.file_name() == *name)) {
            match entry.path() {
                path if path.is_dir() => fs::remove_dir_all(path).unwrap(),
                path => fs::remove_file(path).unwrap(),
            }
        }
    }

    /// A copy of the directory that listens elsewhere; nothing of it runs.
    pub(crate) fn twin(&self, dir: PathBuf, log: PathBuf) -> Self {
        let twin = Self {
            name: self.name.clone(),
            port: free_port(),
            dir,
            log,
            inside: self.inside.clone(),
            child: Mutex::default(),
        };
        copy(&self.dir, &twin.dir);
        let file = twin.dir.join("config.toml");
        let config = fs::read_to_string(&file).unwrap();
        let (old, new) = (self.port.to_string(), twin.port.to_string());
        fs::write(file, config.replace(&old, &new)).unwrap();
        twin
    }

    pub(crate) fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Noded {
    fn drop(&mut self) {
        if let Some(mut child) = self.child().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Puts a copy of a stopped node's directory in the place of another.
///
/// # Panics
/// When it cannot be copied.
pub fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-r").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// Starts the real binary on a data directory.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn spawn(dir: &Path, log: &Path) -> Child {
    start(dir, log, None).spawn().unwrap()
}

fn start(dir: &Path, log: &Path, inside: Option<&Path>) -> Command {
    let log = File::options().append(true).create(true).open(log).unwrap();
    let mut run = command(&["run", "--no-input", "--data-dir"]);
    if let Some(namespace) = inside {
        run = entering(namespace, &run);
    }
    run.arg(dir).stdout(Stdio::null()).stderr(log);
    run
}

/// The same command in a network namespace; its process is the command's own, because `nsenter` becomes it.
fn entering(namespace: &Path, command: &Command) -> Command {
    let mut net = OsString::from("--net=");
    net.push(namespace);
    let mut inside = Command::new("nsenter");
    inside.arg(net).arg(command.get_program());
    inside.args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => inside.env(name, value),
            None => inside.env_remove(name),
        };
    }
    inside
}

/// Starts the real binary on a copy of a data directory, on a file system of its own of `mebibytes`; it is gone with the
/// process. Returns where the copy is seen from outside, or `None` where users may not mount.
///
/// # Panics
/// When it cannot be started for another reason.
#[must_use]
pub fn spawn_on_small_disk(dir: &Path, log: &Path, mebibytes: u32) -> Option<(Child, PathBuf)> {
    let unshare = ["--user", "--map-root-user", "--mount"];
    let allowed = Command::new("unshare").args(unshare).arg("true").status();
    let allowed = allowed
        .is_ok_and(|status| status.success())
        .then(PathBuf::new);
    crate::foreign("mounting as a user (unshare)", allowed)?;
    let small = dir.with_extension("small");
    fs::create_dir_all(&small).unwrap();
    let script = r#"mount -t tmpfs -o size="$1" tmpfs "$3" && cp -a "$2/." "$3" && exec "$0" run --no-input --data-dir "$3""#;
    let log = File::options().append(true).create(true).open(log).unwrap();
    let child = Command::new("unshare")
        .args(unshare)
        .args(["sh", "-c", script])
        .arg(crate::belfry())
        .arg(format!("{mebibytes}m"))
        .args([dir, &small])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let inside = small.strip_prefix("/").unwrap();
    let seen = PathBuf::from(format!("/proc/{}/root", child.id())).join(inside);
    Some((child, seen))
}

/// What the node that runs on a directory says of itself, if one does.
#[must_use]
pub fn status_of(dir: &Path) -> Option<Value> {
    control(dir, "GET", "/control/status", &[])
}

/// One request over a node's control socket; `None` unless it is answered with success.
pub fn control(dir: &Path, method: &str, path: &str, body: &[u8]) -> Option<Value> {
    let mut stream = UnixStream::connect(dir.join("run/control.sock")).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/x-ndjson\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let good = head.split(' ').nth(1)?.starts_with('2');
    good.then(|| serde_json::from_str(body).ok()).flatten()
}

pub(crate) fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
