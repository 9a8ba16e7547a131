//! Nodes that only follow heads: each hears what the towers of one federation tell, and believes a digest once its log and a
//! quorum of towers signed it, by the verifier that auditors use. They hold no entries, so that they compare roots of one
//! size and never see a proof of consistency; and they tell nobody anything.

use super::Size;
use crate::streams::Stream;
use crate::world::{Told, World};
use belfry_protocol::checkpoint::Checkpoint;
use belfry_protocol::manifest::policy;
use belfry_protocol::note::SignedNote;
use belfry_protocol::policy::Policy;
use belfry_protocol::tlog::hash::Hash;
use belfry_protocol::wire::v1::{Heads, Kind};
use belfry_protocol::wire::{Frame, codec};
use std::collections::{BTreeMap, BTreeSet};

/// Longest frame that is read.
const MAX_FRAME: usize = 16 << 20;
/// One-way latency from a tower to a follower, in microseconds: from, and up to.
const LATENCY_US: (u64, u64) = (5_000, 80_000);
/// One in so many messages is lost on its way.
const LOSS_PER_MILLION: u32 = 1_000;

/// All of them.
pub(super) struct Followers {
    federations: Vec<Federation>,
    draws: Stream,
    pub(super) heard: u64,
    pub(super) accepted: u64,
}

/// One federation, as its followers know it: all know the same keys.
struct Federation {
    ledgers: Ledgers,
    followers: Vec<Follower>,
}

/// What must have signed the digests of each ledger.
struct Ledgers {
    by_name: BTreeMap<String, (usize, Policy)>,
    /// Names of those whose lines are counted, by their bit in [`Head::by`].
    witnesses: Vec<String>,
}

/// One node: what it knows of each ledger.
#[derive(Clone)]
struct Follower {
    heads: Vec<Head>,
}

/// The newest digest of one ledger that a node heard of, and the newest that it believes.
#[derive(Clone, Copy, Default)]
struct Head {
    heard: Option<(u64, Hash)>,
    /// Whose lines on it were right.
    by: u64,
    believed: Option<(u64, Hash)>,
}

impl Followers {
    pub(super) fn new(worlds: &mut [World], size: &Size) -> Self {
        let each = size.followers.div_ceil(worlds.len().max(1));
        let mut left = size.followers;
        let federations = worlds.iter_mut().map(|world| {
            let count = each.min(left);
            left -= count;
            world.listen();
            let ledgers = Ledgers::of(world);
            let heads = vec![Head::default(); ledgers.by_name.len()];
            Federation {
                ledgers,
                followers: vec![Follower { heads }; count],
            }
        });
        Self {
            federations: federations.collect(),
            draws: Stream::new(size.seed, "followers", 0),
            heard: 0,
            accepted: 0,
        }
    }

    /// Brings everybody what was told since the last time.
    pub(super) fn hear(&mut self, worlds: &mut [World]) {
        for (federation, world) in self.federations.iter_mut().zip(worlds) {
            let told = world.take_told();
            for follower in &mut federation.followers {
                // Each is reached by each message at another time, or never.
                let mut arrives: Vec<(u64, &Told)> = Vec::with_capacity(told.len());
                for one in &told {
                    if !self.draws.happens(LOSS_PER_MILLION) {
                        let delay_us = self.draws.between(LATENCY_US.0, LATENCY_US.1);
                        arrives.push((one.at_us + delay_us, one));
                    }
                }
                arrives.sort_by_key(|(at_us, _)| *at_us);
                for (_, one) in arrives {
                    for note in notes(one) {
                        self.heard += 1;
                        match follower.hear(&federation.ledgers, &note) {
                            Ok(accepted) => self.accepted += u64::from(accepted),
                            Err(what) => world.watch.fail("S3", None, what),
                        }
                    }
                }
            }
        }
    }

    /// Whether everybody believes the newest digest of every ledger; if not, who does not.
    pub(super) fn are_well(&self, worlds: &[World]) -> Result<(), String> {
        for (federation, world) in self.federations.iter().zip(worlds) {
            for (name, (at, _)) in &federation.ledgers.by_name {
                let newest = world.newest_digest(name);
                let behind = |one: &&Follower| one.heads[*at].believed != newest;
                let behind = federation.followers.iter().filter(behind).count();
                if behind > 0 {
                    return Err(format!(
                        "{behind} followers do not know the newest digest of {name}"
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Ledgers {
    /// As an auditor derives it from the manifest and the certificates that a tower knows.
    fn of(world: &World) -> Self {
        let mut towers = world
            .nodes
            .iter()
            .filter(|node| world.founded.member(node.at).tower);
        let engine = towers.find_map(|node| node.engine.as_ref());
        let chain_of = |name: &str| {
            let members = engine?.members();
            Some(members.chain(world.founded.by_name(name)?).to_vec())
        };
        let factories = world
            .nodes
            .iter()
            .filter(|node| world.founded.member(node.at).factory);
        let policies = factories.filter_map(|node| {
            let policy = policy(&world.founded.federation, &node.name, chain_of).ok()?;
            Some((node.name.clone(), policy))
        });
        let mut witnesses = BTreeSet::new();
        let mut by_name = BTreeMap::new();
        for (at, (name, policy)) in policies.enumerate() {
            witnesses.extend(policy.witnesses().iter().map(|one| one.name.clone()));
            by_name.insert(name, (at, policy));
        }
        Self {
            by_name,
            witnesses: witnesses.into_iter().collect(),
        }
    }
}

/// The notes in a message of a tower.
fn notes(told: &Told) -> Vec<SignedNote> {
    let frame = Frame::parse(told.word.bytes(), MAX_FRAME).ok();
    let frame = frame.filter(|frame| Kind::from_number(frame.kind) == Some(Kind::Heads));
    let heads = frame.and_then(|frame| codec::decode::<Heads>(frame.payload).ok());
    let notes = heads.iter().flat_map(|heads| heads.notes.as_slice());
    notes
        .filter_map(|note| SignedNote::parse(note.as_slice()).ok())
        .collect()
}

impl Follower {
    /// Hears a digest with some lines. Says whether it is believed from now on and was not before.
    fn hear(&mut self, ledgers: &Ledgers, note: &SignedNote) -> Result<bool, String> {
        let Ok(digest) = Checkpoint::parse(note.text()) else {
            return Ok(false);
        };
        let Some((at, policy)) = ledgers.by_name.get(&digest.origin) else {
            return Ok(false);
        };
        let head = &mut self.heads[*at];
        let new = (digest.size, digest.root);
        let is_older = |known: Option<(u64, Hash)>| known.is_some_and(|(size, _)| size > new.0);
        if head.believed == Some(new) || is_older(head.heard) {
            return Ok(false);
        }
        // What is not signed, or wrongly, says nothing.
        let Ok(standing) = policy.evaluate(note, &digest.origin) else {
            return Ok(false);
        };
        if let Some((size, root)) = head.heard.filter(|known| known.0 == new.0 && *known != new) {
            return Err(format!(
                "a follower heard of two roots of {size} entries of {}: {root} and {}",
                digest.origin, new.1
            ));
        }
        if head.heard != Some(new) {
            head.heard = Some(new);
            head.by = 0;
        }
        for counted in &standing.counted {
            if let Ok(bit) = ledgers.witnesses.binary_search(&counted.name) {
                head.by |= 1_u64
                    .checked_shl(u32::try_from(bit).unwrap_or(64))
                    .unwrap_or(0);
            }
        }
        let named = ledgers.witnesses.iter().enumerate();
        let named = named.filter(|(bit, _)| head.by >> bit & 1 == 1);
        let names: BTreeSet<&str> = named.map(|(_, name)| name.as_str()).collect();
        let accepted = policy.is_satisfied(&names);
        if accepted {
            head.believed = Some(new);
        }
        Ok(accepted)
    }
}
