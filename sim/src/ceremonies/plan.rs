//! What a run is about, drawn from its seed: what is voted on, who lies, who never comes, and how bad the weather is.
//! May not know what happens.

use super::people::Who;
use crate::net::Weather;
use crate::plan::Store;
use crate::streams::Stream;
use belfry_protocol::manifest::{Quorum, smallest_amendment};
use std::collections::BTreeSet;

/// What is broken on purpose: the rules must notice it, or they notice nothing.
#[cfg(feature = "sabotage")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The table of own votes does not survive the process.
    VolatileLock,
    /// A node commits to every certificate, whatever its lock says.
    CommitAlways,
    /// Votes leave as soon as they are entries, before a quorum acked them.
    ReleaseBeforeAck,
    /// What a step promises is done before the step is durable.
    PromisesBeforeCommit,
    /// A node whose disk was lost does not know that its votes are missing.
    ForgottenRestore,
    /// Whatever a human types confirms a vote.
    AnyConfirmation,
}

/// What one vote is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Epoch 0.
    Found,
    /// Somebody joins.
    Add,
    /// Somebody leaves.
    Remove,
    /// A tower becomes the factory, and the other way round.
    Rerole,
    /// A member's identity key is replaced.
    Replace,
    /// The amendment threshold changes.
    Thresholds,
    /// Too few members are left: recovery keys sign, and the survivors give way.
    Recover,
    /// Recovery keys sign although enough members are left, who do not give way.
    Veto,
}

impl Kind {
    const AMENDMENTS: [Self; 5] = [
        Self::Add,
        Self::Remove,
        Self::Rerole,
        Self::Replace,
        Self::Thresholds,
    ];

    /// A word for a log.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Found => "founding",
            Self::Add => "adding a member",
            Self::Remove => "removing a member",
            Self::Rerole => "changing roles",
            Self::Replace => "replacing an identity",
            Self::Thresholds => "changing a threshold",
            Self::Recover => "recovering",
            Self::Veto => "refusing a recovery",
        }
    }
}

/// Everything that a seed decides beforehand.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    /// Members of the first epoch.
    pub(super) members: usize,
    /// Votes, one after the other.
    pub(super) kinds: Vec<Kind>,
    /// Who keeps no rule.
    pub(super) liars: BTreeSet<Who>,
    /// Whose node is down for ever.
    pub(super) gone: BTreeSet<Who>,
    /// Whose node runs, and who never looks at it.
    pub(super) silent: BTreeSet<Who>,
    /// Whose node is down until the faults end.
    pub(super) late: BTreeSet<Who>,
    /// How long faults last in each vote, in hours.
    pub(super) chaos_hours: u64,
    pub(super) weather: Weather,
    /// One step in so many ends in a crash; 0: none.
    pub(super) crash_one_in: u64,
    /// Cuts of the network within a hundred hours.
    pub(super) cuts: u64,
    /// Disks are lost.
    pub(super) losses: bool,
    /// Clocks are wrong by hours.
    pub(super) wild_clocks: bool,
    /// People cannot agree, so that rivals get their rounds.
    pub(super) quarrel: bool,
    pub(super) store: Store,
    #[cfg(feature = "sabotage")]
    pub(super) sabotage: Option<Sabotage>,
}

/// One seed in so many has its directories on simulated disks, because SQLite takes time.
const ON_DISK_ONE_IN: u64 = 25;

impl Plan {
    /// Whether somebody acts as the rules ask.
    pub(super) fn is_honest(&self, who: Who) -> bool {
        !self.liars.contains(&who)
    }

    /// Draws the plan of a seed.
    pub(super) fn draw(seed: u64) -> Self {
        let mut draws = Stream::new(seed, "ceremony plan", 0);
        let seven = seed % 10 == 7;
        let members = if seven { 7 } else { 3 + draws.index(5) };
        let faulty = (members - 1) / 3;
        let needed = u32::try_from(members).ok().and_then(smallest_amendment);
        let needed = needed.unwrap_or(1) as usize;
        let kinds = if seven {
            vec![amendment(&mut draws)]
        } else {
            draw_kinds(&mut draws)
        };
        let recovers = matches!(kinds[0], Kind::Recover | Kind::Veto);
        let mut all: Vec<Who> = (0..members).collect();
        let mut take = |draws: &mut Stream, count: usize| -> BTreeSet<Who> {
            let picked = (0..count.min(all.len())).map(|_| all.swap_remove(draws.index(all.len())));
            picked.collect()
        };
        let liars = match (recovers, seven) {
            (true, _) => 0,
            (_, true) => 1,
            _ => draws.index(faulty + 1),
        };
        let liars = take(&mut draws, liars);
        let budget = members - needed - liars.len();
        let absent = match kinds[0] {
            // n - t + 1 are left.
            Kind::Recover => needed - 1,
            Kind::Veto => 0,
            _ if seven => 1,
            _ => draws.index(budget + 1),
        };
        let mut silent = take(&mut draws, absent);
        // Of so few nodes all must run, or no entry would ever be acked.
        let spare = (members - 1).saturating_sub(quorum_of(members - 1));
        let gone = match kinds[0] {
            Kind::Recover | Kind::Veto => 0,
            Kind::Found => draws.index(silent.len() + 1),
            _ if seven => 1,
            _ => draws.index(silent.len().min(spare) + 1),
        };
        let gone: BTreeSet<Who> = silent.iter().take(gone).copied().collect();
        silent.retain(|who| !gone.contains(who));
        let late = if seven { 1 } else { draws.index(2) };
        let late = take(&mut draws, late);
        let calm = draws.one_in(10);
        let odds = |draws: &mut Stream, most: u64| {
            let odds = if calm { 0 } else { draws.below(most) };
            u32::try_from(odds).unwrap_or(0)
        };
        let weather = Weather {
            loss: odds(&mut draws, 250_000),
            duplication: odds(&mut draws, 200_000),
            reordering: odds(&mut draws, 500_000),
            corruption: odds(&mut draws, 10_000),
            slow: odds(&mut draws, 300_000),
            slow_extra_us: 1_000_000 * draws.below(120),
        };
        let chaos_hours = if recovers {
            100 + draws.below(60)
        } else {
            24 + draws.below(170)
        };
        let on_disk = seed % ON_DISK_ONE_IN == 3;
        Self {
            seed,
            members,
            kinds,
            liars,
            gone,
            silent,
            late,
            chaos_hours,
            weather,
            crash_one_in: if calm {
                0
            } else {
                [0, 15, 40, 100][draws.index(4)]
            },
            cuts: if calm { 0 } else { draws.below(25) },
            losses: !calm && draws.one_in(2),
            wild_clocks: draws.one_in(2),
            quarrel: draws.one_in(2),
            store: if on_disk {
                Store::Sqlite
            } else {
                Store::Memory
            },
            #[cfg(feature = "sabotage")]
            sabotage: None,
        }
    }

    /// Whether it is broken in this way.
    #[cfg(feature = "sabotage")]
    pub(super) fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == Some(sabotage)
    }
}

fn quorum_of(towers: usize) -> usize {
    let quorum = u32::try_from(towers).ok().and_then(Quorum::smallest);
    quorum.map_or(towers, |quorum| quorum.needed as usize)
}

fn amendment(draws: &mut Stream) -> Kind {
    let kind = draws.pick(&Kind::AMENDMENTS);
    kind.copied().unwrap_or(Kind::Add)
}

fn draw_kinds(draws: &mut Stream) -> Vec<Kind> {
    match draws.below(12) {
        0 => return vec![Kind::Recover],
        1 => return vec![Kind::Veto],
        _ => {}
    }
    let first = if draws.one_in(3) {
        Kind::Found
    } else {
        amendment(draws)
    };
    let mut kinds = vec![first];
    while kinds.len() < 3 && draws.one_in(3) {
        kinds.push(amendment(draws));
    }
    kinds
}
