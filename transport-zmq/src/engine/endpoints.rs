//! Where a socket is bound and connected to, and the tasks that accept there and keep it connected.

use std::io;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use transport_core::framing::zmtp::{SocketType, Zmtp};
use transport_core::{
    Address, AddressError, Backoff, Connect, ConnectError, Connection, Limits, Listen, ListenError, Server,
    ServerEvent, ServerEvents, ServerHandle, UnknownScheme,
};

use super::hub::Hub;
use super::link;
use super::pattern::{NoPlace, admission};
use super::pipes::{Pipe, WaitQueue};
use super::stage::Stage;
use crate::config::Security;
use crate::endpoint::Endpoint;
use crate::events::SocketEvent;
use crate::peer::Peer;

/// An endpoint that the socket is bound to or connected to.
pub(super) struct Bound {
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
    /// `ipc://*` is for [`bind`](crate::PullSocket::bind) only.
    #[error("ipc://* names no place until a socket is bound there; use the address that bind has told")]
    NoPlaceYet,
    /// There is no folder for `ipc://*`: where temporary files are made, none could be.
    #[error("no folder could be made for the socket file of ipc://*")]
    Folder(#[source] io::Error),
    /// The socket is neither bound nor connected there.
    #[error("the socket is not at {address}")]
    NotThere {
        /// Where it is not.
        address: Address,
    },
}

impl Hub {
    /// Binds, and tells where.
    pub(crate) async fn bind(
        self: &Arc<Hub>,
        endpoint: Endpoint,
        security: &Security,
    ) -> Result<Address, EndpointError> {
        let (asked, folder) = endpoint.into_place()?;
        let mut listen = Listen::new(&self.transports, asked.clone())
            .policy(security.policy.clone())
            .admission(admission(&self.pattern))
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
        self.tasks.spawn(Arc::clone(self).accept(server, address.clone(), folder));
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
        let (stop, pipe) = (self.closing.child_token(), self.new_pipe());
        let kind = BoundKind::Connecting { stop: stop.clone(), pipe };
        self.endpoints().push(Bound { address: address.clone(), asked: address.clone(), kind });
        if self.waits_for_connections {
            let stage = Stage::first(pipe, self.new_id());
            self.pipes.put_first(Pipe::Waiting(Arc::new(WaitQueue::new(stage, self.config.send_mark))));
            self.changed();
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
            let is_there = |peer: &&Peer| peer.pipe() == pipe && *peer.endpoint() == bound.address;
            self.pipes.peers().iter().filter(is_there).for_each(Peer::cut);
            // At once: nothing more is sent there while the connection ends.
            self.forget_pipe(pipe, &bound.address);
        }
        Ok(())
    }

    /// Whether messages for this pipe wait for its next connection.
    pub(super) fn waits_for(&self, pipe: u64) -> bool {
        let connecting =
            |bound: &Bound| matches!(bound.kind, BoundKind::Connecting { pipe: other, .. } if other == pipe);
        self.waits_for_connections && self.endpoints().iter().any(connecting)
    }

    /// Until the server has ended; the `folder` of its socket file goes after that.
    async fn accept(self: Arc<Hub>, mut server: Server, address: Address, folder: Option<TempDir>) {
        loop {
            let accepted = tokio::select! {
                accepted = server.accept() => accepted,
                () = self.closing.cancelled() => None,
            };
            let Some(connection) = accepted else { break };
            let (hub, address) = (Arc::clone(&self), address.clone());
            self.tasks.spawn(async move {
                let pipe = hub.new_pipe();
                link::run(&hub, connection, address, pipe, &hub.closing).await;
            });
        }
        let handle = server.handle();
        drop(server);
        // Whoever waits for this socket to close can bind there again.
        handle.retire().await;
        drop(folder);
    }

    async fn pass_events_on(self: Arc<Hub>, mut events: ServerEvents, address: Address) {
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                () = self.closing.cancelled() => None,
            };
            match event {
                Some(ServerEvent::Refused { source, identity, reason }) => {
                    self.tell(match NoPlace::of(&reason) {
                        Some(NoPlace { identity, reason }) => {
                            SocketEvent::Rejected { source, identity: identity.clone(), reason: *reason }
                        }
                        None => SocketEvent::HandshakeFailed { source, identity, reason },
                    });
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
                        None => {
                            self.give_up(pipe, &address);
                            return self.forget_pipe(pipe, &address);
                        }
                    }
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stopped(&stop, pipe) => return self.forget_pipe(pipe, &address),
            }
        }
    }

    /// From now on no pipe waits for an endpoint whose error does not mend itself.
    fn give_up(&self, pipe: u64, address: &Address) {
        for bound in self.endpoints().iter_mut().filter(|bound| bound.address == *address) {
            match &mut bound.kind {
                BoundKind::Connecting { pipe: waiting, .. } if *waiting == pipe => *waiting = self.new_id(),
                _ => {}
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
}
