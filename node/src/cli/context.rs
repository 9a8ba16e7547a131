//! What a command works with: the data directory, its configuration, its keys, and how to print.

use super::args::Global;
use super::output::Output;
use crate::config::{self, Config, Shown};
use crate::disk::RealDisk;
use crate::exit::{Code, Failure};
use crate::node::Node;
use crate::store::{Layout, Reader};
use belfry_keys::{KeyDir, KeyError, NodeKeys};
use belfry_protocol::cert::LogVerifiers;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;

/// Name of the systemd credential that may hold the passphrase.
const CREDENTIAL: &str = "belfry-passphrase";

/// The surroundings of one command.
pub(super) struct Context {
    pub(super) global: Global,
    pub(super) layout: Layout,
    pub(super) out: Output,
}

impl Context {
    pub(super) fn new(global: Global) -> Result<Self, Failure> {
        let dir = match &global.data_dir {
            Some(dir) => dir.clone(),
            None => default_dir()?,
        };
        let out = Output::new(&global);
        Ok(Self {
            layout: Layout::new(dir),
            out,
            global,
        })
    }

    /// The configuration, with this command's flags on top.
    pub(super) fn config(
        &self,
        flags: &BTreeMap<&'static str, String>,
    ) -> Result<(Config, Shown), Failure> {
        if !self.layout.config().exists() {
            return Err(Failure::new(
                Code::NotInitialised,
                format!("{} holds no node", self.layout.dir().display()),
            )
            .hint("make one with `belfry init --name NAME`, or name another directory with --data-dir"));
        }
        let (config, shown) = config::load(&self.layout.config(), &config::environment(), flags)?;
        if config.name.is_empty() {
            return Err(Failure::new(Code::ConfigInvalid, "config.toml has no name")
                .hint("it must hold the name that was given to `belfry init`"));
        }
        Ok((config, shown))
    }

    /// The keys, unlocked.
    pub(super) fn keys(&self) -> Result<NodeKeys, Failure> {
        KeyDir::open(self.layout.dir(), || self.passphrase(false)).map_err(key_failure)
    }

    /// The node, opened for writing by this process.
    pub(super) fn open(&self, flags: &BTreeMap<&'static str, String>) -> Result<Node, Failure> {
        let (config, _) = self.config(flags)?;
        let keys = self.keys()?;
        if keys.name() != config.name {
            return Err(Failure::new(
                Code::ConfigInvalid,
                format!(
                    "config.toml names {:?} and the keys belong to {:?}",
                    config.name,
                    keys.name()
                ),
            )
            .hint("the name was fixed by `belfry init`; set it back"));
        }
        Node::open(self.layout.clone(), config, &keys)
    }

    /// The node, for a command that does the work of a node that does not run. Not a member: it takes nothing before it
    /// asked its towers, which only `run` does.
    pub(super) fn open_alone(&self) -> Result<Node, Failure> {
        if self.layout.genesis().exists() {
            return Err(Failure::new(
                Code::Recovering,
                "this member is not running, and takes no entry before it asked its towers",
            )
            .hint(format!(
                "start it with `belfry run --data-dir {}`, then run this command again",
                self.layout.dir().display()
            )));
        }
        self.open(&BTreeMap::new())
    }

    /// The keys that the ledger's digests verify under, without unlocking anything.
    pub(super) fn log_verifiers(&self) -> Result<LogVerifiers, Failure> {
        let (config, _) = self.config(&BTreeMap::new())?;
        KeyDir::public_log_keys(self.layout.dir(), &config.name).map_err(key_failure)
    }

    /// A read-only view of the ledger.
    pub(super) fn reader(&self) -> Result<Reader, Failure> {
        self.config(&BTreeMap::new())?;
        Ok(Reader::open(self.layout.clone(), Arc::new(RealDisk))?)
    }

    /// The passphrase from a file, a systemd credential or a prompt; asked twice when it is `new`.
    pub(super) fn passphrase(&self, new: bool) -> Result<Option<SecretString>, KeyError> {
        let credential = std::env::var_os("CREDENTIALS_DIRECTORY")
            .map(|dir| PathBuf::from(dir).join(CREDENTIAL));
        let file = self
            .global
            .passphrase_file
            .clone()
            .or(credential.filter(|path| path.exists()));
        if let Some(file) = file {
            let text = std::fs::read_to_string(&file).map_err(|error| {
                KeyError::PassphraseSource(format!(
                    "cannot read the passphrase file {}: {error}",
                    file.display()
                ))
            })?;
            let text = text.trim_end_matches(['\r', '\n']).to_owned();
            return Ok(Some(SecretString::from(text)));
        }
        if self.global.no_input || !std::io::stdin().is_terminal() {
            return Ok(None);
        }
        let ask = |prompt: &str| {
            rpassword::prompt_password(prompt)
                .map_err(|error| KeyError::PassphraseSource(error.to_string()))
        };
        let first = ask("Passphrase: ")?;
        if new && ask("The same again: ")? != first {
            return Err(KeyError::PassphraseSource(
                "the two passphrases differ".to_owned(),
            ));
        }
        Ok(Some(SecretString::from(first)))
    }
}

/// An error of the key directory as a failure of a command.
pub(super) fn key_failure(error: KeyError) -> Failure {
    Failure::new(Code::KeyUnavailable, error.to_string())
}

fn default_dir() -> Result<PathBuf, Failure> {
    let from = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    from("XDG_DATA_HOME")
        .or_else(|| from("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("belfry"))
        .ok_or_else(|| {
            Failure::new(Code::Usage, "no data directory").hint("give one with --data-dir")
        })
}
