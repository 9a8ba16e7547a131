//! One run as a page that needs nothing else: no script, no font, no network. What happened when, how long acknowledgements
//! took, how well clocks were known, and who sent how much. May not decide anything: it shows an [`Outcome`].

mod charts;
mod timeline;

use crate::plan::Plan;
use crate::run::Outcome;
use std::fmt::Write;

/// Text as it may stand in HTML.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

/// Microseconds for people.
fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", us / 1_000),
        1_000_000..600_000_000 => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
        _ => format!("{} min", us / 60_000_000),
    }
}

/// A number with its thousands apart.
fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// Names of the nodes, as the topology numbers them.
fn names(plan: &Plan) -> Vec<String> {
    let seats = plan.topology.seats();
    seats.into_iter().map(|seat| escape(&seat.name)).collect()
}

/// The page.
#[must_use]
pub fn html(plan: &Plan, outcome: &Outcome) -> String {
    let mut page = String::new();
    // Writing into a string cannot fail.
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>Belfry simulation, seed {seed}</title><style>{STYLE}</style></head><body><main>\
         <header><h1>Belfry simulation</h1><p>Seed {seed} · {factories} factories and {towers} towers · quorum {quorum} · \
         {faults} faults</p>{verdict}</header>{figures}",
        seed = plan.seed,
        factories = plan.topology.factories,
        towers = plan.topology.towers,
        quorum = plan.topology.quorum,
        faults = plan.faults.len(),
        verdict = verdict(outcome),
        figures = figures(outcome),
    );
    page.push_str(&timeline::section(plan, outcome));
    page.push_str(&well(plan, outcome));
    page.push_str(&charts::latencies(outcome));
    page.push_str(&charts::skews(outcome));
    page.push_str(&charts::traffic(&names(plan), outcome));
    page.push_str(&rare(outcome));
    let _ = writeln!(
        page,
        "<footer><p>Trace <code>{}</code>. The same plan gives the same trace.</p></footer></main></body></html>",
        escape(&outcome.trace)
    );
    page
}

fn verdict(outcome: &Outcome) -> String {
    match (&outcome.violation, outcome.converged_us) {
        (Some(broken), _) => format!(
            "<p class=\"verdict broken\" role=\"status\"><strong>Rule {} was broken</strong> after {}{}: {}</p>",
            broken.invariant,
            duration(broken.at_us),
            broken
                .node
                .map_or(String::new(), |node| format!(", seen at node {node}")),
            escape(&broken.what)
        ),
        (None, Some(us)) => format!(
            "<p class=\"verdict kept\" role=\"status\"><strong>All rules were kept</strong>, and the federation was well \
             again {} after the last fault.</p>",
            duration(us)
        ),
        (None, None) => {
            "<p class=\"verdict kept\" role=\"status\"><strong>All rules were kept.</strong></p>"
                .to_owned()
        }
    }
}

/// How the federation got well after the last fault: what was missing, and until when.
fn well(plan: &Plan, outcome: &Outcome) -> String {
    if outcome.missing.is_empty() {
        return String::new();
    }
    let healed_us = plan.seconds * 1_000_000;
    let rows = outcome.missing.iter().map(|(at_us, what)| {
        format!(
            "<tr><td>{}</td><td class=\"words\">{}</td></tr>",
            duration(at_us.saturating_sub(healed_us)),
            escape(what)
        )
    });
    format!(
        "<section><h2>Getting well</h2><p>Time after the last fault, and what was still missing then.</p>\
         <table><tbody>{}</tbody></table></section>",
        rows.collect::<String>()
    )
}

fn figures(outcome: &Outcome) -> String {
    let mut sorted: Vec<u64> = outcome.latencies.iter().map(|(_, us)| *us).collect();
    sorted.sort_unstable();
    let middle = sorted
        .get(sorted.len() / 2)
        .map_or("–".to_owned(), |us| duration(*us));
    let all = [
        ("simulated", duration(outcome.simulated_us)),
        ("entries appended", number(outcome.appended)),
        ("appends refused", number(outcome.refused)),
        ("acknowledged, median", middle),
        ("messages", number(outcome.messages)),
        ("engine steps", number(outcome.steps)),
        ("alarms", number(outcome.alarms.len() as u64)),
    ];
    let cards = all
        .iter()
        .map(|(what, value)| format!("<div><dt>{what}</dt><dd>{value}</dd></div>"));
    format!("<dl class=\"figures\">{}</dl>", cards.collect::<String>())
}

fn rare(outcome: &Outcome) -> String {
    let rows = outcome.reached.iter().map(|(what, count)| {
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td></tr>",
            escape(what),
            number(*count)
        )
    });
    format!(
        "<section><h2>Rare states that were reached</h2><table><tbody>{}</tbody></table></section>",
        rows.collect::<String>()
    )
}

const STYLE: &str = include_str!("style.css");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Wishes, draw};
    use crate::run::run;

    #[test]
    fn a_page_tells_the_run_and_needs_nothing_else() {
        let wishes = Wishes {
            nodes: Some(5),
            seconds: Some(20),
            ..Wishes::default()
        };
        let plan = draw(3, &wishes);
        let page = html(&plan, &run(&plan, |_| {}).unwrap());
        assert!(
            page.contains("seed 3") && page.contains("All rules were kept"),
            "{page}"
        );
        for reference in ["http://", "https://", "<script", "src=", "@import", "url("] {
            assert!(!page.contains(reference), "{reference}");
        }
        for timed in &plan.faults {
            assert!(page.contains(timed.fault.name()), "{}", timed.fault.name());
        }
    }

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(number(12), "12");
        assert_eq!(duration(999), "999 µs");
        assert_eq!(duration(1_500_000), "1.5 s");
        assert_eq!(escape("<b>&\""), "&lt;b&gt;&amp;&quot;");
    }
}
