//! A federation in one epoch, as the rest of a node asks about it: by name, by PeerId, by origin.
//! May not decide which epoch is active, and may not verify: it is built from what was verified.

use super::{Founded, Manifest, ManifestError, Member, Quorum};
use crate::tlog::hash::Hash;

/// A verified manifest with the id of its federation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Federation {
    id: Hash,
    manifest: Manifest,
    hash: Hash,
}

impl Federation {
    /// The federation with this id under a manifest that the caller has verified, whatever its epoch.
    ///
    /// # Errors
    /// [`ManifestError`] if the manifest breaks a rule, or is of epoch 0 and founds another federation.
    pub fn new(id: Hash, manifest: Manifest) -> Result<Self, ManifestError> {
        manifest.check()?;
        let hash = manifest.hash();
        if manifest.epoch == 0 && hash != id {
            return Err(ManifestError::OtherFederation {
                id: id.to_hex(),
                hash: hash.to_hex(),
            });
        }
        Ok(Self { id, manifest, hash })
    }

    /// Its id: the hash of the manifest of epoch 0.
    #[must_use]
    pub fn id(&self) -> Hash {
        self.id
    }

    /// The manifest of this epoch.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Hash of the manifest of this epoch.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// First eight hexadecimal digits of the id, as topics and protocols carry them.
    #[must_use]
    pub fn digest8(&self) -> String {
        crate::hex::encode(&self.id.as_bytes()[..4])
    }

    /// The member called `name`, with its position in the list.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<(usize, &Member)> {
        self.manifest.member(name)
    }

    /// The member with this PeerId, with its position in the list.
    #[must_use]
    pub fn by_peer(&self, peer: &str) -> Option<(usize, &Member)> {
        let mut all = self.manifest.members.iter().enumerate();
        all.find(|(_, member)| member.peer == peer)
    }

    /// The towers that count for `origin`, with their positions: all but the origin's own member.
    pub fn towers_of(&self, origin: &str) -> impl Iterator<Item = (usize, &Member)> {
        self.manifest.towers_of(origin)
    }

    /// The quorum for the ledger of the member `origin`: always there for a factory.
    ///
    /// `None` for a stranger, and for a ledger of a mere tower whose towers do not allow the federation's k.
    #[must_use]
    pub fn quorum_of(&self, origin: &str) -> Option<Quorum> {
        self.member(origin)?;
        Quorum::new(
            self.manifest.tower_count(origin),
            self.manifest.tower_quorum,
        )
        .ok()
    }
}

impl From<Founded> for Federation {
    fn from(founded: Founded) -> Self {
        Self {
            id: founded.id,
            hash: founded.id,
            manifest: founded.manifest,
        }
    }
}
