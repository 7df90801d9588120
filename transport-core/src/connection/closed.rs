//! What is known about a connection when it is over.

use std::fmt;
use std::io;
use std::time::Duration;

use super::error::{Cut, RecvError, SendError};
use crate::descriptors::DescriptorError;
use crate::framing::FramingError;
use crate::identity::Identity;
use crate::transport::Source;

/// Tells a server's connections apart: each gets a number of its own, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(super) u64);

impl ConnectionId {
    /// The number.
    pub fn to_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A connection that is over: the application has dropped all of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Closed {
    /// Which one.
    pub connection: ConnectionId,
    /// Where the peer was.
    pub source: Source,
    /// Who the peer was.
    pub identity: Identity,
    /// Why it ended.
    pub reason: CloseReason,
    /// What went over it.
    pub traffic: Traffic,
    /// How long it lasted, from when the peer was authenticated.
    pub lasted: Duration,
}

/// What went over a connection after its handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Messages that the application received.
    pub messages_in: u64,
    /// Messages that were written, or begun to be.
    pub messages_out: u64,
    /// Bytes read, with all that the framing adds.
    pub bytes_in: u64,
    /// Bytes that the kernel, or the encryption before it, has taken.
    pub bytes_out: u64,
}

/// Why a connection ended: what was seen of it first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer closed it.
    #[error("the peer closed the connection")]
    PeerClosed,
    /// The application closed or dropped it.
    #[error("this side closed the connection")]
    ThisSide,
    /// The application closed or dropped it after the server had asked it to.
    #[error("this side closed the connection, since the server shuts down")]
    Drained,
    /// The server cut it.
    #[error("the server cut the connection: {0}")]
    Cut(Cut),
    /// The stream ended in the middle of a message.
    #[error("the stream ended in the middle of a message")]
    Truncated,
    /// The peer broke the framing's protocol or a limit.
    #[error("the peer broke the protocol: {0}")]
    Violation(FramingError),
    /// The peer sent descriptors against the agreement.
    #[error("the peer broke the agreement on descriptors: {0}")]
    Descriptors(DescriptorError),
    /// The peer gave no sign of life for this long.
    #[error("the peer gave no sign of life for {0:?}")]
    Silent(Duration),
    /// The peer took no byte for this long.
    #[error("the peer took no byte for {0:?}")]
    Stalled(Duration),
    /// Reading or writing failed.
    #[error("the stream failed: {0}")]
    Io(io::ErrorKind),
}

impl CloseReason {
    /// The reason in a word, as a label for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            CloseReason::PeerClosed => "peer_closed",
            CloseReason::ThisSide => "this_side",
            CloseReason::Drained => "drained",
            CloseReason::Cut(_) => "cut",
            CloseReason::Truncated => "truncated",
            CloseReason::Violation(_) => "violation",
            CloseReason::Descriptors(_) => "descriptors",
            CloseReason::Silent(_) => "silent",
            CloseReason::Stalled(_) => "stalled",
            CloseReason::Io(_) => "io",
        }
    }

    /// `None` when the connection goes on after that error.
    pub(super) fn of_sending(error: &SendError) -> Option<CloseReason> {
        Some(match error {
            SendError::Unencodable(_) | SendError::Descriptors(_) => return None,
            SendError::Stalled(time) => CloseReason::Stalled(*time),
            SendError::Cut(cut) => CloseReason::Cut(*cut),
            SendError::Io(error) => CloseReason::Io(error.kind()),
        })
    }
}

impl From<&RecvError> for CloseReason {
    fn from(error: &RecvError) -> CloseReason {
        match error {
            RecvError::Framing(FramingError::Silent { silence }) => CloseReason::Silent(*silence),
            RecvError::Framing(error) => CloseReason::Violation(error.clone()),
            RecvError::Descriptors(error) => CloseReason::Descriptors(error.clone()),
            RecvError::Truncated => CloseReason::Truncated,
            RecvError::Cut(cut) => CloseReason::Cut(*cut),
            RecvError::Io(error) => CloseReason::Io(error.kind()),
        }
    }
}
