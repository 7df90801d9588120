//! What happens at a client, and what it is doing now.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::GaveUp;
use crate::address::Address;
use crate::connect::ConnectError;
use crate::connection::{RecvError, SendError};
use crate::events::{Events, event_names};
use crate::framing::UnencodableError;
use crate::identity::Identity;
use crate::transport::Source;

/// Something that happened at a [`Client`](super::Client).
///
/// ```text
/// Connecting -> Connected -> Disconnected -> Waiting -> Connecting ...        in the end
///            -> ConnectFailed -> Waiting -> Connecting ...                    Closed or GaveUp
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientEvent {
    /// An attempt begins.
    Connecting {
        /// Where to.
        address: Address,
    },
    /// An attempt failed.
    ConnectFailed {
        /// Where to.
        address: Address,
        /// Why.
        error: Arc<ConnectError>,
        /// Whether the address will be tried again; if not, the error does not mend itself.
        again: bool,
    },
    /// There is a connection.
    Connected {
        /// Which address it is to.
        address: Address,
        /// Where the server is.
        source: Source,
        /// Who the server is.
        identity: Identity,
    },
    /// The connection has ended.
    Disconnected {
        /// Why.
        reason: Disconnect,
        /// How long it lasted.
        lasted: Duration,
        /// Messages received on it.
        received: u64,
        /// Messages handed over on it, as a whole or in part, without proof that they arrived. They are not sent
        /// again. An answer to a ping proves that those before it have arrived.
        may_be_lost: u64,
        /// Messages that wait to be sent on the next one.
        kept: usize,
    },
    /// Nothing is tried for a while.
    Waiting {
        /// How long.
        time: Duration,
    },
    /// A message was dropped because the framing cannot carry it.
    Unencodable {
        /// Why.
        error: UnencodableError,
    },
    /// The client has ended by itself.
    GaveUp {
        /// Why.
        error: GaveUp,
        /// Messages that were not sent.
        unsent: usize,
    },
    /// This side closed the client.
    Closed {
        /// Messages that were not sent.
        unsent: usize,
    },
}

event_names! {
    ClientEvent:
    Connecting "connecting",
    ConnectFailed "connect_failed",
    Connected "connected",
    Disconnected "disconnected",
    Waiting "waiting",
    Unencodable "unencodable",
    GaveUp "gave_up",
    Closed "closed",
}

/// The events of one client, in order.
pub type ClientEvents = Events<ClientEvent>;

/// Why a connection of a client has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Disconnect {
    /// The server closed it.
    ByServer,
    /// Receiving failed.
    Receiving(Arc<RecvError>),
    /// Sending failed.
    Sending(SendError),
    /// This side closed the client.
    ByThisSide,
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Disconnect::ByServer => f.write_str("the server closed the connection"),
            Disconnect::Receiving(error) => error.fmt(f),
            Disconnect::Sending(error) => error.fmt(f),
            Disconnect::ByThisSide => f.write_str("this side closed the connection"),
        }
    }
}

/// What a [`Client`](super::Client) is doing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientState {
    /// It connects.
    Connecting {
        /// Where to.
        address: Address,
    },
    /// It is connected.
    Connected {
        /// Which address it is connected to.
        address: Address,
        /// Who the server is.
        identity: Identity,
    },
    /// It waits before the next attempt.
    Waiting {
        /// Until when.
        until: Instant,
    },
    /// It was closed by this side.
    Closed,
    /// It gave up.
    GaveUp(GaveUp),
}

impl ClientState {
    /// Whether there is a connection now.
    pub fn is_connected(&self) -> bool {
        matches!(self, ClientState::Connected { .. })
    }

    /// Whether the client has ended.
    pub fn is_ended(&self) -> bool {
        matches!(self, ClientState::Closed | ClientState::GaveUp(_))
    }
}

/// Writes an event to the program's log.
pub(super) fn log(event: &ClientEvent) {
    match event {
        ClientEvent::Connecting { address } => tracing::debug!(%address, "connecting"),
        ClientEvent::ConnectFailed { address, error, again: true } => {
            tracing::info!(%address, error = %Chain(error), "cannot connect, will try again");
        }
        ClientEvent::ConnectFailed { address, error, again: false } => {
            tracing::warn!(%address, error = %Chain(error), "cannot connect, and trying again is of no use");
        }
        ClientEvent::Connected { address, identity, .. } => tracing::debug!(%address, %identity, "connected"),
        ClientEvent::Disconnected { reason, may_be_lost, kept, .. } => {
            tracing::info!(%reason, may_be_lost, kept, "disconnected");
        }
        ClientEvent::Waiting { time } => tracing::debug!(?time, "waiting before the next attempt"),
        ClientEvent::Unencodable { error } => tracing::warn!(%error, "message dropped"),
        ClientEvent::GaveUp { error, unsent } => tracing::warn!(%error, unsent, "client gave up"),
        ClientEvent::Closed { unsent } => tracing::debug!(unsent, "client closed"),
    }
}

/// An error with its causes in one line.
struct Chain<'a>(&'a ConnectError);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut error: &dyn std::error::Error = self.0;
        write!(f, "{error}")?;
        while let Some(cause) = error.source() {
            write!(f, ": {cause}")?;
            error = cause;
        }
        Ok(())
    }
}

/// So many events wait for a slow reader.
pub(super) const EVENTS_KEPT: usize = 1024;
