//! Clocks that are wrong (R4, R8): a tower that is proven wrong stops its acks and no one else's, and goes on by itself.

use super::founding::peer_id;
use super::witness::{self, Log, TOWER};
use super::world::{World, wall};
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::clock::{Reading, Stamps, Verdict};
use belfry_protocol::cosignature::timestamp;
use belfry_protocol::engine::Now;
use belfry_protocol::engine::federation::witness::Answer;
use belfry_protocol::engine::federation::{Alarm, Input};
use belfry_protocol::engine::nonces::{ConfirmedBy, Why};
use belfry_protocol::entry::time::TimeUs;
use belfry_protocol::note::SignedNote;
use belfry_protocol::wire::v1::Reason;
use std::collections::BTreeMap;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;

impl World {
    /// Both clocks of a node.
    pub(crate) fn clocks_of(&self, at: usize) -> Now {
        let skew_us = self.skew_us.get(&at).copied().unwrap_or(0);
        Now {
            mono_us: self.now_us,
            wall: TimeUs::from_micros(wall(self.now_us).micros() + skew_us).unwrap(),
        }
    }

    fn reading(&self, at: usize, after_us: u64) -> Reading {
        let now = self.clocks_of(at);
        Reading {
            mono_us: now.mono_us + after_us,
            wall_us: now.wall.micros() + i64::try_from(after_us).unwrap(),
        }
    }

    /// A probe from one node to another that takes so long there and back; it ends when it ends.
    fn probe(&mut self, from: usize, to: usize, there_us: u64, back_us: u64) {
        if !self.is_up(from) || !self.is_up(to) || !self.linked(from, to) {
            return;
        }
        let stamps = Stamps {
            sent: self.reading(from, 0),
            received_us: self.reading(to, there_us).wall_us,
            answered_us: self.reading(to, there_us).wall_us,
            came: self.reading(from, there_us + back_us),
        };
        let peer = peer_id(self.name(to));
        self.run_ms((there_us + back_us).div_ceil(1_000));
        self.step(from, vec![Input::ClockSample { peer, stamps }]);
    }

    /// Everybody measures everybody.
    pub(crate) fn measure(&mut self) {
        for from in 0..self.nodes.len() {
            for to in 0..self.nodes.len() {
                if from != to {
                    self.probe(from, to, 300, 400);
                }
            }
        }
    }

    fn verdict(&self, at: usize) -> Verdict {
        self.status(at).clock.verdict
    }

    fn violations(&self, at: usize) -> usize {
        let alarms = self.nodes[at].alarms.iter();
        let violated = |alarm: &&Alarm| matches!(alarm, Alarm::ClockViolated { .. });
        alarms.filter(violated).count()
    }

    /// Size of the newest digest of the factory that a tower acked.
    fn acked_by(&self, tower: usize) -> u64 {
        self.status(tower)
            .mirrors
            .first()
            .map_or(0, |one| one.acked)
    }

    /// Every ack that ever left a tower, as times by size, in the order in which they were given.
    fn ack_times(&self, tower: usize) -> Vec<(u64, u64)> {
        let name = self.name(tower).to_owned();
        let answers = self.answers.iter().filter(|(at, _)| *at == tower);
        let notes = answers.filter_map(|(_, bytes)| SignedNote::parse(bytes.get(12..)?).ok());
        let times = notes.filter_map(|note| {
            let size = Checkpoint::parse(note.text()).ok()?.size;
            let line = note.signatures().iter().find(|line| line.name() == name)?;
            Some((size, timestamp(line)?))
        });
        times.collect()
    }
}

fn started(towers: usize, k: u32) -> World {
    let mut world = World::new(towers, k);
    world.run_ms(500);
    world.append(0, "first");
    world.run_ms(200);
    assert_eq!(world.nodes[0].acked, 1);
    world.measure();
    world
}

#[test]
fn clocks_that_are_right_are_confirmed_and_shown_with_their_uncertainty() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    let before = world.status(1).clock;
    assert_eq!(before.verdict, Verdict::Undetermined);
    assert_eq!(before.confirmed, Some(Err(Why::Start)));
    world.skew_us = BTreeMap::from([(1, 20_000), (2, -30_000)]);
    world.run_ms(100);
    world.measure();
    for node in 0..4 {
        let clock = world.status(node).clock;
        assert_eq!(clock.verdict, Verdict::Ok, "node {node}: {clock:?}");
        assert_eq!(clock.confirmed, Some(Ok(ConfirmedBy::Probe)));
        assert!(clock.may_ack && clock.falsetickers.is_empty());
        assert_eq!(clock.peers.len(), 3);
        assert_eq!(clock.count(Verdict::Ok), 3);
    }
    let clock = world.status(1).clock;
    let second = clock.peers.iter().find(|one| one.name == world.name(2));
    let offset = second.unwrap().offset.unwrap();
    assert!(offset.contains(-50_000), "{offset:?}");
    assert!(offset.half_width_us() < 400, "{offset:?}");
    assert_eq!(clock.spread().unwrap().p95_us / 1_000, 50);
}

#[test]
fn a_tower_an_hour_off_stops_its_acks_and_resumes_by_itself() {
    for off_us in [HOUR, -HOUR] {
        let mut world = started(3, 2);
        world.kill(3);
        world.skew_us.insert(3, off_us);
        world.start(3);
        world.run_ms(1_000);
        world.measure();
        assert_eq!(
            world.verdict(3),
            Verdict::Violated,
            "{:?}",
            world.status(3).clock
        );
        assert_eq!(world.violations(3), 1);
        let before = world.acked_by(3);
        for word in ["second", "third"] {
            world.append(0, word);
            world.run_ms(300);
        }
        world.measure();
        world.run_ms(3_000);
        // The others go on, and are right; the one that is wrong mirrors and acks nothing.
        assert_eq!(world.nodes[0].acked, 3, "{:?}", world.status(0));
        for node in 0..3 {
            assert_eq!(world.verdict(node), Verdict::Ok, "node {node}");
            assert_eq!(world.status(node).clock.falsetickers, [world.name(3)]);
            assert_eq!(world.violations(node), 0);
        }
        assert_eq!((world.acked_by(3), world.held(3)), (before, 3));
        assert_eq!(world.violations(3), 1, "told once");
        assert_eq!(world.status(3).clock.confirmed, Some(Err(Why::Outside)));
        let peers = world.status(0).peers;
        let refused = peers.iter().find(|peer| peer.name == world.name(3));
        assert_eq!(refused.unwrap().refused, Some(Reason::Clock.text()));
        // Somebody sets it right: nothing else is needed.
        world.skew_us.clear();
        world.run_ms(200);
        world.measure();
        world.run_ms(3_000);
        assert_eq!(world.verdict(3), Verdict::Ok);
        assert_eq!(world.acked_by(3), 3, "{:?}", world.status(3));
        let times = world.ack_times(3);
        assert!(
            times.windows(2).all(|two| two[0].1 <= two[1].1),
            "{times:?}"
        );
    }
}

#[test]
fn over_http_a_wrong_clock_is_503_and_nothing_is_cosigned() {
    let mut world = witness::asked();
    let log = Log::new(20);
    world.measure();
    assert_eq!(world.witness(TOWER, log.request(0, 5)).status(), 200);
    world.skew_us.insert(TOWER, HOUR);
    world.run_ms(200);
    // It stepped a moment ago; then it is proven wrong.
    assert_eq!(world.witness(TOWER, log.request(5, 9)).status(), 503);
    world.measure();
    assert_eq!(world.verdict(TOWER), Verdict::Violated);
    let Answer::NotNow { why, .. } = world.witness(TOWER, log.request(5, 9)) else {
        panic!("cosigned with a wrong clock");
    };
    assert!(why.starts_with("clock: "), "{why}");
    world.skew_us.clear();
    world.run_ms(200);
    world.measure();
    assert_eq!(world.witness(TOWER, log.request(5, 9)).status(), 200);
}

#[test]
fn a_factory_an_hour_off_goes_on_and_shows_it() {
    let mut world = started(3, 2);
    world.skew_us.insert(0, HOUR);
    world.run_ms(200);
    world.measure();
    assert_eq!(world.verdict(0), Verdict::Violated);
    world.append(0, "second");
    world.run_ms(500);
    assert_eq!(world.nodes[0].acked, 2);
    for tower in 1..=3 {
        assert_eq!(world.verdict(tower), Verdict::Ok, "tower {tower}");
    }
}

#[test]
fn a_clock_that_jumps_during_an_ack_signs_no_wrong_time() {
    for off_us in [HOUR, -HOUR] {
        let mut world = started(3, 3);
        let before = world.ack_times(2);
        world.append(0, "second");
        // Its digest is on its way; when it arrives, the clock has jumped, and nobody has measured it since.
        world.run_ms(2);
        world.skew_us.insert(2, off_us);
        world.run_ms(5_000);
        assert_eq!(world.verdict(2), Verdict::Undetermined);
        assert!(!world.status(2).clock.may_ack, "{off_us}");
        assert!(world.measures > 0, "new samples are asked for at once");
        assert_eq!(world.ack_times(2), before, "nothing was signed");
        world.measure();
        assert_eq!(world.verdict(2), Verdict::Violated);
        // It jumps back: what was proven is not true any more, and the ack has a right time.
        world.skew_us.clear();
        world.run_ms(3_000);
        world.measure();
        world.run_ms(2_000);
        assert_eq!(world.nodes[0].acked, 2, "{:?}", world.status(0));
        let times = world.ack_times(2);
        assert!(
            times.windows(2).all(|two| two[0].1 <= two[1].1),
            "{times:?}"
        );
        let newest = times.last().unwrap().1;
        let now = u64::try_from(world.clocks_of(0).wall.seconds()).unwrap();
        assert!(newest <= now && now - newest < 60, "{newest} at {now}");
    }
}

#[test]
fn a_tower_that_nobody_can_measure_is_not_silent_for_ever() {
    let mut world = started(3, 2);
    world.skew_us.insert(2, -HOUR);
    world.append(0, "second");
    world.run_ms(5_000);
    assert_eq!(world.acked_by(2), 1);
    world.run_ms(40_000);
    assert!(world.status(2).clock.may_ack);
    world.append(0, "third");
    world.run_ms(2_000);
    assert_eq!(world.acked_by(2), 3);
    let times = world.ack_times(2);
    assert!(
        times.windows(2).all(|two| two[0].1 <= two[1].1),
        "{times:?}"
    );
}

#[test]
fn delay_in_one_direction_widens_the_interval_and_accuses_nobody() {
    let mut world = started(3, 2);
    world.kill(1);
    world.start(1);
    world.run_ms(1_000);
    // Answers to it take four seconds, as an attacker on the wire may make them.
    for _ in 0..4 {
        for peer in [0, 2, 3] {
            world.probe(1, peer, 300, 4_000_000);
        }
    }
    let clock = world.status(1).clock;
    assert_eq!(clock.verdict, Verdict::Undetermined, "{clock:?}");
    assert!(clock.may_ack);
    for peer in &clock.peers {
        let offset = peer.offset.unwrap();
        assert!(offset.contains(0), "{offset:?}");
        assert!(
            (-2_010_000..-1_990_000).contains(&offset.middle_us()),
            "{offset:?}"
        );
    }
    world.append(0, "second");
    world.run_ms(300);
    assert_eq!(world.acked_by(1), 2);
}

#[test]
fn a_liar_stops_no_tower_and_moves_no_other_interval() {
    let mut world = started(4, 3);
    let honest = world.status(1).clock.peers;
    // The fourth tower says another time to everybody, each time a worse one.
    for lie_us in [HOUR, -HOUR, 90 * SECOND] {
        world.skew_us.insert(4, lie_us);
        world.run_ms(100);
        world.measure();
    }
    for node in 0..4 {
        let clock = world.status(node).clock;
        assert_eq!(clock.verdict, Verdict::Ok, "node {node}: {clock:?}");
        assert_eq!(clock.falsetickers, [world.name(4)]);
        let liar = clock.peers.iter().find(|one| one.name == world.name(4));
        assert_eq!(liar.unwrap().steps, 3, "a clock that steps is counted");
    }
    for (before, after) in honest.iter().zip(world.status(1).clock.peers) {
        if after.name != world.name(4) {
            let (was, is) = (before.offset.unwrap(), after.offset.unwrap());
            assert!(was.lo_us <= is.hi_us && is.lo_us <= was.hi_us);
            assert_eq!(after.steps, 0);
        }
    }
}

#[test]
fn probes_that_show_nothing_are_counted_and_change_nothing() {
    let mut world = started(3, 2);
    let before = world.status(1).clock;
    let good = Stamps {
        sent: world.reading(1, 0),
        received_us: world.reading(2, 100).wall_us,
        answered_us: world.reading(2, 100).wall_us,
        came: world.reading(1, 200),
    };
    let mut wrong = good;
    wrong.answered_us -= SECOND;
    let peer = peer_id(world.name(2));
    world.step(
        1,
        vec![Input::ClockSample {
            peer,
            stamps: wrong,
        }],
    );
    let after = world.status(1).clock;
    assert_eq!(after.discarded, [("answered_before_asked", 1)]);
    assert_eq!(
        (after.samples, after.verdict),
        (before.samples, Verdict::Ok)
    );
    // A stranger's clock is nobody's.
    let input = Input::ClockSample {
        peer: "12D3KooWnobody".to_owned(),
        stamps: good,
    };
    world.step(1, vec![input]);
    assert_eq!(world.status(1).clock.samples, before.samples);
}

#[test]
fn what_an_operator_confirmed_holds_until_a_step_or_a_restart() {
    let mut world = World::new(3, 2);
    world.run_ms(500);
    let confirmed = |world: &World| world.status(1).clock.confirmed;
    assert_eq!(confirmed(&world), Some(Err(Why::Start)));
    world.step(1, vec![Input::ConfirmClock]);
    assert_eq!(confirmed(&world), Some(Ok(ConfirmedBy::Operator)));
    // A long while without any probe, and probes that say something else, change nothing.
    world.run_ms(3_600_000);
    assert_eq!(confirmed(&world), Some(Ok(ConfirmedBy::Operator)));
    world.kill(1);
    world.start(1);
    world.run_ms(500);
    assert_eq!(confirmed(&world), Some(Err(Why::Start)));
    world.step(1, vec![Input::ConfirmClock]);
    world.skew_us.insert(1, 60 * SECOND);
    world.run_ms(500);
    assert_eq!(confirmed(&world), Some(Err(Why::Step)));
}

#[test]
fn an_operator_does_not_talk_a_tower_out_of_a_proven_violation() {
    let mut world = World::new(3, 2);
    world.skew_us.insert(1, HOUR);
    world.kill(1);
    world.start(1);
    world.run_ms(500);
    world.step(1, vec![Input::ConfirmClock]);
    world.measure();
    let clock = world.status(1).clock;
    assert_eq!(clock.confirmed, Some(Ok(ConfirmedBy::Operator)));
    assert_eq!((clock.verdict, clock.may_ack), (Verdict::Violated, false));
}
