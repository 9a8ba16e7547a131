//! Probes of the clocks of admitted peers: when which peer is asked, and the stamps, which are taken here at the socket
//! and nowhere later (R8). Judges nobody: the four timestamps go to whoever does.
//!
//! An answer is made without the engine: the time is read when the last byte of the probe has arrived and again just
//! before the answer is written. What waits on the way shows as delay, and delay only widens what a probe shows.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use belfry_protocol::clock::sample::MAX_PARTING_US;
use belfry_protocol::clock::{Reading, Stamps};
use belfry_protocol::wire::clock::{PROBE_ANSWER_BYTES, PROBE_BYTES, Probe, ProbeAnswer};
use libp2p::futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::{PeerId, StreamProtocol};

use super::api::NetError;
use super::params;
use crate::clock;

pub(super) type ClockProbe = request_response::Behaviour<ClockCodec>;
pub(super) type ClockEvent = request_response::Event<(), Option<Stamps>>;

/// Probes sent at once to a peer that was just admitted, or after a step: enough for a first interval.
const BURST: u8 = 4;
/// Pause between the probes of a burst.
const BURST_PAUSE: Duration = Duration::from_millis(100);
/// Probes of one peer at a time in each direction: one is on its way, another may be late.
const STREAMS: usize = 8;
/// The label in counters of bytes.
pub(super) const CLOCK: &str = "clock";

/// Both clocks as plain numbers, for a probe.
fn reading() -> Reading {
    let now = clock::now();
    Reading {
        mono_us: now.mono_us,
        wall_us: now.wall.micros(),
    }
}

pub(super) fn behaviour(federation8: &str) -> Result<ClockProbe, NetError> {
    let name = StreamProtocol::try_from_owned(format!("/belfry/{federation8}/clock/1"));
    let name = name.map_err(|error| NetError::Setup {
        part: "protocol names",
        reason: error.to_string(),
    })?;
    let settings = request_response::Config::default()
        .with_request_timeout(params::OPEN_TIMEOUT)
        .with_max_concurrent_streams(STREAMS);
    Ok(ClockProbe::with_codec(
        ClockCodec::default(),
        [(name, ProtocolSupport::Full)],
        settings,
    ))
}

/// When the next probe of a peer is due.
#[derive(Debug)]
struct Pace {
    next: Instant,
    burst: u8,
    /// One is on its way.
    waits: bool,
}

/// When whom to probe. Bounded by the admitted peers.
#[derive(Debug)]
pub(super) struct Clocks {
    every: Duration,
    peers: HashMap<PeerId, Pace>,
}

impl Clocks {
    pub(super) fn new(every: Duration) -> Self {
        Self {
            every,
            peers: HashMap::new(),
        }
    }

    pub(super) fn admitted(&mut self, peer: PeerId, now: Instant) {
        let pace = Pace {
            next: now,
            burst: BURST,
            waits: false,
        };
        self.peers.insert(peer, pace);
    }

    pub(super) fn gone(&mut self, peer: &PeerId) {
        self.peers.remove(peer);
    }

    /// All peers at once, again: the own clocks stepped.
    pub(super) fn anew(&mut self, now: Instant) {
        for pace in self.peers.values_mut() {
            pace.next = now;
            pace.burst = BURST;
        }
    }

    /// Whom to probe now; each is due again later.
    pub(super) fn due(&mut self, now: Instant, draw: impl Fn() -> u64) -> Vec<PeerId> {
        let due = |(_, pace): &(&PeerId, &mut Pace)| !pace.waits && pace.next <= now;
        let mut whom = Vec::new();
        for (peer, pace) in self.peers.iter_mut().filter(due) {
            pace.burst = pace.burst.saturating_sub(1);
            pace.next = match pace.burst {
                0 => now + jittered(self.every, draw()),
                _ => now + BURST_PAUSE.min(self.every),
            };
            pace.waits = true;
            whom.push(*peer);
        }
        whom
    }

    /// A probe came back, or will not.
    pub(super) fn ended(&mut self, peer: &PeerId) {
        if let Some(pace) = self.peers.get_mut(peer) {
            pace.waits = false;
        }
    }
}

/// The interval give or take a half, so that the probes of many nodes do not fall together.
fn jittered(every: Duration, drawn: u64) -> Duration {
    let span = u64::try_from(every.as_micros()).unwrap_or(u64::MAX).max(1);
    Duration::from_micros(span / 2 + drawn % span)
}

/// Randomness for pauses. A machine without it probes more regularly.
pub(super) fn draw() -> u64 {
    let mut bytes = [0; 8];
    let _same = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// One per stream. It takes all four stamps itself, so neither opening the stream nor any queue counts.
#[derive(Debug, Clone, Default)]
pub(super) struct ClockCodec {
    /// Our probe, on its way.
    sent: Option<(Probe, Reading)>,
    /// Theirs, before it is answered.
    asked: Option<(Probe, Reading)>,
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl request_response::Codec for ClockCodec {
    type Protocol = StreamProtocol;
    /// What is in a probe is the codec's affair.
    type Request = ();
    /// Theirs with what it showed; ours is made while it is written.
    type Response = Option<Stamps>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<()>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut frame = [0; PROBE_BYTES];
        io.read_exact(&mut frame).await?;
        let received = reading();
        let probe = Probe::from_frame(&frame).ok_or_else(|| malformed("not a probe"))?;
        self.asked = Some((probe, received));
        Ok(())
    }

    async fn read_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Option<Stamps>>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut frame = [0; PROBE_ANSWER_BYTES];
        io.read_exact(&mut frame).await?;
        let came = reading();
        let answer = ProbeAnswer::from_frame(&frame);
        let answer = answer.ok_or_else(|| malformed("not an answer to a probe"))?;
        match self.sent.take() {
            Some((probe, sent)) if probe.nonce == answer.nonce => Ok(Some(Stamps {
                sent,
                received_us: answer.received_us,
                answered_us: answer.answered_us,
                came,
            })),
            _ => Err(malformed("an answer to another probe")),
        }
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, (): ()) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        // The answer to the name of the protocol may still be on its way: flushing waits for it, and it does not count.
        io.flush().await?;
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        let probe = Probe { nonce };
        let frame = probe.to_frame();
        self.sent = Some((probe, reading()));
        io.write_all(&frame).await?;
        io.flush().await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        _: Option<Stamps>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let (probe, received) = self
            .asked
            .take()
            .ok_or_else(|| malformed("no probe to answer"))?;
        let answered = reading();
        let mono = answered.mono_us.saturating_sub(received.mono_us);
        let wall = answered.wall_us.saturating_sub(received.wall_us);
        let parted = wall.saturating_sub(i64::try_from(mono).unwrap_or(i64::MAX));
        // Half of such an answer would be about another clock.
        if parted.saturating_abs() > MAX_PARTING_US {
            return Err(io::Error::other("the wall clock stepped during a probe"));
        }
        let answer = ProbeAnswer {
            nonce: probe.nonce,
            received_us: received.wall_us,
            answered_us: answered.wall_us,
        };
        io.write_all(&answer.to_frame()).await?;
        io.flush().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_a_steady_pace_with_jitter() {
        let (peer, begin) = (PeerId::random(), Instant::now());
        let every = Duration::from_secs(16);
        let mut clocks = Clocks::new(every);
        clocks.admitted(peer, begin);
        let mut now = begin;
        for number in 0..4 {
            assert_eq!(clocks.due(now, || 0), [peer], "{number}");
            assert!(clocks.due(now + every, || 0).is_empty(), "one at a time");
            clocks.ended(&peer);
            now += BURST_PAUSE;
        }
        now -= BURST_PAUSE;
        assert!(
            clocks
                .due(now + every / 2 - Duration::from_millis(1), || 0)
                .is_empty()
        );
        assert_eq!(clocks.due(now + every / 2, || 16_000_000 - 1), [peer]);
        clocks.ended(&peer);
        now += every / 2;
        let late = now + every + every / 2;
        assert!(clocks.due(late - Duration::from_millis(1), || 0).is_empty());
        assert_eq!(clocks.due(late, || 0), [peer]);
        clocks.ended(&peer);
        clocks.anew(late);
        assert_eq!(clocks.due(late, || 0), [peer]);
        clocks.gone(&peer);
        assert!(clocks.due(late + every * 4, || 0).is_empty());
    }
}
