//! Bans while the node runs: the table on disk, a copy in memory, and what a ban of a member means for quorums.
//! A ban shuts the door of this node only: the manifest still counts the member.

use crate::clock;
use crate::exit::{Code, Failure};
use crate::net::PeerId;
use crate::store::bans::{self, Ban, MAX_BANS, MAX_REASON_BYTES};
use crate::store::{Layout, OpenError};
use belfry_protocol::entry::time::TimeUs;
use belfry_protocol::manifest::Federation;
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The bans of a running node. Its methods wait for the disk, except where they say otherwise.
pub struct Bans {
    table: Mutex<bans::Bans>,
    list: Mutex<Vec<Ban>>,
}

impl Bans {
    /// Reads what holds now.
    ///
    /// # Errors
    /// When the table cannot be opened or read.
    pub fn open(layout: &Layout) -> Result<Self, Failure> {
        let opened = |error: OpenError| Failure::from(error);
        let table = bans::Bans::open(layout).map_err(opened)?;
        let list = table.list(clock::wall())?;
        Ok(Self {
            table: Mutex::new(table),
            list: Mutex::new(list),
        })
    }

    fn list(&self) -> MutexGuard<'_, Vec<Ban>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All bans, without the disk.
    #[must_use]
    pub fn all(&self) -> Vec<Ban> {
        self.list().clone()
    }

    /// The banned peers, without the disk.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerId> {
        self.list()
            .iter()
            .filter_map(|ban| ban.peer.parse().ok())
            .collect()
    }

    /// Adds a ban, or replaces the one of the same peer; the caller tells the network.
    ///
    /// # Errors
    /// When there are too many, the reason is no short line, or the disk fails.
    pub fn add(&self, ban: Ban) -> Result<(), Failure> {
        if ban.reason.len() > MAX_REASON_BYTES || ban.reason.chars().any(char::is_control) {
            return Err(Failure::new(
                Code::Usage,
                format!("the reason must be one line of at most {MAX_REASON_BYTES} bytes"),
            ));
        }
        let others = self
            .list()
            .iter()
            .filter(|old| old.peer != ban.peer)
            .count();
        if others >= MAX_BANS as usize {
            return Err(
                Failure::new(Code::Failed, format!("there are {MAX_BANS} bans already"))
                    .hint("lift some with `belfry peers unban`, or give bans an end with --for"),
            );
        }
        self.table
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .put(&ban)?;
        let mut list = self.list();
        list.retain(|old| old.peer != ban.peer);
        list.push(ban);
        Ok(())
    }

    /// Lifts a ban and says whether there was one; the caller tells the network.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn lift(&self, peer: &str) -> Result<bool, Failure> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let was = table.remove(peer)?;
        self.list().retain(|ban| ban.peer != peer);
        Ok(was)
    }

    /// The bans that have ended and are not forgotten yet, without the disk.
    pub(super) fn ended(&self, now: TimeUs) -> Vec<Ban> {
        let list = self.list();
        list.iter().filter(|ban| !ban.holds(now)).cloned().collect()
    }

    /// Forgets a ban that has ended; the disk does so by itself.
    pub(super) fn forget(&self, ended: &Ban) {
        self.list().retain(|ban| ban != ended);
    }
}

/// How far a ban reaches: what is left of the towers of one ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The ledger.
    pub origin: String,
    /// Towers that count for it: a banned one still does.
    pub towers: u32,
    /// Towers that must hold and acknowledge a digest.
    pub needed: u32,
    /// Towers that still can, as far as this node's bans go.
    pub left: u32,
}

impl Left {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let outcome = if self.left < self.needed {
            "that is too few: nothing more is signed until a ban is lifted"
        } else if self.left == self.needed {
            "none of them may fail"
        } else {
            "that is enough"
        };
        format!(
            "{} of {} towers of {} are left, and a digest needs {}: {outcome}",
            self.left, self.towers, self.origin, self.needed
        )
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "origin": self.origin, "towers": self.towers, "needed": self.needed, "left": self.left,
            "enough": self.left >= self.needed,
        })
    }
}

/// What the bans of `banned` (names of members) leave, seen from the node `me`: of the towers of its own ledger, and of
/// those of every banned factory, of which this node then is none.
#[must_use]
pub fn what_is_left(federation: &Federation, me: &str, banned: &[String]) -> Vec<Left> {
    let Some((_, own)) = federation.member(me) else {
        return Vec::new();
    };
    let is_banned = |name: &str| banned.iter().any(|one| one == name);
    let mut all = Vec::new();
    for member in &federation.manifest().members {
        let mine = member.name == own.name && member.factory;
        let cut_off = is_banned(&member.name) && member.factory && own.tower;
        let Some(quorum) = federation.quorum_of(&member.name) else {
            continue;
        };
        if !mine && !cut_off {
            continue;
        }
        let gone = federation
            .towers_of(&member.name)
            .filter(|(_, tower)| {
                (mine && is_banned(&tower.name)) || (cut_off && tower.name == own.name)
            })
            .count();
        let gone = u32::try_from(gone).unwrap_or(u32::MAX);
        all.push(Left {
            origin: member.name.clone(),
            towers: quorum.towers,
            needed: quorum.needed,
            left: quorum.towers.saturating_sub(gone),
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::testing::found;
    use super::*;

    #[test]
    fn a_banned_tower_still_counts_and_what_is_left_is_said() {
        let founded = found(4);
        let names = |numbers: &[usize]| -> Vec<String> {
            let name = |number: &usize| founded.keys[*number].name().to_owned();
            numbers.iter().map(name).collect()
        };
        let left = |me: &str, banned: &[usize]| {
            let all = what_is_left(&founded.federation, me, &names(banned));
            all.into_iter()
                .map(|one| {
                    (
                        one.origin.clone(),
                        one.left,
                        one.towers,
                        one.needed,
                        one.text(),
                    )
                })
                .collect::<Vec<_>>()
        };
        let factory = "a.test.example";
        let one = left(factory, &[1]);
        assert_eq!((one[0].1, one[0].2, one[0].3), (2, 3, 2));
        assert!(one[0].4.ends_with("none of them may fail"), "{one:?}");
        let two = left(factory, &[1, 2]);
        assert!(two[0].4.contains("too few"), "{two:?}");
        // A tower that bans the factory acknowledges it no more; one that bans another tower changes nothing.
        let tower = left("b.test.example", &[0]);
        assert_eq!((tower[0].0.as_str(), tower[0].1), (factory, 2));
        assert_eq!(left("b.test.example", &[2]), []);
    }

    #[test]
    fn a_ban_ends_by_itself_and_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let now = clock::wall();
        let peer = PeerId::random();
        let later = TimeUs::from_micros(now.micros() + 60_000_000).unwrap();
        let ban = |until| Ban {
            peer: peer.to_string(),
            member: None,
            at: now,
            until,
            reason: String::new(),
        };
        let bans = Bans::open(&layout).unwrap();
        bans.add(ban(Some(later))).unwrap();
        assert_eq!(Bans::open(&layout).unwrap().peers(), [peer]);
        assert_eq!(bans.ended(now), []);
        for ended in bans.ended(later) {
            bans.forget(&ended);
        }
        assert_eq!(bans.all(), []);
        let lines = Ban {
            reason: "two\nlines".to_owned(),
            ..ban(None)
        };
        assert_eq!(bans.add(lines).unwrap_err().code, Code::Usage);
        bans.add(ban(None)).unwrap();
        assert!(bans.lift(&peer.to_string()).unwrap());
        assert!(Bans::open(&layout).unwrap().peers().is_empty());
    }
}
