//! The other members as the transport is to know them: names, addresses, whom to stay connected to. Changes with the epochs. May not
//! admit anybody: that is the engine's.

use crate::net::{Multiaddr, PeerId};
use belfry_protocol::engine::federation::members::Members;
use belfry_protocol::manifest::Member;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whom to stay connected to, and where.
type List = Vec<(PeerId, Vec<Multiaddr>)>;

#[derive(Default)]
struct State {
    names: BTreeMap<PeerId, String>,
    list: List,
    /// The transport has not been told yet.
    untold: bool,
}

/// The other members.
#[derive(Default)]
pub(super) struct Roster(Mutex<State>);

impl Roster {
    /// Of one manifest, before the engine runs.
    pub(super) fn of<'m>(members: impl Iterator<Item = &'m Member>, local: PeerId) -> Self {
        let roster = Self::default();
        roster.set(members.map(|member| (member, true)), local);
        roster
    }

    /// As the engine knows them now: who left is named, and no longer wanted once no ledger needs it.
    pub(super) fn enroll(&self, members: &Members, local: PeerId) {
        let Some(me) = members.by_peer(&local.to_string()) else {
            return;
        };
        let all =
            (0..members.count()).map(|one| (members.line(one), !members.has_departed(me, one)));
        // Of two with one transport id the one that is wanted counts.
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|(_, wanted)| *wanted);
        self.set(all.into_iter(), local);
    }

    fn set<'m>(&self, members: impl Iterator<Item = (&'m Member, bool)>, local: PeerId) {
        let (mut names, mut list) = (BTreeMap::new(), BTreeMap::new());
        for (member, wanted) in members {
            let Some(peer) = member.peer.parse().ok().filter(|peer| *peer != local) else {
                continue;
            };
            names.insert(peer, member.name.clone());
            if wanted {
                let addresses = member.addresses.iter();
                let addresses = addresses.filter_map(|one| one.parse::<Multiaddr>().ok());
                list.insert(peer, addresses.collect());
            }
        }
        let list: List = list.into_iter().collect();
        let mut state = self.lock();
        state.names = names;
        if state.list != list {
            state.list = list;
            state.untold = true;
        }
    }

    /// What the manifest calls a peer, if it is or was a member.
    pub(super) fn name_of(&self, peer: &PeerId) -> Option<String> {
        self.lock().names.get(peer).cloned()
    }

    /// Tells the list, if it changed; `tell` says whether it could.
    pub(super) fn tell(&self, tell: impl FnOnce(List) -> bool) {
        let mut state = self.lock();
        if state.untold {
            state.untold = !tell(state.list.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::found;
    use super::*;

    #[test]
    fn a_list_is_told_once_and_again_if_it_could_not_be() {
        let founded = found(3);
        let members = &founded.federation.manifest().members;
        let local: PeerId = founded.peer(0).parse().unwrap();
        let roster = Roster::of(members.iter(), local);
        let other: PeerId = founded.peer(1).parse().unwrap();
        assert_eq!(roster.name_of(&other), Some(members[1].name.clone()));
        assert_eq!(roster.name_of(&local), None);
        roster.tell(|_| false);
        let mut told = Vec::new();
        roster.tell(|list| {
            told = list;
            true
        });
        assert_eq!(told.len(), members.len() - 1);
        roster.tell(|_| unreachable!("it was told"));
        roster.enroll(&Members::new(founded.federation.clone()), local);
        roster.tell(|_| unreachable!("nothing changed"));
    }
}
