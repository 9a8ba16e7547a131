//! The node's own log: human lines on a terminal, JSON elsewhere, always on stderr. A line stands on its own.

use crate::exit::{Code, Failure};
use std::io::IsTerminal;
use std::sync::OnceLock;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts logging; `verbose` raises the level above what `filter` says.
///
/// # Errors
/// When the filter does not parse.
pub(crate) fn start(filter: &str, format: &str, verbose: u8) -> Result<(), Failure> {
    let filter = match verbose {
        0 => filter,
        1 => "debug",
        _ => "trace",
    };
    let parsed = EnvFilter::try_new(filter).map_err(|error| {
        Failure::new(
            Code::ConfigInvalid,
            format!("log.filter {filter:?}: {error}"),
        )
    })?;
    let (layer, handle) = reload::Layer::new(parsed);
    let human = format == "human" || (format == "auto" && std::io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(layer);
    let started = if human {
        registry
            .with(fmt::layer().with_writer(std::io::stderr).with_target(false))
            .try_init()
    } else {
        registry
            .with(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(std::io::stderr),
            )
            .try_init()
    };
    // A second start in one process (tests) keeps the first.
    if started.is_ok() {
        let _ = FILTER.set(handle);
    }
    Ok(())
}

/// Changes what is logged; an invalid filter changes nothing.
pub(crate) fn set_filter(filter: &str) {
    let (Some(handle), Ok(parsed)) = (FILTER.get(), EnvFilter::try_new(filter)) else {
        return;
    };
    if let Err(error) = handle.reload(parsed) {
        tracing::warn!(%error, "the log filter could not be changed");
    }
}
