//! One ledger's whole history in one file: the chain of manifests, everybody's certificates, and how the ledger came into each
//! epoch. With it a stranger who knows the federation's id judges a receipt of any age offline. May not fetch anything, and takes
//! nothing on trust: every part is verified from epoch 0 on.

use super::chain::{Chain, Link, MAX_EPOCHS};
use super::fields::{Fields, notes_value, print};
use super::joint::{Activation, History, JointError};
use super::{Check, GenesisError, Verifier};
use crate::cert::{Certificate, MAX_CHAIN_CERTIFICATES, Revocation, verify_chain};
use crate::entry::json::Json;
use crate::hex;
use crate::manifest::{Federation, MAX_MEMBERS, Member, PolicySpan, policy_text_for};
use crate::note::{SignedNote, VerifierKey};
use crate::policy::Policy;
use crate::tlog::hash::Hash;
use std::collections::BTreeMap;
use thiserror::Error;

/// Value of the member `format` of a history.
pub const HISTORY_FORMAT: &str = "belfry-history/v1";

/// Value of the member `format` of an activation.
pub const ACTIVATION_FORMAT: &str = "belfry-activation/v1";

/// Most bytes of a history.
pub const MAX_HISTORY_BYTES: usize = 64 << 20;

/// Most bytes of an activation: a digest with all lines, an entry, two proofs.
pub const MAX_ACTIVATION_BYTES: usize = 262_144;

/// Most certificates, of all members together.
const MAX_CERTIFICATES: usize = 4 * MAX_MEMBERS * MAX_CHAIN_CERTIFICATES;

/// Most nodes of a proof.
const MAX_NODES: usize = 128;

const WHAT: &str = "history";
const WHAT_ACTIVATION: &str = "activation";

/// Why a history does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HistoryError {
    /// The chain of manifests does not verify, or a part is malformed.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// It is of another federation.
    #[error("it is of federation {found}, and {expected} was asked for")]
    Federation {
        /// The asked one.
        expected: Hash,
        /// The file's.
        found: Hash,
    },
    /// The ledger is no factory's in the newest epoch.
    #[error("the newest epoch has no factory called {0:?} that towers watch")]
    NoLedger(String),
    /// No policy can be made for an epoch.
    #[error("epoch {epoch}: {problem}")]
    Policy {
        /// Which.
        epoch: u64,
        /// What is missing.
        problem: String,
    },
    /// A joint digest does not hold.
    #[error("epoch {epoch}: {problem}")]
    Joint {
        /// Which.
        epoch: u64,
        /// What is wrong.
        problem: JointError,
    },
    /// There are more activations than epochs.
    #[error("it has more activations than epochs")]
    TooMany,
}

/// The file. Well-formed, not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerHistory {
    /// The ledger.
    pub origin: String,
    /// What made each epoch active, from epoch 0 on.
    pub links: Vec<Link>,
    /// Key certificates of all members in all epochs, each chain oldest first.
    pub certificates: Vec<SignedNote>,
    /// Revocations that act for this ledger.
    pub revocations: Vec<SignedNote>,
    /// How the ledger came into each epoch after the one in which it was watched first.
    pub activations: Vec<Activation>,
}

/// A history that holds.
#[derive(Clone, Debug)]
pub struct VerifiedHistory {
    /// The chain of manifests.
    pub chain: Chain,
    /// The ledger through the epochs.
    pub history: History,
}

fn hashes_value(hashes: &[Hash]) -> Json {
    let hashes = hashes.iter();
    Json::Array(hashes.map(|hash| Json::text(hash.to_hex())).collect())
}

fn hashes(fields: &mut Fields, key: &str) -> Result<Vec<Hash>, GenesisError> {
    let texts = fields.texts(key, MAX_NODES)?;
    let read: Option<Vec<Hash>> = texts.iter().map(|text| Hash::from_hex(text)).collect();
    read.ok_or_else(|| fields.bad("a node of a proof is 64 lower-case hexadecimal digits"))
}

impl Activation {
    /// Reads the file; [`Activation::to_json`] gives exactly these bytes again.
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, GenesisError> {
        let mut fields = Fields::parse(
            WHAT_ACTIVATION,
            ACTIVATION_FORMAT,
            MAX_ACTIVATION_BYTES,
            bytes,
        )?;
        let entry = hex::decode(&fields.text("entry")?);
        let read = Self {
            digest: fields.note("digest")?,
            entry: entry.ok_or_else(|| fields.bad("its entry is not hexadecimal"))?,
            extends: hashes(&mut fields, "extends")?,
            inclusion: hashes(&mut fields, "inclusion")?,
            index: fields.number("index")?,
        };
        fields.end(&read.to_json(), bytes)?;
        Ok(read)
    }

    /// The canonical file.
    #[must_use]
    pub fn to_json(&self) -> String {
        print([
            ("digest", Json::text(self.digest.to_string())),
            ("entry", Json::text(hex::encode(&self.entry))),
            ("extends", hashes_value(&self.extends)),
            ("format", Json::text(ACTIVATION_FORMAT)),
            ("inclusion", hashes_value(&self.inclusion)),
            ("index", Json::whole(self.index)),
        ])
    }
}

impl LedgerHistory {
    /// Reads the file; [`LedgerHistory::to_json`] gives exactly these bytes again.
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, GenesisError> {
        let mut fields = Fields::parse(WHAT, HISTORY_FORMAT, MAX_HISTORY_BYTES, bytes)?;
        let activations = fields.texts("activations", MAX_EPOCHS)?;
        let activations = activations
            .iter()
            .map(|text| Activation::parse(text.as_bytes()));
        let links = fields.texts("chain", MAX_EPOCHS)?;
        let links = links.iter().map(|text| Link::parse(text.as_bytes()));
        let read = Self {
            activations: activations.collect::<Result<_, _>>()?,
            certificates: fields.notes("certificates", MAX_CERTIFICATES)?,
            links: links.collect::<Result<_, _>>()?,
            origin: fields.text("origin")?,
            revocations: fields.notes("revocations", MAX_CERTIFICATES)?,
        };
        fields.end(&read.to_json(), bytes)?;
        Ok(read)
    }

    /// The canonical file.
    #[must_use]
    pub fn to_json(&self) -> String {
        let activations = self.activations.iter();
        let activations = activations.map(|one| Json::text(one.to_json()));
        let links = self.links.iter().map(|link| Json::text(link.to_json()));
        print([
            ("activations", Json::Array(activations.collect())),
            ("certificates", notes_value(&self.certificates)),
            ("chain", Json::Array(links.collect())),
            ("format", Json::text(HISTORY_FORMAT)),
            ("origin", Json::text(&self.origin)),
            ("revocations", notes_value(&self.revocations)),
        ])
    }

    /// Verifies all of it for the federation with this id, which is all that the caller need know. Of an epoch that the ledger has not
    /// come into yet there is no activation; digests are then judged by the epoch before.
    ///
    /// # Errors
    /// [`HistoryError`] for the first thing that does not hold.
    pub fn verify<C: Check>(
        &self,
        federation: &Hash,
        verifier: &mut Verifier<C>,
    ) -> Result<VerifiedHistory, HistoryError> {
        let (first, rest) = self.links.split_first().ok_or(GenesisError::Chain {
            epoch: 0,
            problem: "it is empty",
        })?;
        let mut chain = Chain::found(first, verifier)?;
        if chain.id() != *federation {
            return Err(HistoryError::Federation {
                expected: *federation,
                found: chain.id(),
            });
        }
        let mut epochs = vec![self.epoch(&chain)?];
        for link in rest {
            chain.extend(link, verifier)?;
            epochs.push(self.epoch(&chain)?);
        }
        let watched = |epoch: &Federation| {
            let member = epoch.member(&self.origin);
            member.is_some_and(|(_, member)| member.factory)
                && epoch.quorum_of(&self.origin).is_some()
        };
        let since = epochs
            .iter()
            .rev()
            .take_while(|epoch| watched(epoch))
            .count();
        let mut epochs = epochs.iter().skip(epochs.len() - since);
        let first = epochs
            .next()
            .ok_or_else(|| HistoryError::NoLedger(self.origin.clone()))?;
        let began = first.manifest().epoch;
        let mut history = History::new(&self.origin, began, self.policy(first)?);
        for activation in &self.activations {
            let next = epochs.next().ok_or(HistoryError::TooMany)?;
            let (epoch, policy) = (next.manifest().epoch, self.policy(next)?);
            history
                .activate(federation, next.manifest(), policy, activation)
                .map_err(|problem| HistoryError::Joint { epoch, problem })?;
        }
        Ok(VerifiedHistory { chain, history })
    }

    fn epoch(&self, chain: &Chain) -> Result<Federation, HistoryError> {
        let federation = Federation::new(chain.id(), chain.manifest().clone());
        Ok(federation.map_err(GenesisError::from)?)
    }

    /// Whose receipts count in an epoch: all serials of each tower of that epoch, without those that were revoked.
    fn policy(&self, epoch: &Federation) -> Result<Policy, HistoryError> {
        let mut chains: BTreeMap<&str, Vec<Certificate>> = BTreeMap::new();
        let members = epoch.manifest().members.iter();
        for member in members.filter(|one| one.tower || one.name == self.origin) {
            if let Some(chain) = self.chain_of(member) {
                chains.insert(&member.name, chain);
            }
        }
        let span = PolicySpan {
            until_seconds: u64::MAX,
            every_serial: true,
        };
        let number = epoch.manifest().epoch;
        let bad = |problem: String| HistoryError::Policy {
            epoch: number,
            problem,
        };
        let text = policy_text_for(epoch, &self.origin, |name| chains.get(name).cloned(), span);
        let text = text.map_err(|error| bad(error.to_string()))?;
        Policy::parse(text.as_bytes()).map_err(|error| bad(error.to_string()))
    }

    /// A member's certificates under its identity key of an epoch.
    fn chain_of(&self, member: &Member) -> Option<Vec<Certificate>> {
        let by = |note: &SignedNote, key: &VerifierKey| {
            let mut lines = note.signatures().iter();
            lines.any(|line| line.name() == key.name() && line.key_id() == key.key_id())
        };
        let notes = self.certificates.iter();
        let notes: Vec<SignedNote> = notes
            .filter(|note| by(note, &member.identity))
            .cloned()
            .collect();
        let mut chain = verify_chain(&member.identity, &notes).ok()?;
        if member.name != self.origin {
            let revoked = self.revocations.iter();
            let revoked: Vec<u64> = revoked
                .filter_map(|note| Revocation::open(note, &member.identity).ok())
                .filter(|said| said.node == member.name)
                .map(|said| said.serial)
                .collect();
            chain.retain(|one| !revoked.contains(&one.serial));
        }
        Some(chain)
    }
}
