//! The open stream.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::claims::Claims;
use crate::evidence::{Evidence, Protection};
use crate::transport::{Established, Source};

pub(super) fn establish(stream: TcpStream, peer: SocketAddr) -> io::Result<Established> {
    wrap(stream, protection(peer.ip()), Source::Socket(peer))
}

/// The stream ends at a proxy, and nobody can tell where it really goes from there: whatever the target is called, it may
/// leave this host, even if the proxy is on it.
pub(super) fn establish_through(
    stream: TcpStream,
    proxy: SocketAddr,
    host: &str,
    port: u16,
) -> io::Result<Established> {
    let source = Source::Other(format!("{host} port {port} through the proxy {proxy}"));
    wrap(stream, Protection::None, source)
}

fn wrap(stream: TcpStream, protection: Protection, source: Source) -> io::Result<Established> {
    stream.set_nodelay(true)?;
    // Finds peers that vanished while neither side had anything to say and heartbeats cannot be used.
    SockRef::from(&stream).set_keepalive(true)?;
    Ok(Established {
        stream: Box::new(stream),
        evidence: Evidence::new(protection),
        claims: Claims::new(),
        source,
    })
}

/// Loopback addresses never leave the host; every other one might.
pub(super) fn protection(ip: IpAddr) -> Protection {
    if ip.to_canonical().is_loopback() { Protection::Loopback } else { Protection::None }
}
