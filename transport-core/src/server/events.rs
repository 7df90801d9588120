//! What happens at a server, for logs and monitoring.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::events::Events;
use crate::handshake::HandshakeError;
use crate::identity::Identity;
use crate::transport::Source;

/// Something that happened at a [`Server`](crate::Server).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ServerEvent {
    /// A peer was authenticated and allowed.
    Accepted {
        /// Where it is.
        source: Source,
        /// Who it is.
        identity: Identity,
    },
    /// A peer was turned away.
    Refused {
        /// Where it is.
        source: Source,
        /// Who it is, as far as the transport proved; `None` when it gave way or was too slow.
        identity: Option<Identity>,
        /// Why.
        reason: Arc<HandshakeError>,
    },
    /// Accepting failed; the server waits and tries again.
    AcceptFailed {
        /// Why, such as too many open files.
        error: Arc<io::Error>,
        /// When it tries again.
        retry_in: Duration,
    },
    /// The server stopped accepting.
    Stopped,
}

/// The events of one server, in order.
pub type ServerEvents = Events<ServerEvent>;

pub(super) const EVENTS_KEPT: usize = 1024;
