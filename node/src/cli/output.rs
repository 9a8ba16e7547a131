//! Printing: results on stdout, messages and progress on stderr, errors as text or as one JSON object.

use super::args::{Format, Global};
use crate::exit::Failure;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Where and how this command prints.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    format: Format,
    quiet: bool,
}

impl Output {
    pub(super) fn new(global: &Global) -> Self {
        let format = if global.json {
            Format::Json
        } else {
            global.output
        };
        Self {
            format,
            quiet: global.quiet,
        }
    }

    /// Whether people read it.
    pub(super) fn is_human(self) -> bool {
        self.format == Format::Human
    }

    /// Prints a result.
    pub(super) fn result(self, human: &str, json: &Value) -> Result<(), Failure> {
        self.line(&self.formatted(human, json))
    }

    /// Prints a result; a reader that went away is an error, for callers that have something to clean up.
    pub(super) fn try_result(self, human: &str, json: &Value) -> Result<(), Failure> {
        Ok(write_line(&self.formatted(human, json))?)
    }

    fn formatted(self, human: &str, json: &Value) -> String {
        match self.format {
            Format::Human => human.to_owned(),
            Format::Json => serde_json::to_string_pretty(json).unwrap_or_default(),
            Format::Ndjson => json.to_string(),
        }
    }

    /// Prints one line of a stream; a reader that went away ends the command quietly.
    pub(super) fn line(self, text: &str) -> Result<(), Failure> {
        match write_line(text) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
            other => Ok(other?),
        }
    }

    /// Tells people something that is no result.
    pub(super) fn say(self, text: impl AsRef<str>) {
        if !self.quiet {
            anstream::eprintln!("{}", text.as_ref());
        }
    }

    /// A progress bar on a terminal; nothing elsewhere. Without a length it counts.
    pub(super) fn progress(self, length: Option<u64>, unit: &str) -> ProgressBar {
        let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        if self.quiet || !self.is_human() || !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
            return bar;
        }
        let template = match length {
            Some(_) => {
                format!("{{bar:30}} {{human_pos}}/{{human_len}} {unit}  {{per_sec}}  {{eta}}")
            }
            None => format!("{{spinner}} {{human_pos}} {unit}  {{per_sec}}"),
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

fn write_line(text: &str) -> std::io::Result<()> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Prints an error: `error:` and `hint:` lines, or one JSON object.
pub(super) fn print_failure(failure: &Failure, json: bool) {
    if json {
        let mut object = serde_json::json!({
            "type": "error",
            "code": failure.code.number(),
            "kind": failure.code.kind(),
            "message": failure.message,
        });
        if let (Some(hint), Some(map)) = (&failure.hint, object.as_object_mut()) {
            map.insert("hint".to_owned(), Value::String(hint.clone()));
        }
        anstream::eprintln!("{object}");
        return;
    }
    anstream::eprintln!("error: {}", failure.message);
    if let Some(hint) = &failure.hint {
        anstream::eprintln!("hint: {hint}");
    }
}
