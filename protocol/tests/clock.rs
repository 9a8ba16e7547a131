//! What clocks promise: the truth lies in every interval that is published, and no liar moves another's.
#![allow(clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use belfry_protocol::clock::{
    Interval, Reading, SAMPLES, Sample, Stamps, Verdict, Window, agree, judge,
};
use belfry_protocol::engine::Now;
use belfry_protocol::entry::time::TimeUs;
use proptest::prelude::*;

/// Where true time begins, in microseconds since 1970.
const BEGIN_US: i64 = 1_800_000_000_000_000;

/// A clock that is `ahead_us` at the beginning and drifts by so many parts of a million.
#[derive(Clone, Copy, Debug)]
struct Clock {
    ahead_us: i64,
    ppm: i64,
}

impl Clock {
    fn wall_us(self, true_us: i64) -> i64 {
        BEGIN_US + true_us + self.ahead_us + (true_us * self.ppm).div_euclid(1_000_000)
    }
}

/// The own node: its clocks drift together.
const OWN_MONO_US: i64 = 5_000_000;

fn reading(own: Clock, true_us: i64) -> Reading {
    let drifted = true_us + (true_us * own.ppm).div_euclid(1_000_000);
    Reading {
        mono_us: u64::try_from(OWN_MONO_US + drifted).unwrap(),
        wall_us: own.wall_us(true_us),
    }
}

fn now(own: Clock, true_us: i64) -> Now {
    let reading = reading(own, true_us);
    Now {
        mono_us: reading.mono_us,
        wall: TimeUs::from_micros(reading.wall_us).unwrap(),
    }
}

fn probe(own: Clock, peer: Clock, at_us: i64, there_us: i64, kept_us: i64, back_us: i64) -> Stamps {
    Stamps {
        sent: reading(own, at_us),
        received_us: peer.wall_us(at_us + there_us),
        answered_us: peer.wall_us(at_us + there_us + kept_us),
        came: reading(own, at_us + there_us + kept_us + back_us),
    }
}

fn clock() -> impl Strategy<Value = Clock> {
    (-7_200_000_000..7_200_000_000i64, -100..=100i64)
        .prop_map(|(ahead_us, ppm)| Clock { ahead_us, ppm })
}

fn delay() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0..400i64, 2 => 0..80_000i64, 1 => 0..1_000_000i64]
}

proptest! {
    #[test]
    fn the_truth_is_always_inside(
        own in clock(), peer in clock(),
        probes in proptest::collection::vec((delay(), 0..5_000i64, delay(), 1..30_000_000i64), 1..100),
        later_us in 0..3_600_000_000i64,
    ) {
        let mut window = Window::default();
        let mut at_us = 0;
        for (there_us, kept_us, back_us, pause_us) in probes {
            let stamps = probe(own, peer, at_us, there_us, kept_us, back_us);
            prop_assert!(!window.push(Sample::of(&stamps).unwrap()), "no clock stepped");
            at_us += there_us + kept_us + back_us;
            let truth = peer.wall_us(at_us) - own.wall_us(at_us);
            let shown = window.offset(now(own, at_us)).unwrap();
            prop_assert!(shown.contains(truth), "{:?} has not {}", shown, truth);
            at_us += pause_us;
        }
        prop_assert!(window.len() <= SAMPLES);
        let end_us = at_us + later_us;
        let truth = peer.wall_us(end_us) - own.wall_us(end_us);
        prop_assert!(window.offset(now(own, end_us)).unwrap().contains(truth));
    }

    #[test]
    fn setting_the_own_wall_clock_moves_the_offset_and_nothing_else(
        own in clock(), peer in clock(), by_us in -3_600_000_000..3_600_000_000i64,
    ) {
        let mut window = Window::default();
        window.push(Sample::of(&probe(own, peer, 0, 40, 5, 90)).unwrap());
        let before = window.offset(now(own, 1_000)).unwrap();
        let set = Clock { ahead_us: own.ahead_us + by_us, ..own };
        let mut later = now(own, 1_000);
        later.wall = now(set, 1_000).wall;
        let after = window.offset(later).unwrap();
        prop_assert_eq!((before.lo_us - by_us, before.hi_us - by_us), (after.lo_us, after.hi_us));
    }

    #[test]
    fn delay_in_one_direction_shifts_the_middle_by_half_of_it(
        ahead_us in -7_200_000_000..7_200_000_000i64, base_us in 0..1_000i64, extra_us in 0..2_000_000i64, back: bool,
    ) {
        let peer = Clock { ahead_us, ppm: 0 };
        let own = Clock { ahead_us: 0, ppm: 0 };
        let shown = |there_us, back_us| {
            let mut window = Window::default();
            window.push(Sample::of(&probe(own, peer, 0, there_us, 9, back_us)).unwrap());
            window.offset(now(own, 0)).unwrap()
        };
        let plain = shown(base_us, base_us);
        let slow = if back { shown(base_us, base_us + extra_us) } else { shown(base_us + extra_us, base_us) };
        let moved = slow.middle_us() - plain.middle_us();
        let half = if back { -extra_us } else { extra_us };
        prop_assert!((2 * moved - half).abs() <= 8, "{} for {}", moved, half);
        prop_assert!(slow.contains(plain.middle_us()));
    }

    #[test]
    fn a_step_is_seen_with_the_first_probe_after_it(
        own in clock(), peer in clock(), before in 1..64usize, by_us in 5_000..3_600_000_000i64, back: bool,
    ) {
        let mut window = Window::default();
        let mut at_us = 0;
        for _ in 0..before {
            prop_assert!(!window.push(Sample::of(&probe(own, peer, at_us, 100, 9, 100)).unwrap()));
            at_us += 1_000_000;
        }
        // Drift between two probes a second apart hides 200 microseconds, the wire as much again.
        let by_us = if back { -by_us } else { by_us };
        let stepped = Clock { ahead_us: peer.ahead_us + by_us, ..peer };
        prop_assert!(window.push(Sample::of(&probe(own, stepped, at_us, 100, 9, 100)).unwrap()));
        prop_assert_eq!((window.len(), window.steps()), (1, 1));
        let truth = stepped.wall_us(at_us + 209) - own.wall_us(at_us + 209);
        prop_assert!(window.offset(now(own, at_us + 209)).unwrap().contains(truth));
    }

    #[test]
    fn most_agree_as_trying_every_moment_shows(
        sources in proptest::collection::vec((-50..50i64, 0..30i64), 1..8), bound_us in 0..20u64,
    ) {
        let sources: Vec<(usize, Interval)> = sources.iter().enumerate()
            .map(|(peer, (lo, width))| (peer, Interval { lo_us: *lo, hi_us: lo + width })).collect();
        let bound = i64::try_from(bound_us).unwrap();
        let voices = |moment: i64| {
            let peers = sources.iter().filter(|(_, one)| one.lo_us - bound <= moment && moment <= one.hi_us + bound);
            let peers = peers.count();
            if peers == 0 { 0 } else { peers + usize::from(moment.abs() <= bound) }
        };
        let most = (-200..200).map(voices).max().unwrap();
        let found = agree(&sources, bound_us).unwrap();
        prop_assert_eq!(found.agreeing.len() + usize::from(found.with_own), most);
        prop_assert_eq!(found.agreeing.len() + found.falsetickers.len(), sources.len());
        for peer in &found.agreeing {
            let one = sources[*peer].1;
            prop_assert!(one.lo_us <= found.interval.hi_us && found.interval.lo_us <= one.hi_us);
        }
    }

    #[test]
    fn liars_up_to_a_third_never_prove_a_good_clock_wrong(
        honest in proptest::collection::vec((-400_000..400_000i64, 1..2_000_000i64, 0..=100i64), 2..8),
        lies in proptest::collection::vec((any::<i64>(), 0..1_000i64), 0..3),
    ) {
        let bound_us = 500_000;
        // The own clock and all honest ones are within the bound of true time, whatever the network does to a probe.
        let peers = honest.len() + lies.len();
        prop_assume!(lies.len() * 3 < peers + 1);
        let honest = honest.iter().map(|(offset, width, share)| {
            let below = width * share / 100;
            Interval { lo_us: offset - below, hi_us: offset + width - below }
        });
        let lies = lies.iter().map(|(lo, width)| Interval { lo_us: *lo, hi_us: lo.saturating_add(*width) });
        let sources: Vec<(usize, Interval)> = honest.chain(lies).enumerate().collect();
        let judged = judge(&sources, peers + 1, bound_us);
        prop_assert_ne!(judged.verdict, Verdict::Violated);
    }
}

fn at(offset_us: i64) -> Interval {
    Interval {
        lo_us: offset_us - 200,
        hi_us: offset_us + 200,
    }
}

fn sources(offsets: &[i64]) -> Vec<(usize, Interval)> {
    offsets
        .iter()
        .map(|offset| at(*offset))
        .enumerate()
        .collect()
}

const HOUR: i64 = 3_600_000_000;
const BOUND: u64 = 500_000;

#[test]
fn an_hour_off_is_proven_by_more_than_half_of_the_members() {
    for sign in [1, -1] {
        let off = sign * HOUR;
        let judged = judge(&sources(&[off, off + 30_000, off - 70_000]), 4, BOUND);
        assert_eq!(judged.verdict, Verdict::Violated, "{judged:?}");
        assert_eq!((judged.against, judged.falsetickers.len()), (3, 0));
        assert_eq!(judged.own.unwrap().verdict(BOUND), Verdict::Violated);
        // One of three others is not here, or agrees: two of four are no majority.
        for few in [&sources(&[off, off])[..], &sources(&[off, off, 0])[..]] {
            assert_eq!(judge(few, 4, BOUND).verdict, Verdict::Undetermined);
        }
        // The others see one clock off, and are right themselves.
        let judged = judge(&sources(&[off, 1_000, -1_000]), 4, BOUND);
        assert_eq!(judged.verdict, Verdict::Ok, "{judged:?}");
        assert_eq!(judged.falsetickers, [0]);
    }
}

#[test]
fn two_members_prove_nothing_to_each_other() {
    assert_eq!(
        judge(&sources(&[HOUR]), 2, BOUND).verdict,
        Verdict::Undetermined
    );
    assert_eq!(judge(&sources(&[0]), 2, BOUND).verdict, Verdict::Ok);
    assert_eq!(judge(&[], 2, BOUND).verdict, Verdict::Undetermined);
}

#[test]
fn a_peer_that_only_does_not_contradict_proves_nothing() {
    let wide = Interval {
        lo_us: -2 * HOUR,
        hi_us: 2 * HOUR,
    };
    let liar = (0, at(HOUR));
    let judged = judge(&[liar, (1, wide), (2, wide)], 4, BOUND);
    assert_eq!(judged.verdict, Verdict::Undetermined, "{judged:?}");
}

#[test]
fn clocks_that_all_keep_the_bound_agree_although_no_moment_is_in_all_intervals() {
    let judged = judge(&sources(&[-300_000, 0, 300_000]), 4, BOUND);
    assert_eq!(judged.verdict, Verdict::Ok, "{judged:?}");
    assert_eq!(judged.agreeing, [0, 1, 2]);
    let own = judged.own.unwrap();
    assert!(own.lo_us <= -299_000 && own.hi_us >= 299_000, "{own:?}");
}
