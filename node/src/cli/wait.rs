//! `belfry wait`: what a running node says of itself, asked until it is so.

use super::args::WaitArgs;
use super::context::Context;
use super::control::Control;
use crate::exit::{Code, Failure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// The node takes entries.
    Ready,
    /// So many members are connected.
    Peers(u64),
    /// As many towers are connected as an ack needs, and a quorum acknowledged every entry.
    Quorum,
    /// Everything below this index is signed.
    Signed(u64),
    /// Everything below this index is acknowledged by a quorum.
    Acked(u64),
}

impl std::fmt::Display for Condition {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready => write!(out, "ready"),
            Self::Quorum => write!(out, "quorum"),
            Self::Peers(count) => write!(out, "peers={count}"),
            Self::Signed(size) => write!(out, "signed={size}"),
            Self::Acked(size) => write!(out, "acked={size}"),
        }
    }
}

impl Condition {
    fn parse(text: &str) -> Option<Self> {
        let (name, number) = match text.split_once('=') {
            Some((name, number)) => (name, Some(number.parse().ok()?)),
            None => (text, None),
        };
        match (name, number) {
            ("ready", None) => Some(Self::Ready),
            ("quorum", None) => Some(Self::Quorum),
            ("peers", Some(count)) => Some(Self::Peers(count)),
            ("signed", Some(size)) => Some(Self::Signed(size)),
            ("acked", Some(size)) => Some(Self::Acked(size)),
            _ => None,
        }
    }

    fn holds(self, status: &Value) -> bool {
        let number = |key: &str| status.get(key).and_then(Value::as_u64).unwrap_or(0);
        let phase = status.get("phase").and_then(Value::as_str);
        match self {
            Self::Ready => phase.is_none_or(|phase| matches!(phase, "active" | "tower")),
            Self::Peers(count) => connected(status) >= count,
            // What was acknowledged once says nothing about the towers of now.
            Self::Quorum => {
                let (connected, needed) = towers(status).unwrap_or((0, u64::MAX));
                let size = number("size");
                // The size is read first; acks of more may come in between.
                connected >= needed && size > 0 && number("acked_size") >= size
            }
            Self::Signed(size) => number("signed_size") >= size,
            Self::Acked(size) => number("acked_size") >= size,
        }
    }
}

fn peers(status: &Value) -> impl Iterator<Item = &Value> {
    status
        .get("peers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn connected(status: &Value) -> u64 {
    let open = |peer: &&Value| peer.get("connected") == Some(&Value::Bool(true));
    peers(status).filter(open).count() as u64
}

/// How many towers are connected, and how many an ack needs; `None` without a quorum of its own.
fn towers(status: &Value) -> Option<(u64, u64)> {
    let quorum = status.get("quorum")?;
    let number = |key: &str| quorum.get(key).and_then(Value::as_u64);
    Some((number("connected")?, number("needed")?))
}

/// Why a condition does not hold.
fn why_not(condition: Condition, status: &Value) -> String {
    let value = |key: &str| status.get(key).unwrap_or(&Value::Null);
    let towers = match towers(status) {
        Some((connected, needed)) => format!("{connected} towers connected of {needed} needed"),
        None => "no quorum of its own".to_owned(),
    };
    format!(
        "{condition} is not so: phase {}, {} members connected, {towers}, {} entries, {} signed, {} acknowledged",
        value("phase"),
        connected(status),
        value("size"),
        value("signed_size"),
        value("acked_size")
    )
}

/// Asks the running node until the condition holds, and returns its last status.
pub(super) fn until(
    context: &Context,
    condition: Condition,
    timeout: Duration,
) -> Result<Value, Failure> {
    let began = Instant::now();
    let mut last = None;
    loop {
        if let Some(control) = Control::find(&context.layout) {
            let status = control.get("/control/status")?;
            if condition.holds(&status) {
                return Ok(status);
            }
            last = Some(status);
        }
        if began.elapsed() >= timeout {
            let why = match last {
                None => "no node runs on this directory".to_owned(),
                Some(status) => why_not(condition, &status),
            };
            return Err(Failure::new(Code::TimedOut, why)
                .hint("`belfry status` shows what each member holds and why a hello failed"));
        }
        std::thread::sleep(LOOK);
    }
}

pub(super) fn run(context: &Context, args: &WaitArgs) -> Result<(), Failure> {
    let Some(condition) = Condition::parse(&args.condition) else {
        return Err(Failure::new(
            Code::Usage,
            format!("{:?} is nothing to wait for", args.condition),
        )
        .hint("give ready, quorum, peers=N, signed=N or acked=N"));
    };
    let began = Instant::now();
    until(context, condition, Duration::from_secs(args.timeout))?;
    let waited = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    context.out.result(
        &format!("{} after {waited} ms", args.condition),
        &json!({ "for": args.condition, "waited_ms": waited }),
    )
}
