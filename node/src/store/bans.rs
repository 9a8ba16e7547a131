//! Banned peers, by transport id, with the reason and when it ends (`state.db`).
//! May not decide who is banned, and closes no connection: that is for whoever holds the network.

use super::open::{self, Database};
use super::transaction::store_error;
use super::{Layout, OpenError};
use crate::disk::RealDisk;
use belfry_protocol::engine::store::StoreError;
use belfry_protocol::entry::time::TimeUs;
use rusqlite::{Connection, Row, params};

/// Most bans at once: far more than members, little enough to list and to look through at every dial.
pub const MAX_BANS: u32 = 1_024;
/// Longest reason, in bytes: a sentence.
pub const MAX_REASON_BYTES: usize = 200;

/// One ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who, by transport id.
    pub peer: String,
    /// What the member was called, if it was one.
    pub member: Option<String>,
    /// Since when.
    pub at: TimeUs,
    /// Until when; `None`: until it is lifted.
    pub until: Option<TimeUs>,
    /// Why, as the operator put it.
    pub reason: String,
}

impl Ban {
    /// Whether it holds at `now`.
    #[must_use]
    pub fn holds(&self, now: TimeUs) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

/// The table of bans.
pub struct Bans {
    connection: Connection,
}

impl Bans {
    /// Opens the table, making it if needed.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(layout: &Layout) -> Result<Self, OpenError> {
        Ok(Self {
            connection: open::writer(&layout.state_db(), Database::State, &RealDisk)?,
        })
    }

    /// Adds a ban, or replaces the one of the same peer.
    ///
    /// # Errors
    /// When the database fails.
    pub fn put(&self, ban: &Ban) -> Result<(), StoreError> {
        self.connection
            .execute(
                "INSERT OR REPLACE INTO ban (peer, member, at_us, until_us, reason) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![ban.peer, ban.member, ban.at.micros(), ban.until.map(TimeUs::micros), ban.reason],
            )
            .map(|_| ())
            .map_err(|error| store_error(&error))
    }

    /// Lifts a ban; says whether there was one.
    ///
    /// # Errors
    /// When the database fails.
    pub fn remove(&self, peer: &str) -> Result<bool, StoreError> {
        self.connection
            .execute("DELETE FROM ban WHERE peer = ?1", [peer])
            .map(|count| count > 0)
            .map_err(|error| store_error(&error))
    }

    /// The bans that hold at `now`, oldest first. Those that ended are forgotten.
    ///
    /// # Errors
    /// When the database fails.
    pub fn list(&self, now: TimeUs) -> Result<Vec<Ban>, StoreError> {
        let failed = |error| store_error(&error);
        self.connection
            .execute("DELETE FROM ban WHERE until_us <= ?1", [now.micros()])
            .map_err(failed)?;
        self.connection
            .prepare_cached(
                "SELECT peer, member, at_us, until_us, reason FROM ban ORDER BY at_us, peer LIMIT ?1",
            )
            .and_then(|mut statement| statement.query_map([MAX_BANS], read)?.collect())
            .map_err(failed)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Ban> {
    let time = |micros: i64| TimeUs::from_micros(micros).unwrap_or_default();
    Ok(Ban {
        peer: row.get(0)?,
        member: row.get(1)?,
        at: time(row.get(2)?),
        until: row.get::<_, Option<i64>>(3)?.map(time),
        reason: row.get(4)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> TimeUs {
        TimeUs::from_micros(seconds * 1_000_000).unwrap()
    }

    #[test]
    fn bans_outlive_the_process_and_end_when_they_should() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let ban = |peer: &str, until: Option<i64>| Ban {
            peer: peer.to_owned(),
            member: Some("north.example".to_owned()),
            at: at(10),
            until: until.map(at),
            reason: "sends nonsense".to_owned(),
        };
        let bans = Bans::open(&layout).unwrap();
        bans.put(&ban("one", None)).unwrap();
        bans.put(&ban("two", Some(15))).unwrap();
        bans.put(&ban("two", Some(20))).unwrap();
        drop(bans);
        let bans = Bans::open(&layout).unwrap();
        let both = [ban("one", None), ban("two", Some(20))];
        assert_eq!(bans.list(at(19)).unwrap(), both);
        assert_eq!(bans.list(at(20)).unwrap(), both[..1]);
        assert_eq!(bans.list(at(0)).unwrap(), both[..1], "what ended is gone");
        assert!(bans.remove("one").unwrap() && !bans.remove("one").unwrap());
        assert_eq!(bans.list(at(0)).unwrap(), []);
    }
}
