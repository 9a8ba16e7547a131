//! What is known of everybody's clocks, for people and for [`super::clock`]: offsets of peers with their uncertainty, who
//! agrees, and the verdict on the own clock. Shows; may not decide anything.

use super::Settings;
use super::clock::Clock;
use crate::clock::{Interval, Judgement, Spread, Verdict};
use crate::engine::Now;
use crate::engine::nonces::{ConfirmedBy, Refused, Why};

/// The clocks as of the last step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockStatus {
    /// How far a clock may be off, by the manifest, in microseconds.
    pub bound_us: u64,
    /// On the own clock (R4).
    pub verdict: Verdict,
    /// How far the own clock is ahead of the federation's time, if enough members agree on that.
    pub own: Option<Interval>,
    /// Members whose clocks agree on the federation's time.
    pub agreeing: Vec<String>,
    /// Members whose clocks do not.
    pub falsetickers: Vec<String>,
    /// How often it was proven wrong since the start, each time until it was not any more.
    pub violations: u64,
    /// Whether the clock lets this node acknowledge.
    pub may_ack: bool,
    /// Who confirms the clock for single requests (R8), or why nobody does.
    pub confirmed: Option<Result<ConfirmedBy, Why>>,
    /// Probes that were taken since the start.
    pub samples: u64,
    /// Probes that were discarded since the start, by reason.
    pub discarded: Vec<(&'static str, u64)>,
    /// One for each other member that was measured.
    pub peers: Vec<PeerClock>,
}

/// The clock of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerClock {
    /// Its name.
    pub name: String,
    /// How far its clock is ahead of the own one; `None` before the first sample, or since the own clocks stepped.
    pub offset: Option<Interval>,
    /// What that says about the bound.
    pub verdict: Verdict,
    /// Whether it agrees with most others.
    pub agrees: bool,
    /// Shortest round trip among the samples, in microseconds.
    pub min_rtt_us: Option<u64>,
    /// Samples in its window.
    pub samples: usize,
    /// Time that they span, in microseconds.
    pub window_us: u64,
    /// Steps that were seen.
    pub steps: u64,
}

impl ClockStatus {
    /// Offsets of all measured peers, in short.
    #[must_use]
    pub fn spread(&self) -> Option<Spread> {
        let offsets: Vec<Interval> = self.peers.iter().filter_map(|peer| peer.offset).collect();
        Spread::of(&offsets)
    }

    /// How many peers have that verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        let measured = self.peers.iter().filter(|peer| peer.offset.is_some());
        measured.filter(|peer| peer.verdict == verdict).count()
    }
}

impl Clock {
    /// For people, as of the last step.
    pub(super) fn status(&self, settings: &Settings) -> ClockStatus {
        let bound_us = settings.clock_bound_us();
        let members = &settings.members;
        let names = |list: &[usize]| {
            let names = list.iter().map(|member| members.name(*member).to_owned());
            names.collect::<Vec<_>>()
        };
        let Judgement {
            verdict,
            own,
            agreeing,
            falsetickers,
            ..
        } = self.judged();
        let confirmed = self.last().map(|now| self.confirmed(now));
        let peers = self.windows().map(|(member, window)| {
            let offset = self.last().and_then(|now| window.offset(now));
            let verdict = offset.map_or(Verdict::Undetermined, |one| one.verdict(bound_us));
            PeerClock {
                name: members.name(member).to_owned(),
                offset,
                verdict,
                agrees: agreeing.contains(&member),
                min_rtt_us: window.min_delay_us(),
                samples: window.len(),
                window_us: self.last().map_or(0, |now| window.span_us(now.mono_us)),
                steps: window.steps(),
            }
        });
        ClockStatus {
            bound_us,
            verdict: *verdict,
            own: *own,
            agreeing: names(agreeing),
            falsetickers: names(falsetickers),
            violations: self.violations,
            may_ack: self.may_ack(),
            confirmed,
            samples: self.samples,
            discarded: self
                .discarded
                .iter()
                .map(|(why, count)| (*why, *count))
                .collect(),
            peers: peers.collect(),
        }
    }

    fn confirmed(&self, now: Now) -> Result<ConfirmedBy, Why> {
        match self.state.by(now) {
            Ok(by) => Ok(by),
            Err(Refused::Clock(why)) => Err(why),
            Err(_) => Err(Why::Start),
        }
    }
}
