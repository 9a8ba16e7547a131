//! The clocks and the randomness of a thread that simulates: while [`enter`] holds, whatever asks the C library in this thread
//! is given the simulation's time and numbers from its seed. Other threads are not touched. Takes the place of two functions
//! of the C library in every program that has it, so it is a feature that nothing but simulators asks for.

use crate::streams::Stream;
use std::cell::Cell;
use std::ffi::{c_int, c_uint, c_void};
use std::marker::PhantomData;
use std::time::Duration;

/// Where the clock that never steps begins, in seconds: later than on any machine that runs, so that a reading from before
/// lies in the past.
const BOOTED_SECONDS: u64 = 1 << 31;

/// How much simulated time has passed; `None` where the simulation's clock cannot be asked, e.g. before it is made.
pub type Elapsed = fn() -> Option<Duration>;

thread_local! {
    // Plain values without destructors: these functions are called also while a thread ends.
    static ELAPSED: Cell<Option<Elapsed>> = const { Cell::new(None) };
    static LATEST: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static START_SECONDS: Cell<u64> = const { Cell::new(0) };
    static NUMBERS: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Ends the simulation of this thread when it is dropped.
pub struct Entered(PhantomData<*const ()>);

/// From now on this thread's clocks are the simulation's, wall time beginning at `start_seconds` after 1970, and its
/// randomness follows `seed`. Best in a thread of its own that has done nothing yet: what drew randomness before, keeps it.
#[must_use]
pub fn enter(seed: u64, start_seconds: u64, elapsed: Elapsed) -> Entered {
    LATEST.set(Duration::ZERO);
    START_SECONDS.set(start_seconds);
    NUMBERS.set(Some(Stream::new(seed, "process", 0).next()));
    ELAPSED.set(Some(elapsed));
    Entered(PhantomData)
}

impl Drop for Entered {
    fn drop(&mut self) {
        ELAPSED.set(None);
        NUMBERS.set(None);
    }
}

/// Simulated time since its beginning, if this thread simulates.
fn passed() -> Option<Duration> {
    let elapsed = ELAPSED.get()?;
    // The simulation's clock may ask this one on its way: it is told the latest time.
    ELAPSED.set(Some(|| None));
    if let Some(now) = elapsed() {
        LATEST.set(now.max(LATEST.get()));
    }
    ELAPSED.set(Some(elapsed));
    Some(LATEST.get())
}

fn simulated(clock: libc::clockid_t) -> Option<Duration> {
    let start_seconds = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => START_SECONDS.get(),
        libc::CLOCK_MONOTONIC
        | libc::CLOCK_MONOTONIC_COARSE
        | libc::CLOCK_MONOTONIC_RAW
        | libc::CLOCK_BOOTTIME => BOOTED_SECONDS,
        // Time of the processor is nobody's simulation.
        _ => return None,
    };
    Some(passed()? + Duration::from_secs(start_seconds))
}

/// The C library's function of this name.
///
/// # Safety
/// As there: `to` has room for a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, to: *mut libc::timespec) -> c_int {
    let Some(now) = simulated(clock) else {
        // SAFETY: the arguments are those of the system call of the same name, as the caller gave them.
        let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, to) };
        return c_int::try_from(result).unwrap_or(-1);
    };
    let time = libc::timespec {
        tv_sec: libc::time_t::try_from(now.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(now.subsec_nanos()),
    };
    // SAFETY: the caller gives room for a time.
    unsafe { to.write(time) };
    0
}

/// The C library's function of this name.
///
/// # Safety
/// As there: `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize {
    let Some(state) = NUMBERS.get() else {
        // SAFETY: the arguments are those of the system call of the same name, as the caller gave them.
        let result = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
        return isize::try_from(result).unwrap_or(-1);
    };
    // Asked for nothing by whoever wants to know, once in a process, whether the function is there: that draws nothing.
    if length == 0 {
        return 0;
    }
    let mut numbers = Stream::new(state, "getrandom", 0);
    NUMBERS.set(Some(numbers.next()));
    for at in 0..length {
        let [byte, ..] = numbers.next().to_le_bytes();
        // SAFETY: `at` is below the length of the caller's room.
        let place = unsafe { buffer.cast::<u8>().add(at) };
        // SAFETY: as above; a byte needs no alignment.
        unsafe { place.write(byte) };
    }
    isize::try_from(length).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::hash_map::RandomState;
    use std::hash::BuildHasher;
    use std::time::{Instant, SystemTime, UNIX_EPOCH};

    thread_local! {
        static NOW: Cell<u64> = const { Cell::new(0) };
    }

    fn elapsed() -> Option<Duration> {
        Some(Duration::from_millis(NOW.get()))
    }

    /// What a fresh thread sees of clocks and randomness.
    fn seen(seed: u64) -> (Duration, Duration, u64) {
        let thread = std::thread::spawn(move || {
            let _entered = enter(seed, 1_000_000, elapsed);
            let begin = Instant::now();
            NOW.set(3_600_000);
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            (begin.elapsed(), wall, RandomState::new().hash_one("x"))
        });
        thread.join().unwrap()
    }

    #[test]
    fn a_thread_has_the_simulations_clocks_and_numbers() {
        let hour = Duration::from_secs(3_600);
        let (passed, wall, hashed) = seen(7);
        assert_eq!(
            (passed, wall),
            (hour, hour + Duration::from_secs(1_000_000))
        );
        assert_eq!(
            seen(7).2,
            hashed,
            "hash maps have their order from the seed"
        );
        assert_ne!(seen(8).2, hashed);
    }

    #[test]
    fn other_threads_and_later_times_are_real() {
        let real = || {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_secs()
        };
        let before = real();
        assert!(before > 1_700_000_000, "{before}");
        let inside = std::thread::spawn(move || {
            let entered = enter(7, 1_000_000, elapsed);
            let other = std::thread::spawn(real).join().unwrap();
            drop(entered);
            (other, real())
        });
        let (other, after) = inside.join().unwrap();
        assert!(other >= before && after >= before);
    }
}
