//! A peer of a socket at a tcp address that writes the bytes it is told to.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use transport_core::Address;

use super::{port, within};

/// The greeting of a client with this mechanism.
pub(crate) fn greeting(mechanism: &str) -> Vec<u8> {
    let mut bytes = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1];
    bytes.extend_from_slice(mechanism.as_bytes());
    bytes.resize(64, 0);
    bytes
}

/// A frame of these flags, in the long form.
pub(crate) fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![flags | 0x02];
    frame.extend_from_slice(&(body.len() as u64).to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

/// A message of these parts.
pub(crate) fn message(parts: &[&[u8]]) -> Vec<u8> {
    let last = parts.len() - 1;
    parts.iter().enumerate().flat_map(|(i, part)| frame(u8::from(i < last), part)).collect()
}

/// A command.
pub(crate) fn command(name: &str, data: &[u8]) -> Vec<u8> {
    let mut body = vec![u8::try_from(name.len()).unwrap()];
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(data);
    frame(0x04, &body)
}

/// A property of READY or INITIATE.
pub(crate) fn property(name: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(name.len()).unwrap()];
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(value);
    bytes
}

/// READY of a socket of this type, which asks for this routing id.
pub(crate) fn ready(socket_type: &str, routing_id: &[u8]) -> Vec<u8> {
    command(
        "READY",
        &[property("Socket-Type", socket_type.as_bytes()), property("Identity", routing_id)].concat(),
    )
}

/// HELLO of PLAIN.
pub(crate) fn hello(user: &str, password: &str) -> Vec<u8> {
    let field = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    command("HELLO", &[field(user), field(password)].concat())
}

/// Connects and says nothing.
pub(crate) async fn silent(address: &Address) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port(address))).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Connects and sends these bytes, of which the other side may not take all.
pub(crate) async fn saying(address: &Address, bytes: &[u8]) -> TcpStream {
    let mut stream = silent(address).await;
    let _reset = within(stream.write_all(bytes)).await;
    stream
}

/// Connects as a socket of this type, and reads what the other side says of itself.
pub(crate) async fn joined(address: &Address, socket_type: &str, routing_id: &[u8]) -> TcpStream {
    let mut stream = saying(address, &[greeting("NULL"), ready(socket_type, routing_id)].concat()).await;
    within(stream.read_exact(&mut [0; 64])).await.unwrap();
    let (flags, body) = read_frame(&mut stream).await.expect("it is let in");
    assert_eq!((flags & 0x04, &body[..6]), (0x04, &b"\x05READY"[..]));
    stream
}

/// The next frame: its flags and body; `None` at the end.
pub(crate) async fn read_frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    within(async {
        let flags = stream.read_u8().await.ok()?;
        let length = if flags & 0x02 == 0 {
            u64::from(stream.read_u8().await.ok()?)
        } else {
            stream.read_u64().await.ok()?
        };
        let mut body = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut body).await.ok()?;
        Some((flags, body))
    })
    .await
}

/// Everything that the other side sends until it closes; a reset counts as closing.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _reset = within(stream.read_to_end(&mut bytes)).await;
    bytes
}
