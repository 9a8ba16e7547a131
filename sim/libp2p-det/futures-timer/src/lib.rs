//! A timer of libp2p that runs on tokio's clock. The original has a thread of its own on the machine's clock: while tokio's
//! clock is paused, simulated time would pass and no timer of libp2p would ever fire. All that libp2p uses of it is here.
//! May be polled within a tokio runtime alone.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Is done when its time has passed.
pub struct Delay {
    until: Instant,
    /// Made when it is first polled: a timer may be made where no runtime is.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Delay {
    /// From now on.
    #[must_use]
    pub fn new(duration: Duration) -> Self {
        Self {
            until: Instant::now() + duration,
            sleep: None,
        }
    }

    /// Begins anew, from now on.
    pub fn reset(&mut self, duration: Duration) {
        self.until = Instant::now() + duration;
        if let Some(sleep) = &mut self.sleep {
            sleep.as_mut().reset(self.until);
        }
    }
}

impl Future for Delay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let until = self.until;
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        sleep.as_mut().poll(context)
    }
}

impl fmt::Debug for Delay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.until.saturating_duration_since(Instant::now());
        formatter.debug_tuple("Delay").field(&left).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_fires_in_virtual_time() {
        let begin = Instant::now();
        let mut delay = Delay::new(Duration::from_secs(3_600));
        delay.reset(Duration::from_secs(60));
        delay.await;
        assert_eq!(begin.elapsed(), Duration::from_secs(60));
    }
}
