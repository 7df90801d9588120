//! What can become of a call other than a reply.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::connection::{RecvError, SendError};
use crate::framing::UnencodableError;

/// Why there is no reply to a call.
///
/// Where it [may have been executed](CallError::may_have_been_executed), nobody here knows: calling again may do the
/// work twice.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The other side answered with an error.
    #[error("the call was answered with an error")]
    Answered(#[source] ErrorReply),
    /// No reply came in time; the other side has been told to stop.
    #[error("no reply within {0:?}, it is unknown whether the call was executed")]
    Deadline(Duration),
    /// The connection ended while the call was under way.
    #[error("the connection ended, it is unknown whether the call was executed")]
    Lost(#[source] CallsEnded),
    /// The connection had ended before, and the call was not sent.
    #[error("the call was not sent, the connection has ended")]
    NotSent(#[source] CallsEnded),
    /// The framing cannot carry the call, which was not sent.
    #[error("the call was not sent")]
    Unencodable(#[source] UnencodableError),
    /// There was no room for the call in time, since the peer takes no bytes; it was not sent.
    #[error("the call was not sent within {0:?}, the peer takes no more bytes")]
    Unsent(Duration),
    /// As many calls as are allowed are under way, and this one was not sent.
    #[error("the call was not sent, {0} calls are under way and no more are allowed")]
    TooMany(usize),
}

impl CallError {
    /// Whether the other side may have done what was asked: in part, in whole, or later.
    pub fn may_have_been_executed(&self) -> bool {
        matches!(self, CallError::Answered(_) | CallError::Deadline(_) | CallError::Lost(_))
    }
}

/// Why no calls can be made over a connection any more.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallsEnded {
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    Closed,
    /// Receiving failed.
    #[error(transparent)]
    Recv(Arc<RecvError>),
    /// Sending failed.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The peer broke the protocol of calls.
    #[error(transparent)]
    Protocol(#[from] CallProtocolError),
}

impl From<RecvError> for CallsEnded {
    fn from(error: RecvError) -> CallsEnded {
        CallsEnded::Recv(Arc::new(error))
    }
}

/// How the peer broke the protocol of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallProtocolError {
    /// The first part is no head.
    #[error("the first part of a call is 9 bytes, the peer sent {found}")]
    HeadLength {
        /// Its length.
        found: usize,
    },
    /// The head says something unknown.
    #[error("the peer sent a call message of the unknown kind {found}")]
    Kind {
        /// What it says.
        found: u8,
    },
    /// A reply came to the side that answers.
    #[error("the peer sent a reply, and this side makes no calls")]
    Unasked,
    /// A call came to the side that calls.
    #[error("the peer sent a call, and this side answers none")]
    NotCalled,
    /// A cancellation with something behind its head.
    #[error("the peer sent a cancellation of several parts")]
    CancelParts,
    /// Two calls under way with the same id.
    #[error("the peer sent a call with the id of another one that is under way")]
    IdInUse,
}

/// A reply that says that the call failed.
///
/// The name is for programs, the text for people. Both come from the peer: nothing in them is proven.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub struct ErrorReply {
    pub(super) name: String,
    pub(super) text: String,
}

impl ErrorReply {
    /// The handler of the call panicked; its message stays where it was.
    pub const PANICKED: &'static str = "panicked";
    /// The framing cannot carry the reply.
    pub const UNENCODABLE: &'static str = "unencodable";

    /// An error reply.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> ErrorReply {
        ErrorReply { name: name.into(), text: text.into() }
    }

    /// What went wrong, in a word.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What went wrong, in a sentence.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Printed escaped: a peer cannot forge a line of a log.
impl fmt::Display for ErrorReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name.escape_debug(), self.text.escape_debug())
    }
}

impl fmt::Debug for ErrorReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ErrorReply").field(&self.name).field(&self.text).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reply_cannot_forge_a_log_line() {
        assert_eq!(ErrorReply::new("a\nb", "c\r").to_string(), "a\\nb: c\\r");
    }
}
