//! Prints policies in their canonical order. May not print what [`Policy::parse`] would refuse.

use super::{NONE, Policy};
use std::fmt;

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for log in &self.logs {
            write!(f, "log {}", log.key)?;
            end_line(f, log.url.as_deref())?;
        }
        for witness in &self.witnesses {
            write!(f, "witness {} {}", witness.name, witness.key)?;
            end_line(f, witness.url.as_deref())?;
        }
        for group in &self.groups {
            write!(f, "group {} ", group.name)?;
            // One spelling for each threshold; `any` wins where both fit.
            match group.threshold {
                1 => write!(f, "any")?,
                k if k == group.members.len() => write!(f, "all")?,
                k => write!(f, "{k}")?,
            }
            writeln!(f, " {}", group.members.join(" "))?;
        }
        writeln!(f, "quorum {}", self.quorum.as_deref().unwrap_or(NONE))
    }
}

fn end_line(f: &mut fmt::Formatter<'_>, url: Option<&str>) -> fmt::Result {
    match url {
        Some(url) => writeln!(f, " {url}"),
        None => writeln!(f),
    }
}
