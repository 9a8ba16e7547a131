//! Heads (R4, R5): once a second a tower tells everybody the newest digest it acked of each ledger, with its lines, if that is
//! news. What is told is judged by its content alone, so relayed copies do no harm.

use super::Turn;
use super::io::{Promise, PromiseBytes, Topic};
use super::messages::MAX_HEADS_BYTES;
use super::mirror::Mirror;
use crate::engine::store::{StoreError, Transaction};
use crate::wire::codec::{self, Bytes, List};
use crate::wire::v1::{Heads, Kind};
use crate::wire::{Frame, Version};

/// Pause between two heads, in microseconds.
pub(super) const INTERVAL_US: u64 = 1_000_000;

impl<T: Transaction> Turn<'_, '_, T> {
    /// Tells what was acked since the last time.
    pub(super) fn tell_heads(&mut self) -> Result<(), StoreError> {
        let now = self.now_us();
        let is_tower = self.settings.members.is_tower(self.settings.me);
        let tower = &mut self.v.tower;
        if !is_tower || now < tower.heads_us.saturating_add(INTERVAL_US) {
            return Ok(());
        }
        tower.heads_us = now;
        if std::mem::replace(&mut tower.heads_told, true) {
            return Ok(());
        }
        let mut notes = Vec::new();
        let mut bytes = 0;
        for (origin, mirror) in Mirror::all(self.own.tx)? {
            // Of logs that are no members the others know nothing.
            if mirror.is_foreign() && self.settings.members.by_name(&origin).is_none() {
                continue;
            }
            let Some(ack) = mirror.acked else { continue };
            let said = (ack.size, ack.time_seconds);
            if self.v.tower.heads.get(&origin) == Some(&said) {
                continue;
            }
            bytes += ack.note.len();
            let Some(note) = Bytes::new(ack.note.into_bytes()) else {
                continue;
            };
            if bytes > MAX_HEADS_BYTES || notes.len() >= crate::wire::v1::MAX_MEMBERS {
                // The rest is told with the next ones.
                self.v.tower.heads_told = false;
                break;
            }
            self.v.tower.heads.insert(origin, said);
            notes.push(note);
        }
        if notes.is_empty() {
            return Ok(());
        }
        let heads = Heads {
            notes: List::new(notes).unwrap_or_default(),
        };
        let bytes = Frame::encode(Version::V1_0, Kind::Heads.number(), &codec::encode(&heads));
        self.out.promise(Promise::Publish {
            topic: Topic::Acks,
            bytes: PromiseBytes(bytes),
        });
        Ok(())
    }
}
