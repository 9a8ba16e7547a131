//! Which scrubbing rules apply to which kind of entry. A kind without rules of its own takes the default ones.

use crate::scrub::{Ruleset, RulesetConfig, RulesetError, Scrubber};
use crate::tlog::hash::Hash;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Scrubbers by kind.
#[derive(Clone, Debug)]
pub struct Rulebook {
    default: Scrubber,
    kinds: BTreeMap<String, Scrubber>,
}

impl Rulebook {
    /// The standard rules for every kind.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            default: Scrubber::new(Arc::new(Ruleset::standard())),
            kinds: BTreeMap::new(),
        }
    }

    /// Rules from configuration: `default` for every kind, and for each kind in `kinds` its own actions on top.
    ///
    /// # Errors
    /// When a class is unknown or an action does not fit it.
    pub fn from_config(
        default: &RulesetConfig,
        kinds: &BTreeMap<String, RulesetConfig>,
    ) -> Result<Self, RulesetError> {
        let scrubber =
            |config: &RulesetConfig| Ok(Scrubber::new(Arc::new(Ruleset::from_config(config)?)));
        let merged = |own: &RulesetConfig| {
            let mut all = default.clone();
            all.actions.extend(own.actions.clone());
            all
        };
        let kinds = kinds
            .iter()
            .map(|(kind, own)| Ok((kind.clone(), scrubber(&merged(own))?)))
            .collect::<Result<_, RulesetError>>()?;
        Ok(Self {
            default: scrubber(default)?,
            kinds,
        })
    }

    /// The scrubber for entries of `kind`.
    #[must_use]
    pub fn scrubber(&self, kind: &str) -> &Scrubber {
        self.kinds.get(kind).unwrap_or(&self.default)
    }

    /// Hash of the default rules.
    #[must_use]
    pub fn default_hash(&self) -> Hash {
        self.default.ruleset_hash()
    }

    /// Hashes of the rules of kinds that have their own.
    pub fn kind_hashes(&self) -> impl Iterator<Item = (&str, Hash)> {
        self.kinds
            .iter()
            .map(|(kind, scrubber)| (kind.as_str(), scrubber.ruleset_hash()))
    }
}
