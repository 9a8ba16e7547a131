//! One end of a connection, as a node's transport has it.

use super::flow::Found;
use super::{Net, State};
use libp2p::futures::{AsyncRead, AsyncWrite};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, Sleep, sleep_until};

/// One end.
pub(super) struct Pipe {
    net: Net,
    /// The direction that it writes, and the one that it reads.
    out: u64,
    into: u64,
    /// Until the next piece arrives.
    sleep: Option<Pin<Box<Sleep>>>,
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl Pipe {
    pub(super) fn new(net: Net, out: u64, into: u64) -> Self {
        Self {
            net,
            out,
            into,
            sleep: None,
        }
    }

    fn end(state: &mut State, out: u64) {
        let Some(way) = state.flows.get(&out).map(|flow| flow.way) else {
            return;
        };
        let at = leaves(state, way);
        if let Some(flow) = state.flows.get_mut(&out)
            && flow.room().is_some()
        {
            flow.send(at, &[]);
        }
    }
}

/// When something arrives that leaves now; `None` while its direction is dead.
fn leaves(state: &mut State, way: super::Way) -> Option<Instant> {
    (!state.is_blocked(way)).then(|| Instant::now() + state.delay(way))
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let at = {
                let mut state = self.net.lock();
                let Some(flow) = state.flows.get_mut(&self.into) else {
                    return Poll::Ready(Err(reset()));
                };
                let way = flow.way;
                match flow.take(Instant::now(), to.len()) {
                    Found::Bytes(bytes) => {
                        to[..bytes.len()].copy_from_slice(&bytes);
                        state.delivered(way, &bytes);
                        return Poll::Ready(Ok(bytes.len()));
                    }
                    Found::End => return Poll::Ready(Ok(0)),
                    Found::Broken => return Poll::Ready(Err(reset())),
                    Found::Nothing => {
                        flow.reader = Some(context.waker().clone());
                        return Poll::Pending;
                    }
                    Found::At(at) => {
                        // Also a reset wakes.
                        flow.reader = Some(context.waker().clone());
                        at
                    }
                }
            };
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if sleep.deadline() != at {
                sleep.as_mut().reset(at);
            }
            ready!(sleep.as_mut().poll(context));
        }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.net.lock();
        let Some(flow) = state.flows.get_mut(&self.out) else {
            return Poll::Ready(Err(reset()));
        };
        let Some(room) = flow.room() else {
            return Poll::Ready(Err(reset()));
        };
        let count = from.len().min(room);
        if count == 0 {
            if from.is_empty() {
                return Poll::Ready(Ok(0));
            }
            flow.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let way = flow.way;
        let at = leaves(&mut state, way);
        if let Some(flow) = state.flows.get_mut(&self.out) {
            flow.send(at, &from[..count]);
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::end(&mut self.net.lock(), self.out);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let mut state = self.net.lock();
        Self::end(&mut state, self.out);
        if let Some(flow) = state.flows.get_mut(&self.into) {
            flow.stop_reading();
        }
        state.flows.retain(|_, flow| !flow.is_over());
    }
}
