//! Model G3: one tower renews its ack key, a holder of an exported policy checks its acks (R6). A tick is 7 days:
//! both keys sign for 2, a certificate is valid for 6.

use stateright::{Model, Property};

use crate::report::{Bound, breaks_in, holds};

const OVERLAP: u8 = 2;
const VALIDITY: u8 = 6;
const END: u8 = 14;
const ACCEPTED: &str = "K5: a policy that is still valid accepts what the tower signs now";
const RENEWED_TWICE: &str = "the key is renewed twice";
const OUTLIVED: &str = "a policy is valid longer than the key that it was made with is used alone";

/// What a run leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dropped {
    /// "During a 14-day overlap both keys sign": the new one alone, from the start.
    OldSigns,
    /// "`any <old> <new>`": policies hold the newest key only.
    BothListed,
    /// "and say until when they are valid".
    ValidUntil,
    /// Not in the rule: a policy is valid for one overlap, or keys are renewed only in their last 14 days.
    Either,
}

/// Which of the two ways out is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Keys are renewed in the last 14 days of their validity only; policies are valid as long as the newest key.
    LateRenewal,
    /// Keys are renewed at any time; policies are valid for 14 days.
    ShortPolicy,
}

#[derive(Clone, Copy, Debug)]
struct Overlap {
    way: Way,
    dropped: Option<Dropped>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Policy {
    /// The newest serial in it.
    newest: u8,
    until: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State {
    time: u8,
    serial: u8,
    /// When the newest serial began.
    since: u8,
    policy: Option<Policy>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Tick,
    Renew,
    Export,
}

impl Overlap {
    fn new(way: Way) -> Self {
        let dropped = None;
        Self { way, dropped }
    }

    fn without(self, dropped: Dropped) -> Self {
        let dropped = Some(dropped);
        Self { dropped, ..self }
    }

    fn drops(&self, dropped: Dropped) -> bool {
        self.dropped == Some(dropped)
    }

    fn in_overlap(&self, state: &State) -> bool {
        state.time < state.since + OVERLAP && !self.drops(Dropped::OldSigns)
    }

    fn may_renew(&self, state: &State) -> bool {
        let late = state.time + OVERLAP >= state.since + VALIDITY;
        // A third serial inside an overlap would leave a policy of the first with nobody.
        let quiet = state.time >= state.since + OVERLAP;
        quiet && (late || self.way == Way::ShortPolicy || self.drops(Dropped::Either))
    }

    fn export(&self, state: &State) -> Policy {
        let until = match self.way {
            _ if self.drops(Dropped::ValidUntil) => END,
            Way::LateRenewal => state.since + VALIDITY,
            Way::ShortPolicy => (state.since + VALIDITY).min(state.time + OVERLAP),
        };
        Policy {
            newest: state.serial,
            until,
        }
    }

    fn accepted(&self, state: &State) -> bool {
        let Some(policy) = state.policy.filter(|policy| state.time < policy.until) else {
            return true;
        };
        let oldest_signing = state.serial - u8::from(self.in_overlap(state) && state.serial > 1);
        let oldest_listed = policy.newest - u8::from(!self.drops(Dropped::BothListed));
        oldest_signing <= policy.newest && oldest_listed <= state.serial
    }

    /// A verifier that looks at an ack of the day before the policy was made, as every receipt has them.
    fn accepts_older(&self, state: &State) -> bool {
        let Some(policy) = state.policy else {
            return true;
        };
        let just_renewed = state.serial == policy.newest && state.time == state.since;
        let listed_old = !self.drops(Dropped::BothListed) || state.serial == 1;
        !just_renewed || listed_old
    }
}

impl Model for Overlap {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            time: 0,
            serial: 1,
            since: 0,
            policy: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        // A key whose validity ended signs nothing, so it is renewed before.
        if state.time < END && state.time + 1 < state.since + VALIDITY {
            actions.push(Action::Tick);
        }
        if self.may_renew(state) && state.serial < 3 {
            actions.push(Action::Renew);
        }
        if state.policy.is_none() {
            actions.push(Action::Export);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        match action {
            Action::Tick => next.time += 1,
            Action::Renew => {
                next.serial += 1;
                next.since = next.time;
            }
            Action::Export => next.policy = Some(self.export(state)),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ACCEPTED, |model: &Self, state| {
                model.accepted(state) && model.accepts_older(state)
            }),
            Property::sometimes(RENEWED_TWICE, |_, state: &State| state.serial == 3),
            Property::sometimes(OUTLIVED, |_, state: &State| {
                let valid = state.policy.filter(|policy| state.time < policy.until);
                valid.is_some_and(|policy| policy.newest < state.serial)
            }),
        ]
    }
}

#[test]
fn an_overlap_carries_valid_policies_over() {
    for way in [Way::LateRenewal, Way::ShortPolicy] {
        holds(&format!("G3 {way:?}"), Overlap::new(way), Bound::Exhaust);
    }
}

#[test]
fn every_part_of_the_overlap_is_needed() {
    for (dropped, steps) in [
        (Dropped::OldSigns, 6),
        (Dropped::BothListed, 6),
        (Dropped::ValidUntil, 8),
    ] {
        let model = Overlap::new(Way::LateRenewal).without(dropped);
        breaks_in(&format!("G3 without {dropped:?}"), model, ACCEPTED, steps);
    }
}

/// R6 as written gives no length: a policy that is valid as long as its newest key outlives an early renewal.
#[test]
fn an_early_renewal_ends_policies_before_their_time() {
    let model = Overlap::new(Way::LateRenewal).without(Dropped::Either);
    breaks_in("G3 renewed early", model, ACCEPTED, 6);
}
