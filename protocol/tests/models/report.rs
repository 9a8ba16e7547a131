//! Runs a model and says what came out: every property held, or which one broke and after how many steps.
//! One thread per run: breadth-first search then finds a shortest path, and the test threads share the cores.

use std::fmt::Debug;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::Instant;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// How far to search. A cut run that finds nothing proves nothing beyond its bound.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    Exhaust,
    /// Stop after about so many generated states (successors, repeats included).
    Cut(usize),
}

struct Outcome {
    unique: usize,
    broken: Option<(&'static str, usize, String)>,
    seen: Vec<&'static str>,
}

/// Asserts that no property breaks, and that the model reached what its `sometimes` properties name: a model that
/// can do nothing is safe too.
pub(crate) fn holds<M>(name: &str, model: M, bound: Bound)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq,
{
    let wanted: Vec<_> = model
        .properties()
        .iter()
        .filter(|p| p.expectation == Expectation::Sometimes)
        .map(|p| p.name)
        .collect();
    let outcome = run(name, model, bound);
    if let Some((property, _, path)) = outcome.broken {
        panic!("{name}: {property} broken by\n{path}");
    }
    for property in wanted {
        assert!(
            outcome.seen.contains(&property),
            "{name}: never reached: {property}"
        );
    }
}

/// Asserts that one of `properties` breaks.
pub(crate) fn breaks<M>(name: &str, model: M, properties: &[&str])
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq,
{
    let outcome = run(name, model, Bound::Exhaust);
    let Some((property, ..)) = outcome.broken else {
        panic!(
            "{name}: no counterexample in {} states: the model has gone blind",
            outcome.unique
        );
    };
    assert!(
        properties.contains(&property),
        "{name}: broke {property}, expected {properties:?}"
    );
}

#[allow(clippy::disallowed_methods)] // the test times itself; nothing depends on the clock
fn run<M>(name: &str, model: M, bound: Bound) -> Outcome
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq,
{
    let start = Instant::now();
    let mut builder = model.checker().finish_when(HasDiscoveries::AnyFailures);
    if let Bound::Cut(states) = bound {
        builder = builder.target_state_count(NonZeroUsize::new(states).unwrap().get());
    }
    let checker = builder.spawn_bfs().join();
    let mut outcome = Outcome {
        unique: checker.unique_state_count(),
        broken: None,
        seen: Vec::new(),
    };
    for (property, path) in checker.discoveries() {
        if checker.model().property(property).expectation == Expectation::Sometimes {
            outcome.seen.push(property);
        } else {
            let actions = path.into_actions();
            let text = actions.iter().fold(String::new(), |text, action| {
                format!("{text}  {action:?}\n")
            });
            outcome.broken = Some((property, actions.len(), text));
        }
    }
    let reached = match bound {
        Bound::Cut(limit) if checker.state_count() >= limit => "CUT, not proven",
        _ => "exhausted",
    };
    let verdict = match &outcome.broken {
        Some((property, steps, path)) => format!("{property} broken in {steps} steps\n{path}"),
        None => format!("holds, {reached}"),
    };
    println!(
        "{name}: {} states, depth {}, {:.1} s: {verdict}",
        outcome.unique,
        checker.max_depth(),
        start.elapsed().as_secs_f32()
    );
    outcome
}
