//! The open stream.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::claims::Claims;
use crate::evidence::{Evidence, Protection};
use crate::transport::{Established, Source};

pub(super) fn establish(stream: TcpStream, peer: SocketAddr) -> io::Result<Established> {
    stream.set_nodelay(true)?;
    // Finds peers that vanished while neither side had anything to say and heartbeats cannot be used.
    SockRef::from(&stream).set_keepalive(true)?;
    Ok(Established {
        stream: Box::new(stream),
        evidence: Evidence::new(protection(peer.ip())),
        claims: Claims::new(),
        source: Source::Socket(peer),
    })
}

/// Loopback addresses never leave the host; every other one might.
pub(super) fn protection(ip: IpAddr) -> Protection {
    if ip.to_canonical().is_loopback() { Protection::Loopback } else { Protection::None }
}
