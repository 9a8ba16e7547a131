//! What went wrong when, and who said so: a row for each node and one for what happens everywhere.

use super::{duration, escape, names};
use crate::plan::{Fault, Plan};
use crate::run::Outcome;
use std::fmt::Write;

/// Width of the drawing, of its labels and of what is left for time.
const WIDTH: u64 = 1_040;
const LABELS: u64 = 190;
const SPAN: u64 = WIDTH - LABELS - 20;
/// Height of a row.
const ROW: u64 = 26;
/// Alarms that are listed below the drawing.
const LISTED: usize = 200;

/// How long a fault lasts, in milliseconds; 0: it is over at once.
fn lasts_ms(fault: &Fault) -> u64 {
    match fault {
        Fault::Partition { for_ms, .. }
        | Fault::OneWay { for_ms, .. }
        | Fault::Flapping { for_ms, .. }
        | Fault::SwizzleClog { for_ms, .. }
        | Fault::Loss { for_ms, .. }
        | Fault::Duplication { for_ms, .. }
        | Fault::Reordering { for_ms, .. }
        | Fault::Corruption { for_ms, .. }
        | Fault::Latency { for_ms, .. }
        | Fault::Pause { for_ms, .. }
        | Fault::DiskFull { for_ms, .. }
        | Fault::SecondCopy { for_ms, .. }
        | Fault::Replay { for_ms, .. }
        | Fault::Flood { for_ms, .. }
        | Fault::Eclipse { for_ms, .. }
        | Fault::Mute { for_ms, .. }
        | Fault::Garbage { for_ms, .. }
        | Fault::LyingSync { for_ms, .. }
        | Fault::HugeQueries { for_ms, .. } => *for_ms,
        Fault::Crash { down_ms, .. }
        | Fault::Blackout { down_ms }
        | Fault::TornWrite { down_ms, .. }
        | Fault::SyncError { down_ms, .. } => *down_ms,
        Fault::Revoke { thief_ms, .. } => *thief_ms,
        Fault::CrashLoop {
            times, every_ms, ..
        } => u64::from(*times) * every_ms,
        Fault::ClockDrift { .. }
        | Fault::ClockStep { .. }
        | Fault::RollBack { .. }
        | Fault::Restore { .. }
        | Fault::LostDisk { .. }
        | Fault::Rotate { .. }
        | Fault::Equivocation { .. }
        | Fault::HiddenEntries { .. }
        | Fault::LyingTower { .. }
        | Fault::BitRot { .. }
        | Fault::VersionSkew { .. } => 0,
    }
}

/// Sorts of faults by class of the drawing and by words.
const SORTS: [(&str, &str); 4] = [
    ("net", "network"),
    ("clock", "clocks"),
    ("machine", "processes and disks"),
    ("liar", "liars and floods"),
];

fn sort(fault: &Fault) -> &'static str {
    match fault {
        Fault::Partition { .. }
        | Fault::OneWay { .. }
        | Fault::Flapping { .. }
        | Fault::SwizzleClog { .. }
        | Fault::Loss { .. }
        | Fault::Duplication { .. }
        | Fault::Reordering { .. }
        | Fault::Corruption { .. }
        | Fault::Latency { .. }
        | Fault::Eclipse { .. } => "net",
        Fault::ClockDrift { .. } | Fault::ClockStep { .. } | Fault::Pause { .. } => "clock",
        Fault::Equivocation { .. }
        | Fault::HiddenEntries { .. }
        | Fault::LyingTower { .. }
        | Fault::Replay { .. }
        | Fault::Flood { .. }
        | Fault::Garbage { .. }
        | Fault::HugeQueries { .. } => "liar",
        _ => "machine",
    }
}

/// Where a moment is drawn.
fn x(at_us: u64, total_us: u64) -> u64 {
    LABELS + at_us.min(total_us).saturating_mul(SPAN) / total_us.max(1)
}

/// The section.
pub(super) fn section(plan: &Plan, outcome: &Outcome) -> String {
    let mut rows = vec!["everywhere".to_owned()];
    rows.extend(names(plan));
    let total_us = outcome.simulated_us.max(1);
    let height = ROW * rows.len() as u64 + 46;
    let mut out = String::from(
        "<section><h2>Faults and alarms</h2><p>Bars are faults while they last, triangles are alarms that a node raised, \
         the dashed line is the end of all faults.</p><p class=\"legend\">",
    );
    for (class, words) in SORTS {
        let _ = write!(out, "<span><i class=\"{class}\"></i>{words}</span>");
    }
    out.push_str("</p><div class=\"wide\">");
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Faults and alarms over time, by node\">"
    );
    for (number, name) in rows.iter().enumerate() {
        let y = ROW * number as u64 + 20;
        let _ = write!(
            out,
            "<text x=\"10\" y=\"{}\">{name}</text><line class=\"grid\" x1=\"{LABELS}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\"/>",
            y + 4,
            LABELS + SPAN
        );
    }
    for step in 0..=8 {
        let at_us = total_us * step / 8;
        let _ = write!(
            out,
            "<text class=\"soft\" x=\"{}\" y=\"{}\" text-anchor=\"{}\">{}</text>",
            x(at_us, total_us),
            height - 8,
            if step == 8 { "end" } else { "middle" },
            duration(at_us)
        );
    }
    faults(&mut out, plan, total_us);
    alarms(&mut out, outcome, total_us);
    let healed_us = plan.seconds * 1_000_000;
    if healed_us < total_us {
        line(&mut out, "healed", x(healed_us, total_us), height);
    }
    if let Some(broken) = &outcome.violation {
        line(&mut out, "broke", x(broken.at_us, total_us), height);
    }
    out.push_str("</svg></div>");
    listed(&mut out, plan, outcome);
    out.push_str("</section>");
    out
}

fn line(out: &mut String, class: &str, x: u64, height: u64) {
    let _ = write!(
        out,
        "<line class=\"{class}\" x1=\"{x}\" x2=\"{x}\" y1=\"6\" y2=\"{}\"/>",
        height - 26
    );
}

fn faults(out: &mut String, plan: &Plan, total_us: u64) {
    for timed in &plan.faults {
        let from_us = timed.at_ms * 1_000;
        let lasts_us = lasts_ms(&timed.fault) * 1_000;
        let (left, right) = (x(from_us, total_us), x(from_us + lasts_us, total_us));
        let named = timed.fault.nodes();
        let rows = if named.is_empty() {
            vec![0]
        } else {
            named.iter().map(|node| node + 1).collect()
        };
        for row in rows {
            let _ = write!(
                out,
                "<rect class=\"fault {}\" x=\"{left}\" y=\"{}\" width=\"{}\" height=\"9\" rx=\"2\"><title>{} at {}, for {}</title></rect>",
                sort(&timed.fault),
                ROW * row as u64 + 10,
                (right - left).max(4),
                timed.fault.name(),
                duration(from_us),
                duration(lasts_us)
            );
        }
    }
}

fn alarms(out: &mut String, outcome: &Outcome, total_us: u64) {
    for (at_us, node, what) in &outcome.alarms {
        let (x, y) = (x(*at_us, total_us), ROW * (*node as u64 + 1) + 21);
        let _ = write!(
            out,
            "<path class=\"alarm\" d=\"M{x} {y} l5 9 h-10 z\"><title>{}: {}</title></path>",
            duration(*at_us),
            escape(what)
        );
    }
}

fn listed(out: &mut String, plan: &Plan, outcome: &Outcome) {
    out.push_str("<details><summary>The same as a list</summary><table><tbody>");
    let faults = plan.faults.iter().map(|timed| {
        let nodes = timed.fault.nodes();
        (
            timed.at_ms * 1_000,
            format!("{} {nodes:?}", timed.fault.name()),
        )
    });
    let alarms = outcome.alarms.iter().take(LISTED);
    let alarms = alarms.map(|(at_us, node, what)| (*at_us, format!("node {node} raised {what}")));
    let mut all: Vec<(u64, String)> = faults.chain(alarms).collect();
    all.sort();
    for (at_us, what) in all {
        let _ = write!(
            out,
            "<tr><td>{}</td><td class=\"words\">{}</td></tr>",
            duration(at_us),
            escape(&what)
        );
    }
    out.push_str("</tbody></table></details>");
}
