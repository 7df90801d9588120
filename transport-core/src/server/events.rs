//! What happens at a server, for logs and monitoring.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::connection::{Closed, ConnectionId, Traffic};
use crate::events::{EventSender, Events, event_names};
use crate::handshake::HandshakeError;
use crate::identity::Identity;
use crate::transport::Source;

/// Something that happened at a [`Server`](crate::Server).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ServerEvent {
    /// A peer was authenticated and allowed.
    Accepted {
        /// The connection, until it is [`Closed`](ServerEvent::Closed).
        connection: ConnectionId,
        /// Where it is.
        source: Source,
        /// Who it is.
        identity: Identity,
    },
    /// A peer was turned away.
    Refused {
        /// Where it is.
        source: Source,
        /// Who it is, as far as the transport proved; `None` when it gave way, was too slow, or was refused in the transport's own
        /// handshake.
        identity: Option<Identity>,
        /// Why.
        reason: Arc<HandshakeError>,
    },
    /// A connection that was accepted is over: all of it has been dropped, whether it was split, taken apart, or never
    /// handed over.
    ///
    /// It can come after [`Stopped`](ServerEvent::Stopped): the events end when the last connection has ended.
    Closed(Arc<Closed>),
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

event_names! {
    ServerEvent:
    Accepted "accepted",
    Refused "refused",
    Closed "closed",
    AcceptFailed "accept_failed",
    Stopped "stopped",
}

/// The events of one server, in order.
pub type ServerEvents = Events<ServerEvent>;

pub(super) const EVENTS_KEPT: usize = 1024;

/// Tells events to whoever listens, to the program's log, and to its metrics.
#[derive(Clone)]
pub(super) struct Teller {
    pub(super) events: EventSender<ServerEvent>,
    /// Where the server listens.
    #[cfg(feature = "metrics")]
    listener: Arc<str>,
}

impl Teller {
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "a label of metrics"))]
    pub(super) fn new(events: EventSender<ServerEvent>, listener: &Address) -> Teller {
        Teller {
            events,
            #[cfg(feature = "metrics")]
            listener: listener.to_string().into(),
        }
    }

    pub(super) fn tell(&self, event: ServerEvent) {
        log(&event);
        #[cfg(feature = "metrics")]
        crate::metrics::of_server(&self.listener, &event);
        self.events.tell(event);
    }
}

/// Writes an event to the program's log.
fn log(event: &ServerEvent) {
    match event {
        ServerEvent::Accepted { connection, source, identity } => {
            tracing::debug!(%connection, %source, %identity, "peer accepted");
        }
        ServerEvent::Refused { source, identity, reason } => {
            let identity = identity.as_ref().map(tracing::field::display);
            tracing::info!(%source, identity, %reason, "peer refused");
        }
        ServerEvent::Closed(closed) => {
            let Closed { connection, source, identity, reason, traffic, lasted } = &**closed;
            let Traffic { messages_in, messages_out, bytes_in, bytes_out } = traffic;
            tracing::debug!(
                %connection, %source, %identity, %reason, ?lasted, messages_in, messages_out, bytes_in, bytes_out,
                "connection closed"
            );
        }
        ServerEvent::AcceptFailed { error, .. } => tracing::warn!(%error, "cannot accept"),
        ServerEvent::Stopped => tracing::debug!("server stopped"),
    }
}
