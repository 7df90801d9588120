//! A connected peer of a socket.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use transport_core::{Address, Claims, Identity, MessageRef, SendError, Sender, Source};

use crate::engine::Stage;
use crate::engine::gate::Gate;
use crate::events::Rejection;

/// A connected peer of a socket: who it has proven to be, and what it says of itself.
///
/// Cloning is cheap, and comparing asks whether it is the same connection.
#[derive(Clone)]
pub struct Peer {
    inner: Arc<Inner>,
}

struct Inner {
    /// The pipe that it uses, the same for all connections of one endpoint that is connected to, and at which stage.
    stage: Stage,
    endpoint: Address,
    source: Source,
    sender: Sender,
    gate: Gate,
    routing_id: OnceLock<Bytes>,
    cut: CancellationToken,
    rejection: OnceLock<Rejection>,
    dropped: AtomicU64,
}

impl Peer {
    pub(crate) fn new(stage: Stage, endpoint: Address, source: Source, sender: Sender, gate: Gate) -> Peer {
        let (routing_id, rejection) = (OnceLock::new(), OnceLock::new());
        let (cut, dropped) = (CancellationToken::new(), AtomicU64::new(0));
        let inner = Inner { stage, endpoint, source, sender, gate, routing_id, cut, rejection, dropped };
        Peer { inner: Arc::new(inner) }
    }

    /// Who the peer has proven to be.
    pub fn identity(&self) -> &Identity {
        self.inner.sender.identity()
    }

    /// What the peer says of itself: nothing of it is proven.
    pub fn claims(&self) -> &Claims {
        self.inner.sender.claims()
    }

    /// Where the peer is.
    pub fn source(&self) -> &Source {
        &self.inner.source
    }

    /// The endpoint of this socket through which it came.
    pub fn endpoint(&self) -> &Address {
        &self.inner.endpoint
    }

    /// The routing id that a ROUTER knows it by; empty at other sockets.
    pub fn routing_id(&self) -> &Bytes {
        static NONE: Bytes = Bytes::new();
        self.inner.routing_id.get().unwrap_or(&NONE)
    }

    /// How many messages for this peer were dropped because its queue was full.
    pub fn dropped(&self) -> u64 {
        self.inner.dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn stage(&self) -> Stage {
        self.inner.stage
    }

    pub(crate) fn pipe(&self) -> u64 {
        self.stage().pipe()
    }

    pub(crate) fn sender(&self) -> &Sender {
        &self.inner.sender
    }

    /// Sends a message if there is room; false when there is none. A peer that can no longer be sent to is cut.
    #[inline]
    pub(crate) fn try_send(&self, message: MessageRef<'_>) -> Result<bool, SendError> {
        let sent = self.sender().try_send(message);
        if matches!(&sent, Err(error) if !matches!(error, SendError::Unencodable(_))) {
            // Its task may be waiting for what the peer sends.
            self.cut();
        }
        sent
    }

    /// Whether a message can be sent to it now.
    pub(crate) fn has_room(&self) -> bool {
        self.sender().has_room().unwrap_or_else(|_| {
            // The peer's task finds out too and takes it out.
            self.cut();
            false
        })
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.inner.gate
    }

    pub(crate) fn set_routing_id(&self, id: Bytes) {
        let _given_once = self.inner.routing_id.set(id);
    }

    /// Counts a message that was dropped.
    pub(crate) fn count_dropped(&self) {
        self.inner.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends the connection; the first reason counts.
    pub(crate) fn turn_out(&self, reason: Rejection) {
        let _first_counts = self.inner.rejection.set(reason);
        self.inner.cut.cancel();
    }

    /// Ends the connection on behalf of the application.
    pub(crate) fn cut(&self) {
        self.inner.cut.cancel();
    }

    /// Ready when the connection shall end.
    pub(crate) async fn cut_off(&self) -> Option<Rejection> {
        self.inner.cut.cancelled().await;
        self.inner.rejection.get().copied()
    }
}

impl PartialEq for Peer {
    fn eq(&self, other: &Peer) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Eq for Peer {}

impl Hash for Peer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.inner).hash(state);
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("identity", self.identity())
            .field("source", &self.inner.source)
            .field("routing_id", self.routing_id())
            .finish_non_exhaustive()
    }
}
