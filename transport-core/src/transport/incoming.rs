//! A stream with what is known about its other end.

use std::fmt;

use super::{BoxFuture, BoxStream, Source, TransportError};
use crate::claims::Claims;
use crate::evidence::Evidence;

/// An open stream and what is known about its other end.
pub struct Established {
    /// The stream.
    pub stream: BoxStream,
    /// What the transport proved.
    pub evidence: Evidence,
    /// What the peer said of itself to the transport, such as the server name in TLS.
    pub claims: Claims,
    /// Where the peer is.
    pub source: Source,
}

impl fmt::Debug for Established {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Established")
            .field("source", &self.source)
            .field("evidence", &self.evidence)
            .finish_non_exhaustive()
    }
}

/// A stream that a [`Listener`](super::Listener) took in.
pub enum Incoming {
    /// It is ready.
    Established(Established),
    /// The transport has a handshake of its own to do first.
    Handshake {
        /// Where the peer is.
        source: Source,
        /// Does the handshake.
        opening: BoxFuture<'static, Result<Established, TransportError>>,
    },
}

impl Incoming {
    /// Where the peer is.
    pub fn source(&self) -> &Source {
        match self {
            Incoming::Established(established) => &established.source,
            Incoming::Handshake { source, .. } => source,
        }
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("source", self.source()).finish_non_exhaustive()
    }
}
