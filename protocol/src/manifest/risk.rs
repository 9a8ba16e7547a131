//! What a human should know before signing a manifest: what it weakens, and what its numbers do not protect against.
//! May not refuse anything: what is refused is in `check` and `amend`.

use super::{Manifest, Quorum, collusion_note};
use std::collections::BTreeSet;
use std::fmt;

/// A validity above this is worth a word: who is gone stays a member for as long.
const LONG_VALIDITY_SECONDS: u64 = 400 * 86_400;

/// Something that a review screen says about a manifest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Risk {
    /// Fewer members than before can amend.
    ThresholdLowered {
        /// t before.
        before: u32,
        /// t after.
        after: u32,
    },
    /// Fewer towers than before must hold a digest.
    QuorumLowered {
        /// k before.
        before: u32,
        /// k after.
        after: u32,
    },
    /// What towers acknowledge is no longer held by them.
    MirroringEnds,
    /// A member gets another identity key: whoever holds the new one is that member.
    IdentityReplaced(String),
    /// So many leave or get new keys that the others could have amended without them all along.
    ManyReplaced {
        /// Identity keys that are gone.
        gone: u32,
        /// n - t + 1.
        veto: u32,
    },
    /// If the towers that leave are dead, the new epoch never takes effect.
    TowersLeave {
        /// The factory whose quorum it is.
        factory: String,
        /// Towers that leave.
        leave: u32,
        /// n - k: how many may be dead.
        spare: u32,
    },
    /// The recovery keys change.
    RecoveryKeysChanged,
    /// No recovery key: a federation that loses its threshold is lost.
    NoRecoveryKeys,
    /// The oldest protocol version is raised: who does not speak it is shut out.
    OldestProtocolRaised,
    /// It is valid for long.
    LongValidity {
        /// Days.
        days: u64,
    },
    /// With few towers a tower that colludes can split the view (R2).
    Collusion {
        /// The factory.
        factory: String,
        /// The sentence that `status` says too.
        note: &'static str,
    },
}

impl Risk {
    /// Whether it takes away protection that was there, so that a screen shows it in red.
    #[must_use]
    pub fn is_severe(&self) -> bool {
        !matches!(
            self,
            Self::NoRecoveryKeys
                | Self::OldestProtocolRaised
                | Self::LongValidity { .. }
                | Self::Collusion { .. }
        )
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ThresholdLowered { before, after } => write!(
                f,
                "the amendment threshold falls from {before} to {after}: fewer members can change everything"
            ),
            Self::QuorumLowered { before, after } => write!(
                f,
                "the tower quorum falls from {before} to {after}: fewer towers hold what is acknowledged"
            ),
            Self::MirroringEnds => {
                f.write_str("mirroring ends: towers acknowledge what they do not hold")
            }
            Self::IdentityReplaced(name) => write!(
                f,
                "{name} gets another identity key: ask its operator over another way whether the key is theirs"
            ),
            Self::ManyReplaced { gone, veto } => write!(
                f,
                "{gone} identity keys go at once; {veto} are enough to stop an amendment, so check why they all go"
            ),
            Self::TowersLeave {
                factory,
                leave,
                spare,
            } => write!(
                f,
                "{leave} towers of {factory} leave, and at most n - k = {spare} of them may be dead: otherwise no digest carries \
                 the quorums of both epochs and the new one never takes effect"
            ),
            Self::RecoveryKeysChanged => {
                f.write_str("the recovery keys change: check who holds the new ones")
            }
            Self::NoRecoveryKeys => f.write_str(
                "there is no recovery key: with fewer members left than the threshold, only a new federation helps",
            ),
            Self::OldestProtocolRaised => {
                f.write_str("the oldest protocol version is raised: older nodes are shut out")
            }
            Self::LongValidity { days } => write!(f, "it is valid for {days} days"),
            Self::Collusion { factory, note } => write!(f, "{factory}: {note}"),
        }
    }
}

impl Manifest {
    /// What a human should know of this manifest by itself: before a founding.
    #[must_use]
    pub fn risks(&self) -> Vec<Risk> {
        let mut risks = Vec::new();
        if self.recovery_keys.is_empty() {
            risks.push(Risk::NoRecoveryKeys);
        }
        let validity_seconds = self.expires_seconds.saturating_sub(self.created_seconds);
        if validity_seconds > LONG_VALIDITY_SECONDS {
            let days = validity_seconds / 86_400;
            risks.push(Risk::LongValidity { days });
        }
        for factory in self.members.iter().filter(|member| member.factory) {
            if let Some(note) = collusion_note(self.tower_count(&factory.name)) {
                let factory = factory.name.clone();
                risks.push(Risk::Collusion { factory, note });
            }
        }
        risks
    }

    /// What a human should know before `next` follows this manifest; severe ones first.
    #[must_use]
    pub fn amendment_risks(&self, next: &Self) -> Vec<Risk> {
        let mut risks = Vec::new();
        if next.amendment_threshold < self.amendment_threshold {
            risks.push(Risk::ThresholdLowered {
                before: self.amendment_threshold,
                after: next.amendment_threshold,
            });
        }
        if next.tower_quorum < self.tower_quorum {
            risks.push(Risk::QuorumLowered {
                before: self.tower_quorum,
                after: next.tower_quorum,
            });
        }
        if self.mirroring && !next.mirroring {
            risks.push(Risk::MirroringEnds);
        }
        self.identity_risks(next, &mut risks);
        self.tower_risks(next, &mut risks);
        if next.recovery_keys != self.recovery_keys {
            risks.push(Risk::RecoveryKeysChanged);
        }
        if next.protocol.0 > self.protocol.0 {
            risks.push(Risk::OldestProtocolRaised);
        }
        risks.extend(next.risks());
        risks.sort_by_key(|risk| !risk.is_severe());
        risks
    }

    fn identity_risks(&self, next: &Self, risks: &mut Vec<Risk>) {
        let kept: BTreeSet<String> = next
            .members
            .iter()
            .map(|member| member.identity.to_string())
            .collect();
        let gone = self
            .members
            .iter()
            .filter(|member| !kept.contains(&member.identity.to_string()));
        let mut count = 0;
        for member in gone {
            count += 1;
            if next.member(&member.name).is_some() {
                risks.push(Risk::IdentityReplaced(member.name.clone()));
            }
        }
        let members = u32::try_from(self.members.len()).unwrap_or(u32::MAX); // at most 64
        let veto = members.saturating_sub(self.amendment_threshold) + 1;
        if count >= veto {
            risks.push(Risk::ManyReplaced { gone: count, veto });
        }
    }

    /// For each factory that stays: more towers leave than may be dead.
    fn tower_risks(&self, next: &Self, risks: &mut Vec<Risk>) {
        for factory in self.members.iter().filter(|member| member.factory) {
            if next
                .member(&factory.name)
                .is_none_or(|(_, member)| !member.factory)
            {
                continue;
            }
            let stays = |name: &str| next.member(name).is_some_and(|(_, member)| member.tower);
            let leave = self
                .towers_of(&factory.name)
                .filter(|(_, tower)| !stays(&tower.name))
                .count();
            let leave = u32::try_from(leave).unwrap_or(u32::MAX); // at most 64
            let quorum = Quorum::new(self.tower_count(&factory.name), self.tower_quorum);
            let spare = quorum.map_or(0, |quorum| quorum.towers - quorum.needed);
            if leave > spare {
                let factory = factory.name.clone();
                risks.push(Risk::TowersLeave {
                    factory,
                    leave,
                    spare,
                });
            }
        }
    }
}
