//! Servers: an accept loop with caps, events and a graceful end.

mod acceptor;
mod events;
mod pending;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{broadcast, mpsc, watch};

use crate::address::Address;
use crate::claims::Claims;
use crate::connection::{Connection, Life, open};
use crate::handshake::{HandshakeConfig, HandshakeError};
use crate::identity::Identity;
use crate::transport::{BoxStream, Established, Listener, Source, Stream};

use acceptor::{Admit, Admitted, Shared, accept_loop};

pub use events::{EventOrGap, ServerEvent, ServerEvents};

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
    stream: Tracked,
    identity: Identity,
    claims: Claims,
    source: Source,
}

/// Reaches a [`Server`] or [`RawServer`] from elsewhere: to shut it down while another task accepts.
#[derive(Clone)]
pub struct ServerHandle {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    local: Arc<Address>,
}

/// How a shutdown ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had not ended in time and were cut.
    pub cut: usize,
}

struct Accepting<T> {
    accepted: mpsc::Receiver<T>,
    stopped: watch::Receiver<bool>,
    handle: ServerHandle,
    first_events: Option<broadcast::Receiver<ServerEvent>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub(crate) fn start(listener: Box<dyn Listener>, config: HandshakeConfig, spin: Duration) -> Server {
        Server {
            inner: Accepting::start(listener, config, move |shared| {
                Arc::new(move |established, place, deadline| {
                    let shared = Arc::clone(&shared);
                    Box::pin(async move {
                        let opened = open(established, &shared.config, deadline).await?;
                        let identity = opened.complete.identity.clone();
                        let life = shared.registry.join(place);
                        let item = Connection::new(opened, &shared.config.limits, life, spin);
                        Ok(Admitted { identity, item })
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
            inner: Accepting::start(listener, config, move |shared| {
                Arc::new(move |established: Established, place, _deadline| {
                    let shared = Arc::clone(&shared);
                    Box::pin(async move {
                        let Established {
                            stream,
                            evidence,
                            claims,
                            source,
                        } = established;
                        let identity = Identity::new(&evidence, &[]);
                        shared
                            .config
                            .policy
                            .check(&identity)
                            .map_err(HandshakeError::from)?;
                        let stream = Tracked {
                            stream,
                            life: shared.registry.join(place),
                        };
                        let item = RawConnection {
                            stream,
                            identity: identity.clone(),
                            claims,
                            source,
                        };
                        Ok(Admitted { identity, item })
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
                // Accepted but not handed over: nobody will use them.
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
    /// Ends the server: stops accepting, lets the connections finish, and cuts those that have not after `grace`.
    ///
    /// [`Server::accept`] yields `None`, pending handshakes are dropped, and `recv` on the connections yields what has
    /// arrived and then `None`, so that an ordinary loop ends and can close.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the server stays stopped, and connections are not cut.
    pub async fn shutdown(&self, grace: Duration) -> Drained {
        self.stop.send_replace(true);
        self.shared.stop_handshakes();
        let registry = &self.shared.registry;
        registry.drain();
        let _late = tokio::time::timeout(grace, registry.emptied()).await;
        let cut = registry.count();
        registry.stop();
        Drained { cut }
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
        f.debug_struct("ServerHandle")
            .field("local", &self.local.to_string())
            .finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Accepting<T> {
    fn start(
        listener: Box<dyn Listener>,
        config: HandshakeConfig,
        admit: impl FnOnce(Arc<Shared>) -> Arc<Admit<T>>,
    ) -> Accepting<T> {
        let queue = config.limits.pending_handshakes.max(1);
        let (events, first_events) = broadcast::channel(events::EVENTS_KEPT);
        let (stop, mut stopped) = watch::channel(false);
        let (sender, accepted) = mpsc::channel(queue);
        let local = Arc::new(listener.local_address().clone());
        let shared = Shared::new(Arc::new(config), events);
        let handle = ServerHandle {
            shared: Arc::clone(&shared),
            stop,
            local,
        };
        let admit = admit(Arc::clone(&shared));
        let loop_stopped = stopped.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = accept_loop(listener, Arc::clone(&shared), admit, sender) => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
            shared.tell(ServerEvent::Stopped);
        });
        Accepting {
            accepted,
            stopped: loop_stopped,
            handle,
            first_events: Some(first_events),
            task,
        }
    }

    async fn accept(&mut self) -> Option<T> {
        tokio::select! {
            biased;
            _ = self.stopped.wait_for(|stopped| *stopped) => None,
            item = self.accepted.recv() => item,
        }
    }

    fn events(&mut self) -> ServerEvents {
        let first = self.first_events.take();
        ServerEvents::new(first.unwrap_or_else(|| self.handle.shared.events.subscribe()))
    }
}

impl<T> Drop for Accepting<T> {
    fn drop(&mut self) {
        self.task.abort();
        self.handle.shared.stop_handshakes();
    }
}

impl RawConnection {
    /// Who the peer is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What the peer says of itself: nothing of it is proven.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Where the peer is.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The stream, which still counts as one of the server's connections until it is dropped.
    pub fn into_stream(self) -> BoxStream {
        Box::new(self.stream)
    }
}

impl fmt::Debug for RawConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawConnection")
            .field("identity", &self.identity)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// A stream that keeps its place at its server, and ends when the server cuts it.
struct Tracked {
    stream: BoxStream,
    life: Life,
}

impl Tracked {
    fn cut_or<R>(
        &self,
        poll: Poll<std::io::Result<R>>,
        cut: impl FnOnce(&Life) -> bool,
    ) -> Poll<std::io::Result<R>> {
        if poll.is_pending() && cut(&self.life) {
            return Poll::Ready(Err(std::io::Error::new(
                std::io::ErrorKind::ConnectionAborted,
                "the server stopped",
            )));
        }
        poll
    }
}

impl AsyncRead for Tracked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.cut_or(poll, |life| life.poll_cut_for_recv(cx).is_some())
    }
}

impl AsyncWrite for Tracked {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.cut_or(poll, |life| life.poll_cut_for_send(cx).is_some())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.cut_or(poll, |life| life.poll_cut_for_send(cx).is_some())
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Stream for Tracked {
    fn plain_socket(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.stream.plain_socket()
    }
}
