//! Why a handshake failed.

use std::io;
use std::time::Duration;

use super::protection::UnprotectedError;
use crate::framing::FramingError;
use crate::mechanism::{DENIED, Refusal};
use crate::policy::Denied;
use crate::transport::TransportError;

/// Why a peer did not become a [`Connection`](crate::Connection).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer is not whom the policy allows.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The policy allows the peer, and there is no place for it now: see [`Listen::admission`](crate::Listen::admission).
    #[error("there is no place for the peer")]
    NoPlace(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The peer failed the mechanism.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// The peer refused this side.
    #[error("the peer refused this side: {}{}", crate::identity::Printable(.reason), explain(.reason))]
    RefusedByPeer {
        /// The reason that it gave, often only a status code such as 400.
        reason: String,
    },
    /// The peer wants a mechanism that this side does not have.
    #[error("the peer wants the mechanism {}, this side has {allowed}", crate::identity::Printable(.offered))]
    Mechanism {
        /// What the peer named.
        offered: String,
        /// What this side has.
        allowed: String,
    },
    /// The stream is too weakly protected for the mechanism.
    #[error(transparent)]
    Unprotected(#[from] UnprotectedError),
    /// The peer broke the framing's protocol or a limit.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// The peer sent more frames than the limit before it was authenticated.
    #[error("the peer sent more than {limit} frames before it was authenticated")]
    TooManyFrames {
        /// The limit.
        limit: usize,
    },
    /// The peer was not authenticated in time.
    #[error("the peer was not authenticated within {0:?}")]
    Deadline(Duration),
    /// The peer closed the stream.
    #[error(
        "the peer closed the stream before it was authenticated: it may want another mechanism, not let this side in, or have no place for it"
    )]
    Closed,
    /// The handshake gave way to newer ones: too many were under way, most of them from this peer's source.
    #[error("gave way to newer handshakes: too many were under way")]
    Evicted,
    /// The transport's own handshake failed.
    #[error(transparent)]
    Transport(TransportError),
    /// Reading or writing failed.
    #[error("the stream failed during the handshake")]
    Io(#[source] io::Error),
}

impl HandshakeError {
    /// The reason in a word, as a label for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            HandshakeError::Denied(_) => "denied",
            HandshakeError::NoPlace(_) => "no_place",
            HandshakeError::Refusal(_) => "mechanism_failed",
            HandshakeError::RefusedByPeer { .. } => "refused_by_peer",
            HandshakeError::Mechanism { .. } => "mechanism_unknown",
            HandshakeError::Unprotected(_) => "unprotected",
            HandshakeError::Framing(_) => "violation",
            HandshakeError::TooManyFrames { .. } => "too_many_frames",
            HandshakeError::Deadline(_) => "deadline",
            HandshakeError::Closed => "peer_closed",
            HandshakeError::Evicted => "evicted",
            HandshakeError::Transport(_) => "transport",
            HandshakeError::Io(_) => "io",
        }
    }
}

/// A peer is denied by the policy wherever it was asked.
impl From<TransportError> for HandshakeError {
    fn from(error: TransportError) -> HandshakeError {
        match error {
            TransportError::Denied(denied) => HandshakeError::Denied(denied),
            error => HandshakeError::Transport(error),
        }
    }
}

/// A peer that closes while something is still on its way to it shows as a reset or a broken pipe, by chance.
impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> HandshakeError {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        match error.kind() {
            BrokenPipe | ConnectionReset | UnexpectedEof => HandshakeError::Closed,
            _ => HandshakeError::Io(error),
        }
    }
}

/// What the status codes of RFC 27/ZAP mean.
fn explain(reason: &str) -> &'static str {
    match reason {
        DENIED => " (it does not let this side in)",
        "300" => " (not now, try again later)",
        "500" => " (its authentication failed to work)",
        _ => "",
    }
}
