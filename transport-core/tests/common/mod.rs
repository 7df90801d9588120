//! A peer that writes the bytes it is told to: for the tests in this folder.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

pub(crate) mod pipes;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use transport_core::tcp::TcpTransport;
use transport_core::{
    Connection, HandshakeError, Limits, Listen, Policy, Server, ServerEvent, ServerEvents, Transports,
};

/// Nothing here takes this long unless it hangs.
pub(crate) const NET: Duration = Duration::from_secs(30);

/// The greeting of a client with this mechanism.
pub(crate) fn greeting(mechanism: &str) -> Vec<u8> {
    let mut bytes = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1];
    bytes.extend_from_slice(mechanism.as_bytes());
    bytes.resize(64, 0);
    bytes
}

/// A command frame.
pub(crate) fn command(name: &str, data: &[u8]) -> Vec<u8> {
    let mut body = vec![u8::try_from(name.len()).unwrap()];
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(data);
    let mut frame = vec![0x06];
    frame.extend_from_slice(&(body.len() as u64).to_be_bytes());
    frame.extend_from_slice(&body);
    frame
}

/// READY of a DEALER.
pub(crate) fn ready() -> Vec<u8> {
    command("READY", b"\x0bSocket-Type\0\0\0\x06DEALER")
}

/// HELLO of PLAIN.
pub(crate) fn hello(user: &str, password: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for field in [user, password] {
        body.push(u8::try_from(field.len()).unwrap());
        body.extend_from_slice(field.as_bytes());
    }
    command("HELLO", &body)
}

/// Settings for a server at a loopback port.
pub(crate) fn listen() -> Listen {
    let transports = Transports::new().with(TcpTransport::new());
    Listen::new(&transports, "tcp://127.0.0.1:0").policy(Policy::danger_anyone()).limits(patient())
}

/// Limits with which no peer is too slow, however busy the machine is.
pub(crate) fn patient() -> Limits {
    Limits::default().with_handshake_time(4 * NET)
}

/// Where a server is.
pub(crate) fn address(server: &Server) -> SocketAddr {
    let (host, port) = server.local_address().host_port().unwrap();
    format!("{host}:{port}").parse().unwrap()
}

/// A peer that has done nothing yet.
pub(crate) async fn silent_peer(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(address(server)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A peer with the bytes of a whole NULL handshake sent, and the connection to it.
pub(crate) async fn authenticated_peer(server: &mut Server) -> (TcpStream, Connection) {
    let mut peer = silent_peer(server).await;
    peer.write_all(&[greeting("NULL"), ready()].concat()).await.unwrap();
    let connection = tokio::time::timeout(NET, server.accept()).await.unwrap().unwrap();
    (peer, connection)
}

/// Everything that the other side sends until it closes; a reset counts as closing.
pub(crate) async fn read_to_end(peer: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _reset =
        tokio::time::timeout(NET, peer.read_to_end(&mut bytes)).await.expect("the other side closes");
    bytes
}

/// Why the next peer was refused.
pub(crate) async fn next_refusal(events: &mut ServerEvents) -> std::sync::Arc<HandshakeError> {
    let refusal = async {
        loop {
            if let ServerEvent::Refused { reason, .. } = events.recv().await.expect("the server goes on") {
                return reason;
            }
        }
    };
    tokio::time::timeout(NET, refusal).await.expect("a peer is refused")
}
