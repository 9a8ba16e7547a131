//! Large runs: many federations on one clock and beside them nodes that only follow heads, to see what they cost. A manifest
//! names at most 64 members, so that a thousand nodes are several federations, which have nothing to say to each other.
//! Nothing goes wrong here: faults are [`crate::plan`]'s.

mod followers;

use crate::founding::FoundingError;
use crate::plan::{Pace, Plan, PlanError, Seat, Store, Topology, VERSION, Workload, safe_quorum};
use crate::run::How;
use crate::watch::Violation;
use crate::world::World;
use belfry_protocol::note::memo::Memo;
use followers::Followers;
use serde::Serialize;

/// Most federations at once: with 64 members each, ten thousand nodes.
const MAX_FEDERATIONS: usize = 160;
/// Most followers.
const MAX_FOLLOWERS: usize = 1_000_000;
/// Bytes of an entry's body.
const ENTRY_BYTES: usize = 200;
/// Everything appended is acknowledged within this time after the last entry, in seconds.
const SETTLED_SECONDS: u64 = 60;

/// How large.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Seeds every stream of randomness.
    pub seed: u64,
    /// Federations.
    pub federations: usize,
    /// Factories of each, which keep a ledger.
    pub factories: usize,
    /// Towers of each.
    pub towers: usize,
    /// Entries per 1,000 seconds, over all factories of all federations.
    pub entries_per_1000_seconds: u64,
    /// Factories are connected to each other too; without it only to towers.
    pub full_mesh: bool,
    /// How often members do what they do without a reason.
    pub pace: Pace,
    /// Nodes that follow the heads of one federation each, over connections to all its towers.
    pub followers: usize,
}

/// Why a large run cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum LargeError {
    /// A number that leads nowhere.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The federation.
    #[error(transparent)]
    Founding(#[from] FoundingError),
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Work {
    /// Simulated seconds.
    pub seconds: u64,
    /// Steps of engines that were taken.
    pub steps: u64,
    /// Steps that were due and left out, because the engine said that they do nothing.
    pub rested: u64,
    /// Messages sent between members.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries appended.
    pub entries: u64,
    /// Heads that reached followers.
    pub heard: u64,
    /// Heads that followers accepted: signed by their log, and by a quorum.
    pub accepted: u64,
}

impl Work {
    /// What was done since.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            seconds: self.seconds - before.seconds,
            steps: self.steps - before.steps,
            rested: self.rested - before.rested,
            messages: self.messages - before.messages,
            bytes: self.bytes - before.bytes,
            entries: self.entries - before.entries,
            heard: self.heard - before.heard,
            accepted: self.accepted - before.accepted,
        }
    }
}

/// All federations, and who follows them.
pub struct Large {
    worlds: Vec<World>,
    followers: Option<Followers>,
    seconds: u64,
    /// Signatures are remembered as long as it runs.
    _memo: Memo,
}

impl Size {
    /// Nodes that are members.
    #[must_use]
    pub fn members(&self) -> usize {
        self.federations * (self.factories + self.towers)
    }

    fn plan(&self, federation: usize) -> Plan {
        let seat = |kind: &str, number: usize, tower: bool| Seat {
            name: format!("f{federation:03}-{kind}-{number:02}.sim"),
            factory: !tower,
            tower,
        };
        let factories = (0..self.factories).map(|number| seat("factory", number, false));
        let towers = (0..self.towers).map(|number| seat("tower", number, true));
        let rate = self.entries_per_1000_seconds / self.federations.max(1) as u64;
        Plan {
            version: VERSION,
            seed: self.seed.wrapping_add(federation as u64),
            topology: Topology {
                factories: self.factories,
                both: 0,
                towers: self.towers,
                quorum: safe_quorum(self.towers),
                named: factories.chain(towers).collect(),
                regions: Vec::new(),
                latency_us: Vec::new(),
            },
            store: Store::Memory,
            workload: Workload {
                entries_per_1000_seconds: rate,
                entry_bytes: ENTRY_BYTES,
                singles_per_1000_seconds: 0,
            },
            pace: self.pace,
            seconds: 1,
            converge_seconds: 0,
            faults: Vec::new(),
            #[cfg(feature = "sabotage")]
            sabotage: None,
        }
    }
}

impl Large {
    /// Federations that are about to start.
    ///
    /// # Errors
    /// [`LargeError`].
    pub fn new(size: &Size) -> Result<Self, LargeError> {
        if !(1..=MAX_FEDERATIONS).contains(&size.federations) || size.followers > MAX_FOLLOWERS {
            let what = format!(
                "1 to {MAX_FEDERATIONS} federations and at most {MAX_FOLLOWERS} followers are played"
            );
            return Err(PlanError::Wrong(what).into());
        }
        let memo = Memo::remember();
        let mut worlds = Vec::new();
        for federation in 0..size.federations {
            let plan = size.plan(federation);
            plan.check()?;
            let mut world = World::new(&plan, How::FAST)?;
            world.full_mesh = size.full_mesh;
            worlds.push(world);
        }
        Ok(Self {
            worlds,
            followers: None,
            seconds: 0,
            _memo: memo,
        })
    }

    /// Lets followers begin to listen, once members know each other's keys.
    pub fn follow(&mut self, size: &Size) {
        if size.followers > 0 {
            self.followers = Some(Followers::new(&mut self.worlds, size));
        }
    }

    /// Lets a second pass in all federations.
    pub fn pass_second(&mut self) {
        self.seconds += 1;
        for world in &mut self.worlds {
            world.run_until(self.seconds * 1_000_000);
        }
        if let Some(followers) = &mut self.followers {
            followers.hear(&mut self.worlds);
        }
    }

    /// What was done so far.
    #[must_use]
    pub fn work(&self) -> Work {
        let mut work = Work {
            seconds: self.seconds,
            ..Work::default()
        };
        for counted in self.worlds.iter().map(|world| &world.counted) {
            work.steps += counted.steps;
            work.rested += counted.rested;
            work.messages += counted.messages;
            work.bytes += counted.bytes;
            work.entries += counted.appended;
        }
        if let Some(followers) = &self.followers {
            (work.heard, work.accepted) = (followers.heard, followers.accepted);
        }
        work
    }

    /// The rule that was broken, if one was.
    #[must_use]
    pub fn violation(&self) -> Option<Violation> {
        let mut broken = self.worlds.iter().map(|world| world.watch.violation());
        broken.find_map(|one| one.cloned())
    }

    /// Ends the workload; everything must be acknowledged soon, and followed.
    ///
    /// # Errors
    /// What is missing.
    pub fn settle(&mut self) -> Result<(), String> {
        for world in &mut self.worlds {
            world.heal();
        }
        let mut missing = Ok(());
        for _ in 0..SETTLED_SECONDS {
            self.pass_second();
            let mut worlds = self.worlds.iter_mut();
            missing = worlds.try_for_each(crate::watch::is_well);
            if let (Ok(()), Some(followers)) = (&missing, &self.followers) {
                missing = followers.are_well(&self.worlds);
            }
            if missing.is_ok() {
                break;
            }
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn federations_beside_each_other_are_followed_to_their_newest_heads() {
        let size = Size {
            seed: 3,
            federations: 2,
            factories: 3,
            towers: 4,
            entries_per_1000_seconds: 2_000,
            full_mesh: false,
            pace: Pace::default(),
            followers: 6,
        };
        let mut large = Large::new(&size).unwrap();
        (0..10).for_each(|_| large.pass_second());
        large.follow(&size);
        (0..20).for_each(|_| large.pass_second());
        assert_eq!(large.settle(), Ok(()));
        assert_eq!(large.violation(), None);
        let work = large.work();
        assert!(work.entries > 10 && work.accepted > 6, "{work:?}");
        assert!(work.rested > work.steps / 10, "{work:?}");
    }
}
