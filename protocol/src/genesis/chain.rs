//! The chain of manifests from epoch 0 on (R14): each link is verified by the one before it, offline.
//! May not skip an epoch, and may not know the time: whether the newest has expired is the caller's to say.

use super::check::Later;
use super::fields::Fields;
use super::recovery::recovery_key_hash;
use super::{
    ACTIVE_FORMAT, Check, Election, GenesisError, Job, MAX_PUBLICATION_BYTES, Publication,
    RECOVERY_FORMAT, Recovery, Verifier,
};
use crate::entry::json::Json;
use crate::manifest::{Federation, KeyTexts, Manifest, SignedManifest};
use crate::note::VerifierKey;
use crate::tlog::hash::Hash;
use std::collections::{BTreeMap, BTreeSet};

/// Most epochs of a chain: one each month for a human life.
pub const MAX_EPOCHS: usize = 1_024;

/// Most bytes of a chain's file: epochs of ordinary size, not of the largest.
pub const MAX_CHAIN_BYTES: usize = 64 << 20;

const WHAT: &str = "link of a chain";

/// What made one epoch active. Well-formed, not verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Link {
    /// Epoch 0, signed by everybody at once, without rounds.
    Founded(SignedManifest),
    /// By vote.
    Voted(Publication),
    /// By recovery keys, for ever visibly.
    Recovered(Recovery),
}

impl Link {
    /// Reads any of the three files; [`Link::to_json`] gives exactly these bytes again.
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, GenesisError> {
        Self::parse_with(bytes, &mut KeyTexts::default())
    }

    /// [`Link::parse`] with the keys of links read before.
    fn parse_with(bytes: &[u8], keys: &mut KeyTexts) -> Result<Self, GenesisError> {
        if bytes.len() > MAX_PUBLICATION_BYTES {
            return Err(GenesisError::TooLarge {
                what: WHAT,
                limit: MAX_PUBLICATION_BYTES,
            });
        }
        let value = Json::parse(bytes)?;
        match value.get("format").and_then(Json::as_str) {
            None => Ok(Self::Founded(SignedManifest::parse(bytes)?)),
            Some(ACTIVE_FORMAT) => {
                let fields = Fields::new(WHAT, ACTIVE_FORMAT, bytes.len(), value)?;
                Ok(Self::Voted(Publication::read(fields, bytes, keys)?))
            }
            Some(RECOVERY_FORMAT) => Ok(Self::Recovered(Recovery::parse(bytes)?)),
            Some(_) => Err(GenesisError::malformed(
                WHAT,
                "its `format` is not known here; use a newer Belfry",
            )),
        }
    }

    /// The canonical file.
    #[must_use]
    pub fn to_json(&self) -> String {
        match self {
            Self::Founded(signed) => signed.to_json(),
            Self::Voted(publication) => publication.to_json(),
            Self::Recovered(recovery) => recovery.to_json(),
        }
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        match self {
            Self::Founded(signed) => &signed.manifest,
            Self::Voted(publication) => &publication.certificate.manifest,
            Self::Recovered(recovery) => &recovery.manifest,
        }
    }

    /// Verifies that it makes its manifest, of this hash, active in `election`.
    fn verify<C: Check>(
        &self,
        election: &Election<'_>,
        hash: Hash,
        verifier: &mut Verifier<C>,
    ) -> Result<(), GenesisError> {
        match self {
            Self::Founded(signed) => {
                election.follows(&signed.manifest)?;
                signed.verify_founding()?;
                Ok(())
            }
            Self::Voted(publication) => publication.verify_read(election, hash, verifier),
            Self::Recovered(recovery) => recovery.verify(election, verifier),
        }
    }
}

/// A verified chain: who belongs now, and what is remembered of the way here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    id: Hash,
    manifest: Manifest,
    /// Hash of the manifest: long to compute, and asked often.
    hash: Hash,
    recovered: Vec<u64>,
    /// Hashes of recovery keys that signed one of those epochs: each works once, whoever lists it again.
    used: BTreeSet<Hash>,
    /// Identity keys by name, of everybody who ever was a member: a name never goes to somebody else.
    names: BTreeMap<String, VerifierKey>,
}

impl Chain {
    /// Verifies epoch 0.
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn found<C: Check>(link: &Link, verifier: &mut Verifier<C>) -> Result<Self, GenesisError> {
        let manifest = link.manifest();
        if manifest.epoch != 0 {
            return Err(GenesisError::Chain {
                epoch: manifest.epoch,
                problem: "a chain begins at epoch 0",
            });
        }
        let election = Election::founding(manifest.lineage);
        link.verify(&election, manifest.hash(), verifier)?;
        Ok(Self::from(Federation::new(
            manifest.hash(),
            manifest.clone(),
        )?))
    }

    /// Verifies the next epoch and takes it; on an error nothing changes.
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn extend<C: Check>(
        &mut self,
        link: &Link,
        verifier: &mut Verifier<C>,
    ) -> Result<(), GenesisError> {
        let hash = link.manifest().hash();
        link.verify(&self.election(), hash, verifier)?;
        if let Link::Recovered(recovery) = link {
            self.check_unused(recovery)?;
        }
        self.check_names(link.manifest())?;
        self.take(link, hash);
        Ok(())
    }

    /// Takes a link that was verified before.
    pub(super) fn take(&mut self, link: &Link, hash: Hash) {
        self.hash = hash;
        self.manifest = link.manifest().clone();
        if let Link::Recovered(recovery) = link {
            self.recovered.push(self.manifest.epoch);
            self.used
                .extend(recovery.keys.iter().map(recovery_key_hash));
        }
        self.learn_names();
    }

    fn learn_names(&mut self) {
        for member in &self.manifest.members {
            if self.names.get(&member.name) != Some(&member.identity) {
                let identity = member.identity.clone();
                self.names.insert(member.name.clone(), identity);
            }
        }
    }

    /// Hashes of the recovery keys that signed a recovery, and sign none any more.
    #[must_use]
    pub fn used(&self) -> &BTreeSet<Hash> {
        &self.used
    }

    /// A recovery key works once.
    ///
    /// # Errors
    /// [`GenesisError::Chain`].
    pub fn check_unused(&self, recovery: &Recovery) -> Result<(), GenesisError> {
        let mut keys = recovery.keys.iter().map(recovery_key_hash);
        match keys.any(|key| self.used.contains(&key)) {
            true => Err(GenesisError::Chain {
                epoch: recovery.manifest.epoch,
                problem: "a recovery key that signed it was used before; each works once",
            }),
            false => Ok(()),
        }
    }

    /// A name that left may come back with its own identity key alone.
    ///
    /// # Errors
    /// [`GenesisError::Chain`].
    pub fn check_names(&self, next: &Manifest) -> Result<(), GenesisError> {
        for member in &next.members {
            let stayed = self.manifest.member(&member.name).is_some();
            let known = self.names.get(&member.name);
            if !stayed && known.is_some_and(|key| *key != member.identity) {
                return Err(GenesisError::Chain {
                    epoch: next.epoch,
                    problem: "a name that left comes back with another identity key; choose another name",
                });
            }
        }
        Ok(())
    }

    /// The vote on the next epoch.
    #[must_use]
    pub fn election(&self) -> Election<'_> {
        Election::amending_known(self.id, &self.manifest, self.hash)
    }

    /// The federation's id.
    #[must_use]
    pub fn id(&self) -> Hash {
        self.id
    }

    /// The manifest of the newest epoch.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The epochs that recovery keys made.
    #[must_use]
    pub fn recovered(&self) -> &[u64] {
        &self.recovered
    }
}

/// From a federation that is known and trusted, at any epoch.
impl From<Federation> for Chain {
    fn from(federation: Federation) -> Self {
        let mut chain = Self {
            id: federation.id(),
            manifest: federation.manifest().clone(),
            hash: federation.hash(),
            recovered: Vec::new(),
            used: BTreeSet::new(),
            names: BTreeMap::new(),
        };
        chain.learn_names();
        chain
    }
}

/// Reads and verifies the file of epoch 0, whichever way its members signed it: all at once, or by vote.
///
/// # Errors
/// [`GenesisError`].
pub fn founded(bytes: &[u8]) -> Result<Federation, GenesisError> {
    let link = Link::parse(bytes)?;
    Chain::found(&link, &mut Verifier::new(super::Strict))?;
    let manifest = link.manifest();
    Ok(Federation::new(manifest.hash(), manifest.clone())?)
}

/// Reads the file of a chain: one link on each line, from epoch 0 on.
///
/// # Errors
/// [`GenesisError`].
pub fn parse_chain(bytes: &[u8]) -> Result<Vec<Link>, GenesisError> {
    if bytes.len() > MAX_CHAIN_BYTES {
        return Err(GenesisError::TooLarge {
            what: "chain of manifests",
            limit: MAX_CHAIN_BYTES,
        });
    }
    let Some(bytes) = bytes.strip_suffix(b"\n") else {
        return Err(GenesisError::malformed(
            "chain of manifests",
            "it does not end in a line feed",
        ));
    };
    let (mut links, mut keys) = (Vec::new(), KeyTexts::default());
    for line in bytes.split(|byte| *byte == b'\n') {
        if links.len() == MAX_EPOCHS {
            return Err(GenesisError::malformed(
                "chain of manifests",
                "it has more than 1,024 epochs",
            ));
        }
        links.push(Link::parse_with(line, &mut keys)?);
    }
    Ok(links)
}

/// The file of a chain.
#[must_use]
pub fn print_chain<'a>(links: impl IntoIterator<Item = &'a Link>) -> String {
    let lines = links.into_iter().map(|link| link.to_json() + "\n");
    lines.collect()
}

/// Verifies links from epoch 0 on.
///
/// # Errors
/// [`GenesisError`] for the first link that does not hold.
pub fn verify_links<C: Check>(
    links: &[Link],
    verifier: &mut Verifier<C>,
) -> Result<Chain, GenesisError> {
    let (first, rest) = links.split_first().ok_or(GenesisError::Chain {
        epoch: 0,
        problem: "it is empty",
    })?;
    let mut chain = Chain::found(first, verifier)?;
    for link in rest {
        chain.extend(link, verifier)?;
    }
    Ok(chain)
}

/// What holds if all of its signatures are right: whoever has several cores checks the jobs on all of them.
#[must_use]
pub struct Claimed {
    chain: Chain,
    jobs: Vec<Job>,
}

impl Claimed {
    /// The signatures to check.
    #[must_use]
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// The chain, exactly if every job is right. `right` is called for all of them, in any way.
    pub fn settle(self, right: impl FnOnce(&[Job]) -> bool) -> Option<Chain> {
        right(&self.jobs).then_some(self.chain)
    }
}

/// Verifies everything about links but their signatures, which it hands out. Where one is wrong, [`verify_links`] says
/// which.
///
/// # Errors
/// [`GenesisError`].
pub fn verify_ahead(links: &[Link]) -> Result<Claimed, GenesisError> {
    let mut verifier = Verifier::new(Later::default());
    let chain = verify_links(links, &mut verifier)?;
    Ok(Claimed {
        chain,
        jobs: verifier.check.jobs,
    })
}
