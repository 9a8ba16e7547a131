//! The compiled rules: which action each class gets, and the hash that names the whole for verifiers.
//! May not look at texts; two rule sets with one hash scrub every text alike.

use super::class::Class;
use super::context;
use super::patterns;
use crate::tlog::hash::{Hash, sha256};
use regex_automata::meta::Regex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Version of everything the patterns do not say: validators, walks, decoding, normalisation. Raise it with any
/// change of what scrubbing does, so that the rule set's hash changes too.
const VALIDATORS_VERSION: u32 = 1;

/// Most characters a mask may keep: more would leave a value recognisable.
pub const MAX_MASK_KEEP: u8 = 8;

/// What happens to a value of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Replaced by `<class>`; nothing of the value remains.
    Drop,
    /// Replaced by `****` and the last characters, this many, and never more than half of the value.
    Mask(u8),
    /// Replaced by a keyed pseudonym that links equal values of one tenant and epoch.
    Token,
    /// Left as it is.
    Keep,
}

/// Actions that differ from the standard ones, by class name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulesetConfig {
    /// Class name to action.
    #[serde(default)]
    pub actions: BTreeMap<String, Action>,
}

/// Why a configuration is no rule set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesetError {
    /// No class has this name.
    #[error("unknown class `{name}`; known classes: {known}")]
    UnknownClass {
        /// The name in the configuration.
        name: String,
        /// Every known name.
        known: String,
    },
    /// A mask that keeps too much.
    #[error("class `{class}`: mask = {keep} keeps too much; use at most {MAX_MASK_KEEP}")]
    MaskTooLong {
        /// The class.
        class: Class,
        /// What was asked.
        keep: u8,
    },
    /// A class that cannot be masked.
    #[error("class `{class}` is masked already; use \"keep\", \"drop\" or \"token\"")]
    MaskOfMask {
        /// The class.
        class: Class,
    },
    /// The patterns do not compile: a fault of this program.
    #[error("the detectors do not compile: {0}")]
    Pattern(String),
}

/// Compiled rules. Building takes milliseconds, so build once and share.
#[derive(Debug)]
pub struct Ruleset {
    pub(super) regex: Regex,
    actions: [Action; Class::ALL.len()],
    hash: Hash,
}

impl Ruleset {
    /// The rules without any configuration.
    #[must_use]
    pub fn standard() -> Self {
        match Self::from_config(&RulesetConfig::default()) {
            Ok(rules) => rules,
            Err(error) => {
                unreachable!("the standard rules are constants, and a test builds them: {error}")
            }
        }
    }

    /// The standard rules with the actions of `config`.
    ///
    /// # Errors
    /// Unknown class names and masks that do not hide.
    pub fn from_config(config: &RulesetConfig) -> Result<Self, RulesetError> {
        let mut actions = Class::ALL.map(standard_action);
        for (name, action) in &config.actions {
            let class = Class::from_name(name).ok_or_else(|| unknown(name))?;
            if let Action::Mask(keep) = *action {
                if class == Class::SgNricMasked {
                    return Err(RulesetError::MaskOfMask { class });
                }
                if keep > MAX_MASK_KEEP {
                    return Err(RulesetError::MaskTooLong { class, keep });
                }
            }
            actions[class.index()] = *action;
        }
        let regex =
            patterns::compile().map_err(|error| RulesetError::Pattern(error.to_string()))?;
        let hash = sha256(describe(&actions).as_bytes());
        Ok(Self {
            regex,
            actions,
            hash,
        })
    }

    /// SHA-256 of the canonical description of all rules: patterns, keywords, validators' version, actions.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// What happens to values of this class.
    #[must_use]
    pub fn action(&self, class: Class) -> Action {
        self.actions[class.index()]
    }
}

fn standard_action(class: Class) -> Action {
    match class {
        class if class.is_secret() => Action::Drop,
        Class::SgNricMasked => Action::Keep,
        _ => Action::Token,
    }
}

fn unknown(name: &str) -> RulesetError {
    let known = Class::ALL.map(Class::name).join(", ");
    RulesetError::UnknownClass {
        name: name.to_owned(),
        known,
    }
}

/// The text whose hash is the rule set's identity; one line for each fact.
fn describe(actions: &[Action]) -> String {
    let mut text = format!("belfry-scrub v1\nvalidators {VALIDATORS_VERSION}\n");
    for (rule, pattern) in patterns::PATTERNS {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "pattern {rule:?} {pattern}");
    }
    for (name, words) in context::ALL {
        let _ = writeln!(text, "context {name} {}", words.join("|"));
    }
    for class in Class::ALL {
        let action = match actions[class.index()] {
            Action::Drop => "drop".to_owned(),
            Action::Mask(keep) => format!("mask {keep}"),
            Action::Token => "token".to_owned(),
            Action::Keep => "keep".to_owned(),
        };
        let _ = writeln!(text, "class {} {action}", class.name());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> RulesetConfig {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_configuration_round_trips() {
        let text = r#"{"actions":{"card":"keep","email":{"mask":4},"jwt":"token","uuid":"drop"}}"#;
        assert_eq!(serde_json::to_string(&config(text)).unwrap(), text);
        assert_eq!(config("{}"), RulesetConfig::default());
        assert!(serde_json::from_str::<RulesetConfig>(r#"{"action":{}}"#).is_err());
        assert!(serde_json::from_str::<RulesetConfig>(r#"{"actions":{"email":"hide"}}"#).is_err());
    }

    #[test]
    fn an_unknown_class_names_the_known_ones() {
        let error = Ruleset::from_config(&config(r#"{"actions":{"mail":"drop"}}"#)).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("`mail`") && text.contains("email, phone"),
            "{text}"
        );
    }

    #[test]
    fn masks_are_bounded() {
        assert!(Ruleset::from_config(&config(r#"{"actions":{"card":{"mask":8}}}"#)).is_ok());
        assert!(Ruleset::from_config(&config(r#"{"actions":{"card":{"mask":9}}}"#)).is_err());
        assert!(
            Ruleset::from_config(&config(r#"{"actions":{"sg_nric_masked":{"mask":4}}}"#)).is_err()
        );
    }

    /// A change here means that entries made before and after were scrubbed by different rules: never by accident.
    #[test]
    fn the_hash_of_the_standard_rules_is_golden() {
        assert_eq!(
            Ruleset::standard().hash().to_hex(),
            "af3c26b3c4654ac5c96bbdc6d860db740b7f5c171f5542737e2ab998a8a10759"
        );
    }

    #[test]
    fn every_action_changes_the_hash() {
        let standard = Ruleset::standard().hash();
        let other = Ruleset::from_config(&config(r#"{"actions":{"uuid":"keep"}}"#))
            .unwrap()
            .hash();
        assert_ne!(standard, other);
        assert_eq!(standard, Ruleset::standard().hash());
    }
}
