//! How far clocks can be trusted: from four timestamps of a probe to an interval that holds the truth, and from the
//! intervals of all members to a verdict. Whole microseconds only; may not read a clock, and never sets one.
//!
//! | module | holds |
//! |---|---|
//! | [`interval`] | intervals of offsets, and what one says about a bound |
//! | [`sample`] | what one probe shows |
//! | [`window`] | the last samples of one peer, aged and intersected; a clock that stepped is noticed |
//! | [`agreement`] | what most members agree on (Marzullo), who does not, and the verdict on the own clock |
//! | [`percentile`] | percentiles of offsets with their half-widths |
//!
//! An **offset** says how far a peer's clock is ahead of the own one. The verdict turns it over: how far the own clock is
//! ahead of the federation's time. A probe cannot tell delay on the way there from delay on the way back, so it shows an
//! interval and no number; whoever needs a number gets its middle, and should look at the half-width too.

pub mod agreement;
pub mod interval;
pub mod percentile;
pub mod sample;
pub mod window;

pub use agreement::{Agreement, Judgement, agree, judge};
pub use interval::{Interval, Verdict};
pub use percentile::{Spread, nearest_rank};
pub use sample::{Discard, Reading, Sample, Stamps};
pub use window::{SAMPLES, Window};

/// How far two clocks that are left alone may drift apart: 200 ppm, so 1 µs in this many. Quartz keeps 50, a virtual
/// machine 100; a clock that is being set smoothly may go 500 for a while, and then shows as a step, which is the truth.
pub const DRIFT_ONE_IN: u64 = 5_000;
