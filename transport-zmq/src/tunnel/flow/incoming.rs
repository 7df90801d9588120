//! What has come: within this side's window, until the peer ends it or the application stops reading.

use std::collections::VecDeque;

use bytes::Bytes;

use super::outgoing::LARGEST_DATA;
use super::{MESSAGES_IN_FLIGHT, WINDOW};
use crate::tunnel::wire::{Frame, Reason};

/// The incoming direction of a stream.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) arrived: VecDeque<Bytes>,
    /// The offset behind the last byte that arrived. Invariant: `told + WINDOW >= received >= consumed >= told`.
    pub(super) received: u64,
    pub(super) consumed: u64,
    /// What the peer was told of `consumed`.
    told: u64,
    messages_untold: usize,
    ended_by_peer: bool,
    /// The application reads no more.
    stopped: bool,
}

/// After so many bytes or messages consumed the peer is told.
const TELL_AFTER_BYTES: u64 = WINDOW / 4;
const TELL_AFTER_MESSAGES: usize = MESSAGES_IN_FLIGHT / 4;

impl Incoming {
    pub(super) fn new() -> Incoming {
        Incoming {
            arrived: VecDeque::new(),
            received: 0,
            consumed: 0,
            told: 0,
            messages_untold: 0,
            ended_by_peer: false,
            stopped: false,
        }
    }

    /// Takes bytes of the peer.
    pub(super) fn data(&mut self, offset: u64, bytes: Bytes) -> Result<(), Reason> {
        if offset != self.received || self.ended_by_peer {
            return Err(Reason::Lost);
        }
        let received = self.received + bytes.len() as u64;
        let messages = self.arrived.len() + self.messages_untold;
        if received > self.told + WINDOW || messages >= MESSAGES_IN_FLIGHT {
            return Err(Reason::Violation);
        }
        self.received = received;
        if self.stopped {
            self.consumed = received;
        } else {
            // The application may be slow, and the buffer that a few bytes came in much larger than the window.
            let few = bytes.len() < LARGEST_DATA;
            self.arrived.push_back(if few { Bytes::copy_from_slice(&bytes) } else { bytes });
        }
        Ok(())
    }

    /// The peer writes no more, and has written so much.
    pub(super) fn end(&mut self, offset: u64) -> Result<(), Reason> {
        if offset != self.received || self.ended_by_peer {
            return Err(Reason::Lost);
        }
        self.ended_by_peer = true;
        Ok(())
    }

    /// Copies what has come; false when nothing was copied.
    pub(super) fn read(&mut self, mut buffer: impl FnMut(&[u8]) -> usize) -> bool {
        let mut any = false;
        while let Some(first) = self.arrived.front_mut() {
            let taken = buffer(first);
            any |= taken > 0;
            self.consumed += taken as u64;
            if taken < first.len() {
                let _copied = first.split_to(taken);
                break;
            }
            self.arrived.pop_front();
            self.messages_untold += 1;
        }
        any
    }

    /// The application reads no more; whether the peer is to be told.
    pub(super) fn stop(&mut self) -> bool {
        if self.stopped {
            return false;
        }
        self.stopped = true;
        self.arrived.clear();
        self.consumed = self.received;
        !self.ended_by_peer
    }

    /// Whether so much was consumed that the peer is to be told.
    pub(super) fn owes_credit(&self) -> bool {
        let much =
            self.consumed - self.told >= TELL_AFTER_BYTES || self.messages_untold >= TELL_AFTER_MESSAGES;
        much && !self.ended_by_peer && !self.stopped
    }

    /// Tells the peer what was consumed, when that is due.
    pub(super) fn next_credit(&mut self) -> Option<Frame> {
        self.owes_credit().then(|| {
            self.told = self.consumed;
            self.messages_untold = 0;
            Frame::Credit { consumed: self.consumed }
        })
    }

    /// Whether bytes wait for the application.
    pub(super) fn has_arrived(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// Whether the peer writes no more.
    pub(super) fn is_ended(&self) -> bool {
        self.ended_by_peer
    }

    /// Whether the application reads no more.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }
}
