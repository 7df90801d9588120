//! Accepting: streams that peers ask for over connections that this side accepts, or has made to a proxy.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::PollSender;
use transport_core::{
    Address, BoxFuture, Established, Incoming, Listen, Listener, Policy, Protection, Server, Transport,
    TransportError, Transports,
};

use super::config::ZmqConfig;
use super::hop::Hop;

/// Streams that may wait for an accept; peers that ask for more are told that this side is busy.
pub(super) const BACKLOG: usize = 128;

/// Yields the streams of peers; connections come from the inner listener if there is one.
pub(super) struct ZmqListener {
    streams: mpsc::Receiver<Established>,
    bound: Option<Bound>,
    local: Address,
    protection: Protection,
    /// Takes connections, or makes and keeps one.
    task: JoinHandle<()>,
}

/// The inner listener, and where its streams become ZeroMQ connections.
struct Bound {
    listener: Box<dyn Listener>,
    feed: PollSender<Incoming>,
}

impl ZmqListener {
    /// Accepts connections at the inner listener, and streams over them.
    pub(super) async fn bind(
        listener: Box<dyn Listener>,
        local: Address,
        config: &ZmqConfig,
    ) -> Result<ZmqListener, TransportError> {
        let (feed, fed) = mpsc::channel(BACKLOG);
        let inner = listener.local_address().clone();
        let protection = listener.protection();
        // The server works on streams that this listener hands it, so that the address is free as soon as it is dropped.
        let transports = Transports::new().with(Fed::new(&inner, protection, fed));
        // Who may in is decided over the stream, by whoever listens with this transport.
        let listen =
            config.apply_to_listen(Listen::new(&transports, Fed::ADDRESS)).policy(Policy::danger_anyone());
        let server = listen.start().await.map_err(|error| TransportError::Handshake(Box::new(error)))?;
        let (incoming, streams) = mpsc::channel(BACKLOG);
        let task = tokio::spawn(accept_connections(server, incoming));
        let bound = Some(Bound { listener, feed: PollSender::new(feed) });
        Ok(ZmqListener { streams, bound, local, protection, task })
    }

    /// Accepts streams over what `task` keeps up.
    pub(super) fn attached(
        streams: mpsc::Receiver<Established>,
        local: Address,
        protection: Protection,
        task: JoinHandle<()>,
    ) -> ZmqListener {
        ZmqListener { streams, bound: None, local, protection, task }
    }
}

impl Listener for ZmqListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        loop {
            if let Poll::Ready(Some(established)) = self.streams.poll_recv(cx) {
                return Poll::Ready(Ok(Incoming::Established(established)));
            }
            let Some(Bound { listener, feed }) = &mut self.bound else {
                return Poll::Pending;
            };
            let gone = |_| io::Error::other("the task that takes connections in has ended");
            ready!(feed.poll_reserve(cx)).map_err(gone)?;
            let incoming = ready!(listener.poll_accept(cx))?;
            feed.send_item(incoming).map_err(gone)?;
        }
    }

    fn local_address(&self) -> &Address {
        &self.local
    }

    fn protection(&self) -> Protection {
        self.protection
    }
}

impl Drop for ZmqListener {
    fn drop(&mut self) {
        // Connections with open streams go on by themselves.
        self.task.abort();
    }
}

async fn accept_connections(mut server: Server, incoming: mpsc::Sender<Established>) {
    while let Some(connection) = server.accept().await {
        let _goes_on_by_itself = Hop::accept_from(connection, incoming.clone(), false);
    }
}

/// A transport with one listener, whose streams come from elsewhere.
struct Fed(Mutex<Option<FedListener>>);

struct FedListener {
    streams: mpsc::Receiver<Incoming>,
    inner: Address,
    protection: Protection,
}

impl Fed {
    const SCHEME: &'static str = "fed";
    const ADDRESS: &'static str = "fed://streams";

    fn new(inner: &Address, protection: Protection, streams: mpsc::Receiver<Incoming>) -> Fed {
        Fed(Mutex::new(Some(FedListener { streams, inner: inner.clone(), protection })))
    }
}

impl Transport for Fed {
    fn scheme(&self) -> &'static str {
        Fed::SCHEME
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Result<Established, TransportError>> {
        let error = TransportError::address(address, Fed::SCHEME, "nothing can connect to it");
        Box::pin(std::future::ready(Err(error)))
    }

    fn listen<'a>(
        &'a self,
        address: &'a Address,
    ) -> BoxFuture<'a, Result<Box<dyn Listener>, TransportError>> {
        let listener = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let listener = listener.map(|listener| Box::new(listener) as Box<dyn Listener>);
        let taken = || TransportError::address(address, Fed::SCHEME, "its one listener is taken");
        Box::pin(std::future::ready(listener.ok_or_else(taken)))
    }
}

impl Listener for FedListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        match self.streams.poll_recv(cx) {
            Poll::Ready(Some(incoming)) => Poll::Ready(Ok(incoming)),
            // The listener that fed it is gone, and its server goes in this very moment.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn local_address(&self) -> &Address {
        &self.inner
    }

    fn protection(&self) -> Protection {
        self.protection
    }
}
