//! What seals and opens the frames after the handshake.

use std::fmt;
use std::ops::Range;

use super::error::FramingError;

/// Seals and opens every frame after the handshake: what a mechanism such as CURVE hands back.
pub struct Seal {
    /// For frames that go out.
    pub sealer: Box<dyn Sealer>,
    /// For frames that come in.
    pub opener: Box<dyn Opener>,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

/// The outgoing direction of a [`Seal`].
pub trait Sealer: Send {
    /// By how many bytes a sealed frame body is longer than its content: the same for every frame.
    fn overhead(&self) -> usize;

    /// How many more frames can be sealed; a message of more parts is not sent.
    fn frames_left(&self) -> u64 {
        u64::MAX
    }

    /// Appends the sealed frame body that carries `frame` to `out`, which has other bytes before it.
    fn seal(&mut self, frame: Sealed<'_>, out: &mut Vec<u8>);

    /// Opens a frame body that this side has sealed and not sent, where it lies: what is in it goes out on another connection,
    /// sealed anew. `None`, the default, when it cannot: what waits is lost with its connection then.
    fn reopen(&self, _body: &mut [u8]) -> Option<Opened> {
        None
    }
}

/// The incoming direction of a [`Seal`].
pub trait Opener: Send {
    /// Opens a frame body where it lies: what it says of the frame, and where in `body` its content now is.
    ///
    /// Called once for each frame, in their order.
    ///
    /// # Errors
    ///
    /// When it was not sealed by the peer, or is a replay.
    fn open(&mut self, body: &mut [u8]) -> Result<Opened, FramingError>;
}

/// A frame to seal.
#[derive(Clone, Copy, Debug)]
pub struct Sealed<'a> {
    /// Whether more parts of the message follow.
    pub more: bool,
    /// Whether it is a command.
    pub command: bool,
    /// The content.
    pub content: &'a [u8],
}

/// A frame that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Whether more parts of the message follow.
    pub more: bool,
    /// Whether it is a command.
    pub command: bool,
    /// Where the content is in the body.
    pub content: Range<usize>,
}
