//! The open stream.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::claims::Claims;
use crate::evidence::{Evidence, Protection};
use crate::transport::{Established, Source};

/// So many bytes wait in the kernel that the peer's window has no room for, where its own limit is 4 MiB.
///
/// Measured: with that limit, bursts of small messages are now and then sent at little more than half their rate; the sender
/// then sleeps once for each 4 MB, and both sides take longer for a message. With this one they are not. Inferred, and not
/// counted: that both take longer because 4 MB do not fit the cache. The figures are in `docs/performance.md`.
#[cfg(any(target_os = "android", target_os = "linux"))]
const MOST_UNSENT: u32 = 256 << 10;

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
    let socket = SockRef::from(&stream);
    // Finds peers that vanished while neither side had anything to say and heartbeats cannot be used.
    socket.set_keepalive(true)?;
    #[cfg(any(target_os = "android", target_os = "linux"))]
    socket.set_tcp_notsent_lowat(MOST_UNSENT)?;
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

#[cfg(all(test, any(target_os = "android", target_os = "linux")))]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_slow_peer_leaves_little_in_the_kernel() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_far, _) = listener.accept().await.unwrap();
        let peer = near.peer_addr().unwrap();
        let established = establish(near, peer).unwrap();
        let socket = established.stream.plain_socket().unwrap();
        assert_eq!(SockRef::from(&socket).tcp_notsent_lowat().unwrap(), MOST_UNSENT);
    }
}
