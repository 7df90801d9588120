//! Sealed frames: taken off the input and opened where they lie.

use super::frame::{Header, MORE};
use crate::framing::{FramingError, Opener};

/// Opens the frames of a connection, one after the other.
pub(super) struct SealedFrames {
    opener: Box<dyn Opener>,
    /// The longest sealed body.
    limit: usize,
}

/// A frame at the front of the input, which has been opened there.
pub(super) struct OpenedFrame {
    pub(super) more: bool,
    pub(super) is_command: bool,
    /// Where its content begins and where the frame ends.
    pub(super) content: std::ops::Range<usize>,
    pub(super) length: usize,
}

impl SealedFrames {
    pub(super) fn new(opener: Box<dyn Opener>, message_limit: usize) -> SealedFrames {
        SealedFrames { opener, limit: message_limit.saturating_add(OVERHEAD) }
    }

    /// Opens the frame at the front of `input`, where the caller then goes on behind it; `None` when it is not complete.
    ///
    /// What the frame says of itself outside of its seal is not believed: a part of a message is marked inside.
    #[inline]
    pub(super) fn open_front(&mut self, input: &mut [u8]) -> Result<Option<OpenedFrame>, FramingError> {
        let Some(header) = Header::read(input) else {
            return Ok(None);
        };
        if header.flags & MORE != 0 {
            return Err(FramingError::Seal { problem: "it is marked as a part outside of its seal" });
        }
        if header.body > self.limit as u64 {
            return Err(FramingError::TooLarge { announced: header.body, limit: self.limit });
        }
        // At most the limit, which is a usize.
        let length = header.length.saturating_add(usize::try_from(header.body).unwrap_or(usize::MAX));
        let Some(body) = input.get_mut(header.length..length) else {
            return Ok(None);
        };
        let opened = self.opener.open(body)?;
        let content = header.length + opened.content.start..header.length + opened.content.end;
        Ok(Some(OpenedFrame { more: opened.more, is_command: opened.command, content, length }))
    }
}

/// What a seal may add to a frame: CURVE adds 33 bytes.
const OVERHEAD: usize = 256;
