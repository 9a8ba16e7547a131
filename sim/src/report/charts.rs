//! Distributions as bars, by powers of two: from microseconds to minutes on one page.

use super::{duration, number};
use crate::run::Outcome;
use std::collections::BTreeMap;
use std::fmt::Write;

const WIDTH: u64 = 1_040;
const HEIGHT: u64 = 200;
const LEFT: u64 = 60;
const BOTTOM: u64 = 40;

/// How many values there are from each power of two to the next.
fn buckets(values: impl Iterator<Item = u64>) -> BTreeMap<u32, u64> {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value.max(1).ilog2()).or_default() += 1;
    }
    counts
}

fn bars(label: &str, counts: &BTreeMap<u32, u64>) -> String {
    let (Some((first, _)), Some((last, _))) = (counts.first_key_value(), counts.last_key_value())
    else {
        return "<p>There was none.</p>".to_owned();
    };
    let most = counts.values().copied().max().unwrap_or(1).max(1);
    let columns = u64::from(last - first) + 1;
    let width = (WIDTH - LEFT - 20) / columns.max(6);
    let mut out = format!(
        "<div class=\"wide\"><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">"
    );
    for (place, power) in (*first..=*last).enumerate() {
        let count = counts.get(&power).copied().unwrap_or(0);
        let tall = count * (HEIGHT - BOTTOM - 30) / most;
        let x = LEFT + place as u64 * width;
        let y = HEIGHT - BOTTOM - tall;
        let _ = write!(
            out,
            "<rect class=\"bar\" x=\"{}\" y=\"{y}\" width=\"{}\" height=\"{tall}\"><title>{} from {}</title></rect>\
             <text class=\"soft\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            x + 2,
            width.saturating_sub(4).max(1),
            number(count),
            duration(1 << power),
            x + width / 2,
            HEIGHT - BOTTOM + 18,
            duration(1 << power),
            x + width / 2,
            y - 5,
            if count == 0 {
                String::new()
            } else {
                number(count)
            },
        );
    }
    out.push_str("</svg></div>");
    out
}

/// From append to ack.
pub(super) fn latencies(outcome: &Outcome) -> String {
    let counts = buckets(outcome.latencies.iter().map(|(_, us)| *us));
    format!(
        "<section><h2>From append to acknowledgement</h2><p>Entries by the time until a quorum of towers acknowledged \
         them, from each power of two to the next.</p>{}</section>",
        bars("Entries by the time until they were acknowledged", &counts)
    )
}

/// How far clocks were known.
pub(super) fn skews(outcome: &Outcome) -> String {
    let widths = buckets(outcome.skews.iter().map(|(half, _)| *half));
    let offsets = buckets(outcome.skews.iter().map(|(_, offset)| *offset));
    format!(
        "<section><h2>Clocks</h2><p>Half-widths of the intervals that nodes showed for each other's clocks.</p>{}\
         <p>True offsets between those clocks at the same moments.</p>{}</section>",
        bars("Intervals by their half-width", &widths),
        bars("Moments by the true offset", &offsets)
    )
}

/// Messages and bytes of each node.
pub(super) fn traffic(names: &[String], outcome: &Outcome) -> String {
    let rows = names
        .iter()
        .zip(&outcome.sent)
        .map(|(name, (messages, bytes))| {
            format!(
                "<tr><th scope=\"row\">{name}</th><td>{}</td><td>{} KiB</td></tr>",
                number(*messages),
                number(bytes / 1_024)
            )
        });
    format!(
        "<section><h2>Traffic</h2><table><thead><tr><th scope=\"col\">node</th><th scope=\"col\">messages sent</th>\
         <th scope=\"col\">bytes sent</th></tr></thead><tbody>{}</tbody></table></section>",
        rows.collect::<String>()
    )
}
