//! ROUTER: receives from all, and sends to whom a routing id names (RFC 28/REQREP).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use transport_core::framing::zmtp::SocketType;
use transport_core::{Batch, Claims, Identity, Message, MessageRef, SendError, Transports};

use crate::config::SocketConfig;
use crate::engine::{Hub, Incoming, Owner, Pattern, Turn, send_to};
use crate::events::Rejection;
use crate::logic::routing::{Handover, RoutingTable};
use crate::peer::Peer;
use crate::proxy::{Inlet, Outlet};

/// Receives from its peers in turns and knows who sent each message; sends to the peer that a routing id names. Its peers
/// are REQ, DEALER and ROUTER sockets.
///
/// A peer may say which routing id it wants; one that is in use stays with its owner, see [`Handover`]. Who does not say
/// gets one.
///
/// # Examples
///
/// ```
/// # use transport_core::{Policy, Transports, mem::MemTransport};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let transports = Transports::new().with(MemTransport::new());
/// use transport_zmq::{DealerSocket, RouterSocket, SocketConfig};
///
/// let config = SocketConfig::new(Policy::same_process());
/// let mut router = RouterSocket::new(&transports, config.clone());
/// let mut dealer = DealerSocket::new(&transports, config.with_routing_id("worker-1")?);
/// router.bind("inproc://broker").await?;
/// dealer.connect("inproc://broker")?;
///
/// dealer.send("ready").await?;
/// let (message, peer) = router.recv().await;
/// assert_eq!((message.to_text(), &peer.routing_id()[..]), (Some("ready"), &b"worker-1"[..]));
/// assert_eq!(peer.identity().to_string(), "process");
///
/// router.send_to(b"worker-1", "job").await?;
/// assert_eq!(dealer.recv().await.to_text(), Some("job"));
/// # Ok(())
/// # }
/// ```
pub struct RouterSocket {
    hub: Owner,
    incoming: Incoming,
    routes: Arc<Routes>,
    mandatory: bool,
    turn: Turn,
}

/// Why a message was not sent to a peer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// No peer that is connected now has this routing id.
    #[error("no peer has the routing id {}", .routing_id.escape_ascii())]
    NoSuchPeer {
        /// The routing id.
        routing_id: Bytes,
    },
    /// The message has only the routing id, and nothing to send.
    #[error("the message has a routing id and nothing else")]
    NoBody,
    /// The peer cannot be sent to.
    #[error("the peer cannot be sent to")]
    Peer(#[source] SendError),
}

impl RouterSocket {
    /// A socket without endpoints. Must be called within a tokio runtime.
    pub fn new(transports: &Transports, config: SocketConfig) -> RouterSocket {
        let routes = Arc::new(Routes::new(Handover::default()));
        let hub = Hub::new(transports, config, SocketType::Router, Arc::clone(&routes) as Arc<dyn Pattern>);
        RouterSocket {
            incoming: Incoming::new(Arc::clone(&hub)),
            hub: Owner::new(hub),
            routes,
            mandatory: true,
            turn: Turn::default(),
        }
    }

    /// Says what happens when a peer asks for a routing id that is in use. Default: [`Handover::Never`].
    #[must_use]
    pub fn with_handover(self, handover: Handover) -> RouterSocket {
        self.routes.table().set_handover(handover);
        self
    }

    /// Drops messages to peers that are not there or have no room, rather than to fail or wait; they are counted. Sending
    /// only lets the connections write now and then. Default: false.
    #[must_use]
    pub fn with_drop(mut self, drop: bool) -> RouterSocket {
        self.mandatory = !drop;
        self
    }

    /// Receives the next message, and tells who sent it.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    #[inline]
    pub async fn recv(&mut self) -> (Message, Peer) {
        let message = self.incoming.recv().await;
        (message, self.incoming.sender_of_last())
    }

    /// The next message and who sent it, if one has arrived.
    #[inline]
    pub fn try_recv(&mut self) -> Option<(Message, Peer)> {
        let message = self.incoming.try_recv()?;
        Some((message, self.incoming.sender_of_last()))
    }

    /// Shows the messages of one peer that have arrived together to `visit`; see
    /// [`PullSocket::recv_each`](crate::PullSocket::recv_each).
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn recv_each(&mut self, visit: impl FnMut(MessageRef<'_>, &Peer)) -> usize {
        self.incoming.recv_each(visit).await
    }

    /// Receives the next message as ZeroMQ has it: behind the routing id of its sender.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn recv_routed(&mut self) -> Message {
        let (message, peer) = self.recv().await;
        behind_sender(message, &peer)
    }

    /// Sends a message to the peer with this routing id; waits for room.
    ///
    /// # Errors
    ///
    /// See [`RouteError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the message goes out as a whole or not at all.
    #[inline]
    pub async fn send_to(
        &mut self,
        routing_id: &[u8],
        message: impl Into<MessageRef<'_>>,
    ) -> Result<(), RouteError> {
        match self.routes.peer(routing_id) {
            Some(peer) => self.send_to_peer(&peer, message).await,
            None if self.mandatory => {
                Err(RouteError::NoSuchPeer { routing_id: Bytes::copy_from_slice(routing_id) })
            }
            None => {
                self.take_turn(message.into()).await;
                self.hub.count_dropped();
                Ok(())
            }
        }
    }

    /// Sends a message to a peer, such as the one that sent the last message; waits for room.
    ///
    /// # Errors
    ///
    /// See [`RouteError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the message goes out as a whole or not at all.
    #[inline]
    pub async fn send_to_peer(
        &mut self,
        peer: &Peer,
        message: impl Into<MessageRef<'_>>,
    ) -> Result<(), RouteError> {
        let message = message.into();
        if self.mandatory {
            return send_to(&self.hub, peer, message).await.map_err(RouteError::Peer);
        }
        self.take_turn(message).await;
        if !peer.try_send(message).unwrap_or(false) {
            peer.count_dropped();
            self.hub.count_dropped();
        }
        Ok(())
    }

    /// Sends a message as ZeroMQ has it: its first part is the routing id of the peer, which gets the others.
    ///
    /// # Errors
    ///
    /// See [`RouteError`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the message goes out as a whole or not at all.
    pub async fn send_routed(&mut self, message: Message) -> Result<(), RouteError> {
        let (routing_id, rest) = MessageRef::from(&message).split_first();
        self.send_to(routing_id, rest.ok_or(RouteError::NoBody)?).await
    }

    /// Who never waits for room lets others write and read now and then, or a burst would be dropped for peers that take it:
    /// after as many messages as one that receives takes in a row, or after a turn's bytes.
    async fn take_turn(&mut self, message: MessageRef<'_>) {
        tokio::task::coop::consume_budget().await;
        self.turn.next().await;
        self.turn.count(message);
    }

    /// The peer that has this routing id now.
    pub fn peer(&self, routing_id: &[u8]) -> Option<Peer> {
        self.routes.peer(routing_id)
    }

    /// How many messages were dropped, see [`with_drop`](RouterSocket::with_drop).
    pub fn dropped(&self) -> u64 {
        self.hub.dropped()
    }
}

/// A message as ZeroMQ has it: behind the routing id of its sender.
pub(crate) fn behind_sender(message: Message, sender: &Peer) -> Message {
    std::iter::once(sender.routing_id().clone()).chain(message.into_parts()).collect()
}

/// The routing id that a peer asks for; empty when it asks for none.
fn claimed_id(claims: &Claims) -> &[u8] {
    claims.value("Identity").unwrap_or_default()
}

/// Which peer has which routing id.
pub(crate) struct Routes(Mutex<RoutingTable<Peer>>);

impl Routes {
    fn new(handover: Handover) -> Routes {
        let mut start = [0; 4];
        // What cannot be random is only easier to guess, and an id gives no rights.
        let _zero_then = getrandom::fill(&mut start);
        Routes(Mutex::new(RoutingTable::new(handover, u32::from_be_bytes(start))))
    }

    pub(crate) fn peer(&self, routing_id: &[u8]) -> Option<Peer> {
        self.table().peer(routing_id).cloned()
    }

    fn table(&self) -> MutexGuard<'_, RoutingTable<Peer>> {
        // Held for single operations of the table only.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pattern for Routes {
    fn place_for(&self, identity: &Identity, claims: &Claims) -> Result<(), Rejection> {
        Ok(self.table().check(claimed_id(claims), identity)?)
    }

    fn admit(&self, peer: &Peer) -> Result<(), Rejection> {
        let mut table = self.table();
        let id = table.find(claimed_id(peer.claims()), peer.identity())?;
        peer.set_routing_id(id.clone());
        let before = table.take(id, peer.clone(), peer.identity().clone());
        drop(table);
        if let Some(before) = before {
            before.turn_out(Rejection::HandedOver);
        }
        Ok(())
    }

    fn left(&self, peer: &Peer) -> Batch {
        self.table().remove(peer.routing_id(), peer);
        Batch::new()
    }
}

common!(RouterSocket);
proxying!(RouterSocket: |socket| Inlet::Routed(socket.incoming), Outlet::Routed(socket.routes));
