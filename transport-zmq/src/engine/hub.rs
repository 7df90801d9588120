//! What the application's end of a socket, its endpoints and its peers share.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use transport_core::framing::zmtp::{SocketType, Zmtp};
use transport_core::{
    Address, AddressError, Backoff, Connect, ConnectError, Connection, Limits, Listen, ListenError,
    SenderGroup, Server, ServerEvent, ServerEvents, ServerHandle, Transports, UnknownScheme,
};

use super::inbox::Inbox;
use super::link;
use super::pattern::Pattern;
use super::pipes::{Pipe, Pipes, WaitQueue};
use super::stage::Stage;
use crate::config::{Security, SocketConfig};
use crate::endpoint::Endpoint;
use crate::events::{SocketEvent, SocketEvents};
use crate::peer::Peer;
use transport_core::EventSender;

/// The middle of a socket.
pub(crate) struct Hub {
    pub(crate) config: SocketConfig,
    socket_type: SocketType,
    transports: Transports,
    pub(crate) pattern: Arc<dyn Pattern>,
    /// Whether messages to an endpoint wait until it is connected.
    waits_for_connections: bool,
    pub(crate) group: SenderGroup,
    pub(crate) pipes: Pipes,
    pub(crate) inbox: Inbox,
    events: EventSender<SocketEvent>,
    first_events: Mutex<Option<SocketEvents>>,
    endpoints: Mutex<Vec<Bound>>,
    next_id: AtomicU64,
    /// Messages that no peer got, or that one did not get.
    dropped: AtomicU64,
    tasks: TaskTracker,
    /// Where the socket was made: it may be used and dropped on threads without one.
    runtime: Handle,
    /// The socket is closing: what is queued goes out, and then everything ends.
    pub(crate) closing: CancellationToken,
    /// The time for that is over.
    pub(crate) over: CancellationToken,
}

/// What the application holds of a socket: when it is dropped, the socket closes.
pub(crate) struct Owner {
    hub: Arc<Hub>,
}

impl Owner {
    pub(crate) fn new(hub: Arc<Hub>) -> Owner {
        Owner { hub }
    }
}

impl Deref for Owner {
    type Target = Arc<Hub>;

    fn deref(&self) -> &Arc<Hub> {
        &self.hub
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.hub.start_closing();
    }
}

/// An endpoint that the socket is bound to or connected to.
struct Bound {
    address: Address,
    /// As it was asked for, before a port was chosen.
    asked: Address,
    kind: BoundKind,
}

enum BoundKind {
    Listening(ServerHandle),
    Connecting { stop: CancellationToken, pipe: u64 },
}

/// Why a socket is not bound or connected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The address cannot be read.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// There is no transport for its scheme.
    #[error(transparent)]
    Scheme(#[from] UnknownScheme),
    /// Listening failed.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The socket is neither bound nor connected there.
    #[error("the socket is not at {address}")]
    NotThere {
        /// Where it is not.
        address: Address,
    },
}

impl Hub {
    pub(crate) fn new(
        transports: &Transports,
        mut config: SocketConfig,
        socket_type: SocketType,
        pattern: Arc<dyn Pattern>,
    ) -> Arc<Hub> {
        let (events, first_events) = SocketEvents::channel(EVENTS_KEPT);
        use SocketType::{Dealer, Pair, Pub, Pull, Push, Req, Sub};
        let waits = matches!(socket_type, Push | Dealer | Req | Pair);
        // Elsewhere one message is not in the place of another: subscriptions, requests, messages to several peers.
        config.conflate &= matches!(socket_type, Push | Pull | Pub | Sub | Dealer | Pair);
        Arc::new(Hub {
            waits_for_connections: waits && !config.immediate,
            inbox: Inbox::new(config.limits.unread_per_listener),
            config,
            socket_type,
            transports: transports.clone(),
            pattern,
            group: SenderGroup::new(),
            pipes: Pipes::default(),
            events,
            first_events: Mutex::new(Some(first_events)),
            endpoints: Mutex::default(),
            next_id: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            closing: CancellationToken::new(),
            over: CancellationToken::new(),
        })
    }

    /// Binds, and tells where.
    pub(crate) async fn bind(
        self: &Arc<Hub>,
        endpoint: Endpoint,
        security: &Security,
    ) -> Result<Address, EndpointError> {
        let asked = endpoint.into_address()?;
        let mut listen = Listen::new(&self.transports, asked.clone())
            .policy(security.policy.clone())
            .framing(self.framing())
            .limits(self.limits());
        for mechanism in &security.accepting {
            listen = listen.mechanism(Arc::clone(mechanism));
        }
        if security.danger_plaintext {
            listen = listen.danger_plaintext();
        }
        let mut server = listen.start().await?;
        let address = server.local_address().clone();
        let kind = BoundKind::Listening(server.handle());
        self.endpoints().push(Bound { address: address.clone(), asked, kind });
        self.tell(SocketEvent::Listening { address: address.clone() });
        let events = server.events();
        self.tasks.spawn(Arc::clone(self).pass_events_on(events, address.clone()));
        self.tasks.spawn(Arc::clone(self).accept(server, address.clone()));
        Ok(address)
    }

    /// Starts to connect, and to connect again whenever the connection is lost.
    pub(crate) fn connect(
        self: &Arc<Hub>,
        endpoint: Endpoint,
        security: &Security,
    ) -> Result<Address, EndpointError> {
        let address = endpoint.into_address()?;
        self.transports.lookup(address.scheme())?;
        let (stop, pipe) = (self.closing.child_token(), self.new_id());
        let kind = BoundKind::Connecting { stop: stop.clone(), pipe };
        self.endpoints().push(Bound { address: address.clone(), asked: address.clone(), kind });
        if self.waits_for_connections {
            let stage = Stage::first(pipe, self.new_id());
            self.put_pipe(Pipe::Waiting(Arc::new(WaitQueue::new(stage, self.config.send_mark))));
        }
        let task = Arc::clone(self).keep_connected(address.clone(), security.clone(), pipe, stop);
        self.tasks.spawn_on(task, &self.runtime);
        Ok(address)
    }

    /// Stops accepting at an address; peers that came through it stay.
    pub(crate) async fn unbind(&self, endpoint: Endpoint) -> Result<(), EndpointError> {
        let address = endpoint.into_address()?;
        let bound = self.take_endpoint(&address, |kind| matches!(kind, BoundKind::Listening(_)))?;
        if let BoundKind::Listening(server) = bound.kind {
            server.retire().await;
            self.tell(SocketEvent::Unbound { address: bound.address });
        }
        Ok(())
    }

    /// Stops connecting to an address and closes the connection; what waits for it is dropped.
    pub(crate) fn disconnect(&self, endpoint: Endpoint) -> Result<(), EndpointError> {
        let address = endpoint.into_address()?;
        let bound = self.take_endpoint(&address, |kind| matches!(kind, BoundKind::Connecting { .. }))?;
        if let BoundKind::Connecting { stop, pipe } = bound.kind {
            stop.cancel();
            for peer in self.pipes.peers().iter().filter(|peer| peer.pipe() == pipe) {
                peer.cut();
            }
            // At once: nothing more is sent there while the connection ends.
            self.forget_pipe(pipe, &bound.address);
        }
        Ok(())
    }

    /// The events from now on; of the first call, from the start.
    pub(crate) fn events(&self) -> SocketEvents {
        let first = self.first_events.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| self.events.subscribe())
    }

    pub(crate) fn tell(&self, event: SocketEvent) {
        match &event {
            SocketEvent::HandshakeFailed { source, reason, .. } => {
                tracing::info!(%source, %reason, "peer refused")
            }
            SocketEvent::Rejected { source, reason, .. } => tracing::info!(%source, %reason, "peer rejected"),
            SocketEvent::ConnectFailed { address, error, .. } => {
                tracing::info!(%address, %error, "cannot connect")
            }
            SocketEvent::AcceptFailed { address, error, .. } => {
                tracing::warn!(%address, %error, "cannot accept")
            }
            SocketEvent::Unsent { endpoint, messages } => tracing::info!(%endpoint, messages, "not sent"),
            other => tracing::debug!(event = ?other, "socket"),
        }
        self.events.tell(event);
    }

    /// Ends the socket: what is queued goes out for as long as the socket lingers.
    pub(crate) async fn close(&self) {
        self.start_closing();
        self.tasks.wait().await;
    }

    /// As `close`, in the background.
    pub(crate) fn start_closing(&self) {
        if self.closing.is_cancelled() {
            return;
        }
        let linger = self.config.linger;
        self.closing.cancel();
        self.tasks.close();
        if linger.is_zero() {
            self.over.cancel();
            return;
        }
        let (over, tasks) = (self.over.clone(), self.tasks.clone());
        // When it has ended there are no tasks any more either.
        self.runtime.spawn(async move {
            let _lingering = tokio::time::timeout(linger, tasks.wait()).await;
            over.cancel();
        });
    }

    /// The list of pipes has changed: whoever waits looks at it.
    pub(super) fn changed(&self) {
        self.group.wake();
        self.inbox.wake();
    }

    pub(super) fn put_pipe(&self, pipe: Pipe) {
        self.pipes.put(pipe);
        self.changed();
    }

    pub(super) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    async fn accept(self: Arc<Hub>, mut server: Server, address: Address) {
        loop {
            let accepted = tokio::select! {
                accepted = server.accept() => accepted,
                () = self.closing.cancelled() => None,
            };
            let Some(connection) = accepted else { break };
            let (hub, address) = (Arc::clone(&self), address.clone());
            self.tasks.spawn(async move {
                let pipe = hub.new_id();
                link::run(&hub, connection, address, pipe, &hub.closing).await;
            });
        }
        let handle = server.handle();
        drop(server);
        // Whoever waits for this socket to close can bind there again.
        handle.retire().await;
    }

    async fn pass_events_on(self: Arc<Hub>, mut events: ServerEvents, address: Address) {
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                () = self.closing.cancelled() => None,
            };
            match event {
                Some(ServerEvent::Refused { source, identity, reason }) => {
                    self.tell(SocketEvent::HandshakeFailed { source, identity, reason });
                }
                Some(ServerEvent::AcceptFailed { error, retry_in }) => {
                    self.tell(SocketEvent::AcceptFailed { address: address.clone(), error, retry_in });
                }
                Some(_) => {}
                None => return,
            }
        }
    }

    async fn keep_connected(
        self: Arc<Hub>,
        address: Address,
        security: Security,
        pipe: u64,
        stop: CancellationToken,
    ) {
        let mut backoff = Backoff::new(self.config.reconnect.clone());
        loop {
            // While it closes, what waits for this endpoint keeps it connecting.
            let stopped = self.stopped(&stop, pipe);
            let connected = tokio::select! {
                connected = self.connect_once(&address, &security) => connected,
                () = stopped => return self.forget_pipe(pipe, &address),
            };
            let wait = match connected {
                Ok(connection) => {
                    let since = tokio::time::Instant::now();
                    link::run(&self, connection, address.clone(), pipe, &stop).await;
                    backoff.lasted(since.elapsed());
                    backoff.next_wait()
                }
                Err(error) => {
                    let wait = error.mends_itself().then(|| backoff.next_wait());
                    let error = Arc::new(error);
                    self.tell(SocketEvent::ConnectFailed { address: address.clone(), error, retry_in: wait });
                    match wait {
                        Some(wait) => wait,
                        None => return self.forget_pipe(pipe, &address),
                    }
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stopped(&stop, pipe) => return self.forget_pipe(pipe, &address),
            }
        }
    }

    /// Ready when an endpoint shall no longer be connected to: at once when it is disconnected from, and when the socket
    /// closes, once nothing waits for it.
    async fn stopped(&self, stop: &CancellationToken, pipe: u64) {
        stop.cancelled().await;
        let waits = |list: &[Pipe]| {
            list.iter()
                .any(|other| matches!(other, Pipe::Waiting(queue) if other.id() == pipe && !queue.is_empty()))
        };
        if self.closing.is_cancelled() && waits(&self.pipes.lock()) {
            self.over.cancelled().await;
        }
    }

    fn forget_pipe(&self, pipe: u64, endpoint: &Address) {
        let mut unsent = 0;
        self.pipes.retain(|other| {
            if other.id() != pipe {
                return true;
            }
            if let Pipe::Waiting(queue) = other {
                // For good: an application that still has the queue is told that it is gone.
                unsent += queue.move_out().len();
            }
            false
        });
        self.changed();
        self.tell_unsent(endpoint, unsent);
    }

    pub(super) fn tell_unsent(&self, endpoint: &Address, messages: usize) {
        if messages > 0 {
            self.tell(SocketEvent::Unsent { endpoint: endpoint.clone(), messages });
        }
    }

    async fn connect_once(&self, address: &Address, security: &Security) -> Result<Connection, ConnectError> {
        let connect = Connect::new(&self.transports, address.clone())
            .server(security.policy.clone())
            .mechanism(Arc::clone(&security.connecting))
            .framing(self.framing())
            .limits(self.limits());
        if security.danger_plaintext { connect.danger_plaintext().await } else { connect.await }
    }

    fn framing(&self) -> Zmtp {
        let zmtp = Zmtp::new().with_socket_type(self.socket_type);
        zmtp.with_routing_id(self.config.routing_id.clone())
            .unwrap_or_else(|_| unreachable!("checked when it was set"))
    }

    fn limits(&self) -> Limits {
        let mark = self.config.send_mark;
        let limits = self.config.limits.clone();
        let limits = limits.with_queued_out(mark.bytes).with_queued_out_messages(mark.messages);
        // Whoever waits for a single peer must not wait for ever. Elsewhere a peer may be busy for as long as it shows that it
        // is alive: others have room, or messages for it are dropped, or there is nobody else to wait for.
        use SocketType::{Rep, Router, Sub, XSub};
        let waits_for_one = matches!(self.socket_type, Router | Rep | Sub | XSub);
        if waits_for_one { limits } else { limits.with_write_time(Duration::MAX) }
    }

    fn take_endpoint(
        &self,
        address: &Address,
        fits: impl Fn(&BoundKind) -> bool,
    ) -> Result<Bound, EndpointError> {
        let mut endpoints = self.endpoints();
        let found = endpoints
            .iter()
            .position(|bound| fits(&bound.kind) && (bound.address == *address || bound.asked == *address));
        let found = found.ok_or_else(|| EndpointError::NotThere { address: address.clone() })?;
        Ok(endpoints.remove(found))
    }

    fn endpoints(&self) -> MutexGuard<'_, Vec<Bound>> {
        // Held for single changes of the list only.
        self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether messages for this pipe wait for its next connection.
    pub(super) fn waits_for(&self, pipe: u64) -> bool {
        let connecting =
            |bound: &Bound| matches!(bound.kind, BoundKind::Connecting { pipe: other, .. } if other == pipe);
        self.waits_for_connections && self.endpoints().iter().any(connecting)
    }

    pub(crate) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn peers(&self) -> Vec<Peer> {
        self.pipes.peers()
    }
}

const EVENTS_KEPT: usize = 1024;
