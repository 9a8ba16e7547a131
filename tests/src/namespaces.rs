//! Network namespaces of a test's own, one per node, joined by a link shaper. Everything is made inside one namespace
//! that goes with the test, so that nothing of the machine's network is seen or touched.

#![allow(
    clippy::unwrap_used,
    reason = "what a test needs and does not get ends the test"
)]

use crate::shaper::{Link, Shaper};
use belfry_sim_sys::tun::Tun;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Set in the test that runs inside.
const INSIDE: &str = "BELFRY_TEST_INSIDE";
/// Set where these tests must not be skipped.
const REQUIRED: &str = "BELFRY_REQUIRE_NAMESPACES";
/// A user who may do everything inside and nothing outside, a network of its own, and processes that end with the first.
const OWN_WORLD: [&str; 7] = [
    "--user",
    "--map-root-user",
    "--net",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
];
/// How long a namespace may take to be there on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(5);
/// Bytes of a packet: what Ethernet has.
const MTU: &str = "1500";

/// Whether the test goes on here. From outside it runs the test of this name again in a world of its own, and fails if
/// that fails; or says why it is skipped, where such worlds are not allowed.
///
/// # Panics
/// When the test inside fails, or when it may not be skipped.
#[must_use]
pub fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    if let Some(why) = forbidden() {
        let told = format!("SKIPPED: {test}: {why}");
        assert!(std::env::var_os(REQUIRED).is_none(), "{told}");
        eprintln!("{told}");
        return false;
    }
    // Inside there is no network to build it with.
    let _ = crate::belfry();
    // If this process is killed, so is that world with all that runs in it.
    let ended = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare"])
        .args(OWN_WORLD)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    // As this test's own output: kept back unless it fails, and not taken for a test program's.
    print!("{}", String::from_utf8_lossy(&ended.stdout));
    eprint!("{}", String::from_utf8_lossy(&ended.stderr));
    let how = ended.status;
    assert!(how.success(), "{test} failed inside its namespaces: {how}");
    false
}

/// Why namespaces or TUN devices cannot be had here.
fn forbidden() -> Option<String> {
    let script = "ip link set lo up && ip tuntap add dev probe mode tun && nsenter --net=/proc/self/ns/net true";
    let tried = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare"])
        .args(OWN_WORLD)
        .args(["sh", "-c", script])
        .stdin(Stdio::null())
        .output();
    match tried {
        Err(error) => Some(format!("setpriv (util-linux) cannot be started: {error}")),
        Ok(output) if !output.status.success() => Some(format!(
            "network namespaces or TUN devices are not allowed here: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Ok(_) => None,
    }
}

/// One namespace: it is there as long as its process, which ends when this does, however that happens.
struct Namespace {
    holder: Child,
}

impl Namespace {
    fn new() -> Self {
        // It reads a pipe that nobody writes, and ends with its writer.
        let holder = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let namespace = Self { holder };
        let outer = fs::read_link("/proc/self/ns/net").unwrap();
        let until = Instant::now() + PATIENCE;
        while fs::read_link(namespace.path()).is_ok_and(|inner| inner == outer) {
            assert!(Instant::now() < until, "no namespace");
            std::thread::sleep(LOOK);
        }
        namespace
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.holder.id()))
    }

    fn ip(&self, args: &[&str]) {
        let mut net = std::ffi::OsString::from("--net=");
        net.push(self.path());
        done(Command::new("nsenter").arg(net).arg("ip").args(args));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn done(command: &mut Command) {
    let ended = command.stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{command:?}: {told}");
}

/// Some nodes, each in a namespace of its own, and what is between them.
pub struct Network {
    shaper: Shaper,
    namespaces: Vec<Namespace>,
}

impl Network {
    /// Joins so many new namespaces by perfect links; chance follows the seed.
    ///
    /// # Panics
    /// When that is not allowed, which [`inside`] finds out first.
    #[must_use]
    pub fn new(nodes: usize, seed: u64) -> Self {
        let namespaces: Vec<Namespace> = (0..nodes).map(|_| Namespace::new()).collect();
        let device = |(number, namespace): (usize, &Namespace)| {
            let tun = Tun::open(&format!("belfry{number}")).unwrap();
            let pid = namespace.holder.id().to_string();
            done(Command::new("ip").args(["link", "set", tun.name(), "netns", &pid]));
            let address = Self::address(number);
            namespace.ip(&["link", "set", "lo", "up"]);
            namespace.ip(&[
                "address",
                "add",
                &format!("{address}/24"),
                "dev",
                tun.name(),
            ]);
            namespace.ip(&["link", "set", tun.name(), "mtu", MTU, "up"]);
            (address, tun)
        };
        let devices = namespaces.iter().enumerate().map(device).collect();
        Self {
            shaper: Shaper::start(devices, seed),
            namespaces,
        }
    }

    /// The address of a node, which only the others of its network see.
    ///
    /// # Panics
    /// When there are that many nodes.
    #[must_use]
    pub fn address(number: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, u8::try_from(number + 1).unwrap())
    }

    /// A node's namespace, as `nsenter --net` takes it.
    #[must_use]
    pub fn namespace(&self, number: usize) -> PathBuf {
        self.namespaces[number].path()
    }

    /// What carries the packets.
    #[must_use]
    pub fn shaper(&self) -> &Shaper {
        &self.shaper
    }

    /// Changes every direction between two different nodes.
    pub fn change_all(&self, change: impl Fn(&mut Link)) {
        let nodes = self.namespaces.len();
        for from in 0..nodes {
            self.change_from(from, &change);
        }
    }

    /// Changes every direction away from a node.
    pub fn change_from(&self, from: usize, change: impl Fn(&mut Link)) {
        let mut links = self.shaper.links();
        for to in (0..self.namespaces.len()).filter(|to| *to != from) {
            links.change(from, to, &change);
        }
    }

    /// The output of a command that is run in a node's namespace.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run(&self, number: usize, program: &str, args: &[&str]) -> std::process::Output {
        let mut net = std::ffi::OsString::from("--net=");
        net.push(self.namespace(number));
        let mut command = Command::new("nsenter");
        command.arg(net).arg(program).args(args);
        command.stdin(Stdio::null()).output().unwrap()
    }
}
