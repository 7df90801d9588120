//! A transport whose far ends the test plays itself, byte by byte.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;
use transport_core::{
    Address, BoxFuture, Claims, Established, Evidence, Listener, Proof, Protection, Source, Transport,
    TransportError,
};

use super::{command, greeting};

/// Streams that hold so many bytes in each direction: what a kernel's buffer is.
pub(crate) struct Pipes {
    buffer: usize,
    far_ends: mpsc::UnboundedSender<DuplexStream>,
    refuse: Arc<AtomicUsize>,
}

/// Where the far ends come out.
pub(crate) struct FarEnds {
    streams: mpsc::UnboundedReceiver<DuplexStream>,
    /// So many further attempts are refused.
    pub(crate) refuse: Arc<AtomicUsize>,
}

pub(crate) fn pipes(buffer: usize) -> (Pipes, FarEnds) {
    let (far_ends, streams) = mpsc::unbounded_channel();
    let refuse = Arc::new(AtomicUsize::new(0));
    (Pipes { buffer, far_ends, refuse: Arc::clone(&refuse) }, FarEnds { streams, refuse })
}

impl FarEnds {
    /// The next stream that was opened.
    pub(crate) async fn next(&mut self) -> DuplexStream {
        let next = tokio::time::timeout(Duration::from_secs(3600), self.streams.recv());
        next.await.expect("the client comes").expect("the transport lives")
    }

    /// The next stream, after a NULL handshake on it.
    pub(crate) async fn next_ready(&mut self) -> DuplexStream {
        let mut far = self.next().await;
        shake_hands(&mut far).await;
        far
    }
}

/// Plays the server's side of a NULL handshake, and takes no byte more.
pub(crate) async fn shake_hands(far: &mut DuplexStream) {
    // The client writes first, both at once, and the stream may hold less than that.
    let mut theirs = [0; 64];
    far.read_exact(&mut theirs).await.unwrap();
    let mut header = [0; 2];
    far.read_exact(&mut header).await.unwrap();
    assert_eq!(header[0], 0x04, "a short command");
    let mut body = vec![0; header[1].into()];
    far.read_exact(&mut body).await.unwrap();
    assert!(body.starts_with(b"\x05READY"), "{body:?}");
    far.write_all(&greeting("NULL")).await.unwrap();
    far.write_all(&command("READY", b"\x0bSocket-Type\0\0\0\x06ROUTER")).await.unwrap();
}

/// Reads exactly so many bytes.
pub(crate) async fn read(far: &mut DuplexStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let reading = tokio::time::timeout(Duration::from_secs(3600), far.read_exact(&mut bytes));
    reading.await.expect("bytes come").unwrap();
    bytes
}

impl Transport for Pipes {
    fn scheme(&self) -> &'static str {
        "pipe"
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Result<Established, TransportError>> {
        Box::pin(async move {
            let refuse = |left: usize| left.checked_sub(1);
            if self.refuse.fetch_update(Ordering::SeqCst, Ordering::SeqCst, refuse).is_ok() {
                let refused = io::ErrorKind::ConnectionRefused.into();
                return Err(TransportError::io(format!("connect to {address}"), refused));
            }
            let (near, far) = tokio::io::duplex(self.buffer);
            self.far_ends.send(far).unwrap();
            Ok(Established {
                stream: Box::new(near),
                evidence: Evidence::new(Protection::SameHost).with_proof(Proof::SameProcess),
                claims: Claims::new(),
                source: Source::Other(address.to_string()),
            })
        })
    }

    fn listen<'a>(
        &'a self,
        _address: &'a Address,
    ) -> BoxFuture<'a, Result<Box<dyn Listener>, TransportError>> {
        unimplemented!("the test plays the far end")
    }
}
