//! Runs a model and says what came out: every property held, or which one broke and after how many steps.
//! One thread per run: breadth-first search then finds a shortest path, and the test threads share the cores.

use std::fmt::Debug;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::Instant;

use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};

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
    let (property, _) = broken(name, model);
    assert!(
        properties.contains(&property),
        "{name}: broke {property}, expected {properties:?}"
    );
}

/// Asserts that `property` breaks and that the shortest way there has `steps`: a shorter one would mean that something
/// else is broken as well.
pub(crate) fn breaks_in<M>(name: &str, model: M, property: &str, steps: usize)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq,
{
    let mut properties = model.properties().into_iter();
    let property = properties.find(|p| p.name == property).unwrap();
    let found = broken(name, Only { model, property });
    assert_eq!(found.1, steps, "{name}: steps of the shortest way");
}

/// A model with one of its properties. With several, the search ends some hundred states after a break and names the
/// last one that it saw; with one it ends at the first, which is a shortest.
struct Only<M: Model> {
    model: M,
    property: Property<M>,
}

impl<M: Model> Model for Only<M> {
    type State = M::State;
    type Action = M::Action;

    fn init_states(&self) -> Vec<M::State> {
        self.model.init_states()
    }

    fn actions(&self, state: &M::State, actions: &mut Vec<M::Action>) {
        self.model.actions(state, actions);
    }

    fn next_state(&self, state: &M::State, action: M::Action) -> Option<M::State> {
        self.model.next_state(state, action)
    }

    fn within_boundary(&self, state: &M::State) -> bool {
        self.model.within_boundary(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property {
            expectation: self.property.expectation.clone(),
            name: self.property.name,
            condition: |only, state| (only.property.condition)(&only.model, state),
        }]
    }
}

fn broken<M>(name: &str, model: M) -> (&'static str, usize)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq,
{
    let outcome = run(name, model, Bound::Exhaust);
    let Some((property, steps, _)) = outcome.broken else {
        panic!(
            "{name}: no counterexample in {} states: the model has gone blind",
            outcome.unique
        );
    };
    (property, steps)
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
