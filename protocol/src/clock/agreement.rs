//! What most members agree on, and what it says of the own clock (R4). May not let one member decide: whoever lies moves
//! its own interval alone, and a violation takes more than half of all members, each of which shows it by itself.
//!
//! Clocks that keep the bound are not equal: each may be one bound off true time. So intervals agree if, each widened by
//! the bound, they share a moment (Marzullo's algorithm). The own clock is one of the voices, with no uncertainty.

use super::interval::{Interval, Verdict};

/// What most agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The smallest interval that touches the interval of every peer that agrees: how far the federation's time is ahead
    /// of the own clock.
    pub interval: Interval,
    /// Peers that agree, in order.
    pub agreeing: Vec<usize>,
    /// Whether the own clock agrees with them.
    pub with_own: bool,
    /// Peers that do not.
    pub falsetickers: Vec<usize>,
}

/// A moment with the peers that agree on it.
struct Candidate {
    agreeing: Vec<usize>,
    with_own: bool,
    interval: Interval,
}

impl Candidate {
    fn at(moment: i64, sources: &[(usize, Interval)], bound: i64) -> Option<Self> {
        let agrees = |one: &&(usize, Interval)| {
            one.1.lo_us.saturating_sub(bound) <= moment
                && moment <= one.1.hi_us.saturating_add(bound)
        };
        let chosen = || sources.iter().filter(agrees);
        let highest_lo = chosen().map(|one| one.1.lo_us).max()?;
        let lowest_hi = chosen().map(|one| one.1.hi_us).min()?;
        Some(Self {
            agreeing: chosen().map(|one| one.0).collect(),
            with_own: moment.unsigned_abs() <= bound.unsigned_abs(),
            interval: Interval {
                lo_us: highest_lo.min(lowest_hi),
                hi_us: highest_lo.max(lowest_hi),
            },
        })
    }

    fn voices(&self) -> usize {
        self.agreeing.len() + usize::from(self.with_own)
    }

    /// More voices win, then those with the own clock among them, then the smaller interval.
    fn beats(&self, other: &Self) -> bool {
        let rank = |one: &Self| (one.voices(), one.with_own);
        match rank(self).cmp(&rank(other)) {
            std::cmp::Ordering::Equal => {
                self.interval.half_width_us() < other.interval.half_width_us()
            }
            order => order.is_gt(),
        }
    }
}

/// The moments with the most voices, the own clock's among them where that is a choice. Where most agree, some widened
/// interval begins.
fn moments(sources: &[(usize, Interval)], bound: i64) -> Vec<i64> {
    let begin = |one: &(usize, Interval)| one.1.lo_us.saturating_sub(bound);
    let end = |one: &(usize, Interval)| one.1.hi_us.saturating_add(bound);
    let sorted = |edge: &dyn Fn(&(usize, Interval)) -> i64| {
        // One that ends before it begins agrees with nobody.
        let real = sources.iter().filter(|one| begin(one) <= end(one));
        let mut edges: Vec<i64> = real.map(edge).collect();
        edges.sort_unstable();
        edges
    };
    let (begun, ended) = (sorted(&begin), sorted(&end));
    let rank = |moment: i64| {
        let before = ended.partition_point(|end| *end < moment);
        let with_own = moment.unsigned_abs() <= bound.unsigned_abs();
        let peers = begun.partition_point(|begin| *begin <= moment) - before;
        // Without a peer there is nothing to agree on.
        (peers > 0).then_some((peers + usize::from(with_own), with_own))
    };
    let mut all: Vec<i64> = sources.iter().map(begin).collect();
    all.push(bound.saturating_neg());
    let most = all.iter().map(|moment| rank(*moment)).max().flatten();
    all.retain(|moment| rank(*moment) == most);
    // In the order of the peers; one that begins where another does is the same choice.
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|moment| seen.insert(*moment));
    all
}

/// The usual case, at once: all peers and the own clock share a moment. It gives what comparing all moments gives, because
/// none has more voices than those that all share, and all of these have one interval.
fn all_agree(sources: &[(usize, Interval)], bound: i64) -> Option<Agreement> {
    let highest_lo = sources.iter().map(|one| one.1.lo_us).max()?;
    let lowest_hi = sources.iter().map(|one| one.1.hi_us).min()?;
    let (begin, end) = (
        highest_lo.saturating_sub(bound),
        lowest_hi.saturating_add(bound),
    );
    if begin > end {
        return None;
    }
    // The moments that are looked at: where the last of them begins, or the own clock's bound.
    let own_begins = bound.saturating_neg();
    let within = |moment: i64| moment.unsigned_abs() <= bound.unsigned_abs();
    let with_own = within(begin) || (begin..=end).contains(&own_begins);
    // Without the own clock, one peer fewer with it would win.
    with_own.then(|| Agreement {
        interval: Interval {
            lo_us: highest_lo.min(lowest_hi),
            hi_us: highest_lo.max(lowest_hi),
        },
        agreeing: sources.iter().map(|one| one.0).collect(),
        with_own,
        falsetickers: Vec::new(),
    })
}

/// What most of `sources` and the own clock agree on: peers by number, each with how far its clock is ahead of the own
/// one. `None` if there is no peer.
#[must_use]
pub fn agree(sources: &[(usize, Interval)], bound_us: u64) -> Option<Agreement> {
    let bound = i64::try_from(bound_us).unwrap_or(i64::MAX);
    all_agree(sources, bound).or_else(|| most_agree(sources, bound))
}

/// Compares all moments.
fn most_agree(sources: &[(usize, Interval)], bound: i64) -> Option<Agreement> {
    let mut best: Option<Candidate> = None;
    for moment in moments(sources, bound) {
        let Some(candidate) = Candidate::at(moment, sources, bound) else {
            continue;
        };
        if best.as_ref().is_none_or(|best| candidate.beats(best)) {
            best = Some(candidate);
        }
    }
    let best = best?;
    let falsetickers = sources.iter().map(|one| one.0);
    Some(Agreement {
        falsetickers: falsetickers
            .filter(|peer| !best.agreeing.contains(peer))
            .collect(),
        interval: best.interval,
        agreeing: best.agreeing,
        with_own: best.with_own,
    })
}

/// The verdict on the own clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// What is shown.
    pub verdict: Verdict,
    /// How far the own clock is ahead of the federation's time, if more than half of the members agree on that.
    pub own: Option<Interval>,
    /// Peers that agree, in order.
    pub agreeing: Vec<usize>,
    /// Peers that do not.
    pub falsetickers: Vec<usize>,
    /// Peers each of which shows by itself that the own clock is out of bounds.
    pub against: usize,
}

/// Judges the own clock (R4) in a federation of `members`, the own node among them.
///
/// Ok: more than half of the members, the own clock among them, agree, with f + 1 others, and the interval lies wholly
/// inside the bound. Violated: more than half of the members agree *without* the own clock, f + 1 at least, the interval
/// lies wholly outside, and so does that of each of them: a peer that only does not contradict proves nothing.
#[must_use]
pub fn judge(sources: &[(usize, Interval)], members: usize, bound_us: u64) -> Judgement {
    let Some(agreement) = agree(sources, bound_us) else {
        return Judgement::default();
    };
    let liars = members.saturating_sub(1) / 3;
    let enough = |peers: usize, voices: usize| voices * 2 > members && peers > liars;
    let peers = agreement.agreeing.len();
    let own = agreement.interval.turned();
    let ahead = own.lo_us > 0;
    let shows = |one: &&(usize, Interval)| {
        let seen = one.1.turned();
        agreement.agreeing.contains(&one.0)
            && seen.verdict(bound_us) == Verdict::Violated
            && (seen.lo_us > 0) == ahead
    };
    let against = sources.iter().filter(shows).count();
    let voices = peers + usize::from(agreement.with_own);
    let verdict = match own.verdict(bound_us) {
        Verdict::Ok if agreement.with_own && enough(peers, voices) => Verdict::Ok,
        Verdict::Violated if enough(against, against) => Verdict::Violated,
        _ => Verdict::Undetermined,
    };
    Judgement {
        verdict,
        own: enough(peers, voices).then_some(own),
        agreeing: agreement.agreeing,
        falsetickers: agreement.falsetickers,
        against,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As [`agree`] says it: every moment is tried.
    fn tried(sources: &[(usize, Interval)], bound: i64) -> Option<Candidate> {
        let begins = sources.iter().map(|one| one.1.lo_us.saturating_sub(bound));
        let mut best: Option<Candidate> = None;
        for moment in begins.chain([bound.saturating_neg()]) {
            let Some(candidate) = Candidate::at(moment, sources, bound) else {
                continue;
            };
            if best.as_ref().is_none_or(|best| candidate.beats(best)) {
                best = Some(candidate);
            }
        }
        best
    }

    proptest! {
        #[test]
        fn the_moments_with_most_voices_are_those_that_win(
            edges in prop::collection::vec((-40_i64..40, -3_i64..30), 0..12), bound in 0_u64..20
        ) {
            let sources: Vec<(usize, Interval)> = edges
                .iter()
                .map(|(lo_us, width)| Interval { lo_us: *lo_us, hi_us: lo_us + width })
                .enumerate()
                .collect();
            let found = agree(&sources, bound);
            let tried = tried(&sources, i64::try_from(bound).unwrap());
            prop_assert_eq!(found.is_some(), tried.is_some());
            if let (Some(found), Some(tried)) = (found, tried) {
                prop_assert_eq!(found.agreeing, tried.agreeing);
                prop_assert_eq!((found.interval, found.with_own), (tried.interval, tried.with_own));
            }
        }
    }
}
