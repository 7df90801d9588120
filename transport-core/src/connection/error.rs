//! What can go wrong on an authenticated connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::descriptors::DescriptorError;
use crate::framing::{FramingError, UnencodableError};

/// Why a message could not be sent.
///
/// After any of these but [`Unencodable`](SendError::Unencodable) and [`Descriptors`](SendError::Descriptors) the connection is of no more use for sending, and it
/// is unknown how many of the messages sent before have arrived.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The framing cannot carry this message; nothing of it was sent, and the connection goes on.
    #[error(transparent)]
    Unencodable(#[from] UnencodableError),
    /// The descriptors cannot go with this message; nothing of it was sent, and the connection goes on.
    #[error(transparent)]
    Descriptors(#[from] DescriptorError),
    /// The peer took no byte for this long.
    #[error("the peer took no byte for {0:?}")]
    Stalled(Duration),
    /// This side closed the connection: the server is shutting down, or needed the room.
    #[error("the connection was closed by this side: {0}")]
    Cut(Cut),
    /// Writing failed.
    #[error("cannot write to the peer")]
    Io(#[source] Arc<io::Error>),
}

/// Why a message could not be received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// The peer broke the framing's protocol or a limit, or went silent.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// The peer sent more descriptors with a message than this side takes.
    #[error("the peer broke the agreement on descriptors")]
    Descriptors(#[source] DescriptorError),
    /// The stream ended in the middle of a message, which is dropped.
    #[error("the stream ended in the middle of a message")]
    Truncated,
    /// This side closed the connection: the server is shutting down, or needed the room.
    #[error("the connection was closed by this side: {0}")]
    Cut(Cut),
    /// Reading failed.
    #[error("cannot read from the peer")]
    Io(#[source] io::Error),
}

/// Why this side closed a connection that its application still used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cut {
    /// The server stopped, and its time to finish was over.
    #[error("the server stopped")]
    Stopped,
    /// The listener's budget of unread bytes was used up, and this connection held most of them.
    #[error("it held most of the listener's unread bytes")]
    Unread,
}

impl From<io::Error> for SendError {
    fn from(error: io::Error) -> SendError {
        SendError::Io(Arc::new(error))
    }
}

/// The task that works on the connection has ended before its time.
pub(crate) fn runtime_ended() -> SendError {
    std::io::Error::other("the runtime in which this side works on the connection has ended").into()
}

/// Nothing is sent any more because this side wanted it so.
pub(super) fn closed() -> SendError {
    std::io::Error::new(std::io::ErrorKind::BrokenPipe, "the outgoing direction was closed").into()
}
