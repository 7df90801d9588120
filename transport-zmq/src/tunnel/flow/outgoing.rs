//! What may be sent: within the peer's window, and until the end.

use std::collections::VecDeque;

use bytes::BytesMut;

use super::{MESSAGES_IN_FLIGHT, Write};
use crate::tunnel::wire::{Frame, Reason};

/// The outgoing direction of a stream.
#[derive(Debug)]
pub(super) struct Outgoing {
    out: BytesMut,
    /// The offset of the first byte in `out`.
    pub(super) sent: u64,
    /// What the peer consumed, as far as it told. Invariant: `acknowledged <= sent <= acknowledged + peer_window`.
    pub(super) acknowledged: u64,
    /// So many bytes the peer takes; 0 until it has accepted the stream.
    peer_window: u64,
    /// The ends of the DATA messages that are beyond `acknowledged`, ascending.
    in_flight: VecDeque<u64>,
    end: End,
    /// The peer reads no more.
    stopped_by_peer: bool,
}

/// How far the outgoing direction has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Wanted,
    Sent,
}

/// The most bytes in one message.
pub(super) const LARGEST_DATA: usize = 64 << 10;
/// So many bytes may wait here for a place in the peer's window.
pub(super) const OUT: usize = 128 << 10;

impl Outgoing {
    pub(super) fn new(peer_window: u64) -> Outgoing {
        Outgoing {
            out: BytesMut::new(),
            sent: 0,
            acknowledged: 0,
            peer_window,
            in_flight: VecDeque::new(),
            end: End::Open,
            stopped_by_peer: false,
        }
    }

    /// The peer takes so many bytes.
    pub(super) fn accepted(&mut self, window: u64) -> Result<(), Reason> {
        if self.is_accepted() || window == 0 {
            return Err(Reason::Violation);
        }
        self.peer_window = window;
        Ok(())
    }

    /// The peer has consumed so much.
    pub(super) fn credited(&mut self, consumed: u64) -> Result<(), Reason> {
        if consumed < self.acknowledged || consumed > self.sent {
            return Err(Reason::Violation);
        }
        self.acknowledged = consumed;
        while self.in_flight.front().is_some_and(|end| *end <= consumed) {
            self.in_flight.pop_front();
        }
        Ok(())
    }

    /// The peer reads no more.
    pub(super) fn stopped(&mut self) {
        self.stopped_by_peer = true;
        self.out = BytesMut::new();
        self.in_flight.clear();
    }

    /// Takes bytes that the application wants sent.
    pub(super) fn write<'a>(&mut self, slices: impl IntoIterator<Item = &'a [u8]>) -> Write {
        if self.stopped_by_peer || self.end != End::Open {
            return Write::Closed;
        }
        let mut taken = 0;
        let mut empty = true;
        for slice in slices {
            empty &= slice.is_empty();
            let length = slice.len().min(OUT - self.out.len());
            self.out.extend_from_slice(&slice[..length]);
            taken += length;
        }
        if taken == 0 && !empty { Write::Wait } else { Write::Taken(taken) }
    }

    /// The application writes no more: the end goes out behind what is queued.
    pub(super) fn finish(&mut self) {
        if self.end == End::Open {
            self.end = End::Wanted;
        }
    }

    /// The next bytes that have a place in the peer's window, or the end behind them.
    pub(super) fn next_frame(&mut self) -> Option<Frame> {
        self.next_data().or_else(|| self.next_end())
    }

    fn next_data(&mut self) -> Option<Frame> {
        let room = self.acknowledged.saturating_add(self.peer_window) - self.sent;
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let length = self.out.len().min(room).min(LARGEST_DATA);
        if length == 0 || self.in_flight.len() >= MESSAGES_IN_FLIGHT {
            return None;
        }
        let offset = self.sent;
        let bytes = self.out.split_to(length).freeze();
        self.sent += length as u64;
        self.in_flight.push_back(self.sent);
        Some(Frame::Data { offset, bytes })
    }

    fn next_end(&mut self) -> Option<Frame> {
        // Before the peer has accepted it does not know the stream.
        let ready = self.end == End::Wanted && self.out.is_empty() && self.is_accepted();
        ready.then(|| {
            self.end = End::Sent;
            Frame::End { offset: self.sent }
        })
    }

    /// Whether the peer has accepted the stream.
    pub(super) fn is_accepted(&self) -> bool {
        self.peer_window > 0
    }

    /// Whether something waits to be sent.
    pub(super) fn needs_a_turn(&self) -> bool {
        !self.out.is_empty() || self.end == End::Wanted
    }

    /// Whether everything written has gone out.
    pub(super) fn is_flushed(&self) -> bool {
        self.out.is_empty() || self.stopped_by_peer
    }

    /// Whether the application writes no more.
    pub(super) fn is_finished(&self) -> bool {
        self.end != End::Open
    }

    /// Whether the end has gone out, or nobody waits for it any more.
    pub(super) fn is_end_sent(&self) -> bool {
        self.end == End::Sent || self.stopped_by_peer
    }

    /// Whether nothing more will be sent.
    pub(super) fn is_over(&self) -> bool {
        self.end == End::Sent || (self.stopped_by_peer && self.is_finished())
    }
}
