//! Probes of clocks: what is read prints to the same bytes but for the minor version, and any four timestamps give an interval
//! or a reason.
#![no_main]

use belfry_protocol::clock::{Reading, Sample, Stamps, Window};
use belfry_protocol::wire::clock::{Probe, ProbeAnswer};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // A later minor version is read, and answered in ours.
    let mut ours = data.to_vec();
    if let Some(minor) = ours.get_mut(4) {
        *minor = 0;
    }
    if let Some(probe) = Probe::from_frame(data) {
        assert_eq!(probe.to_frame(), ours);
    }
    if let Some(answer) = ProbeAnswer::from_frame(data) {
        assert_eq!(answer.to_frame(), ours);
    }
    let (numbers, _) = data.as_chunks::<8>();
    let mut window = Window::default();
    for six in numbers.chunks_exact(6) {
        let signed = |at: usize| i64::from_le_bytes(six[at]);
        let stamps = Stamps {
            sent: Reading {
                mono_us: u64::from_le_bytes(six[0]),
                wall_us: signed(1),
            },
            received_us: signed(2),
            answered_us: signed(3),
            came: Reading {
                mono_us: u64::from_le_bytes(six[4]),
                wall_us: signed(5),
            },
        };
        if let Ok(sample) = Sample::of(&stamps) {
            assert!(sample.lo_us <= sample.hi_us);
            window.push(sample);
            assert!(!window.is_empty());
        }
    }
});
