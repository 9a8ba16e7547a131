//! The manifest as a value: its fields, its hash, and who counts as a tower for whom.
//! May not know its text form (`json`), its rules (`check`) or who signed it (`signed`).

use super::{ManifestError, Member};
use crate::entry::json::Json;
use crate::tlog::hash::{Hash, sha256};

/// Value of the member `format`.
pub const MANIFEST_FORMAT: &str = "belfry-manifest/v1";

/// Most bytes of a manifest: 64 members with eight addresses of full length each.
pub const MAX_MANIFEST_BYTES: usize = 262_144;

/// Most members: all of them sign one note, which holds at most 100 lines; the rest is room for who leaves by an amendment.
pub const MAX_MEMBERS: usize = 64;

/// Most bytes of the display name.
pub const MAX_FEDERATION_NAME_BYTES: usize = 100;

/// Most recovery-key hashes.
pub const MAX_RECOVERY_KEYS: usize = 16;

/// How long a manifest is valid unless its proposer says otherwise: 365 days.
pub const DEFAULT_VALIDITY_SECONDS: u64 = 365 * 86_400;

/// How long before its end members are asked to sign the next epoch: 30 days.
pub const DEFAULT_RESIGN_LEAD_SECONDS: u64 = 30 * 86_400;

/// A protocol version, major and minor; `1.0` in text.
pub type Version = (u8, u8);

/// Who belongs to a federation, and under which numbers, for one epoch.
///
/// The fields are public so that drafts can be edited; [`Manifest::check`] says whether they are a manifest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    /// Display name of the federation; never changes.
    pub federation: String,
    /// 0 for the founding manifest, then one more for each amendment.
    pub epoch: u64,
    /// Hash of the manifest of the epoch before; `None` exactly at epoch 0.
    pub previous: Option<Hash>,
    /// Random value that all drafts and epochs of one federation share.
    pub lineage: [u8; 16],
    /// When it was made, since 1970.
    pub created_seconds: u64,
    /// First second after its validity, since 1970.
    pub expires_seconds: u64,
    /// From when the members should sign the next epoch, since 1970.
    pub resign_from_seconds: u64,
    /// When it takes effect once it is active, since 1970; `None`: at once. Never at epoch 0.
    pub effective_seconds: Option<u64>,
    /// Oldest and newest protocol version that members must speak.
    pub protocol: (Version, Version),
    /// The members, sorted by name.
    pub members: Vec<Member>,
    /// k of R2: towers that must hold a digest.
    pub tower_quorum: u32,
    /// t of R2: members that amend.
    pub amendment_threshold: u32,
    /// Numbers that all members must share.
    pub limits: Limits,
    /// Whether towers mirror entries, and only what they hold counts (R4).
    pub mirroring: bool,
    /// SHA-256 of the verifier key texts of the recovery keys, sorted.
    pub recovery_keys: Vec<Hash>,
}

/// What the time of day says of a manifest. Nothing stops when one expires, because safety hangs on no clock; people must see to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Validity {
    /// Before its `resign_from_seconds`.
    Valid,
    /// The members should sign the next epoch now.
    Resign,
    /// It ended.
    Expired,
}

impl Validity {
    /// Of a manifest with these two times, at `now_seconds` since 1970.
    #[must_use]
    pub fn at(resign_from_seconds: u64, expires_seconds: u64, now_seconds: u64) -> Self {
        if now_seconds >= expires_seconds {
            Self::Expired
        } else if now_seconds >= resign_from_seconds {
            Self::Resign
        } else {
            Self::Valid
        }
    }

    /// The word on a screen.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Resign => "sign again",
            Self::Expired => "expired",
        }
    }
}

/// Numbers that all members must share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// How old a single request may be (R8).
    pub nonce_window_seconds: u32,
    /// How far from the federation's time a confirmed clock may be (R8).
    pub clock_bound_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            nonce_window_seconds: 300,
            clock_bound_ms: 500,
        }
    }
}

impl Manifest {
    /// Reads a manifest; [`Manifest::to_json`] gives exactly these bytes again.
    ///
    /// # Errors
    /// [`ManifestError`] for anything but the canonical form of a manifest that keeps every rule.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge {
                what: "manifest",
                limit: MAX_MANIFEST_BYTES,
            });
        }
        let manifest = Self::from_value(Json::parse(bytes)?)?;
        if manifest.to_json().as_bytes() != bytes {
            return Err(ManifestError::NotCanonical("manifest"));
        }
        manifest.check()?;
        Ok(manifest)
    }

    /// SHA-256 of the canonical bytes.
    #[must_use]
    pub fn hash(&self) -> Hash {
        sha256(self.to_json().as_bytes())
    }

    /// The id of the federation that this manifest founds: its hash at epoch 0; later manifests do not know it.
    #[must_use]
    pub fn federation_id(&self) -> Option<Hash> {
        (self.epoch == 0).then(|| self.hash())
    }

    /// The member called `name`, with its position.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<(usize, &Member)> {
        let mut all = self.members.iter().enumerate();
        all.find(|(_, member)| member.name == name)
    }

    /// The towers that count for `origin`, with their positions: all but the origin's own member.
    pub fn towers_of(&self, origin: &str) -> impl Iterator<Item = (usize, &Member)> {
        self.members
            .iter()
            .enumerate()
            .filter(move |(_, member)| member.tower && member.name != origin)
    }
}
