//! Frames of requests and responses: all bytes up to the end of the stream, at most a limit. It may not trust a
//! claimed length and does not look inside. An empty frame says "no answer", so a frame is never empty.

use std::io;

use libp2p::StreamProtocol;
use libp2p::futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::request_response;

/// Stands in for a frame that was longer than its protocol allows. libp2p says nothing of requests that could not be
/// read, so this is the only way to learn who sends them. Sent as an answer, it resets the stream: otherwise the
/// sender, stuck in the middle of its request, would find out only by a time-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong;

/// What goes through the codec.
pub(super) type Frame = Result<Vec<u8>, TooLong>;

/// One protocol's frames.
#[derive(Debug, Clone)]
pub(super) struct Codec {
    pub(super) limit: usize,
}

impl Codec {
    /// Memory grows with what arrives. One byte over the limit tells "too long" from "just fits".
    ///
    /// Yamux shows a reset stream as its end, so a frame may be cut short without an error: its content must carry
    /// its own length, as Belfry's do.
    async fn read(&self, io: &mut (impl AsyncRead + Unpin + Send)) -> io::Result<Frame> {
        let mut frame = Vec::new();
        io.take(self.limit as u64 + 1)
            .read_to_end(&mut frame)
            .await?;
        match frame.len() {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "an empty frame",
            )),
            length if length > self.limit => Ok(Err(TooLong)),
            _ => Ok(Ok(frame)),
        }
    }

    async fn write(io: &mut (impl AsyncWrite + Unpin + Send), frame: Frame) -> io::Result<()> {
        match frame {
            Ok(bytes) => io.write_all(&bytes).await,
            Err(TooLong) => Err(io::ErrorKind::FileTooLarge.into()),
        }
    }
}

// The protocol's handler closes our half of the stream after each write, which ends the frame.
impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Frame;
    type Response = Frame;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Frame>
    where
        T: AsyncRead + Unpin + Send,
    {
        self.read(io).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Frame>
    where
        T: AsyncRead + Unpin + Send,
    {
        self.read(io).await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        frame: Frame,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        Self::write(io, frame).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        frame: Frame,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        Self::write(io, frame).await
    }
}

#[cfg(test)]
mod tests {
    use libp2p::futures::io::Cursor;

    use super::*;

    #[tokio::test]
    async fn a_frame_of_the_limit_fits_and_one_more_byte_does_not() {
        let codec = Codec { limit: 8 };
        let read = codec.read(&mut Cursor::new(vec![7; 8])).await;
        assert_eq!(read.ok(), Some(Ok(vec![7; 8])));
        let read = codec.read(&mut Cursor::new(vec![7; 9])).await;
        assert_eq!(read.ok(), Some(Err(TooLong)));
        let read = codec.read(&mut Cursor::new(vec![])).await;
        assert_eq!(
            read.map_err(|error| error.kind()),
            Err(io::ErrorKind::UnexpectedEof)
        );
    }
}
