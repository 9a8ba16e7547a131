//! One simulation: a thread of its own, in which every clock is tokio's paused one and all randomness follows a seed. Time
//! passes only while nobody has anything to do.

use belfry_sim::clock::START_SECONDS;
use belfry_sim_sys::process;
use std::cell::Cell;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// Room for futures of a program that is not optimized.
const STACK_BYTES: usize = 16 << 20;

thread_local! {
    static BEGIN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Simulated time since the beginning; `None` outside a simulation.
#[must_use]
pub fn elapsed() -> Option<Duration> {
    let begin = BEGIN.get()?;
    Some(Instant::now().saturating_duration_since(begin))
}

/// As [`elapsed`] in microseconds; 0 outside a simulation.
#[must_use]
pub fn elapsed_us() -> u64 {
    let us = elapsed().unwrap_or_default().as_micros();
    u64::try_from(us).unwrap_or(u64::MAX)
}

/// Waits until so much simulated time has passed since the beginning.
pub async fn until_us(us: u64) {
    if let Some(begin) = BEGIN.get() {
        tokio::time::sleep_until(begin + Duration::from_micros(us)).await;
    }
}

/// Why there is no simulation.
#[derive(Debug, thiserror::Error)]
pub enum TimeError {
    /// The system has no thread, or the thread no runtime.
    #[error("no simulation can be started: {0}")]
    Start(#[from] std::io::Error),
}

/// Runs to the end what `begin` makes. Panics in it are the caller's.
///
/// # Errors
/// [`TimeError`].
pub fn simulate<T, F>(seed: u64, begin: impl FnOnce() -> F + Send + 'static) -> Result<T, TimeError>
where
    F: Future<Output = T>,
    T: Send + 'static,
{
    let thread = std::thread::Builder::new()
        .name("simulation".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || in_this_thread(seed, begin))?;
    match thread.join() {
        Ok(result) => Ok(result?),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn in_this_thread<T, F>(seed: u64, begin: impl FnOnce() -> F) -> std::io::Result<T>
where
    F: Future<Output = T>,
{
    // Before the runtime: its clock begins where this one stands, and its draws are from the seed.
    let _entered = process::enter(seed, START_SECONDS, elapsed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    let result = runtime.block_on(async {
        BEGIN.set(Some(Instant::now()));
        begin().await
    });
    // Tasks end while there are clocks.
    drop(runtime);
    BEGIN.set(None);
    Ok(result)
}
