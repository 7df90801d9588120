//! The incoming direction of a connection.

mod link;
mod read;
mod receive;

use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::alarm::{Alarm, now};
use super::arriving::Arriving;
use super::closed::CloseReason;
use super::error::{Cut, RecvError};
use super::life::Life;
use super::read_buffer::{ReadBuffer, STACK_READ};
use crate::framing::{Control, MessageDecoder};

pub(super) use link::Link;

/// Reads bytes and decodes them.
pub(super) struct Inbound {
    decoder: Box<dyn MessageDecoder>,
    input: ReadBuffer,
    /// So many bytes count as unread at the server, unless it has cut the connection.
    told_unread: usize,
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
            told_unread: 0,
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
        self.unread() > 0
    }

    /// Whether the decoder holds parts of an unfinished message.
    pub(super) fn is_mid_message(&mut self) -> bool {
        self.decoder.give_back(&mut self.input.bytes);
        self.decoder.held_bytes() > 0
    }

    /// Bytes that have arrived and were not received.
    fn unread(&self) -> usize {
        self.input.bytes.len() + self.decoder.held_bytes()
    }

    /// Tells the server how many bytes are unread; the answer says whether the connection must close now.
    fn tell_unread(&mut self, life: &Life) -> Option<Cut> {
        self.told_unread = self.unread();
        life.set_unread(self.told_unread)
    }

    /// Messages have been handed out, and with them perhaps most of what was unread: their bytes must not count on while they
    /// are worked on. What counts is at most twice what is unread, or a small read.
    #[inline]
    fn handed_out(&mut self, life: &Life) {
        if self.told_unread > STACK_READ && self.unread() <= self.told_unread / 2 {
            let _shows_at_the_next_read = self.tell_unread(life);
        }
    }

    fn end_with(&mut self, error: impl Into<RecvError>, life: &Life) -> RecvError {
        self.end(life);
        let error = error.into();
        life.end(|| Some(CloseReason::from(&error)));
        error
    }

    fn end(&mut self, life: &Life) {
        self.ended = true;
        let _ended_already = self.tell_unread(life);
        if let Some(arriving) = &mut self.arriving {
            arriving.close_all();
        }
    }
}
