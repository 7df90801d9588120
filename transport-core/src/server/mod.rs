//! Servers: an accept loop with caps, events and a graceful end.

mod accepted;
mod acceptor;
mod events;
mod pending;

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use crate::address::Address;
use crate::claims::Claims;
use crate::connection::{About, Connection, ConnectionId, Life, Tracked, open};
use crate::handshake::{HandshakeConfig, HandshakeError, check_protection};
use crate::identity::Identity;
use crate::mechanism::Null;
use crate::transport::{BoxStream, Established, HandOver, Listener, Source};

use accepted::Accepted;
use acceptor::{Admit, HandedOut, Shared, accept_loop};

use events::Teller;
pub use events::{ServerEvent, ServerEvents};

/// Accepts connections, and hands over those whose peers have been authenticated and are allowed.
///
/// Made by [`Listen::start`](crate::Listen::start). Handshakes run beside each other in tasks of their own, under the
/// caps of [`Limits`](crate::Limits); a slow or hostile peer holds up nobody.
///
/// Dropping the server stops accepting and stops pending handshakes; connections that were handed over go on.
///
/// # Examples
///
/// See [`Connection`].
pub struct Server {
    inner: Accepting<Connection>,
}

/// As [`Server`], but hands over the byte streams below messages: for HTTP, relays and protocols of your own.
///
/// Peers are known by what the transport proved; policy, limits and deadline are the same.
pub struct RawServer {
    inner: Accepting<RawConnection>,
}

/// A byte stream whose peer is allowed.
pub struct RawConnection {
    stream: Tracked<BoxStream>,
    about: Arc<About>,
}

/// Reaches a [`Server`] or [`RawServer`] from elsewhere: to shut it down while another task accepts.
#[derive(Clone)]
pub struct ServerHandle {
    shared: Arc<Shared>,
    order: watch::Sender<Order>,
    /// True when the accept loop has ended and its listener is gone.
    stopped: watch::Receiver<bool>,
    local: Arc<Address>,
    listening: Option<Weak<dyn HandOver>>,
}

/// What the accept loop has been told; only ever grows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    GoOn,
    /// Take nobody in any more.
    Retire,
    /// And turn those away who are not handed over yet.
    Stop,
}

/// How a shutdown ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had not ended in time and were cut.
    pub cut: usize,
}

struct Accepting<T> {
    accepted: Arc<Accepted<T>>,
    handle: ServerHandle,
    first_events: Option<ServerEvents>,
}

impl Server {
    pub(crate) fn start(listener: Box<dyn Listener>, config: HandshakeConfig) -> Server {
        Server {
            inner: Accepting::start(listener, config, |shared| {
                Arc::new(move |established, deadline| {
                    let shared = Arc::clone(&shared);
                    Box::pin(async move {
                        let opened = open(established, &shared.config, deadline, shared.take_place()).await?;
                        Ok(Connection::new(opened, &shared.config))
                    })
                })
            }),
        }
    }

    /// The next authenticated connection; `None` when the server has been shut down.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn accept(&mut self) -> Option<Connection> {
        self.inner.accept().await
    }
}

impl RawServer {
    pub(crate) fn start(listener: Box<dyn Listener>, config: HandshakeConfig) -> RawServer {
        RawServer {
            inner: Accepting::start(listener, config, |shared| {
                Arc::new(move |established: Established, _deadline| {
                    let shared = Arc::clone(&shared);
                    Box::pin(async move {
                        let Established { stream, evidence, claims, source } = established;
                        let HandshakeConfig { policy, danger_plaintext, .. } = &*shared.config;
                        let protection = evidence.protection();
                        check_protection(&Null, protection, *danger_plaintext)
                            .map_err(HandshakeError::from)?;
                        let identity = Identity::new(&evidence, &[]);
                        policy.check(&identity).map_err(HandshakeError::from)?;
                        let about = About::new(identity, claims, source, protection, &shared.config);
                        Ok(RawConnection { stream: Tracked::new(stream, shared.take_place().await), about })
                    })
                })
            }),
        }
    }

    /// The next stream whose peer is allowed; `None` when the server has been shut down.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn accept(&mut self) -> Option<RawConnection> {
        self.inner.accept().await
    }
}

macro_rules! common {
    ($($server:ident)*) => {$(
        impl $server {
            /// The address that peers can connect to: with the port that was chosen, if any was.
            pub fn local_address(&self) -> &Address {
                &self.inner.handle.local
            }

            /// The events from now on; of the first call, from the start.
            pub fn events(&mut self) -> ServerEvents {
                self.inner.events()
            }

            /// Reaches this server from elsewhere.
            pub fn handle(&self) -> ServerHandle {
                self.inner.handle.clone()
            }

            /// See [`ServerHandle::shutdown`].
            pub async fn shutdown(self, grace: Duration) -> Drained {
                let handle = self.inner.handle.clone();
                drop(self);
                handle.shutdown(grace).await
            }
        }

        impl fmt::Debug for $server {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($server)).field("local", &self.local_address().to_string()).finish_non_exhaustive()
            }
        }
    )*};
}
common!(Server RawServer);

impl ServerHandle {
    /// Ends the server: stops accepting and frees the address, lets the connections finish, and cuts those that have not after `grace`.
    ///
    /// [`Server::accept`] yields `None`, pending handshakes are dropped, and `recv` on the connections yields what has
    /// arrived and then `None`, so that an ordinary loop ends and can close.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the server stays stopped, and connections are not cut.
    pub async fn shutdown(&self, grace: Duration) -> Drained {
        // The address is free again, and who was not handed over is gone, before the connections' time begins.
        self.order(Order::Stop).await;
        let registry = &self.shared.registry;
        registry.drain();
        let _late = tokio::time::timeout(grace, registry.emptied()).await;
        let cut = registry.count();
        registry.stop();
        Drained { cut }
    }

    /// Stops accepting and frees the address, but turns nobody away: handshakes under way finish, and
    /// [`Server::accept`] yields who has passed, and then `None`. Connections go on.
    ///
    /// This is what a process does when another one has taken its listener over; [`shutdown`](ServerHandle::shutdown)
    /// comes later.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the server accepts no more.
    pub async fn retire(&self) {
        self.order(Order::Retire).await;
    }

    /// What another process needs to go on with the listener; `None` when it cannot, or the server has ended.
    pub fn hand_over(&self) -> Option<Arc<dyn HandOver>> {
        self.listening.as_ref()?.upgrade()
    }

    /// Gives an order and waits until the accept loop has followed it.
    async fn order(&self, order: Order) {
        self.order.send_modify(|given| *given = order.max(*given));
        let mut stopped = self.stopped.clone();
        // An error means that the loop is gone too, with its runtime.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// How many connections are open.
    pub fn connection_count(&self) -> usize {
        self.shared.registry.count()
    }

    /// The address that peers can connect to.
    pub fn local_address(&self) -> &Address {
        &self.local
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").field("local", &self.local.to_string()).finish_non_exhaustive()
    }
}

impl<T: HandedOut> Accepting<T> {
    fn start(
        listener: Box<dyn Listener>,
        config: HandshakeConfig,
        admit: impl FnOnce(Arc<Shared>) -> Arc<Admit<T>>,
    ) -> Accepting<T> {
        let (accepted, queue) = Accepted::new(config.limits.pending_handshakes);
        let (events, first_events) = ServerEvents::channel(events::EVENTS_KEPT);
        let (order, mut ordered) = watch::channel(Order::GoOn);
        let (has_stopped, stopped) = watch::channel(false);
        let local = Arc::new(listener.local_address().clone());
        let listening = listener.hand_over();
        let shared = Shared::new(Arc::new(config), Teller::new(events, &local));
        let handle = ServerHandle { shared: Arc::clone(&shared), order, stopped, local, listening };
        let admit = admit(Arc::clone(&shared));
        let left = Arc::clone(&accepted);
        tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = ordered.wait_for(|order| *order > Order::GoOn) => {}
                () = accept_loop(listener, Arc::clone(&shared), admit, queue) => {}
            }
            tokio::select! {
                biased;
                _ = ordered.wait_for(|order| *order == Order::Stop) => {
                    shared.stop_handshakes();
                    left.close();
                }
                () = shared.handshakes_ended() => {}
            }
            shared.tell(ServerEvent::Stopped);
            has_stopped.send_replace(true);
        });
        Accepting { accepted, handle, first_events: Some(first_events) }
    }

    async fn accept(&mut self) -> Option<T> {
        poll_fn(|cx| self.accepted.poll_next(cx)).await
    }

    fn events(&mut self) -> ServerEvents {
        self.first_events.take().unwrap_or_else(|| self.handle.shared.teller.events.subscribe())
    }
}

impl<T> Drop for Accepting<T> {
    fn drop(&mut self) {
        // The accept loop ends by itself, and takes the listener and pending handshakes with it.
        self.handle.order.send_replace(Order::Stop);
    }
}

impl RawConnection {
    /// Who the peer is.
    pub fn identity(&self) -> &Identity {
        &self.about.identity
    }

    /// What the peer says of itself: nothing of it is proven.
    pub fn claims(&self) -> &Claims {
        &self.about.claims
    }

    /// Where the peer is.
    pub fn source(&self) -> &Source {
        &self.about.source
    }

    /// Which of the server's connections it is, as the server's events say.
    pub fn id(&self) -> Option<ConnectionId> {
        self.stream.life().id()
    }

    /// A `tracing` span that says which connection it is, where its peer is and who: for the task that serves it.
    pub fn span(&self) -> tracing::Span {
        self.about.span(self.id())
    }

    /// The stream, which still counts as one of the server's connections until it is dropped.
    pub fn into_stream(self) -> BoxStream {
        Box::new(self.stream)
    }
}

impl HandedOut for Connection {
    fn life(&self) -> &Life {
        Connection::life(self)
    }

    fn about(&self) -> &Arc<About> {
        Connection::about(self)
    }
}

impl HandedOut for RawConnection {
    fn life(&self) -> &Life {
        self.stream.life()
    }

    fn about(&self) -> &Arc<About> {
        &self.about
    }
}

impl fmt::Debug for RawConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawConnection")
            .field("identity", &self.about.identity)
            .field("source", &self.about.source)
            .finish_non_exhaustive()
    }
}
