//! Ports for the nodes of tests, of which many run at once.

#![allow(
    clippy::unwrap_used,
    reason = "what a test needs and does not get ends the test"
)]

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports below those that Linux gives to callers: a node that is down must find its own port free when it comes back.
const PORTS: std::ops::Range<u32> = 12_000..32_000;

/// A port that is free now. Test processes begin at different places.
///
/// # Panics
/// When none is free.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let ports = (0..2_000).map(|_| {
        let place = std::process::id().wrapping_mul(97) + NEXT.fetch_add(1, Ordering::Relaxed);
        u16::try_from(PORTS.start + place % (PORTS.end - PORTS.start)).unwrap()
    });
    ports.into_iter().find(free).unwrap()
}
