//! Messages that are given up: counted by reason, for members also by who sent them or passed them on, and told to the
//! runtime one by one. May not answer anybody: rules do.

use super::io::{Free, Input};
use super::members::MemberIx;
use super::{Turn, Volatile};
use crate::engine::store::Transaction;
use std::collections::BTreeMap;

/// Counts since the start. Reasons are words of this program, and members those of the manifest, so both are few.
#[derive(Default)]
pub(super) struct Refusals {
    all: BTreeMap<&'static str, u64>,
    by_member: BTreeMap<MemberIx, BTreeMap<&'static str, u64>>,
}

impl Refusals {
    pub(super) fn count(&mut self, member: Option<MemberIx>, why: &'static str) {
        *self.all.entry(why).or_default() += 1;
        if let Some(member) = member {
            let by = self.by_member.entry(member).or_default();
            *by.entry(why).or_default() += 1;
        }
    }

    pub(super) fn all(&self) -> Vec<(&'static str, u64)> {
        listed(&self.all)
    }

    pub(super) fn of(&self, member: MemberIx) -> Vec<(&'static str, u64)> {
        self.by_member.get(&member).map_or(Vec::new(), listed)
    }
}

fn listed(counts: &BTreeMap<&'static str, u64>) -> Vec<(&'static str, u64)> {
    counts.iter().map(|(why, count)| (*why, *count)).collect()
}

/// The peer that an input came from, and whether somebody else may have written it.
pub(super) fn sender(v: &Volatile, input: &Input) -> Option<(String, bool)> {
    match input {
        Input::Request { peer, .. } => Some((peer.clone(), false)),
        Input::Gossip { peer, .. } => Some((peer.clone(), true)),
        Input::Response { id, .. } => v.asked.get(id).map(|asked| (asked.peer.clone(), false)),
        _ => None,
    }
}

impl<T: Transaction> Turn<'_, '_, T> {
    /// A message was given up: counts it, and lets the runtime say so.
    pub(super) fn given_up(&mut self, sender: Option<(String, bool)>, why: &'static str) {
        let (peer, relayed) = sender.unzip();
        let by = |peer: &String| self.settings.members.by_peer(peer);
        let member = peer.as_ref().and_then(by);
        self.v.refused.count(member, why);
        if let Some(peer) = peer {
            self.out.free(Free::Refused {
                peer,
                why,
                relayed: relayed == Some(true),
            });
        }
    }
}
