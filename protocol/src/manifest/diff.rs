//! What changes between two manifests, as data for a review screen. May not judge it: see `risk`.

use super::{Manifest, Member, Version};
use crate::tlog::hash::Hash;
use std::fmt;

/// What of a manifest, or of one of its members, changes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Field {
    /// The whole member: it joins or leaves.
    Member,
    /// Factory, tower or both.
    Roles,
    /// The identity key.
    Identity,
    /// The PeerId.
    Peer,
    /// Where it is dialled.
    Addresses,
    /// Where it serves HTTP.
    Http,
    /// The newest certificate: a rotation.
    CertificateHead,
    /// k.
    TowerQuorum,
    /// t.
    AmendmentThreshold,
    /// Whether mirrors count.
    Mirroring,
    /// Oldest and newest protocol version.
    Protocol,
    /// How old a single request may be.
    NonceWindow,
    /// How far off a clock may be.
    ClockBound,
    /// End of validity.
    Expires,
    /// From when the next epoch should be signed.
    ResignFrom,
    /// When it takes effect, if not at once.
    Effective,
    /// A recovery key.
    RecoveryKey,
}

impl Field {
    /// The words on the screen.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Roles => "roles",
            Self::Identity => "identity key",
            Self::Peer => "PeerId",
            Self::Addresses => "addresses",
            Self::Http => "HTTP URL",
            Self::CertificateHead => "newest certificate",
            Self::TowerQuorum => "tower quorum",
            Self::AmendmentThreshold => "amendment threshold",
            Self::Mirroring => "mirroring",
            Self::Protocol => "protocol",
            Self::NonceWindow => "nonce window, seconds",
            Self::ClockBound => "clock bound, ms",
            Self::Expires => "expires, seconds since 1970",
            Self::ResignFrom => "sign again from, seconds since 1970",
            Self::Effective => "takes effect, seconds since 1970",
            Self::RecoveryKey => "recovery key",
        }
    }
}

/// One change. `before` is missing where something is new, `after` where it is gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Whose it is; `None` for the federation's own numbers.
    pub member: Option<String>,
    /// What changes.
    pub field: Field,
    /// The old value, as text.
    pub before: Option<String>,
    /// The new value, as text.
    pub after: Option<String>,
}

/// One line: `+ member tower-oslo (tower)`, `~ amendment threshold 3 → 4`, `~ factory-rio: addresses … → …`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match (&self.before, &self.after) {
            (None, _) => '+',
            (_, None) => '-',
            _ => '~',
        };
        write!(f, "{sign} ")?;
        match (&self.member, self.field) {
            (Some(name), Field::Member) => write!(f, "member {name}")?,
            (Some(name), field) => write!(f, "{name}: {}", field.words())?,
            (None, field) => f.write_str(field.words())?,
        }
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, " {before} → {after}"),
            (Some(one), None) | (None, Some(one)) if self.field == Field::Member => {
                write!(f, " ({one})")
            }
            (Some(one), None) | (None, Some(one)) => write!(f, " {one}"),
            (None, None) => Ok(()),
        }
    }
}

impl Manifest {
    /// What `next` changes: members by name, then the federation's numbers. Epoch, times of making and the hash of the
    /// manifest before are no changes.
    #[must_use]
    pub fn diff(&self, next: &Self) -> Vec<Change> {
        let mut changes = Changes::default();
        for old in &self.members {
            match next.member(&old.name) {
                None => changes.add(Some(&old.name), Field::Member, Some(old.roles()), None),
                Some((_, new)) => changes.member(old, new),
            }
        }
        let new = next.members.iter();
        for new in new.filter(|member| self.member(&member.name).is_none()) {
            changes.add(Some(&new.name), Field::Member, None, Some(new.roles()));
        }
        changes.numbers(self, next);
        changes.0
    }
}

impl Member {
    /// Its roles in words: `factory`, `tower` or `factory, tower`.
    #[must_use]
    pub fn roles(&self) -> String {
        let roles = [(self.factory, "factory"), (self.tower, "tower")];
        let roles = roles.iter().filter(|(has, _)| *has).map(|(_, role)| *role);
        roles.collect::<Vec<_>>().join(", ")
    }
}

#[derive(Default)]
struct Changes(Vec<Change>);

impl Changes {
    fn add(
        &mut self,
        member: Option<&str>,
        field: Field,
        before: Option<String>,
        after: Option<String>,
    ) {
        self.0.push(Change {
            member: member.map(str::to_owned),
            field,
            before,
            after,
        });
    }

    fn pair(&mut self, member: Option<&str>, field: Field, before: String, after: String) {
        if before != after {
            self.add(member, field, Some(before), Some(after));
        }
    }

    fn member(&mut self, old: &Member, new: &Member) {
        let name = Some(old.name.as_str());
        self.pair(name, Field::Roles, old.roles(), new.roles());
        let key = |member: &Member| member.identity.to_string();
        self.pair(name, Field::Identity, key(old), key(new));
        self.pair(name, Field::Peer, old.peer.clone(), new.peer.clone());
        let addresses = |member: &Member| member.addresses.join(" ");
        self.pair(name, Field::Addresses, addresses(old), addresses(new));
        if old.http != new.http {
            self.add(name, Field::Http, old.http.clone(), new.http.clone());
        }
        let head = |member: &Member| member.certificate_head.to_hex();
        self.pair(name, Field::CertificateHead, head(old), head(new));
    }

    fn numbers(&mut self, old: &Manifest, new: &Manifest) {
        type Print = fn(&Manifest) -> String;
        let rows: [(Field, Print); 8] = [
            (Field::TowerQuorum, |m| m.tower_quorum.to_string()),
            (Field::AmendmentThreshold, |m| {
                m.amendment_threshold.to_string()
            }),
            (Field::Mirroring, |m| m.mirroring.to_string()),
            (Field::Protocol, |m| {
                let text = |(major, minor): Version| format!("{major}.{minor}");
                format!("{} to {}", text(m.protocol.0), text(m.protocol.1))
            }),
            (Field::NonceWindow, |m| {
                m.limits.nonce_window_seconds.to_string()
            }),
            (Field::ClockBound, |m| m.limits.clock_bound_ms.to_string()),
            (Field::Expires, |m| m.expires_seconds.to_string()),
            (Field::ResignFrom, |m| m.resign_from_seconds.to_string()),
        ];
        for (field, print) in rows {
            self.pair(None, field, print(old), print(new));
        }
        if let Some(at) = new.effective_seconds {
            self.add(None, Field::Effective, None, Some(at.to_string()));
        }
        let gone = |from: &Manifest, to: &Manifest| -> Vec<Hash> {
            let keys = from.recovery_keys.iter().copied();
            keys.filter(|key| !to.recovery_keys.contains(key)).collect()
        };
        for key in gone(old, new) {
            self.add(None, Field::RecoveryKey, Some(key.to_hex()), None);
        }
        for key in gone(new, old) {
            self.add(None, Field::RecoveryKey, None, Some(key.to_hex()));
        }
    }
}
