//! How old this node's keys are and how long they last, out of the public files of `keys/` (R6): for commands, status, metrics and
//! doctor alike. Unlocks nothing and may not change anything.

use crate::clock::shown_seconds;
use belfry_keys::{KeyDir, KeyError, RotationLevel, RotationState};
use belfry_protocol::cert::{Certificate, Revocation};
use belfry_protocol::engine::keys::OVERLAP_SECONDS;
use serde_json::{Value, json};
use std::path::Path;

/// Seconds of a day.
const DAY: u64 = 86_400;

/// Words of all levels, as they are shown everywhere.
pub(crate) const LEVELS: [(RotationLevel, &str); 4] = [
    (RotationLevel::Ok, "ok"),
    (RotationLevel::Warning, "rotate-soon"),
    (RotationLevel::Critical, "urgent"),
    (RotationLevel::Expired, "expired"),
];

/// The word of a level.
pub(crate) fn word(level: RotationLevel) -> &'static str {
    let word = LEVELS.iter().find(|(one, _)| *one == level);
    word.map_or("ok", |(_, word)| word)
}

/// A node's serials as of some time.
pub(crate) struct KeyState {
    chain: Vec<Certificate>,
    /// Serials with the reason's word.
    revoked: Vec<(u64, &'static str)>,
    now_seconds: u64,
}

impl KeyState {
    /// Of the node with this directory and name.
    ///
    /// # Errors
    /// When the files in clear are missing or do not hold.
    pub(crate) fn read(dir: &Path, name: &str, now_seconds: u64) -> Result<Self, KeyError> {
        let revoked = KeyDir::public_revocations(dir)?;
        let revoked = revoked.into_iter().map(|(serial, note)| {
            let said = Revocation::parse(note.text());
            (serial, said.map_or("revoked", |said| said.reason.as_str()))
        });
        Ok(Self {
            chain: KeyDir::public_chain(dir, name)?,
            revoked: revoked.collect(),
            now_seconds,
        })
    }

    /// The newest certificate; a chain that was read is never empty.
    pub(crate) fn newest(&self) -> Option<&Certificate> {
        self.chain.last()
    }

    /// How urgent a rotation is.
    pub(crate) fn rotation(&self) -> RotationState {
        let ends = self.newest().map_or(0, |one| one.not_after_seconds);
        RotationState::at(ends, self.now_seconds)
    }

    /// Age of the newest keys, in seconds.
    pub(crate) fn age_seconds(&self) -> u64 {
        let began = self.newest().map_or(0, |one| one.not_before_seconds);
        self.now_seconds.saturating_sub(began)
    }

    /// What a serial is good for now.
    fn used(&self, one: &Certificate) -> String {
        let newest = self.newest().map_or(0, |one| one.serial);
        if let Some((_, why)) = self
            .revoked
            .iter()
            .find(|(serial, _)| *serial == one.serial)
        {
            return format!("revoked ({why})");
        }
        if one.serial == newest {
            return match self.now_seconds < one.not_after_seconds {
                true => "signs".to_owned(),
                false => "expired: signs nothing".to_owned(),
            };
        }
        let since = self.newest().map_or(0, |one| one.not_before_seconds);
        let both_until = since
            .saturating_add(OVERLAP_SECONDS)
            .min(one.not_after_seconds);
        if one.serial + 1 == newest && self.now_seconds < both_until {
            return format!("signs too until {}", shown_seconds(both_until));
        }
        "verifies only".to_owned()
    }

    /// All of it.
    pub(crate) fn json(&self) -> Value {
        let serial = |one: &Certificate| {
            let age = self.now_seconds.saturating_sub(one.not_before_seconds);
            let RotationState { days_left, .. } =
                RotationState::at(one.not_after_seconds, self.now_seconds);
            json!({
                "serial": one.serial, "from_size": one.log_from_size, "age_days": age / DAY, "days_left": days_left,
                "not_before": shown_seconds(one.not_before_seconds), "not_after": shown_seconds(one.not_after_seconds),
                "use": self.used(one), "log": one.log.to_string(),
            })
        };
        let RotationState { days_left, level } = self.rotation();
        json!({
            "serial": self.newest().map_or(0, |one| one.serial), "state": word(level), "days_left": days_left,
            "age_days": self.age_seconds() / DAY,
            "not_after": shown_seconds(self.newest().map_or(0, |one| one.not_after_seconds)),
            "serials": self.chain.iter().map(serial).collect::<Vec<_>>(),
        })
    }
}

/// What to do about keys in this state, if anything.
pub(crate) fn advice(level: RotationLevel) -> Option<&'static str> {
    match level {
        RotationLevel::Ok => None,
        RotationLevel::Warning => Some("rotate soon: belfry key rotate"),
        RotationLevel::Critical => Some("rotate now: belfry key rotate"),
        RotationLevel::Expired => Some("no digest and no ack is signed before `belfry key rotate`"),
    }
}

/// One line for people out of [`KeyState::json`], if there is one.
pub(crate) fn line(keys: &Value) -> Option<String> {
    let state = keys.get("state")?.as_str()?;
    let level = LEVELS.iter().find(|(_, word)| *word == state)?.0;
    let number = |key: &str| keys.get(key).and_then(Value::as_u64).unwrap_or(0);
    let advice = advice(level).map_or(String::new(), |advice| format!("; {advice}"));
    Some(format!(
        "serial {}, {} days old, {} days left ({state}){advice}",
        number("serial"),
        number("age_days"),
        number("days_left")
    ))
}
