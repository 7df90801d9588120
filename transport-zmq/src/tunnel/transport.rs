//! Connecting and listening.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use transport_core::framing::zmtp::{SocketType, Zmtp};
use transport_core::{
    Address, Backoff, BackoffConfig, BoxFuture, Connect, ConnectError, Connection, Established, Listener,
    Policy, Protection, Transport, TransportError, Transports,
};

use super::config::ZmqConfig;
use super::hop::Hop;
use super::listener::{BACKLOG, ZmqListener};
use super::pipe::failed;

/// Byte streams that travel as messages of a DEALER/ROUTER pair: `zmq+tcp://`, `zmq+unix://` and `zmq+tls://`.
///
/// Any protocol runs over them, and they pass through ZeroMQ proxies and brokers on the way:
///
/// ```text
/// connect zmq+tcp://host:1  --DEALER-->  ROUTER frontend [any zmq_proxy] DEALER backend  <--ROUTER--  listen zmq+tcp://host:2?attach=true
/// connect zmq+tcp://host:3  --DEALER-->  ROUTER  listen zmq+tcp://host:3
/// ```
///
/// With `attach=true` a listener connects to a proxy's backend instead of binding an address, and keeps coming back to
/// it. One listener a backend: a DEALER hands messages to its peers in turn, and streams would be torn apart, which is
/// noticed and resets them.
///
/// # Security
///
/// The evidence of a stream is that of the ZeroMQ connection beneath: of the peer itself, or **of the proxy** where there is
/// one, which reads and can change what passes. Who is behind a proxy is for a mechanism to prove that is used over the stream,
/// and only one that seals (CURVE) keeps its bytes from the proxy.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use transport_core::{Connect, Listen, Policy, Transports, mem::MemTransport};
/// use transport_zmq::ZmqTransport;
///
/// let transports = Transports::new().with(ZmqTransport::new("zmq+mem", MemTransport::new()));
/// let mut server = Listen::new(&transports, "zmq+mem://docs").policy(Policy::same_process()).start().await?;
/// let mut client = Connect::new(&transports, "zmq+mem://docs").server(Policy::same_process()).await?;
/// client.send("hello").await?;
/// let mut connection = server.accept().await.expect("the server goes on");
/// assert_eq!(connection.recv().await?.expect("a message").to_text(), Some("hello"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ZmqTransport {
    scheme: &'static str,
    inner: Arc<dyn Transport>,
    /// The inner one alone, as [`Connect`] wants it.
    transports: Transports,
    config: ZmqConfig,
}

/// The parameter that makes a listener connect to a proxy.
const ATTACH: &str = "attach";

impl ZmqTransport {
    /// Streams under `scheme`, such as `zmq+tcp`, over the connections of `inner`.
    pub fn new(scheme: &'static str, inner: impl Transport + 'static) -> ZmqTransport {
        ZmqTransport::with_config(scheme, inner, ZmqConfig::default())
    }

    /// As [`new`](ZmqTransport::new), with settings of your own.
    pub fn with_config(
        scheme: &'static str,
        inner: impl Transport + 'static,
        config: ZmqConfig,
    ) -> ZmqTransport {
        let inner: Arc<dyn Transport> = Arc::new(inner);
        let transports = Transports::new().with(Arc::clone(&inner));
        ZmqTransport { scheme, inner, transports, config }
    }

    /// The address for the inner transport.
    fn inner_address(&self, address: &Address) -> Result<Address, TransportError> {
        let inner = address.without_parameter(ATTACH).with_scheme(self.inner.scheme());
        inner.map_err(|error| TransportError::address(address, self.scheme, error.to_string()))
    }

    /// What went wrong with the inner address, told of the address that the caller knows.
    fn outer_error(&self, error: TransportError, action: &str, address: &Address) -> TransportError {
        match error {
            TransportError::Address { problem, .. } => TransportError::address(address, self.scheme, problem),
            TransportError::Io { source, .. } => TransportError::io(format!("{action} {address}"), source),
            other => other,
        }
    }

    fn connection(&self, inner: &Address, socket_type: SocketType) -> Connect {
        let connect = Connect::new(&self.transports, inner);
        // Who the server may be is decided over the stream, by whoever connects with this transport.
        let connect = self.config.apply_to_connect(connect).server(Policy::danger_anyone());
        connect.framing(Zmtp::new().with_socket_type(socket_type))
    }

    async fn connect_hop(
        &self,
        address: &Address,
        socket_type: SocketType,
    ) -> Result<Connection, TransportError> {
        let inner = self.inner_address(address)?;
        self.connection(&inner, socket_type).await.map_err(|error| match error {
            ConnectError::Transport(error) => self.outer_error(error, "connect to", address),
            ConnectError::Deadline(time) => {
                let late =
                    std::io::Error::new(std::io::ErrorKind::TimedOut, format!("nothing within {time:?}"));
                TransportError::io(format!("connect to {address}"), late)
            }
            other => TransportError::Handshake(Box::new(other)),
        })
    }

    async fn connect_stream(&self, address: &Address) -> Result<Established, TransportError> {
        if address.parameter(ATTACH).is_some() {
            return Err(TransportError::address(address, self.scheme, "attach is for the listening side"));
        }
        let connection = self.connect_hop(address, SocketType::Dealer).await?;
        let error = |error| TransportError::io(format!("connect to {address}"), error);
        let number =
            getrandom::u64().map_err(|no_random| error(std::io::Error::other(no_random.to_string())))?;
        let (hop, pipe) = Hop::connect(connection, number);
        // Made first, so that a future that is dropped while it waits gives the stream up.
        let established = hop.established(Arc::clone(&pipe));
        poll_fn(|cx| pipe.poll_accepted(cx)).await.map_err(|reason| error(failed(reason)))?;
        Ok(established)
    }

    async fn bind(&self, address: &Address) -> Result<ZmqListener, TransportError> {
        let inner = self.inner_address(address)?;
        let listener = self.inner.listen(&inner).await;
        let listener = listener.map_err(|error| self.outer_error(error, "listen at", address))?;
        let local = listener.local_address().with_scheme(self.scheme);
        let local =
            local.map_err(|error| TransportError::address(address, self.scheme, error.to_string()))?;
        ZmqListener::bind(listener, local, &self.config).await
    }

    /// Connects to a proxy, once here, so that a mistake shows at once; then a task keeps coming back.
    async fn attach(&self, address: &Address) -> Result<ZmqListener, TransportError> {
        let connection = self.connect_hop(address, SocketType::Router).await?;
        let protection = connection.protection();
        let (incoming, streams) = mpsc::channel(BACKLOG);
        let task =
            tokio::spawn(self.clone().stay_attached(address.clone(), connection, protection, incoming));
        Ok(ZmqListener::attached(streams, address.clone(), protection, task))
    }

    async fn stay_attached(
        self,
        address: Address,
        mut connection: Connection,
        protection: Protection,
        incoming: mpsc::Sender<Established>,
    ) {
        let longest = BackoffConfig::default().with_longest(LONGEST_WAIT);
        let mut backoff = Backoff::new(longest);
        loop {
            let since = Instant::now();
            let carried = Hop::accept_from(connection, incoming.clone(), true);
            // An error means that it panicked, which ended it too.
            let _ended = carried.await;
            if !backoff.lasted(since.elapsed()) {
                tokio::time::sleep(backoff.next_wait()).await;
            }
            connection = self.reattach(&address, protection, &mut backoff).await;
        }
    }

    async fn reattach(&self, address: &Address, protection: Protection, backoff: &mut Backoff) -> Connection {
        loop {
            match self.connect_hop(address, SocketType::Router).await {
                Ok(connection) if connection.protection() >= protection => return connection,
                Ok(_) => tracing::warn!(%address, "the proxy is less well guarded than before: not attached"),
                Err(error) => tracing::debug!(%address, %error, "cannot attach"),
            }
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }
}

/// The longest wait before the next attempt to come back to a proxy.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

impl Transport for ZmqTransport {
    fn scheme(&self) -> &'static str {
        self.scheme
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Result<Established, TransportError>> {
        Box::pin(self.connect_stream(address))
    }

    fn listen<'a>(
        &'a self,
        address: &'a Address,
    ) -> BoxFuture<'a, Result<Box<dyn Listener>, TransportError>> {
        Box::pin(async move {
            let listener = match address.parameter(ATTACH) {
                None | Some("false") => self.bind(address).await?,
                Some("true") => self.attach(address).await?,
                Some(_) => {
                    let problem = "write attach=true to connect to a proxy, or leave it out";
                    return Err(TransportError::address(address, self.scheme, problem));
                }
            };
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }
}

impl std::fmt::Debug for ZmqTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZmqTransport")
            .field("scheme", &self.scheme)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
