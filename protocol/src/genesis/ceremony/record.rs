//! This member's own votes as a file, for moving to another directory, like a slashing-protection record: what it says binds
//! there as if it had been voted there. May not carry signatures: a vote is made again by the key, never copied.

use super::own::{self, OwnVote, VoteId};
use super::{Ceremony, Refused, Step, Stop};
use crate::engine::store::{StoreError, Transaction};
use crate::entry::json::Json;
use crate::genesis::fields::{Fields, print};
use crate::genesis::{Check, GenesisError, Statement};
use crate::note::VerifierKey;
use std::collections::BTreeMap;

/// Value of the member `format`.
pub const RECORD_FORMAT: &str = "belfry-genesis-record/v1";

/// Most votes of a record: some for each of the most epochs.
pub const MAX_RECORD_VOTES: usize = 16_384;

/// Most bytes of the file: a text for each vote.
pub const MAX_RECORD_BYTES: usize = MAX_RECORD_VOTES * 512;

const WHAT: &str = "record of votes";

/// Everything a member voted in one lineage.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VoteRecord {
    /// Whose votes they are.
    pub identity: VerifierKey,
    /// In which lineage.
    pub lineage: [u8; 16],
    /// The statements, sorted by their id: binding ones only, one of each.
    pub votes: Vec<Statement>,
}

impl VoteRecord {
    /// Reads the file; [`VoteRecord::to_json`] gives exactly these bytes again.
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, GenesisError> {
        let mut fields = Fields::parse(WHAT, RECORD_FORMAT, MAX_RECORD_BYTES, bytes)?;
        let lineage = crate::hex::decode(&fields.text("lineage")?)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| fields.bad("a lineage is 32 lower-case hexadecimal digits"))?;
        let votes = fields.texts("votes", MAX_RECORD_VOTES)?;
        let votes = votes.iter().map(|text| Statement::parse(text));
        let read = Self {
            identity: VerifierKey::parse(&fields.text("identity")?)?,
            lineage,
            votes: votes.collect::<Result<_, _>>()?,
        };
        let ids: Option<Vec<VoteId>> = read.votes.iter().map(VoteId::of).collect();
        let ids = ids.ok_or_else(|| fields.bad("a statement in it does not bind"))?;
        if !ids.is_sorted_by(|a, b| a < b) || ids.iter().any(|id| id.lineage != lineage) {
            return Err(fields.bad("its votes are not sorted, one of each, in its lineage"));
        }
        fields.end(&read.to_json(), bytes)?;
        Ok(read)
    }

    /// The canonical file.
    #[must_use]
    pub fn to_json(&self) -> String {
        let votes = self.votes.iter().map(|vote| Json::text(vote.to_string()));
        print([
            ("format", Json::text(RECORD_FORMAT)),
            ("identity", Json::text(self.identity.to_string())),
            ("lineage", Json::text(crate::hex::encode(&self.lineage))),
            ("votes", Json::Array(votes.collect())),
        ])
    }
}

impl<C: Check> Ceremony<C> {
    /// This member's votes in its lineage. Whoever takes it elsewhere must not vote here again.
    ///
    /// # Errors
    /// When the store fails.
    pub fn export<T: Transaction>(&self, tx: &T) -> Result<Option<VoteRecord>, StoreError> {
        let Some(election) = self.election() else {
            return Ok(None);
        };
        let own = own::all_of_lineage(tx, election.lineage)?;
        Ok(Some(VoteRecord {
            identity: self.settings.identity.clone(),
            lineage: election.lineage,
            votes: own.into_values().map(|own| own.statement).collect(),
        }))
    }
}

impl<C: Check, T: Transaction> Step<'_, C, T> {
    /// Takes all votes of a record, or none.
    pub(super) fn import(&mut self, record: &VoteRecord) -> Result<(), Stop> {
        let election = self.c.election().ok_or(Refused::NoElection)?;
        let (lineage, epoch) = (election.lineage, election.epoch());
        if record.identity != self.c.settings.identity || record.lineage != lineage {
            return Err(Refused::OtherRecord(record.identity.name().to_owned()).into());
        }
        let known: BTreeMap<VoteId, OwnVote> = own::all_of_lineage(self.tx, lineage)?;
        for statement in &record.votes {
            let Some(id) = VoteId::of(statement) else {
                continue;
            };
            if known
                .get(&id)
                .is_some_and(|own| own.statement != *statement)
            {
                return Err(Refused::Conflict {
                    epoch: id.epoch,
                    round: id.round,
                }
                .into());
            }
        }
        for statement in &record.votes {
            let id = VoteId::of(statement).filter(|id| !known.contains_key(id));
            if let Some(id) = id {
                let own = OwnVote {
                    statement: statement.clone(),
                    vote: None,
                    index: None,
                    released: false,
                };
                own::OwnVotes::default().put(self.tx, id, own)?;
            }
        }
        self.c.own = own::OwnVotes::load(self.tx, lineage, epoch)?;
        Ok(())
    }
}
