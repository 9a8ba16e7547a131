//! The directory as a tower's disk (R1, R3): its random id, whether it still has to catch up after a restore, and what is
//! known of other towers' disks. Whoever knows that a disk was replaced takes nothing that rests on it.

use super::messages::{To, body};
use super::{Bad, MemberIx, Stop, Turn};
use crate::engine::store::{Record, StoreError, Table, Transaction};
use crate::tlog::hash::Hash;
use crate::wire::codec::{self, Bytes, Decode, Encode, List};
use crate::wire::v1::{DiskRef, DiskSeen, Kind, MAX_EVIDENCE_BYTES, MAX_MEMBERS, Marks};
use crate::wire::{Envelope, MemberId, to_member};

/// Rows of disks that are looked at: of members, and of many that left.
const MAX_DISKS: usize = 4_096;

/// Replaced disks that are remembered of one tower: one that had more of them is a liar, and counts as one.
const MAX_REPLACED: usize = 32;

/// How far a directory that came out of a backup, or is empty although the manifest names it, has caught up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restore {
    /// It never was one, or has caught up.
    Done,
    /// Just found; nothing is done about it yet.
    Found,
    /// The mirrors say how far each of them is.
    Begun,
}

/// The record of this directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnDisk {
    /// Random; a new one after every restore.
    pub id: [u8; 16],
    /// How far a restore is.
    pub restore: Restore,
    /// Serials below never cosign again: what they acked was on a disk that is gone.
    pub lowest_serial: u64,
    /// A human accepted this directory as it is, because a tower that would have to be asked is gone for good. Ends when
    /// enough others answer again.
    pub accepted: bool,
}

impl OwnDisk {
    /// A disk that was never anything else.
    #[must_use]
    pub fn new(id: [u8; 16]) -> Self {
        Self {
            id,
            restore: Restore::Done,
            lowest_serial: 0,
            accepted: false,
        }
    }

    /// A disk in the place of another, whose keys so far were of serials below `lowest_serial`.
    #[must_use]
    pub fn restored(id: [u8; 16], lowest_serial: u64) -> Self {
        Self {
            id,
            restore: Restore::Found,
            lowest_serial,
            accepted: false,
        }
    }

    /// Reads the record.
    ///
    /// # Errors
    /// When the store fails or the record is damaged.
    pub fn load(tx: &impl Transaction) -> Result<Option<Self>, StoreError> {
        let Some(bytes) = tx.record(Record::Disk)? else {
            return Ok(None);
        };
        let read = || {
            let (id, rest) = bytes.split_first_chunk::<16>()?;
            let (restore, rest) = rest.split_first()?;
            let (lowest, accepted) = rest.split_first_chunk::<8>()?;
            Some(Self {
                id: *id,
                restore: match restore {
                    0 => Restore::Done,
                    1 => Restore::Found,
                    2 => Restore::Begun,
                    _ => return None,
                },
                lowest_serial: u64::from_be_bytes(*lowest),
                accepted: match accepted {
                    [] => false,
                    [1] => true,
                    _ => return None,
                },
            })
        };
        read()
            .map(Some)
            .ok_or_else(|| StoreError::Damaged("the disk record".to_owned()))
    }

    /// Writes the record.
    ///
    /// # Errors
    /// When the store fails.
    pub fn store(&self, tx: &mut impl Transaction) -> Result<(), StoreError> {
        let mut bytes = self.id.to_vec();
        bytes.push(match self.restore {
            Restore::Done => 0,
            Restore::Found => 1,
            Restore::Begun => 2,
        });
        bytes.extend_from_slice(&self.lowest_serial.to_be_bytes());
        if self.accepted {
            bytes.push(1);
        }
        tx.put_record(Record::Disk, &bytes)
    }
}

/// What is known of another tower's disk.
#[derive(Encode, Decode)]
struct Known {
    current: [u8; 16],
    replaced: List<[u8; 16], MAX_REPLACED>,
    /// Incarnation of the message that said so.
    incarnation: u64,
    /// That message, to be shown to others.
    by: Bytes<MAX_EVIDENCE_BYTES>,
}

impl<T: Transaction> Turn<'_, '_, T> {
    fn known_disk(&self, member: MemberId) -> Result<Option<Known>, StoreError> {
        let Some(bytes) = self.own.tx.row(Table::Disks, member.0.as_bytes())? else {
            return Ok(None);
        };
        codec::decode(&bytes)
            .map(Some)
            .map_err(|_| StoreError::Damaged("the row of a disk".to_owned()))
    }

    /// Notes a tower's disk durably, with the tower's own message that names it.
    pub(super) fn note_disk(
        &mut self,
        member: MemberId,
        disk: [u8; 16],
        incarnation: u64,
        envelope: &[u8],
    ) -> Result<(), StoreError> {
        if member == self.settings.members.id(self.settings.me) {
            return Ok(());
        }
        let known = self.known_disk(member)?;
        let mut replaced = Vec::new();
        if let Some(known) = known {
            // A message to show is worth noting, and a newer one in place of an older: keys get old.
            let better = !envelope.is_empty() && incarnation >= known.incarnation;
            if (known.current == disk && !better) || known.replaced.as_slice().contains(&disk) {
                return Ok(());
            }
            if known.current == disk {
                let row = Known {
                    by: Bytes::new(envelope.to_vec()).unwrap_or_default(),
                    incarnation,
                    ..known
                };
                return self.put_disk(member, &row);
            }
            replaced.push(known.current);
            let older = known.replaced.into_inner();
            replaced.extend(older.into_iter().take(MAX_REPLACED - 1));
        }
        let row = Known {
            current: disk,
            replaced: List::new(replaced).unwrap_or_default(),
            incarnation,
            by: Bytes::new(envelope.to_vec()).unwrap_or_default(),
        };
        self.put_disk(member, &row)
    }

    fn put_disk(&mut self, member: MemberId, row: &Known) -> Result<(), StoreError> {
        let key = member.0.as_bytes();
        self.own.tx.put_row(Table::Disks, key, &codec::encode(row))
    }

    /// A tower's own message that names its disk, to be shown; empty if there is none.
    pub(super) fn shown_disk(&self, tower: MemberId) -> Result<Vec<u8>, StoreError> {
        let known = self.known_disk(tower)?;
        Ok(known.map_or(Vec::new(), |known| known.by.into_inner()))
    }

    /// The disks of other towers as known here, with their own messages.
    pub(super) fn known_disks(&self) -> Result<Vec<DiskSeen>, StoreError> {
        let mut disks = Vec::new();
        // Rows of who left stay, and are nobody's concern.
        let here = |id: Hash| {
            let members = &self.settings.members;
            let member = members.by_id(MemberId(id));
            member.is_some_and(|one| !members.has_departed(self.settings.me, one))
        };
        for (key, value) in self.own.tx.rows(Table::Disks, &[], MAX_DISKS)? {
            let known: Result<Known, _> = codec::decode(&value);
            let (Ok(known), Ok(key)) = (known, <[u8; 32]>::try_from(key)) else {
                return Err(StoreError::Damaged("the row of a disk".to_owned()));
            };
            if known.by.as_slice().is_empty() || !here(Hash(key)) || disks.len() >= MAX_MEMBERS {
                continue;
            }
            disks.push(DiskSeen {
                disk: DiskRef {
                    member: MemberId(Hash(key)),
                    disk: known.current,
                },
                by: known.by,
            });
        }
        Ok(disks)
    }

    /// If a disk is named that is not its tower's current one (R1): the message of the tower that says so. A restored
    /// tower tells everybody its new disk before it promises anything, so what is not current was replaced.
    pub(super) fn rests_on_replaced(
        &self,
        disks: &[DiskRef],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        for disk in disks {
            // Of itself a node knows best: what others show of it may be older than its own record.
            if disk.member == self.settings.members.id(self.settings.me) {
                if disk.disk != self.settings.disk.id {
                    return Ok(Some(Vec::new()));
                }
                continue;
            }
            if let Some(known) = self.known_disk(disk.member)?
                && known.current != disk.disk
            {
                return Ok(Some(known.by.into_inner()));
            }
        }
        Ok(None)
    }

    /// Another node shows a tower's message that names its disk: note it if it is news. Returns that tower.
    pub(super) fn disk_shown(&mut self, evidence: &[u8]) -> Result<Option<MemberIx>, Stop> {
        let (envelope, _) = Envelope::split(evidence).map_err(|_| Bad("malformed envelope"))?;
        let members = &self.settings.members;
        let asked: MemberIx = (0..members.count())
            .find(|one| to_member(members.id(*one)) == envelope.header.destination)
            .ok_or(Bad("misdirected"))?;
        let to = To::Member(asked);
        let opened = self
            .settings
            .open_shown(&self.checks, evidence, Kind::Marks, &to, None)?;
        let marks: Marks = body(&opened.body)?;
        let tower = MemberId(opened.header.sender.0);
        let known = self.known_disk(tower)?;
        // By number of the start, because an old message can be shown at any time.
        if known.is_none_or(|known| known.incarnation < opened.header.incarnation) {
            let incarnation = opened.header.incarnation;
            self.note_disk(tower, marks.disk, incarnation, &opened.envelope)?;
        }
        Ok(self.settings.members.by_id(tower))
    }
}
