//! A wire between two nodes that can be cut: a TCP relay in front of a node's address. It knows nothing of what it
//! carries; who calls it knows from the system, which says whose socket the other end is.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One relay: everything that comes to `port` goes to the node's own port, unless it is cut.
pub(crate) struct Proxy {
    /// Where the others find the node.
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Data directories of callers that are turned away.
    cut: BTreeSet<PathBuf>,
    open: Vec<(PathBuf, TcpStream, TcpStream)>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// A relay to the node on `target`.
    ///
    /// # Errors
    /// When no port is free.
    pub(crate) fn start(target: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::downgrade(&state);
        std::thread::spawn(move || {
            for caller in listener.incoming().map_while(Result::ok) {
                let Some(state) = shared.upgrade() else {
                    return;
                };
                let _ = relay(&state, caller, target);
            }
        });
        Ok(Self { port, state })
    }

    /// From now on these callers are turned away, and what is open to them is closed.
    pub(crate) fn cut(&self, callers: BTreeSet<PathBuf>) {
        let mut state = lock(&self.state);
        state.cut = callers;
        let (gone, open): (Vec<_>, Vec<_>) = std::mem::take(&mut state.open)
            .into_iter()
            .partition(|(caller, ..)| state.cut.contains(caller));
        state.open = open;
        gone.iter().for_each(close);
    }
}

fn close((_, from, to): &(PathBuf, TcpStream, TcpStream)) {
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

impl Drop for Proxy {
    fn drop(&mut self) {
        lock(&self.state).open.iter().for_each(close);
        // The thread sees that nobody needs it with the next caller.
        self.state = Arc::default();
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn relay(state: &Mutex<State>, caller: TcpStream, target: u16) -> std::io::Result<()> {
    let from = owner(caller.peer_addr()?, caller.local_addr()?).unwrap_or_default();
    let mut state = lock(state);
    if state.cut.contains(&from) {
        return caller.shutdown(Shutdown::Both);
    }
    let node = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, target)))?;
    caller.set_nodelay(true)?;
    node.set_nodelay(true)?;
    for (mut source, mut sink) in [
        (caller.try_clone()?, node.try_clone()?),
        (node.try_clone()?, caller.try_clone()?),
    ] {
        std::thread::spawn(move || {
            let mut block = [0; 1 << 14];
            while let Ok(length @ 1..) = source.read(&mut block) {
                if sink.write_all(&block[..length]).is_err() {
                    break;
                }
            }
            let _ = source.shutdown(Shutdown::Both);
            let _ = sink.shutdown(Shutdown::Both);
        });
    }
    state.open.retain(|(_, one, _)| one.peer_addr().is_ok());
    state.open.push((from, caller, node));
    Ok(())
}

/// The data directory of the node whose socket goes from `local` to `remote`: the last argument of its command.
fn owner(local: SocketAddr, remote: SocketAddr) -> Option<PathBuf> {
    let ends = format!(":{:04X} 0100007F:{:04X} ", local.port(), remote.port());
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let line = table.lines().find(|line| line.contains(&ends))?;
    let socket = format!("socket:[{}]", line.split_whitespace().nth(9)?);
    let holds = |process: &fs::DirEntry| {
        let open = fs::read_dir(process.path().join("fd"))
            .into_iter()
            .flatten()
            .flatten();
        let mut links = open.filter_map(|file| fs::read_link(file.path()).ok());
        links.any(|link| link.to_string_lossy() == socket)
    };
    let mut processes = fs::read_dir("/proc").ok()?.flatten();
    let command = fs::read(processes.find(holds)?.path().join("cmdline")).ok()?;
    let last = command
        .strip_suffix(&[0])?
        .rsplit(|byte| *byte == 0)
        .next()?;
    Some(PathBuf::from(String::from_utf8_lossy(last).into_owned()))
}
