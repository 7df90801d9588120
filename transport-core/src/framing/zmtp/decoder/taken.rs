//! What a message has taken of its limits.

use crate::framing::FramingError;
use crate::limits::PART_OVERHEAD;

/// What a message may have.
#[derive(Clone, Copy)]
pub(super) struct MessageLimits {
    pub(super) bytes: usize,
    pub(super) parts: usize,
}

/// What a message has taken of its limits.
#[derive(Clone, Copy, Default)]
pub(super) struct Taken {
    pub(super) bytes: usize,
    pub(super) parts: usize,
}

impl MessageLimits {
    fn too_large(&self, announced: u64) -> FramingError {
        FramingError::TooLarge { announced, limit: self.bytes }
    }
}

impl Taken {
    /// Adds a part of `body` bytes.
    #[inline]
    pub(super) fn add(self, body: u64, limits: &MessageLimits) -> Result<Taken, FramingError> {
        let bytes = (self.bytes as u64).saturating_add(body).saturating_add(PART_OVERHEAD as u64);
        let parts = self.parts + 1;
        if bytes > limits.bytes as u64 {
            return Err(limits.too_large(bytes));
        }
        if parts > limits.parts {
            return Err(FramingError::TooManyParts { limit: limits.parts });
        }
        // `bytes` is at most the limit, which is a usize.
        Ok(Taken { bytes: usize::try_from(bytes).unwrap_or(usize::MAX), parts })
    }
}
