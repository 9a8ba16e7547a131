//! Request bodies as blocking readers, and channels as streams: the bridge between async handlers and the pipeline.

use axum::body::{Body, Bytes};
use futures_core::Stream;
use http_body_util::BodyExt;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Blocks that wait between the socket and the pipeline.
const BLOCKS_IN_FLIGHT: usize = 8;

/// How long the rest of a body is read and dropped after it was answered.
const DRAIN: Duration = Duration::from_secs(10);

/// A stream from a polling function.
pub(crate) fn poll_fn<T, F>(poll: F) -> PollFn<F>
where
    F: FnMut(&mut Context<'_>) -> Poll<Option<T>>,
{
    PollFn(poll)
}

/// See [`poll_fn`].
pub(crate) struct PollFn<F>(F);

impl<T, F> Stream for PollFn<F>
where
    F: FnMut(&mut Context<'_>) -> Poll<Option<T>> + Unpin,
{
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        (self.0)(context)
    }
}

/// A request body, read on a thread that may block.
pub(crate) struct BodyReader {
    /// `None` is the end; a channel that closes without it was cut off.
    blocks: Receiver<Option<io::Result<Bytes>>>,
    ended: bool,
    rest: Bytes,
}

/// Splits a body into a reader and the task that feeds it.
pub(crate) fn body_reader(body: Body) -> (BodyReader, impl Future<Output = ()>) {
    let (send, blocks) = channel(BLOCKS_IN_FLIGHT);
    (
        BodyReader {
            blocks,
            rest: Bytes::new(),
            ended: false,
        },
        feed(body, send),
    )
}

async fn feed(mut body: Body, send: Sender<Option<io::Result<Bytes>>>) {
    while let Some(frame) = body.frame().await {
        let item = match frame {
            Ok(frame) => match frame.into_data() {
                Ok(data) => Ok(data),
                Err(_) => continue,
            },
            Err(error) => Err(io::Error::other(error)),
        };
        if send.send(Some(item)).await.is_err() {
            // Answered early: whoever still sends must get the answer, not a broken pipe.
            let _ =
                tokio::time::timeout(DRAIN, async { while body.frame().await.is_some() {} }).await;
            return;
        }
    }
    let _ = send.send(None).await;
}

impl Read for BodyReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            if self.ended {
                return Ok(0);
            }
            match self.blocks.blocking_recv() {
                Some(Some(block)) => self.rest = block?,
                Some(None) => self.ended = true,
                None => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the upload was cut off",
                    ));
                }
            }
        }
        let length = self.rest.len().min(out.len());
        out[..length].copy_from_slice(&self.rest.split_to(length));
        Ok(length)
    }
}
