//! `belfry doctor`: what an operator would look at, one after another, each with what was seen and what to do. Changes
//! nothing but for a file that it writes to time a sync, and joins nothing.
//!
//! | file | checks |
//! |---|---|
//! | [`config`], [`keys`] | the configuration; key files, their modes and how long they last |
//! | [`database`], [`ledger`] | the databases and the anti-replay store; the right edge, and the head as others see it |
//! | [`ports`], [`disk`] | what the node listens on; room and syncs |
//! | [`members`] | each other member: dial, hello, version, clock |
//! | [`votes`] | the vote on the next epoch |

mod config;
mod database;
mod disk;
mod keys;
mod ledger;
mod members;
mod ports;
mod votes;

use crate::config::Config;
use crate::disk::{Disk, RealDisk};
use crate::exit::Failure;
use crate::member;
use crate::store::Layout;
use belfry_protocol::manifest::Federation;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it should be.
    Pass,
    /// It could not be found out; the reason is in what was seen.
    Unknown,
    /// It works, and will not for ever.
    Warn,
    /// It does not work, or is not safe.
    Fail,
}

impl State {
    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Unknown => "UNKNOWN",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, like `keys.modes` or `members.north.example.dial`.
    pub name: String,
    /// How it came out.
    pub state: State,
    /// What was seen.
    pub seen: String,
    /// What to do; empty for what passed.
    pub remedy: String,
}

impl Check {
    fn new(name: impl Into<String>, state: State, seen: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            state,
            seen: seen.into(),
            remedy: String::new(),
        }
    }

    fn pass(name: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::new(name, State::Pass, seen)
    }

    fn unknown(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(name, State::Unknown, why)
    }

    fn warn(name: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::new(name, State::Warn, seen)
    }

    fn fail(name: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::new(name, State::Fail, seen)
    }

    /// An error of something that should have worked, with its own hint, or `otherwise`.
    fn failure(name: impl Into<String>, failure: &Failure, otherwise: &str) -> Self {
        let hint = failure.hint.as_deref().unwrap_or(otherwise);
        Self::fail(name, failure.message.clone()).remedy(hint)
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// As `doctor --json` has it.
    #[must_use]
    pub fn json(&self) -> Value {
        let remedy = (!self.remedy.is_empty()).then_some(&self.remedy);
        json!({ "name": self.name, "state": self.state.word(), "seen": self.seen, "remedy": remedy })
    }
}

/// What a running node says of itself.
#[derive(Clone, Debug, Default)]
pub struct Running {
    /// Its status.
    pub status: Value,
    /// Its view of the other members; `None` if it is none.
    pub peers: Option<Value>,
    /// How the vote on the next epoch stands, where there is one.
    pub vote: Option<Value>,
    /// Round trips to members in microseconds, or why there was none, by name.
    pub pings: BTreeMap<String, Result<u64, String>>,
}

/// What checks look at.
struct Patient<'a> {
    layout: &'a Layout,
    config: Option<&'a Config>,
    running: Option<&'a Running>,
    federation: Option<Federation>,
    disk: Arc<dyn Disk>,
}

/// Examines a data directory: with the node's own words if it `running`, else from outside. `may_write` allows the file
/// that times a sync.
#[must_use]
pub fn examine(
    layout: &Layout,
    loaded: &Result<Config, Failure>,
    running: Option<&Running>,
    may_write: bool,
) -> Vec<Check> {
    let mut checks = vec![config::loaded(loaded)];
    let federation = match member::federation(layout) {
        Ok(federation) => federation,
        Err(error) => {
            checks.push(Check::failure(
                "config.manifest",
                &error,
                "copy genesis.json out of any other member's data directory",
            ));
            None
        }
    };
    let patient = Patient {
        layout,
        config: loaded.as_ref().ok(),
        running,
        federation,
        disk: Arc::new(RealDisk),
    };
    checks.extend(keys::checks(&patient));
    checks.extend(database::checks(&patient));
    checks.extend(ledger::checks(&patient));
    checks.extend(disk::checks(&patient, may_write));
    checks.extend(ports::checks(&patient));
    checks.extend(members::checks(&patient));
    checks.extend(votes::checks(&patient));
    checks
}
