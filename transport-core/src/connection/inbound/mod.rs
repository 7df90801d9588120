//! The incoming direction of a connection.

mod link;
mod read;
mod receive;

use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::alarm::{Alarm, now};
use super::arriving::Arriving;
use super::closed::CloseReason;
use super::error::RecvError;
use super::life::Life;
use super::read_buffer::ReadBuffer;
use crate::framing::{Control, MessageDecoder};

pub(super) use link::Link;

/// Reads bytes and decodes them.
pub(super) struct Inbound {
    decoder: Box<dyn MessageDecoder>,
    input: ReadBuffer,
    /// When bytes came last.
    heard: Instant,
    /// The stream has ended, or the peer broke the protocol: nothing more comes.
    ended: bool,
    /// Memory has been given back since bytes came last.
    released: bool,
    /// An error that came behind messages, which were delivered first.
    late_error: Option<Box<RecvError>>,
    alarm: Alarm,
    /// Present where descriptors may come.
    arriving: Option<Box<Arriving>>,
}

impl Inbound {
    /// With `descriptors`, so many may come with a message.
    pub(super) fn new(
        decoder: Box<dyn MessageDecoder>,
        input: BytesMut,
        descriptors: Option<usize>,
    ) -> Inbound {
        let arriving = descriptors.map(|limit| Box::new(Arriving::new(limit, input.len())));
        Inbound {
            decoder,
            input: ReadBuffer::new(input),
            heard: now(),
            ended: false,
            released: false,
            late_error: None,
            alarm: Alarm::default(),
            arriving,
        }
    }

    /// Whether descriptors may come.
    pub(super) fn takes_descriptors(&self) -> bool {
        self.arriving.is_some()
    }

    /// The timer is set anew when it is needed next, in the runtime of that time.
    pub(super) fn forget_timer(&mut self) {
        self.alarm = Alarm::default();
    }

    /// The decoder, and the bytes that arrived and were not decoded.
    pub(super) fn into_parts(mut self) -> (Box<dyn MessageDecoder>, BytesMut) {
        self.decoder.give_back(&mut self.input.bytes);
        (self.decoder, self.input.bytes)
    }

    /// How often to send what while nothing is read.
    pub(super) fn sign_of_life(&self) -> Option<(Duration, Control)> {
        self.decoder.sign_of_life()
    }

    /// Whether bytes were read and not yet received as messages.
    pub(super) fn holds_bytes(&self) -> bool {
        !self.input.bytes.is_empty() || self.decoder.held_bytes() > 0
    }

    /// Whether the decoder holds parts of an unfinished message.
    pub(super) fn is_mid_message(&mut self) -> bool {
        self.decoder.give_back(&mut self.input.bytes);
        self.decoder.held_bytes() > 0
    }

    fn end_with(&mut self, error: impl Into<RecvError>, life: &Life) -> RecvError {
        self.end();
        let error = error.into();
        life.end(|| Some(CloseReason::from(&error)));
        error
    }

    fn end(&mut self) {
        self.ended = true;
        if let Some(arriving) = &mut self.arriving {
            arriving.close_all();
        }
    }
}
