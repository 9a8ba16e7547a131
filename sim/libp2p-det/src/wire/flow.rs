//! One direction of a connection: pieces on their way, in order. Knows no clock but the times it is given.

use super::Way;
use std::collections::VecDeque;
use std::task::Waker;
use tokio::time::Instant;

/// Bytes on their way in one direction before the sender waits: a usual socket buffer.
const WINDOW_BYTES: usize = 256 * 1024;

/// A piece on its way.
struct Piece {
    /// When it arrives; `None` while its direction is dead.
    at: Option<Instant>,
    /// Nothing is the end of the stream.
    bytes: Vec<u8>,
    /// How much of it was read.
    read: usize,
}

/// One direction.
pub(super) struct Flow {
    pub(super) way: Way,
    pieces: VecDeque<Piece>,
    bytes: usize,
    /// When the last piece that was sent arrives.
    last: Option<Instant>,
    /// The sender is through.
    ended: bool,
    /// Nobody reads any more.
    deaf: bool,
    broken: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

/// What a reader finds.
pub(super) enum Found {
    /// Bytes, which are taken.
    Bytes(Vec<u8>),
    /// The end.
    End,
    /// Nothing before then.
    At(Instant),
    /// Nothing.
    Nothing,
    /// The connection was reset.
    Broken,
}

impl Flow {
    pub(super) fn new(way: Way) -> Self {
        Self {
            way,
            pieces: VecDeque::new(),
            bytes: 0,
            last: None,
            ended: false,
            deaf: false,
            broken: false,
            reader: None,
            writer: None,
        }
    }

    /// Room for so many bytes more; `None` if the connection was reset.
    pub(super) fn room(&self) -> Option<usize> {
        (!self.broken && !self.ended).then(|| WINDOW_BYTES.saturating_sub(self.bytes))
    }

    /// Sends a piece that arrives `at`, but not before what was sent earlier. Nothing is the end.
    pub(super) fn send(&mut self, at: Option<Instant>, bytes: &[u8]) {
        self.ended |= bytes.is_empty();
        if self.deaf || self.broken {
            return;
        }
        // What leaves behind something that waits, waits too.
        let waits = self.pieces.back().is_some_and(|piece| piece.at.is_none());
        let at = at.filter(|_| !waits);
        let at = at.map(|at| self.last.map_or(at, |last| at.max(last)));
        self.last = at.or(self.last);
        self.bytes += bytes.len();
        self.pieces.push_back(Piece {
            at,
            bytes: bytes.to_vec(),
            read: 0,
        });
        wake(&mut self.reader);
    }

    /// What waited arrives `at`.
    pub(super) fn go_on(&mut self, at: Instant) {
        let at = self.last.map_or(at, |last| at.max(last));
        for piece in self.pieces.iter_mut().filter(|piece| piece.at.is_none()) {
            piece.at = Some(at);
            self.last = Some(at);
        }
        wake(&mut self.reader);
    }

    /// What there is at `now`, at most so many bytes.
    pub(super) fn take(&mut self, now: Instant, most: usize) -> Found {
        if self.broken {
            return Found::Broken;
        }
        let Some(piece) = self.pieces.front_mut() else {
            return Found::Nothing;
        };
        let Some(at) = piece.at else {
            return Found::Nothing;
        };
        if at > now {
            return Found::At(at);
        }
        if piece.bytes.is_empty() {
            return Found::End;
        }
        let end = piece.bytes.len().min(piece.read + most);
        let bytes = piece.bytes[piece.read..end].to_vec();
        piece.read = end;
        if end == piece.bytes.len() {
            self.pieces.pop_front();
        }
        self.bytes -= bytes.len();
        wake(&mut self.writer);
        Found::Bytes(bytes)
    }

    /// Breaks; says whether it was whole.
    pub(super) fn reset(&mut self) -> bool {
        let was_whole = !self.broken;
        self.broken = true;
        self.pieces.clear();
        self.bytes = 0;
        wake(&mut self.reader);
        wake(&mut self.writer);
        was_whole
    }

    /// Nobody reads any more: what is sent from now on is lost, and its sender never waits.
    pub(super) fn stop_reading(&mut self) {
        self.deaf = true;
        self.pieces.clear();
        self.bytes = 0;
        wake(&mut self.writer);
    }

    /// Whether nobody needs it any more.
    pub(super) fn is_over(&self) -> bool {
        self.deaf && (self.ended || self.broken)
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
