//! Messages that are owned: whole frames are taken off the input at once, as a chunk of which each is a slice.

use bytes::{Bytes, BytesMut};
use smallvec::smallvec;

use super::{LARGE_PART, ZmtpDecoder, frame_length};
use crate::framing::zmtp::frame::{COMMAND, Header, MORE};
use crate::framing::{Event, FramingError};
use crate::message::Message;

impl ZmtpDecoder {
    /// Moves all complete frames of `input` to `chunk`; false when there is none.
    pub(super) fn refill(&mut self, input: &mut BytesMut) -> Result<bool, FramingError> {
        debug_assert_eq!(self.at, self.chunk.len(), "the chunk must be used up");
        self.let_go_of_chunk();
        let mut end = 0;
        while let Some(header) = Header::read(&input[end..]) {
            let taken = match self.check(header) {
                Ok(taken) => taken,
                // What is complete before it is delivered first, however the bytes were cut.
                Err(_) if end > 0 => break,
                Err(error) => return Err(error),
            };
            let frame = frame_length(header);
            if input.len() - end < frame {
                break;
            }
            self.scanned = taken;
            end += frame;
        }
        if end > 0 {
            self.chunk = input.split_to(end).freeze();
        }
        Ok(end > 0)
    }

    /// Gives the buffer back, so that the connection can use it again. Parts of an unfinished message that are small, or small
    /// beside it, are copied out first: a peer could otherwise make each of them keep a large buffer alive.
    pub(super) fn let_go_of_chunk(&mut self) {
        let buffer = self.chunk.len();
        for part in &mut self.parts[self.own_parts..] {
            if part.len() < LARGE_PART.max(buffer / 4) {
                *part = Bytes::copy_from_slice(part);
            }
        }
        self.own_parts = self.parts.len();
        self.chunk = Bytes::new();
        self.at = 0;
    }

    /// Decodes frames of `chunk` until an event is complete; `None` at its end.
    #[inline]
    pub(super) fn next_in_chunk(&mut self) -> Result<Option<Event>, FramingError> {
        while let Some(header) = Header::read(&self.chunk[self.at..]) {
            let start = self.at + header.length;
            let end = self.at + frame_length(header);
            self.at = end;
            let body = self.chunk.slice(start..end);
            if header.flags & (MORE | COMMAND) == 0 && self.parts.is_empty() {
                return Ok(Some(Event::Message(Message::from_small_vec(smallvec![body]))));
            }
            if let Some(event) = self.uncommon_frame(header.flags, body)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Decodes frames at the front of `input`, each as a chunk of its own, until an event is complete.
    pub(super) fn decode_front(&mut self, input: &mut BytesMut) -> Result<Option<Event>, FramingError> {
        while let Some(header) = Header::read(input) {
            let taken = self.check(header)?;
            let frame = frame_length(header);
            if input.len() < frame {
                break;
            }
            self.scanned = taken;
            self.chunk = input.split_to(frame).freeze();
            self.at = frame;
            let event = self.uncommon_frame(header.flags, self.chunk.slice(header.length..))?;
            self.let_go_of_chunk();
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// A frame of a multipart message, or a command.
    fn uncommon_frame(&mut self, flags: u8, body: Bytes) -> Result<Option<Event>, FramingError> {
        if flags & COMMAND != 0 { self.command(&body) } else { Ok(self.part(flags & MORE != 0, body)) }
    }
}
