//! Messages of sealed frames, which are opened where they lie.

use bytes::{Buf as _, Bytes, BytesMut};

use super::taken::Taken;
use super::{COMMAND_LIMIT, LARGE_PART, ZmtpDecoder, take_front};
use crate::batch::{Batch, Place};
use crate::framing::zmtp::sealed::OpenedFrame;
use crate::framing::{Event, FramingError};
use crate::message::{Lent, MessageRef};

impl ZmtpDecoder {
    /// Opens and decodes sealed frames of `input` until an event is complete.
    pub(super) fn decode_sealed(&mut self, input: &mut BytesMut) -> Result<Option<Event>, FramingError> {
        while let Some(frame) = self.open_front(input)? {
            let content = input.split_to(frame.length).freeze().slice(frame.content);
            if let Some(event) = self.opened_frame(frame.more, frame.is_command, content)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// As `decode_sealed`, showing messages of one part where they were opened.
    pub(super) fn lend_sealed(
        &mut self,
        input: &mut BytesMut,
        visit: &mut dyn FnMut(MessageRef<'_>),
    ) -> Result<Option<Event>, FramingError> {
        while let Some(frame) = self.open_front(input)? {
            if !frame.more && !frame.is_command && self.parts.is_empty() {
                visit(MessageRef(Lent::Slice(&input[frame.content])));
                input.advance(frame.length);
                continue;
            }
            let content = input.split_to(frame.length).freeze().slice(frame.content);
            match self.opened_frame(frame.more, frame.is_command, content)? {
                Some(Event::Message(message)) => visit((&message).into()),
                None => {}
                other => return Ok(other),
            }
        }
        Ok(None)
    }

    /// Opens frames of `input` where they lie and adds those that are whole messages to `batch`, up to `max`; stops at any
    /// other, whose event is returned.
    pub(super) fn batch_sealed(
        &mut self,
        input: &mut BytesMut,
        batch: &mut Batch,
        max: usize,
    ) -> Result<Option<Event>, FramingError> {
        let mut places = Vec::new();
        let mut at = 0;
        let mut stopped_at = Ok(None);
        while places.len() < max {
            let frame = match self.open_front(&mut input[at..]) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => {
                    stopped_at = Err(error);
                    break;
                }
            };
            let content = at + frame.content.start..at + frame.content.end;
            let whole = !frame.more && !frame.is_command && self.parts.is_empty();
            match Place::new(content, false).filter(|_| whole) {
                Some(place) => places.push(place),
                None => {
                    stopped_at = Ok(Some(frame));
                    break;
                }
            }
            at += frame.length;
        }
        if !places.is_empty() {
            let messages = places.len();
            batch.fill(take_front(input, at), places, messages);
        }
        match stopped_at? {
            Some(frame) => {
                let content = input.split_to(frame.length).freeze().slice(frame.content);
                match self.opened_frame(frame.more, frame.is_command, content)? {
                    // The rest of the message may be here already.
                    None if batch.is_empty() => self.decode_sealed(input),
                    event => Ok(event),
                }
            }
            None => Ok(None),
        }
    }

    /// Opens the frame at the front of `input`, within the limits of its message.
    #[inline]
    fn open_front(&mut self, input: &mut [u8]) -> Result<Option<OpenedFrame>, FramingError> {
        let Some(sealed) = &mut self.sealed else { return Ok(None) };
        let Some(frame) = sealed.open_front(input)? else { return Ok(None) };
        if !frame.is_command {
            let taken = self.scanned.add(frame.content.len() as u64, &self.limits)?;
            self.scanned = if frame.more { taken } else { Taken::default() };
        }
        Ok(Some(frame))
    }

    fn opened_frame(
        &mut self,
        more: bool,
        is_command: bool,
        content: Bytes,
    ) -> Result<Option<Event>, FramingError> {
        if is_command {
            let (announced, limit) = (content.len() as u64, COMMAND_LIMIT.min(self.limits.bytes));
            let too_large = FramingError::TooLarge { announced, limit };
            return if content.len() > limit { Err(too_large) } else { self.command(&content) };
        }
        // Small parts of an unfinished message must not each keep a read buffer alive.
        let content =
            if more && content.len() < LARGE_PART { Bytes::copy_from_slice(&content) } else { content };
        let event = self.part(more, content);
        self.own_parts = self.parts.len();
        Ok(event)
    }
}
