//! Talking to a proxy before the stream is the target's.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::error::ProxyError;

/// A proxy's protocol, the connecting side: bytes in, bytes out.
pub(super) trait Handshake {
    /// Writes what this side sends first.
    fn start(&mut self, out: &mut Zeroizing<Vec<u8>>);

    /// Takes bytes that came, and tells how many: all of them, unless the handshake is done before their end.
    fn receive(&mut self, bytes: &[u8], out: &mut Zeroizing<Vec<u8>>) -> Result<usize, ProxyError>;

    /// Whether the stream is the target's from now on.
    fn is_done(&self) -> bool;
}

/// Runs a handshake. Not one byte of the target's is taken off the stream.
pub(super) async fn run(stream: &mut TcpStream, handshake: &mut impl Handshake) -> Result<(), ProxyError> {
    exchange(stream, handshake).await.map_err(|error| match error {
        ProxyError::Io(error) if is_close(&error) => ProxyError::Closed,
        error => error,
    })
}

async fn exchange(stream: &mut TcpStream, handshake: &mut impl Handshake) -> Result<(), ProxyError> {
    let mut out = Zeroizing::new(Vec::new());
    handshake.start(&mut out);
    loop {
        stream.write_all(&out).await?;
        out = Zeroizing::new(Vec::new());
        if handshake.is_done() {
            return Ok(());
        }
        // Looked at first, and then only taken as far as it is the proxy's.
        let mut bytes = [0; 512];
        let there = stream.peek(&mut bytes).await?;
        if there == 0 {
            return Err(ProxyError::Closed);
        }
        let taken = handshake.receive(&bytes[..there], &mut out)?;
        stream.read_exact(&mut bytes[..taken]).await?;
    }
}

fn is_close(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// Plays what a proxy sends against a handshake: at once and byte by byte, with the same result. What this side sent, and
/// how much of the script it took.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn scripted<H: Handshake>(
    handshake: impl Fn() -> H,
    script: &[u8],
) -> (Vec<u8>, Result<usize, ProxyError>) {
    let play = |piece: usize| {
        let mut handshake = handshake();
        let mut sent = Zeroizing::new(Vec::new());
        handshake.start(&mut sent);
        let mut taken = 0;
        while !handshake.is_done() {
            let end = script.len().min(taken + piece);
            if taken == end {
                return (sent.to_vec(), Err(ProxyError::Closed));
            }
            match handshake.receive(&script[taken..end], &mut sent) {
                Ok(more) => taken += more,
                Err(error) => return (sent.to_vec(), Err(error)),
            }
        }
        (sent.to_vec(), Ok(taken))
    };
    let (whole, in_bytes) = (play(script.len().max(1)), play(1));
    assert_eq!(format!("{whole:?}"), format!("{in_bytes:?}"), "it must not matter how the bytes are cut");
    whole
}
