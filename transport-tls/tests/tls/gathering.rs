//! Small messages are gathered before they are encrypted and written.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
use transport_core::{
    Address, BoxFuture, Claims, Connect, Connection, Established, Evidence, Incoming, Listen, Listener,
    Policy, Protection, Server, Source, Stream, Transport, TransportError, Transports,
};

use crate::common::Authority;
use crate::meet::bounded;

/// A transport in memory that notes down how much is written at once by those who connect.
#[derive(Default)]
struct Counted {
    sizes: Arc<Mutex<Vec<usize>>>,
    accepting: Mutex<Option<mpsc::UnboundedSender<DuplexStream>>>,
}

struct CountedListener(Address, mpsc::UnboundedReceiver<DuplexStream>);

struct CountedStream(DuplexStream, Arc<Mutex<Vec<usize>>>);

fn established(stream: impl Stream) -> Established {
    Established {
        stream: Box::new(stream),
        evidence: Evidence::new(Protection::SameHost),
        claims: Claims::new(),
        source: Source::SameProcess,
    }
}

impl Transport for Counted {
    fn scheme(&self) -> &'static str {
        "counted"
    }

    fn connect<'a>(&'a self, _address: &'a Address) -> BoxFuture<'a, Result<Established, TransportError>> {
        // Whatever is written at once fits.
        let (near, far) = tokio::io::duplex(1 << 20);
        self.accepting.lock().unwrap().as_ref().unwrap().send(far).unwrap();
        let stream = CountedStream(near, Arc::clone(&self.sizes));
        Box::pin(async { Ok(established(stream)) })
    }

    fn listen<'a>(
        &'a self,
        address: &'a Address,
    ) -> BoxFuture<'a, Result<Box<dyn Listener>, TransportError>> {
        let (accepting, incoming) = mpsc::unbounded_channel();
        *self.accepting.lock().unwrap() = Some(accepting);
        let listener = CountedListener(address.clone(), incoming);
        Box::pin(async { Ok(Box::new(listener) as Box<dyn Listener>) })
    }
}

impl Listener for CountedListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        self.1.poll_recv(cx).map(|stream| Ok(Incoming::Established(established(stream.unwrap()))))
    }

    fn local_address(&self) -> &Address {
        &self.0
    }

    fn protection(&self) -> Protection {
        Protection::SameHost
    }
}

impl AsyncRead for CountedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.0).poll_write(cx, buf);
        if let Poll::Ready(Ok(written)) = written {
            self.1.lock().unwrap().push(written);
        }
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        self.poll_write(cx, &all)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Stream for CountedStream {}

/// A record has 16 KiB at most (RFC 8446, section 5.1), and 22 bytes around them with an AEAD.
const RECORD: usize = (16 << 10) + 22;

#[tokio::test]
async fn small_messages_are_gathered_to_64_kib_of_whole_records_and_the_rest_goes_at_the_flush() {
    const MESSAGES: usize = 10_000;
    let message = "m".repeat(100);
    let counted = Counted::default();
    let sizes = Arc::clone(&counted.sizes);
    let (mut near, mut far, _server) = connected_over(counted).await;

    sizes.lock().unwrap().clear();
    let sending = async {
        for _ in 0..MESSAGES {
            near.feed(&message).await.unwrap();
        }
        let before_the_flush = sizes.lock().unwrap().clone();
        near.flush().await.unwrap();
        before_the_flush
    };
    let receiving = async {
        for _ in 0..MESSAGES {
            assert_eq!(far.recv().await.unwrap().unwrap().to_text(), Some(&*message));
        }
    };
    let (before_the_flush, ()) = bounded(async { tokio::join!(sending, receiving) }).await;
    // 102 bytes each, so that 15 times 64 KiB are full, of which those went out that made 128.
    assert_eq!(before_the_flush, [4 * RECORD; 14]);
    let rest = &sizes.lock().unwrap().clone()[14..];
    assert!(rest.iter().all(|size| *size <= 4 * RECORD) && rest.len() <= 3, "{rest:?}");

    // A lone one waits for nothing.
    sizes.lock().unwrap().clear();
    near.send(&message).await.unwrap();
    assert_eq!(*sizes.lock().unwrap(), [102 + 22]);
}

#[tokio::test]
async fn what_was_encrypted_and_not_written_when_a_send_was_dropped_is_written_by_the_halves() {
    let (mut near, mut far, _server) = connected_over(Counted::default()).await;

    // Until the stream below is full: the last one is encrypted and waits.
    let message = "m".repeat(10_000);
    let mut sent = 1;
    while poll_once(near.send(&message)).is_some() {
        sent += 1;
    }
    let (sender, _receiver) = near.split();
    assert!(poll_once(sender.flush()).is_none(), "it has not left yet");
    let receiving = async {
        for _ in 0..sent {
            assert_eq!(far.recv().await.unwrap().unwrap().to_text(), Some(&*message));
        }
    };
    let (flushed, ()) = bounded(async { tokio::join!(sender.flush(), receiving) }).await;
    flushed.unwrap();
}

/// Both ends of a connection over TLS over these streams, and the server that took it in.
async fn connected_over(counted: Counted) -> (Connection, Connection, Server) {
    let authority = Authority::new();
    let tls = authority.tls(&authority.leaf("db.example")).over("tls+counted", counted);
    let address = "tls+counted://here?name=db.example";
    let listen = Listen::new(&Transports::new(), address).transport(tls.clone());
    let mut server = listen.policy(Policy::certified()).start().await.unwrap();
    let connect = Connect::new(&Transports::new(), address).transport(tls).server(Policy::certified());
    let (near, far) = bounded(async { tokio::join!(connect, server.accept()) }).await;
    (near.unwrap(), far.unwrap(), server)
}

fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
