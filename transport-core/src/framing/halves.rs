//! The two directions of a framing after the handshake.

use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::error::{FramingError, UnencodableError};
use super::event::{Control, Event};
use crate::batch::Batch;
use crate::message::{Message, MessageRef};
use crate::write_buffer::WriteBuffer;

/// The two directions of a framing after the handshake.
pub struct Halves {
    /// Messages to bytes.
    pub encoder: Box<dyn MessageEncoder>,
    /// Bytes to messages.
    pub decoder: Box<dyn MessageDecoder>,
}

/// The outgoing direction of a [`Framing`](super::Framing) after the handshake.
pub trait MessageEncoder: Send {
    /// Appends one message.
    ///
    /// # Errors
    ///
    /// When this framing cannot carry the message; `out` is as it was then.
    fn encode(&mut self, message: MessageRef<'_>, out: &mut WriteBuffer) -> Result<(), UnencodableError>;

    /// Encoders that give the same name here encode a message to the same bytes, so that one can do it for all; `None`,
    /// the default, when the bytes are this encoder's alone.
    fn encoding(&self) -> Option<&'static str> {
        None
    }

    /// The whole messages in bytes that this encoder has written and that were not sent, control events left out; none,
    /// the default, when it cannot tell.
    fn recover(&self, _bytes: Vec<u8>) -> Vec<Message> {
        Vec::new()
    }

    /// Appends a control event; a framing that has none writes nothing.
    fn encode_control(&mut self, _control: &Control, _out: &mut WriteBuffer) {}
}

/// The incoming direction of a [`Framing`](super::Framing) after the handshake.
pub trait MessageDecoder: Send {
    /// Takes one event off the front of `input`; `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// When the peer broke the protocol or a limit.
    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Event>, FramingError>;

    /// Appends up to `max` messages to `messages`, stopping early at any other event, which is returned.
    ///
    /// The default calls [`decode`](MessageDecoder::decode) again and again.
    ///
    /// # Errors
    ///
    /// As `decode`. Messages that came before the error have been appended.
    fn decode_many(
        &mut self,
        input: &mut BytesMut,
        messages: &mut Vec<Message>,
        max: usize,
    ) -> Result<Option<Event>, FramingError> {
        for _ in 0..max {
            match self.decode(input)? {
                Some(Event::Message(message)) => messages.push(message),
                other => return Ok(other),
            }
        }
        Ok(None)
    }

    /// Shows each message that has arrived to `visit`, stopping early at any other event, which is returned.
    ///
    /// The default calls [`decode`](MessageDecoder::decode) again and again; a decoder that can lend messages from
    /// `input` without counting references to it is several times as fast.
    ///
    /// # Errors
    ///
    /// As `decode`. Messages that came before the error have been shown.
    fn decode_each(
        &mut self,
        input: &mut BytesMut,
        visit: &mut dyn FnMut(MessageRef<'_>),
    ) -> Result<Option<Event>, FramingError> {
        loop {
            match self.decode(input)? {
                Some(Event::Message(message)) => visit((&message).into()),
                other => return Ok(other),
            }
        }
    }

    /// Adds up to `max` messages to `batch`, stopping early at any other event, which is returned. Messages may be left in
    /// `input` where `batch` has some.
    ///
    /// The default calls [`decode`](MessageDecoder::decode) again and again; a decoder that only notes down where messages lie
    /// is several times as fast.
    ///
    /// # Errors
    ///
    /// As `decode`. Messages that came before the error have been added.
    fn decode_batch(
        &mut self,
        input: &mut BytesMut,
        batch: &mut Batch,
        max: usize,
    ) -> Result<Option<Event>, FramingError> {
        for _ in 0..max {
            match self.decode(input)? {
                Some(Event::Message(message)) => batch.push(message),
                other => return Ok(other),
            }
        }
        Ok(None)
    }

    /// How long the frame at the front of `input` is, header included, once it says so: where it is large, memory is made to
    /// its measure. `None`, the default, when that is not known.
    fn frame_length(&self, _input: &[u8]) -> Option<usize> {
        None
    }

    /// Whether bytes of an unfinished message are held, here or in `input`: an end of stream would cut it.
    fn is_mid_message(&self, input: &BytesMut) -> bool {
        !input.is_empty()
    }

    /// Puts bytes that were taken off `input` and not decoded yet back in front of it: someone else goes on with it.
    fn give_back(&mut self, _input: &mut BytesMut) {}

    /// Bytes that arrived and are held here, outside of `input`.
    fn held_bytes(&self) -> usize {
        0
    }

    /// Tells that bytes arrived at `now`.
    fn heard(&mut self, _now: Instant) {}

    /// When [`on_deadline`](MessageDecoder::on_deadline) wants to be called.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Tells that the deadline has passed: an event to send, such as a ping, or the end of a silent peer.
    ///
    /// # Errors
    ///
    /// When the peer has been silent for too long.
    fn on_deadline(&mut self, _now: Instant) -> Result<Option<Control>, FramingError> {
        Ok(None)
    }

    /// How often to send what, so that the peer knows that this side is alive while it reads nothing.
    fn sign_of_life(&self) -> Option<(Duration, Control)> {
        None
    }
}
