//! Connecting and listening.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType};
use tokio::net::TcpListener as TokioListener;

use super::dial::{dial, dial_through, resolve};
use super::listener::TcpListener;
use super::proxy::Proxy;
use crate::address::Address;
use crate::transport::{BoxFuture, Established, Listener, Transport, TransportError};

const SCHEME: &str = "tcp";

/// Plain TCP: `tcp://host:port`.
///
/// It proves nothing about the peer and hides nothing. Core uses it over loopback, and beyond only with a mechanism
/// that seals or when the caller spells `danger_plaintext()`.
///
/// A host with several addresses is reached through the first one that answers, as RFC 8305 ("happy eyeballs") says: IPv6
/// and IPv4 take turns, a further attempt begins 250 ms after the last one or when one fails, and the others are dropped.
///
/// Sockets have TCP_NODELAY and SO_KEEPALIVE set, and on Linux TCP_NOTSENT_LOWAT to 256 KiB. A listener sets SO_REUSEADDR, so
/// that it can come back at once.
#[derive(Clone, Debug, Default)]
pub struct TcpTransport {
    proxy: Option<Proxy>,
}

impl TcpTransport {
    /// The transport.
    pub fn new() -> TcpTransport {
        TcpTransport::default()
    }

    /// Connects to everything through `proxy`. Listening is as without.
    ///
    /// # Security
    ///
    /// See [`Proxy`].
    #[must_use]
    pub fn with_proxy(mut self, proxy: Proxy) -> TcpTransport {
        self.proxy = Some(proxy);
        self
    }

    /// Goes on with a socket that listens already: for [`Listen::on`](crate::Listen::on). Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// When it is no TCP socket that listens.
    pub fn adopt(&self, socket: OwnedFd) -> Result<Box<dyn Listener>, TransportError> {
        let adopted =
            adopt(socket).map_err(|error| TransportError::io("go on with a listening socket", error))?;
        Ok(Box::new(adopted))
    }
}

impl Transport for TcpTransport {
    fn scheme(&self) -> &'static str {
        SCHEME
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Result<Established, TransportError>> {
        Box::pin(async move {
            let (host, port) = host_port(address)?;
            if port == 0 {
                return Err(TransportError::address(address, SCHEME, "nobody listens at port 0"));
            }
            match &self.proxy {
                None => dial(address, host, port).await,
                Some(proxy) => dial_through(proxy, address, host, port).await,
            }
        })
    }

    fn listen<'a>(
        &'a self,
        address: &'a Address,
    ) -> BoxFuture<'a, Result<Box<dyn Listener>, TransportError>> {
        Box::pin(async move {
            let mut last = None;
            let (host, port) = host_port(address)?;
            for socket_address in resolve(address, host, port).await? {
                match TokioListener::bind(socket_address).await {
                    Ok(listener) => {
                        let listener = TcpListener::new(listener, address)
                            .map_err(|error| listen_error(address, error))?;
                        return Ok(Box::new(listener) as Box<dyn Listener>);
                    }
                    Err(error) => last = Some(error),
                }
            }
            let error =
                last.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
            Err(listen_error(address, error))
        })
    }

    fn take_over(
        &self,
        address: &Address,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Box<dyn Listener>, TransportError> {
        let [socket] = <[OwnedFd; 1]>::try_from(descriptors)
            .map_err(|_| TransportError::address(address, SCHEME, "one socket belongs to it"))?;
        self.adopt(socket)
    }
}

fn adopt(socket: OwnedFd) -> io::Result<TcpListener> {
    let family = rustix::net::sockopt::socket_domain(&socket)?;
    let is_ip = family == AddressFamily::INET || family == AddressFamily::INET6;
    let is_stream = rustix::net::sockopt::socket_type(&socket)? == SocketType::STREAM;
    if !is_ip || !is_stream || !rustix::net::sockopt::socket_acceptconn(&socket)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no TCP socket that listens"));
    }
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    let listener = TokioListener::from_std(listener)?;
    let local: Address = format!("tcp://{}", listener.local_addr()?).parse().map_err(io::Error::other)?;
    TcpListener::new(listener, &local)
}

fn host_port(address: &Address) -> Result<(&str, u16), TransportError> {
    let Some(host_port) = address.host_port() else {
        return Err(TransportError::address(
            address,
            SCHEME,
            "write tcp://host:port, as in tcp://127.0.0.1:5555",
        ));
    };
    if let Some((key, _)) = address.parameters().next() {
        return Err(TransportError::address(address, SCHEME, format!("it has no parameter {key:?}")));
    }
    Ok(host_port)
}

fn listen_error(address: &Address, error: io::Error) -> TransportError {
    TransportError::io(format!("listen at {address}"), error)
}
