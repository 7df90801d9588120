//! Opening a stream: to the target itself, or through a proxy.

use std::fmt::Display;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::proxy::Proxy;
use super::race::race;
use super::stream::{establish, establish_through};
use crate::address::Address;
use crate::transport::{Established, TransportError};

/// Opens a stream to `address`, which is at `host` and `port`.
pub(super) async fn dial(address: &Address, host: &str, port: u16) -> Result<Established, TransportError> {
    let (stream, peer) = open(address, host, port).await?;
    establish(stream, peer).map_err(|error| TransportError::io(format!("connect to {address}"), error))
}

/// As [`dial`], through a proxy.
pub(super) async fn dial_through(
    proxy: &Proxy,
    address: &Address,
    host: &str,
    port: u16,
) -> Result<Established, TransportError> {
    let (proxy_host, proxy_port) = proxy.host_port();
    let (mut stream, peer) = open(&format!("the proxy {proxy}"), proxy_host, proxy_port).await?;
    let connected = proxy.connect(&mut stream, host, port).await;
    connected.map_err(|source| TransportError::Proxy {
        proxy: proxy.to_string(),
        address: address.clone(),
        source: Box::new(source),
    })?;
    establish_through(stream, peer, host, port)
        .map_err(|error| TransportError::io(format!("connect to {address} through {proxy}"), error))
}

/// The addresses of a host.
pub(super) async fn resolve(
    what: &impl Display,
    host: &str,
    port: u16,
) -> Result<impl Iterator<Item = SocketAddr>, TransportError> {
    let resolved = tokio::net::lookup_host((host, port)).await;
    resolved.map_err(|error| TransportError::io(format!("find the host of {what}"), error))
}

/// Opens a stream to the first of a host's addresses that answers.
async fn open(what: &impl Display, host: &str, port: u16) -> Result<(TcpStream, SocketAddr), TransportError> {
    let addresses = resolve(what, host, port).await?;
    race(addresses, TcpStream::connect).await.map_err(|failed| {
        let action = match failed.only() {
            // Of several the error says which they are; a literal one is in `what`.
            Some(address) if address.ip().to_string() != host => format!("connect to {what} at {address}"),
            _ => format!("connect to {what}"),
        };
        TransportError::io(action, failed.into_io_error())
    })
}
