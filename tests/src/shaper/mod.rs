//! A link shaper in user space, because not every kernel has one: packets of some TUN devices go to each other through
//! links that delay, lose, double, spoil or drop them. One thread; what links do is in `links`.

#![allow(
    clippy::unwrap_used,
    reason = "what a test needs and does not get ends the test"
)]

mod links;

pub use links::{Counts, Fate, Link, Links};

use belfry_sim_sys::tun::Tun;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest packet: more than any device of ours is set to.
const PACKET_BYTES: usize = 65_536;
/// Packets read from one device before the others have their turn.
const BATCH: usize = 64;
/// Packets on their way at most; further ones are dropped, as by any full queue. A second of 500 Mbit/s at full size.
const ON_THEIR_WAY: usize = 1 << 16;
/// How long the thread sleeps at most, so that it notices its end.
const IDLE: Duration = Duration::from_millis(20);

/// A running shaper; it ends when dropped, and its devices with it.
pub struct Shaper {
    links: Arc<Mutex<Links>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A packet on its way: when it arrives, its number (of two with one time the first goes first), where, and itself.
type OnItsWay = Reverse<(Instant, u64, usize, Vec<u8>)>;

struct Loop {
    nodes: Vec<(Ipv4Addr, Tun)>,
    links: Arc<Mutex<Links>>,
    over: Arc<AtomicBool>,
    on_their_way: BinaryHeap<OnItsWay>,
    number: u64,
}

impl Shaper {
    /// Starts to carry packets between these devices by the IPv4 address that each one's namespace has.
    #[must_use]
    pub fn start(nodes: Vec<(Ipv4Addr, Tun)>, seed: u64) -> Self {
        let links = Arc::new(Mutex::new(Links::new(nodes.len(), seed)));
        let over = Arc::new(AtomicBool::new(false));
        let work = Loop {
            nodes,
            links: Arc::clone(&links),
            over: Arc::clone(&over),
            on_their_way: BinaryHeap::new(),
            number: 0,
        };
        Self {
            links,
            over,
            thread: Some(std::thread::spawn(move || work.run())),
        }
    }

    /// The links, to change them or to read their counts.
    pub fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shaper {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Loop {
    fn run(mut self) {
        let mut buffer = vec![0; PACKET_BYTES];
        while !self.over.load(Ordering::Relaxed) {
            self.wait();
            for from in 0..self.nodes.len() {
                for _ in 0..BATCH {
                    // A device that was taken down has nothing; it may come up again.
                    let Ok(Some(length)) = self.nodes[from].1.receive(&mut buffer) else {
                        break;
                    };
                    self.take(from, &buffer[..length]);
                }
            }
            self.deliver();
        }
    }

    /// Until a packet comes or is due.
    fn wait(&self) {
        let due = self.on_their_way.peek().map(|Reverse((due, ..))| *due);
        let left = due.map_or(IDLE, |due| due.saturating_duration_since(Instant::now()));
        let timeout = Timespec::try_from(left.min(IDLE)).ok();
        let devices = self.nodes.iter();
        let mut devices: Vec<PollFd<'_>> = devices
            .map(|(_, tun)| PollFd::new(tun, PollFlags::IN))
            .collect();
        // Interrupted is as good as woken.
        let _ = poll(&mut devices, timeout.as_ref());
    }

    fn take(&mut self, from: usize, packet: &[u8]) {
        let Some(to) = destination(packet) else {
            return;
        };
        let Some(to) = self.nodes.iter().position(|(address, _)| *address == to) else {
            return;
        };
        let links = self.links.lock();
        let mut links = links.unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        for (late, bytes) in links.fate(from, to, packet) {
            if self.on_their_way.len() < ON_THEIR_WAY {
                self.number += 1;
                let packet = (now + late, self.number, to, bytes);
                self.on_their_way.push(Reverse(packet));
            }
        }
    }

    fn deliver(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((due, ..))) = self.on_their_way.peek() {
            if *due > now {
                break;
            }
            if let Some(Reverse((_, _, to, bytes))) = self.on_their_way.pop() {
                // Not taken is lost, as on any network.
                let _ = self.nodes[to].1.send(&bytes);
            }
        }
    }
}

/// Where an IPv4 packet goes; everything else, such as what a new interface says in IPv6, goes nowhere.
fn destination(packet: &[u8]) -> Option<Ipv4Addr> {
    let version = packet.first()? >> 4;
    let address: [u8; 4] = packet.get(16..links::HEADER_BYTES)?.try_into().ok()?;
    (version == 4).then(|| Ipv4Addr::from(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_ipv4_headers_have_a_destination() {
        let mut packet = [0; 20];
        packet[0] = 0x45;
        packet[16..].copy_from_slice(&[10, 77, 0, 3]);
        assert_eq!(destination(&packet), Some(Ipv4Addr::new(10, 77, 0, 3)));
        assert_eq!(destination(&packet[..19]), None);
        packet[0] = 0x60;
        assert_eq!(destination(&packet), None);
        assert_eq!(destination(&[]), None);
    }
}
