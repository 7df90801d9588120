//! What happens at a server, for logs and monitoring.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

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
///
/// At most 1,024 events wait: a reader that is slower loses the oldest, and is told how many.
pub struct ServerEvents {
    receiver: broadcast::Receiver<ServerEvent>,
}

/// An event, or how many were lost.
#[derive(Clone, Debug)]
pub enum EventOrGap {
    /// An event.
    Event(ServerEvent),
    /// So many events were dropped, because this reader was too slow.
    Gap(u64),
}

impl ServerEvents {
    pub(super) fn new(receiver: broadcast::Receiver<ServerEvent>) -> ServerEvents {
        ServerEvents { receiver }
    }

    /// The next event; `None` when the server is gone. Gaps are passed over: [`next`](ServerEvents::next) shows them.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn recv(&mut self) -> Option<ServerEvent> {
        loop {
            if let EventOrGap::Event(event) = self.next().await? {
                return Some(event);
            }
        }
    }

    /// The next event, or how many were lost; `None` when the server is gone.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<EventOrGap> {
        match self.receiver.recv().await {
            Ok(event) => Some(EventOrGap::Event(event)),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(EventOrGap::Gap(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl fmt::Debug for ServerEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerEvents")
    }
}

pub(super) const EVENTS_KEPT: usize = 1024;
