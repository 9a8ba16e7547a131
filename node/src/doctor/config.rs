//! The configuration file.

use super::Check;
use crate::config::Config;
use crate::exit::Failure;

/// Whether it reads.
pub(super) fn loaded(loaded: &Result<Config, Failure>) -> Check {
    match loaded {
        Ok(config) => Check::pass(
            "config.valid",
            format!("config.toml is valid; {} as {}", config.name, config.role),
        ),
        Err(error) => Check::failure(
            "config.valid",
            error,
            "mend the line; `belfry config validate` checks it, `belfry config show` lists all keys",
        ),
    }
}
