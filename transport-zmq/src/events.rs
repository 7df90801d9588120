//! What happens at a socket, for logs and monitoring.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use transport_core::{Address, ConnectError, Events, HandshakeError, Identity, RecvError, SendError, Source};

use crate::logic::routing::RoutingIdRefused;
use crate::peer::Peer;

/// The events of one socket, in order: a slow reader loses the oldest of 1,024 and is told so.
pub type SocketEvents = Events<SocketEvent>;

/// Something that happened at a socket: the counterpart of libzmq's socket monitor.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SocketEvent {
    /// The socket is bound.
    Listening {
        /// Where.
        address: Address,
    },
    /// A peer was authenticated and taken in.
    Connected {
        /// Who.
        peer: Peer,
    },
    /// A peer has gone, or was turned out.
    Disconnected {
        /// Who.
        peer: Peer,
        /// Why.
        reason: Disconnected,
    },
    /// A peer that wanted in failed the handshake.
    HandshakeFailed {
        /// Where the peer is.
        source: Source,
        /// Who it is, as far as the transport proved.
        identity: Option<Identity>,
        /// Why.
        reason: Arc<HandshakeError>,
    },
    /// A peer was authenticated, and this socket has no place for it.
    Rejected {
        /// Where the peer is.
        source: Source,
        /// Who.
        identity: Identity,
        /// Why.
        reason: Rejection,
    },
    /// Messages that were queued for a peer or waited for an endpoint go to nobody: the peer has gone and its place is not
    /// connected to by this socket, the endpoint was disconnected from or its error does not mend itself, or the socket was
    /// closed and has lingered long enough. Also the message that a sink had taken before there was room for it, and that was
    /// not flushed.
    Unsent {
        /// Where they were to go, if that was chosen.
        endpoint: Option<Address>,
        /// How many there were.
        messages: usize,
    },
    /// An attempt to connect failed.
    ConnectFailed {
        /// Where to.
        address: Address,
        /// Why.
        error: Arc<ConnectError>,
        /// When it is tried again; `None` when the error does not mend itself.
        retry_in: Option<Duration>,
    },
    /// Accepting failed; it is tried again.
    AcceptFailed {
        /// Where.
        address: Address,
        /// Why, such as too many open files.
        error: Arc<io::Error>,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// The socket is no longer bound.
    Unbound {
        /// Where it was.
        address: Address,
    },
}

/// Why a socket has no place for a peer that has been authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// A ROUTER does not give it the routing id that it asks for.
    #[error(transparent)]
    RoutingId(#[from] RoutingIdRefused),
    /// A PAIR has its peer already.
    #[error("the pair is complete")]
    SecondPeer,
    /// It has more subscriptions than a publisher keeps for one peer.
    #[error("it has more subscriptions than are kept for one peer")]
    TooManySubscriptions,
    /// It takes no subscriptions, and too many wait for it. It is told of them all when it is connected again.
    #[error("it takes no subscriptions")]
    TakesNoSubscriptions,
    /// A reply that is none.
    #[error("it sent a reply that is malformed")]
    MalformedReply,
    /// Its routing id was given to a new connection of the same peer.
    #[error("its routing id was handed over to a newer connection")]
    HandedOver,
}

/// Why a peer has gone.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Disconnected {
    /// It closed the connection.
    #[error("the peer closed the connection")]
    ByPeer,
    /// This side closed the connection: the socket was closed, or disconnected from it.
    #[error("the connection was closed by this side")]
    ByUs,
    /// This side turned it out.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Receiving failed: it broke the protocol or a limit, went silent, or the stream failed.
    #[error(transparent)]
    Receive(#[from] Arc<RecvError>),
    /// Sending failed.
    #[error(transparent)]
    Send(#[from] SendError),
}
