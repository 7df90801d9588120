//! Connecting and listening.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType};
use tokio::net::{TcpListener as TokioListener, TcpStream as TokioStream};

use super::listener::TcpListener;
use super::stream::establish;
use crate::address::Address;
use crate::transport::{BoxFuture, Established, Listener, Transport, TransportError};

const SCHEME: &str = "tcp";

/// Plain TCP: `tcp://host:port`.
///
/// It proves nothing about the peer and hides nothing. Core uses it over loopback, and beyond only with a mechanism
/// that seals or when the caller spells `danger_plaintext()`.
///
/// Sockets have TCP_NODELAY and SO_KEEPALIVE set. A listener sets SO_REUSEADDR, so that it can come back at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpTransport {}

impl TcpTransport {
    /// The transport.
    pub fn new() -> TcpTransport {
        TcpTransport {}
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
            let mut last = None;
            for socket_address in resolve(address).await? {
                if socket_address.port() == 0 {
                    return Err(TransportError::address(address, SCHEME, "nobody listens at port 0"));
                }
                match TokioStream::connect(socket_address).await {
                    Ok(stream) => {
                        return establish(stream, socket_address)
                            .map_err(|error| connect_error(address, error));
                    }
                    Err(error) => last = Some(error),
                }
            }
            let error =
                last.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
            Err(connect_error(address, error))
        })
    }

    fn listen<'a>(
        &'a self,
        address: &'a Address,
    ) -> BoxFuture<'a, Result<Box<dyn Listener>, TransportError>> {
        Box::pin(async move {
            let mut last = None;
            for socket_address in resolve(address).await? {
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

async fn resolve(address: &Address) -> Result<impl Iterator<Item = SocketAddr>, TransportError> {
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
    let resolved = tokio::net::lookup_host(host_port).await;
    resolved.map_err(|error| TransportError::io(format!("find the host of {address}"), error))
}

fn connect_error(address: &Address, error: io::Error) -> TransportError {
    TransportError::io(format!("connect to {address}"), error)
}

fn listen_error(address: &Address, error: io::Error) -> TransportError {
    TransportError::io(format!("listen at {address}"), error)
}
