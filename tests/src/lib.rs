//! What tests across processes share: the binary, built once, and a node in a temporary directory.

pub mod checks;
pub mod federation;
pub mod foreign;
pub mod founders;
pub mod logs;
pub mod namespaces;
pub mod peer;
mod ports;
pub mod process;
mod proxy;
pub mod shaper;

pub use ports::free_port;

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_owned()
}

/// The binary `belfry`, built once per test run with the profile of the tests.
///
/// # Panics
/// When it cannot be built.
pub fn belfry() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.current_dir(root()).args([
            "build",
            "--locked",
            "--quiet",
            "-p",
            "belfry-node",
            "--bin",
            "belfry",
        ]);
        // What `cargo test` says of this package would make build scripts run again that ask for it, and with them a
        // minute of builds, now and at the next `cargo test`.
        for (name, _) in std::env::vars() {
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                build.env_remove(name);
            }
        }
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let output = build.output();
        assert!(
            output.as_ref().is_ok_and(|output| output.status.success()),
            "belfry cannot be built: {output:?}"
        );
        // Tests run from target/<profile>/deps.
        let test = std::env::current_exe().unwrap_or_default();
        let profile = test
            .ancestors()
            .find(|dir| dir.join("deps").is_dir())
            .map(Path::to_owned);
        profile
            .unwrap_or_else(|| root().join("target/debug"))
            .join("belfry")
    })
}

/// A node's data directory, gone when dropped.
pub struct Node {
    home: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit status; -1 if a signal ended it.
    pub code: i32,
    /// What it printed on stdout.
    pub stdout: String,
    /// What it printed on stderr.
    pub stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ended {
    /// Its stdout as JSON.
    ///
    /// # Panics
    /// When it is no JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// Its error object on stderr: the last line.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn error(&self) -> Value {
        let last = self.stderr.lines().last().unwrap_or_default();
        serde_json::from_str(last)
            .unwrap_or_else(|error| panic!("no JSON error ({error}): {self:?}"))
    }

    /// Itself, if it ended with `code`.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

/// A command in a clean environment.
#[must_use]
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(belfry());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BELFRY_")) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// Runs `belfry` to its end.
///
/// # Panics
/// When it cannot be started.
pub fn run(args: &[&str]) -> Ended {
    match command(args).output() {
        Ok(output) => output.into(),
        Err(error) => panic!("belfry cannot be started: {error}"),
    }
}

impl Node {
    /// The name of test nodes.
    pub const NAME: &'static str = "test.example/line-1";

    /// A new node with unencrypted keys that signs on its own.
    ///
    /// # Panics
    /// When `init` fails.
    #[must_use]
    pub fn new() -> Self {
        let node = Self::empty();
        let _ = node
            .run(&["init", "--name", Self::NAME, "--plain-keys"])
            .expect(0);
        node
    }

    /// A directory without a node.
    ///
    /// # Panics
    /// When no temporary directory can be made.
    #[must_use]
    pub fn empty() -> Self {
        match TempDir::new() {
            Ok(home) => Self { home },
            Err(error) => panic!("no temporary directory: {error}"),
        }
    }

    /// The data directory.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// A path beside the data directory.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file beside the data directory.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.beside(name);
        if let Err(error) = fs::write(&path, content) {
            panic!("{}: {error}", path.display());
        }
        path.to_string_lossy().into_owned()
    }

    /// A command on this node.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = command(args);
        command.arg("--data-dir").arg(self.dir());
        command
    }

    /// Runs a command on this node.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&self, args: &[&str]) -> Ended {
        match self.command(args).output() {
            Ok(output) => output.into(),
            Err(error) => panic!("belfry cannot be started: {error}"),
        }
    }

    /// Runs a command with `--json` that must succeed, and returns its result.
    ///
    /// # Panics
    /// When it fails.
    pub fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        self.run(&args).expect(0).json()
    }

    /// Runs a command with standard input.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run_with_input(&self, args: &[&str], input: &[u8]) -> Ended {
        let child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.unwrap_or_else(|error| panic!("belfry cannot be started: {error}"));
        if let Some(mut stdin) = child.stdin.take() {
            // A command that refuses its input early closes the pipe.
            let _ = stdin.write_all(input);
        }
        child
            .wait_with_output()
            .map_or_else(|error| panic!("{error}"), Into::into)
    }

    /// Starts `run` and waits until it listens.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    #[allow(
        clippy::zombie_processes,
        reason = "`Served` waits for it when dropped; a panic ends the test"
    )]
    pub fn serve(&self) -> Served {
        let mut child = self
            .command(&[
                "run",
                "--allow-solo",
                "--listen",
                "127.0.0.1:0",
                "--json",
                "--output",
                "ndjson",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("belfry cannot be started: {error}"));
        let mut stderr = child.stderr.take();
        let mut text = String::new();
        for line in child
            .stdout
            .take()
            .into_iter()
            .flat_map(|out| BufReader::new(out).lines())
            .map_while(Result::ok)
        {
            text.push_str(&line);
            if let Ok(value) = serde_json::from_str::<Value>(&text)
                && let Some(address) = value.get("listening").and_then(Value::as_str)
            {
                // Nobody may block on a full pipe of log lines.
                std::thread::spawn(move || {
                    stderr
                        .as_mut()
                        .map(|stderr| std::io::copy(stderr, &mut std::io::sink()))
                });
                return Served {
                    child,
                    address: address.to_owned(),
                };
            }
        }
        let log = stderr.map(|mut stderr| std::io::read_to_string(&mut stderr).unwrap_or_default());
        panic!("run did not start: {text} {log:?}")
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new()
    }
}

/// A running node, killed when dropped.
pub struct Served {
    child: Child,
    /// `http://127.0.0.1:PORT`
    pub address: String,
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header lines, as sent.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One request to `address` over a connection of its own; written by hand, so that tests can send what no client would.
///
/// # Panics
/// When there is no answer.
#[must_use]
pub fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    use std::io::Read;
    let address = address.trim_start_matches("http://");
    let mut stream =
        std::net::TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let split = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..split]).into_owned();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no answer to {method} {path}: {head:?}"));
    Answer {
        status,
        head,
        body: bytes.get(split + 4..).unwrap_or_default().to_vec(),
    }
}

impl Served {
    /// One request over a connection of its own.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        request(&self.address, method, path, headers, body)
    }

    /// A GET.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], &[])
    }

    /// The id of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let _ = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status();
    }

    /// Stops it cleanly and returns its exit status.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(mut self) -> i32 {
        self.signal("TERM");
        self.child
            .wait()
            .map_or(-1, |status| status.code().unwrap_or(-1))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a test that needs something foreign runs: where it is missing the test is skipped with a clear line, unless
/// `BELFRY_REQUIRE_FOREIGN` turns that into a failure.
///
/// # Panics
/// When it is required and missing.
pub fn foreign(what: &str, found: Option<PathBuf>) -> Option<PathBuf> {
    if found.is_none() {
        let message = format!("SKIPPED: {what} is not installed; `.ci/install` installs it");
        assert!(
            std::env::var_os("BELFRY_REQUIRE_FOREIGN").is_none(),
            "{message}"
        );
        eprintln!("{message}");
    }
    found
}

/// Ten lines or as many as asked for, all different.
#[must_use]
pub fn lines(count: u64) -> Vec<u8> {
    (0..count)
        .flat_map(|number| format!("{{\"n\":{number},\"msg\":\"line {number}\"}}\n").into_bytes())
        .collect()
}
